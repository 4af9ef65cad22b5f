"""One function a figure: table in, Axes or Figure out. Readable in print, in grey, and by colour-blind readers."""
from functools import wraps
from pathlib import Path
from textwrap import fill

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from genlib.report import summary, tables, thesis
from genlib.report.words import say, significant

WIDTH_IN = 6.3  # the text width of an A4 page
COLOURS = dict(zip(tables.EXPERIMENTS, ("#0072B2", "#E69F00", "#CC79A7", "#009E73"), strict=True))  # Okabe & Ito 2008
HATCHES = dict(zip(tables.EXPERIMENTS, ("", "//", "..", "xx"), strict=True))
MARKERS = dict(zip(tables.EXPERIMENTS, "osDv", strict=True))
STYLE = {"font.size": 9, "font.family": "DejaVu Sans", "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110,
         "svg.hashsalt": "genlib", "pdf.fonttype": 42, "hatch.linewidth": 0.6}


def _in_our_style(function):
    """Make a figure with STYLE, and leave the user's own settings as they were."""
    @wraps(function)
    def wrapped(*arguments, **options):
        with matplotlib.rc_context(STYLE):
            return function(*arguments, **options)
    return wrapped


@_in_our_style
def bars(df: pd.DataFrame, reading: str = "time_s", language: str = "en", ax=None):
    """Bars of one reading (time_s, vram_peak_bytes, ram_bytes) by experiment, the standard deviation as error bar; the Axes.

    The axis is logarithmic where the largest is over 20 times the smallest. Where the machine has no such reading the panel says so.
    The thesis's figure is a line across the bar where it is comparable (see tables.comparable).
    """
    ax = _figure().subplots() if ax is None else ax
    runs = summary.summarize(tables.rows_of_table1(df))
    scale = tables.MB if reading.endswith("_bytes") else 1
    runs = runs[runs[reading].notna()].set_index("experiment").reindex(tables.EXPERIMENTS).dropna(subset=[reading])
    ax.set_title(say(reading, language), fontsize=9)
    if runs.empty:
        ax.text(0.5, 0.5, fill(say("not_measured", language), 14), ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return ax
    values, spread = runs[reading] / scale, (runs[f"{reading}_sd"] / scale).fillna(0)
    logarithmic = values.max() > 20 * values.min()
    for x, (experiment, value) in enumerate(values.items()):
        ax.bar(x, value, yerr=spread[experiment], capsize=3, color=COLOURS[experiment], hatch=HATCHES[experiment], edgecolor="black",
               linewidth=0.6)
        text = significant(value, 2, language) if scale == 1 else f"{value:.0f}"
        ax.annotate(text, (x, value + spread[experiment]), (0, 2), textcoords="offset points", ha="center", fontsize=8)
        published = thesis.PUBLISHED.get(experiment, {}).get(reading)
        if published and tables.comparable(df, experiment, reading):
            ax.hlines(published / scale, x - 0.45, x + 0.45, colors="black", linestyles="dashed")
    if logarithmic:
        ax.set_yscale("log")
    ax.margins(y=0.15)
    names = [_short(experiment, language).replace(" ", "\n") for experiment in values.index]
    ax.set_xticks(range(len(values)), names, fontsize=8, rotation=90)
    _comma(ax.yaxis, language, logarithmic)
    return ax


@_in_our_style
def bars_of_all(df: pd.DataFrame, language: str = "en") -> Figure:
    """Time, VRAM and RAM of the experiments side by side."""
    figure = _figure(height_in=3.4)
    for ax, reading in zip(figure.subplots(1, 3), tables.COLUMNS, strict=True):
        bars(df, reading, language, ax)
    return _title(figure, df, "bars_title", language)


@_in_our_style
def iterations(df: pd.DataFrame, language: str = "en") -> Figure:
    """Time by iteration, a line an experiment on a logarithmic axis; the first image, which no average holds, as an open marker at 0."""
    figure = _figure()
    ax = figure.subplots()
    for experiment, rows in _by_experiment(df):
        style = dict(color=COLOURS[experiment], marker=MARKERS[experiment], markeredgecolor="black", markeredgewidth=0.5)
        ax.plot(rows["iteration"], rows["time_s"], label=_short(experiment, language), **style)
        first = rows["first_image_s"].iloc[0]
        if pd.notna(first):
            ax.plot([0, rows["iteration"].iloc[0]], [first, rows["time_s"].iloc[0]], ls=":", color=COLOURS[experiment])
            ax.plot(0, first, **(style | dict(markerfacecolor="white", markeredgecolor=COLOURS[experiment], markeredgewidth=1.2)))
    last = int(df["iteration"].max())
    ax.set_xticks(range(last + 1), [say("first_image", language).replace(" ", "\n"), *range(1, last + 1)])
    ax.set_yscale("log")
    ax.set_xlabel(say("iteration", language))
    ax.set_ylabel(say("time_s", language))
    _comma(ax.yaxis, language, True)
    figure.legend(loc="outside right center", frameon=False)
    return _title(figure, df, "iterations_title", language)


@_in_our_style
def time_against_memory(df: pd.DataFrame, language: str = "en") -> Figure:
    """Mean time against VRAM, or RAM where there is no VRAM; a point an experiment, with standard deviations."""
    figure = _figure()
    ax = figure.subplots()
    runs = summary.summarize(tables.rows_of_table1(df)).set_index("experiment")
    reading = "vram_peak_bytes" if runs["vram_peak_bytes"].notna().any() else "ram_bytes"
    for experiment in filter(runs.index.__contains__, tables.EXPERIMENTS):
        run = runs.loc[experiment]
        ax.errorbar(run[reading] / tables.MB, run["time_s"], run["time_s_sd"], run[f"{reading}_sd"] / tables.MB, capsize=3, markersize=9,
                    color=COLOURS[experiment], ecolor="black", marker=MARKERS[experiment], markeredgecolor="black", ls="none",
                    label=_short(experiment, language))
    ax.set_yscale("log")
    ax.margins(0.15)
    ax.set_xlabel(say(reading, language))
    ax.set_ylabel(say("time_s", language))
    _comma(ax.yaxis, language, True)
    figure.legend(loc="outside right center", frameon=False)
    return _title(figure, df, "against_title", language)


@_in_our_style
def pictures(df: pd.DataFrame, language: str = "en") -> Figure:
    """The pictures of the iterations in one figure: a row an experiment, a column an iteration."""
    from PIL import Image

    rows = [(experiment, [file for file in rows["image"].dropna() if Path(file).exists()][:5]) for experiment, rows in _by_experiment(df)]
    rows = [(experiment, files) for experiment, files in rows if files]
    figure = _figure(height_in=1.25 * max(1, len(rows)) + 0.5)
    if not rows:
        figure.text(0.5, 0.4, say("no_pictures", language), ha="center")
        return _title(figure, df, "pictures_title", language)
    axes = figure.subplots(len(rows), 5, squeeze=False)
    for line, (experiment, files) in zip(axes, rows, strict=True):
        line[0].set_ylabel(_short(experiment, language).replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=8)
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        for ax, file in zip(line, files, strict=False):
            with Image.open(file) as picture:
                ax.imshow(picture.convert("RGB"))
    return _title(figure, df, "pictures_title", language)


@_in_our_style
def save(figure: Figure, stem) -> list[Path]:
    """Write a figure as <stem>.png (300 dpi), .pdf and .svg, the same bytes each time; their paths."""
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    undated = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "ModDate": None}, ".svg": {"Date": None}}
    for suffix, metadata in undated.items():
        figure.savefig(stem.with_suffix(suffix), dpi=300, metadata=metadata)
    return [stem.with_suffix(suffix) for suffix in undated]


def _short(experiment: str, language: str) -> str:
    return say(f"{experiment}.short", language)


def _figure(height_in: float = 3.2) -> Figure:
    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


def _by_experiment(df: pd.DataFrame):
    rows = tables.rows_of_table1(df)
    for experiment in tables.EXPERIMENTS:
        if (rows["experiment"] == experiment).any():
            yield experiment, rows[rows["experiment"] == experiment].sort_values("iteration")


def _title(figure: Figure, df: pd.DataFrame, key: str, language: str) -> Figure:
    device, weights, profile = (df[name].iloc[0] for name in ("device", "weights", "profile"))
    figure.suptitle(f"{say(key, language)}\n{device} · {say(weights, language)} · {say('profile', language, profile=profile)}", fontsize=10)
    return figure


def _comma(axis, language: str, logarithmic: bool) -> None:
    """Plain numbers, with the language's decimal sign, on an axis; few enough to be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}".replace(".", "," if language == "uk" else ".")))
    if logarithmic:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axis.set_minor_formatter(NullFormatter())
