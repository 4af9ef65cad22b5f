"""Text from other people's records stays text in every format, and none of it stops a report."""
import csv
import io
import re
import unicodedata
from html.parser import HTMLParser
from itertools import cycle

import pandas as pd
import pytest
from docx import Document
from markdown_it import MarkdownIt
from saved_runs import save_run

from genlib import escape, runs
from genlib.__main__ import main
from genlib.locale import languages
from genlib.report import Report
from genlib.report.tables import TABLES, Table

NASTY = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'><svg/onload=alert(1)>", "</style><style>*{display:none}</style>",
    "<iframe src=javascript:alert(1)>", "<a href='javascript:alert(1)'>a</a>", "&#60;script&#62;", "<!-- x", "]]><meta http-equiv=refresh>",
    "[click](javascript:alert(1))", "![x](https://a.example/x.png)", "https://a.example/x", "www.a.example", "<https://a.example>",
    "# head", "> quote", "- item", "1. item", "***", "`code`", "a | b", "a\\|b", "~~gone~~", "__strong__", "[x]: https://a.example",
    "=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "\r=1+1", " =cmd|' /C calc'!A0", "＝1+1", "\"=1+1\"", "a;=1+1", "a,=1+1",
    "$x$", "$\\frac$", "\\frac{1}{", "$\\href{javascript:alert(1)}{x}$", "\\(x\\)", "a\\", "^^41", "[x]", "* x", "\\input{/etc/passwd}",
    "%", "#1 & {", "\x1b[31mred\x1b]0;title\x07", "\x9b31m", "a\x00b", "a\nb", "\n\n\n", "a\u2028b", "\u202egnp.exe\u2066", "\u200b", "\ufeffx",
    "\ud800", "\ufffe", "中文", "\U0001f600", "a\u0301\u0302", "é ł Ж ґ", "_hidden", "x" * 5000, "Reading", "Model", "n", "{device}", "{}", "%s"]
ALLOWED = {"div", "p", "b", "style", "table", "caption", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"class", "id", "style", "border", "scope", "type"}


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


@pytest.fixture(scope="module", params=[0, 1, 2])
def reports(request):
    """Reports of runs whose every text is nasty, in each language; together all of NASTY."""
    texts = cycle(NASTY[request.param::3])
    found = []

    def run(experiment, variant="", method="genlib", **changes):
        info = runs.ModelInfo(next(texts), "published", profile, next(texts), dtype=dtype)
        machine = runs.Machine(slug, device=device, cpu=next(texts), os=next(texts), packages={next(texts): next(texts)})
        one = runs.Run(experiment, machine, info, {next(texts): next(texts), "steps": 50, "prompt": next(texts)}, variant, method)
        one.started = one.finished = next(texts)
        one.quality, one.warnings = {next(texts): 1.0, next(texts): 2.0, "psnr_db": 3.0}, [next(texts), next(texts)]
        one.iterations = [runs.Iteration(time_s=0.1 * n, ram_bytes=n * 10**8, throttled=[next(texts)], error=None,
                                         images=[runs.Picture(next(texts), next(texts))]) for n in (1, 2, 3)]
        one.iterations.append(runs.Iteration(error=next(texts)))
        found.append(one)

    with pytest.MonkeyPatch.context() as patch:
        profile, dtype, slug, device = (next(texts) for _ in range(4))
        run("stable-diffusion")
        for text in NASTY[request.param::3]:
            run(text)
        for text in NASTY[request.param::3][:4]:
            run("stylegan2-ada", variant=f"batch-{text}")
            run("stable-diffusion", variant=text, method=next(texts))
        patch.setattr(runs, "read_all", lambda *folders, reference=None: found)
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
            assert Live(page).found == [] and "mathjax_ignore" in page or "tex2jax_ignore" in page


def test_markdown_has_the_tables_own_marks_only(reports):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    own = {"paragraph_open", "paragraph_close", "inline", "table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close",
           "tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close"}
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
            text = escape_free(table)
            for cell in (cell for row in csv.reader(io.StringIO(text), delimiter=";" if report.decimal_sign == "," else ",") for cell in row):
                assert re.fullmatch(r"-?\d+([.,]\d+)?", cell) or not cell.lstrip().startswith(escape.FORMULA), cell


def escape_free(table):
    """A table's CSV, as text."""
    from genlib.report.formats import to_csv

    return to_csv(table.data, table.decimal_sign).decode("utf-8-sig")


def test_word_and_latex_files_are_written(reports, tmp_path):
    for table in every_table(reports):
        tex, docx = table.save(tmp_path, ["tex", "docx"])
        assert Document(docx).paragraphs[0].text == table.caption
        source = re.sub(r"\\[a-zA-Z]+|\\[&%$#_{}]", "", tex.read_text(encoding="utf-8"))
        assert "^" not in source and "~" not in source and not re.search(r"\\\\\s*[\[*]", source)


def test_what_is_printed_has_one_visible_line_for_each_sentence(reports):
    for report in reports:
        printed = [*report.doubts(), *report.conclusions(), *report.left_out(), *map(str, report.rows.index), *report.tables]
        printed += [str(cell) for table in report.tables for cell in report.table(table).data.to_numpy().ravel()]
        assert [text for text in printed if not is_seen(text)] == []
        assert is_seen(report.everything.drop(columns="run").to_string().replace("\n", ""))


@pytest.mark.filterwarnings("error")
def test_every_figure_is_drawn_with_names_that_fit_and_begin_no_formula(reports):
    for name in reports[0].figures:
        assert reports[0].figure(name)._repr_png_().startswith(b"\x89PNG"), name
