"""Rows that were measured in another environment than most, in another precision or on another day."""
import numpy as np
import pandas as pd

from genlib import escape
from genlib.locale import N_
from genlib.sessions import environment, model

DAY_S = 24 * 3600
FACTS = {  # of `sessions.environment`, as they are called
    "torch": "torch", "driver": N_("Driver", "fact"), "threads": N_("Threads of torch"), "cpu_limit": N_("limit of processor cores"),
    "power_limit_w": N_("Power limit"), "system": N_("Operating system"), "precision": N_("Settings of precision"), "genlib": "genlib"}


def unlike(report, rows: pd.DataFrame, usual: pd.DataFrame) -> dict[str, str]:
    """What is otherwise in each row than in most of the usual ones, by the row's folder; no entry if nothing.

    Precisions are compared among the usual rows alone: others differ in it on purpose.
    """
    if usual.empty:
        return {}
    standard = max((row for _, row in usual.iterrows()), key=lambda row: (_alike(row, usual), row["when"]))
    found = {row["folder"]: _differences(report, row, standard, row["folder"] in set(usual["folder"])) for _, row in rows.iterrows()}
    return {folder: "; ".join(said) for folder, said in found.items() if said}


def _alike(row: pd.Series, rows: pd.DataFrame) -> int:
    """How many rows are of this row's environment, precision and day."""
    same = np.array([environment(other) == environment(row["run"]) for other in rows["run"]])
    return int((same & (rows["dtype"] == row["dtype"]) & ((rows["when"] - row["when"]).abs() <= DAY_S)).sum())


def _differences(report, row: pd.Series, standard: pd.Series, with_dtype: bool) -> list[str]:
    said = differences(report, row, standard)
    if with_dtype and row["dtype"] != standard["dtype"]:
        said.append(_instead(report, row["dtype"], standard["dtype"]))
    if abs(row["when"] - standard["when"]) > DAY_S:
        said.append(_instead(report, day(row), day(standard)))
    return said


def of_one_key(report, row: pd.Series, other: pd.Series) -> list[str]:
    """In what two rows of one key differ: their models or environments."""
    unlike_models = [report.say("weights, parts or switches of the model")] * (model(row["run"]) != model(other["run"]))
    return unlike_models + differences(report, row, other)


def differences(report, row: pd.Series, other: pd.Series) -> list[str]:
    """In what the environments of two rows differ."""
    here, there = environment(row["run"]), environment(other["run"])
    return [f"{report.text(name)} {_instead(report, here[fact], there[fact])}" if fact != "precision" else report.text(name)
            for fact, name in FACTS.items() if here[fact] != there[fact]]


def _instead(report, value: str, usual: str) -> str:
    value, usual = (escape.plain(text) or report.say(N_("unknown", "fact")) for text in (value, usual))
    return report.say("{value} instead of {usual}", value=value, usual=usual)


def day(row: pd.Series) -> str:
    """The date of a row's newest session; "" where it has none."""
    return row["started"][:10]


def days(row: pd.Series) -> str:
    """The dates of a row's first and last session."""
    dates = sorted({run.started[:10] for run in row["runs"] if run.start.year >= 1970})
    return " … ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else ""
