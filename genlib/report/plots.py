"""One function a figure: table in, Axes or Figure out. Readable in print, in grey, and by colour-blind readers."""
from functools import wraps
from pathlib import Path
from textwrap import fill

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from genlib.report import summary, tables, thesis
from genlib.report.growth import line_through, lines, unit
from genlib.report.steps import newest_alike
from genlib.report.words import number, say, significant

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
    if ax is None:
        ax = bars(df, reading, language, _figure().subplots())
        _explain_line(ax.figure)
        return ax
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
            ax.hlines(published / scale, x - 0.45, x + 0.45, colors="black", linestyles="dashed", label=say("thesis", language))
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
    _explain_line(figure)
    return _title(figure, df, "bars_title", language)


def _explain_line(figure: Figure) -> None:
    """An entry in a legend for the thesis's lines across the bars, if there are any."""
    found = {label: handle for ax in figure.axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside lower center", frameon=False, fontsize=8)


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
def vae(df: pd.DataFrame, language: str = "en") -> Figure:
    """What went into the VAE, what came back, and their difference four times enlarged: a column an iteration of vae-as-in-thesis."""
    from PIL import Image, ImageChops

    columns = []
    for files in df[(df["experiment"] == "vae-as-in-thesis") & (df["variant"] == "")]["images"].head(5):
        if len(files) == 2 and all(Path(file).exists() for file in files):
            back, original = (Image.open(file).convert("RGB") for file in files)
            columns.append([original, back, ImageChops.difference(original, back).point(lambda level: min(255, 4 * level))])
    figure = _figure(height_in=3.9 if columns else 1.6)
    if not columns:
        figure.text(0.5, 0.4, say("no_pictures", language), ha="center")
        return _title(figure, df, "vae_title", language)
    axes = figure.subplots(3, 5, squeeze=False)
    for line, key in zip(axes, ("original", "reconstruction", "difference"), strict=True):
        line[0].set_ylabel(say(key, language), rotation=0, ha="right", va="center", fontsize=8)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for line, pictures_of_it in zip(axes.T, columns, strict=False):
        for ax, picture in zip(line, pictures_of_it, strict=True):
            ax.imshow(picture)
    return _title(figure, df, "vae_title", language)


@_in_our_style
def growth(df: pd.DataFrame, language: str = "en") -> Figure:
    """Mean time against steps, megapixels or batch, a panel a loop that was run, with the line through it; df as of tables.companions.

    A condition that ran out of memory is a cross on the axis.
    """
    panels = list(lines(df))
    rows = -(-len(panels) // 3)
    figure = _figure(height_in=0.6 + 2.3 * max(rows, 1))
    if not panels:
        figure.text(0.5, 0.4, say("no_growth", language), ha="center")
    for place, (experiment, setting, conditions) in enumerate(panels, 1):
        _growth_of(figure.add_subplot(rows, min(len(panels), 3), place), conditions, experiment, setting, language)
    return _title(figure, df, "growth_title", language)


def _growth_of(ax, conditions: pd.DataFrame, experiment: str, setting: str, language: str) -> None:
    good = conditions.dropna(subset=["time_s"])
    colour, marker = COLOURS[experiment], MARKERS[experiment]
    ax.set_title(_short(experiment, language), fontsize=9)
    ax.set_xlabel(unit(setting, conditions, language).replace(" (", "\n("))
    ax.set_ylabel(say("time_axis", language))
    ax.errorbar(good["units"], good["time_s"], good["time_s_sd"], color=colour, ecolor="black", marker=marker, ls="none", capsize=3,
                markeredgecolor="black", markeredgewidth=0.5)
    failed = conditions[conditions["time_s"].isna()]["units"]
    for units in failed:
        ax.plot(units, 0, "x", color="black", clip_on=False)
        ax.annotate(say("did_not_fit", language), (units, 0), (0, 6), textcoords="offset points", ha="right", fontsize=7)
    line = line_through(good)
    fixed, slope, r2 = line[:3]
    if pd.isna(slope):
        ax.text(0.5, 0.5, fill(say("too_few_conditions", language), 18), ha="center", va="center", transform=ax.transAxes, fontsize=8)
    else:
        ends = [good["units"].min() if line.below_zero else 0, good["units"].max()]
        ax.plot(ends, [fixed + slope * units for units in ends], color=colour, lw=1)
        fixed, slope = significant(fixed, 2, language), significant(slope, 2, language)
        text = say("fit", language, fixed=fixed, slope=slope, r2=number(r2, 3, language))
        ax.text(0.04, 0.97, text, ha="left", va="top", transform=ax.transAxes, fontsize=7.5)
    ax.set_xlim(left=0)
    ax.xaxis.get_major_locator().set_params(integer=setting in ("steps", "batch_size"))
    top = good["time_s"].max() if len(good) else 1
    ax.set_ylim(0, 1.35 * top)
    for axis in ax.xaxis, ax.yaxis:
        _comma(axis, language, False)


@_in_our_style
def machines(df: pd.DataFrame, chosen: pd.DataFrame, language: str = "en") -> Figure:
    """Time, VRAM and RAM of every machine that has runs of the chosen weights and profile, side by side.

    df: all runs; chosen: the group of Table 1 (tables.pick). A reference run of a machine stands beside one's own.
    """
    rows = tables.rows_of_table1(df)
    rows = rows[(rows["weights"] == chosen["weights"].iloc[0]) & (rows["profile"] == chosen["profile"].iloc[0])]
    newest = {folder for _, of_one in rows.groupby(["machine", "reference"]) for folder in newest_alike(of_one)}
    runs = summary.summarize(rows[rows["folder"].isin(newest)])
    where = list(dict.fromkeys(zip(runs["machine"], runs["reference"], strict=True)))
    names = [f"{machine}\n({say('reference', language)})" if reference else machine for machine, reference in where]
    figure = _figure(height_in=3.4)
    for ax, reading in zip(figure.subplots(1, 3), tables.COLUMNS, strict=True):
        _machines_of(ax, runs, where, names, reading, language)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return _title(figure, chosen.assign(device=", ".join(dict.fromkeys(runs["device"]))), "machines_title", language)


def _machines_of(ax, runs: pd.DataFrame, where: list, names: list[str], reading: str, language: str) -> None:
    scale = tables.MB if reading.endswith("_bytes") else 1
    ax.set_title(say(reading, language), fontsize=9)
    if runs[reading].isna().all():
        ax.text(0.5, 0.5, fill(say("not_measured", language), 14), ha="center", va="center", transform=ax.transAxes)
        ax.set_axis_off()
        return
    width = 0.8 / len(tables.EXPERIMENTS)
    for place, experiment in enumerate(tables.EXPERIMENTS):
        for x, (machine, reference) in enumerate(where):
            run = runs[(runs["machine"] == machine) & (runs["reference"] == reference) & (runs["experiment"] == experiment)]
            if len(run) and pd.notna(run[reading].iloc[0]):
                label = _short(experiment, language) if experiment not in ax.get_legend_handles_labels()[1] and not x else None
                ax.bar(x + (place - 1.5) * width, run[reading].iloc[0] / scale, width, yerr=run[f"{reading}_sd"].fillna(0).iloc[0] / scale,
                       capsize=2, color=COLOURS[experiment], hatch=HATCHES[experiment], edgecolor="black", linewidth=0.6, label=label)
    logarithmic = runs[reading].max() > 20 * runs[reading].min()
    if logarithmic:
        ax.set_yscale("log")
    ax.set_xlim(-0.6, len(where) - 0.4)
    ax.set_xticks(range(len(where)), names, fontsize=8, rotation=90 if len(where) > 1 else 0)
    _comma(ax.yaxis, language, logarithmic)


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
