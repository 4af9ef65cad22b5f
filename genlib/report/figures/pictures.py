"""What the models drew, and what the VAE gave back."""
from itertools import islice

import pandas as pd
from matplotlib.figure import Figure as Canvas
from PIL import Image, ImageChops

from genlib.experiments import VAE_AS_IN_THESIS, find
from genlib.locale import N_
from genlib.report.figures.figure import blank, label

COLUMNS = 5


def pictures(report) -> tuple[Canvas, pd.DataFrame]:
    """The pictures of the iterations: a row for each experiment, a column for each iteration."""
    rows = {slug: [image for [image] in _shown(run["run"], 1)] for slug, run in report.rows.iterrows()}
    rows = {slug: images for slug, images in rows.items() if images}
    figure = blank(height_in=1.25 * max(1, len(rows)) + 0.5)
    if not rows:
        return _without_pictures(report, figure)
    for line, (slug, images) in zip(figure.subplots(len(rows), COLUMNS, squeeze=False), rows.items(), strict=True):
        _name(line, label(report.text(find(slug).label)).replace(" ", "\n"))
        for ax, image in zip(line, images, strict=False):
            ax.imshow(image)
    return figure, report.rows


def vae(report) -> tuple[Canvas, pd.DataFrame]:
    """What went into the VAE, what came back, and the difference times four, by iteration."""
    columns = []
    for run in report.rows[report.rows.index == VAE_AS_IN_THESIS.slug]["run"]:
        for back, original in [pair for pair in _shown(run, 2) if pair[0].size == pair[1].size]:
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


def _shown(run, number: int) -> list[list[Image.Image]]:
    """So many pictures of each of the first iterations, as far as they are there and can be shown."""
    shown = (run.shown(iteration, number) for iteration in run.iterations)
    return list(islice((images for images in shown if len(images) == number), COLUMNS))


def _name(line, name: str) -> None:
    line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for ax in line:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)


def _without_pictures(report, figure: Canvas) -> tuple[Canvas, pd.DataFrame]:
    figure.text(0.5, 0.4, report.say("there are no pictures"), ha="center")
    return figure, report.summary
