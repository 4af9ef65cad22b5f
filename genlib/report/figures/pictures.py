"""What the models drew, and what the VAE gave back."""
from itertools import islice

import pandas as pd
from matplotlib.figure import Figure as Canvas
from PIL import Image, ImageChops

from genlib.experiments import VAE_AS_IN_THESIS, find
from genlib.locale import N_
from genlib.report.figures.figure import blank, drawable, in_lines

COLUMNS = 5
NAME = 14  # letters of a line of a row's name


def pictures(report) -> tuple[Canvas, pd.DataFrame]:
    """The pictures of the iterations: a column for each iteration, a row or two for each experiment."""
    return _in_rows(report, [row for slug in report.rows.index for row in _rows(report, slug, report.text(find(slug).label))])


def pictures_of(report, experiment: str) -> tuple[Canvas, pd.DataFrame]:
    """The pictures of one experiment."""
    rows = _rows(report, experiment, report.say("without a prompt"))
    return _in_rows(report, rows if len(rows) > 1 else [("", images) for _, images in rows])


def _rows(report, experiment: str, name: str) -> list[tuple[str, list[Image.Image]]]:
    """The pictures of Table 1's run, under this name, or of the variant that is shown instead; those that its
    model drew from a prompt stand below."""
    entry, row = find(experiment), report.rows.loc[experiment]
    drawn = report.summary[(report.summary[["experiment", "method", "model"]] == row[["experiment", "method", "model"]]).all(axis=1)]
    newest = drawn[drawn["variant"] != ""].sort_values("when").drop_duplicates("variant", keep="last").set_index("variant")["run"]
    if instead := newest.get(entry.pictured_variant):
        name = f"{name}, {report.say(entry.variants[entry.pictured_variant])}"
    shown = [(name, instead or row["run"])]
    if prompted := newest.get(entry.prompted_variant):
        shown.append((report.say(entry.variants[entry.prompted_variant]), prompted))
    return [(name, images) for name, run in shown if (images := [image for [image] in _shown(run, 1)])]


def _in_rows(report, rows: list[tuple[str, list[Image.Image]]]) -> tuple[Canvas, pd.DataFrame]:
    figure = blank(height_in=1.25 * max(1, len(rows)) + 0.5)
    if not rows:
        return _without_pictures(report, figure)
    for line, (name, images) in zip(figure.subplots(len(rows), COLUMNS, squeeze=False), rows, strict=True):
        _name(line, in_lines(drawable(name), NAME))
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
    figure.text(0.5, 0.4, report.say("no pictures of these runs were kept"), ha="center")
    return figure, report.rows.iloc[:0]
