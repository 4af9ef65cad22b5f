"""One text in pandoc's Markdown, with its parts put in and numbered, as Word, LaTeX and HTML.

In the text `::: {.table name=results}` and `:::` on the next line stand for a table, likewise .figure and
.listing; `[](#table:results)` for its number, `[](#source:key,other)` for those of sources;
`::: sources` for their list; `::: gap` begins what the author is to write.
"""
from pathlib import Path
from tempfile import TemporaryDirectory

from genlib.files import make_folder, write_atomically
from genlib.report.chapter import pandoc
from genlib.report.chapter.form import Parts
from genlib.report.chapter.html import Html
from genlib.report.chapter.latex import Latex
from genlib.report.chapter.styles import Page
from genlib.report.chapter.word import Word


def write(markdown: str, parts: Parts, report, folder, chapter: int = 1, page: Page | None = None) -> list[Path]:
    """Write chapter.docx, chapter.tex and chapter.html, and figures/*.pdf for LaTeX, into a folder; returns
    these files. `report` says the captions' words in its language.

    The same text and parts give the same bytes. Raises ValueError, naming it, for what a text may not hold,
    for a part that is not among `parts` and for a reference to what is not in the text; then nothing is
    written.
    """
    tree = pandoc.read(markdown)
    numbers = number(tree, parts, chapter)
    drawn = [parts.figures[label.removeprefix("figure:")] for label in numbers if label.startswith("figure:")]
    pictures = {figure.name: _png(figure) for figure in drawn}
    forms = [make(parts, numbers, pictures, report, chapter, page or Page()) for make in (Word, Latex, Html)]
    made = {f"chapter.{form.kind}": form.document(tree) for form in forms}
    folder = make_folder(folder)
    for name, data in made.items():
        write_atomically(folder / name, data)
    return [folder / name for name in made] + [path for figure in drawn for path in figure.save(folder / "figures", ["pdf"], titled=False)]


def _png(figure) -> bytes:
    with TemporaryDirectory() as folder:
        [path] = figure.save(folder, ["png"], titled=False)
        return path.read_bytes()


def number(tree: dict, parts: Parts, chapter: int) -> dict[str, str]:
    """The number of all that can be referred to, by its label: {"table:results": "3.1", "source:a": "1"}.

    Parts are counted as they stand in the text, sources as they are first mentioned; those that are not
    mentioned come last.
    """
    numbers: dict[str, str] = {}
    referred: list[str] = []

    def see(node: dict) -> None:
        if node["t"] == "Link" and not node["c"][1]:
            referred.extend(pandoc.referred(node))
        elif node["t"] == "Div" and (kind := pandoc.place(node)[0]) in pandoc.PLACES:
            name, there = pandoc.place(node)[1], parts.of(kind)
            label = f"{kind}:{name}"
            if name not in there:
                raise ValueError(f"the chapter’s text has a place for {label!r}, and each {kind} there is: {', '.join(there) or 'none'}")
            if label in numbers:
                raise ValueError(f"{label!r} stands in the chapter’s text twice: take one out of the template")
            numbers[label] = f"{chapter}.{1 + sum(other.startswith(f'{kind}:') for other in numbers)}"

    pandoc.replaced(tree["blocks"], see)
    sources = {f"source:{key}": None for key in parts.sources}
    mentioned = [label for label in referred if label in sources]
    numbers |= {label: str(n) for n, label in enumerate(dict.fromkeys([*mentioned, *sources]), start=1)}
    if missing := [label for label in referred if label not in numbers]:
        raise ValueError(f"the chapter’s text refers to {missing[0]!r}, which is not in it: put it there, or take the reference out")
    return numbers
