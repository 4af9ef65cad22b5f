"""People's verdict: how often each kind of picture is taken for a photograph, and how good it looks."""
from matplotlib.figure import Figure as Canvas
from pandas import DataFrame

from genlib.experiments import find
from genlib.report.figures.figure import bar_look, blank, drawable, in_lines
from genlib.report.survey import DEMO, PHOTOGRAPH, kinds, share
from genlib.report.tables.survey import NOBODY, QUALITY, TAKEN, label

NAME = 16  # letters of a line of a kind's name


def survey(report) -> tuple[Canvas, DataFrame]:
    """Shares with Wilson's interval, a dashed line at the photographs'; mean quality ± its deviation."""
    found = kinds(report.answers)
    figure = blank(height_in=1.2 + 0.4 * max(1, len(found)))
    if not found:
        figure.text(0.5, 0.4, report.say(NOBODY), ha="center")
        return figure, report.answers
    taken, quality = figure.subplots(1, 2, sharey=True)
    for y, (kind, rows) in enumerate(found.items()):
        mean, low, high = (100 * value for value in share(rows))
        look = bar_look(find(kind.removesuffix(DEMO))) | (dict(color="white", hatch="") if kind == PHOTOGRAPH else {})
        taken.barh(y, mean, xerr=[[mean - low], [high - mean]], capsize=3, **look)
        quality.barh(y, rows["quality"].mean() - 1, left=1, xerr=rows["quality"].std() if len(rows) > 1 else None, capsize=3, **look)
        if kind == PHOTOGRAPH:
            taken.axvline(mean, color="black", linestyle="dashed", linewidth=1)
    taken.set_yticks(range(len(found)), [in_lines(drawable(label(report, kind)), NAME) for kind in found])
    taken.invert_yaxis()
    taken.set(xlim=(0, 100), xlabel=f"{report.say(TAKEN)}\n{report.say('95 % intervals')}")
    quality.set(xlim=(1, 5), xticks=range(1, 6), xlabel=f"{report.say(QUALITY)}\n{report.say('Mean ± standard deviation')}")
    return figure, report.answers
