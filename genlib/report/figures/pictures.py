"""What the models drew, and what the VAE gave back."""
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure as Canvas
from PIL import Image, ImageChops

from genlib.experiments import VAE_AS_IN_THESIS, find
from genlib.locale import N_
from genlib.report.figures.figure import blank, drawable

COLUMNS = 5


def pictures(report) -> tuple[Canvas, pd.DataFrame]:
    """The pictures of the iterations: a row for each experiment, a column for each iteration."""
    rows = {slug: [files[0] for files in _files(run["run"]) if files][:COLUMNS] for slug, run in report.rows.iterrows()}
    rows = {slug: files for slug, files in rows.items() if files}
    figure = blank(height_in=1.25 * max(1, len(rows)) + 0.5)
    if not rows:
        return _without_pictures(report, figure)
    for line, (slug, files) in zip(figure.subplots(len(rows), COLUMNS, squeeze=False), rows.items(), strict=True):
        _name(line, drawable(report.text(find(slug).label)).replace(" ", "\n"))
        for ax, file in zip(line, files, strict=False):
            ax.imshow(_open(file))
    return figure, report.rows


def vae(report) -> tuple[Canvas, pd.DataFrame]:
    """What went into the VAE, what came back, and the difference times four, by iteration."""
    columns = []
    for run in report.rows[report.rows.index == VAE_AS_IN_THESIS.slug]["run"]:
        for back, original in [map(_open, files) for files in _files(run) if len(files) == 2][:COLUMNS]:
            columns.append([original, back, ImageChops.difference(original, back).point(lambda level: min(255, 4 * level))])
    figure = blank(height_in=3.9 if columns else 1.6)
    if not columns:
        return _without_pictures(report, figure)
    axes = figure.subplots(3, COLUMNS, squeeze=False)
    for line, name in zip(axes, (N_("original", "picture"), N_("reconstruction", "picture"), N_("difference × 4")), strict=True):
        _name(line, report.say(name))
    for line, column in zip(axes.T, columns, strict=False):
        for ax, picture in zip(line, column, strict=True):
            ax.imshow(picture)
    return figure, report.rows


def _files(run) -> list[list[Path]]:
    """The pictures of each iteration, as far as they are still there."""
    return [[run.folder / picture.file for picture in iteration.images if (run.folder / picture.file).exists()]
            for iteration in run.iterations]


def _open(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        return picture.convert("RGB")


def _name(line, name: str) -> None:
    line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for ax in line:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)


def _without_pictures(report, figure: Canvas) -> tuple[Canvas, pd.DataFrame]:
    figure.text(0.5, 0.4, report.say("there are no pictures"), ha="center")
    return figure, report.summary
