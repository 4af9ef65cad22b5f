"""Table 1 once more, in one precision, where a machine runs the models in several."""
import pandas as pd

from genlib.experiments import Experiment, find
from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.record import READINGS, TABLE1
from genlib.report import cells, notes
from genlib.report.tables import growth
from genlib.runs import variant_of

TITLE = N_("Comparison in one precision")
WHERE_NOTHING_IS = "float32"  # the precision to measure where the rows have none in common: every model has it


def line(report, name: str, row: pd.Series | None) -> dict[str, str]:
    """A line of Table 1: a name, and its readings' means with their deviations; dashes without a row."""
    texts = {reading: MISSING if row is None else cells.mean(report, row, reading) for reading in TABLE1}
    if row is not None and not row["n"]:
        texts["time_s"] = cells.failure(report, row["run"])
    return {report.say(cells.MODEL): name} | {report.say(READINGS[reading].heading): text for reading, text in texts.items()}


def nothing(report) -> tuple[pd.DataFrame, str]:
    """A table that no run fills."""
    return pd.DataFrame(), report.say("There is no run that this table takes.")


def in_one_precision(report) -> str:
    """Where Table 1's rows stand in one precision, if they have several; "" where none do."""
    there = report.rows["dtype"].nunique() > 1 and len(common_precision(report)[0])
    return report.say("The rows differ in precision; the table “{title}” has them in one.", title=report.say(TITLE)) if there else ""


def common_precision(report) -> tuple[pd.DataFrame, str]:
    """Table 1's rows in one precision: each from its own run, or from one that differs in precision alone."""
    own = report.rows["dtype"]
    if own.empty:
        return nothing(report)
    if own.nunique() < 2:
        return pd.DataFrame(), report.say("All rows of the main table have one precision already: {dtype}.", dtype=own.iloc[0])
    there = {slug: _by_precision(report.summary, row) for slug, row in report.rows.iterrows()}
    dtype = _common(own, there)
    found = {slug: rows[dtype] for slug, rows in there.items() if dtype in rows}
    lacking = [find(slug) for slug in there if slug not in found]
    good = [row for row in found.values() if row["n"]]
    if not good:
        differ = report.say("The rows of the main table differ in precision ({precisions}).", precisions=", ".join(dict.fromkeys(own)))
        return pd.DataFrame(), f"{differ} {_to_measure(report, dtype, lacking)}"
    rows = []
    for slug in there:
        row = found.get(slug)
        name = cells.with_steps(report, slug, in_table1=True) + (cells.mark(row.to_frame().T) if row is not None else "")
        rows.append(line(report, name, row))
    note = [report.say("The rows of the main table in one precision, {dtype}: what has another one there was measured once more.",
                       dtype=dtype),
            _to_measure(report, dtype, lacking) if lacking else "", notes.note(report, pd.DataFrame(good).infer_objects())]
    return pd.DataFrame(rows), " ".join(filter(None, note))


def _by_precision(summary: pd.DataFrame, row: pd.Series) -> dict[str, pd.Series]:
    """A row of Table 1, and the newest that differ from it in precision alone, by their precision."""
    rows = growth.own(summary, find(row["experiment"]))
    [itself] = (one for _, one in rows[rows["folder"] == row["folder"]].iterrows())  # not unlike others in precision
    rows = rows[(rows[["model", "settings"]] == row[["model", "settings"]]).all(axis=1)]
    tried = rows[rows["variant"].str.startswith(variant_of("precision"))]
    return {one["dtype"]: one for _, one in tried.iterrows()} | {row["dtype"]: itself}


def _common(own: pd.Series, there: dict[str, dict[str, pd.Series]]) -> str:
    """The precision in which all succeeded; of several the one that most have in Table 1, then float32."""
    shared = set.intersection(*({dtype for dtype, row in rows.items() if row["n"]} for rows in there.values()))
    return max(sorted(shared), key=lambda dtype: (int((own == dtype).sum()), dtype == WHERE_NOTHING_IS), default=WHERE_NOTHING_IS)


def _to_measure(report, dtype: str, lacking: list[Experiment]) -> str:
    """Which rows have no run in a precision, and which notebooks measure it."""
    notebooks = ", ".join(dict.fromkeys(entry.notebook for entry in lacking if entry.notebook))
    models = ", ".join(report.text(entry.label) for entry in lacking)
    return report.say(
        N_("No run in {dtype} yet: {models}; to measure it, set {setting} in {notebooks}.") if notebooks else
        N_("No run in {dtype} yet: {models}."), dtype=dtype, models=models, notebooks=notebooks,
        setting=f'PRECISIONS_TRIED = ["{dtype}"]')
