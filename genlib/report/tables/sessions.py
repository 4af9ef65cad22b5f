"""The sessions of each model: their mean, how much it varies within and between them, other environments."""
import pandas as pd

from genlib import experiments
from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.record import KEY
from genlib.report import cells, conditions, notes


def sessions(report) -> tuple[pd.DataFrame, str]:
    """Each row of Table 1 by its sessions; below it those of its key in other environments, newest first.

    Without a second session or environment there is no row, and the note says what one session cannot tell.
    """
    shown = [(row, others) for _, row in report.rows.iterrows() if len(others := _elsewhere(report, row)) or row["sessions"]]
    if not any(len(others) or row["sessions"] > 1 for row, others in shown):
        return pd.DataFrame(), another_day(report)
    lines = [_line(report, one, row) for row, others in shown for one in [row, *others]]
    note = [report.say("The mean and its Student interval are over the sessions’ means (of one session, over its iterations); the spread "
                       "between sessions is estimated by the method of moments in a random-effects model (DerSimonian and Laird)."),
            report.say("Rows with differences in the last column are not averaged with the first row of their model.")
            if any(len(others) for _, others in shown) else "",
            another_day(report), notes.note(report, report.rows, N_("Means of sessions"), memory=False)]
    return cells.without_empty_columns(pd.DataFrame(lines)), " ".join(filter(None, note))


def _elsewhere(report, row: pd.Series) -> list[pd.Series]:
    """The rows of the same key in other environments, newest first."""
    alike = report.sessions[(report.sessions[KEY] == row[KEY]).all(axis=1) & ~report.sessions["newest"]]
    return [other for _, other in alike.sort_values("when", ascending=False).iterrows()]


def _line(report, row: pd.Series, first: pd.Series) -> dict[str, str]:
    name = cells.name(report, row["experiment"]) if row is first else report.text(experiments.find(row["experiment"]).label)
    seconds = {report.say(label): cells.like_mean(report, row, "time_s", row[column]) for label, column in {
        N_("Mean time (s)"): "time_s", N_("Within a session (s)"): "time_s_within", N_("Between sessions (s)"): "time_s_between"}.items()}
    others = "; ".join(conditions.of_one_key(report, row, first)) if row is not first else ""
    return {report.say(cells.MODEL): name, "n": cells.iterations(row), **seconds,
            report.say("95 % interval of the mean (s)"): cells.interval(report, row),
            report.say(N_("Date", "column")): conditions.days(row) or MISSING, report.say(N_("Differs in", "column")): others or MISSING}


def another_day(report) -> str:
    """What a single session cannot tell, nor several of one day; "" where all rows are of several days."""
    labels = {slug: report.text(experiments.find(slug).label) for slug in report.rows.index}
    alone = [labels[slug] for slug, row in report.rows.iterrows() if row["sessions"] == 1]
    if len(alone) == len(labels) > 1:
        return report.say("Each model was measured in one session, so whether another day would give the same is not known.")
    one_day = [labels[slug] for slug, row in report.rows.iterrows() if row["sessions"] > 1 and conditions.of_one_date(row)]
    if one_day and len(alone + one_day) == len(labels) and len({conditions.days(row) for _, row in report.rows.iterrows()}) == 1:
        return report.say("All sessions are of one day, so whether another day would give the same is not known.")
    return " ".join([report.say(said, models=", ".join(models)) for said, models in {
        N_("Measured in one session, so that whether another day would give the same is not known: {models}."): alone,
        N_("Measured on one day, so that whether another would give the same is not known: {models}."): one_day}.items() if models])
