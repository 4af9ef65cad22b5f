"""What quality costs: the time of an image against its distance from real pictures, with the frontier."""
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure as Canvas

from genlib import scores
from genlib.experiments import find
from genlib.locale.numbers import MISSING
from genlib.report import cells
from genlib.report.figures.figure import blank, drawable, in_lines, markers_of, numbers_on, scale_of
from genlib.report.scores import VARIED, Cost, Line, cost, frontier, lines
from genlib.report.tables.scores import against, label, settings, symbol

STYLES = {"steps": "solid", "guidance_scale": "dashed", "truncation_psi": "dotted", "": "none"}
PLACES = {  # of the value of what was varied, about its point
    "steps": dict(xytext=(3, -4), ha="left", va="top"), "guidance_scale": dict(xytext=(-6, 0), ha="right", va="center"),
    "truncation_psi": dict(xytext=(6, 0), ha="left", va="center")}
NAME, LETTERS = 85, 95  # letters of a name in the legend, and of a line of what stands above it


def cost_of_quality(report) -> tuple[Canvas, pd.DataFrame]:
    """A panel for each distance, a line for each model and setting that was varied, in one machine's times.

    Bars are 95 % intervals. The frontier joins the sets that no other one beats in both time and distance.
    """
    found = cost(report)
    if found is None:
        figure = blank()
        figure.text(0.5, 0.4, in_lines(report.say("no sets of pictures with these weights have a score and a time"), 60), ha="center")
        return figure, report.scores.iloc[:0]
    drawn = list(lines(found.rows))
    figure = blank(height_in=3.6 + 0.2 * len(drawn))
    for ax, distance in zip(figure.subplots(1, len(found.distances), squeeze=False).flat, found.distances, strict=True):
        _panel(report, ax, found, drawn, distance)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, title=fill(_of_what(report, found), LETTERS), loc="outside lower center", frameon=False, fontsize=8,
                  title_fontsize=8)
    same = found.rows["profile"].nunique() == 1
    return figure, found.rows if same else found.rows.assign(profile="none")


def _of_what(report, found: Cost) -> str:
    return report.say("Compared with {pictures}; features: {network}; bars: 95 % intervals",
                      pictures=drawable(against(report, found.rows.iloc[0])), network=report.text(scores.NETWORKS[found.network]))


def _panel(report, ax, found: Cost, drawn: list[Line], distance: str) -> None:
    best = frontier(found.rows, distance)
    values, times = pd.Series([figure.value for figure in found.rows[distance]]), found.rows["time_s"]
    ax.plot([best["time_s"].iloc[0], *best["time_s"], times.max()], [values.max(), *best["value"], best["value"].iloc[-1]],
            drawstyle="steps-post", color="#BBBBBB", lw=5, zorder=0, label=report.say("frontier: no set is both quicker and nearer"))
    markers = markers_of(found.rows["experiment"].unique())
    for line in drawn:
        _line(report, ax, line, distance, markers[line.rows["experiment"].iloc[0]])
    if all(min(figure.value, figure.value if figure.low is None else figure.low) > 0 for figure in found.rows[distance]):
        ax.set_yscale("log")
    ax.set_xscale(scale_of(times))
    ax.margins(0.2)
    ax.set_xlabel(cells.short_head(report, "time_s"))
    ax.set_ylabel(report.text(scores.BY_NETWORK[distance].label))
    for axis in ax.xaxis, ax.yaxis:
        numbers_on(axis, report.decimal_sign)


def _line(report, ax, line: Line, distance: str, marker: str) -> None:
    """The sets of a line with their intervals, its ends with the value of what was varied beside them."""
    figures = list(line.rows[distance])
    lows = [0 if figure.low is None else max(0, figure.value - figure.low) for figure in figures]  # a bootstrap's may lie beside it
    highs = [0 if figure.high is None else max(0, figure.high - figure.value) for figure in figures]
    ax.errorbar(line.rows["time_s"], [figure.value for figure in figures], [lows, highs], ls=STYLES[line.setting], lw=1.2, marker=marker,
                color=find(line.rows["experiment"].iloc[0]).colour, markersize=5, markeredgecolor="black", markeredgewidth=0.5, capsize=2,
                elinewidth=0.8, label=in_lines(_name(report, line), NAME))
    for end in (0, -1) if line.setting else ():  # those between lie close
        row = line.rows.iloc[end]
        ax.annotate(symbol(report, line.setting, row["settings"][line.setting]), (row["time_s"], figures[end].value),
                    textcoords="offset points", fontsize=7, **PLACES[line.setting])


def _name(report, line: Line) -> str:
    """A model and what was varied, with its values and the settings that stayed."""
    first, varied = line.rows.iloc[0], ""
    if line.setting:
        values = [symbol(report, line.setting, row[line.setting]).rpartition(" ")[2] for row in line.rows["settings"]]
        varied = f"{report.say(VARIED[line.setting][0])}: {drawable('; '.join(values))}"
    kept = settings(report, first, but=line.setting)
    return f"{', '.join(filter(None, [drawable(label(report, first)), varied]))}{f' ({drawable(kept)})' * (kept != MISSING)}"
