"""How the document's pages look: the parameters, and what makes them in Word."""
import io
from dataclasses import dataclass

from docx import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_ALIGN_PARAGRAPH as ALIGN
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn
from docx.shared import Mm, Pt

A4_MM = 210, 297


@dataclass(frozen=True)
class Page:
    """An A4 page and its print; a university's own guideline goes before these defaults.

    The margins are the least that DSTU 3008:2015 recommends, and it asks for letters of at least 12 pt and
    for lines one and a half to two high: so says its draft (8.1.6, 8.1.3); the standard itself is only sold.
    It names no typeface: Times New Roman of 14 pt and an indent of 12.5 mm are the universities' custom.
    size_pt is 12 or 14, which LaTeX has too; line_spacing is Word's. Raises ValueError for another size, and
    where margins leave no text.
    """
    left_mm: float = 25
    right_mm: float = 10
    top_mm: float = 20
    bottom_mm: float = 20
    indent_mm: float = 12.5
    font: str = "Times New Roman"
    size_pt: int = 14
    line_spacing: float = 1.5

    def __post_init__(self):
        if self.size_pt not in (12, 14):
            raise ValueError(f"size_pt is {self.size_pt}: use 12 or 14")
        if self.text_mm[0] < 50 or self.text_mm[1] < 50:
            raise ValueError(f"the margins leave {self.text_mm[0]:g} x {self.text_mm[1]:g} mm of an A4 page: use smaller ones")

    @property
    def text_mm(self) -> tuple[float, float]:
        """Width and height of the text."""
        return A4_MM[0] - self.left_mm - self.right_mm, A4_MM[1] - self.top_mm - self.bottom_mm


MONO = "Courier New"  # of listings: DSTU 3008:2015 says nothing of them
SOURCE, CAPTION, FIGURE, BELOW, NOTE, PLACE, GAP, ON = \
    "Source", "Caption Above", "Figure", "Caption Below", "Table Note", "Place", "Gap", "Going On"


def reference(pandocs: bytes, page: Page) -> bytes:
    """pandoc's own reference.docx with our page and styles.

    Captions stay with what they name. By universities' guidelines to DSTU 3008:2015, chapters are headed in
    capitals, sections from the indent, both in bold; the page's number is at the top right.
    """
    document = Document(io.BytesIO(pandocs))
    section = document.sections[0]
    section.page_width, section.page_height = map(Mm, A4_MM)
    section.left_margin, section.right_margin = Mm(page.left_mm), Mm(page.right_mm)
    section.top_margin, section.bottom_margin = Mm(page.top_mm), Mm(page.bottom_mm)
    section.header_distance = section.footer_distance = Mm(10)
    header = section.header.paragraphs[0]
    header.alignment = ALIGN.RIGHT
    header._p.append(parse_xml(f'<w:fldSimple {nsdecls("w")} w:instr="PAGE"><w:r><w:t>1</w:t></w:r></w:fldSimple>'))  # Word fills it
    text = dict(line_spacing=page.line_spacing, alignment=ALIGN.JUSTIFY, widow_control=True)
    indented = text | dict(first_line_indent=Mm(page.indent_mm))
    heading = dict(line_spacing=page.line_spacing, keep_with_next=True, space_after=Pt(page.size_pt / 2))
    apart = dict(space_before=Pt(page.size_pt / 2))
    section_heading = heading | apart | dict(first_line_indent=Mm(page.indent_mm))
    styles = {  # Normal: what is in cells; Compact: items of lists, which have an indent of their own
        "Normal": {}, "Compact": text, "Body Text": indented, "First Paragraph": indented,
        SOURCE: indented | dict(alignment=ALIGN.LEFT), ON: text,
        "Heading 1": heading | dict(alignment=ALIGN.CENTER, page_break_before=True),
        "Heading 2": section_heading, "Heading 3": section_heading,
        CAPTION: apart | dict(keep_with_next=True, space_after=Pt(4)),
        FIGURE: apart | dict(alignment=ALIGN.CENTER, keep_with_next=True),
        BELOW: dict(alignment=ALIGN.CENTER, space_before=Pt(4), space_after=Pt(page.size_pt)),
        NOTE: dict(space_before=Pt(4), space_after=Pt(page.size_pt)), "Source Code": dict(space_after=Pt(page.size_pt)),
        GAP: dict(left_indent=Mm(3), right_indent=Mm(3), line_spacing=1.15, space_before=Pt(6), space_after=Pt(6)), PLACE: {}}
    for name, shape in styles.items():
        size = {NOTE: 11, "Source Code": 10}.get(name, page.size_pt)
        style = _set_anew(document, name, MONO if name == "Source Code" else page.font, size)
        style.font.bold, style.font.all_caps = name.startswith("Heading"), name == "Heading 1"
        for key, value in shape.items():
            setattr(style.paragraph_format, key, value)
    _box(document.styles[GAP])
    document.styles["Verbatim Char"].font.name, document.styles["Verbatim Char"].font.size = MONO, None
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def _set_anew(document, name: str, font: str, size_pt: int):
    """A paragraph style without anything but its print, on single lines flush left."""
    style = document.styles[name] if name in document.styles else document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
    for properties in style.element.findall(qn("w:rPr")) + style.element.findall(qn("w:pPr")):
        style.element.remove(properties)
    style.base_style = None if name == "Normal" else document.styles["Normal"]
    style.font.name, style.font.size = font, Pt(size_pt)
    for letters in "w:cs", "w:eastAsia":
        style.element.rPr.rFonts.set(qn(letters), font)
    shape = style.paragraph_format
    shape.line_spacing, shape.space_before, shape.space_after = 1, 0, 0
    if name.startswith("Heading"):  # by which Word's list of contents knows it
        level = OxmlElement("w:outlineLvl")
        level.set(qn("w:val"), str(int(name[-1]) - 1))
        style.element.pPr.append(level)
    return style


def _box(style) -> None:
    """A frame around a style's paragraphs, and a shade behind them."""
    sides = "".join(f'<w:{side} w:val="dashed" w:sz="6" w:space="4" w:color="CC6600"/>' for side in ("top", "left", "bottom", "right"))
    for made in f"<w:pBdr {nsdecls('w')}>{sides}</w:pBdr>", f'<w:shd {nsdecls("w")} w:val="clear" w:color="auto" w:fill="FFF3E0"/>':
        style.element.get_or_add_pPr().insert_element_before(parse_xml(made), "w:tabs", "w:spacing", "w:ind", "w:jc")
