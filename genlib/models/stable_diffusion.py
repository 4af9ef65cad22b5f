"""Stable Diffusion: load the pipeline; draw its latents.

Rombach et al. 2022 (arXiv:2112.10752). The full size is that of CompVis/stable-diffusion-v1-4.
"""
from contextlib import contextmanager
from functools import wraps
from inspect import signature

import diffusers
import torch
from diffusers import DiffusionPipeline, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from genlib import device, progress
from genlib.models import folder, forward, hub, images, single_file, tuned, vae
from genlib.models import weights as weights_module
from genlib.runs import ModelInfo

UNET_CONFIG = dict(
    sample_size=64, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=(320, 640, 1280, 1280),
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    cross_attention_dim=768, attention_head_dim=8)
TEXT_CONFIG = dict(
    vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768,
    max_position_embeddings=77, hidden_act="quick_gelu")
SCHEDULER_CONFIG = dict(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False)
CHECKER_CONFIG = dict(  # ViT-L/14
    projection_dim=768, text_config={"hidden_size": 768},
    vision_config=dict(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14, image_size=224))
ANOTHER = "use a text-to-image model such as v1-5, SDXL or Stable Diffusion 3"
DEMO_GUIDANCE_SCALE = 3.0  # with more, the small network's colours burn out


class _Pipeline(StableDiffusionPipeline):
    """The library's pipeline, with the switches of the tuned profile that act while it draws."""

    SWITCHES = ("skip_equal_guidance", "inference_mode", "release_weights")
    _said = False

    @wraps(StableDiffusionPipeline.__call__)
    def __call__(self, *args, **options):
        with torch.inference_mode(self.info.switches["inference_mode"]), self._releasing():
            return super().__call__(*args, **options)

    def _releases(self) -> bool:
        return self.info.switches["release_weights"] and self.info.bytes["unet"] >= tuned.RELEASED_FROM

    @contextmanager
    def _releasing(self):
        """While the pipeline draws, parts that have done their work give their memory back."""
        hooks = []
        if self._releases():
            # The two deepest parts of the UNet, 30 % of it, at every step; all of it only before decoding,
            # since reading the whole UNet again takes 0.4 s.
            deepest = [part for part in (self.unet.mid_block, self.unet.up_blocks[0]) if part is not None]  # tiny-sd has no middle
            hooks = [part.register_forward_hook(lambda part, *_: tuned.release(part)) for part in deepest]
            hooks.append(self.vae.decoder.register_forward_pre_hook(lambda *_: tuned.release(self.unet)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def encode_prompt(self, *args, **options):
        """As in the library; but without guidance between equal inputs c and u, where u + s (c - u) is u."""
        prompt, negative = super().encode_prompt(*args, **options)
        if self._releases() and self.text_encoder is not None:
            tuned.release(self.text_encoder)
        by_prompt_alone = self.unet.config.encoder_hid_dim_type is None  # not with an IP-Adapter, whose picture guides too
        if (self.info.switches["skip_equal_guidance"] and by_prompt_alone and self.do_classifier_free_guidance
                and torch.equal(prompt, negative)):
            if not self._said:
                progress.write("guidance skipped: the prompt and the negative prompt have the same embedding, so it would change nothing")
            self._said = True
            self._guidance_scale = 1.0
        return prompt, negative


_Pipeline.__name__ = "StableDiffusionPipeline"  # the class name that is saved


def load(weights="auto", *, profile="thesis", dtype="auto", model_id=None, safety_checker=False, expected_images=1, expected_batch=1,
         without=()) -> DiffusionPipeline:
    """Load the pipeline on this machine's device, ready for inference; `.info` says what was loaded.

    weights: "auto", "demo" (small, 64 px), "random" (full size, 512 px) or "published" (v1-4, or `model_id`).
    dtype: see `device.pick_dtype`.
    model_id: any text-to-image model of diffusers that starts from a prompt and latents (v1-5, SDXL, Turbo,
    Stable unCLIP, SD3 ...), by its name on the Hub or as a local folder in the Hub's layout.
    safety_checker: whether flagged pictures are turned black (608 MB in float16; the demo has no checker).
    expected_images, expected_batch: how many pictures will be drawn in all, and how many at once: in the
    tuned profile this decides what is worth preparing.
    without: switches of the tuned profile (switches.py) to leave out.
    Returns a StableDiffusionPipeline, or for `model_id` a pipeline of that model's class.
    Raises ConnectionError if published weights cannot be downloaded, FileNotFoundError for a model without
    safetensors files or index, MemoryError where it does not fit, ValueError for an unknown word or a model
    of another kind.
    """
    weights_module.check_profile(profile)
    word, dtype = weights_module.resolve("published" if model_id else weights), device.pick_dtype(dtype)
    if safety_checker and word == "demo":
        raise ValueError("safety_checker is True, but the demo weights have none: use weights 'random' or 'published'")
    info, model = weights_module.of_stable_diffusion(word, profile, dtype, model_id)
    info.switches = {"safety_checker": safety_checker}
    kind = "StableDiffusionPipeline" if not model_id or model.file else model.index()["_class_name"]
    tuned.choose(info, switches(dtype, kind == "StableDiffusionPipeline", expected_images), without)
    with weights_module.loading(info):
        pipe = build(info, dtype) if model is None else _pretrained(info, dtype, model)
        pipe = pipe.to(device.pick())
        pipe.progress_bar = progress.steps  # the library's own bar would be drawn inside the timed region
        pipe.info = info
        info.switches["safety_checker"] = getattr(pipe, "safety_checker", None) is not None
        if safety_checker and not info.switches["safety_checker"]:
            progress.write(f"{info.name} has no safety checker: its pictures are drawn without one")
        images.watch(pipe)
        _tune(pipe, expected_batch)
    weights_module.count(info, **{name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)})
    info.sha256 = model and model_id and model.sha256()  # not while the time of loading is taken
    return pipe


def switches(dtype: torch.dtype, own: bool, expected_images: int) -> dict[str, bool]:
    """The switches, and which are good on this machine. own: whether the pipeline is of v1's class."""
    return tuned.good("stable_diffusion", tuned.Case(dtype, own, expected_images))


def _tune(pipe: DiffusionPipeline, batch: int) -> None:
    """Do what the switches say. To compile or record the networks, draw without and with a prompt."""
    on, network = pipe.info.switches, denoiser(pipe)
    if getattr(pipe, "vae", None) is not None:
        vae.tune(pipe.vae, on)
    if on["unet_channels_last"]:
        network.to(memory_format=torch.channels_last)
    if on["scheduler_on_cpu"] and isinstance(pipe.scheduler, PNDMScheduler):
        tuned.keep_timesteps_on_cpu(pipe.scheduler)
    forward.quicken(network, cudnn_attention=on["cudnn_attention"], compiled=on["compile"], graph_up_to_batch=2 * on["unet_cuda_graph"],
                  no_graph=lambda: on.update(unet_cuda_graph=False))
    if on["compile"] or on["unet_cuda_graph"] and batch == 1:
        pipe._said = True  # keeps the line about skipped guidance for the first picture that somebody asks for
        with progress.Task("compiles its networks" if on["compile"] else "records its networks"):
            for prompt in "", "a face":
                pipe(prompt=[prompt] * batch, latents=random_latents(pipe, batch_size=batch), num_inference_steps=1)
        pipe._said = False


def _pretrained(info: ModelInfo, dtype: torch.dtype, model: hub.Model) -> DiffusionPipeline:
    def class_for(kind: str) -> type[DiffusionPipeline]:
        if kind == "StableDiffusionPipeline":
            return _class(info)
        _check_class(model.name, kind)
        return getattr(diffusers, kind)

    if model.file:
        pipe = single_file.load_pipeline(model.file, dtype, class_for)
    else:
        index = model.index()
        cls, options = class_for(index["_class_name"]), {}
        parts = folder.components(index, cls)
        if not info.switches["safety_checker"] and "safety_checker" in index:
            parts.pop("safety_checker", None)
            options = dict(safety_checker=None, requires_safety_checker=False)
        pipe = hub.load_pipeline(cls, model.fetch(parts, dtype), parts, dtype, **options)
    _settle_size(model.name, pipe)
    return pipe


def _settle_size(name: str, pipe: DiffusionPipeline) -> None:
    """Give a pipeline that can read no list as `sample_size` its one number.

    Raises ValueError if the size is not known, or not square in such a pipeline.
    """
    height, width = latent_size(pipe)
    if isinstance(denoiser(pipe).config.sample_size, int) or hasattr(pipe, "_is_unet_config_sample_size_int"):
        return
    if height != width:
        raise ValueError(f"{name} is a {type(pipe).__name__} of sample_size {[height, width]}, and this pipeline of diffusers draws "
                         f"squares unless told otherwise: write one number there, or {ANOTHER}")
    denoiser(pipe).register_to_config(sample_size=height)
    if hasattr(pipe, "default_sample_size"):
        pipe.default_sample_size = height


def _check_class(name: str, kind: str) -> None:
    """Raises ValueError for a pipeline that is unknown or does not draw from prompt and latents."""
    cls = getattr(diffusers, kind, None)
    if not isinstance(cls, type) or not issubclass(cls, DiffusionPipeline):
        raise ValueError(f"{name} is a {kind}, which diffusers {diffusers.__version__} does not have: update diffusers, or {ANOTHER}")
    taken = list(signature(cls.__call__).parameters)[1:]
    reason = ("does not start from latents" if "latents" not in taken else
              "needs more than a prompt" if taken[0] != "prompt" or "image" in taken else
              "takes a part from another model" if cls._load_connected_pipes else
              "packs its latents into a sequence" if hasattr(cls, "_pack_latents") else None)
    if reason:
        raise ValueError(f"{name} is a {kind}, which {reason}: {ANOTHER}")


def denoiser(pipe: DiffusionPipeline) -> torch.nn.Module | None:
    """The network that predicts the noise: `unet`, or in newer models `transformer`."""
    return getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)


def build(info: ModelInfo, dtype: torch.dtype) -> StableDiffusionPipeline:
    """A pipeline of the published size with random weights."""
    tokenizer = byte_tokenizer()
    text = CLIPTextConfig(**TEXT_CONFIG, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                          pad_token_id=tokenizer.pad_token_id)
    checker = feature_extractor = None
    if info.switches["safety_checker"]:
        checker = weights_module.seeded(lambda: StableDiffusionSafetyChecker(CLIPConfig(**CHECKER_CONFIG)), dtype)
        feature_extractor = CLIPImageProcessor()
    return _class(info)(
        vae=vae.build(dtype), text_encoder=weights_module.seeded(lambda: CLIPTextModel(text), dtype), tokenizer=tokenizer,
        unet=weights_module.seeded(lambda: UNet2DConditionModel(**UNET_CONFIG), dtype), scheduler=PNDMScheduler(**SCHEDULER_CONFIG),
        safety_checker=checker, feature_extractor=feature_extractor, requires_safety_checker=checker is not None)


def _class(info: ModelInfo) -> type[StableDiffusionPipeline]:
    return _Pipeline if any(info.switches[name] for name in _Pipeline.SWITCHES) else StableDiffusionPipeline


def byte_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that needs no download: two tokens a byte (one ends a word) and two special tokens."""
    letters = list(bytes_to_unicode().values())  # a printable one for each byte (Radford et al. 2019)
    words = letters + [f"{letter}</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def guidance_scale(pipe: DiffusionPipeline) -> float:
    """The guidance scale for prompts: the pipeline's default (v1: 7.5, as in the thesis), demo 3, Turbo 0."""
    if "turbo" in pipe.info.name.lower():
        return 0.0  # distilled to draw without guidance, which would spoil its pictures
    return DEMO_GUIDANCE_SCALE if pipe.info.weights == "demo" else signature(pipe.__call__).parameters["guidance_scale"].default


def latent_size(pipe: DiffusionPipeline) -> tuple[int, int]:
    """Height and width of the latents, as the UNet or transformer has them in `sample_size`: a number or two.

    Raises ValueError if it has none, or one that is not usable.
    """
    network = denoiser(pipe)
    if "sample_size" not in getattr(network, "config", {}):
        raise ValueError(f"this model is a {type(pipe).__name__}, whose latents' size is not told by a UNet or transformer: {ANOTHER}")
    size = network.config.sample_size
    both = list(size) if isinstance(size, (list, tuple)) else [size, size]
    if len(both) != 2 or any(type(side) is not int or side < 1 for side in both):
        raise ValueError(f"the config.json of the {type(network).__name__} has the sample_size {size!r}, so the size of its pictures is "
                         "not known: write the latents' size there, as 64 for 512 px or [64, 96] for 512 x 768")
    return both[0], both[1]


def random_latents(pipe, seed: int = 0, batch_size: int = 1) -> torch.Tensor:
    """Latents [N, C, h, w], N(0, 1), for the pipeline's picture size, in the UNet's dtype, on its device.

    For v1: [N, 4, H/8, W/8]. Drawn on the CPU, so that a seed gives the same picture on every device. The
    pipeline scales them itself.
    """
    network = denoiser(pipe)
    shape = (batch_size, network.config.in_channels, *latent_size(pipe))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(network.device, network.dtype)
