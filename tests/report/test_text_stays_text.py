"""Text from other people's records stays text in every format, and none of it stops a report."""
import csv
import io
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import latex
import nbformat
import pandas as pd
import pytest
from docx import Document
from hostile import TEXTS, with_text
from markdown_it import MarkdownIt
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image

from genlib import escape, runs
from genlib.locale import languages
from genlib.report import Report
from genlib.report.formats import to_csv, to_latex
from genlib.report.tables import TABLES
from genlib.scores import Against, Drawn, Figure, Scores

NASTY = [
    *TEXTS.values(), "</style><style>*{display:none}</style>", "<iframe src=javascript:alert(1)>", "<a href='javascript:alert(1)'>a</a>",
    "<!-- x", "]]><meta http-equiv=refresh>", "https://a.example/x", "www.a.example", "<https://a.example>",
    "# head", "> quote", "- item", "1. item", "***", "a\\|b", "~~gone~~", "__strong__", "[x]: https://a.example",
    " =cmd|' /C calc'!A0", "＝1+1", "\"=1+1\"", "a;=1+1", "a,=1+1", "$x$", "\\frac{1}{", "$\\href{javascript:alert(1)}{x}$", "\\(x\\)",
    "a\\", "^^41", "[x]", "* x", "\n\n\n", "\ud800", "中文", "é ł Ж ґ ≈", "_hidden", "Model", "n", "", " "]
RECORDED = [text for text in NASTY if len(text) < 200 and text != "\ud800"]  # a record with half a letter is refused when it is read
ALLOWED = {"div", "p", "b", "style", "table", "caption", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"class", "id", "style", "border", "scope", "type", "scoped"}


class Live(HTMLParser):
    """What a page would do or load: tags, attributes and styles that are not a table's own."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.found, self._in_style = [], False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._in_style = tag == "style"
        self.found += [tag] * (tag not in ALLOWED) + [name for name, _ in attrs if name not in ATTRIBUTES]

    def handle_endtag(self, tag):
        self._in_style = False

    def handle_data(self, data):
        if self._in_style:
            self.found += re.findall(r"@import|url\(|expression|display: ?none|<", data)

    def handle_comment(self, data):
        self.found.append(f"<!--{data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def is_seen(text: str) -> bool:
    """Whether a text has one line, all of it visible."""
    return all(unicodedata.category(letter) not in escape.NOT_SEEN and letter not in "\n\r\u2028\u2029" for letter in text)


def run_of(text, folder, experiment, variant="", method="genlib"):
    """A run that has the text in every field that may hold one."""
    info = runs.ModelInfo(text, "published", text, text, text, text, dtype=text, switches={text: True}, parameters={text: 1})
    machine = runs.Machine(text, text, text, text, cpu=text, os=text, container=text, python=text, packages={text: text}, commit=text)
    run = runs.Run(experiment, machine, info, {"steps": 50, "prompt": text, text: text}, variant, method, text, text, folder=folder)
    run.quality, run.warnings, run.archive = {text: 1.0, f"{text}\n": 2.0, "psnr_db": 3.0}, [text], folder / "a.zip"
    run.iterations = [runs.Iteration(time_s=0.1 * n, ram_bytes=n * 10**8, throttled=[text], vram_source=text,
                                     images=[runs.Picture(name, text) for name in (text, "a.png", "a.png")]) for n in (1, 2, 3)]
    run.iterations.append(runs.Iteration(error=text))
    return run


def scored_of(text):
    """Scores that have the text in every field that may hold one."""
    drawn = Drawn(*[text] * 9, {"steps": 50, text: text}, 1.0, 3)
    return Scores(text, 3, text, drawn, Against(text, 3, text), {"reader": text}, {"kid_reader": Figure(1, 0, 2, 3, 3)}, {text: text})


@pytest.fixture(scope="module", params=["=", "\n# "])
def reports(request, tmp_path_factory):
    """Reports, in each language, of runs that have in every field one text, of all in NASTY."""
    text, folder = request.param + " ".join(RECORDED), tmp_path_factory.mktemp("run")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    scored_of(text).save(folder)
    names = [("stable-diffusion", ""), ("vae-as-in-thesis", ""), (text, ""), ("Reading", ""), ("stable-diffusion", text),
             *(("stylegan2-ada", f"batch-{n}{text}") for n in range(3)), ("stylegan2-ada", f"precision-{text}")]
    found = [run_of(text, folder, *name) for name in names] + [run_of(text, folder, "stylegan2-ada", "", method=text)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "finished", lambda *folders, reference=None: found)
        return [Report("anywhere", language=language, number="3.1") for language in languages()]


def every_table(reports):
    return [report.table(kind.name) for report in reports for kind in TABLES]


def test_the_list_holds_what_browsers_consoles_and_spreadsheets_act_upon():
    assert Live("".join(NASTY)).found and not all(map(is_seen, NASTY)), "or these tests could not fail"


def test_no_table_puts_a_live_element_on_a_page(reports):
    for table in every_table(reports):
        assert Live(table._repr_html_()).found == [], table.name
        assert table._repr_html_().startswith("<div class='tex2jax_ignore mathjax_ignore'>"), "nor a formula, which can hold a link"


def test_nor_do_the_rows_that_notebooks_show_as_pandas_does(reports):
    for report in reports:
        for rows in (report.groups, report.everything, report.summary, report.rows):
            page = rows.drop(columns="run", errors="ignore")._repr_html_()
            assert Live(page).found == [] and "tex2jax_ignore" in page


def test_markdown_has_the_tables_own_marks_only(reports):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    own = {"inline", *(f"{name}_{end}" for name in "paragraph table thead tbody tr th td".split() for end in ("open", "close"))}
    for table in every_table(reports):
        tokens = parser.parse(str(table))
        inline = {child.type for token in tokens if token.type == "inline" for child in token.children}
        assert {token.type for token in tokens} <= own and inline <= {"text", "text_special", "strong_open", "strong_close"}
        assert [token.type for token in tokens].count("tr_open") in (0, len(table.data) + 1)
        assert [token.type for token in tokens].count("td_open") == table.data.size
        assert not re.search(r"\w://|www\.\w", str(table)), "which GitHub makes a link by itself"


@pytest.mark.parametrize("text", NASTY)
def test_markdown_shows_each_text_as_it_is(text):
    """In a table's cell and as a paragraph."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for source in escape.markdown(text), f"| HEAD |\n| --- |\n| {escape.markdown(text)} |":
        shown = "".join(child.content for token in parser.parse(source) if token.type == "inline" for child in token.children)
        assert shown.removeprefix("HEAD") == escape.plain(text).strip() or not escape.plain(text).strip()


def test_csv_opens_with_no_formula_and_with_its_numbers_as_numbers(reports):
    for report in reports:
        for name in report.tables:
            table = report.table(name)
            text, separator = to_csv(table.data, table.decimal_sign).decode("utf-8-sig"), ";" if report.decimal_sign == "," else ","
            for cell in sum(csv.reader(io.StringIO(text), delimiter=separator), []):
                assert re.fullmatch(r"-?\d+([.,]\d+)?", cell) or not cell.lstrip().startswith(escape.FORMULA), cell


def test_word_and_latex_files_are_written(reports, tmp_path):
    for table in every_table(reports):
        tex, docx = table.save(tmp_path, ["tex", "docx"])
        assert Document(docx).paragraphs[0].text == table.caption
        cells = re.sub(r"\\\\\*(?=\\addlinespace|\n\\bottomrule)", "", tex.read_text(encoding="utf-8"))
        source = re.sub(r"\\[a-zA-Z]+|\\[&%$#_{}]", "", cells)
        assert "^" not in source and "~~" not in source and not re.search(r"\\\\\s*[\[*]", source)


def test_what_is_printed_has_one_visible_line_for_each_sentence(reports):
    for report in reports:
        printed = [*report.doubts(), *report.conclusions(), *report.left_out(), *map(str, report.rows.index), *report.tables]
        printed += [str(cell) for table in report.tables for cell in report.table(table).data.to_numpy().ravel()]
        assert [text for text in printed if not is_seen(text)] == []
        assert is_seen(report.everything.drop(columns="run").to_string().replace("\n", ""))


@pytest.mark.filterwarnings("error:Glyph", "error:constrained_layout")  # a letter that the font lacks, names that leave no room
@pytest.mark.parametrize("reports", ["="], indirect=True)
def test_every_figure_is_drawn_with_names_that_fit_and_begin_no_formula(reports):
    for name in reports[0].figures:
        assert reports[0].figure(name)._repr_png_().startswith(b"\x89PNG"), name


@pytest.mark.parametrize("text", ["a--b", "---", "''q''", "``", ",,", "?`"])
def test_no_two_letters_become_another_in_latex(text):
    written = escape.latex(text)
    assert written.replace("\\/", "") == text and written.count("\\/") == len(re.findall(r"(?=--|''|``|,,|\?`)", text))


@pytest.mark.slow
@pytest.mark.parametrize("engine", latex.ENGINES)
def test_latex_of_any_text_compiles_and_leaves_out_no_letter(tmp_path, engine):
    """In a cell that begins a row, in a caption, in the list of tables and in a note."""
    body = ["\\listoftables"]
    for i, text in enumerate(RECORDED):
        body.append(to_latex(pd.DataFrame({text or "a": [text, text], "b": ["−1", "2 ≈ 3"]}), f"t{i}", text, text))
    log, labels = latex.compiled(latex.document("\n\\clearpage\n".join(body)), engine, tmp_path)
    assert "Missing character" not in log and not re.search(r"Overfull .hbox .\d{4}", log) and len(labels) == len(body) - 1


@pytest.mark.slow
def test_notebook_4_comes_to_its_end_over_hostile_runs_and_its_page_does_nothing(tmp_path):
    """Each of TEXTS in every field of a record, and all as experiments of one report."""
    for number, text in enumerate(TEXTS.values()):
        for experiment in text, "stable-diffusion":
            made = with_text(text, experiment=experiment, variant="", settings={"steps": 50, text: text})
            made["machine"]["slug"], made["model"]["profile"] = "tesla-t4", "thesis"
            folder = tmp_path / "results" / "tesla-t4" / f"{number}-{experiment == text}"
            folder.mkdir(parents=True)
            (folder / "run.json").write_text(json.dumps(made), encoding="utf-8")
    source = Path(__file__).parents[2] / "notebooks"
    book = nbformat.read(source / "4_comparison.ipynb", as_version=4)
    parameters = next(cell for cell in book.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = parameters.source.replace('CHAPTER = ""', 'CHAPTER = "3"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENLIB_RESULTS", str(tmp_path / "results"))
        NotebookClient(book, timeout=300, resources={"metadata": {"path": source}}).execute()
    shown = [output.data for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
    tables = [data["text/html"] for data in shown if "text/html" in data]
    assert len(tables) > 5 and all(Live(table).found == [] for table in tables)
    page = Acting(HTMLExporter().from_notebook_node(book)[0])
    assert "alert(1)" in page.text and page.found == []
    chapter = Acting((tmp_path / "results" / "chapter" / "chapter.html").read_text(encoding="utf-8"))
    assert "alert(1)" in chapter.text and chapter.found == []


class Acting(HTMLParser):
    """Where the scripts of TEXTS stand on a page: as its text, or `found` where a browser acts upon them."""

    def __init__(self, page):
        super().__init__()
        self.text, self.found, self._tag = "", [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        self.found += [tag for name, value in attrs if name != "alt" and re.search(r"alert\(1\)|http://x|^\s*javascript:", value or "")]

    def handle_endtag(self, tag):
        self._tag = ""

    def handle_data(self, data):
        if self._tag in ("script", "style"):
            self.found += [self._tag] * ("alert(1)" in data)
        else:
            self.text += data
