"""Which runs a report is made of, and which run of each experiment its main tables show."""
import re
import warnings

import pandas as pd

from genlib import escape, experiments
from genlib.spelling import meant

GROUP = ["machine", "weights", "profile"]
SAME = [*GROUP, "reference"]  # for all runs of a report
SEPARATOR = " · "
MOST = 40  # experiments in a report: a figure with a row for each of 200 is too high for matplotlib


def main_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs that count for Table 1: our method, no variant, of experiments whose main table it is."""
    of_table1 = rows["experiment"].map(lambda slug: experiments.find(slug).table == "results").astype(bool)
    return rows[(rows["method"] == "genlib") & (rows["variant"] == "") & of_table1]


def groups(rows: pd.DataFrame) -> pd.DataFrame:
    """The groups of runs for a report: first those with runs for Table 1, then own ones, then the newest.

    What no model made is in none.
    """
    ours = rows[(rows["method"] == "genlib") & ~rows["experiment"].isin([entry.slug for entry in experiments.OTHER_METHODS])]
    ours = ours.assign(main=ours["folder"].isin(main_rows(rows)["folder"]))
    ours = ours[ours["main"] | ~ours.groupby(SAME)["main"].transform("any").astype(bool)]  # a newer condition makes no group newer
    found = ours.groupby(SAME, as_index=False).agg(
        main=("main", "any"), when=("when", "max"), started=("started", "max"), experiments=("experiment", "nunique"))
    found = found.sort_values(["main", "reference", "when"], ascending=[False, True, False], ignore_index=True)
    return found.assign(started=found["started"].str[:19])[[*SAME, "started", "experiments"]]


def machines(rows: pd.DataFrame, asked: str) -> dict[str, int]:
    """The machines that are asked for, each with the place at which `asked` names it; all, at 0, if it is "".

    `asked` is a slug, a device's name or any part of one, or several, separated by commas; a part stands for
    every machine that it fits, a whole name for that machine alone. Raises ValueError, naming the runs that
    there are, for what fits none.
    """
    def plain(name: str) -> str:
        return " ".join(name.lower().split())

    slugs = groups(rows)["machine"].drop_duplicates().tolist()
    known = {slug: set(map(plain, [slug, *rows.loc[rows["machine"] == slug, "device"]])) for slug in slugs}
    is_name = any(plain(asked) in names for names in known.values())  # even with a comma in it
    found: dict[str, int] = {}
    for place, part in enumerate(filter(None, map(plain, [asked] if is_name else asked.split(",")))):
        whole = [slug for slug in slugs if part in known[slug]]
        fitting = whole or [slug for slug in slugs if any(part in name for name in known[slug])]
        if slugs and not fitting:
            raise _nothing_of([part], rows)
        found = dict.fromkeys(fitting, place) | found
    return found or dict.fromkeys(slugs, 0)


def choose(rows: pd.DataFrame, asked: str, weights: str, profile: str) -> pd.DataFrame:
    """All runs of the best group that fits what is asked for, of the machine named first; "" fits any.

    A warning tells of more than MOST experiments. Raises ValueError, naming the groups that there are, if
    none fits.
    """
    wanted = groups(rows)
    if wanted.empty:
        raise ValueError("there are no finished runs of models in what was given: run notebooks 1 to 3 first, or give the folder of their "
                         "results")
    for name, value in ("weights", weights), ("profile", profile):
        wanted = wanted[wanted[name] == value] if value else wanted
    named = machines(rows, asked)
    wanted = wanted.assign(place=wanted["machine"].map(named)).dropna(subset=["place"]).sort_values("place", kind="stable")
    if wanted.empty:
        raise _nothing_of([name for name in (asked, weights, profile) if name], rows)
    chosen = rows[(rows[SAME] == wanted.iloc[0][SAME]).all(axis=1)]
    if (number := main_rows(chosen)["experiment"].nunique()) > MOST:
        warnings.warn(f"there are {number} experiments, and the first {MOST} are shown: give a part of the results", stacklevel=3)
    return chosen


def _nothing_of(asked: list[str], rows: pd.DataFrame) -> ValueError:
    there = "; ".join(names(groups(rows)))
    known = pd.unique(rows[["machine", "device", "weights", "profile"]].to_numpy().ravel())
    parts = [part for name in known for part in (name, *re.split(r"[\s-]+", name))]  # of a device's name any will do
    near = next(filter(None, (meant(part, parts) for part in asked if not any(part.lower() in name.lower() for name in known))), "")
    return ValueError(f"there is no run of {SEPARATOR.join(asked)}{near}; there are: {there}. Run notebooks 1 to 3, or choose another")


def names(found: pd.DataFrame) -> list[str]:
    """The names of groups, each once."""
    return list(dict.fromkeys(SEPARATOR.join(row) for row in found[GROUP].to_numpy()))


def origins(report) -> list[str]:
    """Where the runs are from, if own ones stand beside others, or some count instead of others' runs."""
    rows = report.summary
    every = [run for runs in rows["runs"] for run in runs]
    places = several_places(report, rows) if any(run.archive is None for run in every) else []
    displaced = dict.fromkeys((run.origin, ", ".join(run.displaced)) for run in every if run.displaced)
    return places + [report.say(
        "Where both have runs of the same machine and settings, those of {origin} count and those of {others} do not: one’s own come "
        "before an archive’s.", origin=escape.plain(origin), others=escape.plain(others)) for origin, others in displaced]


def several_places(report, rows: pd.DataFrame) -> list[str]:
    """The sentence that names each folder or archive of the runs with its experiments; none for one."""
    found: dict[str, list[str]] = {}
    for _, row in rows.iterrows():
        for run in row["runs"]:
            found.setdefault(escape.plain(run.origin), []).append(report.text(experiments.find(row["experiment"]).label))
    names = [f"{origin} ({', '.join(dict.fromkeys(labels))})" for origin, labels in sorted(found.items())]
    return [report.say("The runs come from several places: {places}.", places="; ".join(names))] if len(names) > 1 else []


def one_of_each(rows: pd.DataFrame) -> pd.DataFrame:
    """One run for each experiment, for Table 1: all with the newest number of steps that they have in common.

    An experiment without a run of that number of steps is there with its newest run, and so are all if they
    have none in common; the steps then stand beside the name. Of more than MOST the first are there, ours
    before others.
    """
    rows = main_rows(rows).sort_values("when", kind="stable")
    denoised = rows.dropna(subset=["steps"])
    shared = denoised.groupby("steps")["experiment"].nunique() == denoised["experiment"].nunique()
    candidates = denoised[denoised["steps"].map(shared).astype(bool)] if shared.any() else denoised
    alike = rows["steps"].isna() | rows["steps"].isin(candidates["steps"].tail(1))
    rows = rows.loc[alike.sort_values(kind="stable").index].drop_duplicates("experiment", keep="last")
    rows = rows.set_index("experiment", drop=False)
    known = [entry.slug for entry in experiments.EXPERIMENTS if entry.slug in rows.index]
    return rows.loc[[*known, *sorted(set(rows.index) - set(known))][:MOST]].rename_axis(None)
