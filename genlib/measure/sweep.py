"""One run for each value of a setting: how cost grows with steps, batch size, precision or resolution."""
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from genlib import device, progress, runs
from genlib.measure.repeat import first_line, repeat

Condition = TypeVar("Condition")


def sweep(conditions: Iterable[Condition], make: Callable[[Condition], tuple[Callable, runs.ModelInfo | None, dict]], *, experiment: str,
          setting: str, iterations: int = 2, warmup: int = 1, quality=None, left_out: tuple[type[Exception], ...] = (OSError,),
          results="results") -> dict[Condition, runs.Run]:
    """Measure each condition with `repeat`, as a run of its own, and return the runs by condition.

    `make(condition)` returns the call, its model's info (or None) and the run's settings. It may load the
    model: a condition's call is let go before the next one is made, so that every peak is that of one model.
    Where a condition's model does not fit into memory, and the error has the model's info (as the loaders'
    have), the run is one iteration that says so. Without that info, or where `make` raises one of `left_out`,
    by default an OSError for a model that cannot be had (no network, no such file, a full disk), the
    condition is left out with a printed line. Other errors, and those of the call itself, are raised.

    setting: what varies. It names the run's variant: "batch_size" with 4 gives "batch-4".
    quality: judges the pictures of each run, as in `repeat`.
    """
    measured, each = {}, list(dict.fromkeys(conditions))  # once; what cannot be a key fails before anything is measured
    with progress.Task("condition", len(each)) as task:
        for condition in each:
            call = None  # it would keep the previous condition's model in memory
            device.free_memory()
            variant = runs.variant_of(setting, condition)
            task.part = f"{variant} ({task.done + 1} of {len(each)})"
            try:
                try:
                    call, model, settings = make(condition)
                except MemoryError as error:
                    if (model := getattr(error, "info", None)) is None:
                        raise
                    call, settings = partial(_fail, str(error)), {}
                measured[condition] = repeat(call, experiment=experiment, model=model, settings=settings, iterations=iterations,
                                             warmup=warmup, variant=variant, quality=quality, results=results)
            except Exception as error:
                not_to_be_had = call is None and isinstance(error, left_out)
                if not (not_to_be_had or device.is_out_of_memory(error)):
                    raise
                progress.write(f"{variant}: left out. {first_line(error)}")
            task.update()
    return measured


def _fail(why: str) -> None:
    """The call of a model that could not be loaded; a new error, which keeps none of its parts in memory."""
    raise MemoryError(why)
