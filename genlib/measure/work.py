"""How much work a call is, and how fast this machine could do it: the two together say what share of the machine a model reaches."""
import inspect
import time
from contextlib import nullcontext
from functools import cache
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from genlib import device, runs

LONG_ENOUGH_S = 0.05  # a product or copy of this length is timed well
LARGEST = 8192  # rows of a matrix
COPIED_BYTES = 256 * 2**20
REPETITIONS = 7


def record_work(run: runs.Run, flops_per_image: float) -> None:
    """Keep in a run the work of an image (see `count_flops`) and the machine's rates in its model's dtype.

    To be done when everything is measured: the rates leave some work space behind (8 to 18 MB on a CPU), which later readings of
    memory would hold.
    """
    run.flops_per_image = flops_per_image
    run.machine.matmul_flops_per_s, run.machine.bandwidth_bytes_per_s = machine_rates(run.model.dtype if run.model else "float32")
    run.save()


def count_flops(generate) -> int:
    """Floating-point operations of one call: 2 for each multiplication with addition, in matrix products, convolutions, attention.

    Counted by torch while the call runs once more, apart from any timing. On a CPU the plain formulation of attention is forced,
    since torch counts nothing for the fused one.
    """
    plain_attention = sdpa_kernel(SDPBackend.MATH) if device.pick().type == "cpu" else nullcontext()
    with FlopCounterMode(display=False) as counter, plain_attention:
        takes_index(generate)(0)
    return counter.get_total_flops()


def takes_index(generate):
    """`generate` as a function of the iteration's index, whether it asks for the index, by a parameter without a default, or not."""
    asks = any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
               for p in inspect.signature(generate).parameters.values())
    return generate if asks else lambda index: generate()


@cache
def machine_rates(dtype: str = "float32") -> tuple[float | None, float | None]:
    """Floating-point operations and bytes a second that this machine reaches, now and in this process, once for each dtype.

    The first is a square matrix product's, made larger until it takes 50 ms; the second a copy's of 256 MiB, with what is read and
    what is written counted. Medians of 7. (None, None) if there is not enough memory. Takes about a second.
    """
    where, dtype = device.pick(), device.pick_dtype(dtype)
    try:
        return _matmul_rate(where, dtype), _copy_rate(where)
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        return None, None
    finally:
        if where.type == "cuda":
            torch.cuda.empty_cache()


def _matmul_rate(where: torch.device, dtype: torch.dtype) -> float:
    rows = 256
    while True:
        a = torch.ones(rows, rows, dtype=dtype, device=where)
        out = torch.empty_like(a)
        _time(torch.mm, a, a, out=out)  # the first of a size sets itself up
        if _time(torch.mm, a, a, out=out) >= LONG_ENOUGH_S or rows == LARGEST:
            return 2 * rows**3 / median(_time(torch.mm, a, a, out=out) for _ in range(REPETITIONS))
        rows *= 2


def _copy_rate(where: torch.device) -> float:
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device=where)
    target = torch.ones_like(source)
    return 2 * COPIED_BYTES / median(_time(target.copy_, source) for _ in range(REPETITIONS))


def _time(function, *arguments, **keywords) -> float:
    device.synchronize()
    start = time.perf_counter()
    function(*arguments, **keywords)
    device.synchronize()
    return time.perf_counter() - start
