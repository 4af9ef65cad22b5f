"""StyleGAN2's low-pass filter, which interpolates between the samples when upsampling.

Karras et al. 2018, "A Style-Based Generator Architecture for Generative Adversarial Networks"
(arXiv:1812.04948).
"""
import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = [1, 3, 3, 1]  # the default filter, in one dimension


def low_pass(taps) -> Tensor:
    """The filter as files hold it, with sum 1: [t, t], the outer product of the taps; [t] for 8 or more.

    A single number is one tap, and None is a tap of 1, which filters nothing.
    """
    taps = torch.tensor(1 if taps is None else taps, dtype=torch.float32).reshape(-1)
    taps = taps if len(taps) >= 8 else torch.outer(taps, taps)
    return taps / taps.sum()


def depthwise(taps: Tensor, x: Tensor) -> Tensor:
    """The filter as kernels [C, 1, t, t] for x's channels, times 4 to make up for zeros between samples."""
    taps = torch.outer(taps, taps) if taps.ndim == 1 else taps
    return (4 * taps).to(x.dtype).expand(x.shape[1], 1, -1, -1)


def pooled(x: Tensor, padding: int) -> Tensor:
    """[N, C, H, W] -> [N, C, H + 2 padding - 3, W + 2 padding - 3], filtered with 1, 3, 3, 1, times 4.

    Computed as three means over 2 x 2 pixels, since 1, 3, 3, 1 is 1, 1 convolved with itself twice.
    """
    x = F.avg_pool2d(x, 2, stride=1, padding=min(padding, 1))
    x = F.avg_pool2d(x, 2, stride=1, padding=max(padding - 1, 0))  # a second row of zeros has means of zero, so it can be added here
    return F.avg_pool2d(x, 2, stride=1, divisor_override=1)


def upsample2(x: Tensor, taps: Tensor) -> Tensor:
    """Zeros between the samples, then the low-pass filter. x [N, C, H, W] -> [N, C, 2H, 2W]"""
    (H, W), t = x.shape[2:], len(taps)
    crop = (t - 1) - (t + 1) // 2  # surplus rows at the top, and columns at the left, of the full convolution
    x = F.conv_transpose2d(x, depthwise(taps, x), stride=2, padding=max(crop, 0), groups=x.shape[1])
    x = F.pad(x, [1, 0, 1, 0]) if crop < 0 else x  # of one tap: the samples lie at odd positions
    return x[:, :, : 2 * H, : 2 * W]
