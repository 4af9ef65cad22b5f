"""Methods beside each other: the models, other ways to use them, what draws without one, and services."""
import pandas as pd

from genlib import experiments
from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.report import cells, choice, notes

COLUMNS = N_("Family", "column"), cells.MODEL, N_("What was measured", "column")


def methods(report) -> tuple[pd.DataFrame, str]:
    """Table 1's rows, each with its model's other ways below it; then what was drawn on this machine without
    a model, and what a person clocked, wherever it ran.

    Empty where there is nothing but Table 1's rows.
    """
    ways = [row for slug in report.rows.index for row in _ways(report, slug)]
    models = [row for slug in report.rows.index for row in [report.rows.loc[slug], *(way for way in ways if way["experiment"] == slug)]]
    drawn, clocked = _drawn(report), _newest(report.everything[report.everything["method"] == "by-hand"])
    if not models or not (ways or len(drawn) or len(clocked)):
        return pd.DataFrame(), report.say(
            "There is no other method than those of the main table: notebook 3 measures some, and “genlib record” takes those of services.")
    others = [row for rows in (drawn, clocked) for _, row in rows.iterrows()]
    services = ", ".join(cells.with_steps(report, slug) for slug in clocked["experiment"])
    note = [notes.note(report, pd.DataFrame(models)), report.say(
        "Clocked by hand: {services}; such a time, in which the network and other users’ pictures have a share, says how long one waits, "
        "and the memory is not known.", services=services) if services else "", *notes.of_loaded_before(report, drawn)]
    return pd.DataFrame([_line(report, row) for row in [*models, *others]]), " ".join(filter(None, note))


def _ways(report, slug: str) -> list[pd.Series]:
    """The newest run of each variant that is a method of its own, of the same model and precision."""
    alike = ["experiment", "method", "model", "dtype"]
    rows = report.summary[(report.summary[alike] == report.rows.loc[slug, alike]).all(axis=1)].sort_values("when", kind="stable")
    return [found.iloc[-1] for variant in experiments.find(slug).ways if len(found := rows[rows["variant"] == variant])]


def _drawn(report) -> pd.DataFrame:
    """What was drawn without a model on the report's machine."""
    rows, own = report.everything, report.summary.iloc[0]
    here = (rows[["machine", "reference"]] == own[["machine", "reference"]]).all(axis=1) & (rows["method"] == "genlib")
    return _newest(rows[here & rows["experiment"].isin([entry.slug for entry in experiments.OTHER_METHODS])])


def _newest(rows: pd.DataFrame) -> pd.DataFrame:
    """The newest of each experiment, one's own before others', those with an entry first."""
    order = [entry.slug for entry in experiments.EXPERIMENTS + experiments.OTHER_METHODS]
    rows = rows.assign(unlike="").sort_values(["reference", "when"], ascending=[True, False], kind="stable").drop_duplicates("experiment")
    places = [(order.index(slug) if slug in order else len(order), slug) for slug in rows["experiment"]]
    return rows.iloc[sorted(range(len(rows)), key=places.__getitem__)][:choice.MOST]


def _line(report, row: pd.Series) -> dict[str, str]:
    entry, run = experiments.find(row["experiment"]), row["run"]
    texts = (report.text(entry.family) or MISSING, cells.with_steps(report, entry.slug) + cells.mark(row.to_frame().T),
             cells.variant(report, run) or report.text(entry.measured) or MISSING)
    time = cells.mean(report, row, "time_s") if row["n"] else cells.failure(report, run)
    return dict(zip(map(report.say, COLUMNS), texts, strict=True)) | {
        "n": cells.iterations(row), cells.short_head(report, "time_s"): time,
        **{cells.short_head(report, name): cells.mean(report, row, name) for name in ("vram_peak_bytes", "ram_bytes")}}
