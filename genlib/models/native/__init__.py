"""3x3 convolutions and group normalisation in C, for float32 maps on the CPU; see kernels.c.

    y = native.convolve(x, kernel, bias)            # conv2d with padding 1, a quarter of its multiplications
    y = native.norm(x, groups, weight, bias, eps)   # group_norm

Maps are given back in channels_last, and taken in it without a copy. `available()` says whether this machine
has the kernels, `takes(...)` whether they suit; autograd knows nothing of them.
"""
import ctypes
import threading
from functools import cache
from math import inf

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from genlib.models.native.library import library

SQUARE = 4  # pixels across a tile of results
GROUP = 14  # tiles whose values lie together; with AVX512 a matrix product keeps as many rows in registers
STRIP_FLOATS = 1_250_000  # of the values of a strip; more do not stay in the caches
POINTS = [0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)]  # and infinity; see kernels.c, which computes with these

_kept = threading.local()  # ctypes lets other threads of Python run meanwhile
_P, _N, _F = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_float


class _Convolution(ctypes.Structure):
    _fields_ = [*((name, _P) for name in ("x", "kernel", "y", "to_points", "scale_in", "scale_out", "bias", "noise", "residual", "work")),
                *((name, _N) for name in ("N", "H", "W", "C", "K", "phases", "noise_stride", "group", "groups")),
                ("slope", _F), ("limit", _F)]


class _Norm(ctypes.Structure):
    _fields_ = [*((name, _P) for name in ("x", "weight", "bias", "y", "sums")), *((name, _N) for name in ("N", "P", "C", "groups", "silu")),
                ("eps", _F)]


def available() -> bool:
    """Whether the kernels are there; the first call compiles them."""
    return library() is not None


def takes(x: Tensor, kernel: Tensor, *others: Tensor) -> bool:
    """Whether `convolve` takes a map [N, C, H, W] and a kernel [K, C, 3, 3], and nobody must see its work.

    others: what else goes into the result, and might need gradients.
    """
    K, C, *size = kernel.shape
    graph = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, kernel, *others))
    watched = torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None  # by a counter of operations, say
    plain = all(type(t.data) is Tensor and t.dtype == torch.float32 and t.device.type == "cpu" and t.numel() for t in (x, kernel))
    return plain and x.ndim == 4 and size == [3, 3] and C % 16 == K % 32 == 0 and not graph and not watched


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
    x, kernel = x.contiguous(memory_format=torch.channels_last), kernel.contiguous()
    y = torch.empty(N, K, up * H, up * W, memory_format=torch.channels_last)
    residual = None if residual is None else residual.contiguous(memory_format=torch.channels_last)
    rest = {name: given.contiguous() for name, given in dict(bias=bias, scale_in=scale_in, scale_out=scale_out, noise=noise).items()
            if given is not None}
    given = rest | dict(x=x, kernel=kernel, y=y, to_points=_to_points(taps)) | ({} if residual is None else dict(residual=residual))
    tiles = N * -(-H // SQUARE) * -(-W // SQUARE)
    group = -(-tiles // -(-tiles // GROUP))
    groups = max(1, min(-(-tiles // group), STRIP_FLOATS // (36 * C * group)))
    asked = _Convolution(**{name: tensor.data_ptr() for name, tensor in given.items()}, N=N, H=H, W=W, C=C, K=K, phases=up * up,
                         noise_stride=0 if noise is None or len(noise) == 1 else noise[0].numel(), group=group, groups=groups, slope=slope,
                         limit=limit)
    asked.work = _workspace(library().winograd_floats(ctypes.byref(asked))).data_ptr()
    library().winograd(ctypes.byref(asked))
    return y


def norm(x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float, silu: bool = False) -> Tensor:
    """group_norm of x [N, C, H, W], C a multiple of 16, and silu after it where that is asked for."""
    N, C = x.shape[:2]
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.empty_like(x)
    inputs = {name: given.contiguous() for name, given in dict(weight=weight, bias=bias).items() if given is not None}
    asked = _Norm(x=x.data_ptr(), y=y.data_ptr(), **{name: given.data_ptr() for name, given in inputs.items()}, N=N,
                  P=x[0, 0].numel(), C=C, groups=groups, silu=silu, eps=eps)
    sums = torch.empty(library().norm_doubles(ctypes.byref(asked)), dtype=torch.float64)
    asked.sums = sums.data_ptr()
    library().norm(ctypes.byref(asked))
    return y


def _workspace(floats: int) -> Tensor:
    """Kept for the next call, since fresh memory costs time; a few MB a thread of the processor."""
    if getattr(_kept, "work", None) is None or _kept.work.numel() < floats:
        _kept.work = torch.empty(floats)
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
        return torch.tensor(np.stack([points, points])[None], dtype=torch.float32)
    parities = np.zeros([2, 3, 3])  # [parity, tap of the result, tap of the kernel]
    for parity, tap, place in np.ndindex(2, 3, 4):
        if 0 <= (from_ := place + parity - 2 * tap + 1) < 3:
            parities[parity, tap, from_] += 2 * taps[3 - place] / sum(taps)
    down, across = np.divmod(np.arange(4), 2)
    return torch.tensor(np.stack([points @ parities[down], points @ parities[across]], 1), dtype=torch.float32)
