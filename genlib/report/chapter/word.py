"""The document as a Word file: its numbers are text, its formulas Word's own.

pandoc writes the text, in our styles, and a paragraph of the style PLACE where a table or a picture is to be;
these are put in by python-docx, since pandoc knows neither measured widths nor rows that stay whole.
"""
import io
import zipfile
from itertools import dropwhile
from tempfile import TemporaryDirectory

from docx import Document
from docx.oxml.ns import qn
from docx.shared import Mm

from genlib.report import formats, layout
from genlib.report.chapter import pandoc, styles
from genlib.report.chapter.form import HIGHEST, Form
from genlib.report.chapter.pandoc import code, div, paragraph, string

PANDOCS_BULLETS = "\uf0b7", "o", "\uf0a7"


def styled(style: str, *inlines: dict) -> dict:
    """A paragraph in one of Word's styles."""
    return div([paragraph(*inlines)], custom_style=style)


class Word(Form):
    """A .docx that Word and LibreOffice open."""
    kind = "docx"

    def document(self, tree):
        with TemporaryDirectory() as folder:
            reference = f"{folder}/reference.docx"
            with open(reference, "wb") as file:
                file.write(styles.reference(pandoc.pandoc(b"", "--print-default-data-file", "reference.docx"), self.page))
            made = pandoc.write(self.filled(tree), "-t", "docx", "-o", "-", "--reference-doc", reference,
                                "-M", f"lang={self.report.language}")
        document = Document(io.BytesIO(made))
        for place in [each for each in document.paragraphs if each.style.name == styles.PLACE]:
            kind, _, name = place.text.partition(":")
            getattr(self, f"_put_{kind}")(document, place, self.parts.of(kind)[name])
        for level in document.part.numbering_part.element.iter(qn("w:lvl")):
            level.find(f".//{qn('w:ind')}").set(qn("w:hanging"), "560")  # 1 cm: numbers from 10 on are wider than pandoc thinks
            sign = level.find(qn("w:lvlText"))
            if sign.get(qn("w:val")) in PANDOCS_BULLETS:
                sign.set(qn("w:val"), "–")  # as DSTU 3008:2015 has it
                level.remove(level.find(qn("w:rPr")))  # a font of symbols alone
        return _undated(document)

    def _replacement(self, node):
        """What goes on behind a formula is no new paragraph: it has no indent."""
        if node["t"] == "Para":
            ends = [n for n, part in enumerate(node["c"]) if part["t"] == "Math" and part["c"][0]["t"] == "DisplayMath"]
            behind = node["c"][ends[-1] + 1:] if ends else []
            if rest := list(dropwhile(lambda part: part["t"] in ("Space", "SoftBreak"), behind)):
                return [paragraph(*node["c"][:ends[-1] + 1]), styled(styles.ON, *rest)]
        return super()._replacement(node)

    def reference(self, label, text):
        return string(text)

    def table(self, label, table):
        note = [styled(styles.NOTE, string(layout.unbroken(table.note)))] if table.note else []
        return [styled(styles.CAPTION, string(self.caption(label, table.title))), styled(styles.PLACE, string(label)), *note]

    def figure(self, label, figure):
        return [styled(styles.PLACE, string(label)), styled(styles.BELOW, string(self.caption(label, figure.caption)))]

    def listing(self, label, listing):
        return [styled(styles.CAPTION, string(self.caption(label, listing.title))), code(listing.lines)]

    def source(self, text):
        return styled(styles.SOURCE, string(text))

    def gap(self, blocks):
        """Items of lists are paragraphs with a dash: in a list they would have no box."""
        made = []
        for block in blocks:
            items = block["c"] if block["t"] == "BulletList" else block["c"][1] if block["t"] == "OrderedList" else None
            made += [block] if items is None else [paragraph(string("– "), *item[0]["c"]) for item in items]
        return [div(made, custom_style=styles.GAP)]

    def _put_table(self, document, place, table):
        made = formats.add_word_table(document, table.data, Mm(self.page.text_mm[0]))
        place._p.addprevious(made._tbl)
        place._p.getparent().remove(place._p)

    def _put_figure(self, document, place, figure):
        caption = self.caption(place.text, figure.caption)
        place.clear()
        picture = place.add_run().add_picture(io.BytesIO(self.pictures[figure.name]), width=Mm(self.page.text_mm[0]))
        picture._inline.docPr.set("descr", caption)
        smaller = min(1, Mm(HIGHEST * self.page.text_mm[1]) / picture.height)
        picture.width, picture.height = int(picture.width * smaller), int(picture.height * smaller)
        for side in "distT", "distB", "distL", "distR":
            picture._inline.set(side, "0")  # without it LibreOffice leaves 3 mm
        place.style = styles.FIGURE


def _undated(document) -> bytes:
    """The file without dates: the same text gives the same bytes."""
    properties = document.core_properties._element
    for date in properties.xpath("dcterms:created | dcterms:modified"):
        properties.remove(date)
    saved, data = io.BytesIO(), io.BytesIO()
    document.save(saved)
    with zipfile.ZipFile(saved) as dated, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as undated:
        for name in dated.namelist():
            undated.writestr(zipfile.ZipInfo(name), dated.read(name), zipfile.ZIP_DEFLATED)
    return data.getvalue()
