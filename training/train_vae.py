"""Train the demo's autoencoder, of v1-4's class: 64x64 faces to 8x8 latents with 4 channels, and back.

    python training/train_vae.py            # 40 minutes on two cores; resumable

Kingma & Welling 2013 (arXiv:1312.6114); losses weighted as in Rombach et al. 2022 (arXiv:2112.10752),
appendix G, without the perceptual and the adversarial part. Faces of seeds from 1,000,000 on are held out.
"""
import argparse
import math

import faces
import numpy as np
import torch
from diffusers import AutoencoderKL
from loop import DEVICE, Training, autocast, keep_memory

CONFIG = dict(
    in_channels=3, out_channels=3, latent_channels=4, sample_size=64, layers_per_block=1, block_out_channels=(16, 32, 96, 128),
    norm_num_groups=8, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
STEPS, BATCH, FACES, HELD_OUT = 4500, 32, 20_000, 1_000_000
RATE, KL_WEIGHT = 1e-3, 1e-6


def main(steps: int) -> None:
    keep_memory()
    torch.manual_seed(0)
    model = AutoencoderKL(**CONFIG).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    training = Training("vae", dict(vae=model), dict(adam=optimizer), decay=dict(vae=0.998))
    print(f"drawing {FACES} faces ...", flush=True)
    pictures = faces.batch(range(FACES))

    def one_step(step):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(1, step / steps)))
        x = pictures_of(pictures, np.random.RandomState(step).randint(0, FACES, BATCH))
        with autocast():
            posterior = model.encode(x).latent_dist
            y = model.decode(posterior.sample()).sample.float()
        kl = posterior.kl().mean()
        loss = (y - x).abs().mean() + (y - x).square().mean() + KL_WEIGHT * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return dict(loss=loss.item(), kl=kl.item())

    training.run(steps, one_step)
    training.record()
    average = training.averages["vae"].module
    print(f"{training.seconds / 60:.1f} minutes; on 500 faces held out: PSNR {psnr(average):.2f} dB; "
          f"scaling_factor {1 / deviation(average):.5f}")


def trained_vae() -> AutoencoderKL:
    """The checkpoint's averaged autoencoder, with the scaling factor that its latents require."""
    training = Training("vae", dict(vae=AutoencoderKL(**CONFIG).to(DEVICE)), {}, decay=dict(vae=0.998))
    if not training.step:
        raise SystemExit("there is no trained autoencoder yet: python training/train_vae.py")
    model = training.averages["vae"].module.eval().requires_grad_(False)
    model.register_to_config(scaling_factor=round(1 / deviation(model), 5))
    return model


def pictures_of(pictures: np.ndarray, indices) -> torch.Tensor:
    """uint8 [N, 64, 64, 3] -> [n, 3, 64, 64] in [-1, 1], channels_last, on the device that trains."""
    return torch.from_numpy(pictures[indices]).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.inference_mode()
def psnr(model: AutoencoderKL, count: int = 500) -> float:
    """The mean PSNR, in dB, of 8-bit reconstructions of held-out faces."""
    values = []
    for first in range(HELD_OUT, HELD_OUT + count, 50):
        pictures = faces.batch(range(first, first + 50))
        back = model.decode(model.encode(pictures_of(pictures, slice(None))).latent_dist.mode()).sample
        levels = ((back + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).cpu().numpy()
        errors = np.square(levels - pictures).mean(axis=(1, 2, 3))
        values += list(10 * np.log10(255**2 / errors))
    return float(np.mean(values))


@torch.inference_mode()
def deviation(model: AutoencoderKL, count: int = 500) -> float:
    """The standard deviation of the latents. Its inverse, the scaling factor, gives them unit variance."""
    pictures = faces.batch(range(HELD_OUT, HELD_OUT + count))
    return float(model.encode(pictures_of(pictures, slice(None))).latent_dist.mode().std())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    main(parser.parse_args().steps)
