"""Draw with a loaded model, for tests that compare pictures."""
import numpy as np
import torch

from genlib.models import images, stable_diffusion


def draw(pipe, prompt="", batch=1, steps=4, **options):
    latents = stable_diffusion.random_latents(pipe, batch_size=batch)
    return pipe(prompt=[prompt] * batch, latents=latents, num_inference_steps=steps, **options).images


def face(G, seed=0, psi=0.7):
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, G.z_dim))
    with torch.inference_mode():
        return images.to_pil(G(z, None, truncation_psi=psi, noise_mode="const"))[0]
