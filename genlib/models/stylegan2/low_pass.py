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


def folding(taps: Tensor) -> Tensor:
    """[36, 9]: makes four kernels of 3 x 3 out of one of 3 x 3 and a filter of at most 4 x 4 taps.

    Zeros between the samples, the filter and the kernel are one kernel of 6 x 6 over samples and zeros. An
    output at an even or odd row and column meets the samples at 9 of its 36 places.
    """
    t = len(taps)
    kernels = F.conv_transpose2d(torch.eye(9, device=taps.device).view(9, 1, 3, 3), 4 * taps.float()[None, None])
    kernels = F.pad(kernels, [2 - t // 2, 2 - (t + 1) // 2] * 2).view(9, 3, 2, 3, 2)  # [of 9, places, parities, places, parities]
    return kernels.flip(1, 3).permute(2, 4, 1, 3, 0).reshape(36, 9)


def convolve_up(x: Tensor, kernel: Tensor, folding: Tensor) -> Tensor:
    """Upsample by 2, filter and convolve, in one convolution with four outputs a pixel.

    x [N, C, H, W], kernel [K, C, 3, 3] of any dtype -> [N, K, 2H, 2W] in x's dtype, channels_last
    """
    (N, C, H, W), K = x.shape, len(kernel)
    kernels = torch.bmm(folding.to(kernel.dtype).expand(K, 36, 9), kernel.permute(0, 2, 3, 1).reshape(K, 9, C))
    kernels = kernels.view(K, 4, 9, C).transpose(0, 1).to(x.dtype, memory_format=torch.contiguous_format, copy=True)
    y = F.conv2d(x, kernels.view(4 * K, 3, 3, C).permute(0, 3, 1, 2), padding=1)  # [N, 4 K, H, W]
    y = y.permute(0, 2, 3, 1).contiguous().view(N, H, W, 2, 2 * K)
    if y.requires_grad or K % 2:
        y = y.transpose(2, 3).contiguous()
    else:  # torch reorders number by number: the larger the numbers, the fewer they are
        y = y.view(torch.float64).transpose(2, 3).contiguous().view(x.dtype)
    return y.view(N, 2 * H, 2 * W, K).permute(0, 3, 1, 2)


def upsample2(x: Tensor, taps: Tensor) -> Tensor:
    """Zeros between the samples, then the low-pass filter. x [N, C, H, W] -> [N, C, 2H, 2W]"""
    (H, W), t = x.shape[2:], len(taps)
    crop = (t - 1) - (t + 1) // 2  # surplus rows at the top, and columns at the left, of the full convolution
    x = F.conv_transpose2d(x, depthwise(taps, x), stride=2, padding=max(crop, 0), groups=x.shape[1])
    x = F.pad(x, [1, 0, 1, 0]) if crop < 0 else x  # of one tap: the samples lie at odd positions
    return x[:, :, : 2 * H, : 2 * W]
