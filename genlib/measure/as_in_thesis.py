"""Measure as the thesis did, for the audit: no warm-up, no synchronising, no reset of the peak in between.

These figures are kept under the method "thesis", and no table averages them with ours or ranks them.
"""
import math
import threading
import time

import torch

from genlib import device, nvml, progress, runs
from genlib.measure.readings import rss
from genlib.measure.repeat import check_iterations, describe, doubts, finish
from genlib.measure.work import takes_index
from genlib.record import MB, NOT_FINITE, OUT_OF_MEMORY
from genlib.remarks import CLOCK_SET

TIMEOUT_S = 20
CLOCK_WAS_SET_S = 0.5  # two clocks that only run apart differ by less in hours


def repeat_as_in_thesis(generate, *, experiment: str, model: runs.ModelInfo | None = None, settings: dict | None = None,
                        iterations: int = 5, vram: str = "allocator", results="results") -> runs.Run:
    """Time `generate` as the thesis did: `time.time()` around the call, then RSS and VRAM read once.

    vram: "allocator" is torch's peak since the first iteration began, as the thesis read Stable Diffusion and
    StyleGAN2-ADA; "gputil" is what nvidia-smi reports after the iteration for the whole device that torch
    uses, as it read the VAE.

    The peak is reset once, before the first iteration, because the thesis's processes had drawn nothing
    before. The pictures are not kept; those of `repeat` are. If the clock is set during an iteration, a
    warning says so, and the time is by the clock that cannot be set. Raises ValueError for another `vram`,
    or for less than one iteration.
    """
    if vram not in ("allocator", "gputil"):
        raise ValueError(f"vram is {vram!r}: the thesis read 'allocator' or 'gputil'")
    check_iterations(iterations)
    call = takes_index(generate)
    run = runs.begin(runs.Run(experiment=experiment, machine=device.describe(), model=model, settings=settings or {},
                              method="thesis", variant="as-in-thesis", loaded_before=device.loaded_before(model)), results, iterations)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with progress.Task("iteration", iterations - len(run.iterations)) as task:
        for index in range(len(run.iterations), iterations):
            task.part = f"iteration {index + 1} of {iterations}"
            try:
                images, time_s, steady_s = _timed(call, index)
            except Exception as error:
                if not device.is_out_of_memory(error):
                    raise
                run.iterations.append(runs.Iteration(error=OUT_OF_MEMORY))
                break
            if abs(time_s - steady_s) > CLOCK_WAS_SET_S:
                run.warnings.append(CLOCK_SET.format(seconds=f"{time_s - steady_s:+.0f}", iteration=index + 1))
                time_s = steady_s
            if time_s <= 0:  # its clock is too coarse, or was moved a little
                time_s = steady_s
            iteration = runs.Iteration(time_s=time_s, ram_bytes=rss())
            if vram == "gputil":
                iteration.vram_device_bytes = gputil_memory_used()
                iteration.vram_source = None if iteration.vram_device_bytes is None else "GPUtil"
            elif torch.cuda.is_available():
                iteration.vram_peak_bytes = torch.cuda.max_memory_allocated()
            iteration.error = NOT_FINITE if NOT_FINITE in doubts(images) else None
            run.iterations.append(iteration)
            run.save()
            task.update()
            progress.write(f"iteration {index + 1}/{iterations}: {describe(iteration)}")
    return finish(run)


@progress.quiet()
def _timed(call, index: int):
    """What a call returns, and its seconds: by the clock that the thesis read, by one that cannot be set."""
    start, steady_start = time.time(), time.perf_counter()
    images = call(index)
    return images, time.time() - start, time.perf_counter() - steady_start


def gputil_memory_used() -> int | None:
    """Bytes in use on the GPU that torch uses, by GPUtil.

    None where GPUtil is missing, fails, hangs or does not list this GPU. It lists all the machine's cards in
    nvidia-smi's order, whatever CUDA_VISIBLE_DEVICES says, and no slices of them (MIG).
    """
    if not torch.cuda.is_available():
        return None
    names, answers = nvml.uuids(torch.cuda.current_device()), []

    def ask():
        try:
            import GPUtil  # an old package: on Python 3.12 and later it imports only where setuptools is installed

            answers.extend(gpu.memoryUsed for gpu in GPUtil.getGPUs() if gpu.uuid in names)
        except (ImportError, ValueError, ZeroDivisionError, IndexError, OSError):
            pass  # what GPUtil 1.4.0 raises when nvidia-smi is absent, answers with an error, or with "[N/A]"

    thread = threading.Thread(target=ask, daemon=True)  # nvidia-smi can hang, and GPUtil gives it no time-out
    thread.start()
    thread.join(TIMEOUT_S)
    return int(answers[0] * MB) if answers and math.isfinite(answers[0]) else None
