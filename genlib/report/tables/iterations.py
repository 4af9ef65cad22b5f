"""The iterations of one model, as they were measured."""
import pandas as pd

from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.record import TABLE1, Iteration
from genlib.report import cells, notes
from genlib.report.summary import readings


def iterations(report, experiment: str) -> tuple[pd.DataFrame, str]:
    """The first image, each iteration, then their mean and standard deviation, in Table 1's readings."""
    row = report.rows.loc[experiment]
    number, several = report.say(N_("Iteration", "column")), len(row["runs"]) > 1
    every = [iteration for run in row["runs"] for iteration in run.good + run.warmup]
    names, lines = [name for name in TABLE1 if readings(every, name).notna().any() or name == "time_s"], []
    for session, run in enumerate(row["runs"], 1):
        named = {report.say(N_("first image")): iteration for iteration in run.warmup[:1]} | \
            {str(i): iteration for i, iteration in enumerate(run.iterations, 1)}
        of_session = {report.say(N_("Session", "column")): str(session)} if several else {}
        lines += [of_session | {number: name} | _cells(report, row, iteration, names) for name, iteration in named.items()]
    if row["n"]:
        mean = report.say(N_("mean", "row")) + cells.mark(report.rows.loc[[experiment]])
        lines.append({number: mean} | _summary(report, row, names, ""))
    if row["n"] > 1:
        lines.append({number: report.say("standard deviation")} | _summary(report, row, names, "_sd"))
    note = [report.say("The first image warms the model up and is not in the mean.")] if any(run.warmup for run in row["runs"]) else []
    return pd.DataFrame(lines).fillna(""), " ".join([*note, notes.note(report, report.rows.loc[[experiment]])])


def _cells(report, row: pd.Series, iteration: Iteration, names: list[str]) -> dict[str, str]:
    """An iteration's readings; of one that failed, why it has none."""
    texts = {cells.short_head(report, name): cells.like_mean(report, row, name, getattr(iteration, name)) for name in names}
    if iteration.error is not None:
        return dict.fromkeys(texts, MISSING) | {cells.short_head(report, "time_s"): cells.failure_of(report, iteration.out_of_memory)}
    return texts


def _summary(report, row: pd.Series, names: list[str], suffix: str) -> dict[str, str]:
    return {cells.short_head(report, name): cells.like_mean(report, row, name, row[f"{name}{suffix}"]) for name in names}
