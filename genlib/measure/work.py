"""How much work a call is and how fast this machine could do it: together, the share that a model reaches."""
import inspect
import time
import warnings
from contextlib import nullcontext
from functools import cache
from math import ceil
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from genlib import device, progress, runs

LONG_ENOUGH_S = 0.05  # of one timing: in a shorter one the cost of reading the clock would show
LARGE_ENOUGH_S = 0.01  # of one matrix product: a larger one is hardly quicker for its size, and takes eight times as long
LARGEST = 8192  # rows of a matrix
COPIED_BYTES = 256 * 2**20
REPETITIONS = 7


def record_work(run: runs.Run, flops_per_image: float) -> None:
    """Save in a run the work of an image (see `count_flops`) and the machine's rates in its model's dtype.

    Call it when everything is measured: measuring the rates leaves some work space in use (8 to 18 MB on a
    CPU), which later readings of memory would include.
    """
    run.flops_per_image = flops_per_image
    with progress.Task("measures the machine's rates"):
        run.machine.matmul_flops_per_s, run.machine.bandwidth_bytes_per_s = machine_rates(run.model.dtype if run.model else "float32")
    run.save()


def count_flops(generate) -> int:
    """Floating-point operations of one call in matrix products, convolutions and attention.

    Torch counts them, 2 for each multiplication with its addition, while the call runs once more, untimed.
    Divide by the batch size for one image. Torch does not see into attention fused for devices other than
    CUDA, nor into the fused layers of torch.nn.TransformerEncoder, so their plain form is computed instead.
    Warns if nothing was counted.
    """
    plain_attention = nullcontext() if device.pick().type == "cuda" else sdpa_kernel(SDPBackend.MATH)
    fused_layers = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with progress.Task("counts the operations of a call"), FlopCounterMode(display=False) as counter, plain_attention:
            takes_index(generate)(0)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_layers)
    if not counter.get_total_flops():
        warnings.warn("no matrix product, convolution or attention was counted: the call makes none, or by operations of its own "
                      "that torch does not know", stacklevel=2)
    return counter.get_total_flops()


def takes_index(generate):
    """`generate` as a function of the index, passed on only if it has a parameter without a default."""
    asks = any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
               for p in inspect.signature(generate).parameters.values())
    return generate if asks else lambda index: generate()


def machine_rates(dtype: str = "float32") -> tuple[float | None, float | None]:
    """Floating-point operations and bytes a second that this process reaches on this machine, as set now.

    The first is the rate of a square matrix product, enlarged until it takes 10 ms or has 8192 rows. The
    second is that of a copy of 256 MiB, counting both what is read and what is written. Anything shorter than
    50 ms is repeated within one timing; each rate is the median of 7. They take about a second and are
    measured once for each dtype, number of threads and precision. (None, None) if there is not enough memory.
    dtype: "mixed" counts as float16, which it is in the blocks that do most of the work.
    """
    where, dtype = device.pick(), device.pick_dtype("float16" if dtype == "mixed" else dtype)
    settings = (torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32)
    return _rates(where, dtype, settings)


@cache
def _rates(where: torch.device, dtype: torch.dtype, settings: tuple) -> tuple[float | None, float | None]:
    try:
        return _matmul_rate(where, dtype), _copy_rate(where)
    except Exception as error:
        if not device.is_out_of_memory(error):
            raise
        return None, None
    finally:
        device.free_memory()


def _matmul_rate(where: torch.device, dtype: torch.dtype) -> float:
    rows = 256
    while True:
        # Random numbers, as in a model: equal ones would save the GPU power, and so raise its clock.
        a = torch.randn(rows, rows, device=where).to(dtype)
        out = torch.empty_like(a)
        once_s = min(seconds(torch.mm, a, a, out=out) for _ in range(3))  # the first call with a size sets things up
        if once_s >= LARGE_ENOUGH_S or rows == LARGEST:
            return 2 * rows**3 / _median_time(once_s, torch.mm, a, a, out=out)
        rows *= 2


def _copy_rate(where: torch.device) -> float:
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device=where)
    target = torch.ones_like(source)
    once_s = min(seconds(target.copy_, source) for _ in range(3))
    return 2 * COPIED_BYTES / _median_time(once_s, target.copy_, source)


def _median_time(once_s: float, function, *arguments, **keywords) -> float:
    """Seconds of one call, which is repeated within each timing to make that long enough."""
    times = ceil(LONG_ENOUGH_S / once_s)
    return median(seconds(function, *arguments, times=times, **keywords) for _ in range(REPETITIONS)) / times


def seconds(function, *arguments, times: int = 1, **keywords) -> float:
    """Seconds that `times` calls take, from a device at rest to a device at rest."""
    device.synchronize()
    start = time.perf_counter()
    for _ in range(times):
        function(*arguments, **keywords)
    device.synchronize()
    return time.perf_counter() - start
