"""3x3 convolutions and group normalisation in C, for float32 maps on the CPU; see the C files.

    y = native.convolve(x, kernel, bias)            # conv2d with padding 1, a quarter of its multiplications
    y = native.norm(x, groups, weight, bias, eps)   # group_norm

Maps are given back in channels_last, and taken in it without a copy. `available()` says whether this machine
has the kernels, `takes(...)` whether they suit; autograd knows nothing of them.
"""
import threading
from functools import cache
from math import inf

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _get_current_dispatch_mode

from genlib.models.native.library import library

SQUARE = 4  # pixels across a tile of results
GROUP = 14  # tiles whose values lie together; with AVX512 a matrix product keeps as many rows in registers
STRIP_FLOATS = 1_250_000  # of the values of a strip; more do not stay in the caches
POINTS = [0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)]  # and infinity; see winograd.c, which computes with these

NUMBERS = dict(dtype=torch.float32, device="cpu")  # whatever torch's defaults are

_kept = threading.local()  # a call in C lets other threads of Python run meanwhile


def _struct(pointers: str, sizes: str, floats: str) -> np.dtype:
    """A struct of the C files, in the order of its members."""
    kinds = (pointers, np.uintp), (sizes, np.intp), (floats, np.float32)
    return np.dtype([(name, kind) for names, kind in kinds for name in names.split()], align=True)


CONVOLUTION = _struct("x kernel y to_points scale_in scale_out bias noise residual work", "N H W C K phases noise_stride group groups",
                      "slope limit")
NORM = _struct("x weight bias y sums", "N P C groups silu", "eps")


def _filled(struct: np.dtype, given: dict[str, Tensor | None], **others) -> np.ndarray:
    """One such struct; a pointer to None is NULL. The tensors must outlive it."""
    filled = np.zeros(1, struct)
    for name, value in {**{name: tensor.data_ptr() for name, tensor in given.items() if tensor is not None}, **others}.items():
        filled[name] = value
    return filled


def available() -> bool:
    """Whether the kernels are there; the first call compiles them."""
    return library() is not None


def is_plain(*tensors: Tensor) -> bool:
    """Whether these are float32 numbers on the CPU, of which nothing of torch's needs to see the work."""
    if _is_watched():
        return False
    usual = all(type(t.data) is Tensor and t.device.type == "cpu" and t.dtype == torch.float32 and t.layout == torch.strided
                and not t.is_neg() for t in tensors)
    return usual and not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))


def _is_watched() -> bool:
    """Whether torch follows operations: compiles, counts, maps or derives them, or sets their precision."""
    return (torch.compiler.is_compiling() or torch.jit.is_tracing() or _get_current_dispatch_mode() is not None
            or torch.is_autocast_enabled("cpu") or peek_interpreter_stack() is not None or forward_ad._current_level >= 0)


def fits(C: int, K: int) -> bool:
    """Whether `convolve` can take C channels to K."""
    return C % 16 == K % 32 == 0 < K


def takes(x: Tensor, kernel: Tensor, *others: Tensor) -> bool:
    """Whether `convolve` takes a map [N, C, H, W], a kernel [K, C, 3, 3] and what else it is given."""
    K, C, *size = kernel.shape
    return size == [3, 3] and fits(C, K) and x.ndim == 4 and x.numel() > 0 and is_plain(x, kernel, *others)


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None = None, residual: Tensor | None = None, *, taps: tuple | None = None,
             scale_in: Tensor | None = None, scale_out: Tensor | None = None, noise: Tensor | None = None, slope: float = 1,
             limit: float = inf) -> Tensor:
    """conv2d(x, kernel, bias, padding=1) + residual, to about 1e-6 of a standard deviation.

    x [N, C, H, W], kernel [K, C, 3, 3], bias [K], residual as the result -> [N, K, H, W].
    taps: the four of a low-pass filter. The map is then upsampled by 2, convolved with the flipped kernel
    and filtered; the result is [N, K, 2H, 2W].
    scale_in [N, C], scale_out [N, K]: factors of x and of the convolution's result.
    noise: [1 or N, 1, R, R], as large as the result, added to each of its channels.
    slope, limit: leaky ReLU follows, and then the result is limited to [-limit, limit].
    """
    (N, C, H, W), K, up = x.shape, len(kernel), 1 if taps is None else 2
    of_noise = [1 if noise is None or len(noise) == 1 else N, 1, up * H, up * W]
    _check(kernel=(kernel, [K, C, 3, 3]), bias=(bias, [K]), residual=(residual, [N, K, up * H, up * W]), scale_in=(scale_in, [N, C]),
           scale_out=(scale_out, [N, K]), noise=(noise, of_noise))
    x, kernel = x.contiguous(memory_format=torch.channels_last), kernel.contiguous()
    y = torch.empty(N, K, up * H, up * W, **NUMBERS, memory_format=torch.channels_last)
    given = dict(x=x, kernel=kernel, y=y, to_points=_to_points(taps))
    given["residual"] = None if residual is None else residual.contiguous(memory_format=torch.channels_last)
    given |= {name: None if tensor is None else tensor.contiguous()
              for name, tensor in dict(bias=bias, scale_in=scale_in, scale_out=scale_out, noise=noise).items()}
    tiles = N * -(-H // SQUARE) * -(-W // SQUARE)
    group = -(-tiles // -(-tiles // GROUP))
    groups = max(1, min(-(-tiles // group), STRIP_FLOATS // (36 * C * group)))
    asked = _filled(CONVOLUTION, given, N=N, H=H, W=W, C=C, K=K, phases=up * up, group=group, groups=groups, slope=slope, limit=limit,
                    noise_stride=0 if noise is None or len(noise) == 1 else noise[0].numel())
    asked["work"] = _workspace(library().winograd_floats(asked.ctypes)).data_ptr()
    library().winograd(asked.ctypes)
    return y


def _check(**given: tuple[Tensor | None, list[int]]) -> None:
    """Raises ValueError unless each tensor has the shape beside it: C would read past its end."""
    for name, (tensor, shape) in given.items():
        if tensor is not None and list(tensor.shape) != shape:
            raise ValueError(f"{name} has the shape {list(tensor.shape)} where {shape} fits the map")


def norm(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float, silu: bool = False) -> Tensor:
    """group_norm of x [N, C, H, W], C a multiple of 16, and silu after it where that is asked for."""
    N, C = x.shape[:2]
    _check(weight=(weight, [C]), bias=(bias, [C]))
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.empty_like(x)
    given = dict(x=x, y=y) | {name: None if tensor is None else tensor.contiguous()
                              for name, tensor in dict(weight=weight, bias=bias).items()}
    asked = _filled(NORM, given, N=N, P=x[0, 0].numel(), C=C, groups=groups, silu=silu, eps=eps)
    sums = torch.empty(library().norm_doubles(asked.ctypes), dtype=torch.float64, device="cpu")
    asked["sums"] = sums.data_ptr()
    library().norm(asked.ctypes)
    return y


def _workspace(floats: int) -> Tensor:
    """Kept for the next call, since fresh memory costs time; a few MB a thread of the processor."""
    if getattr(_kept, "work", None) is None or _kept.work.numel() < floats:
        _kept.work = torch.empty(floats, **NUMBERS)
    return _kept.work


@cache
def _to_points(taps: tuple | None) -> Tensor:
    """[phases, 2, 6, 3]: from three taps of a kernel to its values at the points, down and across.

    Toom-Cook (arXiv:1803.10986, section 2). Where the map is upsampled, each parity of the row and of the
    column has taps of its own, of the kernel and the filter in one.
    """
    points = np.zeros([6, 3])
    for i, point in enumerate(POINTS):
        points[i] = point ** np.arange(3) / np.prod([point - other for other in POINTS if other != point])
    points[5, 2] = 1
    if taps is None:
        return torch.tensor(np.stack([points, points])[None], **NUMBERS)
    parities = np.zeros([2, 3, 3])  # [parity, tap of the result, tap of the kernel]
    for parity, tap, place in np.ndindex(2, 3, 4):
        if 0 <= (from_ := place + parity - 2 * tap + 1) < 3:
            parities[parity, tap, from_] += 2 * taps[3 - place] / sum(taps)
    down, across = np.divmod(np.arange(4), 2)
    return torch.tensor(np.stack([points @ parities[down], points @ parities[across]], 1), **NUMBERS)
