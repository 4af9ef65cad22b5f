"""unCLIP, the architecture published for DALL-E 2, called as other pipelines are.

Ramesh et al. 2022 (arXiv:2204.06125); its open weights are Karlo's. A prior turns the prompt into a picture's
embedding, a decoder draws 64 x 64 pixels from it, and two networks enlarge them to 256 x 256.
"""
import numpy as np
import torch
from diffusers import UnCLIPPipeline

from genlib import device
from genlib.models import images

LEAST_STEPS = 2  # its scheduler divides by the steps less one
ENLARGING_STEPS = 7  # the pipeline's own number; the last of them is a network of its own
PRIOR_GUIDANCE = 4.0


def check_dtype(name: str, dtype: torch.dtype) -> None:
    """Raises ValueError for half precision on a CPU, where torch cannot enlarge the decoder's pictures."""
    if device.pick().type == "cpu" and dtype != torch.float32:
        raise ValueError(f"{name} enlarges its pictures in {str(dtype).removeprefix('torch.')}, which torch does on GPUs only: use "
                         "dtype='float32'")


class UnCLIP(UnCLIPPipeline):
    """The library's pipeline, with one number of steps and one guidance scale, and without its own bars."""

    def __call__(self, prompt, num_inference_steps: int = 25, guidance_scale: float = 8.0, generator=None, **options):
        """As UnCLIPPipeline; `num_inference_steps` (at least 2) of the prior and of the decoder each.

        guidance_scale: the decoder's; the prior's is 4, or that of the decoder if it is less.
        """
        steps = max(LEAST_STEPS, num_inference_steps)
        return super().__call__(
            prompt, generator=generator, prior_num_inference_steps=steps, decoder_num_inference_steps=steps,
            super_res_num_inference_steps=min(ENLARGING_STEPS, steps), decoder_guidance_scale=guidance_scale,
            prior_guidance_scale=min(PRIOR_GUIDANCE, guidance_scale), **options)

    @staticmethod
    def numpy_to_pil(pictures):
        """PIL pictures from [N, H, W, 3] in [0, 1], marked as `images.watch` marks those of others."""
        with np.errstate(invalid="ignore"):  # numpy's warning at NaN
            levels = (pictures * 255).round().astype("uint8")
        return images.from_levels(torch.from_numpy(levels), images.sums(torch.from_numpy(pictures)))


UnCLIP.__name__ = "UnCLIPPipeline"  # the class name that is saved
