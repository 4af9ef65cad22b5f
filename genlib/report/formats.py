"""A table as HTML, CSV, Markdown, LaTeX and Word. Its text is escaped as genlib/escape.py says.

Of a table without rows there is the caption, and the note that says why.
"""
import io
from collections.abc import Callable
from zlib import crc32

import pandas as pd

from genlib import escape
from genlib.report import layout

FORMATS = ("csv", "md", "tex", "docx")
TWIP = 635  # Word's unit of length, in python-docx's
LATEX_PREAMBLE = r"""\usepackage{iftex,array,booktabs,longtable,caption}
\ifPDFTeX\usepackage[T2A]{fontenc}\else\usepackage{fontspec}
\IfFontExistsTF{Times New Roman}{\setmainfont{Times New Roman}}{%
\IfFontExistsTF{Liberation Serif}{\setmainfont{Liberation Serif}}{\setmainfont{CMU Serif}}}\fi
\captionsetup{labelsep=endash,font=normalsize}
\captionsetup[table]{position=above,singlelinecheck=false,justification=raggedright}
"""  # what `to_latex` needs, with letters of both alphabets under every engine, and captions as in DSTU 3008:2015
NO_FORMULAS = "tex2jax_ignore mathjax_ignore"  # classes by which MathJax, in notebooks and their pages, leaves text alone


def escaped(frame: pd.DataFrame, for_format: Callable[[str], str]) -> pd.DataFrame:
    """The table with its cells and heads escaped."""
    return frame.map(lambda cell: for_format(str(cell))).rename(columns=for_format)


def to_html(frame: pd.DataFrame, name: str, caption: str, note: str) -> str:
    """The table for a notebook, with caption and note; the style of other tables is left alone."""
    caption, note = escape.html(caption), escape.html(note)
    start, end = f"<div class='{NO_FORMULAS}'>", f"<p style='max-width: 50em; font-size: smaller'>{note}</p></div>"
    if frame.empty:
        return f"{start}<p><b>{caption}</b></p>{end}"
    style = escaped(frame, lambda text: escape.html(layout.unbroken(text))).style.hide(axis="index").set_caption(caption)
    content = style.data.to_csv(lineterminator="\n").encode()
    style.set_uuid(f"{name}-{crc32(content):08x}")
    style.cell_ids = False
    left = ", ".join(f"td.col{i}, th.col{i}" for i, is_left in enumerate(layout.is_left(frame)) if is_left)
    styles = [{"selector": "caption", "props": "font-weight: bold; text-align: left; padding-bottom: 4px"},
              {"selector": left, "props": "text-align: left"}]
    return start + style.set_table_styles(styles).to_html() + end


def to_csv(frame: pd.DataFrame, decimal_sign: str) -> bytes:
    """The table as Excel opens it, by a double click, in a language that writes numbers with this decimal
    sign; without the mark at the start it would take UTF-8 for the machine's older encoding."""
    return escaped(frame, escape.csv).to_csv(index=False, sep=";" if decimal_sign == "," else ",", lineterminator="\n").encode("utf-8-sig")


def to_markdown(frame: pd.DataFrame, caption: str, note: str) -> str:
    """The table as Markdown, caption above, note below."""
    def line(cells):
        return "| " + " | ".join(cells) + " |"

    frame = escaped(frame, escape.markdown)
    rules = ["---"] + ["---:"] * (len(frame.columns) - 1)
    table = [] if frame.empty else [line(frame.columns), line(rules), *map(line, frame.to_numpy()), ""]
    return "\n".join([f"**{escape.markdown(caption)}**", "", *table, escape.markdown(note), ""])


def to_latex(frame: pd.DataFrame, name: str, caption: str, note: str, text_width_pt: float = layout.TEXT_WIDTH_PT) -> str:
    """The table as LaTeX, in the order of the text and with its heads on each page; needs LATEX_PREAMBLE.

    LaTeX numbers it before its caption, and the text refers to it by \\ref{table:name}. The note is its last
    row, since a page could end between a longtable and what follows it. It is laid out for lines of
    `text_width_pt`.
    """
    caption = escape.latex(caption)
    note = f"\\fontsize{{10}}{{12}}\\selectfont\\raggedright {escape.latex(layout.unbroken(note))}"
    if frame.empty:
        return f"{{\\raggedright {caption}\\par}}\\smallskip\n{{{note}\\par}}\n"
    size, shares, lefts, whole = layout.lay_out(frame, text_width_pt, layout.LATEX)
    columns = "\n".join(map(_latex_column, shares, lefts))
    heads, *rows = [" & ".join(escape.latex(layout.unbroken(str(cell))) for cell in row) for row in (frame.columns, *frame.to_numpy())]
    end_of_row = ("\\\\*" if whole else "\\\\") + "\\addlinespace\n"
    head = f"\\toprule\n{heads} \\\\\n\\midrule\n"
    spaces = f"\\tabcolsep{layout.LATEX.padding_pt / 2}pt\\defaultaddspace2pt\\linespread{{1}}"
    return f"""{{{spaces}\\fontsize{{{size}}}{{{1.2 * size:g}}}\\selectfont
\\begin{{longtable}}{{{columns}}}
\\caption{{{caption}}}\\label{{table:{name}}}\\\\
{head}\\endfirsthead
{head}\\endhead
\\bottomrule
\\endfoot
\\endlastfoot
{end_of_row.join(rows)}\\\\*
\\bottomrule\\noalign{{\\unskip\\nobreak\\smallskip}}
\\multicolumn{{{len(shares)}}}{{p{{\\dimexpr\\linewidth-2\\tabcolsep\\relax}}}}{{{note}}}\\\\
\\end{{longtable}}}}
"""


def _latex_column(share: float, left: bool) -> str:
    """A column that wraps between words, of a share of the line's width."""
    ragged = "\\raggedright" if left else "\\raggedleft"
    return f">{{{ragged}\\hyphenpenalty10000\\arraybackslash}}p{{\\dimexpr {share - 5e-5:.4f}\\linewidth-2\\tabcolsep\\relax}}"


def to_docx(frame: pd.DataFrame, caption: str, note: str) -> bytes:
    """The table as a Word file: A4, Times New Roman."""
    from docx import Document
    from docx.oxml.ns import qn
    from docx.shared import Cm, Pt

    document = Document()
    page = document.sections[0]
    page.page_width, page.page_height, page.left_margin, page.right_margin = Cm(21), Cm(29.7), Cm(2.5), Cm(2)
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = "Times New Roman", Pt(14)
    normal.element.rPr.rFonts.set(qn("w:eastAsia"), "Times New Roman")
    document.add_paragraph(escape.plain(caption)).paragraph_format.keep_with_next = True
    if not frame.empty:
        add_word_table(document, frame, page.page_width - page.left_margin - page.right_margin)
    paragraph = document.add_paragraph()
    paragraph.paragraph_format.space_before = Pt(6)
    paragraph.add_run(layout.unbroken(note)).font.size = Pt(11)
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def add_word_table(document, frame: pd.DataFrame, text_width: int):
    """Append the table, its columns laid out for lines of `text_width` (EMU), and return it; python-docx's.

    No row is split by the end of a page, the heads are repeated on each page, and the last row stays with the
    paragraph that follows, which is to be the note. Borders and paragraphs do not depend on the document's
    styles.
    """
    from docx.enum.table import WD_TABLE_ALIGNMENT
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.oxml import OxmlElement
    from docx.shared import Pt

    size, shares, lefts, whole = layout.lay_out(frame, text_width / Pt(1))
    widths = [int(text_width * share) // TWIP * TWIP for share in shares]
    table = document.add_table(rows=1 + len(frame), cols=len(shares))
    table.alignment, table.autofit = WD_TABLE_ALIGNMENT.CENTER, False
    table._tbl.tblPr.insert_element_before(_borders(), "w:shd", "w:tblLayout", "w:tblCellMar", "w:tblLook")
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width  # LibreOffice goes by the columns, Word by the cells
    for i, (row, values) in enumerate(zip(table.rows, [frame.columns, *frame.to_numpy()], strict=True)):
        for rule in ["w:cantSplit"] + ["w:tblHeader"] * (i == 0):
            row._tr.get_or_add_trPr().append(OxmlElement(rule))
        for cell, value, width, left in zip(row.cells, values, widths, lefts, strict=True):
            cell.width = width
            paragraph = cell.paragraphs[0]
            paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT if left else WD_ALIGN_PARAGRAPH.CENTER
            spaces = paragraph.paragraph_format
            spaces.first_line_indent, spaces.line_spacing, spaces.space_before, spaces.space_after = 0, 1, Pt(1), Pt(1)
            spaces.keep_with_next = whole or i in (0, len(frame))
            paragraph.add_run(layout.unbroken(str(value))).font.size = Pt(size)
    return table


def _borders():
    """Lines around and between a Word table's cells."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    borders = OxmlElement("w:tblBorders")
    for side in "top", "left", "bottom", "right", "insideH", "insideV":
        values = {qn("w:val"): "single", qn("w:sz"): "4", qn("w:space"): "0", qn("w:color"): "auto"}
        borders.append(OxmlElement(f"w:{side}", values))
    return borders
