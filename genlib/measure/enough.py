"""When a mean time is known well enough to measure no more."""
import numbers

import numpy as np
from scipy.special import stdtrit  # at the top: loaded between two iterations it would count as RAM of the second

from genlib import runs
from genlib.remarks import LIMIT_REACHED

FIRST = 15  # iterations before the first judgement


def check_until(until, iterations: int, limit) -> None:
    """Raise ValueError unless `until` lies between 0 and 1, and `limit` is at least `iterations`."""
    if not isinstance(until, numbers.Real) or not 0 < until < 1:
        raise ValueError(f"until is {until!r}: it must lie between 0 and 1, as 0.02 for 2 %")
    if not isinstance(limit, int) or limit < iterations:
        raise ValueError(f"limit is {limit!r}: it must be a whole number, and at least iterations ({iterations})")


def half_width(times) -> float:
    """Half of the mean's 95 % interval (Student 1908; scipy.special.stdtrit) over the mean; NaN for n < 2."""
    n = len(times)
    return float(stdtrit(n - 1, 0.975) * np.std(times, ddof=1) / np.sqrt(n) / np.mean(times)) if n > 1 else np.nan


def known(times, until: float) -> bool:
    """Whether the mean of these times is known to within `until` of itself: to be asked after each of them.

    So did Chow & Robbins (1965), but the answer is never yes before the 15th time. Who stops because an
    interval is short favours times that happen to lie close together: asked from the 5th on, the interval at
    the end covers the true mean in 92 % of simulations at worst, not in 95 %; after a first stage of 15, an
    idea of Stein's (1945), in about 94 % at worst, of normal and of skewed (lognormal) times.
    """
    return len(times) >= FIRST and half_width(times) <= until


def reached(run: runs.Run, until: float, least: int) -> bool:
    """Whether a run is long enough, which it also is if none of its first iterations succeeded."""
    return len(run.iterations) >= least and (known(_times(run), until) or (len(run.iterations) >= FIRST and not run.good))


def progress(run: runs.Run, until: float) -> str:
    """What the line of an iteration says of the mean so far."""
    times = _times(run)
    goal = f"to be ± {_percent(until)}" if len(times) >= FIRST else f"judged from iteration {FIRST} on"
    return f" · mean ± {_percent(half_width(times))} ({goal})" if len(times) > 1 else ""


def conclude(run: runs.Run, until: float) -> None:
    """Print why the run ends; a warning of the run says so too, if it is the limit."""
    times = _times(run)
    if not times or run.iterations[-1].out_of_memory:
        return
    if half_width(times) <= until:
        print(f"enough: the mean time is known to ± {_percent(half_width(times))} (95 % interval)")
    else:
        run.warnings.append(LIMIT_REACHED.format(n=len(run.iterations), goal=_percent(until)))
        print(run.warnings[-1])


def _times(run: runs.Run) -> list[float]:
    return [iteration.time_s for iteration in run.good]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
