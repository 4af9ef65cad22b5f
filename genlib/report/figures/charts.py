"""Charts of time and memory."""
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure as Canvas

from genlib.experiments import Experiment, Loop, find
from genlib.locale import N_
from genlib.record import READINGS, TABLE1
from genlib.report import cells, choice
from genlib.report.figures.figure import blank, label, numbers_on
from genlib.report.tables.comparison import comparable
from genlib.report.tables.growth import line_through, loops, unit

TIME = READINGS["time_s"]
REFERENCE = N_("reference", "machine")
SPAN = 20  # an axis is logarithmic where the largest value is more than so many times the smallest
TICKS = 25  # the most numbers below an axis


def bars(report) -> tuple[Canvas, pd.DataFrame]:
    """Time, VRAM and RAM of the experiments side by side, with the standard deviation as error bar.

    A dashed line across a bar is the thesis's figure, where the two can be compared.
    """
    figure = blank(height_in=3.4)
    for ax, name in zip(figure.subplots(1, len(TABLE1)), TABLE1, strict=True):
        bars_of(report, ax, name)
    found = {label: handle for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside lower center", frameon=False, fontsize=8)
    return figure, report.rows


def bars_of(report, ax, name: str) -> None:
    """A bar for each experiment; a panel without readings says so."""
    reading, runs = READINGS[name], report.rows.dropna(subset=[name])
    if _is_missing(report, ax, name, runs[name]):
        return
    values, spread = runs[name] / reading.scale, (runs[f"{name}_sd"] / reading.scale).fillna(0)
    for x, (slug, run) in enumerate(runs.iterrows()):
        _bar(ax, x, values[slug], spread[slug], find(slug), capsize=3)
        text = report.significant(values[slug], 2) if reading.digits else f"{values[slug]:.0f}"
        ax.annotate(text, (x, values[slug] + spread[slug]), (0, 2), textcoords="offset points", ha="center", fontsize=8)
        if comparable(run, name):
            published = find(slug).published.averages[name] / reading.scale
            ax.hlines(published, x - 0.45, x + 0.45, colors="black", linestyles="dashed", label=report.say(cells.PUBLISHED))
    ax.margins(y=0.15)
    names = [_label(report, slug).replace(" ", "\n") for slug in runs.index]
    ax.set_xticks(range(len(values)), names, fontsize=8, rotation=90)
    _scale(report, ax, values)


def _is_missing(report, ax, name: str, values: pd.Series) -> bool:
    """Whether no run has the reading, which the panel then says."""
    ax.set_title(report.say(READINGS[name].heading), fontsize=9)
    if values.empty:
        ax.text(0.5, 0.5, fill(report.say("not measured on this machine"), 14), ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
    return values.empty


def _bar(ax, x: float, value: float, spread: float, entry: Experiment, capsize: float, width: float = 0.8, label=None) -> None:
    ax.bar(x, value, width, yerr=spread, capsize=capsize, color=entry.colour, hatch=entry.hatch, edgecolor="black", linewidth=0.6,
           label=label)


def _scale(report, ax, values: pd.Series) -> None:
    logarithmic = values.max() > SPAN * values.min()
    if logarithmic:
        ax.set_yscale("log")
    numbers_on(ax.yaxis, report.decimal_sign, logarithmic)


def _label(report, slug: str) -> str:
    return label(report.text(find(slug).label))


def machines(report) -> tuple[Canvas, pd.DataFrame]:
    """Time, VRAM and RAM of every machine that has runs of the report's weights and profile, side by side.

    A reference run of a machine stands beside one's own.
    """
    every = report.everything
    alike = every[(every["weights"] == report.summary["weights"].iloc[0]) & (every["profile"] == report.summary["profile"].iloc[0])]
    found = [choice.one_of_each(of_one) for _, of_one in choice.main_rows(alike).groupby(["machine", "reference"], sort=False)]
    places = {_place(report, rows.iloc[0]): rows for rows in found}
    figure = blank(height_in=3.4)
    for ax, name in zip(figure.subplots(1, len(TABLE1)), TABLE1, strict=True):
        _machines_of(report, ax, places, name)
    handles = {label: handle for handle, label in zip(*figure.axes[0].get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure, pd.concat(found) if found else report.summary


def _place(report, row: pd.Series) -> str:
    machine = label(row["machine"])
    return f"{machine}\n({report.say(REFERENCE)})" if row["reference"] else machine


def _machines_of(report, ax, places: dict[str, pd.DataFrame], name: str) -> None:
    values = pd.Series([value for rows in places.values() for value in rows[name].dropna()], dtype=float)
    if _is_missing(report, ax, name, values):
        return
    slugs, scale = list(dict.fromkeys(slug for rows in places.values() for slug in rows.index)), READINGS[name].scale
    width = 0.8 / len(slugs)
    for x, rows in enumerate(places.values()):
        for slug, run in rows.dropna(subset=[name]).iterrows():
            spread = run[f"{name}_sd"] if pd.notna(run[f"{name}_sd"]) else 0
            place = x + (slugs.index(slug) - (len(slugs) - 1) / 2) * width
            _bar(ax, place, run[name] / scale, spread / scale, find(slug), capsize=2, width=width, label=_label(report, slug))
    ax.set_xlim(-0.6, len(places) - 0.4)
    ax.set_xticks(range(len(places)), places, fontsize=8, rotation=90 if len(places) > 1 else 0)
    _scale(report, ax, values)


def iterations(report) -> tuple[Canvas, pd.DataFrame]:
    """Time by iteration; the first image, which no mean includes, is an open marker at 0."""
    figure, last = blank(), 1
    ax = figure.subplots()
    for slug, run in report.rows.iterrows():
        entry, times = find(slug), [iteration.time_s for iteration in run["run"].iterations]
        numbers, last = range(1, len(times) + 1), max(last, len(times))
        style = dict(color=entry.colour, marker=entry.marker, markeredgecolor="black", markeredgewidth=0.5)
        ax.plot(numbers, times, label=_label(report, slug), **style)
        if pd.notna(first := run["first_image_s"]):
            ax.plot([0, 1], [first, times[0]], ls=":", color=entry.colour)
            ax.plot(0, first, **(style | dict(markerfacecolor="white", markeredgecolor=entry.colour, markeredgewidth=1.2)))
    numbers = range(1, last + 1, -(-last // TICKS))
    ax.set_xticks([0, *numbers], [report.say("first image").replace(" ", "\n"), *numbers])
    ax.set_yscale("log")
    ax.set_xlabel(report.say(N_("Iteration", "column")))
    ax.set_ylabel(report.say(TIME.heading))
    numbers_on(ax.yaxis, report.decimal_sign, True)
    if len(report.rows):
        figure.legend(loc="outside right center", frameon=False)
    return figure, report.rows


def time_against_memory(report) -> tuple[Canvas, pd.DataFrame]:
    """Mean time against VRAM, or against RAM where there is no VRAM, with standard deviations."""
    figure, rows = blank(), report.rows
    ax = figure.subplots()
    name = "vram_peak_bytes" if rows["vram_peak_bytes"].notna().any() else "ram_bytes"
    scale = READINGS[name].scale
    for slug, run in rows.iterrows():
        entry = find(slug)
        ax.errorbar(run[name] / scale, run["time_s"], run["time_s_sd"], run[f"{name}_sd"] / scale, capsize=3, markersize=9,
                    color=entry.colour, ecolor="black", marker=entry.marker, markeredgecolor="black", ls="none",
                    label=_label(report, slug))
    ax.set_yscale("log")
    ax.margins(0.15)
    ax.set_xlabel(report.say(READINGS[name].heading))
    ax.set_ylabel(report.say(TIME.heading))
    numbers_on(ax.yaxis, report.decimal_sign, True)
    if len(rows):
        figure.legend(loc="outside right center", frameon=False)
    return figure, rows


def growth(report) -> tuple[Canvas, pd.DataFrame]:
    """Mean time against steps, megapixels or images in a batch: a panel for each loop, with the line through
    it.

    A condition that ran out of memory, or failed otherwise, is a cross on the axis.
    """
    panels = list(loops(report.summary))
    rows = -(-len(panels) // 3)
    figure = blank(height_in=0.6 + 2.3 * max(rows, 1))
    if not panels:
        figure.text(0.5, 0.4, report.say("no loop over conditions was measured"), ha="center")
    for place, (entry, loop, found) in enumerate(panels, 1):
        _growth_of(report, figure.add_subplot(rows, min(len(panels), 3), place), entry, loop, found)
    return figure, report.summary


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
        text = fill(report.say("fewer than three conditions were measured"), 18)
        ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, fontsize=8)
    else:
        ends = [good["units"].min() if line.below_zero else 0, good["units"].max()]
        ax.plot(ends, [line.fixed_s + line.unit_s * units for units in ends], color=entry.colour, lw=1)
        text = report.say("{fixed} s + {slope} s × n\nR² = {r2}", fixed=report.significant(line.fixed_s, 2),
                          slope=report.significant(line.unit_s, 2), r2=report.rounded(line.r2, 3))
        ax.text(0.04, 0.97, text, ha="left", va="top", transform=ax.transAxes, fontsize=7.5)
    ax.set_xlim(left=0)
    ax.xaxis.get_major_locator().set_params(integer=not loop.is_side)
    ax.set_ylim(0, 1.35 * (good["time_s"].max() if len(good) else 1))
    for axis in ax.xaxis, ax.yaxis:
        numbers_on(axis, report.decimal_sign, False)
