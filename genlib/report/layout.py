"""How a table is laid out on a page: size of print, widths of columns, where lines may break."""
import re
from functools import cache

import pandas as pd

from genlib import escape

TEXT_WIDTH_PT = 467  # of an A4 page with margins of 2.5 and 2 cm
SENTENCE = 30  # letters; a column with longer texts is set at the left
PADDING_PT = 12  # of a cell, left and right together, with its border
SPARE = 1.03  # Times's Cyrillic letters differ a little from those that are measured here
FIGURE_AND_UNIT = re.compile(r"(?<=[\d²³]) (?=(?:%|[^\W\d]{1,3})(?!\w))")  # a unit has few letters in any language
MAY_BREAK = re.compile(r"[ \n]+|(?<=[-–])")  # where Word goes on with the next line


def unbroken(text: str) -> str:
    """The text on one line, with spaces that do not break between a figure and its unit, and before ±."""
    return FIGURE_AND_UNIT.sub("\N{NO-BREAK SPACE}", escape.plain(text)).replace(" ± ", "\N{NO-BREAK SPACE}± ")


def is_left(frame: pd.DataFrame) -> list[bool]:
    """Whether each column is set flush left, as names and sentences are."""
    return [not i or length > SENTENCE for i, length in enumerate(_longest(frame))]


def size_pt(frame: pd.DataFrame) -> int:
    """The size of print: 12, or 10 with many columns or sentences; smaller if the longest words need it."""
    large = len(frame.columns) > 4 or sum(is_left(frame)) > 1
    sizes = [10, 9, 8, 7] if large else [12, 10, 9, 8, 7]
    return next((size for size in sizes if sum(_needed_pt(frame, size)) <= TEXT_WIDTH_PT), sizes[-1])


def shares(frame: pd.DataFrame) -> list[float]:
    """Each column's share of the text's width: longer texts get more room, and more lines too.

    No word is broken: a column that would be narrower than its longest word gets that width, and the others
    share the rest.
    """
    needed, wanted = _needed_pt(frame, size_pt(frame)), [length**0.5 for length in _longest(frame)]
    if sum(needed) >= TEXT_WIDTH_PT:  # too many columns: words have to break
        return [width / sum(needed) for width in needed]
    narrow: set[int] = set()
    while True:
        rest = TEXT_WIDTH_PT - sum(needed[i] for i in narrow)
        wide = sum(wish for i, wish in enumerate(wanted) if i not in narrow)
        widths = [needed[i] if i in narrow else rest * wish / wide for i, wish in enumerate(wanted)]
        more = {i for i, width in enumerate(widths) if width < needed[i]}
        if not more:
            return [width / sum(widths) for width in widths]
        narrow |= more


def _longest(frame: pd.DataFrame) -> list[int]:
    return [max(map(len, map(str, [name, *frame[name]]))) for name in frame.columns]


def _needed_pt(frame: pd.DataFrame, size: int) -> list[float]:
    """The width of each column's longest word, with the cell's padding."""
    words = [{word for cell in [name, *frame[name]] for word in MAY_BREAK.split(unbroken(str(cell)))} for name in frame.columns]
    return [SPARE * size * max(map(_width_em, column)) + PADDING_PT for column in words]


@cache
def _width_em(word: str) -> float:
    return _font().getlength(word) / 1000


@cache
def _font():
    """A font of Times's widths that comes with matplotlib, 1000 units high."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/STIXGeneral.ttf", 1000)
