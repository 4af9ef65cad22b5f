"""Layers of diffusers' UNets and autoencoders, quicker on CPUs: Winograd's convolutions, oneDNN's products,
fewer passes.

All maps are kept in channels_last, the layout of `native`. Nothing that is derived from weights is kept, so
they may be moved, cast, trained or given LoRA layers at any time: where `native.is_plain` says no, the
library's own `forward` is called.
"""
import time
from contextlib import contextmanager
from functools import partial
from itertools import chain
from statistics import median

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from genlib.models import native
from genlib.models.stylegan2 import winograd

# Channels, pixels, channels of the result: with more of them, what is quicker stays quicker.
LARGEST_TIMED = 512, 1024, 256
ROUNDS = 3  # of timing
PAYS_BELOW = 0.95  # of the time of torch's own convolution: less of a gain may be noise
BATCHES = 1, 2  # of a UNet: without and with guidance

onednn_linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)  # not for every processor


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, residual: Tensor | None = None) -> Tensor:
    """conv2d(x, kernel, bias, padding=1) + residual by Winograd's algorithm, in channels_last."""
    if native.available():
        return native.convolve(x, kernel, bias, residual)
    y = F.conv2d(x, kernel, padding=1) if x.shape[2] % 4 or x.shape[3] % 4 else winograd.convolve(x, kernel)
    for more in (None if bias is None else bias[:, None, None]), residual:
        y = y if more is None else y.add_(more)
    return y


def normalise(layer: nn.GroupNorm, x: Tensor, silu: bool = False) -> Tensor:
    """Group normalisation, then SiLU if asked for."""
    if native.available() and x.shape[1] == layer.num_channels and layer.num_channels % 16 == 0:
        return native.norm(x, layer.num_groups, layer.weight, layer.bias, layer.eps, silu)
    x = nn.GroupNorm.forward(layer, x)
    return F.silu(x, inplace=True) if silu else x


_decided: dict[tuple[int, ...], bool] = {}  # of (C, rows, W, K): see `wins`
_told = False  # whether the decisions came from elsewhere, so that nothing is timed any more


def chosen() -> list[list[int]]:
    """What has been found to pay in this process, or was told to, as JSON keeps it: [C, rows, W, K] each.

    Only where the kernels in C are: what torch does in their place gives other pictures.
    """
    return sorted(list(shape) for shape, pays in _decided.items() if pays) if native.available() else []


def choose(shapes: list[list[int]]) -> None:
    """Take these decisions instead of timing; what they do not name is left to torch."""
    global _told
    _told = True
    _decided.clear()
    _decided.update({tuple(shape): True for shape in shapes} if native.available() else {})


@contextmanager
def restored():
    """On leaving, forget what was decided within, by timing or by `choose`: later networks are timed anew."""
    global _told
    decided, told = dict(_decided), _told
    try:
        yield
    finally:
        _decided.clear()
        _decided.update(decided)
        _told = told


def wins(*shape: int) -> bool:
    """Whether `convolve` is quicker here than torch, from C channels of rows x W pixels to K: timed once."""
    if shape not in _decided:
        _decided[shape] = not _told and _is_quicker(*shape)
    return _decided[shape]


def _is_quicker(C: int, rows: int, W: int, K: int) -> bool:
    x, kernel, bias = (torch.ones(shape, **native.NUMBERS) for shape in ([1, C, rows, W], [K, C, 3, 3], [K]))
    x = x.contiguous(memory_format=torch.channels_last)
    times = {call: [] for call in (partial(F.conv2d, padding=1), convolve)}
    for turn in range(1 + ROUNDS):
        for call, taken in times.items():
            start = time.perf_counter()
            call(x, kernel, bias)
            if turn:  # the first is for warming up
                taken.append(time.perf_counter() - start)
    own, ours = map(median, times.values())
    return ours < PAYS_BELOW * own


def _pays(N: int, C: int, H: int, W: int, K: int) -> bool:
    channels, pixels, results = LARGEST_TIMED
    return wins(min(C, channels), min(N * H, max(8, pixels // W)), W, min(K, results))  # a tile has 4 rows


def _suits(layer: nn.Module, *inputs: Tensor) -> bool:
    return native.is_plain(*inputs, *layer.parameters()) and not layer.training


def _is_untouched(*layers: nn.Module) -> bool:
    """Whether nothing but its class and this file says what each of these layers does.

    Hooks, and a `forward` of somebody else's such as a LoRA's, need the layer to be called.
    """
    def is_ours(forward) -> bool:
        return isinstance(forward, partial) and forward.func in FORWARDS.values()

    return not any(layer.training or layer._forward_hooks or layer._forward_pre_hooks
                   or "forward" in vars(layer) and not is_ours(layer.forward) for layer in layers)


def _is_3x3(layer: nn.Module) -> bool:
    if type(layer) is not nn.Conv2d or "_conv_forward" in vars(layer):  # replaced by those who want seamless pictures
        return False
    how = layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode
    return how == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros") and native.fits(*layer.weight.shape[1::-1])


def _conv2d(layer: nn.Conv2d, input: Tensor, residual: Tensor | None = None) -> Tensor:
    if not (input.ndim == 4 and input.numel() and _suits(layer, input)):
        y = nn.Conv2d.forward(layer, input)
    elif _is_3x3(layer) and input.shape[1] == layer.weight.shape[1] and _pays(*input.shape, layer.out_channels):
        return convolve(input, layer.weight, layer.bias, residual)
    else:
        # For channels_last, torch takes twice as long to rearrange a large kernel.
        rearranged = layer.kernel_size != (1, 1) and layer.weight.numel() > input.numel()
        input = input.contiguous(memory_format=torch.contiguous_format if rearranged else torch.channels_last)
        y = nn.Conv2d.forward(layer, input).contiguous(memory_format=torch.channels_last)
    return y if residual is None else y + residual


def _group_norm(layer: nn.GroupNorm, input: Tensor) -> Tensor:
    suits = input.ndim == 4 and input.numel() and _suits(layer, input)
    return normalise(layer, input) if suits else nn.GroupNorm.forward(layer, input)


def _residual(block: ResnetBlock2D, input_tensor: Tensor, temb: Tensor | None = None, *others, **more) -> Tensor:
    """As in the library, but SiLU goes with the normalisation and the last sum with the convolution."""
    added = block.time_embedding_norm == "default" or temb is None and block.time_embedding_norm != "scale_shift"
    known = added and not block.skip_time_act and block.upsample is block.downsample is None
    parts = [block.norm1, block.norm2, block.nonlinearity, block.conv2]
    usual = known and [*map(type, parts)] == [nn.GroupNorm, nn.GroupNorm, nn.SiLU, nn.Conv2d] and block.output_scale_factor == 1
    plain = input_tensor.numel() and _suits(block, input_tensor, *[] if temb is None else [temb])
    if not (usual and plain and _is_untouched(*parts, block.conv1, block.dropout)):
        return ResnetBlock2D.forward(block, input_tensor, temb, *others, **more)
    h = block.conv1(normalise(block.norm1, input_tensor, silu=True))
    if block.time_emb_proj is not None:
        temb = block.time_emb_proj(F.silu(temb))[:, :, None, None]
    h = h if temb is None else h.add_(temb)
    h = normalise(block.norm2, h, silu=True)
    return _conv2d(block.conv2, h, input_tensor if block.conv_shortcut is None else block.conv_shortcut(input_tensor))


def _gated(layer: GEGLU, hidden_states: Tensor, *others, **more) -> Tensor:
    """As in the library, but GELU goes with one product and the multiplication with the other (oneDNN)."""
    usual = type(layer.proj) is nn.Linear and layer.proj.bias is not None and _is_untouched(layer.proj)
    if not (usual and _linear_suits(layer.proj, hidden_states)):
        return GEGLU.forward(layer, hidden_states, *others, **more)
    (kernel, gate_kernel), (bias, gate_bias) = layer.proj.weight.chunk(2), layer.proj.bias.chunk(2)
    gate = onednn_linear(hidden_states, gate_kernel, gate_bias, "gelu", [], "none")
    return onednn_linear.binary(hidden_states, gate, kernel, bias, "mul")


def _linear_suits(layer: nn.Linear, x: Tensor) -> bool:
    """Whether oneDNN can take this. It reads a bias as if it were contiguous and of one number a channel."""
    bias, (channels, inputs) = layer.bias, layer.weight.shape
    good = bias is None or list(bias.shape) == [channels] and bias.is_contiguous()
    there = onednn_linear is not None and torch.backends.mkldnn.enabled
    return there and good and x.ndim > 1 and x.numel() > 0 and x.shape[-1] == inputs and _suits(layer, x)


def _linear(layer: nn.Linear, input: Tensor) -> Tensor:
    """By oneDNN, which takes the bias along and is quicker than torch's own products."""
    if not _linear_suits(layer, input):
        return nn.Linear.forward(layer, input)
    return onednn_linear(input, layer.weight, layer.bias, "none", [], "")


# What a UNet adds to the step, for SDXL its size and second text, changes no shape.
NO_MORE_INPUTS = dict(get_class_embed=lambda **_: None, get_aug_embed=lambda **_: None,
                      process_encoder_hidden_states=lambda encoder_hidden_states, **_: encoder_hidden_states)
# Their inputs have the names by which the library may be given them.
FORWARDS = {nn.Conv2d: _conv2d, nn.GroupNorm: _group_norm, ResnetBlock2D: _residual, GEGLU: _gated, nn.Linear: _linear}


def quicken(network: UNet2DConditionModel | AutoencoderKL) -> bool:
    """Replace the `forward` of layers, if for one of them Winograd is quicker at the network's own size.

    Returns whether it is, which is timed: here, and for another size when it is met.
    """
    unet = isinstance(network, UNet2DConditionModel)
    shapes = sorted((batch, *rest) for _, *rest in _shapes(network) for batch in (BATCHES if unet else [1]))
    if not any([_pays(*shape) for shape in shapes]):
        return False
    for layer in network.modules():
        if type(layer) in FORWARDS:
            layer.forward = partial(FORWARDS[type(layer)], layer)
    return True


def _shapes(network: UNet2DConditionModel | AutoencoderKL) -> set[tuple]:
    """(N, C, H, W, K) of the 3x3 convolutions while one picture is drawn, found on tensors without data.

    None of a network without a size, or of a kind that needs more than a sample, a step and a text.
    """
    config, found, empty = network.config, set(), partial(torch.empty, dtype=network.dtype, device="meta")
    size = config.sample_size if isinstance(config.sample_size, (list, tuple)) else [config.sample_size] * 2
    if isinstance(network, AutoencoderKL):
        part, channels, inputs, factor = network.decoder, config.latent_channels, [], 2 ** (len(config.block_out_channels) - 1)
    else:
        part, channels, width, factor = network, config.in_channels, config.cross_attention_dim, 1
        inputs = [0, empty(1, 77, width if isinstance(width, int) else max(width))]
    hooks = [layer.register_forward_pre_hook(lambda layer, inputs: found.add((*inputs[0].shape, layer.out_channels)))
             for layer in filter(_is_3x3, part.modules())]
    meta = {name: tensor.to("meta") for name, tensor in chain(part.named_parameters(), part.named_buffers())}
    vars(part).update(NO_MORE_INPUTS)
    try:
        torch.func.functional_call(part, meta, (empty(1, channels, *(side // factor for side in size)), *inputs))
    except (RuntimeError, TypeError, ValueError):
        return set()
    finally:
        for name in NO_MORE_INPUTS:
            del vars(part)[name]
        for hook in hooks:
            hook.remove()
    return found
