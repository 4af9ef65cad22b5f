"""The models side by side: Table 1, the published figures beside it, all readings, cost of many images."""
from math import ceil, floor, log10

import pandas as pd

from genlib import experiments
from genlib.locale import N_
from genlib.locale.numbers import MISSING, grouped, is_missing
from genlib.record import ONCE, QUALITIES, READINGS, SHOWN, TABLE1, Reading
from genlib.report import cells, choice, notes
from genlib.report.tables import sessions
from genlib.report.tables.common import in_one_precision, line, nothing

COUNTS = (10**3, 10**6, 10**9)  # of images
PRECISE = 0.01  # half the 95 % interval over the mean: up to here, three digits of a cost mean something
AROUND_TIME = ["first_image_s", "time_s", "time_s_median", "interval", "time_s_cv"]  # what is said of the time, together


def results(report) -> tuple[pd.DataFrame, str]:
    """Table 1 as the thesis prints it: a row for each model, measured or not, "mean ± standard deviation"."""
    if report.rows.empty:
        return nothing(report)
    entries = [entry.slug for entry in experiments.EXPERIMENTS if entry.table == "results"]
    rows = [line(report, cells.name(report, slug, in_table1=True), report.rows.loc[slug] if slug in report.rows.index else None)
            for slug in dict.fromkeys([*entries, *report.rows.index])]
    note = [notes.note(report, report.rows), in_one_precision(report), sessions.another_day(report), *_names_of_rows(report),
            *choice.several_places(report, report.rows)]
    return pd.DataFrame(rows), " ".join(filter(None, note))


def _names_of_rows(report) -> list[str]:
    """What the thesis's names mean in other tables, and whose names are those of records."""
    pairs = ", ".join(report.say("{thesis_name} is {model}", thesis_name=report.text(entry.thesis_label), model=report.text(entry.label))
                      for entry in experiments.EXPERIMENTS if entry.table == "results" and entry.thesis_label)
    known = [entry.slug for entry in experiments.EXPERIMENTS]
    strange = ", ".join(cells.with_steps(report, slug) for slug in report.rows.index if slug not in known)
    return [report.say("The rows are named as {reproduced}: {pairs}.", reproduced=report.reproduced, pairs=pairs)] + [
        report.say("Experiments that genlib does not know are shown under the names in their records: {names}.",
                   names=strange)] * bool(strange)


def beside_thesis(report) -> tuple[pd.DataFrame, str]:
    """Each reading of Table 1 beside the thesis's figure, with their ratio where the two can be compared."""
    rows, measured = [], [slug for slug in report.rows.index if experiments.find(slug).published]
    for slug, row in report.rows.loc[measured].iterrows():
        for name in TABLE1:
            reading, there = READINGS[name], experiments.find(slug).published.averages.get(name)
            ratio = report.significant(row[name] / there, 2) if comparable(row, name) and not is_missing(row[name]) else MISSING
            rows.append({
                report.say(cells.MODEL): cells.name(report, slug), report.say(cells.READING): cells.short_head(report, name),
                report.say(N_("measured", "column")): cells.mean(report, row, name),
                report.say(cells.PUBLISHED): report.rounded(there and there / reading.scale, 2 if reading.digits else 0),
                report.say(cells.RATIO): ratio})
    if not rows:
        return nothing(report)
    like = report.say("A ratio is given of weights at full size, with the same model, number of steps and way of reading.")
    if report.summary["vram_peak_bytes"].isna().all():
        like += " " + report.say("Without a GPU the weights lie in RAM, of which no ratio is given.")
    return pd.DataFrame(rows), f"{notes.given(report)} {like} {notes.note(report, report.rows.loc[measured])}"


def comparable(row: pd.Series, name: str) -> bool:
    """Whether a reading of a run may be held against the thesis's figure.

    It has to be of weights at full size, the same model and number of steps, and read in the same way; RAM of
    a machine with a GPU, since the weights lie in it elsewhere.
    """
    entry = experiments.find(row["experiment"])
    published = entry.published
    if published is None or name not in published.averages or name in published.read_otherwise:
        return False
    in_ram = name == "ram_bytes" and is_missing(row["vram_peak_bytes"])
    its_steps = is_missing(row["steps"]) or row["steps"] == experiments.STEPS
    return bool(not in_ram and row["weights"] in ("published", "random") and its_steps and not entry.is_other_model(row))


def readings(report) -> tuple[pd.DataFrame, str]:
    """A row for each reading that a run has, a column for each model. Energy and work are those of a call."""
    if report.rows.empty:
        return nothing(report)
    qualities = [f"quality.{name}" for name in QUALITIES] + sorted(name for name in report.rows.columns if name.startswith("quality."))
    rest = [name for name in ONCE if name not in AROUND_TIME]
    memory = SHOWN[1:SHOWN.index("ram_bytes") + 1] + ["ram_above_bytes"]
    rows = []
    for name in dict.fromkeys(["n", *AROUND_TIME, *memory, *SHOWN[1:], *rest, *qualities]):
        texts = {cells.name(report, slug): _reading_cell(report, run, name) for slug, run in report.rows.iterrows()}
        if set(texts.values()) != {MISSING}:
            rows.append({report.say(cells.READING): _reading_name(report, name)} | texts)
    origins = choice.several_places(report, report.rows) or [
        report.say("The runs are from “{origin}”.", origin=report.rows["origin"].iloc[0])]
    rates_known = report.rows[["flops_per_s", "matmul_flops_per_s"]].notna().all(axis=1)
    shares = [report.say("A share of the machine’s rate above 100 % is not given: another program slowed the measurement of that rate, or "
                         "the clock rose after it.")] if report.rows.loc[rates_known, "machine_share"].isna().any() else []
    return pd.DataFrame(rows), " ".join([notes.note(report, report.rows), *notes.of_originals(report, report.rows), *shares, *origins])


def _reading_name(report, name: str) -> str:
    named = {"n": N_("Iterations (failed)"), "interval": N_("95 % interval of the mean (s)")}
    return report.say(named[name]) if name in named else cells.head(report, _reading(name))


def _reading(name: str) -> Reading:
    quality = name.removeprefix("quality.")
    return READINGS.get(name) or ONCE.get(name) or QUALITIES.get(quality) or Reading(quality)


def _reading_cell(report, row: pd.Series, name: str) -> str:
    if name == "n":
        return f"{cells.iterations(row)} ({row['failed']})"
    if name == "ram_above_bytes":
        return notes.ram_above(report, row)
    if name == "interval":
        return cells.interval(report, row)
    return cells.mean(report, row, name) if name in READINGS else cells.figure(report, row.get(name), _reading(name))


def cost(report) -> tuple[pd.DataFrame, str]:
    """What many images take at the measured mean time: a row for each model and number of images.

    Money is hours and kWh at their prices: a dash if priced energy was not read.
    """
    rows = []
    for slug, run in report.rows.dropna(subset=["time_s"]).iterrows():
        precise = run["time_s_high"] - run["time_s"] <= PRECISE * run["time_s"]  # False without an interval
        rows += [_cost_of(report, cells.name(report, slug), run, images, 3 if precise else 2) for images in COUNTS]
    if not rows:
        return nothing(report)
    note = report.say("At the measured mean time an image, in three digits where its 95 % interval is known to lie within 1 %, else in "
                      "two; it is assumed that every image takes as long and that devices share the work without loss.")
    prices = report.say("Prices: {hour} for an hour of a device, {kwh} for a kWh.", hour=report.significant(report.price_per_hour, 3),
                        kwh=report.significant(report.price_per_kwh, 3)) if report.price_per_hour or report.price_per_kwh else ""
    note = " ".join(filter(None, [note, prices, notes.note(report, report.rows, notes.ONLY_MEANS, memory=False)]))
    return cells.without_empty_columns(pd.DataFrame(rows)), note


def _cost_of(report, name: str, run: pd.Series, images: int, digits: int) -> dict[str, str]:
    hours, kwh = images * run["time_s"] / 3600, images * run["energy_j"] / 3.6e6
    money = hours * report.price_per_hour + (kwh * report.price_per_kwh if report.price_per_kwh else 0)
    priced = report.price_per_hour or report.price_per_kwh
    devices = _rounded_up(ceil(hours / report.deadline_h), digits)
    return {
        report.say(cells.MODEL): name, report.say(N_("Images", "column")): grouped(images),
        report.say("Images an hour"): _plain(report, 3600 / run["time_s"], digits),
        report.say("Device hours"): _plain(report, hours, digits), report.say(N_("kWh", "column")): _plain(report, kwh, digits),
        report.say("Devices for {hours} h", hours=f"{report.deadline_h:g}"): grouped(devices),
        report.say(N_("Money", "column")): _plain(report, money, digits) if priced else MISSING}


def _plain(report, value: float, digits: int) -> str:
    """In so many significant digits, of which the rest are zeros."""
    if value > 0:
        value = round(value, digits - 1 - floor(log10(value)))
    return grouped(value) if value >= 1000 else report.significant(value, digits)


def _rounded_up(devices: int, digits: int) -> int:
    """A number of devices to so many significant digits, never fewer than are needed."""
    place = 10 ** max(0, len(str(devices)) - digits)
    return ceil(devices / place) * place
