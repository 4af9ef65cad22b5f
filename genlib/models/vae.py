"""The variational autoencoder of Stable Diffusion v1: load it; turn images into latents and back.

Kingma & Welling 2013 (arXiv:1312.6114); Rombach et al. 2022 (arXiv:2112.10752), section 3.1.
"""
import torch
from diffusers import AutoencoderKL

from genlib import device
from genlib.models import convolutions, forward, hub, random_weights, single_file, tuned
from genlib.models import weights as weights_module

V1_CONFIG = dict(
    in_channels=3, out_channels=3, latent_channels=4, sample_size=512, scaling_factor=0.18215, layers_per_block=2,
    block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)


def load(weights="auto", *, profile="thesis", dtype="auto", model_id=None, without=()) -> AutoencoderKL:
    """Load the autoencoder alone on this machine's device, ready for inference; `.info` says what was loaded.

    weights: "auto", "demo" (small, 64 px), "random" (full size) or "published" (v1-4's).
    dtype: see `device.pick_dtype`.
    model_id: take the autoencoder of this model instead, as in `stable_diffusion.load`.
    without: switches of the tuned profile (switches.py) to leave out.
    Raises ConnectionError if published weights cannot be downloaded, FileNotFoundError for a model without
    safetensors files, MemoryError where it does not fit, ValueError for an unknown word.
    """
    weights_module.check_profile(profile)
    word, dtype = weights_module.resolve(weights, model_id), device.pick_dtype(dtype)
    info, model = weights_module.of_stable_diffusion(word, profile, dtype, model_id)
    info.name = f"VAE of {info.name}"
    tuned.choose(info, tuned.good("vae", tuned.Case(dtype)), without)
    with weights_module.loading(info):
        autoencoder = (build(dtype) if model is None else _by_files(model, word, dtype)).to(device.pick())
        tune(autoencoder, info.switches)
        info.switches["winograd"] = info.switches["winograd"] and convolutions.quicken(autoencoder)
    weights_module.count(info, vae=autoencoder)
    info.sha256 = model and model_id and model.sha256()  # not while the time of loading is taken
    autoencoder.info = info
    return autoencoder


def _by_files(model: hub.Model, word: str, dtype: torch.dtype) -> AutoencoderKL:
    if word == "random":
        model.check_has_settings()
        autoencoder = random_weights.build(AutoencoderKL, model.fetch({"vae": AutoencoderKL}, dtype, weights=False) / "vae", dtype)
    elif model.file:
        autoencoder = single_file.load_autoencoder(model.file, dtype)
    else:
        autoencoder = hub.load_part(AutoencoderKL, model.fetch({"vae": AutoencoderKL}, dtype), "vae", dtype)
    return autoencoder.eval().requires_grad_(False)


def build(dtype: torch.dtype, place: torch.device | None = None) -> AutoencoderKL:
    """An autoencoder of the published size with random weights, on the device or `place`."""
    return weights_module.seeded(lambda: AutoencoderKL(**V1_CONFIG), dtype, place)


def picture_side(autoencoder: AutoencoderKL) -> int:
    """The side in pixels of square pictures for this autoencoder: one that comes back in its own size."""
    size = autoencoder.config["sample_size"]
    sides = list(size) if isinstance(size, (list, tuple)) else [size]
    side = min(sides) if sides and all(type(side) is int for side in sides) else V1_CONFIG["sample_size"]
    factor = 2 ** (len(autoencoder.config["block_out_channels"]) - 1)  # pixels a latent, in each direction
    return max(factor, side // factor * factor)


def tune(autoencoder: AutoencoderKL, on: dict[str, bool]) -> None:
    """Do what the switches say. No CUDA graph: it would hold hundreds of MB of maps, to save 2 ms."""
    if on["vae_slicing"]:
        autoencoder.enable_slicing()
    forward.quicken(autoencoder.decoder, compiled=on["vae_compile"])


@torch.inference_mode()
def encode(autoencoder: AutoencoderKL, image: torch.Tensor) -> torch.Tensor:
    """Images [N, 3, H, W] in [-1, 1] -> latents [N, 4, H/8, W/8]: the mean of q(z|x), unscaled."""
    return autoencoder.encode(image).latent_dist.mode()


@torch.inference_mode()
def decode(autoencoder: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Unscaled latents [N, 4, h, w] -> images [N, 3, 8h, 8w], about [-1, 1]."""
    return autoencoder.decode(latents).sample
