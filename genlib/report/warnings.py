"""What makes the figures of a run doubtful, and what helps."""
import numpy as np
import pandas as pd

from genlib import escape
from genlib.experiments import find
from genlib.locale import N_
from genlib.record import MB, NOT_FINITE, SHOWN
from genlib.report import choice
from genlib.report.summary import readings
from genlib.runs import Run

DRIFT, DRIFT_P = 0.03, 0.01  # from the first iteration to the last, over the mean; chance of it without any drift
OUTLIER, OUTLIER_P = 0.1, 0.01  # share of the median; chance that Grubbs's test finds one among normal times
NOISY = 0.1  # coefficient of variation
FEW = 5  # iterations
BUSY_CORES = 0.15  # share of the processor that others may have
OTHERS_BYTES, SWAPPED_BYTES = 200 * MB, 16 * MB
ENERGY_WINDOW_S = 1
REASONS = {  # for a slower clock, as the driver gives them
    "clocks set by hand": N_("clocks set by hand"), "power cap": N_("power cap"), "hardware slowdown": N_("hardware slowdown"),
    "temperature (software)": N_("temperature (software)"), "temperature (hardware)": N_("temperature (hardware)"),
    "power brake": N_("power brake")}


def doubts(report) -> list[str]:
    """Where the runs are from, if not all are one's own; then a sentence for each doubtful run.

    Runs of an experiment of which the same is said share theirs.
    """
    rows, alike = report.summary, {}
    namesakes = set(rows[rows.duplicated(["experiment", "variant", "machine"], keep=False)]["folder"])
    for _, row in rows.iterrows():
        where = ", ".join(filter(None, [row["variant"], row["started"][:19] if row["folder"] in namesakes else ""]))
        if seen := of_run(report, row["run"]):
            alike.setdefault((report.text(find(row["experiment"]).label), bool(where), "; ".join(seen)), []).append(where)
    return choice.origins(report) + [f"{name} ({', '.join(wheres)}): {text}" if named else f"{name}: {text}"
                                     for (name, named, text), wheres in alike.items()]


def of_run(report, run: Run) -> list[str]:
    """What makes one run doubtful: what was seen, and what helps."""
    seen, n, failed = [], len(run.iterations), sum(i.out_of_memory for i in run.iterations)
    if failed:
        seen.append(report.count(
            "{failed} of {n} iterations ran out of memory and is not in the averages: a smaller batch or float16 needs less",
            "{failed} of {n} iterations ran out of memory and are not in the averages: a smaller batch or float16 needs less",
            failed, failed=failed, n=n))
    if failed := n - len(run.good) - failed:
        known = any(i.error == NOT_FINITE for i in run.iterations)
        seen.append(report.count(
            "{failed} of {n} iterations failed and is not in the averages: {reason}",
            "{failed} of {n} iterations failed and are not in the averages: {reason}",
            failed, failed=failed, n=n, reason=report.text(NOT_FINITE if known else N_("run.json says why"))))
    if run.good:
        seen += [*_unsteady(report, times_of(run)), *_incomplete(report, run), *_disturbed(report, run)]
    return [*seen, *map(escape.plain, run.warnings)]


def times_of(run: Run) -> pd.Series:
    """The times of the iterations that succeeded, by their number from 1."""
    times = pd.Series({number: i.time_s for number, i in enumerate(run.iterations, 1) if i.error is None}, dtype=float)
    return times.dropna()


def _unsteady(report, times: pd.Series) -> list[str]:
    """Too few times; their drift, outliers, spread."""
    if len(times) < FEW:
        return [report.say("n = {n} is too few to see a drift or an outlier: measure at least 5 iterations", n=len(times))]
    return _drift(report, times) or _outliers(report, times) or _noise(report, times)


def _drift(report, times: pd.Series) -> list[str]:
    """By a straight line's slope. With a 1 % chance of a false alarm, n = 5 shows only a strong drift."""
    from scipy.stats import linregress

    if not np.ptp(times):
        return []
    slope = linregress(np.arange(len(times)), times)
    drift = slope.slope * (len(times) - 1) / times.mean()
    if abs(drift) < DRIFT or slope.pvalue > DRIFT_P:
        return []
    percent = report.rounded(abs(100 * drift), 0)
    return [report.say("the time rises by {percent} % from the first iteration to the last: let the machine cool down, then measure again",
                       percent=percent) if drift > 0 else
            report.say("the time falls by {percent} % from the first iteration to the last: warm up longer, then measure again",
                       percent=percent)]


def _outliers(report, times: pd.Series) -> list[str]:
    """Grubbs's test (1969) of the farthest time, then of the farthest of the rest."""
    from scipy.stats import t

    seen, median = [], times.median()
    while (n := len(times)) > 3 and times.std() > 0:
        far = (times - times.mean()).abs().idxmax()
        limit = t.isf(OUTLIER_P / (2 * n), n - 2) ** 2
        critical = (n - 1) / np.sqrt(n) * np.sqrt(limit / (n - 2 + limit))
        if abs(times[far] - times.mean()) / times.std() < critical or abs(times[far] - median) < OUTLIER * median:
            break
        values = dict(iteration=far, time=report.significant(times[far], 3), median=report.significant(median, 3))
        seen.append(
            report.say("iteration 1 took {time} s against a median of {median} s: raise the number of warm-up calls and measure again",
                       **values) if far == 1 and times[far] > median else
            report.say("iteration {iteration} took {time} s against a median of {median} s: close other programs and measure again",
                       **values))
        times = times.drop(far)
    return seen


def _noise(report, times: pd.Series) -> list[str]:
    share = times.std() / times.mean()
    return [report.say("the times vary by {percent} %: close other programs, or measure more iterations",
                       percent=report.rounded(100 * share, 0))] if share > NOISY else []


def _incomplete(report, run: Run) -> list[str]:
    """Readings that some iterations have and others lack."""
    counts = {name: int(readings(run.good, name).notna().sum()) for name in SHOWN}
    missing = [f"{name} ({count})" for name, count in counts.items() if 0 < count < len(run.good)]
    return [report.say("not every one of the {n} iterations has these readings (how many have): {readings}: measure again",
                       readings=", ".join(missing), n=len(run.good))] if missing else []


def _disturbed(report, run: Run) -> list[str]:
    """What else the machine was doing, where it can tell."""
    seen, good = [], run.good
    reasons = sorted({reason for iteration in good for reason in iteration.throttled or []})
    if reasons:
        names = ", ".join(report.text(REASONS.get(reason) or escape.plain(reason)) for reason in reasons)
        seen.append(report.say("the GPU slowed itself down ({reasons}): cool it or raise its power limit, or name the limit beside the "
                               "figures", reasons=names))
    if (others := readings(good, "vram_others_bytes").max()) > OTHERS_BYTES:
        seen.append(report.say("other processes held {mb} MB of the GPU: end them (nvidia-smi shows which) and measure again",
                               mb=report.rounded(others / MB, 0)))
    known = [iteration for iteration in good if None not in (iteration.other_cpu_s, iteration.time_s)]
    cores = run.machine.cores or run.machine.threads or 1
    if known and (busy := sum(i.other_cpu_s for i in known) / sum(i.time_s for i in known)) > BUSY_CORES * cores:
        seen.append(report.say("other processes kept {cores} processor cores busy: close them and measure again",
                               cores=report.rounded(busy, 1)))
    if (swapped := readings(good, "swapped_bytes").sum()) > SWAPPED_BYTES:
        seen.append(report.say("the machine moved {mb} MB between memory and swap: free some memory and measure again",
                               mb=report.rounded(swapped / MB, 0)))
    if any(iteration.energy_j is not None for iteration in good) and readings(good, "time_s").median() < ENERGY_WINDOW_S:
        seen.append(report.say("an image takes less than a second, too short for the GPU’s energy counter: read the energy of a larger "
                               "batch"))
    return seen
