"""A report: the runs that count, summarised once, in the reader's language, with numbered tables."""
import re
from collections.abc import Iterable
from functools import cached_property
from os import PathLike
from pathlib import Path

import pandas as pd

from genlib import escape, experiments, runs
from genlib.locale import Language, Message
from genlib.report import choice, conclusions, conditions, prices, scores, survey, warnings
from genlib.report.summary import summarize
from genlib.report.tables import OF_EACH, TABLES, Table, of
from genlib.report.uses import NO_LIMITS, Limits
from genlib.spelling import meant


class Rows(pd.DataFrame):
    """Rows that a notebook shows as they are: a dollar in a cell begins no formula."""

    @property
    def _constructor(self):
        return Rows

    def _repr_html_(self) -> str:
        with pd.option_context("display.html.use_mathjax", False):
            return super()._repr_html_()


class Report:
    """What the runs below `results` say, a folder or .zip of runs or a list of them.

    reference: a folder of runs to compare with; they never fill in for runs of one's own. machine, weights,
    profile: which runs; by default those of the newest run that Table 1 can show. machine may be any part of
    a device's name, or several with commas: the report is of the first, the tables of machines of all.
    language: one of `genlib.locale.languages()`. number: of the first table ("1", "3.1"), from which the
    others count on; without it captions have no numbers. reproduced: where the published figures are given,
    as a phrase that can follow "as"; by default "in the reproduced thesis". price_per_hour: of the device, or
    a CSV file of devices' prices (see `prices.read`). price_per_kwh: of energy. limits: what a use asks of a
    model. Raises ValueError, saying what there is, if no run fits.

    Attributes, DataFrames with a row for each figure, of one or several sessions (see `summary.summarize`):
    `sessions`, of all runs that count; `everything`, of the newest environment of each key; `summary`, of
    this machine, weights and profile, with every variant and method; `rows`, those that Table 1 shows, by
    experiment. `summary` and `rows` have a column more, `unlike`: what was otherwise than in the row of Table
    1 that `standard` names, with whether most of Table 1 is as that one. `set_aside` are runs that were set
    aside.
    """

    def __init__(self, results, *, reference=None, machine: str = "", weights: str = "", profile: str = "", language: str = "en",
                 number: str = "", reproduced: str = "", price_per_hour: float | str | PathLike = 0.0,
                 price_per_kwh: float = 0.0, limits: Limits = NO_LIMITS):
        words = Language(language)
        self.say, self.count, self.rounded, self.significant = words.say, words.count, words.rounded, words.significant
        self.language, self.chapter_template, self.decimal_sign = words.code, words.chapter, words.decimal_sign
        self.reproduced = escape.plain(reproduced).strip() or self.say("in the reproduced thesis")
        in_file = isinstance(price_per_hour, (str, PathLike))
        self.prices, self.price_per_hour = (prices.read(price_per_hour), 0.0) if in_file else ({}, price_per_hour)
        if not (self.price_per_hour >= 0 and price_per_kwh >= 0):
            raise ValueError(f"the prices are {price_per_hour} and {price_per_kwh}: use prices from 0 up")
        self.price_per_kwh, self.limits = price_per_kwh, limits
        self._first_number, self._made = str(number).strip(), {}
        number_after(self._first_number, 0)  # refused at once
        self._folders, self._reference = [results] if isinstance(results, (str, PathLike)) else list(results), reference
        found = runs.finished(*self._folders, reference=reference)
        counted = runs.counted(found)
        self.sessions = _without_hidden_letters(summarize(counted))
        self.everything = self.sessions[self.sessions["newest"]].reset_index(drop=True)
        aside = {(run.key, run.started): run for run in found if run.set_aside is not None}  # each once, of several copies
        there = {(run.key, run.started) for run in counted}
        self.set_aside = [run for one, run in aside.items() if one not in there]
        if self.set_aside and self.everything.empty:
            raise ValueError(f"all finished runs in what was given ({len(self.set_aside)}) are set aside: measure again, or take one back "
                             "with `genlib runs`")
        self.machines, self.machines_named = choice.machines(self.everything, machine), bool(machine)
        self.summary = choice.choose(self.everything, machine, weights, profile).assign(unlike="")
        self.rows = choice.one_of_each(self.summary)
        if len(self.rows):
            self.standard = conditions.standard(self.rows)
            usual = self.rows.loc[self.standard[0]]
            self.summary = self.summary.assign(unlike=conditions.unlike(self, self.summary, usual))
            self.rows = self.rows.assign(unlike=conditions.unlike(self, self.rows, usual, dtypes=True))

    @property
    def groups(self) -> pd.DataFrame:
        """What reports could be made of: a row for each machine, weights and profile, best first."""
        return Rows(choice.groups(self.everything))

    @cached_property
    def answers(self) -> pd.DataFrame:
        """What people answered: the CSVs in the folder `survey` of the results, by `survey.read`."""
        return survey.read(path for folder in self._folders for path in sorted(Path(folder, "survey").glob("*.csv")))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Every set of pictures that `genlib score` has scored, by `scores.read`."""
        return scores.read(self._folders, self._reference, (run for runs in self.sessions["runs"] for run in runs))

    def price_of(self, device: str) -> float | None:
        """The price of an hour of a device; None if it is not known."""
        return self.prices.get(prices.name_of(self.prices, device), self.price_per_hour or None)

    def left_out(self) -> list[str]:
        """The names of the groups that this report is not of."""
        return [name for name in choice.names(self.groups) if name not in choice.names(self.summary)]

    def text(self, label: str) -> str:
        """A label in the reader's language; text from a record, such as an unknown slug, as it is."""
        return self.say(label) if isinstance(label, Message) else label

    @property
    def tables(self) -> list[str]:
        """The names of the tables that these runs fill, in order; they are numbered consecutively."""
        return [kind.name for kind in self._tables() if len(self._cells(kind)[0])]

    @property
    def figures(self) -> list[str]:
        """The names of the figures, in order."""
        return [kind.name for kind in self._figures()]

    def table(self, name: str) -> Table:
        """A table by its name; empty, with a note that says why, where these runs have nothing for it."""
        kinds = self._tables()
        kind = _named(kinds, name, "table")
        (data, note), title = self._cells(kind), self.title(kind)
        caption = title
        if len(data) and self._first_number:
            places = sum(len(self._cells(earlier)[0]) > 0 for earlier in kinds[:kinds.index(kind)])
            caption = self.say("Table {number} – {title}", number=number_after(self._first_number, places), title=title)
        return Table(name, data, title, caption, note, kind.file or name, self.decimal_sign)

    def title(self, kind) -> str:
        """What a kind of table or figure is called, with the model's name where there is one for each."""
        return self.say(kind.title, model=self.text(experiments.find(kind.model).label))

    def _tables(self) -> list:
        return [*TABLES, *(of(kind, experiment) for kind in OF_EACH for experiment in self.rows.index)]

    def _figures(self) -> list:
        from genlib.report import figures  # loads matplotlib, whose 20 MB would count in notebooks that measure

        return [*figures.FIGURES, *(of(kind, experiment) for kind in figures.OF_EACH for experiment in self.rows.index)]

    def _cells(self, kind) -> tuple[pd.DataFrame, str]:
        """A table's data and note, made once."""
        if kind.name not in self._made:
            self._made[kind.name] = kind.make(self)
        return self._made[kind.name]

    def figure(self, name: str):
        """A figure by its name, with its title, the device and the weights above it."""
        return _named(self._figures(), name, "figure").draw(self)

    def save(self, folder) -> list[Path]:
        """Write all tables into <folder>/tables and all figures into <folder>/figures; returns the files.

        Empty tables too: else an older file would stay in their place.
        """
        folder = Path(folder)
        return [path for kind in self._tables() for path in self.table(kind.name).save(folder / "tables")] + \
               [path for name in self.figures for path in self.figure(name).save(folder / "figures")]

    def save_chapter(self, folder, number: str = "3", *, template=None, only: Iterable[str] = (), page=None) -> list[Path]:
        """Write the chapter of a thesis as .docx, .tex and .html into a folder; returns the files.

        number: the chapter's, from which its tables count. template: a text of one's own (see
        `chapter.markdown`). only: names of tables and figures, for these without the text. page: a
        `chapter.styles.Page`, for other margins, indents or print.
        """
        from genlib.report.chapter import chapter  # loads Jinja2

        return chapter.write(self, Path(folder), number, template, only, page)

    def doubts(self) -> list[str]:
        """What makes the figures doubtful, and what helps; one sentence that says so if nothing does."""
        return warnings.doubts(self) or [self.say("Nothing was seen that makes these figures doubtful.")]

    def conclusions(self) -> list[str]:
        """What the figures say, in sentences; the last one says what they cannot tell."""
        return conclusions.conclude(self)


def _without_hidden_letters(rows: pd.DataFrame) -> Rows:
    """The rows, texts and heads as `escape.plain` writes them; of heads that are then alike the first."""
    plain = rows.map(lambda value: escape.plain(value) if isinstance(value, str) else value).rename(columns=escape.plain)
    return Rows(plain.loc[:, ~plain.columns.duplicated()])


def _named(kinds: list, name: str, what: str):
    found = {kind.name: kind for kind in kinds}
    if name not in found:
        raise ValueError(f"there is no {what} {name!r}{meant(name, found)}: use one of {', '.join(found)}")
    return found[name]


def number_after(first: str, places: int) -> str:
    """The number of the table that stands so many places after the first: 3.1 and 2 give 3.3.

    Raises ValueError for a first one that cannot be counted on.
    """
    counted = re.fullmatch(r"(|[^-].*?(?<![0-9]))([0-9]{1,9})", first)
    if first and not counted:
        raise ValueError(f"the number of Table 1 is {first!r}: use one that ends in a whole number, as in 1 or 3.1")
    return f"{counted[1]}{int(counted[2]) + places}" if places else first
