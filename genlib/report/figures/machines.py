"""The machines side by side: a panel for each model, a bar for each machine."""
import pandas as pd
from matplotlib.figure import Figure as Canvas

from genlib.experiments import find
from genlib.locale.numbers import MISSING
from genlib.report import cells
from genlib.report.figures.figure import bar_look, blank, drawable, in_lines, label, scale_of, spread_of
from genlib.report.tables.machines import by_model, places

PANELS = 4  # beside one another
NAME = 24  # letters of a line of a device's name
ROW_IN = 0.32  # for two lines of a name


def machines(report) -> tuple[Canvas, pd.DataFrame]:
    """The mean time of each model on every machine that has runs of the report's weights and profile.

    Each panel has a scale of its own. What is there to compare with is paler, and its name says so.
    """
    there = [place for place in places(report) if set(place.rows["weights"]) == {report.summary["weights"].iloc[0]}]
    models = list(by_model(there))
    lines = -(-len(models) // PANELS)
    figure = blank(height_in=0.9 + max(1, lines) * (0.4 + ROW_IN * len(there)))
    if not models:
        figure.text(0.5, 0.4, report.say("There is no run that this table takes."), ha="center")
        return figure, report.summary.iloc[:0]
    panels = figure.subplots(lines, min(PANELS, len(models)), squeeze=False)
    for ax in panels.flat[len(models):]:
        ax.set_axis_off()
    scales = [scale_of(pd.Series([run["time_s"] for _, run in found], dtype=float)) for _, found in models]
    logarithmic = "log" in scales  # all or none, so that one sentence says it
    for ax, (slug, found) in zip(panels.flat, models, strict=False):
        _panel(report, ax, slug, [dict(found).get(place.name) for place in there])
        _scale(ax, [run["time_s"] + (spread_of(run, "time_s") or 0) for _, run in found if run["time_s"] > 0], logarithmic)
    for ax in panels[:, 0]:
        ax.set_yticks(range(len(there)), [in_lines(drawable(place.name), NAME) for place in there], fontsize=8)
    heading = cells.short_head(report, "time_s")
    figure.supxlabel(report.say("{heading}, logarithmic scale", heading=heading) if logarithmic else heading, fontsize=9)
    return figure, pd.concat([place.rows for place in there])


def _panel(report, ax, slug: str, runs: list[pd.Series | None]) -> None:
    """A bar for each machine, with the mean beside it; why there is none otherwise."""
    for y, run in enumerate(runs):
        if run is None or pd.isna(run["time_s"]):
            text, end = MISSING if run is None else cells.failure(report, run["run"]), None
        else:
            text, spread = report.significant(run["time_s"], 2), spread_of(run, "time_s")
            ax.barh(y, run["time_s"], 0.7, xerr=spread, capsize=2, alpha=0.5 if run["reference"] else 1, **bar_look(find(slug)))
            end = run["time_s"] + (spread or 0)
        place = dict(xy=(0, y), xycoords=ax.get_yaxis_transform()) if end is None else dict(xy=(end, y))
        ax.annotate(text, xytext=(3, 0), textcoords="offset points", va="center", fontsize=8, **place)
    ax.set_title(label(report, slug), fontsize=8)
    ax.set_ylim(len(runs) - 0.5, -0.5)
    ax.set_yticks([])


def _scale(ax, ends: list[float], logarithmic: bool) -> None:
    """Room for the numbers at the right, which say what ticks would."""
    low, high = min(ends, default=1) / 3, max(ends, default=1)
    if logarithmic:
        ax.set_xscale("log")
        ax.set_xlim(low, high * (high / low) ** 0.8)
    else:
        ax.set_xlim(0, 1.7 * high)
    ax.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
    ax.spines["bottom"].set_visible(False)
