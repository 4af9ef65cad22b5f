"""Write the averaged weights of all trainings that have a checkpoint into the package.

    python training/export.py      # from training/checkpoints/ to genlib/models/demo/, as float16 safetensors

Models without a checkpoint are left as they are.
"""
import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline
from loop import CHECKPOINTS
from train_stable_diffusion import trained_parts
from train_stylegan2 import trained_generator
from train_vae import trained_vae

from genlib.models.stable_diffusion import SCHEDULER_CONFIG
from genlib.models.weights import DEMO, DEMO_STABLE_DIFFUSION, DEMO_STYLEGAN2

LIMIT_BYTES = 16 * 1024**2


def main() -> None:
    trained, folder = {file.stem for file in CHECKPOINTS.glob("*.pt")}, DEMO_STABLE_DIFFUSION
    if "vae" in trained:
        trained_vae().to("cpu", torch.float16).save_pretrained(folder / "vae")
    if "stable_diffusion" in trained:
        unet, text_encoder, tokenizer = trained_parts()
        pipeline = StableDiffusionPipeline(
            vae=AutoencoderKL.from_pretrained(folder / "vae"), unet=unet, text_encoder=text_encoder, tokenizer=tokenizer,
            scheduler=PNDMScheduler(**SCHEDULER_CONFIG), safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        pipeline.to("cpu", torch.float16).save_pretrained(folder)
    if "stylegan2" in trained:
        trained_generator().to("cpu", torch.float16).save_pretrained(DEMO_STYLEGAN2)
    total = sum(file.stat().st_size for file in DEMO.rglob("*") if file.is_file() and file.suffix != ".png")
    print(f"{DEMO}: {total / 1024**2:.1f} MB")
    if total > LIMIT_BYTES:
        raise SystemExit(f"the demo weights take {total} bytes: make a model smaller, {LIMIT_BYTES} is the limit")


if __name__ == "__main__":
    main()
