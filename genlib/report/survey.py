"""What people answered on a survey's page, read from their CSVs, and what can be told of it."""
import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from genlib.escape import plain
from genlib.experiments import EXPERIMENTS
from genlib.files import read_csv
from genlib.lines import say
from genlib.locale.numbers import is_missing

PHOTOGRAPH = "photograph"  # the truth of a picture that no model made; of others it is the experiment
DEMO = "-demo"  # ends the truth of a picture by demonstration weights, which tells nothing of the published model
FIELDS = {  # the columns of a file and what may stand in them; letters alone where Excel might see a number or a date
    "person": "[a-z]{8}", "number": r"[0-9]{1,4}", "picture": "[a-z]{8}", "truth": "[a-z0-9_-]{1,65}", "answer": "real|made",
    "quality": "[1-5]", "seconds": r"[0-9]{1,6}"}
FILE_BYTES = 100_000  # that are read
LEAST = 3  # people, for a verdict
MARGIN = 0.1  # taken for photographs less often by up to this share: hard to tell from them


class Difference(NamedTuple):
    """By how much less or more often made pictures are taken for photographs than photographs are: mean over
    people, from -1 to 1, with its 95 % interval; NaN where it is unknown."""
    mean: float
    low: float
    high: float

    @property
    def told_apart(self) -> bool:
        """Whether people tell them from photographs."""
        return self.high < 0 and not self.hard

    @property
    def hard(self) -> bool:
        """Whether they are hard to tell from photographs: the difference is shown to be within MARGIN."""
        return self.low > -MARGIN


def read(paths: Iterable[Path]) -> pd.DataFrame:
    """The answers in CSV files, a row each: FIELDS, with `real` (bool) instead of `answer`.

    A line names each file that is skipped, as one that calls a picture otherwise than most files do. Of a
    person's files the longest counts.
    """
    longest = {}
    for path in dict.fromkeys(paths):
        try:
            rows = _rows(path)
        except (ValueError, OSError, csv.Error) as error:
            say(f"skipped {error if str(path) in str(error) else f'{path}: {error}'}")
            continue
        person = rows[0]["person"]
        if person in longest:
            say(f"of the answers by {person} the longest file counts: they are in {longest[person][0]} and in {path}")
        if person not in longest or len(rows) > len(longest[person][1]):
            longest[person] = path, rows
    found = pd.DataFrame([row for _, rows in longest.values() for row in rows], columns=list(FIELDS))
    usual = found.groupby("picture")["truth"].transform(lambda truths: truths.mode()[0])
    for person in found.loc[found["truth"] != usual, "person"].unique():
        say(f"skipped {longest[person][0]}: other files say otherwise of its pictures what they are: ask for the file as it was saved")
        found = found[found["person"] != person]
    found["real"] = found.pop("answer") == "real"
    return found.astype(dict.fromkeys(("number", "quality", "seconds"), int))


def _rows(path: Path) -> list[dict[str, str]]:
    """A person's answers. Raises ValueError, saying what is wrong and where, if it is no file of answers."""
    table = read_csv(path, FILE_BYTES)
    if missing := FIELDS.keys() - set(table.fieldnames):
        raise ValueError(f"it has no column {min(missing)!r}, and so it is not a file that a survey's page saved")
    rows = []
    for number, row in enumerate(table, 2):
        for name, pattern in FIELDS.items():
            if not re.fullmatch(pattern, row[name]):
                raise ValueError(f"line {number} has {plain((row[name] or '')[:40])!r} as its {name}: ask for the file as it was saved")
        rows.append({name: row[name] for name in FIELDS})
    if not rows:
        raise ValueError("it has no answers: see whether another file by this person has")
    if len({row["person"] for row in rows}) > 1 or len({row["picture"] for row in rows}) < len(rows):
        raise ValueError("it has answers of several people, or two of one picture: give each file as it was saved")
    return rows


def share(answers: pd.DataFrame) -> tuple[float, float, float]:
    """The share of answers "real", with its 95 % interval by Wilson's score, as of independent answers.

    statsmodels' proportion_confint; Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.
    """
    from statsmodels.stats.proportion import proportion_confint

    real = answers["real"]
    return real.mean(), *map(float, proportion_confint(real.sum(), len(real), method="wilson"))


def difference(made: pd.DataFrame, photographs: pd.DataFrame) -> Difference:
    """How much more often people say "real" of made pictures than of photographs.

    Answers of one person are alike, so the interval is the wider at each end of two: Student's t over the
    people's own differences (SciPy's ttest_1samp), and Newcombe's of all answers, without which a few people
    who agree by chance would leave no room for doubt (statsmodels' confint_proportions_2indep; Newcombe 1998,
    his method 10). Fewer than LEAST people have none.
    """
    from scipy.stats import ttest_1samp
    from statsmodels.stats.proportion import confint_proportions_2indep

    own = (made.groupby("person")["real"].mean() - photographs.groupby("person")["real"].mean()).dropna()
    if len(own) < LEAST:
        return Difference(own.mean(), np.nan, np.nan)
    of_people = (own.iloc[0],) * 2 if own.nunique() == 1 else ttest_1samp(own, 0).confidence_interval(0.95)
    of_answers = confint_proportions_2indep(made["real"].sum(), len(made), photographs["real"].sum(), len(photographs), method="newcomb")
    low, high = min(of_people[0], of_answers[0]), max(of_people[1], of_answers[1])
    return Difference(float(own.mean()), float(low), float(high))


def kinds(answers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The answers by what the pictures truly are: photographs, then each model's."""
    known, found = [PHOTOGRAPH, *(entry.slug for entry in EXPERIMENTS)], dict(list(answers.groupby("truth")))
    order = sorted(found, key=lambda truth: (known.index(slug) if (slug := truth.removesuffix(DEMO)) in known else len(known), truth))
    return {truth: found[truth] for truth in order}


def differences(answers: pd.DataFrame) -> dict[str, Difference]:
    """That of each kind of made pictures; nothing without answers on photographs."""
    found = kinds(answers)
    photographs = found.pop(PHOTOGRAPH, None)
    return {} if photographs is None else {truth: difference(rows, photographs) for truth, rows in found.items()}


def points(report, apart: Difference) -> str:
    """A difference in percentage points, as text."""
    mean, low, high = (report.rounded(100 * value, 1) for value in apart)
    return mean if is_missing(apart.low) else f"{mean} ({low} … {high})"


def figures(report, truth: str, apart: Difference) -> str:
    """How often made pictures and photographs are taken for photographs: a sentence without its full stop."""
    real, made = report.answers.groupby("truth")["real"].mean(), kinds(report.answers)[truth]
    return report.say("Taken for photographs: {made} % of them and {real} % of the photographs; difference {difference} percentage points "
                      "(people: {people}, made pictures: {pictures})", made=report.rounded(100 * real[truth], 0),
                      real=report.rounded(100 * real[PHOTOGRAPH], 0), difference=points(report, apart),
                      people=made["person"].nunique(), pictures=made["picture"].nunique())


def agreement(answers: pd.DataFrame) -> tuple[float, int, int]:
    """Fleiss' kappa of "real" or "made", with how many people judged how many pictures.

    They are the most people who judged the same pictures, all of them. 1: they always agree; 0: as by chance;
    NaN for one person, or if everybody always gave one answer. statsmodels' fleiss_kappa; Fleiss 1971,
    https://doi.org/10.1037/h0031619.
    """
    from statsmodels.stats.inter_rater import fleiss_kappa

    judged = answers.groupby("person")["picture"].agg(frozenset)
    pictures = max(judged, key=lambda these: ((judged == these).sum(), len(these)))
    people = judged.index[judged == pictures]
    real = answers[answers["person"].isin(people)].groupby("picture")["real"].sum().to_numpy()
    if len(people) < 2 or real.sum() in (0, len(people) * len(real)):
        return np.nan, len(people), len(pictures)
    return float(fleiss_kappa(np.column_stack([real, len(people) - real]))), len(people), len(pictures)
