"""What makes the figures of a run doubtful, and what helps."""
from typing import NamedTuple

import numpy as np
import pandas as pd

from genlib import escape, remarks
from genlib.experiments import find
from genlib.locale import N_
from genlib.record import MB, MEGABYTES, NOT_FINITE, READINGS, SHOWN
from genlib.report import cells, choice, notes
from genlib.report.summary import readings
from genlib.runs import Run, variant_of

DRIFT, DRIFT_P = 0.03, 0.01  # from the first iteration to the last, over the mean; chance of it without any drift
OUTLIER, OUTLIER_P = 0.1, 0.01  # share of the median; chance that Grubbs's test finds one among normal times
NOISY = 0.1  # coefficient of variation
FEW = 5  # iterations
MANY = 4  # runs of one cause, from which on they are counted instead of named
BUSY_CORES = 0.15  # share of the processor that others may have
OTHERS_BYTES, SWAPPED_BYTES = 200 * MB, 16 * MB
ENERGY_WINDOW_S = 1
SLOW_START = N_("The first iteration is slower than the others"), N_("Raise the number of warm-up calls and measure again.")
FAR_OFF = N_("The time of an iteration lies far from the others"), N_("Close other programs and measure again.")
REASONS = (  # for a slower clock, as the driver gives them
    N_("clocks set by hand"), N_("power cap"), N_("hardware slowdown"), N_("temperature (software)"), N_("temperature (hardware)"),
    N_("power brake"))


class Doubt(NamedTuple):
    """What was seen of a run: the cause and the remedy as of any other run, and a figure of its own."""
    cause: str
    figure: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{': '.join(filter(None, [self.cause, self.figure]))}. {self.remedy}".strip()


def doubts(report) -> list[str]:
    """Where the runs are from, if not all are one's own; then each cause with its runs and what helps."""
    rows, alike = report.summary, {}
    namesakes = set(rows[rows.duplicated(["experiment", "variant", "machine"], keep=False) | (rows["runs"].map(len) > 1)]["folder"])
    for _, row in rows.iterrows():
        label = report.text(find(row["experiment"]).label)
        named = row["folder"] in namesakes
        found = [(run, _started(run) if named else "", doubt) for run in row["runs"] for doubt in of_run(report, run)]
        for run, started, doubt in found + [(row["run"], "", doubt) for doubt in of_sessions(report, row["runs"])]:
            of_label = alike.setdefault((doubt.cause, doubt.remedy), {}).setdefault(label, [])
            of_label.append(", ".join(filter(None, [cells.variant(report, run), started, doubt.figure])))
    aside = filter(None, [notes.set_aside(report, rows, any_variant=True)])
    said = [f"{cause}: {_runs(report, found)}. {remedy}".strip() for (cause, remedy), found in alike.items()]
    return [*choice.origins(report), *aside, *said]


def _started(run: Run) -> str:
    return escape.plain(run.started or "")[:19].replace("T", " ")


def _runs(report, found: dict[str, list[str]]) -> str:
    """The runs of each label by what is said of each, or their number where they are many."""
    many = sum(map(len, found.values())) >= MANY
    said = {label: report.count("{n} run", "{n} runs", len(texts)) if many else "; ".join(filter(None, texts))
            for label, texts in found.items()}
    return "; ".join(f"{label} ({text})" if text else label for label, text in said.items())


def of_run(report, run: Run) -> list[Doubt]:
    """What makes one run doubtful."""
    seen = _failed(report, run)
    if run.resumed:
        seen.append(Doubt(report.say("The run was interrupted and taken up again, so that its iterations are of several processes"),
                          remedy=report.say("Where they differ, measure again without a break.")))
    if run.good:
        by_design = report.say(SLOW_START[0]) if run.method == "thesis" else ""  # which counts the first image
        times = pd.Series({number: i.time_s for number, i in enumerate(run.iterations, 1) if i.error is None}, dtype=float)
        seen += [doubt for doubt in _unsteady(report, times.dropna()) if doubt.cause != by_design]
        seen += [*_incomplete(report, run), *_disturbed(report, run)]
    remarked = map(remarks.parts, dict.fromkeys(run.warnings))
    return seen + [Doubt(escape.plain(report.say(sentence, **values))) for sentence, values in remarked]


def of_sessions(report, runs: list[Run]) -> list[Doubt]:
    """Sessions whose mean time is more than a tenth off the median of all: of a few no test finds one."""
    means = [(_started(run) if run.start.year >= 1970 else report.say(N_("unknown", "fact")), readings(run.good, "time_s").mean())
             for run in runs if run.good]
    median = np.median([mean for _, mean in means]) if means else np.nan
    far = [report.say("{session}: {time} s, median of the sessions {median} s", session=session, time=report.significant(mean, 3),
                      median=report.significant(median, 3)) for session, mean in means if abs(mean - median) > OUTLIER * median]
    return [Doubt(report.say("The mean time of a session lies far from the others"), "; ".join(far),
                  report.say("Look for what was different in it, and measure another session."))] if far else []


def _failed(report, run: Run) -> list[Doubt]:
    """Iterations that are not in the averages, by why they failed; that a card is too small is a finding."""
    out, not_finite = sum(i.out_of_memory for i in run.iterations), sum(i.error == NOT_FINITE for i in run.iterations)
    on_purpose = run.variant.startswith(variant_of("card"))
    causes = [
        (out * (not on_purpose), report.say("Iterations ran out of memory and are not in the averages"),
         report.say("A smaller batch or float16 needs less.")),
        (not_finite, report.say("Iterations gave pictures with values that are NaN or infinite and are not in the averages"),
         report.say("dtype='float32' helps where those of half precision grow too large.")),
        (len(run.iterations) - len(run.good) - out - not_finite, report.say("Iterations failed and are not in the averages"),
         report.say("run.json says why."))]
    return [Doubt(cause, report.say("{some} of {all}", some=count, all=len(run.iterations)), remedy)
            for count, cause, remedy in causes if count]


def _unsteady(report, times: pd.Series) -> list[Doubt]:
    """Of times by the number of their iteration: they are too few, or drift, have outliers, or vary."""
    if len(times) < FEW:
        return [Doubt(report.say("Fewer than {n} iterations show neither a drift nor an outlier", n=FEW), f"n = {len(times)}",
                      report.say("Measure at least {n}.", n=FEW))]
    if found := _drift(report, times) or _outliers(report, times):
        return found
    share = times.std() / times.mean()
    return [Doubt(report.say("The times vary"), f"{report.rounded(100 * share, 0)} %",
                  report.say("Close other programs, or measure more iterations."))] if share > NOISY else []


def _drift(report, times: pd.Series) -> list[Doubt]:
    """By a line's slope (scipy.stats.linregress); at 1 % false alarms n = 5 shows a strong drift only."""
    from scipy.stats import linregress

    if not np.ptp(times):
        return []
    slope = linregress(np.arange(len(times)), times)
    drift = slope.slope * (len(times) - 1) / times.mean()
    if abs(drift) < DRIFT or slope.pvalue > DRIFT_P:
        return []
    rises = report.say("The time rises from the first iteration to the last"), report.say("Let the machine cool down, then measure again.")
    falls = report.say("The time falls from the first iteration to the last"), report.say("Warm up longer, then measure again.")
    cause, remedy = rises if drift > 0 else falls
    return [Doubt(cause, f"{report.rounded(abs(100 * drift), 0)} %", remedy)]


def _outliers(report, times: pd.Series) -> list[Doubt]:
    """Grubbs's test (1969; scipy.stats.t) of the farthest time, then of the farthest of the rest."""
    from scipy.stats import t

    far_ones, median = {}, times.median()
    while (n := len(times)) > 3 and times.std() > 0:
        far = (times - times.mean()).abs().idxmax()
        limit = t.isf(OUTLIER_P / (2 * n), n - 2) ** 2
        critical = (n - 1) / np.sqrt(n) * np.sqrt(limit / (n - 2 + limit))
        if abs(times[far] - times.mean()) / times.std() < critical or abs(times[far] - median) < OUTLIER * median:
            break
        said = report.say("iteration {iteration}: {time} s, median {median} s", iteration=far, time=report.significant(times[far], 3),
                          median=report.significant(median, 3))
        far_ones.setdefault(SLOW_START if far == 1 and times[far] > median else FAR_OFF, []).append(said)
        times = times.drop(far)
    return [Doubt(report.say(cause), "; ".join(figures), report.say(remedy)) for (cause, remedy), figures in far_ones.items()]


def _incomplete(report, run: Run) -> list[Doubt]:
    """Readings that some iterations have and others lack; energy only where each could have it."""
    counts = {name: int(readings(run.good, name).notna().sum()) for name in SHOWN if name != "energy_j" or not _too_short(run)}
    return [Doubt(report.say("Only some iterations have the reading “{reading}”",
                             reading=report.text(READINGS[name].short or READINGS[name].label)),
                  report.say("{some} of {all}", some=count, all=len(run.good)), report.say("Measure again."))
            for name, count in counts.items() if 0 < count < len(run.good)]


def _too_short(run: Run) -> bool:
    """Whether an image is done before the GPU's energy counter moves, as a rule."""
    return readings(run.good, "time_s").median() < ENERGY_WINDOW_S


def _disturbed(report, run: Run) -> list[Doubt]:
    """What else the machine was doing, where it can tell."""
    def megabytes(size: float) -> str:
        return f"{report.rounded(size / MB, 0)} {report.say(MEGABYTES)}"

    seen, good = [], run.good
    if reasons := sorted({reason for iteration in good for reason in iteration.throttled or []}):
        names = ", ".join(report.say(reason) if reason in REASONS else escape.plain(reason) for reason in reasons)
        seen.append(Doubt(report.say("The GPU slowed itself down"), names,
                          report.say("Cool it or raise its power limit, or name the limit beside the figures.")))
    if (others := readings(good, "vram_others_bytes").max()) > OTHERS_BYTES:
        seen.append(Doubt(report.say("Other processes held memory of the GPU"), megabytes(others),
                          report.say("End them (nvidia-smi shows which) and measure again.")))
    known = [iteration for iteration in good if None not in (iteration.other_cpu_s, iteration.time_s)]
    cores = run.machine.cores or run.machine.threads or 1
    if known and (busy := sum(i.other_cpu_s for i in known) / sum(i.time_s for i in known)) > BUSY_CORES * cores:
        seen.append(Doubt(report.say("Other processes kept processor cores busy"),
                          report.say("{cores} cores on average", cores=report.rounded(busy, 1)),
                          report.say("Close them and measure again.")))
    if (swapped := readings(good, "swapped_bytes").sum()) > SWAPPED_BYTES:
        seen.append(Doubt(report.say("The machine moved data between memory and swap"), megabytes(swapped),
                          report.say("Free some memory and measure again.")))
    if any(iteration.energy_j is not None for iteration in good) and _too_short(run):
        seen.append(Doubt(report.say("An image takes less than a second, too short for the GPU’s energy counter"),
                          remedy=report.say("Read the energy of a larger batch.")))
    return seen
