"""The layers of the StyleGAN2-ADA generator: dense, modulated convolution, to RGB, shortcut.

Where autograd does not need a map, it is overwritten: on a CPU, fresh memory costs more than arithmetic.
"""
from math import inf, sqrt
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlib.models import native
from genlib.models.stylegan2 import winograd
from genlib.models.stylegan2.low_pass import TAPS, convolve_up, depthwise, folding, low_pass, upsample2

ACTIVATIONS = {  # name: (function of a map and of whether to overwrite it, gain that keeps the variance at 1)
    "linear": (lambda x, inplace: x, 1),
    "lrelu": (lambda x, inplace: F.leaky_relu(x, SLOPES["lrelu"], inplace), sqrt(2)),
    "relu": (F.relu, sqrt(2)),
    "swish": (F.silu, sqrt(2)),
    "tanh": (lambda x, inplace: torch.tanh(x), 1),
    "sigmoid": (lambda x, inplace: torch.sigmoid(x), 1),
    "elu": (lambda x, inplace: F.elu(x, 1.0, inplace), 1),
    "selu": (F.selu, 1),
    "softplus": (lambda x, inplace: F.softplus(x), 1),
}
SLOPES = {"linear": 1, "lrelu": 0.2}  # below 0, of the activations that are leaky ReLUs
HOMOGENEOUS = ("linear", "lrelu", "relu")  # f(g x) = g f(x) for g > 0, so the gain may come before the activation


def activate(x: Tensor, activation: str, gain: float, clamp: float | None = None) -> Tensor:
    """f(x) * gain, limited to [-clamp, clamp]. Overwrites x unless autograd needs it."""
    x = ACTIVATIONS[activation][0](x, not x.requires_grad)
    x = x if gain == 1 else x * gain
    if clamp is None:
        return x
    return x.clamp(-clamp, clamp) if x.requires_grad else x.clamp_(-clamp, clamp)


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y. Overwrites x unless autograd needs it."""
    return x + y if x.requires_grad else x.add_(y)


def _winograd_pays(x: Tensor, up: bool) -> bool:
    """Whether `native.convolve` is quicker here than torch, from measuring on processors with AVX512.

    Upsampling, it saves no multiplications, only passes over maps: that tells where channels are few.
    """
    return min(x.shape[2:]) >= 16 and (not up or x.shape[1] <= 128)


class Dense(nn.Module):
    """[N, in] -> [N, out], in float32: f(x (W m / sqrt(in))^T + b m) * gain, where m is the lr_multiplier."""

    def __init__(self, in_features: int, out_features: int, activation="linear", lr_multiplier=1.0, bias=0.0):
        super().__init__()
        self.activation, self.lr_multiplier = activation, lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias)))

    def forward(self, x: Tensor) -> Tensor:
        m = self.lr_multiplier
        x = torch.addmm(self.bias.float(), x, self.weight.float().T, beta=m, alpha=m / sqrt(x.shape[1]))
        return activate(x, self.activation, ACTIVATIONS[self.activation][1])


class StyledConv(nn.Module):
    """A convolution modulated by a style, then noise, bias and activation (arXiv:1912.04958, eq. 1 to 3).

    With style s and demodulation d, the kernel is W s d; or equally, the result is conv(x s, W) d.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up: bool, settings: SimpleNamespace):
        super().__init__()
        self.settings, self.up, self.fewer_passes, self.winograd = settings, up, False, False
        self.affine = Dense(w_dim, in_channels, bias=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, settings.kernel_size, settings.kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if settings.use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        # Files hold a filter even where nothing is resampled, and there it is always the default one.
        self.register_buffer("resample_filter", low_pass(settings.resample_filter if up else TAPS))
        self.register_buffer("folding", None, persistent=False)

    def use_winograd(self) -> None:
        """From now on, let the CPU's own kernels compute what they can. A filter loaded later is not seen."""
        default = low_pass(TAPS)
        same = self.resample_filter.shape == default.shape and torch.allclose(self.resample_filter.float(), default)
        self.winograd = self.settings.kernel_size == 3 and self.settings.activation in SLOPES and (same or not self.up)

    def save_passes(self) -> None:
        """From now on, go through maps less often: for GPUs. A filter loaded later is not seen."""
        self.fewer_passes = True
        if self.up and self.settings.kernel_size == 3 and len(self.resample_filter) <= 4:
            self.folding = folding(self.resample_filter)

    def forward(self, x: Tensor, w: Tensor, noise_mode: str = "random", extra_gain: float = 1.0) -> Tensor:
        """x [N, C, H, W], w [N, w_dim] -> [N, O, H, W], or [N, O, 2H, 2W] if it upsamples, in x's dtype."""
        N, dtype, activation, clamp = len(x), x.dtype, self.settings.activation, self.settings.conv_clamp
        s, W = self.affine(w), self.weight.float()  # [N, C], [O, C, K, K]
        if dtype == torch.float16:  # keeps products from overflowing; demodulation cancels both factors
            W = W / (sqrt(W[0].numel()) * W.abs().amax((1, 2, 3), keepdim=True))
            s = s / s.abs().amax(1, keepdim=True)
        if self.fewer_passes:  # sums of squares, without a copy of W; einsum takes a product of matrices for each, slow on GPUs
            W2 = torch.linalg.vector_norm(W, dim=(2, 3)).square()
        else:
            W2 = torch.einsum("ock,ock->oc", W.flatten(2), W.flatten(2))
        d = torch.rsqrt(s.square() @ W2.T + 1e-8)  # [N, O]
        gain = ACTIVATIONS[activation][1] * extra_gain
        early = gain if activation in HOMOGENEOUS else 1.0  # in d, bias and noise, so that the gain costs no pass over the map
        d, bias = d * early, (self.bias * early).to(dtype)[:, None, None]
        noise, limit = None, None if clamp is None else clamp * extra_gain
        if self.settings.use_noise and noise_mode != "none":  # one map for all channels; random noise differs by sample
            size = [n * (1 + self.up) for n in x.shape[2:]]
            noise = self.noise_const[None, None] if noise_mode == "const" else torch.randn(N, 1, *size, device=x.device)
            noise = (noise * (self.noise_strength * early)).to(dtype)
        if self.winograd and _winograd_pays(x, self.up) and native.takes(x, W, s, d, bias, *[] if noise is None else [noise]):
            return native.convolve(x, W, bias.flatten(), taps=tuple(TAPS) if self.up else None, scale_in=s, scale_out=d, noise=noise,
                                   slope=SLOPES[activation], limit=inf if limit is None else limit)
        if self.fewer_passes and noise is not None and len(noise) == 1:  # added with the bias, in channels_last: [1, O, H, W]
            bias, noise = (noise.permute(0, 2, 3, 1) + bias.flatten()).permute(0, 3, 1, 2), None
        # Two ways to the same result. A single sample gets a kernel W s d of its own: if the kernel is
        # smaller than the map, that saves two passes over the map. Otherwise all samples share W.
        if N == 1 and (x.numel() > W.numel() or dtype == torch.float16):  # float16: always, to round as the original does
            x = self.convolve(x, W * (d.T * s)[:, :, None, None], None if self.fewer_passes else bias.flatten())
            x = add(x, bias) if self.fewer_passes else x
        else:
            x, d = self.convolve(x * s[:, :, None, None].to(dtype), W), d[:, :, None, None].to(dtype)
            x = torch.addcmul(bias, x, d, out=None if x.requires_grad or torch.compiler.is_compiling() else x)
        x = x if noise is None else add(x, noise)
        return activate(x, activation, gain / early, limit)

    def convolve(self, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve; or, if the layer upsamples, upsample by 2 and convolve with the flipped kernel."""
        if self.folding is not None and x[:, 0].numel() >= x.shape[1]:  # with fewer pixels, folding would take longer than it saves
            return convolve_up(x, kernel, self.folding)
        kernel, K, t = kernel.to(x.dtype), kernel.shape[-1], len(self.resample_filter)
        if not self.up and winograd.pays(x, kernel):
            x = winograd.convolve(x, kernel)
            return x if bias is None else x.add_(bias[:, None, None])
        if not self.up:
            return F.conv2d(x, kernel, bias, padding=K // 2)
        # In the other order, with the same result: the kernel first, on the small map.
        x = F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2)  # [N, O, 2H + K - 2, 2W + K - 2]
        before, after = K // 2 + (t + 1) // 2 - (K - 1), K // 2 + (t - 2) // 2 - (K - 2)  # rows and columns of zeros to add
        if before != after or before < 0:
            x, before = F.pad(x, [before, after, before, after]), 0  # negative numbers crop
        return F.conv2d(x, depthwise(self.resample_filter, x).flip((2, 3)), bias, padding=before, groups=x.shape[1])


class ToRGB(nn.Module):
    """A modulated 1x1 convolution to the image's channels, without demodulation: a matrix product."""

    def __init__(self, in_channels: int, img_channels: int, w_dim: int, clamp: float | None):
        super().__init__()
        self.clamp = clamp
        self.affine = Dense(w_dim, in_channels, bias=1)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, C, H, W], w [N, w_dim] -> [N, img_channels, H, W] in float32"""
        size, s = x.shape[2:], self.affine(w) / sqrt(x.shape[1])  # [N, C]
        kernel = s[:, :, None] * self.weight.float().flatten(1).T  # [N, C, img_channels]
        x = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, H W, C]: a view, since x is channels_last
        x = torch.baddbmm(self.bias.to(x.dtype), x, kernel.to(x.dtype))  # [N, H W, img_channels]
        return activate(x, "linear", 1, self.clamp).transpose(1, 2).unflatten(2, size).float()


class Shortcut(nn.Module):
    """The linear branch of a residual block. [N, C, H, W] -> [N, O, 2H, 2W]"""

    def __init__(self, in_channels: int, out_channels: int, taps):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.register_buffer("resample_filter", low_pass(taps))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight * sqrt(0.5 / x.shape[1])
        return upsample2(F.conv2d(x, kernel.to(x.dtype)), self.resample_filter)
