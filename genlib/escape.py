"""Text that stays text, in every format in which tables, figures and sentences are written.

Records, archives and their names come from other people. What they hold must neither act (as a tag, a link, a
formula) nor hide (as a letter that is not seen and turns the rest of the line around).
"""
import html as standard_html
import re
from unicodedata import category

from genlib.locale.numbers import THIN_SPACE

BREAKS = re.compile("[\t-\r\x85\u2028\u2029]+")
NOT_SEEN = {"Cc", "Cf", "Cs", "Co", "Cn"}  # control and format characters, halves of pairs, letters of no alphabet
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # with which a formula begins in spreadsheets
NUMBER = re.compile(rf"[−-]?\d[\d{THIN_SPACE}]*([.,]\d+)?")
ADDRESS = re.compile(r"(?<=\w):(?=//)|(?<=www)\.|@(?=\w)", re.IGNORECASE)  # what makes Markdown find a link by itself
MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|^\d*[-+#=.)](?=[\s=#-]|$)")
PDFLATEX = re.compile(r"[ -~\u00a0-\u017f\u0400-\u045fҐґ–—‘’“”„«»…№€™]")  # and of these it lacks:
NOT_IN_PDFLATEX = frozenset("¤¦ÐðÞþĐđĦħĸĿŀŉŊŋŦŧſ")
LIGATURE = re.compile("(?<=-)(?=-)|(?<=,)(?=,)|(?<=')(?=')|(?<=`)(?=`)|(?<=[?!])(?=`)")  # where two letters would become another
LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {c: f"{{{c}}}" for c in "[]*"} | {  # [ and * mean something behind \\
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}",
    "|": "\\textbar{}", '"': "\\symbol{34}", "²": "\\textsuperscript{2}", "³": "\\textsuperscript{3}", "±": "$\\pm$", "−": "$-$",
    "×": "$\\times$", "≈": "$\\approx$", "∞": "$\\infty$", "≤": "$\\le$", "≥": "$\\ge$", THIN_SPACE: "\\,",
    "\N{NO-BREAK SPACE}": "~"}


def plain(text: str) -> str:
    """The text on one line, with what is not seen written as Python writes it: \\x1b, \\u202e."""
    return "".join(c.encode("unicode_escape").decode() if category(c) in NOT_SEEN else c for c in BREAKS.sub(" ", text))


def html(text: str) -> str:
    """For an element or a quoted attribute of HTML."""
    return standard_html.escape(plain(text))


def markdown(text: str) -> str:
    """For a paragraph or a table's cell in Markdown; what makes tags is written as in HTML."""
    text = re.sub(r"&(?=#?\w+;)", "&amp;", plain(text).strip()).replace("<", "&lt;").replace(">", "&gt;")
    return ADDRESS.sub(r"\\\g<0>", MARKDOWN.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", text))


def csv(text: str) -> str:
    """For a cell that a spreadsheet opens: a number as it reads numbers, and no text as a formula.

    Excel takes a typographic minus or a thin space for a letter. An apostrophe before a text keeps it a text.
    """
    text = plain(text)
    if NUMBER.fullmatch(text):
        return text.replace("−", "-").replace(THIN_SPACE, "")
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def latex(text: str) -> str:
    """For LaTeX; of a letter that pdfLaTeX or another engine's font lacks the number is printed."""
    source = "".join(LATEX.get(c) or (c if PDFLATEX.match(c) and c not in NOT_IN_PDFLATEX else _latex_if_there(c)) for c in plain(text))
    return LIGATURE.sub("\\/", source)


def _latex_if_there(letter: str) -> str:
    """Counted by tens, since " may be active under babel; a line may end behind a number."""
    number = f"{{[}}U+{ord(letter):04X}{{]}}\\allowbreak"
    return f"\\ifdefined\\Umathchar\\iffontchar\\font{ord(letter)} {letter}\\else{number}\\fi\\else{number}\\fi{{}}"
