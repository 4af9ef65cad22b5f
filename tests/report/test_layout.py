"""The columns of a Word table: wide enough for their longest words, and within the page."""
import re

import pandas as pd
import pytest
from docx import Document
from docx.oxml.ns import qn
from docx.shared import Cm, Pt
from saved_runs import save_answers, save_run, save_sets

from genlib.locale import languages
from genlib.report import Limits, Report, layout
from genlib.report.formats import add_word_table
from genlib.report.tables import TABLES, Table

OWN = {"stylegan2-ada": "mixed"}  # precision; that of the others is float16


def word_file(frame, folder):
    [path] = Table("t", frame, "Title", "Table 1", "note", "t").save(folder, ["docx"])
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
        for _ in range(2):
            save_run(folder, experiment, [time, time * 1.1], settings=dict(steps=50), dtype=OWN.get(experiment, "float16"))
        save_run(folder, experiment, [time], settings=dict(steps=50), variant="precision-float32", dtype="float32")
    for n in 2, 4:
        save_run(folder, "stylegan2-ada", [0.02 * n], settings=dict(steps=50, batch_size=n), variant=f"batch-{n}", dtype="mixed")
    memory = dict(batch_size=4, offload="sequential", vae_slicing=True, vae_tiling=True, card_bytes=4 * 1024**3)
    save_run(folder, "stable-diffusion", [9.0], settings=dict(steps=50) | memory, variant="card-4-gb-float16", dtype="float16")
    save_run(folder, "stable-diffusion", [9.0], settings=dict(steps=50, prompt="a"), variant="model-x", model="stable-diffusion-xl-base")
    save_run(folder, "stylegan2-ada", [0.02], settings=dict(steps=50), variant="style-mixing", dtype="mixed")
    save_answers(folder, {"photograph": 0.8, "stable-diffusion": 0.2, "stylegan2-ada": 0.8}, 4)
    save_sets(folder)
    report = Report(folder, price_per_hour=1.0, limits=Limits(1.0, 4.0, True, True), language=language)
    assert report.tables[:len(TABLES)] == [kind.name for kind in TABLES]
    return [report.table(name).data for name in report.tables]


@pytest.mark.parametrize("language", languages())
def test_no_word_of_any_table_is_wider_than_its_column(tmp_path, language):
    for frame in every_table(tmp_path, language):
        assert not broken_words(frame, tmp_path), list(frame.columns)


def test_a_long_word_beside_sentences_has_its_room_and_the_print_becomes_smaller_where_all_are_long(tmp_path):
    sentence = "one word after another " * 20
    frame = pd.DataFrame({"a": [sentence], "відношення": ["1\N{NARROW NO-BREAK SPACE}000\N{NARROW NO-BREAK SPACE}000"], "b": [sentence]})
    assert not broken_words(frame, tmp_path) and layout.lay_out(frame).size_pt == 10
    long = pd.DataFrame({f"{'Відеопам’ять'}{i}": ["1"] for i in range(7)})
    assert not broken_words(long, tmp_path) and layout.lay_out(long).size_pt == 8
    assert sum(layout.lay_out(pd.DataFrame({f"{i}{'w' * 40}": ["1"] for i in range(9)})).shares) == pytest.approx(1), "wider than any page"


@pytest.mark.parametrize("width_pt", [467, 440])
def test_figures_with_their_spread_and_names_with_hyphens_stay_on_one_line_where_there_is_room(width_pt):
    frame = pd.DataFrame({"Model": ["StyleGAN2-ADA"], "n": ["3"], "Time (s)": ["0.00701 ± 0.00015"], "95 %": ["0.0199 … 0.0225"],
                          "A very long head of a column": ["1"], "Another long head of a column": ["2"]})
    shares = layout.lay_out(frame, width_pt).shares
    for text, share in zip(frame.iloc[0], shares, strict=True):
        assert layout._width_em(text) * 10 < share * width_pt - 10.8, text
    assert sum(shares) == pytest.approx(1)


def test_print_becomes_smaller_for_the_wider_letters_of_computer_modern():
    frame = pd.DataFrame({f"Використання{i}": ["1"] for i in range(6)})
    assert layout.lay_out(frame).size_pt == 9 and layout.lay_out(frame, program=layout.LATEX).size_pt == 8


def test_columns_of_names_and_sentences_are_set_flush_left_and_those_of_figures_are_not():
    frame = pd.DataFrame({"first": ["1"], "unit": ["megapixels"], "time": ["failed"], "VRAM": ["—"], "change": ["−0.1 ± 0.2"],
                          "said": ["5 steps took as long as these"]}, index=[0, 1])
    frame.loc[1, "time"] = "0.1"
    assert layout.is_left(frame) == [True, True, False, False, False, False]
    assert layout.is_left(frame.replace({"said": ".*"}, {"said": "5 steps took as long as these ones"}, regex=True))[-1]


def test_a_figure_stays_with_its_unit_its_symbol_and_its_plus_minus():
    text = layout.unbroken("8.10 ± 0.10; 7,93 с. Then 5 % of 4279 MB in 2 … 5 steps, n = 3 × 5, steps = 50")
    assert text.replace("\N{NO-BREAK SPACE}", "_") == "8.10_± 0.10; 7,93_с. Then 5_% of 4279_MB in 2_… 5 steps, n_=_3_×_5, steps = 50"


LONG = pd.DataFrame({"Model": ["a"] * 40, "What shows it": ["a sentence of some length, which takes several lines " * 3] * 40})


def test_no_row_is_cut_by_the_end_of_a_page_and_the_heads_stand_on_each(tmp_path):
    rows = Document(word_file(LONG, tmp_path)).tables[0].rows
    rules = [[rule.tag.split("}")[1] for rule in row._tr.trPr] for row in rows]
    assert rules == [["cantSplit", "tblHeader"]] + [["cantSplit"]] * 40


def test_pages_part_no_caption_nor_note_from_a_table_and_no_short_table(tmp_path):
    for frame, kept in (LONG, {0, 40}), (LONG[:3], {0, 1, 2, 3}):
        document = Document(word_file(frame, tmp_path))
        assert document.paragraphs[0].paragraph_format.keep_with_next, "the caption"
        rows = enumerate(document.tables[0].rows)
        assert {i for i, row in rows if all(cell.paragraphs[0].paragraph_format.keep_with_next for cell in row.cells)} == kept


def test_a_table_in_another_document_keeps_its_borders_and_spaces_and_fits_its_page():
    document = Document()
    normal = document.styles["Normal"].paragraph_format
    normal.first_line_indent, normal.line_spacing, normal.space_after = Cm(1.25), 1.5, Pt(10)
    table = add_word_table(document, LONG, Cm(15))
    assert sum(cell.width for cell in table.rows[0].cells) == pytest.approx(Cm(15), rel=0.01)
    properties = [element.tag.split("}")[1] for element in table._tbl.tblPr]
    order = ["tblStyle", "tblW", "jc", "tblBorders", "tblLayout", "tblLook"]  # without which Word calls a file damaged
    assert properties == [name for name in order if name in properties] and {"tblBorders", "tblLayout"} <= set(properties)
    assert len(table._tbl.tblPr.find(qn("w:tblBorders"))) == 6, "four sides, and between rows and columns"
    for cell in table.rows[1].cells:
        spaces = cell.paragraphs[0].paragraph_format
        assert (spaces.first_line_indent, spaces.line_spacing, spaces.space_after) == (0, 1, Pt(1))
