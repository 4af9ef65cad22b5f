"""How cost grows: a line through the conditions of each loop; and what another precision costs."""
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from genlib.experiments import EXPERIMENTS, VAE_ROUND_TRIP, Experiment, Loop, find
from genlib.locale import N_
from genlib.locale.numbers import MISSING, decimals_of
from genlib.record import QUALITIES, TABLE1
from genlib.report import cells, notes
from genlib.report.summary import as_number, settings_but
from genlib.runs import variant_of

LINE = 3  # conditions that a line needs: it goes through any two


def own(summary: pd.DataFrame, entry: Experiment) -> pd.DataFrame:
    """The runs of an experiment by our method, newest last."""
    return summary[(summary["experiment"] == entry.slug) & (summary["method"] == "genlib")].sort_values("when", kind="stable")


def conditions(summary: pd.DataFrame, entry: Experiment, loop: Loop) -> pd.DataFrame:
    """The runs of a loop, sorted by `units`: steps, megapixels or images in a batch.

    They are the variants named after the setting, and the run from which the loop set out. All have the
    model, dtype and other settings of the loop's newest run; the newest run of a condition counts.
    """
    rows = own(summary, entry)
    in_loop = rows["variant"].str.startswith(variant_of(loop.setting))
    rows = rows.assign(in_loop=in_loop)[in_loop | rows["variant"].isin(entry.loops_from)]
    without = 1 if loop.setting == "batch_size" else None
    units = pd.Series([as_number(run.settings.get(loop.setting, without)) for run in rows["run"]], rows.index, dtype=float)
    alike = rows["dtype"] + pd.Series([settings_but(run, loop.setting) for run in rows["run"]], rows.index, dtype=str)
    rows = rows.assign(units=units**2 / 1e6 if loop.is_side else units, alike=alike if loop.renames_model else alike + rows["model"])
    newest = rows.loc[rows["in_loop"], "alike"].tail(1)
    rows = rows[rows["units"].notna() & rows["alike"].isin(newest)]
    return rows.drop_duplicates("units", keep="last").sort_values("units", ignore_index=True)


def loops(summary: pd.DataFrame) -> Iterator[tuple[Experiment, Loop, pd.DataFrame]]:
    """Every loop that was run, with its conditions."""
    for entry in EXPERIMENTS:
        for loop in entry.loops:
            if len(found := conditions(summary, entry, loop)):
                yield entry, loop, found


class Line(NamedTuple):
    """A line through the conditions of a loop: its two parts, R², and the standard errors of the parts."""
    fixed_s: float
    unit_s: float
    r2: float
    fixed_error: float
    unit_error: float

    @property
    def below_zero(self) -> bool:
        """Whether the fixed part is negative beyond its error, which no time can be."""
        return self.fixed_s + self.fixed_error < 0


def line_through(found: pd.DataFrame) -> Line:
    """The least-squares line through `conditions`; NaN for fewer than three that succeeded."""
    from scipy.stats import linregress

    good = found.dropna(subset=["time_s"])
    if len(good) < LINE:
        return Line(*[float("nan")] * 5)
    line = linregress(good["units"], good["time_s"])
    return Line(*map(float, (line.intercept, line.slope, line.rvalue**2, line.intercept_stderr, line.stderr)))


def unit(report, loop: Loop, found: pd.DataFrame) -> str:
    """What a loop counts, with its number of denoising steps, which may be smaller than in Table 1."""
    steps = found["steps"].dropna()
    label = report.text(loop.unit)
    return label if loop.setting == "steps" or steps.empty else f"{label} ({cells.steps_text(report, [steps.iloc[0]])})"


def growth(report) -> tuple[pd.DataFrame, str]:
    """The line of each loop in numbers, and how many conditions were measured or ran out of memory."""
    rows, used, below = [], [], []
    for entry, loop, found in loops(report.summary):
        line, failed = line_through(found), found[found["time_s"].isna()]["run"]
        out = sum(any(i.out_of_memory for i in run.iterations) for run in failed)
        name, counted = report.text(entry.label) + cells.mark(found), unit(report, loop, found)
        rows.append({
            report.say(cells.MODEL): name, report.say(N_("Unit", "column")): counted,
            report.say("Fixed time (s)"): _with_error(report, line.fixed_s, line.fixed_error),
            report.say("Time a unit (s)"): _with_error(report, line.unit_s, line.unit_error), "R²": report.rounded(line.r2, 3),
            report.say(N_("Conditions", "column")): str(len(found) - len(failed)), report.say("Out of memory"): str(out)})
        used.append(found[found["n"] > 0])
        below += [f"{report.text(entry.label)}, {counted}"] if line.below_zero else []
    if not rows:
        return pd.DataFrame(), report.say("no loop over conditions was measured")
    sentences = [
        report.say("Time ≈ fixed time + time a unit × units, by least squares over three conditions or more (few leave a wide error); "
                   "where R² is far from 1 it is no line."),
        report.say("A fixed part below zero by more than its error is no time: that line does not reach down to zero units ({rows}).",
                   rows="; ".join(below)) if below else "",
        notes.note(report, pd.concat(used), N_("Part of the line ± its standard error"), memory=False)]
    return pd.DataFrame(rows), " ".join(filter(None, sentences))


def _with_error(report, value: float, error: float) -> str:
    """Both with the decimals that show three digits of the larger, but none below a microsecond."""
    decimals = min(6, decimals_of(max(abs(value), error), 3))
    return MISSING if pd.isna(value) else f"{report.rounded(value, decimals)} ± {report.rounded(error, decimals)}"


def _precisions_tried(summary: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Each experiment's own run, then those that differ in precision alone, where there are any."""
    for entry in EXPERIMENTS:
        rows = own(summary, entry)
        rows = rows.assign(alike=rows["model"] + rows["settings"])
        tried = rows[rows["variant"].str.startswith(variant_of("precision"))]
        tried = tried[tried["alike"].isin(tried["alike"].tail(1))]
        first = rows[rows["variant"].isin(entry.loops_from) & rows["alike"].isin(tried["alike"])].tail(1)
        others = tried[~tried["dtype"].isin(first["dtype"])]  # two names may mean one precision
        if len(first) and len(others):
            yield pd.concat([first, others])


def precisions(report) -> tuple[pd.DataFrame, str]:
    """Each experiment's own run, then those in other precisions: time, memory, and picture against its."""
    rows, used = [], []
    for runs in _precisions_tried(report.summary):
        rows += [_precision(report, run, runs.iloc[0]) for _, run in runs.iterrows()]
        used.append(runs)
    if not rows:
        return pd.DataFrame(), report.say("no run in another precision was measured")
    note = report.say("The ratio is the time over that of the model’s first row, whose precision its other runs have too; PSNR holds "
                      "the picture of the same latent ({model}: of the same photograph) against that row’s.",
                      model=report.text(VAE_ROUND_TRIP.label))
    used = pd.concat(used)
    return pd.DataFrame(rows), f"{note} {notes.note(report, used[used['n'] > 0])}".strip()


def _precision(report, run: pd.Series, own: pd.Series) -> dict[str, str]:
    (time_head, time), *memories = [(cells.short_head(report, name), cells.mean(report, run, name)) for name in TABLE1]
    psnr = MISSING if run["run"] is own["run"] else cells.figure(report, run.get("quality.psnr_db"), QUALITIES["psnr_db"])
    name = report.text(find(run["experiment"]).label) + cells.mark(run.to_frame().T)
    return {report.say(cells.MODEL): name, report.say(N_("Precision", "column")): run["dtype"],
            "n": cells.iterations(run), time_head: time if run["n"] else cells.failure(report, run["run"]),
            report.say(cells.RATIO): report.significant(run["time_s"] / own["time_s"], 2),
            **dict(memories), cells.head(report, QUALITIES["psnr_db"]): psnr}
