"""The StyleGAN2-ADA generator itself: a latent vector in, an image out.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (arXiv:1912.04958) and "Training
Generative Adversarial Networks with Limited Data" (arXiv:2006.06676), both 2020. Weights and settings have
the names that they have in the published files.

    z [N, z_dim] -> Mapping -> ws [N, num_ws, w_dim] -> Synthesis: blocks b4, b8, ... bR -> image [N, C, R, R]

Nothing derived from the weights is kept. Each call computes it again, in about 3 % of its time, so the
weights may be loaded, moved, cast or trained at any time.
"""

from itertools import pairwise
from math import log2, sqrt
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from genlib.models.stylegan2.layers import ACTIVATIONS, Dense, Shortcut, StyledConv, ToRGB, add
from genlib.models.stylegan2.low_pass import TAPS, low_pass, upsample2

# The settings where a file gives none. A width of None means w_dim. Without w_avg_beta there is no
# w_avg, and so no truncation. Resolution r has min(channel_base // r, channel_max) channels. The
# num_fp16_res highest resolutions run in float16. fp16_channels_last is accepted but ignored, since
# every map is channels_last here.
MAPPING_DEFAULTS = dict(num_layers=8, embed_features=None, layer_features=None, activation="lrelu", lr_multiplier=0.01, w_avg_beta=0.995)
SYNTHESIS_DEFAULTS = dict(architecture="skip", channel_base=32768, channel_max=512, kernel_size=3, use_noise=True, activation="lrelu")
SYNTHESIS_DEFAULTS |= dict(num_fp16_res=0, resample_filter=TAPS, conv_clamp=None, fp16_channels_last=False)


def check(condition: bool, message: str):
    """Raises ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def read_settings(name: str, kwargs: dict | None, defaults: dict) -> SimpleNamespace:
    """The settings, those not given by default. Raises ValueError for an unknown keyword or activation."""
    settings = SimpleNamespace(**(defaults | (kwargs or {})))
    for key in vars(settings):
        check(key in defaults, f"{name} has no keyword {key!r}: choose among {', '.join(defaults)}.")
    check(settings.activation in ACTIVATIONS, f"activation is {settings.activation!r}: choose among {', '.join(ACTIVATIONS)}.")
    return settings


class Block(nn.Module):
    """One resolution r: takes the feature map and the image from r/2 to r (arXiv:1912.04958, figure 7)."""

    def __init__(self, r: int, last: bool, w_dim: int, img_channels: int, settings: SimpleNamespace):
        super().__init__()
        before, after = (min(settings.channel_base // size, settings.channel_max) for size in (r // 2, r))
        self.first, self.resnet = r == 4, r > 4 and settings.architecture == "resnet"
        self.makes_image = last or settings.architecture == "skip"
        if self.first:
            self.const = nn.Parameter(torch.randn(after, 4, 4))
        else:
            self.conv0 = StyledConv(before, after, w_dim, r, True, settings)
        self.conv1 = StyledConv(after, after, w_dim, r, False, settings)
        if self.makes_image:
            self.torgb = ToRGB(after, img_channels, w_dim, settings.conv_clamp)
        if self.resnet:
            self.skip = Shortcut(before, after, settings.resample_filter)
        self.register_buffer("resample_filter", low_pass(settings.resample_filter))

    def forward(self, x: Tensor | None, img: Tensor | None, ws: Tensor, noise_mode: str, dtype: torch.dtype):
        """x and img [N, ., r/2, r/2] or None, ws [N, 3, w_dim] (b4: 2) -> x and img [N, ., r, r].

        x is in `dtype`, img in float32.
        """
        *w_convs, w_image = ws.unbind(1)
        x = (self.const.expand(len(ws), -1, -1, -1) if self.first else x).to(dtype, memory_format=torch.channels_last)
        shortcut = self.skip(x) if self.resnet else None
        if not self.first:
            x = self.conv0(x, w_convs[0], noise_mode)
        x = self.conv1(x, w_convs[-1], noise_mode, sqrt(0.5) if self.resnet else 1.0)
        x = add(x, shortcut) if self.resnet else x
        if self.makes_image:
            y = self.torgb(x, w_image)
            img = y if img is None else add(upsample2(img, self.resample_filter), y)
        return x, img


class Mapping(nn.Module):
    """From the normally distributed z to the style vectors ws."""

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, num_ws: int, settings: SimpleNamespace):
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws = z_dim, c_dim, num_ws
        embedded, hidden = (w_dim if width is None else width for width in (settings.embed_features, settings.layer_features))
        if c_dim > 0:
            self.embed = Dense(c_dim, embedded)
        widths = [z_dim + embedded * (c_dim > 0), *[hidden] * (settings.num_layers - 1), w_dim]
        self.names = [f"fc{i}" for i in range(settings.num_layers)]
        for name, (before, after) in zip(self.names, pairwise(widths), strict=True):
            self.add_module(name, Dense(before, after, settings.activation, settings.lr_multiplier))
        self.register_buffer("w_avg", None if settings.w_avg_beta is None else torch.zeros(w_dim))

    def forward(self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1, truncation_cutoff: int | None = None) -> Tensor:
        """z [N, z_dim], c [N, c_dim] of any dtype and device -> ws [N, num_ws, w_dim] in float32.

        c is ignored if c_dim is 0, and z if z_dim is 0. Truncation moves the first `truncation_cutoff`
        vectors (None: all) towards the mean, to w_avg + psi (w - w_avg). Raises ValueError for a wrong shape,
        a missing label, a cutoff below 0, or truncation without w_avg.
        """
        if self.z_dim == 0:
            z = torch.zeros(0 if c is None else len(c), 0)
        check(z.shape[1:] == (self.z_dim,), f"z has shape {list(z.shape)}: pass [N, {self.z_dim}].")
        device = self.fc0.weight.device
        w = F.rms_norm(z.to(device, torch.float32), [self.z_dim], eps=1e-8)  # divided by its root mean square
        if self.c_dim > 0:
            shape = None if c is None else list(c.shape)
            check(shape == [len(z), self.c_dim], f"c has shape {shape}: pass a label for each z, [{len(z)}, {self.c_dim}].")
            label = self.embed(c.to(device, torch.float32))
            w = torch.cat([w, F.rms_norm(label, label.shape[1:], eps=1e-8)], 1)
        for name in self.names:
            w = getattr(self, name)(w)
        if truncation_psi == 1:
            return w[:, None].repeat(1, self.num_ws, 1)
        check(truncation_cutoff is None or truncation_cutoff >= 0,
              f"truncation_cutoff is {truncation_cutoff}: pass how many of the {self.num_ws} vectors to truncate, or None for all.")
        check(self.w_avg is not None, f"truncation_psi is {truncation_psi}, but the network has no w_avg: pass 1.")
        drawn, cutoff = self.w_avg.float().lerp(w, truncation_psi), self.num_ws if truncation_cutoff is None else truncation_cutoff
        return torch.stack([drawn if j < cutoff else w for j in range(self.num_ws)], 1)


class Synthesis(nn.Module):
    """From the style vectors to the image. Setting `force_fp32` keeps every call out of float16."""

    def __init__(self, w_dim: int, img_resolution: int, img_channels: int, settings: SimpleNamespace):
        super().__init__()
        levels = int(log2(img_resolution))
        self.w_dim, self.num_ws, self.force_fp32 = w_dim, 2 * levels - 2, False
        self.block_resolutions = [2**level for level in range(2, levels + 1)]
        self.lowest_fp16 = max(2 ** (levels + 1 - settings.num_fp16_res), 8)
        self.largest_map = min(settings.channel_base // img_resolution, settings.channel_max) * img_resolution**2
        for r in self.block_resolutions:
            self.add_module(f"b{r}", Block(r, r == img_resolution, w_dim, img_channels, settings))

    def save_passes(self) -> None:
        """From now on, go through maps and kernels less often, as is quicker on GPUs. Same pictures."""
        self.to(memory_format=torch.channels_last)  # once: convolutions would reorder their kernels in each call
        for layer in self.modules():
            if isinstance(layer, StyledConv):
                layer.save_passes()

    def use_winograd(self) -> None:
        """From now on, let the CPU's own kernels compute the layers that they can (genlib.models.native)."""
        for layer in self.modules():
            if isinstance(layer, StyledConv):
                layer.use_winograd()

    def forward(self, ws: Tensor, noise_mode: str = "random", force_fp32: bool = False) -> Tensor:
        """ws [N, num_ws, w_dim] of any dtype and device -> image [N, C, R, R], float32, nominally in [-1, 1].

        noise_mode: "random" (new in each call), "const" (the stored maps) or "none".
        force_fp32: all feature maps are float32. Otherwise they have the weights' dtype, but with float32
        weights the highest `num_fp16_res` resolutions are float16. Styles and the image are always float32.
        Raises ValueError for a wrong shape or mode.
        """
        check(ws.shape[1:] == (self.num_ws, self.w_dim), f"ws has shape {list(ws.shape)}: pass [N, {self.num_ws}, {self.w_dim}].")
        check(noise_mode in ("random", "const", "none"), f"noise_mode is {noise_mode!r}: choose among random, const, none.")
        weights = self.b4.const
        if len(ws) > 1 and weights.device.type == "cpu" and self.largest_map > 2**22:
            # The maps exceed the caches: sample by sample is faster (x1.1 at 512 px) and takes the
            # memory of one.
            return torch.cat([self(w, noise_mode, force_fp32) for w in ws.split(1)])
        ws, x, img = ws.to(weights.device, torch.float32), None, None
        for k, r in enumerate(self.block_resolutions):
            half = r >= self.lowest_fp16 and weights.dtype == torch.float32
            dtype = torch.float32 if force_fp32 or self.force_fp32 else torch.float16 if half else weights.dtype
            # conv0, conv1 and torgb take vectors 2k - 1, 2k and 2k + 1; torgb shares its own with
            # the next conv0.
            x, img = getattr(self, f"b{r}")(x, img, ws[:, max(2 * k - 1, 0) : 2 * k + 2], noise_mode, dtype)
        return img


class Generator(ModelMixin, ConfigMixin):
    """The whole network: `G(z, c)`, or in two steps, to edit style vectors: `G.synthesis(G.mapping(z, c))`.

    img_resolution: a power of two from 4 up.
    mapping_kwargs, synthesis_kwargs: what differs from MAPPING_DEFAULTS and SYNTHESIS_DEFAULTS.
    Raises ValueError for an unknown keyword or value. New weights are random, as at the start of training.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, z_dim, c_dim, w_dim, img_resolution, img_channels, mapping_kwargs=None, synthesis_kwargs=None):
        super().__init__()
        mapping = read_settings("mapping_kwargs", mapping_kwargs, MAPPING_DEFAULTS)
        synthesis = read_settings("synthesis_kwargs", synthesis_kwargs, SYNTHESIS_DEFAULTS)
        size, architecture = img_resolution, synthesis.architecture
        check(size >= 4 and size.bit_count() == 1, f"img_resolution is {size}: choose a power of two from 4 up.")
        check(architecture in ("skip", "resnet", "orig"), f"architecture is {architecture!r}: choose among skip, resnet, orig.")
        check(synthesis.kernel_size % 2 == 1, f"kernel_size is {synthesis.kernel_size}: choose an odd number.")
        check(z_dim + c_dim > 0, "z_dim and c_dim are both 0: choose an input for the network.")
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = Synthesis(w_dim, img_resolution, img_channels, synthesis)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(z_dim, c_dim, w_dim, self.num_ws, mapping)

    def forward(self, z, c=None, truncation_psi=1, truncation_cutoff=None, noise_mode="random", force_fp32=False) -> Tensor:
        """z [N, z_dim], c [N, c_dim] or None -> image [N, C, R, R], float32; as in Mapping and Synthesis."""
        return self.synthesis(self.mapping(z, c, truncation_psi, truncation_cutoff), noise_mode, force_fp32)
