"""Layers of diffusers' UNets and autoencoders, quicker on CPUs: Winograd's convolutions, fewer passes over maps.

All maps are kept in channels_last, the layout of `convolve`. Nothing that is derived from weights is kept, so
they may be moved, cast, trained or given LoRA layers at any time: where `_suits` says no, the library's own
`forward` is called.
"""
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import chain
from statistics import median

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from genlib.models.stylegan2 import winograd

LARGEST = dict(pixels=1024, channels=320)  # of a result that is timed: with more of them, what is quicker stays quicker
ROUNDS = 3  # of timing
PAYS_BELOW = 0.95  # of the time of torch's own convolution: less of a gain may be noise
BATCHES = 1, 2  # of a UNet: without and with guidance


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """conv2d(x, kernel, bias, padding=1) in a quarter of the multiplications, in channels_last."""
    if x.shape[2] % 4 or x.shape[3] % 4:
        return _by_torch(x, kernel, bias)
    y = winograd.convolve(x, kernel)
    return y if bias is None else y.add_(bias[:, None, None])


def normalise(layer: nn.GroupNorm, x: Tensor, silu: bool = False) -> Tensor:
    """Group normalisation, then SiLU if asked for."""
    x = nn.GroupNorm.forward(layer, x)
    return F.silu(x, inplace=True) if silu else x


def _by_torch(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(x, kernel, bias, padding=1)


def _by_product(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """As one matrix product: on small maps, torch spends most of its time on rearranging the kernel."""
    patches = F.unfold(x, 3, padding=1).mT.flatten(0, 1)  # [N H W, 9 C]
    return F.linear(patches, kernel.flatten(1), bias).view(len(x), *x.shape[2:], len(kernel)).permute(0, 3, 1, 2)


# --- what is quickest

@cache
def quickest(C: int, rows: int, W: int, K: int) -> Callable:
    """The quickest way here to convolve maps of C channels and rows x W pixels (of all maps) into K channels."""
    x, kernel, bias = torch.ones(1, C, rows, W).contiguous(memory_format=torch.channels_last), torch.ones(K, C, 3, 3), torch.ones(K)
    times = {way: [] for way in (_by_torch, _by_product, convolve)}
    for turn in range(1 + ROUNDS):
        for way, taken in times.items():
            start = time.perf_counter()
            way(x, kernel, bias)
            taken += [time.perf_counter() - start] * (turn > 0)  # the first is for warming up
    best = min(times, key=lambda way: median(times[way]))
    return best if median(times[best]) < PAYS_BELOW * median(times[_by_torch]) else _by_torch


def _way(shape: torch.Size, K: int) -> Callable:
    """`quickest` for maps [N, C, H, W] into K channels."""
    N, C, H, W = shape
    rows = min(N * H, -(-LARGEST["pixels"] // W // 4) * 4)
    return quickest(C, rows, W, min(K, LARGEST["channels"]))


def _suits(layer: nn.Module, *inputs: Tensor) -> bool:
    """Whether plain float32 numbers on the CPU are asked for, and nothing else of torch takes part."""
    tensors = [*inputs, *layer.parameters()]
    usual = all(t.device.type == "cpu" and t.dtype == torch.float32 and t.layout == torch.strided for t in tensors)
    gradients = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    watched = (_get_current_dispatch_mode() is not None or torch.compiler.is_compiling() or torch.jit.is_tracing()
               or torch.is_autocast_enabled("cpu"))
    return usual and not gradients and not watched and not layer.training


def _is_3x3(layer: nn.Conv2d) -> bool:
    how = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode
    return how == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros") and layer.in_channels % 16 == layer.out_channels % 32 == 0


# --- forwards

def _conv2d(layer: nn.Conv2d, x: Tensor) -> Tensor:
    if not (x.ndim == 4 and _suits(layer, x)):
        return nn.Conv2d.forward(layer, x)
    x = x.contiguous(memory_format=torch.channels_last)
    if not (_is_3x3(layer) and layer.weight.is_contiguous()):
        return nn.Conv2d.forward(layer, x)
    return _way(x.shape, layer.out_channels)(x, layer.weight, layer.bias)


def _group_norm(layer: nn.GroupNorm, x: Tensor) -> Tensor:
    return normalise(layer, x) if x.ndim == 4 and _suits(layer, x) else nn.GroupNorm.forward(layer, x)


def _residual(block: ResnetBlock2D, x: Tensor, temb: Tensor | None = None, *others, **more) -> Tensor:
    """As in the library, but with SiLU in the pass before it, sums in place, and no division by 1."""
    plain = block.time_embedding_norm == "default" and not block.skip_time_act and block.upsample is block.downsample is None
    norms = type(block.norm1) is type(block.norm2) is nn.GroupNorm
    if not (plain and norms and type(block.nonlinearity) is nn.SiLU and _suits(block, x, *[] if temb is None else [temb])):
        return ResnetBlock2D.forward(block, x, temb, *others, **more)
    h = block.conv1(normalise(block.norm1, x, silu=True))
    if block.time_emb_proj is not None:
        temb = block.time_emb_proj(F.silu(temb))[:, :, None, None]
    if temb is not None:
        h.add_(temb)
    h = block.conv2(normalise(block.norm2, h, silu=True))
    h.add_(x if block.conv_shortcut is None else block.conv_shortcut(x))
    return h if block.output_scale_factor == 1 else h.div_(block.output_scale_factor)


def _gated(layer: GEGLU, x: Tensor, *others, **more) -> Tensor:
    """The products of the gate and of what passes it, with GELU and the multiplication in them (oneDNN)."""
    linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if not (linear and type(layer.proj) is nn.Linear and layer.proj.bias is not None and _suits(layer, x)):
        return GEGLU.forward(layer, x, *others, **more)
    (kernel, gate_kernel), (bias, gate_bias) = layer.proj.weight.chunk(2), layer.proj.bias.chunk(2)
    gate = linear(x, gate_kernel, gate_bias, "gelu", [], "none")
    return linear.binary(x, gate, kernel, bias, "mul")


FORWARDS = {nn.Conv2d: _conv2d, nn.GroupNorm: _group_norm, ResnetBlock2D: _residual, GEGLU: _gated}


# --- networks

def quicken(network: UNet2DConditionModel | AutoencoderKL) -> bool:
    """Replace the `forward` of layers, if at the network's own size Winograd is quicker for one of them.

    Returns whether it is. Each size is decided once, by timing; others than the network's own when they are met.
    """
    unet = isinstance(network, UNet2DConditionModel)
    shapes = {(batch, *rest) for _, *rest in _shapes(network) for batch in (BATCHES if unet else [1])}
    if convolve not in [_way(shape, K) for *shape, K in sorted(shapes)]:
        return False
    for layer in network.modules():
        if type(layer) in FORWARDS:
            layer.forward = partial(FORWARDS[type(layer)], layer)
    for part in [network] if unet else [network.encoder, network.decoder]:
        if isinstance(part.conv_act, nn.SiLU):
            part.conv_act.inplace = True
    return True


def _shapes(network: UNet2DConditionModel | AutoencoderKL) -> set[tuple]:
    """(N, C, H, W, K) of the 3x3 convolutions while one picture is drawn, found on tensors without data."""
    config, found = network.config, set()
    size = config.sample_size if isinstance(config.sample_size, (list, tuple)) else [config.sample_size] * 2
    if isinstance(network, AutoencoderKL):
        part, channels = network.decoder, config.latent_channels
        size = [side // 2 ** (len(config.block_out_channels) - 1) for side in size]
        inputs = []
    else:
        part, channels = network, config.in_channels
        width = config.cross_attention_dim
        inputs = [0, torch.empty(1, 77, width if isinstance(width, int) else max(width), device="meta")]
    def see(layer, inputs):
        found.add((*inputs[0].shape, layer.out_channels))

    hooks = [layer.register_forward_pre_hook(see) for layer in part.modules() if type(layer) is nn.Conv2d and _is_3x3(layer)]
    meta = {name: tensor.to("meta") for name, tensor in chain(part.named_parameters(), part.named_buffers())}
    try:
        torch.func.functional_call(part, meta, (torch.empty(1, channels, *size, device="meta"), *inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return found
