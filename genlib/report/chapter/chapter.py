"""The chapter: what a report has to say, in a template of its language, as Word, LaTeX and HTML.

A template is genlib/locale/<code>/chapter.md or a user's own: pandoc's Markdown with Jinja2. What it prints
is escaped, so that no name in a record begins a link, a picture or a formula. Its names are the attributes of
Contents.
"""
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import pandas as pd
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from genlib import escape
from genlib.experiments import find
from genlib.record import ONCE, Run
from genlib.report import cells, warnings
from genlib.report.chapter import documents, sources
from genlib.report.chapter.form import Listing, Parts
from genlib.report.chapter.pandoc import PLACES
from genlib.report.chapter.styles import Page
from genlib.report.tables import key
from genlib.report.tables.survey import verdicts
from genlib.spelling import meant

PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # what may mean something in Markdown, unless a backslash stands before it
READINGS = """torch.cuda.reset_peak_memory_stats()
torch.cuda.synchronize()
start = time.perf_counter()
images = generate()
torch.cuda.synchronize()
time_s = time.perf_counter() - start
vram_peak_bytes = torch.cuda.max_memory_allocated()
ram_bytes = psutil.Process().memory_info().rss"""
ROWS_SAY_WEIGHTS = ("models", "methods", "scores", "survey")  # tables that may have rows of other weights or of none
LONGEST = 200  # letters of a setting, such as a prompt, that the text shows


class Markdown(str):
    """Text that is Markdown already, and is not escaped again."""


def write(report, folder: Path, number: str, template: Path | None = None, only: Iterable[str] = (),
          page: Page | None = None) -> list[Path]:
    """Write chapter.docx, chapter.tex with its figures, and chapter.html; returns the files.

    number: the chapter's, a whole number as text. template: a text of one's own. only: the names of tables
    and figures, for these without a text; "growth" is both, "figure:growth" the figure alone. page: margins,
    indent and print. Raises ValueError for a number, a name or a template that will not do; then nothing is
    written.
    """
    if not re.fullmatch(r"\s*[0-9]{1,3}\s*", str(number)):
        raise ValueError(f"the chapter's number is {number!r}: use a whole number, as in 3")
    contents = Contents(report)
    text = contents.only(only) if only else markdown(contents, Path(template or report.chapter_template))
    return documents.write(text, contents.parts, report, folder, int(number), page)


def markdown(contents: "Contents", template: Path) -> str:
    """The text that a template gives. Raises ValueError, with the template's line, for what is not there."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=_escaped)
    try:
        filled = environment.from_string(template.read_text(encoding="utf-8-sig"))  # before figures are drawn for it
        return filled.render({name: getattr(contents, name) for name in dir(contents) if not name.startswith("_")})
    except OSError as error:
        raise OSError(f"the template {template} cannot be read ({error.strerror}): give another file") from None
    except UnicodeDecodeError:
        raise ValueError(f"the template {template} is not in UTF-8: save it as UTF-8") from None
    except (TemplateError, TypeError, AttributeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        line = f", line {error.lineno}" if hasattr(error, "lineno") else ""
        raise ValueError(f"the template {template}{line} cannot be filled ({error}): correct it") from error


def _escaped(value) -> str:
    """What a template prints: text as text, on one line; Markdown as it is."""
    return value if isinstance(value, Markdown) else PUNCTUATION.sub(r"\\\1", escape.plain(str(value)).strip())


def _code(text: str) -> str:
    """A piece of a program within a line, cut if it is long, between as many backticks as it needs."""
    text = escape.plain(text).strip()
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks} {text} {ticks}"


class Contents:
    """What a template can print, ask and place."""

    def __init__(self, report):
        self._report, rows = report, report.rows
        if rows.empty:
            raise ValueError("there is no run that Table 1 can show, and so no chapter: run notebooks 1 to 3, or give their results")
        if not rows["n"].any():
            raise ValueError("no iteration of these runs succeeded, and so there is no chapter: measure again, or choose other runs")
        self.demo, self.random = (weights in set(rows["weights"]) for weights in ("demo", "random"))
        self.has_vram, self.warmup = bool(rows["vram_peak_bytes"].notna().any()), any(run.warmup for runs in rows["runs"] for run in runs)
        self.device, self.reproduced = ", ".join(dict.fromkeys(rows["device"])), report.reproduced
        self.iterations, self.few = cells.counts(rows), bool((rows["n"] < warnings.FEW).any())
        self.several_sessions = cells.in_sessions(rows)
        self.models = [self._model(row) for _, row in rows.iterrows()]
        self.labels = ", ".join(model["label"] for model in self.models)
        self.families = {find(slug).family for slug in rows.index}  # in English
        # The models whose call contains another's, so that their time begins at the prompt.
        self.from_a_prompt = ", ".join(report.text(find(slug).label) for slug in rows.index if find(slug).contains)
        self.verdicts = verdicts(report) if len(report.answers) else []
        self.conclusions, self.doubts, self.licences = report.conclusions(), warnings.doubts(report), sources.licences(report)

    def _model(self, row: pd.Series) -> dict:
        report, entry, run = self._report, find(row["experiment"]), row["run"]
        weights, _ = cells.WEIGHTS[row["weights"]]
        settings = [_code(f"{name} = {json.dumps(value, ensure_ascii=False)}") for name, value in sorted(run.settings.items())]
        return dict(slug=key(entry.slug), label=report.text(entry.label), family=report.text(entry.family), name=row["model"],
                    dtype=row["dtype"], weights=report.say(weights), settings=Markdown(", ".join(settings)),
                    parameters=cells.figure(report, row["parameters"], ONCE["parameters"]) if row["parameters"] else "",
                    one_picture=run.settings.get("prompt") == "" and _draws_one_picture(run), sources=entry.papers)

    @cached_property
    def parts(self) -> Parts:
        """The tables and figures with something in them, the listings and the sources."""
        report, drawn = self._report, map(self._report.figure, self._report.figures)
        tables = {name: report.table(name) for name in report.tables}
        if self.demo:  # as captions of figures do for all weights
            weights = report.say(cells.WEIGHTS["demo"][0])
            tables = {name: table if name in ROWS_SAY_WEIGHTS else replace(table, title=f"{table.title} ({weights})")
                      for name, table in tables.items()}
        return Parts(tables, {figure.name: figure for figure in drawn if not figure.empty}, self._listings(), sources.sources(report))

    def _listings(self) -> dict[str, Listing]:
        """How time and memory are read, and the call of each model whose run kept its text."""
        report, lines = self._report, [line for line in READINGS.split("\n") if self.has_vram or "torch.cuda" not in line]
        calls = {key(slug): Listing(report.say("The measured call of {model}", model=report.text(find(slug).label)), run.call)
                 for slug, run in report.rows["run"].items() if run.call}
        return {"readings": Listing(report.say("How an iteration is read"), "\n".join(lines))} | calls

    def has(self, place: str) -> bool:
        """Whether there is such a table ("table:growth"), figure or listing, with something in it."""
        kind, _, name = place.partition(":")
        if kind not in PLACES:
            raise LookupError(f"{place!r} is no {', '.join(PLACES)}")
        return name in self.parts.of(kind)

    def place(self, place: str) -> Markdown:
        """Where a table, figure or listing stands; nothing where there is none."""
        kind, _, name = place.partition(":")
        return Markdown(f"\n::: {{.{kind} name={name}}}\n:::\n" if self.has(place) else "")  # no part of a paragraph above

    def ref(self, place: str) -> Markdown:
        """The number of a table, figure or listing."""
        return Markdown(f"[](#{place})")

    def cite(self, *keys: str) -> Markdown:
        """The numbers of sources, by their keys; "model" is every model, "package" every package."""
        found = [name for key in keys for name in self.parts.sources if key in (name, name.rstrip("0123456789"))]
        return self.ref(f"source:{','.join(found)}") if found else Markdown()

    def only(self, names: Iterable[str]) -> str:
        """Tables and figures without a text. Raises ValueError, saying which there are, for another name."""
        there = [f"table:{name}" for name in self.parts.tables] + [f"figure:{name}" for name in self.parts.figures]
        found = {name: [place for place in there if name in (place, place.partition(":")[2])] for name in names}
        if unknown := [name for name, places in found.items() if not places]:
            near = meant(unknown[0], [*there, *(place.partition(":")[2] for place in there)])
            raise ValueError(f"there is no table or figure {unknown[0]!r} in this report{near}: use some of {', '.join(there)}")
        return "\n".join(self.place(place) for place in dict.fromkeys(chain(*found.values())))


def _draws_one_picture(run: Run) -> bool:
    """Whether all its iterations, more than one, drew the same."""
    hashes = [tuple(picture.sha256 for picture in iteration.images) for iteration in run.good]
    return len(hashes) > 1 and len(set(hashes)) == 1 and hashes[0] != ()
