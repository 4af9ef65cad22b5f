"""The models side by side: Table 1, the published figures beside it, all readings."""
import pandas as pd

from genlib import experiments
from genlib.locale import N_
from genlib.locale.numbers import MISSING, is_missing
from genlib.record import ONCE, QUALITIES, READINGS, SHOWN, TABLE1, Reading
from genlib.report import cells, choice, notes
from genlib.report.tables import sessions
from genlib.report.tables.common import in_one_precision, line, nothing

AROUND_TIME = ["first_image_s", "time_s", "time_s_median", "interval", "time_s_cv"]  # what is said of the time, together


def results(report) -> tuple[pd.DataFrame, str]:
    """Table 1 as the thesis prints it: a row for each model, measured or not, "mean ± standard deviation"."""
    if report.rows.empty:
        return nothing(report)
    entries = [entry.slug for entry in experiments.EXPERIMENTS if entry.table == "results"]
    rows = [line(report, cells.name(report, slug, in_table1=True), report.rows.loc[slug] if slug in report.rows.index else None)
            for slug in dict.fromkeys([*entries, *report.rows.index])]
    note = [notes.note(report, report.rows), in_one_precision(report), sessions.another_day(report), *_names_of_rows(report),
            *choice.several_places(report, report.rows)]
    return pd.DataFrame(rows), " ".join(filter(None, note))


def _names_of_rows(report) -> list[str]:
    """What the thesis's names mean in other tables, and whose names are those of records."""
    pairs = ", ".join(report.say("{thesis_name} is {model}", thesis_name=report.text(entry.thesis_label), model=report.text(entry.label))
                      for entry in experiments.EXPERIMENTS if entry.table == "results" and entry.thesis_label)
    known = [entry.slug for entry in experiments.EXPERIMENTS]
    strange = ", ".join(cells.with_steps(report, slug) for slug in report.rows.index if slug not in known)
    return [report.say("The rows are named as {reproduced}: {pairs}.", reproduced=report.reproduced, pairs=pairs)] + [
        report.say("Experiments that genlib does not know are shown under the names in their records: {names}.",
                   names=strange)] * bool(strange)


def beside_thesis(report) -> tuple[pd.DataFrame, str]:
    """Each reading of Table 1 beside the thesis's figure, with their ratio where the two can be compared."""
    rows, measured = [], [slug for slug in report.rows.index if experiments.find(slug).published]
    for slug, row in report.rows.loc[measured].iterrows():
        for name in TABLE1:
            reading, there = READINGS[name], experiments.find(slug).published.averages.get(name)
            ratio = report.significant(row[name] / there, 2) if comparable(row, name) and not is_missing(row[name]) else MISSING
            rows.append({
                report.say(cells.MODEL): cells.name(report, slug), report.say(cells.READING): cells.short_head(report, name),
                report.say(N_("measured", "column")): cells.mean(report, row, name),
                report.say(cells.PUBLISHED): report.rounded(there and there / reading.scale, 2 if reading.digits else 0),
                report.say(cells.RATIO): ratio})
    if not rows:
        return nothing(report)
    like = report.say("A ratio is given of weights at full size, with the same model, number of steps and way of reading.")
    if report.summary["vram_peak_bytes"].isna().all():
        like += " " + report.say("Without a GPU the weights lie in RAM, of which no ratio is given.")
    return pd.DataFrame(rows), f"{notes.given(report)} {like} {notes.note(report, report.rows.loc[measured])}"


def comparable(row: pd.Series, name: str) -> bool:
    """Whether a reading of a run may be held against the thesis's figure.

    It has to be of weights at full size, the same model and number of steps, and read in the same way; RAM of
    a machine with a GPU, since the weights lie in it elsewhere.
    """
    entry = experiments.find(row["experiment"])
    published = entry.published
    if published is None or name not in published.averages or name in published.read_otherwise:
        return False
    in_ram = name == "ram_bytes" and is_missing(row["vram_peak_bytes"])
    its_steps = is_missing(row["steps"]) or row["steps"] == experiments.STEPS
    return bool(not in_ram and row["weights"] in ("published", "random") and its_steps and not entry.is_other_model(row))


def readings(report) -> tuple[pd.DataFrame, str]:
    """A row for each reading that a run has, a column for each model. Energy and work are those of a call."""
    if report.rows.empty:
        return nothing(report)
    qualities = [f"quality.{name}" for name in QUALITIES] + sorted(name for name in report.rows.columns if name.startswith("quality."))
    rest = [name for name in ONCE if name not in AROUND_TIME]
    memory = SHOWN[1:SHOWN.index("ram_bytes") + 1] + ["ram_above_bytes"]
    rows = []
    for name in dict.fromkeys(["n", *AROUND_TIME, *memory, *SHOWN[1:], *rest, *qualities]):
        texts = {cells.name(report, slug): _reading_cell(report, run, name) for slug, run in report.rows.iterrows()}
        if set(texts.values()) != {MISSING}:
            rows.append({report.say(cells.READING): _reading_name(report, name)} | texts)
    origins = choice.several_places(report, report.rows) or [
        report.say("The runs are from “{origin}”.", origin=report.rows["origin"].iloc[0])]
    rates_known = report.rows[["flops_per_s", "matmul_flops_per_s"]].notna().all(axis=1)
    shares = [report.say("A share of the machine’s rate above 100 % is not given: another program slowed the measurement of that rate, or "
                         "the clock rose after it.")] if report.rows.loc[rates_known, "machine_share"].isna().any() else []
    return pd.DataFrame(rows), " ".join([notes.note(report, report.rows), *notes.of_originals(report, report.rows), *shares, *origins])


def _reading_name(report, name: str) -> str:
    named = {"n": N_("Iterations (failed)"), "interval": N_("95 % interval of the mean (s)")}
    return report.say(named[name]) if name in named else cells.head(report, _reading(name))


def _reading(name: str) -> Reading:
    quality = name.removeprefix("quality.")
    return READINGS.get(name) or ONCE.get(name) or QUALITIES.get(quality) or Reading(quality)


def _reading_cell(report, row: pd.Series, name: str) -> str:
    if name == "n":
        return f"{cells.iterations(row)} ({row['failed']})"
    if name == "ram_above_bytes":
        return notes.ram_above(report, row)
    if name == "interval":
        return cells.interval(report, row)
    return cells.mean(report, row, name) if name in READINGS else cells.figure(report, row.get(name), _reading(name))
