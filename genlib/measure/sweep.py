"""A run for each condition: how the cost grows with steps, batch, precision or resolution."""
from collections.abc import Callable, Iterable
from typing import TypeVar

from genlib import device, runs
from genlib.measure.repeat import first_line, repeat

Condition = TypeVar("Condition")


def sweep(conditions: Iterable[Condition], make: Callable[[Condition], tuple[Callable, runs.ModelInfo | None, dict]], *, experiment: str,
          setting: str, iterations: int = 2, warmup: int = 1, quality=None, results="results") -> dict[Condition, runs.Run]:
    """Measure each condition as a run of its own, by `repeat`; the runs by condition.

    `make(condition)` returns the call, what its model is (or None), and the run's settings. It may load the model
    itself: what belongs to one condition is let go before the next is made, so that a peak is that of one model. A
    condition whose model does not fit into memory is left out with a printed line; any other exception is raised.

    setting: the name of what varies. The run's variant is made from it: "batch_size" and 4 give "batch-4".
    quality: judges the pictures of each run, as in `repeat`.
    """
    measured = {}
    for condition in conditions:
        call = None  # it holds the model of the condition before
        device.free_memory()
        variant = runs.variant_of(setting, condition)
        try:
            call, model, settings = make(condition)
            measured[condition] = repeat(call, experiment=experiment, model=model, settings=settings, iterations=iterations,
                                         warmup=warmup, variant=variant, quality=quality, results=results)
        except Exception as error:
            if not device.is_out_of_memory(error):
                raise
            print(f"{variant}: left out, since it does not fit into memory: {first_line(error)}")
    return measured
