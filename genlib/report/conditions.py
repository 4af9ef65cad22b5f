"""Rows that were measured in another environment than most, in another precision or on another day."""
from collections.abc import Iterable

import numpy as np
import pandas as pd

from genlib import escape
from genlib.locale import N_
from genlib.record import Run
from genlib.sessions import environment, model, when

DAY_S = 24 * 3600
FACTS = {  # of `sessions.environment`, as they are called
    "torch": "torch", "driver": N_("Driver", "fact"), "threads": N_("Threads of torch"), "waiting": N_("Waiting of idle threads"),
    "cpu_limit": N_("limit of processor cores"),
    "power_limit_w": N_("Power limit"), "system": N_("Operating system")}
OF_A_MACHINE = {*FACTS, "genlib", "cpu_capability"} - {"torch"}  # in which two machines mostly differ
DTYPE, DATE = N_("Precision", "column"), N_("Date", "column")


def standard(rows: pd.DataFrame) -> tuple[str, bool]:
    """The experiment whose conditions most rows have, or the first of several; whether it is over half."""
    alike = {slug: sum(_alike(row, other) for _, other in rows.iterrows()) for slug, row in rows.iterrows()}
    slug = max(alike, key=alike.get)
    return slug, 2 * alike[slug] > len(rows)


def _alike(row: pd.Series, other: pd.Series) -> bool:
    return environment(row["run"]) == environment(other["run"]) and row["dtype"] == other["dtype"] and _of_one_day(row, other)


def unlike(report, rows: pd.DataFrame, other: pd.Series, *, dtypes: bool = False) -> list[str]:
    """In what each of the rows is unlike another one, "" in nothing: environment, day and, with `dtypes`,
    precision, in which many rows beside Table 1 differ on purpose."""
    return ["; ".join([
        *differences(report, row, other),
        *([_instead(report, DTYPE, row["dtype"], other["dtype"])] if dtypes and row["dtype"] != other["dtype"] else []),
        *([] if _of_one_day(row, other) else [_instead(report, DATE, days(row), days(other))])]) for _, row in rows.iterrows()]


def of_one_key(report, row: pd.Series, other: pd.Series) -> list[str]:
    """In what two rows of one key differ: their models or environments."""
    unlike_models = [report.say("weights, parts or switches of the model")] * (model(row["run"]) != model(other["run"]))
    return unlike_models + differences(report, row, other)


def differences(report, row: pd.Series, other: pd.Series, but: Iterable[str] = ()) -> list[str]:
    """In what the environments of two rows differ, but for these facts."""
    here, there = environment(row["run"]), environment(other["run"])
    return [_instead(report, FACTS.get(fact, fact), here.get(fact, ""), there.get(fact, ""))
            for fact in dict.fromkeys([*here, *there]) if here.get(fact, "") != there.get(fact, "") and fact not in but]


def _instead(report, name: str, value: str, usual: str) -> str:
    value, usual = (escape.plain(report.text(text)) or report.say(N_("unknown", "fact")) for text in (value, usual))
    name = escape.plain(report.text(name))
    return f"{name[:1].lower()}{name[1:]} {report.say('{value} instead of {usual}', value=value, usual=usual)}"  # within a sentence


def _of_one_day(row: pd.Series, other: pd.Series) -> bool:
    """Whether a session of one row started within a day of one of the other."""
    return bool((abs(np.subtract.outer(*([when(run) for run in sessions(one)] for one in (row, other)))) <= DAY_S).any())


def sessions(row: pd.Series) -> list[Run]:
    """Those of a row in which an iteration succeeded; all if none did."""
    return [run for run in row["runs"] if run.good] or row["runs"]


def of_one_date(row: pd.Series) -> bool:
    """Whether all sessions of a row started on one date."""
    return len({run.started[:10] for run in sessions(row) if run.start.year >= 1970}) == 1


def days(row: pd.Series) -> str:
    """The dates of a row's first and last session; "" if none has one."""
    dates = sorted({run.started[:10] for run in sessions(row) if run.start.year >= 1970})
    return " … ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else ""
