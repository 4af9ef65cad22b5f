"""Repeat a call and measure each repetition.

    warm-up       measured like an iteration, shown as "first image", never averaged
    iteration 1   readings.start | synchronise, clock, call, synchronise, clock | readings.stop | save
    iteration 2   ...
    quality       judges the saved pictures
    finish

Between the two clocks nothing is written or spawned, and in their first 10 s nothing is drawn.
"""
import time
from collections.abc import Callable

from PIL import Image

from genlib import checks, device, nvml, progress, runs
from genlib.measure import enough, source
from genlib.measure.readings import Readings
from genlib.measure.work import takes_index
from genlib.record import BLACKENED, DOUBT, MB, NOT_FINITE, OUT_OF_MEMORY, TABLE1
from genlib.remarks import NO_DRIVER, NO_QUALITY

PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
checks.reader(runs.Run)  # made with the imports: as a run begins, its memory would count as the model's


def repeat(generate, *, experiment: str, model: runs.ModelInfo | None = None, settings: dict | None = None, iterations: int = 5,
           until: float | None = None, limit: int = 100, warmup: int = 1, variant: str = "",
           quality: Callable[[list[Image.Image]], dict[str, float]] | None = None, results="results") -> runs.Run:
    """Measure `iterations` calls of `generate`, after `warmup` that do not count, and keep the record.

    `generate()` returns a list of PIL images, or None. If it has a parameter without a default, it gets the
    index of the iteration, from 0 (the warm-up gets 0 too), so that a continued run draws what it would have
    drawn anyway. The record and the pictures are saved after every iteration. An unfinished run of the same
    machine, versions and settings is continued; a finished one is left alone and a new one begins.

    until: such as 0.02: `iterations` are then the least, and more are measured until the mean time is known
    to ± 2 % (half of its 95 % interval), which is judged from the 15th on (`enough.known` says why), or until
    there are `limit`. A line says which it was; where it was the limit, so do the run's warnings.

    `quality(pictures)` judges the run after its last iteration. It gets the saved pictures of all iterations,
    in order, in one flat list, and returns figures by name. If it fails, only these figures are lost: a line
    and the run's warnings say why. It is not called where there are no pictures.

    Running out of memory ends the run with an iteration whose `error` says so. Pictures of NaN or infinite
    values, as the loaders' models mark them, are not kept, and their iteration's `error` says why. Any other
    exception of `generate` is raised and leaves the run unfinished. Raises ValueError if `iterations` is not
    at least 1, `until` not between 0 and 1 or `limit` less than `iterations`, and TypeError or ValueError if
    `generate` returns what cannot be kept as PNGs; the warm-up shows it first.
    """
    check_iterations(iterations)
    if until is not None:
        enough.check_until(until, iterations, limit)
    most = iterations if until is None else limit
    call = takes_index(generate)
    run = runs.begin(runs.Run(experiment=experiment, machine=device.describe(), model=model, settings=settings or {},
                              variant=variant, call=source.of_call(generate), loaded_before=device.loaded_before(model)),
                      results, most)
    done = len(run.iterations)
    device.free_memory()  # what earlier calls left in the allocator's cache would count as reserved here
    if variant:
        progress.write(f"{variant}:")
    if run.resumed:
        of = f"{done} of {'at most ' * bool(until)}{most}"
        progress.write(f"continues the run of {run.started}, which was interrupted after {of} iterations")
    _measure_all(run, call, warmup, iterations, most, until)
    if until:
        enough.conclude(run, until)
    if quality:
        judge(run, quality)
    return finish(run)


def _measure_all(run: runs.Run, call, warmup: int, least: int, most: int, until: float | None) -> None:
    """The warm-up, and the iterations that the run lacks; out of memory, no more of them."""
    done = len(run.iterations)
    with progress.Task("call", warmup + most - done, bound="at most" if until else "about") as task:
        for number in range(warmup):
            task.part = f"warm-up {number + 1} of {warmup}"
            iteration, _ = measure(call, 0)
            task.update()
            run.warmup.append(iteration)
            progress.write(f"warm-up   {number + 1}/{warmup}: {describe(iteration)}")
            if iteration.out_of_memory:  # as the next call would be
                run.iterations.append(iteration)
                return
        for index in range(done, most):
            if until and enough.reached(run, until, least):
                break
            task.part = f"iteration {index + 1} of {'at most ' * bool(until)}{most}"
            iteration, images = measure(call, index)
            iteration.images = run.save_images(None if iteration.error else images, f"iteration_{index + 1}")
            if BLACKENED in doubts(images) and BLACKENED not in run.warnings:
                run.warnings.append(BLACKENED)
            run.iterations.append(iteration)
            run.save()
            task.update()
            progress.write(f"iteration {index + 1}/{most}: {describe(iteration)}{enough.progress(run, until) if until else ''}")
            if iteration.out_of_memory:
                break


def judge(run: runs.Run, quality) -> None:
    """Put what `quality` says of the run's pictures into it, or a warning if it fails; nothing is saved."""
    if not any(iteration.images for iteration in run.iterations):
        return
    try:
        pictures = []
        for file in run.image_files():
            with Image.open(file) as picture:  # closed before the next: a process may have only so many open files
                picture.load()
            pictures.append(picture)
        with progress.Task("judges the pictures"):
            run.quality = {name: float(value) for name, value in quality(pictures).items()}
    except Exception as error:  # whatever it is: it must not cost what was measured
        reason = first_line(error).replace(f"{run.folder}/", "")
        run.warnings.append(NO_QUALITY.format(error=f"{type(error).__name__}: {reason}"))
        progress.write(run.warnings[-1])


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or the name of its class if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def check_iterations(iterations) -> None:
    """Raise ValueError unless `iterations` is a whole number of at least 1."""
    if not isinstance(iterations, int) or iterations < 1:
        raise ValueError(f"iterations is {iterations!r}: it must be a whole number of at least 1 (the thesis has 5)")


def finish(run: runs.Run) -> runs.Run:
    """Mark the run as finished, save it, and print its averages."""
    if nvml.hangs():
        run.warnings.append(NO_DRIVER.format(seconds=nvml.TIMEOUT_S))
    run.finish()
    if not run.good:
        remedy = ": a smaller batch, fewer pixels or dtype='float16' need less memory" * run.iterations[-1].out_of_memory
        progress.write(f"no iteration succeeded{remedy}")
        return run
    average = runs.Iteration(**{name: _mean([getattr(i, name) for i in run.good]) for name in TABLE1})
    progress.write(f"average of {len(run.good):2}: {describe(average)}")
    return run


@progress.quiet()
def measure(call, index: int) -> tuple[runs.Iteration, list | None]:
    """Measure one call: the Iteration, as yet without its pictures, and what the call returned."""
    readings, images, error = Readings(), None, None
    try:
        readings.start()
        device.synchronize()
        cpu_start, start = time.process_time(), time.perf_counter()
        try:
            images = call(index)
            device.synchronize()
        except Exception as caught:
            if not device.is_out_of_memory(caught):
                raise
            error = f"{OUT_OF_MEMORY}: {first_line(caught)}"
        end, cpu_end = time.perf_counter(), time.process_time()
        iteration = readings.stop()
    finally:  # no poller may outlive its call, even after an interrupt
        readings.end_polling()
    check_images(images)
    if error:
        device.free_memory()  # so that the next condition starts from what is really in use
    iteration.error = error or (NOT_FINITE if NOT_FINITE in doubts(images) else None)
    iteration.time_s, iteration.cpu_time_s = end - start, cpu_end - cpu_start
    return iteration, images


def check_images(images) -> None:
    """Raise TypeError unless `images` is a list of PIL images or None, and ValueError if one fits no PNG."""
    if not isinstance(images, (list, type(None))):  # a generator would be measured before it has drawn anything
        raise TypeError(f"generate returned a {type(images).__name__}: return a list of PIL images, or None")
    for image in images or []:
        if not isinstance(image, Image.Image):
            raise TypeError(f"generate returned a list with a {type(image).__name__} in it: return PIL images, "
                            "which images.to_pil makes of a tensor")
        if image.mode not in PNG_MODES or 0 in image.size:
            raise ValueError(f"generate returned a picture of mode {image.mode} with {image.width} x {image.height} pixels, which no PNG "
                             "holds: return one with pixels, in RGB, as picture.convert('RGB') makes it")


def doubts(images) -> set[str]:
    """What the models say against a list's pictures: NOT_FINITE, BLACKENED; nothing against other objects."""
    return {getattr(image, "info", {}).get(DOUBT) for image in (images if isinstance(images, list) else [])} - {None}


def describe(iteration: runs.Iteration) -> str:
    """One line for an iteration: time, VRAM and RAM, in MB of 1024² bytes."""
    # GPUtil reads the whole device only.
    vram = iteration.vram_device_bytes if iteration.vram_peak_bytes is None else iteration.vram_peak_bytes
    line = f"{iteration.time_s:8.3f} s · VRAM {_mb(vram)} MB · RAM {_mb(iteration.ram_bytes)} MB"
    return f"{line} · {iteration.error}" if iteration.error else line


def _mb(number: int | None) -> str:
    return "—" if number is None else f"{number / MB:.0f}"


def _mean(values: list) -> float | None:
    return None if None in values else sum(values) / len(values)
