"""The columns of a Word table: wide enough for their longest words, and within the page."""
import re

import pandas as pd
import pytest
from docx import Document
from saved_runs import save_run

from genlib.locale import languages
from genlib.report import Report, layout
from genlib.report.tables import TABLES, Table


def word_file(frame, folder):
    [path] = Table("t", frame, "Table 1", "note", "t").save(folder, ["docx"])
    return path


def broken_words(frame, folder):
    """The words of a .docx that are wider than their cell leaves room for (0.19 cm of margin at each
    side)."""
    path = word_file(frame, folder)
    [table], found = Document(path).tables, []
    for cell in (cell for row in table.rows for cell in row.cells):
        for word in re.split("[ \n]|(?<=[-–])", cell.text):
            size = cell.paragraphs[0].runs[0].font.size.pt
            found += [word] if layout._width_em(word) * size > cell.width.pt - 10.8 else []
    assert sum(cell.width.pt for cell in table.rows[0].cells) <= 467.8, "16.5 cm"
    return found


def every_table(folder, language):
    save_run(folder, "stable-diffusion", [8.1, 8.2], settings=dict(steps=50), machine="another")
    for experiment, time in ("stable-diffusion", 8.1), ("vae-as-in-thesis", 8.4), ("vae-round-trip", 0.123), ("stylegan2-ada", 0.0123):
        save_run(folder, experiment, [time, time * 1.1], settings=dict(steps=50))
    for n in 2, 4:
        save_run(folder, "stylegan2-ada", [0.02 * n], settings=dict(steps=50, batch_size=n), variant=f"batch-{n}")
    save_run(folder, "stylegan2-ada", [0.03], settings=dict(steps=50), variant="precision-bfloat16", dtype="bfloat16")
    report = Report(folder, price_per_hour=1.0, language=language)
    assert report.tables[:len(TABLES)] == [kind.name for kind in TABLES]
    return [report.table(name).data for name in report.tables]


@pytest.mark.parametrize("language", languages())
def test_no_word_of_any_table_is_wider_than_its_column(tmp_path, language):
    for frame in every_table(tmp_path, language):
        assert not broken_words(frame, tmp_path), list(frame.columns)


def test_a_long_word_beside_sentences_has_its_room_and_the_print_becomes_smaller_where_all_are_long(tmp_path):
    sentence = "one word after another " * 20
    frame = pd.DataFrame({"a": [sentence], "відношення": ["1\N{NARROW NO-BREAK SPACE}000\N{NARROW NO-BREAK SPACE}000"], "b": [sentence]})
    assert not broken_words(frame, tmp_path) and layout.size_pt(frame) == 10
    long = pd.DataFrame({f"{'Відеопам’ять'}{i}": ["1"] for i in range(7)})
    assert not broken_words(long, tmp_path) and layout.size_pt(long) == 8
    assert sum(layout.shares(pd.DataFrame({f"{i}{'w' * 40}": ["1"] for i in range(9)}))) == pytest.approx(1), "wider than any page"


def test_a_figure_stays_with_its_unit_and_its_plus_minus():
    text = layout.unbroken("8.10 ± 0.10; 7,93 с. Then 5 % of 4279 MB in 2 steps")
    assert text.replace("\N{NO-BREAK SPACE}", "_") == "8.10_± 0.10; 7,93_с. Then 5_% of 4279_MB in 2 steps"


def test_no_row_is_cut_by_the_end_of_a_page_and_the_heads_stand_on_each(tmp_path):
    frame = pd.DataFrame({"Model": ["a"] * 40, "What shows it": ["a sentence of some length, which takes several lines " * 3] * 40})
    rows = Document(word_file(frame, tmp_path)).tables[0].rows
    rules = [[rule.tag.split("}")[1] for rule in row._tr.trPr] for row in rows]
    assert rules == [["cantSplit", "tblHeader"]] + [["cantSplit"]] * 40
