"""How a table is laid out on a page: size of print, widths of columns, where lines and pages may break."""
import re
from functools import cache
from math import ceil
from typing import NamedTuple

import pandas as pd

from genlib import escape
from genlib.locale.numbers import MISSING

TEXT_WIDTH_PT = 467  # of an A4 page with margins of 2.5 and 2 cm
STAYS_WHOLE_PT = 220  # tables up to this height, a third of a page, are not parted by its end
LINE_HEIGHT = 1.3  # of the size of print, with a part of the space above and below a row
SENTENCE = 30  # letters; a column with longer texts is set at the left, and one without figures
FIGURE = re.compile(rf"[−-]?\d|{MISSING}")
FIGURE_AND_UNIT = re.compile(r"(?<=[\d²³]) (?=(?:%|[^\W\d]{1,3})(?!\w))")  # a unit has few letters in any language
BETWEEN_WORDS = re.compile(r"(?<![±…]) +(?![±…])|\n+")
TIMES = re.compile(r"(?<=\d) × (?=\d)")  # 3 × 5
SYMBOL_AND_FIGURE = re.compile(r"\b([^\W\d]) = (?=\d)")  # n = 5
MAY_BREAK = re.compile(r"[ \n]+|(?<=[-–])")  # where Word goes on with the next line


class Program(NamedTuple):
    """How much wider words may be than those that are measured here, by size of print; and the padding of a
    cell, left and right together, with its border."""
    wider: dict[int, float]
    padding_pt: float


WORD = Program(dict.fromkeys((12, 10, 9, 8, 7), 1.03), 12)  # Times
LATEX = Program({12: 1.15, 10: 1.17, 9: 1.2, 8: 1.24, 7: 1.33}, 8)  # Computer Modern, the widest of its fonts


class Layout(NamedTuple):
    """Of a table: its size of print, each column's share of the text's width and whether it is set flush
    left, as names and sentences are, and whether the table stays on one page."""
    size_pt: int
    shares: list[float]
    lefts: list[bool]
    whole: bool


def unbroken(text: str) -> str:
    """The text on one line, with spaces that do not break before a unit, ± and …, and in n = 3 × 5."""
    text = SYMBOL_AND_FIGURE.sub("\\1\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}", escape.plain(text))
    text = TIMES.sub("\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}", FIGURE_AND_UNIT.sub("\N{NO-BREAK SPACE}", text))
    return text.replace(" ± ", "\N{NO-BREAK SPACE}± ").replace(" … ", "\N{NO-BREAK SPACE}… ")


def lay_out(frame: pd.DataFrame, text_width_pt: float = TEXT_WIDTH_PT, program: Program = WORD) -> Layout:
    """Print of 12, or of 10 with many columns or sentences; smaller if the longest words need it.

    No word is broken: a column has at least the width of its longest word, and the others share the rest.
    Where there is room, names with hyphens and figures with their spread stay on one line.
    """
    columns = [[unbroken(str(cell)) for cell in [name, *frame[name]]] for name in frame.columns]
    longest = [max(map(len, column)) for column in columns]
    lefts = is_left(frame)
    sizes = [10, 9, 8, 7] if len(columns) > 4 or sum(lefts) > 1 else [12, 10, 9, 8, 7]
    for breaks, size in [(BETWEEN_WORDS, size) for size in sizes if size >= 9] + [(MAY_BREAK, size) for size in sizes]:
        widest = [max(_width_em(part) for cell in column for part in breaks.split(cell)) for column in columns]
        needed = [program.wider[size] * size * width + program.padding_pt for width in widest]
        if sum(needed) <= text_width_pt:
            shares = _shares(needed, [length**0.5 for length in longest], text_width_pt)
            rooms = [(text_width_pt * share - program.padding_pt) / program.wider[size] for share in shares]
            return Layout(size, shares, lefts, _height_pt(columns, rooms, size) <= STAYS_WHOLE_PT)
    return Layout(size, [width / sum(needed) for width in needed], lefts, False)  # too many columns: words have to break


def is_left(frame: pd.DataFrame) -> list[bool]:
    """Whether each column is set flush left: the first, and those of names and sentences."""
    def has_text(name) -> bool:
        cells = [str(cell) for cell in frame[name]]
        return not any(map(FIGURE.match, cells)) or max(map(len, [str(name), *cells])) > SENTENCE

    return [not i or has_text(name) for i, name in enumerate(frame.columns)]


def _shares(needed: list[float], wanted: list[float], text_width_pt: float) -> list[float]:
    narrow: set[int] = set()
    while True:
        rest = text_width_pt - sum(needed[i] for i in narrow)
        wide = sum(wish for i, wish in enumerate(wanted) if i not in narrow)
        widths = [needed[i] if i in narrow else rest * wish / wide for i, wish in enumerate(wanted)]
        more = {i for i, width in enumerate(widths) if width < needed[i]}
        if not more:
            return [width / sum(widths) for width in widths]
        narrow |= more


def _height_pt(columns: list[list[str]], rooms: list[float], size: int) -> float:
    """About how high the table is: each row as high as the longest text in it."""
    lines = [[ceil(size * _width_em(text) / room) or 1 for text in column] for column, room in zip(columns, rooms, strict=True)]
    return LINE_HEIGHT * size * sum(map(max, zip(*lines, strict=True)))


@cache
def _width_em(word: str) -> float:
    return _font().getlength(word) / 1000


@cache
def _font():
    """A font of Times's widths that comes with matplotlib, 1000 units high."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/STIXGeneral.ttf", 1000)
