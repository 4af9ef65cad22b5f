"""How true the instrument is, and what it costs the call that it measures: make bench

Known quantities: a busy loop and a sleep of 200 ms, a quiet machine, 256 MiB that are freed again, and the
same call timed by torch.utils.benchmark. Overhead: the call bare and measured in turn, in at least 20 pairs,
with and without the polling thread, and with progress drawn; beside it bare is compared with bare, which
shows what noise alone does. On a GPU the work and the memory are the GPU's. Each line names its limit; a line
beyond it, with the whole of its interval where it has one, makes the exit status 1.
"""
import io
import sys
import tempfile
import time
from contextlib import nullcontext, redirect_stdout
from statistics import median
from unittest import mock

import numpy as np
import psutil
import torch
from torch.utils.benchmark import Timer

from genlib import device, measure, progress, system
from genlib.measure.repeat import measure as measure_once

MIB = 1024**2
PAIRS = max(20, int(sys.argv[1]) if len(sys.argv) > 1 else 40)
beyond = []


def show(text: str, least: float, limit: float) -> None:
    """Print a line with its limit. `least`: the deviation as a share, or its interval's end nearer to 0."""
    print(f"{text}  (limit {100 * limit:.0f} %)", flush=True)
    if abs(least) > limit:
        beyond.append(text)


def another_clock() -> float:
    """A clock other than the instrument's, where the system has a second one."""
    return time.clock_gettime(time.CLOCK_MONOTONIC_RAW) if hasattr(time, "CLOCK_MONOTONIC_RAW") else time.time()


def busy(seconds: float = 0.2) -> None:
    end = another_clock() + seconds
    while another_clock() < end:
        pass


def known_times() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, call in ("busy loop, 200 ms", busy), ("sleep, 200 ms", lambda: time.sleep(0.2)):
            with redirect_stdout(None):
                run = measure.repeat(lambda index, call=call: call(), experiment="bench", iterations=10, results=folder)
            read = median(i.time_s for i in run.iterations)
            show(f"{name:22} read as {1000 * read:7.2f} ms   {100 * (read / 0.2 - 1):+.2f} %", read / 0.2 - 1, 0.01)


def known_neighbours() -> None:
    """On a quiet machine, a busy call is not taken for another process."""
    others = min(measure_once(lambda index: busy(1.0), 0)[0].other_cpu_s for _ in range(3))
    show(f"1 s of work, none else  others read as {1000 * others:5.0f} ms  {100 * others:+.1f} %", others, 0.05)


def known_memory() -> None:
    def allocate(index):
        np.ones(256 * MIB, dtype=np.uint8)

    def allocate_on_gpu(index):
        torch.ones(256 * MIB, dtype=torch.uint8, device="cuda")

    for _ in range(3):
        before = psutil.Process().memory_info().rss
        read = measure_once(allocate, 0)[0].ram_peak_bytes - before
        show(f"256 MiB of RAM         read as {read / MIB:7.2f} MiB  {100 * (read / (256 * MIB) - 1):+.2f} %", read / (256 * MIB) - 1, 0.03)
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        read = measure_once(allocate_on_gpu, 0)[0].vram_peak_bytes - before
        show(f"256 MiB of VRAM        read as {read / MIB:7.2f} MiB  {100 * (read / (256 * MIB) - 1):+.2f} %", read / (256 * MIB) - 1, 0)


def model_call():
    """Convolutions and matrix products of at least 50 ms."""
    where = device.pick()
    image, kernel = torch.randn(1, 64, 128, 128, device=where), torch.randn(64, 64, 3, 3, device=where)
    matrix = torch.randn(1024, 1024, device=where)

    def call():
        x = image
        for _ in range(4):
            x = torch.nn.functional.conv2d(x, kernel, padding=1) * 0.04
        for _ in range(4):
            torch.mm(matrix, matrix)

    once = Timer("call()", globals=dict(call=call)).blocked_autorange(min_run_time=1).median
    times = max(1, round(0.08 / once))
    return lambda: [call() for _ in range(times)]


def bare(call) -> float:
    device.synchronize()
    start = time.perf_counter()
    call()
    device.synchronize()
    return time.perf_counter() - start


def measured(call) -> float:
    """The call's own time while it is measured, by the same clock as the bare call's."""
    times = []
    measure_once(lambda index: times.append(bare(call)), 0)
    return times[0]


def while_drawing(call) -> float:
    """As `measured`, while the line of progress is redrawn ten times as often as in a long image."""
    often = mock.patch.multiple(progress, QUIET_S=0, LONG_S=0, REDRAWN_S=progress.REDRAWN_S / 10, watched=lambda: (io.StringIO(), True))
    with often, progress.Task("iteration", 5), progress.steps(total=50) as steps:
        return measured(lambda: (steps.update(), call()))


def as_read(call) -> float:
    """What the instrument says."""
    return measure_once(lambda index: call() and None, 0)[0].time_s


def by_torch(call) -> float:
    return Timer("call()", globals=dict(call=call), num_threads=torch.get_num_threads()).timeit(1).median


def ratio(first, second, call) -> tuple[float, float, float]:
    """Ratio of medians, second over first, in turn and alternating order; its 95 % interval by bootstrap."""
    a, b = [], []
    for pair in range(PAIRS):
        order = [(first, a), (second, b)]
        for function, times in order if pair % 2 else order[::-1]:
            times.append(function(call))
    a, b, random = np.array(a), np.array(b), np.random.default_rng(0)
    picks = random.integers(0, PAIRS, (2000, PAIRS))  # whole pairs are drawn: what disturbs one disturbs the other
    low, high = np.percentile(np.median(b[picks], axis=1) / np.median(a[picks], axis=1), [2.5, 97.5])
    return float(np.median(b) / np.median(a)), float(low), float(high)


def overhead() -> None:
    call = model_call()
    print(f"\n{PAIRS} pairs of {1000 * median(bare(call) for _ in range(5)):.0f} ms    ratio of medians, 95 % interval")
    for name, first, second, limit in (
            ("bare / bare", bare, bare, None), ("measured / bare", bare, measured, 0.01), ("reading / bare", bare, as_read, 0.01),
            ("reading / torch's timer", by_torch, as_read, 0.02), ("measured while polling / bare", bare, measured, 0.01),
            ("measured while drawing / bare", bare, while_drawing, 0.01)):
        polling = mock.patch.object(system, "reset_peak_rss", lambda: False)  # as where the kernel cannot reset its peak
        with polling if "polling" in name else nullcontext():
            value, low, high = ratio(first, second, call)
        text = f"{name:30} {value:.4f}  {low:.4f} to {high:.4f}"
        if limit is None:
            print(text, flush=True)
        else:
            show(text, max(0, low - 1) or (0 if "bare" in name else min(0, high - 1)), limit)  # faster than bare is no overhead


if __name__ == "__main__":
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {gpu}")
    known_times()
    known_neighbours()
    known_memory()
    overhead()
    if beyond:
        sys.exit("beyond their limits:\n" + "\n".join(beyond))
