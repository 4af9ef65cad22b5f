"""The document as LaTeX, which pdfLaTeX, XeLaTeX and LuaLaTeX take as it is; LaTeX numbers."""
import re

from genlib import escape
from genlib.report import formats
from genlib.report.chapter import pandoc
from genlib.report.chapter.form import HIGHEST, Form
from genlib.report.chapter.pandoc import paragraph, raw

WORDS_LINE = 0.947  # Word's single line is 1.15 of 14 pt, extreport's is 17 pt
PT_OF_MM = 72.27 / 25.4
DOCUMENT = r"""%% Of pdflatex, xelatex and lualatex any makes the document; run it until it no longer asks to be run again
\documentclass[%(size)spt,a4paper]{extreport}
\usepackage[left=%(left)gmm,right=%(right)gmm,top=%(top)gmm,bottom=%(bottom)gmm,headheight=20pt,headsep=5mm]{geometry}
%(tables)s
\ifPDFTeX\IfFileExists{tempora.sty}{\usepackage{tempora}}{}\else
\IfFontExistsTF{%(font)s}{\setmainfont{%(font)s}}{}
\IfFontExistsTF{Courier New}{\setmonofont{Courier New}}{\IfFontExistsTF{Liberation Mono}{\setmonofont{Liberation Mono}}{}}\fi
\usepackage[%(language)s]{babel}
\usepackage{amsmath,amssymb,graphicx,xcolor,framed,fancyhdr,float,indentfirst,setspace,titlesec}
\setstretch{%(stretch).2f}
\setlength{\parindent}{%(indent)gmm}
\emergencystretch=3em
\fancyhf{}\fancyhead[R]{\thepage}\renewcommand{\headrulewidth}{0pt}
\fancypagestyle{plain}{}\pagestyle{fancy}
\titleformat{\chapter}[hang]{\normalfont\bfseries\centering\hyphenpenalty10000}{\thechapter}{0.5em}{\MakeUppercase}
\titlespacing*{\chapter}{0pt}{0pt}{1em}
\titleformat{\section}[hang]{\normalfont\bfseries\raggedright}{\thesection}{0.5em}{}
\titleformat{\subsection}[hang]{\normalfont\bfseries\raggedright}{\thesubsection}{0.5em}{}
\titlespacing*{\section}{\parindent}{1em}{0.5em}
\titlespacing*{\subsection}{\parindent}{1em}{0.5em}
\DeclareCaptionType[within=chapter]{listing}[%(listing)s]
\captionsetup[table]{name={%(table)s}}
\captionsetup[figure]{name={%(figure)s},justification=centering}
\captionsetup[listing]{position=above,singlelinecheck=false,justification=raggedright,hypcap=false}
\definecolor{shadecolor}{gray}{0.92}
\newenvironment{gap}{\begin{shaded}\setlength{\parindent}{0pt}\setlength{\parskip}{0.5ex}\setstretch{1}}{\end{shaded}}
\newenvironment{captioned}{\par\medskip}{\par}
\newenvironment{sources}{\par\raggedright\setlength{\parindent}{%(indent)gmm}}{\par}
\newenvironment{program}{\par\nobreak\setstretch{1}\ttfamily\fontsize{10}{12}\selectfont\raggedright\setlength{\parindent}{0pt}}{\par}
\renewcommand{\labelitemi}{--}
\providecommand{\tightlist}{\setlength{\itemsep}{0pt}\setlength{\parskip}{0pt}}
\usepackage[hidelinks]{hyperref}
\begin{document}
\setcounter{chapter}{%(before)d}
%(body)s
\end{document}
"""
LIGATURE = re.compile("([-,'`<>])(?=\\1)|[?!](?=`)")  # letters that TeX's fonts join into another one
PIECE = re.compile(r"\w{1,30}\W{0,3}|\W{1,3}")  # behind which a long word may be broken


class Latex(Form):
    """A .tex, and figures/NAME.pdf beside it."""
    kind = "tex"

    def document(self, tree):
        from babel import Locale

        body = pandoc.write(self.filled(tree), "-t", "latex-smart", "--top-level-division=chapter", "--wrap=none").decode()
        page = self.page
        return (DOCUMENT % {
            "size": page.size_pt, "left": page.left_mm, "right": page.right_mm, "top": page.top_mm, "bottom": page.bottom_mm,
            "indent": page.indent_mm, "font": page.font, "stretch": page.line_spacing * WORDS_LINE, "tables": formats.LATEX_PREAMBLE,
            "language": Locale(self.report.language).english_name.lower(), "before": self.chapter - 1, "body": body,
            **{kind: text(word) for kind, word in self.words.items()}}).encode()

    def _replacement(self, node):
        kind, content = node["t"], node.get("c")
        if kind == "Str":  # plain words are left to pandoc, which puts them among a PDF file's bookmarks too
            return None if text(content) == content else [raw("latex", text(content), block=False)]
        if kind == "Code":
            return [raw("latex", f"\\texttt{{{code(content[1])}}}", block=False)]
        if kind == "CodeBlock":
            return [raw("latex", program(content[1].splitlines()))]
        return super()._replacement(node)

    def heading(self, node):
        return None

    def reference(self, label, text):
        if label.startswith("source:"):
            return super().reference(label, text)
        return raw("latex", f"\\ref{{{label}}}", block=False)

    def table(self, label, table):
        return [raw("latex", formats.to_latex(table.data, table.name, table.title, table.note, self.page.text_mm[0] * PT_OF_MM))]

    def figure(self, label, figure):
        """Where the text has it: LaTeX puts a float below the page that ends with a longtable."""
        return [raw("latex", f"""\\begin{{figure}}[H]
\\centering
\\includegraphics[width=\\linewidth,height={HIGHEST}\\textheight,keepaspectratio]{{figures/{figure.name}.pdf}}
\\caption{{{text(figure.caption)}}}\\label{{{label}}}
\\end{{figure}}""")]

    def listing(self, label, listing):
        caption = f"\\captionof{{listing}}{{{text(listing.title)}}}\\label{{{label}}}"
        return [raw("latex", "\n".join(["\\begin{captioned}", caption, program(listing.lines), "\\end{captioned}"]))]

    def sources(self):
        return [raw("latex", "\\begin{sources}"), *super().sources(), raw("latex", "\\end{sources}")]

    def source(self, entry):
        return paragraph(raw("latex", text(entry), block=False))

    def gap(self, blocks):
        return [raw("latex", "\\begin{gap}"), *blocks, raw("latex", "\\end{gap}")]


def text(plain: str, space: str = " ") -> str:
    """Words for LaTeX, none of their letters joined; a word of more than 30 may be broken behind any sign."""
    return space.join("\\allowbreak{}".join(map(_unjoined, PIECE.findall(word) if len(word) > 30 else [word])) for word in plain.split(" "))


def _unjoined(word: str) -> str:
    return "\\kern0pt{}".join(map(escape.latex, LIGATURE.sub("\\g<0>\n", word).split("\n")))


def program(lines: list[str]) -> str:
    """A program with each line a paragraph, by which nothing in it can end it."""
    return "\n".join(["\\begin{program}", *(f"\\strut {code(line)}\\par" for line in lines), "\\end{program}"])


def code(line: str) -> str:
    """A line of a program: every space stays, and quotes are straight."""
    return text(line, "\\ ").replace("'", "\\textquotesingle{}").replace("`", "\\textasciigrave{}")
