"""A document's pages have the measures that are asked for."""
import io

import pytest
from docx import Document
from docx.oxml.ns import qn

from genlib.report.chapter import pandoc, styles
from genlib.report.chapter.styles import Page


@pytest.fixture(scope="module")
def reference():
    """Makes a reference.docx of a page's measures."""
    pandocs = pandoc.pandoc(b"", "--print-default-data-file", "reference.docx")
    return lambda **changes: Document(io.BytesIO(styles.reference(pandocs, Page(**changes))))


def test_the_page_is_a4_with_the_margins_that_are_asked_for(reference):
    section = reference(left_mm=30, right_mm=15).sections[0]
    margins = section.left_margin, section.right_margin, section.top_margin, section.bottom_margin
    assert [round(length.mm) for length in (section.page_width, section.page_height, *margins)] == [210, 297, 30, 15, 20, 20]
    assert section.header._element.xpath(".//w:fldSimple/@w:instr") == ["PAGE"]


def test_text_is_of_the_font_size_spacing_and_indent_that_are_asked_for(reference):
    style = reference(font="Tinos", size_pt=12, line_spacing=2, indent_mm=10).styles["Body Text"]
    shape = style.paragraph_format
    assert (style.font.name, style.font.size.pt, shape.line_spacing, round(shape.first_line_indent.mm)) == ("Tinos", 12, 2, 10)
    assert shape.alignment.name == "JUSTIFY"


def test_no_style_keeps_pandocs_colours_and_themes_fonts(reference):
    document = reference()
    for name in ("Normal", "Body Text", "Heading 1", "Heading 2", "Heading 3", "Source Code", styles.CAPTION, styles.BELOW, styles.GAP):
        element = document.styles[name].element
        assert not element.findall(f".//{qn('w:color')}") and not element.xpath(".//w:rFonts/@w:asciiTheme"), name


def test_captions_and_headings_stay_with_what_they_name_and_headings_have_levels(reference):
    document = reference()
    for name in ("Heading 1", "Heading 2", styles.CAPTION, styles.FIGURE):
        assert document.styles[name].paragraph_format.keep_with_next, name
    assert [document.styles[f"Heading {n}"].element.xpath(".//w:outlineLvl/@w:val") for n in (1, 2, 3)] == [["0"], ["1"], ["2"]]


@pytest.mark.parametrize("changes, said", [({"size_pt": 13}, "size_pt is 13: use 12 or 14"), ({"left_mm": 190}, "leave 10 x 257 mm")])
def test_measures_that_make_no_page_are_named(changes, said):
    with pytest.raises(ValueError, match=said):
        Page(**changes)
