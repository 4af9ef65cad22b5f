"""Charts of time and memory."""
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from genlib import runs
from genlib.experiments import Experiment, Loop, find
from genlib.locale import N_
from genlib.record import READINGS, TABLE1
from genlib.report import cells
from genlib.report.figures.figure import bar_look, blank, in_lines, label, markers_of, numbers_on, scale_of, spread_of
from genlib.report.summary import readings
from genlib.report.tables.comparison import comparable
from genlib.report.tables.growth import line_through, loops, unit

NUMBER = 0.13  # the height of a number above a bar, as a share of the panel's
POINT, LARGER, NEAR = 8, 5, 0.06  # the size of a point, what a covered one has more, and how near it is covered, as a share
TICKS = 25  # the most numbers below an axis
SESSION, MARGIN = 0.7, 0.05  # the width of a session, whose places are 1 apart; the least of an axis around a mean, as a share
LETTERS = 75  # of a line below a figure
SIDE_BY_SIDE = 6  # the most bars of a panel that has panels beside it


def bars(report) -> tuple[Canvas, pd.DataFrame]:
    """Time, VRAM and RAM of the experiments side by side, with the standard deviation as error bar.

    A dashed line across a bar is the thesis's figure, where the two can be compared.
    """
    height_in, shape = (3.4, (1, len(TABLE1))) if len(report.rows) <= SIDE_BY_SIDE else (8, (len(TABLE1), 1))
    figure = blank(height_in)
    for ax, name in zip(figure.subplots(*shape), TABLE1, strict=True):
        bars_of(report, ax, name)
    if lines := {text: line for ax in figure.axes for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}:
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", frameon=False, fontsize=8)
    return figure, report.rows


def bars_of(report, ax, name: str) -> None:
    """A bar for each experiment; a panel without readings says so."""
    reading, runs = READINGS[name], report.rows.dropna(subset=[name])
    ax.set_title(cells.short_head(report, name), fontsize=8)
    if runs.empty:
        ax.text(0.5, 0.5, in_lines(report.say("not measured on this machine"), 14), ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return
    tops, published = [], []
    for x, (slug, run) in enumerate(runs.iterrows()):
        value, spread = run[name] / reading.scale, spread_of(run, name)
        ax.bar(x, value, yerr=spread, capsize=3, **bar_look(find(slug)))
        tops.append(value + (spread or 0))
        published.append(find(slug).published.averages[name] / reading.scale if comparable(run, name) else None)
        if published[x] is not None:
            ax.hlines(published[x], x - 0.45, x + 0.45, colors="black", linestyles="dashed", label=report.say(cells.PUBLISHED),
                      path_effects=[withStroke(linewidth=3.5, foreground="white")])
    names = [label(report, slug) for slug in runs.index]
    names = [name.replace(" ", "\n") for name in names] if len(names) <= SIDE_BY_SIDE else names
    ax.set_xticks(range(len(names)), names, fontsize=8, rotation=90)
    ax.set_yscale(scale_of(runs[name]))
    ax.margins(y=0.2)
    ax.autoscale()
    ax.set_xlim(-0.6, max(len(names), 4) - 0.4)  # a few bars are no wider than four
    numbers_on(ax.yaxis, report.decimal_sign)
    for x, (value, top, line) in enumerate(zip(runs[name] / reading.scale, tops, published, strict=True)):
        text = report.significant(value, 2) if reading.digits else report.rounded(value, 0)
        ax.annotate(text, **_clear_of(ax, x, top, line), textcoords="offset points", ha="center", fontsize=8)


def _clear_of(ax, x: float, top: float, line: float | None) -> dict:
    """Where the number of a bar stands: above the bar or, if a line would cross it there, above that line.

    A line far above the bar would seem to have the number: then it stands in the bar, if that is high enough.
    """
    def height(value):
        return ax.transAxes.inverted().transform(ax.transData.transform((0, value)))[1]

    between = np.inf if line is None else height(line) - height(top)
    if NUMBER / 3 < between < NUMBER < height(top):
        return dict(xy=(x, top), xytext=(0, -5), va="top", bbox=dict(facecolor="white", edgecolor="none", pad=1))
    return dict(xy=(x, line if -0.02 < between < NUMBER else top), xytext=(0, 3))


def iterations(report) -> tuple[Canvas, pd.DataFrame]:
    """Time by iteration, or `_by_session`; the first image, which no mean includes, is an open marker."""
    if cells.in_sessions(report.rows):
        return _by_session(report), report.rows
    figure, last, lines, handles = blank(names=len(report.rows)), 1, [], []
    ax = figure.subplots()
    for slug, marker in markers_of(report.rows.index).items():
        style = dict(color=find(slug).colour, marker=marker, markersize=POINT, markeredgecolor="black", markeredgewidth=0.5)
        handles.append(Line2D([], [], label=label(report, slug), **style))
        run = next((run for run in report.rows.loc[slug, "runs"] if run.good), report.rows.loc[slug, "run"])
        times = [iteration.time_s for iteration in run.iterations]
        last = max(last, len(times))
        lines += ax.plot(range(1, len(times) + 1), times, **style)
        if pd.notna(first := runs.facts(run)["first_image_s"]):
            ax.plot([0, 1], [first, times[0]], ls=":", color=style["color"])
            ax.plot(0, first, **(style | dict(markerfacecolor="white", markeredgecolor=style["color"], markeredgewidth=1.2)))
    numbers = range(1, last + 1, -(-last // TICKS))
    ax.set_xticks([0, *numbers], [report.say("first image").replace(" ", "\n"), *numbers])
    ax.set_xlabel(report.say(N_("Iteration", "column")))
    _finish(report, ax, lines, handles)
    return figure, report.rows


def _by_session(report) -> Canvas:
    """A panel for each experiment, in which the iterations of each session stand together, beside the mean.

    Each panel has a scale of its own, of at least MARGIN around the mean, and is without the first images.
    """
    slugs = markers_of(report.rows.index)
    lines = -(-len(slugs) // 2)
    figure = blank(height_in=0.8 + 1.7 * lines)
    panels = figure.subplots(lines, 2, squeeze=False).flat
    for (slug, marker), ax in zip(slugs.items(), panels, strict=False):
        row, style = report.rows.loc[slug], dict(color=find(slug).colour, marker=marker, markeredgecolor="black", markeredgewidth=0.4)
        sessions = [readings(run.good, "time_s").to_numpy() for run in row["runs"]]
        for number, times in enumerate(sessions, 1):
            places = number + SESSION * (np.arange(len(times)) - (len(times) - 1) / 2) / max(map(len, sessions))
            ax.plot(places, times, markersize=5, lw=1, **style)
        ax.axhline(row["time_s"], color="black", ls="dashed", lw=0.8)
        ax.plot([1, 1], row["time_s"] * np.array([1 - MARGIN, 1 + MARGIN]), alpha=0)
        ax.set_title(label(report, slug), fontsize=9)
        ax.set_xlim(0.4, len(sessions) + 0.6)
        ax.set_xticks(range(1, len(sessions) + 1, -(-len(sessions) // TICKS)))
        numbers_on(ax.yaxis, report.decimal_sign)
    for ax in panels:
        ax.set_axis_off()
    said = report.say("Session, with its iterations in order; the dashed line is the mean (no scale begins at 0)")
    figure.supxlabel(fill(said, LETTERS), fontsize=9)
    figure.supylabel(cells.short_head(report, "time_s"), fontsize=9)
    return figure


def time_against_memory(report) -> tuple[Canvas, pd.DataFrame]:
    """Mean time against VRAM, or against RAM where there is no VRAM, with standard deviations."""
    rows = report.rows
    figure = blank(names=len(rows))
    ax = figure.subplots()
    name = "vram_peak_bytes" if rows["vram_peak_bytes"].notna().any() else "ram_bytes"
    scale, points, handles = READINGS[name].scale, [], []
    for slug, marker in markers_of(rows.index).items():
        run, look = rows.loc[slug], dict(color=find(slug).colour, marker=marker, markeredgecolor="black", ls="none")
        points += ax.errorbar(run[name] / scale, run["time_s"], spread_of(run, "time_s"), spread_of(run, name), capsize=3, ecolor="black",
                              **look)[:1]
        handles.append(Line2D([], [], markersize=POINT, label=label(report, slug), **look))
    ax.margins(0.15)
    ax.set_xlabel(cells.short_head(report, name))
    numbers_on(ax.xaxis, report.decimal_sign)
    _finish(report, ax, points, handles)
    return figure, rows


def _finish(report, ax, lines: list[Line2D], handles: list[Line2D]) -> None:
    """Times on a logarithmic axis, a legend, and points as large as are seen behind later ones nearby."""
    ax.set_yscale("log")
    ax.set_ylabel(cells.short_head(report, "time_s"))
    numbers_on(ax.yaxis, report.decimal_sign)
    ax.figure.legend(handles=handles, loc="outside right center", frameon=False)
    ax.autoscale_view()
    places = [ax.transAxes.inverted().transform(ax.transData.transform(line.get_xydata())) for line in lines]
    for i, line in enumerate(lines):
        above = sum((abs(places[i][:, None] - other).max(axis=2) < NEAR).any() for other in places[i + 1:])
        line.set_markersize(POINT + LARGER * min(above, 5))


def growth(report) -> tuple[Canvas, pd.DataFrame]:
    """Mean time against steps, megapixels or images in a batch: a panel for each loop, with a fitted line.

    A condition that ran out of memory, or failed otherwise, is a cross on the axis.
    """
    panels = list(loops(report.summary))
    rows = -(-len(panels) // 3)
    figure = blank(height_in=0.6 + 2.3 * max(rows, 1))
    if not panels:
        figure.text(0.5, 0.4, report.say("no loop over conditions was measured"), ha="center")
    for place, (entry, loop, found) in enumerate(panels, 1):
        _growth_of(report, figure.add_subplot(rows, min(len(panels), 3), place), entry, loop, found)
    return figure, report.summary if panels else report.summary.iloc[:0]


def _growth_of(report, ax, entry: Experiment, loop: Loop, found: pd.DataFrame) -> None:
    good, failed = found.dropna(subset=["time_s"]), found[found["time_s"].isna()]
    ax.set_title(report.text(entry.label), fontsize=9)
    ax.set_xlabel(unit(report, loop, found).replace(" (", "\n("))
    ax.set_ylabel(cells.short_head(report, "time_s"))
    ax.errorbar(good["units"], good["time_s"], good["time_s_sd"], color=entry.colour, ecolor="black", marker=entry.marker, ls="none",
                capsize=3, markeredgecolor="black", markeredgewidth=0.5)
    for units, run in zip(failed["units"], failed["run"], strict=True):
        ax.plot(units, 0, "x", color="black", clip_on=False)
        ax.annotate(cells.failure(report, run), (units, 0), (0, 6), textcoords="offset points", ha="right", fontsize=7)
    line = line_through(found)
    if pd.isna(line.unit_s):
        text = in_lines(report.say("fewer than three conditions were measured"), 24)
    else:
        ends = [good["units"].min() if line.below_zero else 0, good["units"].max()]
        ax.plot(ends, [line.fixed_s + line.unit_s * units for units in ends], color=entry.colour, lw=1)
        text = report.say("{fixed} s {sign} {slope} s × n\nR² = {r2}", fixed=report.significant(line.fixed_s, 2),
                          sign="−" if line.unit_s < 0 else "+", slope=report.significant(abs(line.unit_s), 2),
                          r2=report.rounded(line.r2, 3))
    ax.text(0.04, 0.97, text, ha="left", va="top", transform=ax.transAxes, fontsize=7.5)
    ax.set_xlim(left=0)
    ax.xaxis.get_major_locator().set_params(integer=not loop.is_side)
    tops = good["time_s"] + good["time_s_sd"].fillna(0)
    ax.set_ylim(0, 1.35 * (tops.max() if len(tops) else 1))
    for axis in ax.xaxis, ax.yaxis:
        numbers_on(axis, report.decimal_sign)
