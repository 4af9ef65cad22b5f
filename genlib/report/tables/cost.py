"""What many images cost, and what a service has to reckon with: latency, cold start, licence."""
from math import ceil, floor, isnan, log10

import pandas as pd

from genlib import escape, licences
from genlib.locale import N_
from genlib.locale.numbers import MISSING, grouped
from genlib.record import ONCE, SECONDS, Reading
from genlib.report import cells, notes, offers, prices, statistics
from genlib.report.offers import Offer
from genlib.report.summary import by_session
from genlib.report.tables.common import nothing

COUNTS = (10**3, 10**6, 10**9)  # of images
PRECISE = 0.01  # half the 95 % interval over the mean: up to here, three digits of a cost mean something
ESTIMATED = "≈"  # before a batch that was measured with fewer steps
FIRST, LOAD, DOWNLOAD = ONCE["first_image_s"], ONCE["load_time_s"], Reading(N_("Download", "reading"), SECONDS)


def cost(report) -> tuple[pd.DataFrame, str]:
    """What many images take at each model's best measured profile and batch: a row for each number of images.

    Money is hours and kWh at their prices: a dash if priced energy was not read.
    """
    found = {slug: offer for slug in report.rows.index if (offer := offers.best(report, slug))}
    if not found:
        return nothing(report)
    priced = offers.with_conditions(report, [offer.row for offer in found.values()])
    rows = [_cost_of(report, cells.with_steps(report, slug) + cells.mark(priced.iloc[[place]]), offer, images)
            for place, (slug, offer) in enumerate(found.items()) for images in COUNTS]
    note = [
        report.say("Each model is priced at the fastest of its measured profiles and batches: {offers}.",
                   offers="; ".join(f"{cells.with_steps(report, slug)} – {_name(report, offer)}" for slug, offer in found.items())),
        *_of_estimates(report, found), *_of_prompts(report, found),
        report.say("At the mean time an image, in three digits where its 95 % interval is known to lie within 1 %, else in two; it is "
                   "assumed that every image takes as long and that devices share the work without loss."),
        report.say("Energy is given of calls that take a second or longer."), *_of_prices(report, found),
        notes.note(report, priced, notes.ONLY_MEANS, memory=False)]
    return cells.without_empty_columns(pd.DataFrame(rows)), " ".join(filter(None, note))


def _name(report, offer: Offer) -> str:
    """The profile and the batch of an offer."""
    batch = report.count("batch of {n} image", "batch of {n} images", offer.batch)
    return ", ".join(filter(None, [cells.profile(report, offer.row["profile"]), f"{ESTIMATED} " * bool(offer.of_steps) + batch]))


def _of_estimates(report, found: dict[str, Offer]) -> list[str]:
    models = [f"{cells.with_steps(report, slug)} ({cells.steps_text(report, [offer.of_steps])})" for slug, offer in found.items()
              if offer.of_steps]
    return [report.say("{mark} An estimate: the batches were measured with fewer steps, and the time of one image is shortened by the "
                       "same share as there ({models}).", mark=ESTIMATED, models="; ".join(models))] if models else []


def _of_prompts(report, found: dict[str, Offer]) -> list[str]:
    """What a prompt takes, where none was priced: guidance may be skipped without one."""
    rows = {slug: offers.with_prompt(report, offer.row) for slug, offer in found.items() if not offer.row["run"].settings.get("prompt")}
    return [report.say("{model} is priced without a prompt; with one an image takes {time} s, one at a time.",
                       model=cells.with_steps(report, slug), time=report.significant(prompted.iloc[-1]["time_s"], 3))
            for slug, prompted in rows.items() if len(prompted)]


def _of_prices(report, found: dict[str, Offer]) -> list[str]:
    device, kwh = report.rows["device"].iloc[0], report.price_per_kwh
    hour, name = report.price_of(device), prices.name_of(report.prices, device)
    if report.prices and hour is None:
        return [report.say("The file of prices names no part of “{device}”, so that no money is given.", device=device)]
    if not (hour or kwh):
        return []
    return [report.say("Prices: {hour} for an hour of a device, {kwh} for a kWh.", hour=report.significant(hour or 0, 3),
                       kwh=report.significant(kwh, 3)),
            report.say("The hour has the price of “{name}” in the file of prices.", name=escape.plain(name)) if name else "",
            report.say("Where energy has a price and was not read, no money is given.")
            if kwh and any(isnan(offer.energy_j) for offer in found.values()) else ""]


def _cost_of(report, name: str, offer: Offer, images: int) -> dict[str, str]:
    row, hour = offer.row, report.price_of(offer.row["device"])
    # False for an estimate, and without an interval.
    precise = not offer.of_steps and row["time_s_high"] - row["time_s"] <= PRECISE * row["time_s"]
    digits = 3 if precise else 2
    hours, kwh = images * offer.time_s / 3600, images * offer.energy_j / 3.6e6
    priced = (hour or report.price_per_kwh) and not (report.prices and hour is None)
    money = hours * (hour or 0) + (kwh * report.price_per_kwh if report.price_per_kwh else 0)
    devices = _rounded_up(ceil(hours / report.limits.deadline_h), digits)
    return {
        report.say(cells.MODEL): name, report.say(N_("Batch", "column")): f"{ESTIMATED} " * bool(offer.of_steps) + grouped(offer.batch),
        report.say(N_("Images", "column")): grouped(images),
        report.say("Images an hour"): _plain(report, 3600 / offer.time_s, digits),
        report.say("Device hours"): _plain(report, hours, digits), report.say(N_("kWh", "column")): _plain(report, kwh, digits),
        report.say("Devices for {hours} h", hours=f"{report.limits.deadline_h:g}"): grouped(devices),
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


def service(report) -> tuple[pd.DataFrame, str]:
    """How long a caller waits for one image, and for the first one; whether it may earn money."""
    found = [row for slug in report.rows.index for row in offers.of_each_profile(report, slug)]
    if not found:
        return nothing(report)
    used = offers.with_conditions(report, found)
    rows = [_service_of(report, row, cells.mark(used.iloc[[place]])) for place, row in enumerate(found)]
    note = [
        report.say("One image a call. By p50 half of the images are there, by p95 95 of 100; p95 is given from {n} iterations on, since of "
                   "fewer it would be the slowest.", n=statistics.FOR_P95),
        report.say("A cold start is the download, where there was one, the loading and the first image, for which parts may be compiled, "
                   "without the start of Python and its libraries; a dash stands where a part is not known, or the process had loaded "
                   "another model before."),
        *terms(report, found),
        notes.note(report, used, N_("Percentiles of the iterations, means of the rest"), memory=False)]
    return cells.without_empty_columns(pd.DataFrame(rows)), " ".join(filter(None, note))


def _service_of(report, row: pd.Series, mark: str) -> dict[str, str]:
    parts = row[["download_time_s", "load_time_s", "first_image_s"]].astype(float)
    cold = float("nan") if parts[1:].isna().any() or not notes.own_ram(row) else parts.sum()  # a device in use is warm
    texts = [cells.figure(report, part, reading) for part, reading in zip(parts, (DOWNLOAD, LOAD, FIRST), strict=True)]
    heads = [cells.head(report, reading) for reading in (DOWNLOAD, LOAD, FIRST)]
    p50, p95 = statistics.waits(by_session(row["runs"], "time_s"))
    licence = licences.of(row["run"].model)
    return {report.say(cells.MODEL): cells.with_steps(report, row["experiment"]) + mark,
            report.say(N_("Profile", "column")): cells.profile(report, row["profile"]) or MISSING, "n": cells.iterations(row),
            report.say("p50 (s)"): report.significant(p50, 3), report.say("p95 (s)"): report.significant(p95, 3),
            **dict(zip(heads, texts, strict=True)), report.say("Cold start (s)"): report.significant(cold, 3),
            report.say(N_("Licence", "column")): of_licence(report, licence)}


def of_licence(report, licence: licences.Licence | None) -> str:
    """A licence by its name."""
    return licence.name if licence else report.say(N_("unknown", "licence"))


def terms(report, rows: list[pd.Series]) -> list[str]:
    """What the licences of rows allow, for the note of a table that names them."""
    found = dict.fromkeys(licences.of(row["run"].model) for row in rows)
    known = "; ".join(f"{licence.name} – {report.say(licence.terms)}" for licence in found if licence)
    return [*([report.say("Licences: {terms}.", terms=known)] if known else []),
            *([report.say("Random weights have the licence of the published ones for which they stand.")]
              if rows[0]["weights"] == "random" else []),
            *([report.say("What the licence of a model of one’s own allows is not known here: read it.")] if None in found else [])]
