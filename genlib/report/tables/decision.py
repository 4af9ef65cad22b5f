"""Which model stays within the limits that a reader has set, by which figure."""
from typing import NamedTuple

import pandas as pd

from genlib import licences
from genlib.experiments import find
from genlib.locale import N_
from genlib.locale.numbers import MISSING, is_missing
from genlib.record import MB
from genlib.report import cells, notes, offers
from genlib.report.summary import readings
from genlib.report.tables.common import nothing
from genlib.report.tables.cost import of_licence, terms
from genlib.report.uses import held_by_device

GB = 1024**3
VERDICTS = {True: N_("met", "limit"), False: N_("not met", "limit"), None: N_("not known", "limit")}
TIME, MEMORY, TEXT, COMMERCIAL = (
    N_("Time", "limit"), N_("Memory", "limit"), N_("Text prompt"), N_("Commercial use"))


class Judged(NamedTuple):
    """A model in one profile, held against the limits."""
    row: pd.Series
    profile: str  # in words; "" where all that are judged have the same
    limits: dict[str, tuple[bool | None, str]]  # by the limit's name: whether it is met, None if not known, and the figure

    @property
    def met(self) -> bool | None:
        """Whether all limits are; None where that is not known."""
        found = {met for met, _ in self.limits.values()}
        return False if False in found else None if None in found else True

    def name(self, report) -> str:
        """The model, with its profile where that tells it from others."""
        return ", ".join(filter(None, [cells.with_steps(report, self.row["experiment"]), self.profile]))


def judged(report, slugs) -> list[Judged]:
    """Each of these experiments, in each profile that was measured, where an iteration succeeded."""
    rows = [row for slug in slugs for row in offers.of_each_profile(report, slug)]
    several = len({row["profile"] for row in rows}) > 1
    return [Judged(row, cells.profile(report, row["profile"]) if several else "", _by_limit(report, row)) for row in rows]


def _by_limit(report, row: pd.Series) -> dict[str, tuple[bool | None, str]]:
    limits, found = report.limits, {}
    prompted = offers.with_prompt(report, row) if limits.text else []
    shown = prompted.iloc[-1] if len(prompted) else row  # what a prompt takes, with guidance
    if limits.seconds:
        found[TIME] = _within(shown["time_s_low"], shown["time_s_high"], limits.seconds), report.say(
            "{time} s ({interval})", time=report.significant(shown["time_s"], 3), interval=cells.interval(report, shown))
    if limits.gb:
        held = _held(shown)
        found[MEMORY] = _within(held, held, limits.gb * GB), "" if is_missing(held) else report.say(
            "{mb} MB", mb=report.rounded(held / MB, 0))
    if limits.text:
        found[TEXT] = find(row["experiment"]).takes_text, ""
    if limits.commercial:
        licence = licences.of(row["run"].model)
        found[COMMERCIAL] = licence and licence.commercial, of_licence(report, licence)
    return found


def _within(low: float, high: float, limit: float) -> bool | None:
    """Whether a figure is at most the limit; None where it is unknown or its interval holds the limit."""
    return True if high <= limit else False if low > limit else None


def _held(row: pd.Series) -> float:
    """The most memory that it held: on a GPU of the device, else of a process of its own; NaN if unknown."""
    if not is_missing(row["vram_peak_bytes"]):
        return pd.Series([held_by_device(run) for run in row["runs"]]).max()
    return pd.Series([readings(run.good, "ram_peak_bytes").max() for run in row["runs"]]).max() if notes.own_ram(row) else float("nan")


def decision(report) -> tuple[pd.DataFrame, str]:
    """A row for each model and profile: each limit met or not, by its figure, and whether all are."""
    if report.rows.empty or not report.limits:
        return pd.DataFrame(), report.say(
            "No limits were given: say what an image may take ({names}), and each model is held against it.",
            names="LIMITS")
    found = judged(report, report.rows.index)
    if not found:
        return nothing(report)
    used = offers.with_conditions(report, [one.row for one in found])
    rows = [_row(report, one, cells.mark(used.iloc[[place]])) for place, one in enumerate(found)]
    note = [report.say("Limits: {limits}.", limits=told(report)),
            report.say("The time is the mean of a call that draws one image, with its 95 % interval: within the limit or above it as a "
                       "whole, or else not known.") if report.limits.seconds else "",
            report.say("Where a text is needed, time and memory are those of a run with a prompt, if there is one.") if
            report.limits.text else "",
            report.say("Memory is the most that the device held on a GPU, and without one the process’s peak, where it had loaded no "
                       "other model before.") if report.limits.gb else "",
            report.say("1 MB = 1024² bytes.") if report.limits.gb else "",
            *(terms(report, [one.row for one in found]) if report.limits.commercial else []),
            notes.note(report, used, notes.ONLY_MEANS, memory=False)]
    return cells.without_empty_columns(pd.DataFrame(rows)), " ".join(filter(None, note))


def _row(report, one: Judged, mark: str) -> dict[str, str]:
    verdicts = {report.say(limit): ": ".join(filter(None, [report.say(VERDICTS[met]), figure]))
                for limit, (met, figure) in one.limits.items()}
    return {report.say(cells.MODEL): cells.with_steps(report, one.row["experiment"]) + mark,
            report.say(N_("Profile", "column")): one.profile or MISSING, **verdicts,
            report.say("All limits"): report.say(VERDICTS[one.met])}


def told(report) -> str:
    """The limits in words."""
    limits = report.limits
    return "; ".join([
        *([report.say("at most {s} s an image", s=f"{limits.seconds:g}")] if limits.seconds else []),
        *([report.say("at most {gb} GB of memory", gb=f"{limits.gb:g}")] if limits.gb else []),
        *([report.say("a text prompt")] if limits.text else []),
        *([report.say("a licence that allows commercial use")] if limits.commercial else [])])
