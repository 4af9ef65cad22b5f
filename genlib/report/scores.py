"""Pictures that `genlib score` has scored, a row a set; and what quality costs: time against distance."""
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from genlib import escape, experiments, scores
from genlib.lines import say
from genlib.locale import N_
from genlib.record import Run

SETS = 500  # in one results folder that are read
VARIED = {  # settings that trade time or variety for quality, with how a line over each and its points are named
    "steps": (N_("by steps"), "{}"), "guidance_scale": (N_("by guidance scale g"), "g = {}"),
    "truncation_psi": (N_("by truncation ψ"), "ψ = {}")}
DISTANCES = ("frechet", "kid")  # of which less is better
LEAST = 3  # sets that show what quality costs
COLUMNS = ["folder", "experiment", "variant", "model", "weights", "profile", "dtype", "machine", "device", "settings", "time_s", "timed",
           "scores", "reference"]


def read(folders: Iterable, reference, runs: Iterable[Run]) -> pd.DataFrame:
    """A row for each scored set: beside the run.json of `runs`, and in `sets/*/` of the results folders.

    Columns: COLUMNS, of which settings is a dict and scores the whole record. Of sets that were drawn alike
    and compared with the same pictures one's own come before those of `reference`, then the newest. What
    cannot be read is skipped, and a line says so.
    """
    places = [(Path(run.folder, scores.FILE), run.reference) for run in runs if run.folder]
    for folder, is_reference in [*((folder, False) for folder in folders), *[(reference, True)] * (reference is not None)]:
        places += [(path, is_reference) for path in sorted(Path(folder, "sets").glob(f"*/{scores.FILE}"))[:SETS]]
    rows = {}
    for path, is_reference in places:
        try:
            found = scores.read(path) if path.is_file() else None
        except (ValueError, OSError) as error:
            say(f"skipped {error}")
            continue
        if found:
            rows.setdefault(path.resolve(), _row(found, is_reference))
    table = pd.DataFrame(list(rows.values()), columns=COLUMNS)
    if table.empty:
        return table
    table["key"] = [_key(row) for _, row in table.iterrows()]
    table["place"] = [_place(row) for _, row in table.iterrows()]
    table = table.assign(when=[row.scored for row in table["scores"]]).sort_values(["reference", "when"], ascending=[True, False])
    return table.drop_duplicates("key").sort_values("place", ignore_index=True)[COLUMNS]


def _row(found: scores.Scores, is_reference: bool) -> dict:
    drawn = found.drawn or scores.Drawn()
    texts = {name: escape.plain(getattr(drawn, name) or "") for name in COLUMNS[1:9]}
    return dict(folder=escape.plain(found.folder)) | texts | dict(
        weights=texts["weights"] or "none", profile=texts["profile"] or "none", settings=drawn.settings, time_s=drawn.time_s,
        timed=drawn.timed, scores=found, reference=is_reference)


def _key(row: pd.Series) -> str:
    against, known = row["scores"].against, row["experiment"] or row["model"]
    return json.dumps([*row[COLUMNS[1:10]], against and against.sha256, "" if known else row["folder"]], sort_keys=True)


def _place(row: pd.Series) -> tuple:
    """Where a set stands among the others: by model in the thesis's order, then by its settings."""
    slugs = [entry.slug for entry in experiments.EXPERIMENTS]
    place = slugs.index(row["experiment"]) if row["experiment"] in slugs else len(slugs)
    return place, row["experiment"], row["model"], row["variant"], *(_number(row["settings"].get(name)) for name in VARIED), row["folder"]


def _number(value) -> float:
    return float(value) if isinstance(value, (int, float)) else -1.0


class Cost(NamedTuple):
    """Sets of one machine and kind of weights, compared with the same pictures in features of one network.

    All have as many pictures: the fewer there are, the larger is a Fréchet distance, even of two samples of
    one distribution, and no interval says so (Chong and Forsyth 2020, arXiv:1911.07023).

    `rows` are as in `read`, with a column for each of DISTANCES that all of them have: its Figure.
    """
    rows: pd.DataFrame
    network: str
    distances: list[str]


def cost(report) -> Cost | None:
    """The sets that show what quality costs; None where fewer than LEAST can stand beside each other.

    Of several such groups that of the report's machine, then the largest.
    """
    own = report.summary.iloc[0]
    rows = report.scores[(report.scores["weights"] == own["weights"]) & report.scores["time_s"].notna()]
    best = None
    for network in scores.NETWORKS:
        for distances in ([*DISTANCES], ["frechet"], ["kid"]):
            names = [f"{distance}_{network}" for distance in distances]
            having = [set(names) <= found.figures.keys() and found.against is not None for found in rows["scores"]]
            there = rows[pd.Series(having, rows.index, dtype=bool)]
            alike = [(machine, found.against.sha256, found.features.get(network, ""), found.figures[names[0]].n)
                     for machine, found in zip(there["machine"], there["scores"], strict=True)]
            for (machine, *_), group in there.groupby(pd.Series(alike, there.index, dtype=object), sort=False):
                rank = machine == own["machine"], len(group)
                if len(group) >= LEAST and (best is None or rank > best[0]):
                    figures = {distance: [found.figures[name] for found in group["scores"]]
                               for distance, name in zip(distances, names, strict=True)}
                    best = rank, Cost(group.assign(**figures).reset_index(drop=True), network, distances)
    return best and best[1]


def frontier(rows: pd.DataFrame, distance: str) -> pd.DataFrame:
    """The sets that no other one beats in both time and distance, the quickest first."""
    rows = rows.assign(value=[figure.value for figure in rows[distance]]).sort_values(["time_s", "value"])
    return rows[rows["value"] < rows["value"].cummin().shift(fill_value=float("inf"))]


class Line(NamedTuple):
    """Sets that differ in one setting alone, in its order."""
    setting: str
    rows: pd.DataFrame


def lines(rows: pd.DataFrame) -> Iterator[Line]:
    """The lines over each of VARIED, then sets by themselves, of setting ""."""
    alone = set(rows.index)
    for setting in VARIED:
        having = rows[[type(settings.get(setting)) in (int, float) for settings in rows["settings"]]]
        for _, found in having.groupby(pd.Series({at: _key_but(row, setting) for at, row in having.iterrows()}, dtype=object), sort=False):
            values = [_number(settings[setting]) for settings in found["settings"]]
            if len(set(values)) > 1:
                alone -= set(found.index)
                yield Line(setting, found.iloc[pd.Series(values).argsort(kind="stable")])
    for place in sorted(alone):
        yield Line("", rows.loc[[place]])


def _key_but(row: pd.Series, setting: str) -> str:
    others = {name: value for name, value in row["settings"].items() if name != setting}
    return json.dumps([*row[COLUMNS[1:9]], others], sort_keys=True)
