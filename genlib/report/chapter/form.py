"""What the document's formats have in common: what takes the place of numbers, headings and parts."""
import re
from typing import NamedTuple

from genlib import escape
from genlib.locale import N_
from genlib.report.chapter import pandoc
from genlib.report.chapter.pandoc import div, paragraph, string
from genlib.report.chapter.styles import Page
from genlib.report.figures.figure import Figure
from genlib.report.tables import Table

WORDS = {"table": N_("Table", "caption"), "figure": N_("Figure", "caption"), "listing": N_("Listing", "caption")}
HIGHEST = 0.75  # of a picture, in heights of the text: it shares the page with its caption


class Listing(NamedTuple):
    """A program's text, in which any letters may stand, with its title."""
    title: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Its lines, without tabs, letters that are not seen, and the room by which comments are aligned."""
        lines = [re.sub(r"(?<=\S) {3,}(?=# )", "  ", line.expandtabs(4)) for line in self.text.splitlines()]
        return [escape.plain(line).rstrip() for line in lines]


class Parts(NamedTuple):
    """What is put into a text, by name; a source is its entry in the list of sources."""
    tables: dict[str, Table]
    figures: dict[str, Figure]
    listings: dict[str, Listing]
    sources: dict[str, str]

    def of(self, kind: str) -> dict:
        """The parts of one of pandoc.PLACES."""
        return {"table": self.tables, "figure": self.figures, "listing": self.listings}[kind]


class Form:
    """A format of the document. Where it has no numbers of its own, they are text.

    Each format has its `kind`, the ending of its file; `document(tree)`, the whole file's bytes; the blocks
    of a part, `table(label, table)`, `figure` and `listing`, with its caption; and `gap(blocks)`, which marks
    what the author is to write. numbers: by label, as `documents.number` gives them. pictures: the figures'
    .png files by name.
    """

    def __init__(self, parts: Parts, numbers: dict[str, str], pictures: dict[str, bytes], report, chapter: int, page: Page):
        self.parts, self.numbers, self.pictures = parts, numbers, pictures
        self.report, self.chapter, self.page = report, chapter, page
        self.words = {kind: report.say(word) for kind, word in WORDS.items()}
        self._heading = [chapter - 1]

    def filled(self, tree: dict) -> dict:
        """The tree with this format's parts, numbers and headings in it."""
        return tree | {"blocks": pandoc.replaced(tree["blocks"], self._replacement)}

    def _replacement(self, node: dict) -> list | None:
        if node["t"] == "Div":
            kind, name = pandoc.place(node)
            return getattr(self, kind)(f"{kind}:{name}", self.parts.of(kind)[name]) if kind in pandoc.PLACES else \
                self.gap(node["c"][1]) if kind == "gap" else self.sources()
        if node["t"] == "Link" and not node["c"][1]:
            labels = pandoc.referred(node)
            return self._cited(labels) if labels[0].startswith("source:") else [self.reference(labels[0], self.numbers[labels[0]])]
        return self.heading(node) if node["t"] == "Header" else None

    def _cited(self, labels: list[str]) -> list:
        """As in [1], [3]–[5]: of more than two numbers in a row the first and the last."""
        made, by_number = [], {int(self.numbers[label]): label for label in labels}
        for number in sorted(by_number):
            within = number - 1 in by_number and number + 1 in by_number
            if not within:
                between = "–" if number - 2 in by_number and number - 1 in by_number else ", "
                made += [string(between), self.reference(by_number[number], f"[{number}]")]
        return made[1:]

    def heading(self, node: dict) -> list | None:
        """A heading behind its number: 3, 3.1, 3.1.1."""
        level, attributes, title = node["c"]
        if "unnumbered" in attributes[1]:
            return None
        counts = (self._heading + [0] * level)[:level]
        self._heading = [*counts[:-1], counts[-1] + 1]
        return [{"t": "Header", "c": [level, attributes, [string(f"{'.'.join(map(str, self._heading))} "), *title]]}]

    def caption(self, label: str, title: str) -> str:
        """As in "Table 3.1 – Results"."""
        return escape.plain(f"{self.words[label.partition(':')[0]]} {self.numbers[label]} – {title}")

    def reference(self, label: str, text: str) -> dict:
        """A number in the text, which leads to what has it."""
        return {"t": "Link", "c": [["", [], []], [string(text)], [f"#{label}", ""]]}

    def sources(self) -> list:
        """The list of sources, in the order of their numbers."""
        there = [label for label in self.numbers if label.startswith("source:")]
        return [div([self.source(f"{self.numbers[label]}. {self.parts.sources[label.removeprefix('source:')]}")], label) for label in there]

    def source(self, text: str) -> dict:
        """An entry of the list."""
        return paragraph(string(text))
