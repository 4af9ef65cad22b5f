"""The figures of a report, in the order of notebook 4."""
from collections.abc import Callable
from typing import NamedTuple

from genlib.locale import N_
from genlib.report import cells
from genlib.report.figures import charts, machines, pictures, scores, survey
from genlib.report.figures.figure import Figure, drawable, in_our_style


class Kind(NamedTuple):
    """A figure that a report can draw.

    `make(report)` returns matplotlib's figure and the runs in it; none where it says that there is nothing to
    show.
    """
    name: str
    title: str
    make: Callable
    names_devices: bool = False  # on its axes
    of_people: bool = False  # of answers, not of runs: no device or weights above it
    model: str = ""  # the experiment that it is of, where there is one for each

    @in_our_style
    def draw(self, report) -> Figure:
        """The figure, with what it shows, the device and the weights above it."""
        canvas, rows = self.make(report)
        empty, title = rows.empty, report.title(self)
        if self.of_people and not empty:
            return Figure(self.name, canvas, canvas.suptitle(title, fontsize=10), title)
        rows = report.summary if empty else rows
        devices, first = [] if self.names_devices else list(dict.fromkeys(rows["device"])), rows.iloc[0]
        weights, _ = cells.WEIGHTS[first["weights"]]
        profile = drawable(cells.profile(report, first["profile"]))
        parts = " · ".join(filter(None, [*map(drawable, devices), report.say(weights), profile]))
        heading = canvas.suptitle(f"{drawable(title) if self.model else title}\n{parts}", fontsize=10)
        return Figure(self.name, canvas, heading, f"{title} ({', '.join([report.say(weights), *devices])})", empty)


FIGURES = [
    Kind("bars", N_("Time and memory of an image"), charts.bars),
    Kind("iterations", N_("Time by iteration"), charts.iterations),
    Kind("time_against_memory", N_("Time against memory"), charts.time_against_memory),
    Kind("pictures", N_("Generated images of the iterations"), pictures.pictures),
    Kind("vae", N_("What the VAE gives back"), pictures.vae),
    Kind("growth", N_("How time grows, with fitted fixed and per-unit time"), charts.growth),
    Kind("machines", N_("Time of an image by machine"), machines.machines, names_devices=True),
    Kind("cost_of_quality", N_("What quality costs"), scores.cost_of_quality),
    Kind("survey", N_("People’s verdict on the pictures"), survey.survey, of_people=True),
]
OF_EACH = [Kind("pictures", N_("Generated images: {model}"), pictures.pictures_of)]  # one for each experiment of a report
