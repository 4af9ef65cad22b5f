"""Stable Diffusion and other text-to-image models of diffusers: load the pipeline.

Rombach et al. 2022 (arXiv:2112.10752). The full size is that of CompVis/stable-diffusion-v1-4.
"""
from contextlib import contextmanager
from functools import wraps

import diffusers
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel

from genlib import device, progress
from genlib.models import calls, convolutions, folder, forward, hub, images, random_weights, single_file, tuned, unclip, vae
from genlib.models import weights as weights_module
from genlib.models.calls import denoiser as denoiser
from genlib.models.calls import guidance_scale as guidance_scale
from genlib.models.calls import random_latents as random_latents
from genlib.models.calls import start as start
from genlib.models.calls import usual_steps as usual_steps
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
         without=(), offloaded=False) -> DiffusionPipeline:
    """Load the pipeline on this machine's device, ready for inference; `.info` says what was loaded.

    weights: "auto", "demo" (small, 64 px), "random" (full size, 512 px) or "published" (v1-4, or `model_id`).
    dtype: see `device.pick_dtype`.
    model_id: any text-to-image model of diffusers (v1-5, SDXL, Turbo, SD3, PixArt, FLUX, Qwen-Image, unCLIP
    ...), by its name on the Hub or as a local folder in the Hub's layout. `weights` "random" then makes it
    from its configurations alone, and no weights are downloaded; with any other word they are its own.
    `start` gives what it draws from.
    safety_checker: whether flagged pictures are turned black (608 MB in float16; the demo has no checker).
    expected_images, expected_batch: how many pictures will be drawn in all, and how many at once: in the
    tuned profile this decides what is worth preparing.
    without: switches of the tuned profile (switches.py) to leave out.
    offloaded: leave v1-4 or the demo in main memory, of which diffusers' offloading moves parts to the GPU.
    Returns a StableDiffusionPipeline, or for `model_id` a pipeline of that model's class.
    Raises ConnectionError if published weights cannot be downloaded, FileNotFoundError for a model without
    safetensors files or index, MemoryError where it does not fit, ValueError for an unknown word or a model
    of another kind.
    """
    weights_module.check_profile(profile)
    word, dtype = weights_module.resolve(weights, model_id), device.pick_dtype(dtype)
    if safety_checker and word == "demo":
        raise ValueError("safety_checker is True, but the demo weights have none: use weights 'random' or 'published'")
    info, model = weights_module.of_stable_diffusion(word, profile, dtype, model_id)
    info.switches = {"safety_checker": safety_checker}
    kind = "StableDiffusionPipeline" if not model_id or model.file else model.index()["_class_name"]
    tuned.choose(info, switches(dtype, kind == "StableDiffusionPipeline", expected_images), without)
    with weights_module.loading(info):
        place = torch.device("cpu") if offloaded else device.pick()
        pipe = build(info, dtype, place) if model is None else _by_index(info, dtype, model)
        pipe = pipe.to(place, silence_dtype_warnings=offloaded)
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
    if on["winograd"]:
        on["winograd"] = any([convolutions.quicken(part) for part in pipe.components.values()
                              if isinstance(part, UNet2DConditionModel | AutoencoderKL)])
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
                pipe(prompt=[prompt] * batch, **start(pipe, range(batch))(), num_inference_steps=1)
        pipe._said = False


def _by_index(info: ModelInfo, dtype: torch.dtype, model: hub.Model) -> DiffusionPipeline:
    """The pipeline that a model's files tell of."""
    def class_for(kind: str) -> type[DiffusionPipeline]:
        if kind == "StableDiffusionPipeline":
            return _class(info)
        calls.check_class(model.name, kind)
        if kind == "UnCLIPPipeline":
            unclip.check_dtype(model.name, dtype)
            return unclip.UnCLIP
        return getattr(diffusers, kind)

    if info.weights == "random":
        model.check_has_settings()
    if model.file:
        pipe = single_file.load_pipeline(model.file, dtype, class_for)
    else:
        index = model.index()
        cls, options = class_for(index["_class_name"]), {}
        parts = folder.components(index, cls)
        if not info.switches["safety_checker"] and "safety_checker" in index:
            parts.pop("safety_checker", None)
            options = dict(safety_checker=None, requires_safety_checker=False)
        if info.weights == "random":
            pipe = random_weights.load_pipeline(cls, model, parts, info, dtype, **options)
        else:
            pipe = hub.load_pipeline(cls, model.fetch(parts, dtype), parts, dtype, **options)
    if calls.takes_latents(pipe):
        _settle_size(model.name, pipe)
    return pipe


def _settle_size(name: str, pipe: DiffusionPipeline) -> None:
    """Give a pipeline that can read no list as `sample_size` its one number.

    Raises ValueError if the size is not known, or not square in such a pipeline.
    """
    height, width = calls.latent_size(pipe)
    if isinstance(denoiser(pipe).config.sample_size, int) or hasattr(pipe, "_is_unet_config_sample_size_int"):
        return
    if height != width:
        raise ValueError(f"{name} is a {type(pipe).__name__} of sample_size {[height, width]}, and this pipeline of diffusers draws "
                         f"squares unless told otherwise: write one number there, or {calls.ANOTHER}")
    denoiser(pipe).register_to_config(sample_size=height)
    if hasattr(pipe, "default_sample_size"):
        pipe.default_sample_size = height


def build(info: ModelInfo, dtype: torch.dtype, place: torch.device) -> StableDiffusionPipeline:
    """A pipeline of the published size with random weights, there."""
    tokenizer = random_weights.byte_tokenizer()
    text = CLIPTextConfig(**TEXT_CONFIG, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                          pad_token_id=tokenizer.pad_token_id)
    checker = feature_extractor = None
    if info.switches["safety_checker"]:
        checker = weights_module.seeded(lambda: StableDiffusionSafetyChecker(CLIPConfig(**CHECKER_CONFIG)), dtype, place)
        feature_extractor = CLIPImageProcessor()
    return _class(info)(
        vae=vae.build(dtype, place), text_encoder=weights_module.seeded(lambda: CLIPTextModel(text), dtype, place), tokenizer=tokenizer,
        unet=weights_module.seeded(lambda: UNet2DConditionModel(**UNET_CONFIG), dtype, place), scheduler=PNDMScheduler(**SCHEDULER_CONFIG),
        safety_checker=checker, feature_extractor=feature_extractor, requires_safety_checker=checker is not None)


def _class(info: ModelInfo) -> type[StableDiffusionPipeline]:
    return _Pipeline if any(info.switches[name] for name in _Pipeline.SWITCHES) else StableDiffusionPipeline
