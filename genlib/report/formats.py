"""A table as HTML, CSV, Markdown, LaTeX and Word. Its text is escaped as genlib/escape.py says.

Of a table without rows there is the caption, and the note that says why.
"""
import io
from zlib import crc32

import pandas as pd

from genlib import escape
from genlib.report import layout

FORMATS = ("csv", "md", "tex", "docx")
TWIP = 635  # Word's unit of length, in python-docx's
ESCAPE = {"html": escape.html, "csv": escape.csv, "md": escape.markdown, "tex": escape.latex}
NO_FORMULAS = "tex2jax_ignore mathjax_ignore"  # classes by which MathJax, in notebooks and their pages, leaves text alone


def escaped(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The table with its cells and heads escaped for one of ESCAPE."""
    return frame.map(lambda cell: ESCAPE[kind](str(cell))).rename(columns=ESCAPE[kind])


def to_html(frame: pd.DataFrame, name: str, caption: str, note: str) -> str:
    """The table for a notebook, with caption and note; the style of other tables is left alone."""
    caption, note = escape.html(caption), escape.html(note)
    start, end = f"<div class='{NO_FORMULAS}'>", f"<p style='max-width: 50em; font-size: smaller'>{note}</p></div>"
    if frame.empty:
        return f"{start}<p><b>{caption}</b></p>{end}"
    style = escaped(frame, "html").style.hide(axis="index").set_caption(caption)
    style.set_uuid(f"{name}-{crc32(style.data.to_csv().encode()):08x}")
    style.cell_ids = False
    left = ", ".join(f"td.col{i}, th.col{i}" for i, is_left in enumerate(layout.is_left(frame)) if is_left)
    caption_style = "font-weight: bold; text-align: left; padding-bottom: 4px"
    styles = [{"selector": "caption", "props": caption_style}, {"selector": left, "props": "text-align: left"}]
    return start + style.set_table_styles(styles).to_html() + end


def to_csv(frame: pd.DataFrame, decimal_sign: str) -> bytes:
    """The table as Excel opens it, by a double click, in a language that writes numbers with this decimal
    sign; without the mark at the start it would take UTF-8 for the machine's older encoding."""
    return escaped(frame, "csv").to_csv(index=False, sep=";" if decimal_sign == "," else ",").encode("utf-8-sig")


def to_markdown(frame: pd.DataFrame, caption: str, note: str) -> str:
    """The table as Markdown, caption above, note below."""
    def line(cells):
        return "| " + " | ".join(cells) + " |"

    frame = escaped(frame, "md")
    rules = ["---"] + ["---:"] * (len(frame.columns) - 1)
    table = [] if frame.empty else [line(frame.columns), line(rules), *map(line, frame.to_numpy()), ""]
    return "\n".join([f"**{escape.markdown(caption)}**", "", *table, escape.markdown(note), ""])


def to_latex(frame: pd.DataFrame, caption: str, note: str) -> str:
    """The table as LaTeX; with sentences in it as a longtable, since a float cannot be longer than a page."""
    caption = f"{{\\raggedright {escape.latex(caption)}\\par}}\\smallskip"
    note = f"\\par\\smallskip{{\\footnotesize\\raggedright {escape.latex(note)}\\par}}"
    if frame.empty:
        return f"{caption}\n{note}\n"
    lefts = layout.is_left(frame)
    columns = "".join(_latex_column(share, "right" if left else "left") for share, left in zip(layout.shares(frame), lefts, strict=True))
    long = sum(lefts) > 1
    style = escaped(frame, "tex").style.hide(axis="index")
    body = style.to_latex(hrules=True, column_format=columns, environment="longtable" if long else None)
    body = body.replace("Continued on next page", "").strip()
    small = "\\footnotesize\\setlength{\\tabcolsep}{3pt}"
    packages = "\\usepackage{booktabs,array" + (",longtable}" if long else "}")
    lines = [f"% needs {packages}, and for Ukrainian with pdfLaTeX \\usepackage[T2A]{{fontenc}}"]
    if long:
        return "\n".join([*lines, caption, f"{{{small}", f"{body}}}", note, ""])
    lines += ["\\begin{table}[ht]", caption, "\\centering", *([small] if len(frame.columns) > 4 else []), body, note, "\\end{table}", ""]
    return "\n".join(lines)


def _latex_column(share: float, ragged: str) -> str:
    """A column that wraps, of a share of the line's width."""
    return f">{{\\ragged{ragged}\\arraybackslash}}p{{\\dimexpr {share - 5e-5:.4f}\\linewidth-2\\tabcolsep\\relax}}"


def to_docx(frame: pd.DataFrame, caption: str, note: str) -> bytes:
    """The table as a Word file: A4, Times New Roman."""
    from docx import Document
    from docx.oxml.ns import qn
    from docx.shared import Cm, Pt

    document = Document()
    page = document.sections[0]
    page.page_width, page.page_height, page.left_margin, page.right_margin = Cm(21), Cm(29.7), Cm(2.5), Cm(2)
    font = document.styles["Normal"].font
    font.name, font.size = "Times New Roman", Pt(14)
    document.styles["Normal"].element.rPr.rFonts.set(qn("w:eastAsia"), "Times New Roman")
    document.add_paragraph(escape.plain(caption)).paragraph_format.keep_with_next = True
    if not frame.empty:
        _add_word_table(document, frame, page.page_width - page.left_margin - page.right_margin)
    document.add_paragraph().add_run(escape.plain(note)).font.size = Pt(11)
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def _add_word_table(document, frame: pd.DataFrame, text_width: int) -> None:
    """No row is split by the end of a page, and the heads are repeated on each page."""
    from docx.enum.table import WD_TABLE_ALIGNMENT
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml import OxmlElement
    from docx.shared import Pt

    size, lefts = Pt(layout.size_pt(frame)), layout.is_left(frame)
    widths = [int(text_width * share) // TWIP * TWIP for share in layout.shares(frame)]
    table = document.add_table(rows=1, cols=len(frame.columns), style="Table Grid")
    table.alignment, table.autofit = WD_TABLE_ALIGNMENT.CENTER, False
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width  # LibreOffice goes by the columns, Word by the cells
    for cells, values in [(table.rows[0].cells, frame.columns), *((table.add_row().cells, row) for row in frame.to_numpy())]:
        for cell, value, width, left in zip(cells, values, widths, lefts, strict=True):
            paragraph = cell.paragraphs[0]
            paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT if left else WD_ALIGN_PARAGRAPH.CENTER
            paragraph.add_run(layout.unbroken(str(value))).font.size = size
            cell.width = width
    for i, row in enumerate(table.rows):
        for rule in ["w:cantSplit"] + ["w:tblHeader"] * (i == 0):
            row._tr.get_or_add_trPr().append(OxmlElement(rule))
