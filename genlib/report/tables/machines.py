"""The machines side by side, and the machine and software that a report's own runs were measured on."""
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from genlib import escape, experiments
from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.record import MB, MEGABYTES, ONCE, READINGS
from genlib.report import cells, choice, conditions, notes, prices
from genlib.report.summary import settings_but
from genlib.sessions import waiting

REFERENCE = N_("reference", "machine")
PLACE = ["machine", "device", "cpu", "reference", "weights"]  # what the runs of one place have in common
PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "numpy")  # whose version may change a figure


class Place(NamedTuple):
    """A machine with runs of one kind of weights: its name in this report, and its runs for Table 1."""
    name: str
    rows: pd.DataFrame


def places(report) -> list[Place]:
    """The machines to set side by side, all with the report's profile: its own first, then as `_rank` says.

    Reference runs of other weights stand there only if their machine was asked for.
    """
    every, own = report.everything, report.summary.iloc[0]
    every = every.assign(cpu=[escape.plain(run.machine.cpu or "") for run in every["run"]])
    beside = ~every["reference"] | (every["weights"] == own["weights"]) | report.machines_named
    every = choice.main_rows(every[every["machine"].isin(report.machines) & (every["profile"] == own["profile"]) & beside])
    found = sorted(every.groupby(PLACE, sort=False), key=lambda place: _rank(*place, own))[:choice.MOST]
    return [Place(_name(report, key, [other for other, _ in found]), choice.one_of_each(rows)) for key, rows in found]


def _rank(key: tuple, rows: pd.DataFrame, own: pd.Series) -> tuple:
    """The report's own place, the same weights, one's own before reference runs, the newest."""
    machine, _, _, reference, weights = key
    is_own = (machine, reference, weights) == (own["machine"], own["reference"], own["weights"])
    return not is_own, weights != own["weights"], reference, -rows["when"].max()


def _name(report, key: tuple, others: list[tuple]) -> str:
    """A device's name; with its processor, and its slug if need be, where another device has the same."""
    machine, device, cpu, reference, _ = key
    namesakes = {other[:3] for other in others if other[1] == device}
    processors = {other[2] for other in namesakes}
    details = [] if len(namesakes) == 1 else [cpu] if len(processors) == len(namesakes) else [machine, cpu]
    details = [detail for detail in details if detail and detail != device] + [report.say(REFERENCE)] * bool(reference)
    return f"{device} ({', '.join(details)})" if details else device


def by_model(places: list[Place]) -> Iterator[tuple[str, list[tuple[str, pd.Series]]]]:
    """Each experiment with its runs in the places that have it, by the place's name."""
    entries = [entry.slug for entry in experiments.EXPERIMENTS]
    for slug in dict.fromkeys([*entries, *(slug for place in places for slug in place.rows.index)]):
        if found := [(place.name, place.rows.loc[slug]) for place in places if slug in place.rows.index]:
            yield slug, found


def machines(report) -> tuple[pd.DataFrame, str]:
    """Time, memory and energy of each model by machine; the time's ratio is to that of its first row."""
    there = places(report)
    if len({place.name for place in there}) < 2:
        return pd.DataFrame(), report.say("Only one machine has runs with these weights and this profile.")
    rows, software = [], {}
    for slug, found in by_model(there):
        for name, run in found:
            said = "; ".join(conditions.differences(report, run, found[0][1], conditions.OF_A_MACHINE))
            rows.append(_row(report, slug, name, run.to_frame().T.assign(unlike=said).iloc[0], found))
            software.setdefault(said, {})[name] = None
    unlike = "; ".join(f"{', '.join(names)} ({said})" for said, names in software.items() if said)
    used = pd.concat([place.rows for place in there])
    profile = cells.profile(report, used["profile"].iloc[0])
    sentences = [
        report.say("All runs: {profile}.", profile=profile) if profile else "",
        report.say("The ratio is the time over that of the model’s first row; a dash stands where weights, model or settings are others "
                   "than there."),
        report.say("“Reference” marks runs of others, which are there to compare with.") if used["reference"].any() else "",
        report.say("Money is the mean time at the price of an hour of the device, one image at a time.") if report.prices
        else "",
        report.say("The readings are means ± standard deviations."), report.say("1 MB = 1024² bytes."),
        report.say("{mark} With other software than the model’s first row: {machines}.", mark=cells.UNLIKE, machines=unlike) if unlike
        else "", notes.of_resumed(report, used), notes.set_aside(report, used), *notes.of_loaded_before(report, used),
        *(report.say(cells.WEIGHTS[weights][1]) for weights in dict.fromkeys(used["weights"]))]
    return cells.without_empty_columns(pd.DataFrame(rows)), " ".join(filter(None, sentences))


def _row(report, slug: str, name: str, run: pd.Series, found: list[tuple[str, pd.Series]]) -> dict[str, str]:
    first, model = found[0][1], report.text(experiments.find(slug).label)
    if len({other["steps"] for _, other in found if pd.notna(other["steps"])}) > 1 and pd.notna(run["steps"]):
        model = f"{model} ({cells.steps_text(report, [run['steps']])})"
    ratio = report.significant(run["time_s"] / first["time_s"], 2) if _same_work(run, first) else MISSING
    means = {cells.short_head(report, reading): cells.mean(report, run, reading) for reading in ("vram_peak_bytes", "ram_bytes")}
    energy, hour = cells.head(report, READINGS["energy_j"]), report.prices.get(prices.name_of(report.prices, run["device"]))
    return {report.say(cells.MODEL): model, report.say(N_("Machine", "column")): name + cells.mark(run.to_frame().T),
            report.say(N_("Weights", "column")): report.say(cells.WEIGHTS[run["weights"]][0]),
            report.say(N_("Precision", "column")): run["dtype"] or MISSING, "n": cells.iterations(run),
            cells.short_head(report, "time_s"): cells.mean(report, run, "time_s") if run["n"] else cells.failure(report, run["run"]),
            report.say(cells.RATIO): ratio, **means,
            cells.head(report, ONCE["ram_above_bytes"]): notes.ram_above(report, run), energy: cells.mean(report, run, "energy_j"),
            report.say("Money for 1000 images"): MISSING if hour is None else report.significant(1000 * run["time_s"] / 3600 * hour, 2)}


def _same_work(run: pd.Series, other: pd.Series) -> bool:
    """Whether two runs did the same, so that their times have a ratio; a seed changes no time."""
    return bool((run[["weights", "model"]] == other[["weights", "model"]]).all()
                and settings_but(run["run"], "seed") == settings_but(other["run"], "seed"))


def environment(report) -> tuple[pd.DataFrame, str]:
    """What the runs of this report were measured on and with; where they differ, a row for each value."""
    rows = report.rows if len(report.rows) else report.summary
    found: dict[str, dict[str, list[str]]] = {}
    for slug, machine in ((row["experiment"], run.machine) for _, row in rows.iterrows() for run in row["runs"]):
        for what, value in _facts(report, machine).items():
            if value:
                found.setdefault(what, {}).setdefault(escape.plain(value), []).append(report.text(experiments.find(slug).label))
    lines = [(what, value if len(values) == 1 else f"{value} ({', '.join(dict.fromkeys(models))})")
             for what, values in found.items() for value, models in values.items()]
    heads = report.say(N_("What", "column")), report.say(N_("Value", "column"))
    return pd.DataFrame(lines, columns=heads), report.say("As these runs recorded it. 1 MB = 1024² bytes.")


def _facts(report, machine) -> dict[str, str]:
    """What is known of a machine, by the name of each fact; "" or None for what is not."""
    def number(value, unit=""):
        return "" if value is None else f"{report.rounded(value, 0)} {unit}".strip()

    def megabytes(size):
        return size and number(size / MB, report.say(MEGABYTES))

    versions = {package: machine.packages.get(package, "") for package in PACKAGES}
    commit = report.say("commit {commit}", commit=machine.commit) if machine.commit else ""
    return {
        report.say(N_("Device", "fact")): machine.device or machine.slug, report.say(N_("Driver", "fact")): machine.driver or "",
        "CUDA": machine.cuda or "",
        report.say(READINGS["vram_peak_bytes"].short): megabytes(machine.vram_bytes),
        report.say("Power limit"): number(machine.power_limit_w, report.say(N_("W", "unit"))),
        report.say(N_("Processor", "fact")): machine.cpu or "", report.say("Processor cores"): number(machine.cores),
        report.say("Threads of torch"): number(machine.threads),
        report.say("Waiting of idle threads"): report.text(waiting(machine) or ""),
        report.say(READINGS["ram_bytes"].short): megabytes(machine.ram_bytes),
        report.say("RAM, the container’s limit"): megabytes(machine.ram_limit_bytes),
        report.say("Operating system"): machine.os or "", report.say(N_("Container", "fact")): machine.container or "",
        "Python": machine.python or "", **versions, "genlib": ", ".join(filter(None, [machine.packages.get("genlib"), commit])),
        report.say("Settings of precision"): "; ".join(f"{name} = {value}" for name, value in machine.precision.items())}
