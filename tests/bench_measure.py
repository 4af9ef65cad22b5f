"""How true the instrument is, and what it costs the call that it measures: make bench

Known quantities: a busy loop and a sleep of 200 ms, the same call by torch.utils.benchmark. Overhead: the call bare and measured,
in turn, at least 20 pairs; beside it the same comparison of bare with bare, which shows what the noise alone does.
"""
import sys
import tempfile
import time
from statistics import median

import numpy as np
import psutil
import torch
from torch.utils.benchmark import Timer

from genlib import measure
from genlib.measure.repeat import measure as measure_once

MIB = 1024**2
PAIRS = int(sys.argv[1]) if len(sys.argv) > 1 else 40


def busy(seconds: float = 0.2) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def known_times() -> None:
    print("known quantity         read as     error")
    with tempfile.TemporaryDirectory() as folder:
        for name, call in ("busy loop, 200 ms", busy), ("sleep, 200 ms", lambda: time.sleep(0.2)):
            run = measure.repeat(lambda index, call=call: call(), experiment="bench", iterations=10, results=folder)
            read = median(i.time_s for i in run.iterations)
            print(f"{name:20}  {1000 * read:7.2f} ms  {100 * (read / 0.2 - 1):+6.2f} %", flush=True)


def known_memory() -> None:
    def allocate(index):
        np.ones(256 * MIB, dtype=np.uint8)

    for _ in range(3):
        before = psutil.Process().memory_info().rss
        iteration, _ = measure_once(allocate, 0)
        read = iteration.ram_peak_bytes - before
        print(f"256 MiB, freed again  {read / MIB:7.2f} MiB {100 * (read / (256 * MIB) - 1):+6.2f} %", flush=True)


def model_call():
    """Convolutions and matrix products of about 60 ms on two cores."""
    image, kernel, matrix = torch.randn(1, 64, 128, 128), torch.randn(64, 64, 3, 3), torch.randn(1024, 1024)

    def call():
        x = image
        for _ in range(4):
            x = torch.nn.functional.conv2d(x, kernel, padding=1) * 0.04
        for _ in range(4):
            torch.mm(matrix, matrix)

    once = Timer("call()", globals=dict(call=call)).blocked_autorange(min_run_time=1).median
    times = max(1, round(0.08 / once))
    return lambda: [call() for _ in range(times)]


def against_torchs_timer(call) -> None:
    ours, theirs = [], []
    for _ in range(PAIRS):
        ours.append(measure_once(lambda index: call(), 0)[0].time_s)
        theirs.append(Timer("call()", globals=dict(call=call), num_threads=torch.get_num_threads()).timeit(1).median)
    print(f"torch.utils.benchmark {1000 * median(theirs):7.2f} ms; read as {1000 * median(ours):.2f} ms, "
          f"{100 * (median(ours) / median(theirs) - 1):+.2f} %", flush=True)


def bare(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measured(call) -> float:
    """The call's own time while it is measured, by the same clock as the bare call's."""
    times = []
    measure_once(lambda index: times.append(bare(call)), 0)
    return times[0]


def ratio(first, second, call) -> tuple[float, float, float]:
    """Ratio of medians, second over first, run in turn in changing order, and its 95 % interval by the bootstrap."""
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
    against_torchs_timer(call)
    print(f"\noverhead, {PAIRS} pairs of {1000 * median(bare(call) for _ in range(5)):.0f} ms   ratio of medians, 95 % interval")
    for name, second in ("bare / bare", bare), ("measured / bare", measured):
        print("{:24} {:.4f}  {:.4f} to {:.4f}".format(name, *ratio(bare, second, call)), flush=True)


if __name__ == "__main__":
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {'a GPU' if torch.cuda.is_available() else 'no GPU'}")
    known_times()
    known_memory()
    overhead()
