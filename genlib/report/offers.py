"""At which of its measured profiles and batches a model is offered, and what an image takes there."""
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from genlib.experiments import find
from genlib.report import conditions
from genlib.report.choice import GROUP
from genlib.report.summary import as_number, settings_but
from genlib.runs import variant_of

BATCH = "batch_size"
ALIKE = ["reference", *GROUP, "experiment", "method", "model", "dtype"]  # with `settings_but`
LONG_S = 1  # a call, of which energy is told: its counter moves every 20 to 100 ms


class Offer(NamedTuple):
    """A model at a profile and a batch, and what an image takes there."""
    row: pd.Series  # that was measured; where `of_steps` is given, the one for a single image
    batch: int
    time_s: float
    energy_j: float  # NaN where it is not known
    of_steps: float | None = None  # by which batches were measured, where the row has more: both figures are then estimates


def of_each_profile(report, slug: str) -> list[pd.Series]:
    """The row of an experiment in Table 1, then the newest like it in each other profile, with a time."""
    row, same = report.rows.loc[slug], [name for name in ALIKE if name != "profile"]
    rows = _alike(report.everything, row, same, "seed")
    others = rows[(rows["variant"] == "") & (rows["profile"] != row["profile"])].sort_values("when", kind="stable")
    found = [row, *(other for _, other in others.drop_duplicates("profile", keep="last").iterrows())]
    return [one for one in found if pd.notna(one["time_s"])]


def best(report, slug: str) -> Offer | None:
    """The fastest of an experiment's measured profiles and batches; None if no run succeeded."""
    found = [offer for row in of_each_profile(report, slug) for offer in _of_profile(report, row)]
    return min(found, key=lambda offer: offer.time_s, default=None)


def with_prompt(report, row: pd.Series) -> pd.DataFrame:
    """Runs that succeeded, newest last, with a prompt and the same model, precision, profile and steps."""
    rows, same = report.everything.sort_values("when", kind="stable"), ALIKE
    rows = rows[(rows[same] == row[same]).all(axis=1) & rows["variant"].isin(["", find(row["experiment"]).prompted_variant])
                & ((rows["steps"] == row["steps"]) | (rows["steps"].isna() & pd.isna(row["steps"])))]
    return rows[[bool(one.settings.get("prompt")) for one in rows["run"]]].dropna(subset=["time_s"])


def with_conditions(report, rows: list[pd.Series]) -> pd.DataFrame:
    """Rows of any profile as a frame, with `unlike`: what was otherwise in each than in most of Table 1."""
    frame = pd.DataFrame(rows).infer_objects()
    return frame.assign(unlike=conditions.unlike(report, frame, report.rows.loc[report.standard[0]], dtypes=True))


def _of_profile(report, row: pd.Series) -> Iterator[Offer]:
    """One image at a time, and each batch. Batches of fewer steps say by which share of its time alone an
    image in a batch is faster: that share of the row's own time is an estimate."""
    yield Offer(row, 1, row["time_s"], _energy(row))
    rows = _alike(report.everything, row, ALIKE, "seed", "steps", BATCH)
    rows = rows[rows["variant"].str.startswith(variant_of(BATCH))].dropna(subset=["time_s"])
    sizes = pd.Series([as_number(run.settings.get(BATCH)) for run in rows["run"]], rows.index, dtype=float)
    for i in sizes.index[(sizes > 1) & (sizes % 1 == 0)]:
        batch, n = rows.loc[i], int(sizes[i])
        if batch["steps"] == row["steps"] or pd.isna(row["steps"]):
            yield Offer(batch, n, batch["time_s"] / n, _energy(batch) / n)
            continue
        for _, one in rows[(sizes == 1) & (rows["steps"] == batch["steps"])].iterrows():
            yield Offer(row, n, row["time_s"] * batch["time_s"] / n / one["time_s"],
                        _energy(row) * _energy(batch) / n / _energy(one), batch["steps"])


def _alike(rows: pd.DataFrame, row: pd.Series, same: list[str], *but: str) -> pd.DataFrame:
    """The rows that have these columns, and all settings but some, in common with a row."""
    rows = rows[(rows[same] == row[same]).all(axis=1)]
    return rows[[settings_but(run, *but) == settings_but(row["run"], *but) for run in rows["run"]]]


def _energy(row: pd.Series) -> float:
    """That of a call, if it is long enough for the counter."""
    return row["energy_j"] if row["time_s"] >= LONG_S else float("nan")
