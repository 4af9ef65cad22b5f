"""An executed notebook as an HTML page; in a browser: tests/test_in_jupyterlab.py."""
import re

import nbformat
import pytest

from genlib.commands import page
from genlib.report.chapter import pandoc

BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/)"


def saved(folder, *markdown):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text) for text in markdown])
    page.save(book, folder / "page.html")
    return (folder / "page.html").read_text(encoding="utf-8")


def test_a_page_asks_no_host_and_holds_no_script(tmp_path):
    text = saved(tmp_path, BADGE)
    assert "<script" not in text and not re.search(r"""src=|<link|url\((?!['"]?data:)""", text)
    assert "default-src 'none'" in text, "what anything in it asks for all the same is not given"
    assert '<a href="https://colab.research.google.com/">Open in Colab</a>' in text


def test_formulas_are_mathml_wherever_they_stand_and_dollars_in_code_stay(tmp_path):
    text = saved(tmp_path, "$a < b$ and `$c$`\n\n$$\\sum_i\nx_i$$", "| $d$ |\n|---|\n| 5 $ |")
    assert text.count("<math") == 3 and text.count('display="block"') == 1 and "<tex" not in text
    assert "<code>$c$</code>" in text and "5 $" in text


@pytest.mark.parametrize("formula", ["$a < b$", "$\\unknown{x} < b$"])
def test_formulas_are_in_texs_words_without_pandoc_and_where_it_takes_one_of_them_not(tmp_path, monkeypatch, formula):
    if "unknown" not in formula:
        def missing():
            raise ValueError("pandoc is not here")
        monkeypatch.setattr(pandoc, "_program", missing)
    text = saved(tmp_path, f"{formula} and $$x$$")
    assert "<math" not in text and formula.replace("<", "&lt;") in text and "$$x$$" in text
