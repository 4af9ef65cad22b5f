"""The chapter's documents: numbers, places, and text that stays text."""
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import latex
import pandas as pd
import pytest
from docx import Document
from docx.oxml.ns import qn
from hostile import TEXTS
from PIL import Image

from genlib import escape
from genlib.locale import Language, languages
from genlib.report.chapter import documents, pandoc, styles
from genlib.report.chapter.form import Listing, Parts
from genlib.report.tables import Table

TEXT = """# Ресурси {#chapter}

У таблиці [](#table:audit) і таблиці [](#table:results), на рисунку [](#figure:bars), у лістингу [](#listing:vae),
як у [](#source:last) і [](#source:first), див. [початок](#chapter). Середнє $\\bar{t}$ і `--x`.

## Метод

::: {.listing name=vae}
:::

::: gap
Чому саме ці моделі?

- Перше запитання.
:::

## Показники

::: {.table name=results}
:::

::: {.table name=audit}
:::

::: {.figure name=bars}
:::

## Джерела {.unnumbered}

::: sources
:::
"""
PROGRAM = "def f():\n\treturn '\\end{verbatim}'  # кіт 😀 ``--''\n" + "x" * 140


@dataclass
class Picture:
    """What documents need of a figure."""
    name: str
    caption: str
    size: tuple = (60, 30)

    def save(self, folder, kinds, titled):
        assert not titled, "the caption says the title"
        paths = [Path(folder) / f"{self.name}.{kind}" for kind in kinds]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", self.size, "red").save(path)
        return paths


def table(name, title="Назва", cell="1", note="Примітка."):
    return Table(name, pd.DataFrame({"Модель": ["VAE", cell], "Час": ["2", cell]}), title, title, note, name)


def parts(words="Назва", program=PROGRAM):
    return Parts({name: table(name, f"{words} {name}", words, words) for name in ("results", "audit")}, {"bars": Picture("bars", words)},
                 {"vae": Listing(words, program)}, {"first": f"Перше {words}", "other": f"Інше {words}", "last": f"Останнє {words}"})


def report(code="uk"):
    return SimpleNamespace(say=Language(code).say, language=code)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a chapter in Ukrainian."""
    folder = tmp_path_factory.mktemp("chapter")
    documents.write(TEXT, parts(), report(), folder, 3)
    return folder


def read(folder, kind="docx"):
    path = folder / f"chapter.{kind}"
    return Document(path) if kind == "docx" else path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def word(made):
    return read(made)


@pytest.fixture(scope="module")
def tex(made):
    return read(made, "tex")


@pytest.fixture(scope="module")
def page(made):
    return read(made, "html")


def texts(word):
    return [each.text for each in word.paragraphs]


def test_parts_are_numbered_as_they_stand_and_sources_as_they_are_mentioned():
    numbers = documents.number(pandoc.read(TEXT), parts(), 3)
    assert numbers == {"listing:vae": "3.1", "table:results": "3.1", "table:audit": "3.2", "figure:bars": "3.1",
                       "source:last": "1", "source:first": "2", "source:other": "3"}


def test_in_word_numbers_are_text_and_formulas_are_words_own(word):
    [formula] = word.element.body.xpath(".//m:oMath")
    assert formula.findtext(f".//{qn('m:acc')}//{qn('m:t')}") == "t" and "bar" not in word.paragraphs[1].text
    assert texts(word)[1].startswith("У таблиці 3.2 і таблиці 3.1, на рисунку 3.1, у лістингу 3.1, як у [1] і [2], див. початок")
    assert texts(word)[-3:] == ["1. Останнє Назва", "2. Перше Назва", "3. Інше Назва"]
    assert [each.text for each in word.paragraphs if each.style.name.startswith("Heading")] == ["3 Ресурси", "3.1 Метод", "3.2 Показники",
                                                                                               "Джерела"]


def test_sources_that_are_cited_together_stand_in_order_and_as_ranges(tmp_path):
    given = parts()
    given.sources.update({letter: letter for letter in "abcdefg"})
    documents.write("[](#source:b), [](#source:a,d,c), [](#source:g), [](#source:e,c,f,a,b,b), [](#source:b,a).", given, report(), tmp_path)
    assert texts(read(tmp_path))[0] == "[1], [2]–[4], [5], [1], [2], [4], [6], [7], [1], [2]."
    page = read(tmp_path, "html")
    assert '<a href="#source:a">[2]</a>–<a href="#source:c">[4]</a>' in page
    assert "\\hyperref[source:a]{{[}2{]}}–" in read(tmp_path, "tex")


def test_in_word_items_have_dashes_and_what_goes_on_behind_a_formula_no_indent(tmp_path):
    text = "Before\n$$x ,$$\nwhere $x$ is it.\n\n$$y$$\n\n- One\n- Two\n\n  of two paragraphs"
    documents.write(text, parts(), report(), tmp_path)
    word = read(tmp_path)
    shown = [each for each in word.paragraphs if each.text]
    assert [each.style.name for each in shown[:2]] == ["First Paragraph", styles.ON] and shown[1].text.startswith("where")
    assert styles.ON not in [each.style.name for each in shown[2:]] and not word.styles[styles.ON].paragraph_format.first_line_indent
    levels = [level for level in word.part.numbering_part.element.iter(qn("w:lvl")) if level.find(qn("w:lvlText")).get(qn("w:val")) == "–"]
    assert len(levels) >= 9 and not any(level.find(qn("w:rPr")) is not None for level in levels)


def test_in_html_numbers_lead_to_what_has_them(page):
    assert re.sub(r"<a[^>]*>|</a>", "", page).count("У таблиці 3.2 і таблиці 3.1, на рисунку 3.1, у лістингу 3.1") == 1
    for target in re.findall('href="#(.*?)"', page):
        assert page.count(f'id="{target}"') == 1, target
    assert "<h2>3.2 Показники</h2>" in page and ">Джерела</h2>" in page


def test_in_latex_latex_numbers(tex):
    assert r"\setcounter{chapter}{2}" in tex and r"У таблиці \ref{table:audit} і таблиці \ref{table:results}, на рисунку" in tex
    for label in "table:results", "table:audit", "figure:bars", "listing:vae":
        assert tex.count(f"\\label{{{label}}}") == 1 and f"\\ref{{{label}}}" in tex
    assert r"\chapter{Ресурси}\label{chapter}" in tex and r"\section*{Джерела}" in tex and "3.1" not in tex


def blocks(word):
    """What stands in a Word file: a paragraph's style and text, a picture, a table."""
    for block in word.iter_inner_content():
        if hasattr(block, "rows"):
            yield "table", block.rows[0].cells[0].text
        else:
            yield ("picture", "") if block._p.xpath(".//pic:pic") else (block.style.name, block.text)


def test_in_word_captions_stand_above_tables_and_listings_and_below_figures(word):
    found = list(blocks(word))
    start = found.index(("Caption Above", "Таблиця 3.1 – Назва results"))
    assert found[start + 1:start + 6] == [("table", "Модель"), ("Table Note", "Назва"), ("Caption Above", "Таблиця 3.2 – Назва audit"),
                                          ("table", "Модель"), ("Table Note", "Назва")]
    assert found[start + 6:start + 8] == [("picture", ""), ("Caption Below", "Рисунок 3.1 – Назва")]
    start = found.index(("Caption Above", "Лістинг 3.1 – Назва"))
    assert found[start + 1] == ("Source Code", "\n".join(Listing("", PROGRAM).lines))


def test_a_picture_is_as_wide_as_the_text_and_is_described_by_its_caption_for_which_a_high_one_leaves_room(word, tmp_path):
    [picture] = word.inline_shapes
    assert round(picture.width.mm) == 175 and picture._inline.docPr.get("descr") == "Рисунок 3.1 – Назва"
    given = parts()
    given.figures["bars"] = Picture("bars", "Назва", (30, 60))
    documents.write(TEXT, given, report(), tmp_path)
    [picture] = read(tmp_path).inline_shapes
    assert round(picture.height.mm) == round(0.75 * 257) and picture.width * 2 == pytest.approx(picture.height, rel=1e-3)


def test_a_listings_comments_are_not_pushed_to_the_right_by_the_room_that_aligned_them():
    program = "    a = 1          # [N, 3]\n        # alone\n    b = '     #'"
    assert Listing("", program).lines == ["    a = 1  # [N, 3]", "        # alone", "    b = '     #'"]


def test_a_gap_is_marked_in_every_format(word, tex, page):
    assert [each.text for each in word.paragraphs if each.style.name == "Gap"] == ["Чому саме ці моделі?", "– Перше запитання."]
    assert re.search(r"\\begin{gap}\s+Чому саме ці моделі\?[^}]*\\begin{itemize}[^$]*Перше запитання\.\s+\\end{itemize}\s+\\end{gap}", tex)
    assert re.search(r'<div class="gap">\s*<p>Чому саме ці моделі\?</p>\s*<ul>', page)


def test_the_same_text_gives_the_same_files_with_the_same_bytes(made, tmp_path):
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in documents.write(TEXT, parts(), report(), tmp_path, 3)}
    assert list(files) == ["chapter.docx", "chapter.tex", "chapter.html", "figures/bars.pdf"]
    assert [name for name, data in files.items() if (made / name).read_bytes() != data and name != "figures/bars.pdf"] == []


@pytest.mark.parametrize("text, said", {
    "![x](/etc/passwd)": "Image", "[a](javascript:alert)": "javascript:alert", "[a](file:///etc/passwd)": "file:///etc/passwd",
    "$\\input{/etc/passwd}$": "input", "$\\text{\\input{a}}$": "input", "$\\newcommand{\\x}{\\input{a}}y$": "newcommand",
    "$^^5cinput$": "^^", "::: other\n:::": "other", "::: {.table name=../a}\n:::": "../a", "::: {.table name=absent}\n:::": "absent",
    "::: {.table name=audit}\n:::\n\n::: {.table name=audit}\n:::": "audit", "::: gap\nx": "not take", "[](#table:audit)": "table:audit",
    "[](#source:absent)": "source:absent", "[](https://a.example)": "https://a.example"}.items())
def test_a_text_that_will_not_do_is_named_and_nothing_is_written(text, said, tmp_path):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        documents.write(text, parts(), report(), tmp_path / "new")
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()


ACTS = ["<script>alert(1)</script>", "\\input{/etc/passwd}", "`x`{=html}", "```{=latex}\n\\input{a}\n```", "# H {onclick=alert(1)}",
        "@cite [@cite]", "^[note]", "---\ntitle: x\n---\n\ny", "% title", "\\newcommand{\\x}{y} \\x", "(@) x"]


class Live(HTMLParser):
    """The tags of a page that would do or load something."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        address = values.get("src") or values.get("href") or "#"
        if tag in ("script", "iframe", "object", "link", "form", "svg") or not address.startswith(("#", "data:image/png;base64,")) or \
                any(name.startswith(("on", "data-")) for name in values):
            self.found.append((tag, attributes))


@pytest.mark.parametrize("text", ACTS)
def test_marks_that_act_in_other_kinds_of_markdown_are_text(text, tmp_path):
    try:
        documents.write(text, parts(), report(), tmp_path)
    except ValueError as error:
        assert "HorizontalRule" in str(error)
    else:
        assert not Live(read(tmp_path, "html")).found
        body = read(tmp_path, "tex").partition("\\begin{document}")[2]
        assert not re.search(r"\\(input|newcommand|x|footnote|href)\b", body)


def test_titles_cells_captions_programs_and_sources_of_strangers_are_text(tmp_path):
    words = " ".join(text for text in TEXTS.values() if len(text) < 1000)
    documents.write(TEXT, parts(words, words), report(), tmp_path, 3)
    plain = escape.plain(words)
    said = "\n".join(texts(read(tmp_path)))
    assert f"Таблиця 3.1 – {plain} results" in said and f"Рисунок 3.1 – {plain}" in said and f"1. Останнє {plain}" in said
    assert not Live(read(tmp_path, "html")).found
    assert not re.search(r"\\(input|write)\b", read(tmp_path, "tex"))


def test_the_page_asks_no_host(page):
    assert not Live(page).found and "://" not in re.sub("http://www.w3.org/1998/Math/MathML", "", page)
    assert "default-src 'none'" in page and page.count("data:image/png;base64,") == 1 and "<math " in page


@pytest.mark.parametrize("version, said", [("2.9.2.1", "2.9.2.1 is too old"), (None, "it is not here")])
def test_without_a_new_enough_pandoc_one_sentence_says_what_to_install(version, said, monkeypatch, tmp_path):
    module = version and SimpleNamespace(get_pandoc_path=lambda: "pandoc", get_pandoc_version=lambda: version)
    monkeypatch.setitem(sys.modules, "pypandoc", module)
    pandoc._program.cache_clear()
    with pytest.raises(ValueError, match=f'{said}: run `pip install "genlib\\[chapter\\]"`'):
        documents.write(TEXT, parts(), report(), tmp_path)
    pandoc._program.cache_clear()


def test_captions_are_in_the_reports_language(tmp_path):
    documents.write(TEXT, parts(), report("en"), tmp_path, 2)
    assert "Table 2.1 – Назва results" in texts(read(tmp_path))
    assert "[english]{babel}" in read(tmp_path, "tex")
    assert '<html lang="en">' in read(tmp_path, "html")


@pytest.fixture(scope="module", params=languages())
def long(request, tmp_path_factory):
    """A chapter, in each language, with a table of several pages and letters of any kind."""
    folder = tmp_path_factory.mktemp("long")
    words = " ".join(text for text in TEXTS.values() if len(text) < 1000)
    given = parts(words, "\n".join([PROGRAM, words, *map(str, range(70))]))
    given.tables["results"] = table("results", words)
    rows = pd.DataFrame({"Модель": [f"{n} {words[:300]}" for n in range(12)], "Час": ["довге речення про час вимірювання"] * 12})
    given.tables["audit"] = Table("audit", rows, "Перевірка", "Перевірка", "Примітка.", "audit")
    documents.write(TEXT, given, report(request.param), folder, 3)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("engine", latex.ENGINES)
def test_the_document_compiles_as_it_is_and_numbers_as_word_does(engine, long):
    source = read(long, "tex")
    log, labels = latex.compiled(source, engine, long)
    assert not [fault for fault in latex.FAULTS.findall(log) if not fault.startswith("Overfull")]  # of words that no line can hold
    places = {label: labels[label] for label in ("table:results", "table:audit", "figure:bars", "listing:vae")}
    assert {label: number for label, (number, _) in places.items()} == {"table:results": "3.1", "table:audit": "3.2", "figure:bars": "3.1",
                                                                         "listing:vae": "3.1"}
    assert places["table:results"][1] <= places["table:audit"][1] <= places["figure:bars"][1]


@pytest.mark.slow
@pytest.mark.parametrize("engine", latex.ENGINES)
def test_programs_addresses_and_figures_stay_on_the_pages_of_latex(engine, tmp_path):
    program = f"{PROGRAM}\n    f({'довгий_параметр=1, ' * 12})\n{'«—» 中' * 30}"
    given = parts(program=program)
    given.sources["last"] = f"URL: https://a.example/{'довгий/шлях-' * 9}.html (дата звернення: 12.11.2018)."
    given.listings["vae"] = Listing("Дуже довга назва " * 9, program)
    places = []
    for n in range(8):
        given.tables[f"t{n}"], given.figures[f"f{n}"] = table(f"t{n}"), Picture(f"f{n}", "Назва")
        places += [f"::: {{.table name=t{n}}}\n:::\n\nТекст.\n\n::: {{.figure name=f{n}}}\n:::\n"]
    documents.write(TEXT + "\n" + "\n".join(places), given, report(), tmp_path, 3)
    log, _ = latex.compiled(read(tmp_path, "tex"), engine, tmp_path)
    assert not latex.FAULTS.findall(log)


@pytest.mark.slow
def test_libreoffice_opens_the_word_file_with_its_captions(made, tmp_path):
    for program in "soffice", "pdftotext":
        latex.needs(program)
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"  # of its own, since two cannot run with one
    subprocess.run(["soffice", profile, "--headless", "--convert-to", "pdf", "--outdir", tmp_path, made / "chapter.docx"], check=True,
                   capture_output=True)
    said = subprocess.run(["pdftotext", "-layout", tmp_path / "chapter.pdf", "-"], check=True, capture_output=True, text=True).stdout
    for caption in "3 РЕСУРСИ", "Лістинг 3.1 – Назва", "Таблиця 3.2 – Назва audit", "Рисунок 3.1 – Назва", "2. Перше Назва":
        assert caption in said
