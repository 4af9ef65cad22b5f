"""Train the demo's Stable Diffusion: a text encoder and a UNet of v1-4's classes, on the demo VAE's latents.

    python training/train_vae.py && python training/train_stable_diffusion.py      # 40 minutes each

Rombach et al. 2022 (arXiv:2112.10752); the loss is equation 14 of Ho et al. 2020 (arXiv:2006.11239), with
noise levels weighted by min(SNR, 5) / SNR as in Hang et al. 2023 (arXiv:2303.09556). One face in seven has no
caption, so that guidance has an unconditional prediction (Ho & Salimans 2022, arXiv:2207.12598).
"""
import argparse
import math

import faces
import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from loop import DEVICE, Training, autocast, keep_memory
from train_vae import FACES, pictures_of, trained_vae
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from genlib.models.random_weights import byte_tokenizer
from genlib.models.stable_diffusion import SCHEDULER_CONFIG

UNET_CONFIG = dict(
    sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(64, 128), cross_attention_dim=64,
    norm_num_groups=16, attention_head_dim=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
TEXT_CONFIG = dict(
    hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, projection_dim=64, max_position_embeddings=77,
    hidden_act="quick_gelu")
STEPS, BATCH, RATE, WITHOUT_CAPTION, SNR_LIMIT = 4500, 64, 1e-3, 0.15, 5


def tokenizer() -> CLIPTokenizer:
    """A tokenizer that needs no download: a word of the captions is one token, others are spelt in bytes."""
    letters = byte_tokenizer().get_vocab()
    merges = []
    words = {word.strip(",") for seed in range(2000) for word in faces.caption(faces.random_face(seed)).split()}
    words |= {word for prompt in faces.PROMPTS for word in prompt.split() if word != "{}"}
    for word in sorted(words, key=lambda word: (-len(word), word)):  # longest first: else "woman" becomes "wo" and "man"
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:  # from the front: r e d -> re d -> red
            merges.append((parts[0], parts[1]))
            parts[:2] = ["".join(parts[:2])]
    merges = list(dict.fromkeys(merges))
    vocabulary = [*sorted(letters, key=letters.get)[:512], *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: number for number, token in enumerate(dict.fromkeys(vocabulary))}, merges=merges,
                         model_max_length=77)


def text_encoder(words: CLIPTokenizer) -> CLIPTextModel:
    """A small CLIP text model for the tokenizer's vocabulary, with random weights."""
    return CLIPTextModel(CLIPTextConfig(**TEXT_CONFIG, vocab_size=len(words), bos_token_id=words.bos_token_id,
                                        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id))


@torch.inference_mode()
def latents_of(vae, pictures: np.ndarray) -> torch.Tensor:
    """The means of the pictures' latents [N, 4, 8, 8], scaled to unit variance."""
    parts = [vae.encode(pictures_of(pictures, slice(first, first + 100))).latent_dist.mode() for first in range(0, len(pictures), 100)]
    return torch.cat(parts) * vae.config.scaling_factor


def main(steps: int) -> None:
    keep_memory()
    torch.manual_seed(0)
    words = tokenizer()
    modules = dict(unet=UNet2DConditionModel(**UNET_CONFIG).to(DEVICE), text_encoder=text_encoder(words).to(DEVICE))
    parameters = [p for module in modules.values() for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.99), weight_decay=1e-2)
    training = Training("stable_diffusion", modules, dict(adam=optimizer), decay=dict(unet=0.998, text_encoder=0.998))
    noising = DDPMScheduler(num_train_timesteps=1000, **{k: SCHEDULER_CONFIG[k] for k in ("beta_start", "beta_end", "beta_schedule")})
    snr = (noising.alphas_cumprod / (1 - noising.alphas_cumprod)).to(DEVICE)  # [1000]
    weight = snr.clamp(max=SNR_LIMIT) / snr
    print(f"drawing and encoding {FACES} faces ...", flush=True)
    latents = latents_of(trained_vae(), faces.batch(range(FACES))).clone()
    captions = [faces.caption(faces.random_face(seed)) for seed in range(FACES)]

    def one_step(step):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(1, step / steps)))
        random = np.random.RandomState(step)
        chosen = random.randint(0, FACES, BATCH)
        x, noise = latents[chosen], torch.randn(BATCH, 4, 8, 8, device=DEVICE)
        times = torch.randint(0, 1000, (BATCH,), device=DEVICE)
        asked = ["" if random.rand() < WITHOUT_CAPTION else random.choice(faces.PROMPTS).format(captions[i]) for i in chosen]
        tokens = words(asked, padding="max_length", max_length=77, return_tensors="pt").input_ids.to(DEVICE)  # [BATCH, 77]
        with autocast():
            text = modules["text_encoder"](tokens).last_hidden_state
            predicted = modules["unet"](noising.add_noise(x, noise, times), times, text).sample.float()
        loss = (weight[times] * (predicted - noise).square().mean(dim=(1, 2, 3))).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return dict(loss=loss.item())

    training.run(steps, one_step)
    training.record()
    print(f"{training.seconds / 60:.1f} minutes")


def trained_parts() -> tuple[UNet2DConditionModel, CLIPTextModel, CLIPTokenizer]:
    """The averaged UNet and text encoder of the checkpoint, and the tokenizer."""
    words = tokenizer()
    modules = dict(unet=UNet2DConditionModel(**UNET_CONFIG).to(DEVICE), text_encoder=text_encoder(words).to(DEVICE))
    training = Training("stable_diffusion", modules, {}, decay=dict.fromkeys(modules, 0.998))
    if not training.step:
        raise SystemExit("there is no trained UNet yet: python training/train_stable_diffusion.py")
    unet, text = (training.averages[name].module.eval().requires_grad_(False) for name in ("unet", "text_encoder"))
    return unet, text, words


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    main(parser.parse_args().steps)
