"""The modes of Stable Diffusion that decide how much of a GPU's memory it takes."""
from dataclasses import dataclass
from functools import partial

import torch

from genlib import device
from genlib.models import calls, stable_diffusion, weights
from genlib.runs import ModelInfo

OFFLOADED_STEPS = 5  # of denoising, at most, where each step moves the whole UNet through the bus


@dataclass(frozen=True)
class Mode:
    """A way of drawing that decides how much memory is needed."""
    dtype: str = "float16"
    profile: str = "thesis"
    offload: str = ""  # "model": each network is on the GPU while it works; "sequential": each layer
    batch: int = 1
    sides: int = 1  # the picture's side, in those of the model's own size
    slicing: bool = False  # the VAE decodes a batch picture by picture
    tiling: bool = False  # and a picture tile by tile, where it is larger than the model's own size

    @property
    def name(self) -> str:
        """As it stands in the names of folders."""
        parts = [self.dtype, self.profile * (self.profile != "thesis"), self.offload and f"{self.offload}-offload",
                 f"batch-{self.batch}" * (self.batch > 1), f"{self.sides}-sides" * (self.sides > 1), "slicing" * self.slicing,
                 "tiling" * self.tiling]
        return "-".join(filter(None, parts))


MODES = [Mode(), Mode(profile="tuned"), Mode("bfloat16"), Mode("float32"), Mode(offload="model"), Mode("float32", offload="model"),
         Mode(offload="sequential"), Mode(batch=4), Mode(batch=4, slicing=True), Mode(sides=2), Mode(sides=2, tiling=True)]


def prepare(mode: Mode, word: str, steps: int):
    """Load the pipeline in this mode: what was loaded, the call that draws, and its settings for the record.

    word: "demo", "random" or "published". Where there is no memory to load it, the call runs out of memory.
    """
    steps = min(steps, OFFLOADED_STEPS) if mode.offload == "sequential" else steps
    settings = dict(steps=steps, prompt="", batch_size=mode.batch, offload=mode.offload, vae_slicing=mode.slicing, vae_tiling=mode.tiling)
    try:
        pipe = stable_diffusion.load(word, dtype=mode.dtype, profile=mode.profile, offloaded=bool(mode.offload))
        latents = _latents(pipe, mode)  # before a network may lie nowhere
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        return _not_loaded(mode, word), partial(_fails, str(error)), settings
    settings |= {"size": mode.sides * calls.latent_size(pipe)[0] * pipe.vae_scale_factor} if mode.sides > 1 else {}
    if mode.slicing:
        pipe.vae.enable_slicing()
    if mode.tiling:
        pipe.vae.enable_tiling()
    if mode.offload == "model":
        pipe.enable_model_cpu_offload()
    elif mode.offload == "sequential":
        pipe.enable_sequential_cpu_offload()
    return pipe.info, partial(_draw, pipe, latents, steps), settings


def _draw(pipe, latents: torch.Tensor, steps: int) -> list:
    return pipe(prompt=[""] * len(latents), latents=latents, num_inference_steps=steps,
                guidance_scale=stable_diffusion.guidance_scale(pipe)).images


def _latents(pipe, mode: Mode) -> torch.Tensor:
    """Latents [N, C, sides * h, sides * w], N(0, 1): the values of more and smaller ones in that shape."""
    drawn = stable_diffusion.random_latents(pipe, batch_size=mode.batch * mode.sides**2)
    height, width = drawn.shape[-2:]
    return drawn.reshape(mode.batch, -1, mode.sides * height, mode.sides * width).to(device.pick())


def _not_loaded(mode: Mode, word: str) -> ModelInfo:
    """What is known of a model that does not fit, by which its run lies beside those of its kind."""
    return weights.of_stable_diffusion(word, mode.profile, device.pick_dtype(mode.dtype), None)[0]


def _fails(reason: str):
    raise torch.OutOfMemoryError(reason)
