"""A table with its caption and note: shown in a notebook, saved as files."""
import textwrap
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from genlib.files import make_folder, write_atomically
from genlib.report import formats
from genlib.spelling import meant


@dataclass(frozen=True)
class Table:
    """All its cells are text, in the language of the report that made it."""
    name: str
    data: pd.DataFrame
    title: str
    caption: str  # the title behind its number, where there is one
    note: str
    file: str  # the name of its files, without an ending
    decimal_sign: str = "."

    def __str__(self) -> str:
        return formats.to_markdown(self.data, self.caption, self.note)

    def __repr__(self) -> str:
        return f"{self.caption}: {len(self.data)} x {len(self.data.columns)}"

    def _repr_html_(self) -> str:
        return formats.to_html(self.data, self.name, self.caption, self.note)

    def save(self, folder, kinds=formats.FORMATS) -> list[Path]:
        """Write it into a folder in some of FORMATS; returns the files.

        Without the package python-docx there is no .docx, and a line says so. Raises ValueError for another
        format.
        """
        if unknown := [kind for kind in kinds if kind not in formats.FORMATS]:
            near = meant(unknown[0], formats.FORMATS)
            raise ValueError(f"there is no format {unknown[0]!r}{near}: use some of {', '.join(formats.FORMATS)}")
        if "docx" in kinds and not find_spec("docx"):
            print(f"{self.file}.docx left out: it needs `pip install python-docx`")
            kinds = [kind for kind in kinds if kind != "docx"]
        parts = self.data, self.caption, self.note
        tex = "% In the preamble:\n" + textwrap.indent(formats.LATEX_PREAMBLE, "% ")
        tex += formats.to_latex(self.data, self.name, self.title, self.note)
        write = {"csv": lambda: formats.to_csv(self.data, self.decimal_sign), "md": lambda: formats.to_markdown(*parts).encode(),
                 "tex": tex.encode, "docx": lambda: formats.to_docx(*parts)}
        folder = make_folder(folder)
        paths = [folder / f"{self.file}.{kind}" for kind in kinds]
        for kind, path in zip(kinds, paths, strict=True):
            write_atomically(path, write[kind]())
        return paths
