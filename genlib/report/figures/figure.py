"""A figure, readable in print, in grey and by colour-blind readers; shown in a notebook, saved as files."""
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, wraps
from itertools import cycle
from pathlib import Path
from textwrap import fill

import matplotlib
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from genlib.experiments import EXPERIMENTS, Experiment, find
from genlib.files import make_folder, replacing
from genlib.record import READINGS
from genlib.spelling import meant

WIDTH_IN = 6.3  # the text width of an A4 page
LONGEST, LINE = 60, 16  # letters of a name, and of each of its lines beside an axis or in a legend
LINES_IN = 0.33  # the height of a name in a legend
WORD = 30  # letters of a word that stays whole where the line is shorter
OTHER_MARKERS = "*PX^<>hdp8"
SPAN = 20  # an axis is logarithmic where the largest value is more than so many times the smallest
MAY_BREAK = re.compile(r"\s+|(?<=[-–])")
FONT = "DejaVu Sans"
STYLE = {"font.size": 9, "font.family": FONT, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110,
         "svg.hashsalt": "genlib", "pdf.fonttype": 42, "hatch.linewidth": 0.6,
         "text.parse_math": False}  # a dollar in somebody's name begins no formula
UNDATED = {"png": {"Software": None}, "pdf": {"CreationDate": None, "ModDate": None}, "svg": {"Date": None}}


def in_our_style(function):
    """Draw with STYLE, and leave the user's own settings of matplotlib as they were."""
    @wraps(function)
    def wrapped(*arguments, **options):
        with matplotlib.rc_context(STYLE):
            return function(*arguments, **options)
    return wrapped


@dataclass(frozen=True)
class Figure:
    """A drawn figure.

    `canvas` is matplotlib's, `heading` the title above it; `caption` is what stands below it in a document:
    its title, the weights and the device, without a number.
    """
    name: str
    canvas: Canvas
    heading: Text
    caption: str
    empty: bool = False  # whether it only says that there is nothing to show

    def __repr__(self) -> str:
        return f"figure {self.name}: {self.canvas.get_suptitle()}".replace("\n", " – ")

    @in_our_style
    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.canvas.savefig(data, format="png", metadata=UNDATED["png"])
        return data.getvalue()

    @in_our_style
    def save(self, folder, kinds=tuple(UNDATED), titled: bool = True) -> list[Path]:
        """Write it into a folder as .png (300 dpi), .pdf and .svg, the same bytes each time; the files.

        titled: with the title above it, which a caption may say instead. Raises ValueError for another kind.
        """
        if unknown := [kind for kind in kinds if kind not in UNDATED]:
            raise ValueError(f"there is no format {unknown[0]!r}{meant(unknown[0], UNDATED)}: use some of {', '.join(UNDATED)}")
        folder = make_folder(folder)
        paths = {kind: folder / f"{self.name}.{kind}" for kind in kinds}
        self.heading.set(visible=titled, in_layout=titled)
        layout = self.canvas.get_layout_engine()
        try:
            for _ in range(2):  # a layout sets out from the last one, which may be of another title
                self.canvas.draw_without_rendering()
            self.canvas.set_layout_engine("none")  # every kind has this one: to lay out takes longer than to draw
            for ax in self.canvas.axes:  # but for what an earlier layout changes in the last digits, of which names in .svg are made
                ax.set_position([round(side, 6) for side in ax.get_position(original=True).bounds])
            for kind, path in paths.items():
                with replacing(path) as file:
                    self.canvas.savefig(file, format=kind, dpi=300, metadata=UNDATED[kind])
        finally:  # a notebook shows the same figure later
            self.canvas.set_layout_engine(layout)
            for ax in self.canvas.axes:  # which whoever sets a position takes out of it
                ax.set_in_layout(True)
            self.heading.set(visible=True, in_layout=True)
        return list(paths.values())


def drawable(name: str) -> str:
    """A name as a figure can show it: of at most LONGEST letters, all of them in the font."""
    cut = name if len(name) <= LONGEST else f"{name[:LONGEST - 1]}…"
    known = "".join(letter if ord(letter) in _letters() else "\N{REPLACEMENT CHARACTER}" for letter in cut)
    return f" {known}" if known.startswith("_") else known  # which a legend would leave out


def label(report, slug: str) -> str:
    """An experiment's name as a figure can show it, in short lines."""
    return in_lines(drawable(report.text(find(slug).label)), LINE)


def in_lines(text: str, letters: int) -> str:
    """A text in lines of so many letters, or of more where a word has more, up to WORD."""
    longest = max((len(word) for word in MAY_BREAK.split(text)), default=0)
    return fill(text, max(letters, min(WORD, longest)))


@cache
def _letters() -> dict:
    return get_font(findfont(FONT)).get_charmap()


def blank(height_in: float = 3.2, names: int = 0) -> Canvas:
    """An empty figure as wide as a page's text, with room for its heading and so many names in a legend."""
    return Canvas(figsize=(WIDTH_IN, max(height_in, LINES_IN * (names + 4))), layout="constrained")


def spread_of(run: pd.Series, name: str) -> float | None:
    """A reading's standard deviation in its unit, for an error bar; of one iteration there is none."""
    return None if pd.isna(run[f"{name}_sd"]) else run[f"{name}_sd"] / READINGS[name].scale


def bar_look(entry: Experiment) -> dict:
    """How an experiment's bars look: told apart in grey by their hatch."""
    return dict(color=entry.colour, hatch=entry.hatch, edgecolor="black", linewidth=0.6)


def markers_of(slugs: Iterable[str]) -> dict[str, str]:
    """The marker of each experiment: those without an entry of their own take turns."""
    known, others = {entry.slug: entry.marker for entry in EXPERIMENTS}, cycle(OTHER_MARKERS)
    return {slug: known.get(slug) or next(others) for slug in slugs}


def scale_of(values: pd.Series) -> str:
    """The scale of an axis that shows these values from 0 on, unless they are too far apart for that."""
    return "log" if values.max() > SPAN * values.min() else "linear"


def numbers_on(axis, decimal_sign: str) -> None:
    """Few and plain numbers, with the language's decimal sign, on an axis that shows its values already."""
    axis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}".replace(".", decimal_sign).replace("-", "−")))
    if axis.get_scale() == "log":
        low, high = axis.get_view_interval()
        steps = (1, 2, 5) if high < 30 * low else (1, 3) if high < 3000 * low else (1,)
        axis.set_major_locator(LogLocator(subs=steps, numticks=8))
        axis.set_minor_formatter(NullFormatter())
