"""The number of denoising steps: rows of one table share it, or say theirs."""
import json

import pandas as pd

from genlib.report.words import say, span


def newest_alike(rows: pd.DataFrame) -> pd.Series:
    """The folders of one run an experiment: of the newest number of steps that all with steps have, or without one the newest run's.

    An experiment that lacks it gives its newest run, whose steps then stand beside its name (see `row_name`).
    """
    runs = rows.drop_duplicates("folder").sort_values("started", kind="stable")
    runs["steps"] = runs["settings"].map(steps_of)
    denoised = runs.dropna(subset=["steps"])
    shared = denoised.groupby("steps")["experiment"].nunique() == denoised["experiment"].nunique()
    candidates = denoised[denoised["steps"].map(shared).astype(bool)] if shared.any() else denoised
    runs["alike"] = runs["steps"].isna() | runs["steps"].isin(candidates["steps"].tail(1))
    return runs.sort_values("alike", kind="stable").groupby("experiment")["folder"].last()


def numbers_of_steps(df: pd.DataFrame) -> set[int]:
    """The numbers of denoising steps among the runs' settings; empty where nothing is denoised."""
    return {steps for settings in df["settings"].unique() if (steps := steps_of(settings)) is not None}


def steps_of(settings: str) -> int | None:
    """The number of denoising steps in a run's settings; None where nothing is denoised."""
    return json.loads(settings).get("steps")


def row_name(df: pd.DataFrame, experiment: str, language: str = "en", kind: str = "") -> str:
    """An experiment's name (kind ".short": a short one), with its number of steps where the runs in df differ in it."""
    name, steps = say(f"{experiment}{kind}", language), numbers_of_steps(df[df["experiment"] == experiment])
    if not steps or len(numbers_of_steps(df)) < 2:
        return name
    of = "of_faces" if experiment == "vae-round-trip" else "of_steps"  # its own call takes no steps; its faces took them
    return say(of, language, model=name, steps=span(sorted(steps)))
