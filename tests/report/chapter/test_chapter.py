"""The chapter: its text in each language, what it leaves out, what strangers' records may not do to it."""
import inspect
import json
import re
from types import SimpleNamespace

import pytest
from hostile import TEXTS, save, with_text
from saved_runs import MB, save_run

from genlib.locale import languages
from genlib.measure import readings, repeat
from genlib.report import Report
from genlib.report.chapter import chapter, pandoc

PARAMETERS = "def generate(pipe):\n    return pipe(prompt='').images  # {{ 1 + 1 }} \\end{verbatim}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs with a loop, another precision, a call, a prompted run; of published weights on a GPU."""
    folder = tmp_path_factory.mktemp("runs")
    settings = dict(steps=50, prompt="")
    save_run(folder, "stable-diffusion", [7.9, 8.0, 8.1, 8.0, 7.9], settings=settings, call=PARAMETERS)
    save_run(folder, "stable-diffusion", [8.0] * 5, settings=settings | dict(prompt="a face"), variant="face-prompt")
    for steps in (10, 20, 40):
        save_run(folder, "stable-diffusion", [steps / 6, steps / 6.1], settings=settings | dict(steps=steps), variant=f"steps-{steps}")
    save_run(folder, "stable-diffusion", [16.0] * 3, settings=settings, variant="precision-float32", dtype="float32")
    save_run(folder, "vae-as-in-thesis", [8.1] * 5, settings=settings, picture=2)
    save_run(folder, "stylegan2-ada", [0.03] * 5, model="StyleGAN2-ADA")
    return folder


@pytest.fixture(scope="module")
def report(folder):
    """In English."""
    return Report(folder)


@pytest.fixture(scope="module", params=languages())
def text(request, folder):
    """The chapter in each language."""
    report = Report(folder, language=request.param)
    contents = chapter.Contents(report)
    return SimpleNamespace(markdown=chapter.markdown(contents, report.chapter_template), sources=set(contents.parts.sources))


def test_all_that_was_measured_is_in_the_chapter(text):
    places = re.findall(r"^::: {\.(\w+) name=([\w-]+)}$", text.markdown, re.MULTILINE)
    assert {name for kind, name in places if kind == "table"} == {
        "environment", "results", "readings", "growth", "precisions", "beside_thesis", "audit", "cost", "iterations-stable-diffusion",
        "iterations-vae-as-in-thesis", "iterations-stylegan2-ada"}
    assert {name for kind, name in places if kind == "figure"} == {
        "bars", "iterations", "time_against_memory", "growth", "vae", "pictures-stable-diffusion", "pictures-vae-as-in-thesis",
        "pictures-stylegan2-ada"}
    assert {name for kind, name in places if kind == "listing"} == {"readings", "stable-diffusion"}
    assert len(set(places)) == len(places) and text.markdown.count("\n::: gap\n") >= 12


def test_every_reference_has_its_place_and_every_place_is_referred_to(text):
    places = {":".join(place) for place in re.findall(r"^::: {\.(\w+) name=([\w-]+)}$", text.markdown, re.MULTILINE)}
    assert {link for link in re.findall(r"\[]\(#(.+?)\)", text.markdown) if not link.startswith("source:")} == places


def test_every_source_is_cited(text):
    assert text.sources == set(",".join(re.findall(r"\[]\(#source:(.+?)\)", text.markdown)).split(","))


@pytest.mark.parametrize("language", languages())
def test_what_was_not_measured_is_left_out_with_its_heading(tmp_path, language):
    save_run(tmp_path, "stylegan2-ada", [0.03] * 5, model="StyleGAN2-ADA", picture=0)
    report = Report(tmp_path, language=language)
    short = chapter.markdown(chapter.Contents(report), report.chapter_template)
    assert not re.search("name=(growth|precisions|machines|pictures|vae|stable)", short)
    assert 9 <= short.count("\n## ") <= 11 and "\n\n\n\n\n" not in short


def test_the_templates_of_all_languages_place_ask_and_cite_the_same(folder):
    def marks(language):
        text = Report(folder, language=language).chapter_template.read_text(encoding="utf-8")
        text = text.replace("{,}", ".").replace(";\\,", ",\\,")  # a decimal comma in a formula
        return re.findall(r"{[{%].*?[%}]}|^::: gap|^#+ |\$\$.*?\$\$", text, re.MULTILINE)

    english, *others = map(marks, languages())
    assert others and all(sorted(other) == sorted(english) for other in others)


def test_demo_figures_say_so_in_every_caption(tmp_path):
    save_run(tmp_path, "stable-diffusion", [0.7] * 5, weights="demo", settings=dict(steps=50, prompt=""))
    parts = chapter.Contents(Report(tmp_path)).parts
    captions = [table.title for table in parts.tables.values()] + [figure.caption for figure in parts.figures.values()]
    assert len(captions) > 8 and [caption for caption in captions if "demonstration weights" not in caption] == []


def test_other_runs_give_other_sentences(tmp_path):
    texts = []
    for n, times in enumerate(([8.0] * 5, [9.0, 9.4, 9.1])):
        save_run(tmp_path / str(n), "stable-diffusion", times, settings=dict(steps=50, prompt=""))
        report = Report(tmp_path / str(n))
        texts.append(chapter.markdown(chapter.Contents(report), report.chapter_template))
    assert "at least five" not in texts[0] and "n = 3" in texts[1] and texts[0] != texts[1]


@pytest.mark.filterwarnings("ignore:left out pictures")
def test_text_of_records_is_text_in_the_chapter(tmp_path, monkeypatch):
    monkeypatch.setattr(Report, "figures", [])  # which take long to draw, and are tested with such text elsewhere
    for n, text in enumerate(TEXTS.values()):
        made = with_text(text, variant="", profile="thesis", settings={"steps": 50, "prompt": text}, call=text)
        made["machine"]["slug"], made["model"]["profile"] = "machine", "thesis"  # one report is of them all
        save(tmp_path / str(n), made)
    report = Report(tmp_path)
    tree = pandoc.read(chapter.markdown(chapter.Contents(report), report.chapter_template))  # which refuses what is no text
    shown = json.dumps(tree, ensure_ascii=False).replace('\\"', '"').replace("\\\\", "\\")
    assert [name for name, text in TEXTS.items() if chapter.escape.plain(text).split()[0][:20] not in shown] == []


def test_a_long_prompt_is_cut_in_the_text(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0] * 5, settings=dict(prompt="face " * 600))
    [model] = chapter.Contents(Report(tmp_path)).models
    assert len(model["settings"]) < 250 and " … `" in model["settings"]


@pytest.mark.parametrize("prompt, said", [("", True), ("a face", False)])
def test_only_a_model_without_a_prompt_is_said_to_draw_one_image(tmp_path, prompt, said):
    run = save_run(tmp_path, "stable-diffusion", [8.0] * 5, settings=dict(prompt=prompt))
    for iteration in run.iterations:
        iteration.images = run.iterations[0].images
    run.save()
    report = Report(tmp_path)
    assert ("from a single latent" in chapter.markdown(chapter.Contents(report), report.chapter_template)) == said


def test_there_is_no_chapter_where_every_iteration_failed(tmp_path):
    run = save_run(tmp_path, "stable-diffusion", [8.0], errors=2)
    run.iterations = run.iterations[1:]
    run.save()
    with pytest.raises(ValueError, match="no iteration of these runs succeeded"):
        Report(tmp_path).save_chapter(tmp_path / "out")


def test_how_an_iteration_is_read_is_what_the_code_does():
    code = inspect.getsource(readings) + inspect.getsource(repeat) + inspect.getsource(readings.device)
    calls = re.findall(r"[\w.]+(?=\()", chapter.READINGS)
    assert len(calls) == 9 and [call for call in calls if call.removesuffix("rss").split(".")[-1] not in code] == []


def test_without_a_gpu_the_listing_names_none(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0] * 5, vram=None)
    assert "cuda" not in chapter.Contents(Report(tmp_path)).parts.listings["readings"].text


@pytest.mark.parametrize("template, said", [
    ("# A\n\n{{ nothing }}", "'nothing' is undefined"), ("{% if %}", "own.md, line 1 cannot be filled (Expected an expression"),
    ("a\n{{ ref.__globals__ }}", "access to attribute '__globals__'"), ("{{ has('x') }}", "'x' is no table, figure, listing"),
    ("{{ 1 / 0 }}", "division by zero"), ("{{ 'a'.index('b') }}", "substring not found"),
    ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion"), ("{% include 'a' %}", "no loader"),
    ("# A\n\n[](#table:growths)", "growths"), ("<b>a</b>{{ place('table:none') }}", None)],
    ids=["unknown", "syntax", "sandbox", "no kind", "sum", "value", "recursion", "include", "no such table", "left out"])
def test_a_template_that_will_not_do_is_named(report, tmp_path, template, said):
    path = tmp_path / "own.md"
    path.write_text(template)
    if said is None:
        assert report.save_chapter(tmp_path / "out", template=path)
    else:
        with pytest.raises(ValueError, match=re.escape(said)):
            report.save_chapter(tmp_path / "out", template=path)
        assert not (tmp_path / "out").exists()


def test_a_template_that_cannot_be_read_is_named(report, tmp_path):
    (tmp_path / "own.md").write_bytes("# Розділ".encode("cp1251"))
    for name, said in ("own.md", "is not in UTF-8: save it as UTF-8"), ("none.md", r"cannot be read \(No such file or directory\)"):
        with pytest.raises((ValueError, OSError), match=f"the template .*{name} {said}"):
            report.save_chapter(tmp_path, template=str(tmp_path / name))


def test_only_some_tables_and_figures_are_written(report, tmp_path):
    paths = report.save_chapter(tmp_path, "2", only=["results", "figure:growth"])
    assert [path.name for path in paths] == ["chapter.docx", "chapter.tex", "chapter.html", "growth.pdf"]
    page = (tmp_path / "chapter.html").read_text(encoding="utf-8")
    assert "Table 2.1 – " in page and "Figure 2.1 – " in page and "Table 2.2" not in page and "<h2" not in page


@pytest.mark.parametrize("change, said", [
    (dict(number="III"), "the chapter's number is 'III': use a whole number, as in 3"),
    (dict(number="99999999999"), "the chapter's number is '99999999999'"), (dict(number="²"), "the chapter's number is '²'"),
    (dict(only=["bar"]), "there is no table or figure 'bar' in this report: use some of table:results")])
def test_a_wrong_number_or_name_is_said(report, tmp_path, change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        report.save_chapter(tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


def test_one_iteration_is_no_nan(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0], settings=dict(steps=50, prompt=""), ram=500 * MB)
    paths = Report(tmp_path).save_chapter(tmp_path / "out")
    assert not re.search(r"\bnan\b", paths[2].read_text(encoding="utf-8").split("<body")[1], re.IGNORECASE)
