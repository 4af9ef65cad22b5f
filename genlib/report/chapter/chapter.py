"""The chapter as Markdown: what a report has to say, in a template of its language.

A template is genlib/locale/<code>/chapter.md or a user's own: pandoc's Markdown with Jinja2. What it prints
is escaped, so that no name in a record begins a link, a picture or a formula. Its names are the attributes of
Contents.
"""
import json
import re
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from genlib import escape
from genlib.experiments import find
from genlib.locale import N_
from genlib.locale.numbers import span
from genlib.record import Run
from genlib.report import cells, warnings
from genlib.report.chapter import sources

MAY_MEAN_SOMETHING = re.compile(r"([!-/:-@\[-`{-~])")  # in Markdown; a backslash makes a letter of each
READINGS = """torch.cuda.reset_peak_memory_stats()
torch.cuda.synchronize()
start = time.perf_counter()
images = generate()
torch.cuda.synchronize()
time_s = time.perf_counter() - start
vram_peak_bytes = torch.cuda.max_memory_allocated()
ram_bytes = psutil.Process().memory_info().rss"""
OF_A_GPU = "torch.cuda"  # lines that a computer without one leaves out


class Markdown(str):
    """Text that is Markdown already, and is not escaped again."""


class Listing(NamedTuple):
    """A piece of a program with its caption."""
    caption: str
    text: str


def markdown(report, template: Path | None = None) -> str:
    """The chapter's text, by a template of one's own if one is given.

    Raises ValueError, with the template's line, for what it names and there is not.
    """
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    path = template or report.chapter_template
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, finalize=_escaped)
    contents = Contents(report)
    names = {name: getattr(contents, name) for name in dir(contents) if not name.startswith("_")}
    try:
        return environment.from_string(path.read_text(encoding="utf-8-sig")).render(names)
    except UnicodeDecodeError:
        raise ValueError(f"the template {path} is not in UTF-8: save it as UTF-8") from None
    except TemplateError as error:
        line = f", line {error.lineno}" if hasattr(error, "lineno") else ""
        raise ValueError(f"the template {path}{line}: {error}") from None


def _escaped(value) -> str:
    """What a template prints: text as text, on one line; Markdown as it is."""
    return value if isinstance(value, Markdown) else MAY_MEAN_SOMETHING.sub(r"\\\1", escape.plain(str(value)).strip())


def _code(text: str) -> str:
    """A piece of a program within a line, between as many backticks as it needs."""
    text = escape.plain(text).strip()
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks} {text} {ticks}"


class Contents:
    """What a template can print, ask and place."""

    def __init__(self, report):
        self._report = report
        rows = report.rows
        weights = set(rows["weights"])
        self.demo, self.random, self.has_vram = "demo" in weights, "random" in weights, bool(rows["vram_peak_bytes"].notna().any())
        self.device, self.reproduced = ", ".join(dict.fromkeys(rows["device"])), report.reproduced
        self.iterations, self.few = span(sorted(set(rows["n"]))), bool((rows["n"] < warnings.FEW).any())
        self.warmup = any(run.warmup for run in rows["run"])
        self.conclusions, self.doubts = report.conclusions(), warnings.doubts(report)
        self.licences = sources.licences(report)

    @cached_property
    def models(self) -> list[dict]:
        """What is known of each model of the main table, in its order."""
        return [self._model(row) for _, row in self._report.rows.iterrows()]

    @property
    def labels(self) -> str:
        """The names of the models."""
        return ", ".join(model["label"] for model in self.models)

    @property
    def families(self) -> set[str]:
        """The kinds of the models, in English."""
        return {find(slug).family for slug in self._report.rows.index}

    @property
    def from_a_prompt(self) -> str:
        """The names of the models whose time begins at the prompt, since their call contains another's."""
        return ", ".join(model["label"] for model in self.models if find(model["slug"]).contains)

    def _model(self, row: pd.Series) -> dict:
        report, entry, run = self._report, find(row["experiment"]), row["run"]
        weights, _ = cells.WEIGHTS[row["weights"]]
        settings = [_code(f"{name} = {json.dumps(value, ensure_ascii=False)}") for name, value in sorted(run.settings.items())]
        return dict(slug=entry.slug, label=report.text(entry.label), family=report.text(entry.family), name=row["model"],
                    dtype=row["dtype"], weights=report.say(weights), settings=Markdown(", ".join(settings)),
                    parameters=cells.figure(report, row["parameters"], cells.PARAMETERS) if row["parameters"] else "",
                    one_picture=_draws_one_picture(run))

    def has(self, place: str) -> bool:
        """Whether there is such a table ("table:growth"), figure or listing, with something in it."""
        kind, _, name = place.partition(":")
        return name in {"table": self._report.tables, "figure": self._figures, "listing": self.listings}[kind]

    def ref(self, place: str) -> Markdown:
        """The number of a table, figure or listing."""
        return Markdown(f"[](#{place})")

    def cite(self, *keys: str) -> Markdown:
        """The numbers of sources."""
        return Markdown(", ".join(self.ref(f"source:{key}") for key in keys))

    def place(self, place: str) -> Markdown:
        """Where a table, figure or listing stands; nothing where there is none."""
        kind, _, name = place.partition(":")
        return Markdown(f"::: {{.{kind} name={name}}}\n:::\n" if self.has(place) else "")

    @property
    def _figures(self) -> list[str]:
        return [name for name in self._report.figures if not self._report.figure(name).empty]

    @cached_property
    def listings(self) -> dict[str, Listing]:
        """How memory and time are read, and the call of each run that kept its text."""
        return listings(self._report)


def listings(report) -> dict[str, Listing]:
    """How time and memory are read, and the call of each model whose run kept its text."""
    has_gpu = report.rows["vram_peak_bytes"].notna().any()
    read = "\n".join(line for line in READINGS.split("\n") if has_gpu or OF_A_GPU not in line)
    calls = {slug: Listing(report.say("The measured call of {model}", model=report.text(find(slug).label)), row["run"].call)
             for slug, row in report.rows.iterrows() if row["run"].call}
    return {"readings": Listing(report.say(N_("How an iteration is read", "caption")), read)} | calls


def _draws_one_picture(run: Run) -> bool:
    """Whether all its iterations, more than one, drew the same."""
    hashes = [tuple(picture.sha256 for picture in iteration.images) for iteration in run.good]
    return len(hashes) > 1 and len(set(hashes)) == 1 and hashes[0] != ()
