"""How pipelines of diffusers are called, which differ: what they draw from, their steps, their guidance."""
from collections.abc import Callable, Sequence
from inspect import signature

import diffusers
import torch
from diffusers import DiffusionPipeline

ANOTHER = "use a text-to-image model such as v1-5, SDXL or Stable Diffusion 3"
DEMO_GUIDANCE_SCALE = 3.0  # with more, the small network's colours burn out
DISTILLED_STEPS = {"turbo": 4, "schnell": 4}  # the most that models of such names were trained to need
# Arguments of video and sound.
OTHER_MEDIA = {"num_frames", "frame_size", "video", "audio", "audio_length_in_s", "audio_end_in_s", "audio_duration"}
DENOISERS = ("unet", "transformer", "decoder")
OTHER_INPUTS = {"image", "control_image", "controlnet_cond"}


def check_class(name: str, kind: str) -> None:
    """Raises ValueError for a pipeline that is unknown or does not draw pictures from a prompt and noise."""
    cls = getattr(diffusers, kind, None)
    if not isinstance(cls, type) or not issubclass(cls, DiffusionPipeline):
        raise ValueError(f"{name} is a {kind}, which diffusers {diffusers.__version__} does not have: update diffusers, or {ANOTHER}")
    taken = list(signature(cls.__call__).parameters)[1:]
    reason = ("takes no prompt" if "prompt" not in taken else
              "needs more than a prompt" if taken[0] != "prompt" or not OTHER_INPUTS.isdisjoint(taken) else
              "draws no single pictures" if not OTHER_MEDIA.isdisjoint(taken) else
              "takes neither latents nor a generator" if {"latents", "generator"}.isdisjoint(taken) else
              "draws no finished pictures" if set(DENOISERS).isdisjoint(cls._get_signature_keys(cls)[0]) else
              "takes no guidance scale" if {"guidance_scale", "decoder_guidance_scale"}.isdisjoint(taken) else
              "takes a part from another model" if cls._load_connected_pipes else None)
    if reason:
        raise ValueError(f"{name} is a {kind}, which {reason}: {ANOTHER}")


def denoiser(pipe: DiffusionPipeline) -> torch.nn.Module | None:
    """The network that predicts the noise: `unet`, in newer models `transformer`, in unCLIP `decoder`."""
    return next(filter(None, (getattr(pipe, name, None) for name in DENOISERS)), None)


def takes_latents(pipe: DiffusionPipeline) -> bool:
    """Whether a pipeline starts from latents [N, C, h, w] of a size that its network tells.

    Others draw their own noise: those that pack it into a sequence (FLUX, Qwen-Image), that start several
    networks from noise (unCLIP), or whose network takes any size.
    """
    has_size = "sample_size" in getattr(denoiser(pipe), "config", {})
    return has_size and "latents" in signature(pipe.__call__).parameters and not hasattr(pipe, "_pack_latents")


def latent_size(pipe: DiffusionPipeline) -> tuple[int, int]:
    """Height and width of the latents, as the UNet or transformer has them in `sample_size`: a number or two.

    Raises ValueError if the pipeline draws its own noise, or its size is not usable.
    """
    if not takes_latents(pipe):
        raise ValueError(f"this model is a {type(pipe).__name__}, which draws its own noise: call it with what "
                         "stable_diffusion.start gives, or use a model that starts from latents, such as v1-5")
    network = denoiser(pipe)
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


def start(pipe, seeds: Sequence[int] = (0,)) -> Callable[[], dict]:
    """A function that gives what each call draws a batch from, a picture a seed, as the call's arguments.

    `latents=` [N, C, h, w], which are drawn here, once; of a pipeline that draws its own noise `generator=`,
    a list that is made anew for each call, since drawing changes it. The noise is drawn on the CPU.
    """
    if takes_latents(pipe):
        latents = torch.cat([random_latents(pipe, seed) for seed in seeds])
        return lambda: dict(latents=latents)
    return lambda: dict(generator=[torch.Generator().manual_seed(seed) for seed in seeds])


def guidance_scale(pipe: DiffusionPipeline) -> float | None:
    """The guidance scale for prompts: the pipeline's default (v1: 7.5, as in the thesis), demo 3, Turbo 0."""
    if "turbo" in pipe.info.name.lower():
        return 0.0  # distilled to draw without guidance, which would spoil its pictures
    return DEMO_GUIDANCE_SCALE if pipe.info.weights == "demo" else signature(pipe.__call__).parameters["guidance_scale"].default


def usual_steps(pipe: DiffusionPipeline) -> int:
    """The number of denoising steps that a pipeline takes by itself; that of models distilled to need few."""
    few = (steps for word, steps in DISTILLED_STEPS.items() if word in pipe.info.name.lower())
    return next(few, signature(pipe.__call__).parameters["num_inference_steps"].default)
