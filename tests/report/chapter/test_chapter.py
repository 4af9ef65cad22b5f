"""The chapter: its text in each language, what it leaves out, what strangers' records may not do to it."""
import inspect
import json
import re
from functools import cache
from types import SimpleNamespace

import pytest
from hostile import TEXTS, save, with_text
from saved_runs import MB, save_run, save_sets

from genlib.locale import languages
from genlib.measure import readings, repeat
from genlib.report import Report
from genlib.report.chapter import chapter, pandoc

PARAMETERS = "def generate(pipe):\n    return pipe(prompt='').images  # {{ 1 + 1 }} \\end{verbatim}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs with a loop, another precision, a call, a prompted run, another model, an imitated card, another
    way, and scored sets; of published weights on a GPU."""
    folder = tmp_path_factory.mktemp("runs")
    settings = dict(steps=50, prompt="")
    save_run(folder, "stable-diffusion", [7.9, 8.0, 8.1, 8.0, 7.9], settings=settings, call=PARAMETERS)
    save_run(folder, "stable-diffusion", [8.0] * 5, settings=settings | dict(prompt="a face"), variant="face-prompt")
    for steps in (10, 20, 40):
        save_run(folder, "stable-diffusion", [steps / 6, steps / 6.1], settings=settings | dict(steps=steps), variant=f"steps-{steps}")
    save_run(folder, "stable-diffusion", [16.0] * 3, settings=settings, variant="precision-float32", dtype="float32")
    save_run(folder, "vae-as-in-thesis", [8.1] * 5, settings=settings, picture=2)
    save_run(folder, "stylegan2-ada", [0.03] * 5, model="StyleGAN2-ADA", dtype="mixed")
    save_run(folder, "stylegan2-ada", [0.03] * 5, model="StyleGAN2-ADA", dtype="mixed", variant="style-mixing")
    for variant, more in {"model-x": {}, "card-4-gb-float16": dict(card_bytes=4 * 1024**3)}.items():
        save_run(folder, "stable-diffusion", [8.0] * 5, settings=settings | more, variant=variant)
    return save_sets(folder)


@pytest.fixture(scope="module")
def report(folder):
    """In English."""
    return Report(folder)


@pytest.fixture(scope="module")
def contents_of(folder):
    """What a template can use, by the report's language; its figures are drawn once."""
    return cache(lambda language: chapter.Contents(Report(folder, language=language)))


@pytest.fixture(scope="module", params=languages())
def text(request, folder, contents_of):
    """The chapter in each language."""
    contents, template = contents_of(request.param), Report(folder, language=request.param).chapter_template
    markdown = chapter.markdown(contents, template)
    places = re.findall(r"^::: {\.(\w+) name=([\w-]+)}$", markdown, re.MULTILINE)
    return SimpleNamespace(markdown=markdown, places=places, sources=set(contents.parts.sources))


@pytest.fixture
def pictures_alone(monkeypatch):
    """Of the figures, which take long to draw, one."""
    monkeypatch.setattr(Report, "figures", ["pictures-stable-diffusion"])


def markdown(report):
    return chapter.markdown(chapter.Contents(report), report.chapter_template)


def test_all_that_was_measured_is_in_the_chapter(text):
    assert {name for kind, name in text.places if kind == "table"} == {
        "environment", "results", "common_precision", "readings", "growth", "precisions", "models", "cards", "methods", "beside_thesis",
        "audit", "claims", "scores", "cost", "service", "iterations-stable-diffusion", "iterations-vae-as-in-thesis",
        "iterations-stylegan2-ada"}
    assert {name for kind, name in text.places if kind == "figure"} == {
        "bars", "iterations", "time_against_memory", "growth", "vae", "pictures-stable-diffusion", "pictures-vae-as-in-thesis",
        "pictures-stylegan2-ada"}
    assert {name for kind, name in text.places if kind == "listing"} == {"readings", "stable-diffusion"}
    assert len(set(text.places)) == len(text.places) and text.markdown.count("\n::: gap\n") >= 12


def test_every_reference_has_its_place_and_every_place_is_referred_to(text):
    links = {link for link in re.findall(r"\[]\(#(.+?)\)", text.markdown) if not link.startswith("source:")}
    assert links == {":".join(place) for place in text.places}
    assert not re.findall(r".+\n::: {", text.markdown), "a place without an empty line before it would be a part of the paragraph"


def test_every_source_is_cited(text):
    assert text.sources == set(",".join(re.findall(r"\[]\(#source:(.+?)\)", text.markdown)).split(","))


@pytest.mark.parametrize("language", languages())
def test_what_was_not_measured_is_left_out_with_its_heading(tmp_path, language):
    save_run(tmp_path, "stylegan2-ada", [0.03] * 5, model="StyleGAN2-ADA", picture=0)
    short = markdown(Report(tmp_path, language=language))
    assert not re.search("name=(growth|precisions|common_precision|machines|pictures|vae|stable)", short)
    assert 9 <= short.count("\n## ") <= 12 and "\n\n\n\n\n" not in short


def test_the_templates_of_all_languages_place_ask_and_cite_the_same(folder):
    def marks(language):
        text = Report(folder, language=language).chapter_template.read_text(encoding="utf-8")
        text = text.replace("{,}", ".").replace(";\\,", ",\\,")  # a decimal comma in a formula
        return re.findall(r"{[{%].*?[%}]}|^::: gap|^#+ |\$\$.*?\$\$", text, re.MULTILINE)

    english, *others = map(marks, languages())
    assert others and all(sorted(other) == sorted(english) for other in others)


def test_demo_figures_say_so_in_every_caption_but_of_tables_whose_rows_do(tmp_path):
    save_run(tmp_path, "stable-diffusion", [0.7] * 5, weights="demo", settings=dict(steps=50, prompt=""))
    save_run(tmp_path, "stable-diffusion", [0.7] * 5, weights="random", settings=dict(steps=50), variant="model-x")
    parts = chapter.Contents(Report(tmp_path, weights="demo")).parts
    assert parts.tables.pop("models").title == "Models side by side"
    captions = [table.title for table in parts.tables.values()] + [figure.caption for figure in parts.figures.values()]
    assert len(captions) > 8 and [caption for caption in captions if "demonstration weights" not in caption] == []


@pytest.mark.usefixtures("pictures_alone")
def test_other_runs_give_other_sentences(tmp_path):
    texts = []
    for n, times in enumerate(([8.0] * 5, [9.0, 9.4, 9.1])):
        save_run(tmp_path / str(n), "stable-diffusion", times, settings=dict(steps=50, prompt=""))
        texts.append(markdown(Report(tmp_path / str(n))))
    assert "at least five" not in texts[0] and "n = 3" in texts[1] and texts[0] != texts[1]


@pytest.mark.filterwarnings("ignore:left out pictures")
def test_text_of_records_is_text_in_the_chapter(tmp_path, monkeypatch):
    monkeypatch.setattr(Report, "figures", [])  # which are tested with such text elsewhere
    for n, text in enumerate(TEXTS.values()):
        made = with_text(text, variant="", profile="thesis", settings={"steps": 50, "prompt": text}, call=text)
        made["machine"]["slug"], made["model"]["profile"] = "machine", "thesis"  # one report is of them all
        save(tmp_path / str(n), made)
    tree = pandoc.read(markdown(Report(tmp_path)))  # which refuses what is no text
    shown = json.dumps(tree, ensure_ascii=False).replace('\\"', '"').replace("\\\\", "\\")
    assert [name for name, text in TEXTS.items() if chapter.escape.plain(text).split()[0][:20] not in shown] == []


@pytest.mark.usefixtures("pictures_alone")
def test_of_the_pictures_of_random_weights_nothing_is_asked(tmp_path):
    gaps = []
    for weights in "published", "random":
        save_run(tmp_path / weights, "stable-diffusion", [8.0] * 5, weights=weights)
        gaps.append(markdown(Report(tmp_path / weights)).count("\n::: gap\n"))
    assert gaps[0] == gaps[1] + 1


def test_a_long_prompt_is_cut_in_the_text(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0] * 5, settings=dict(prompt="face " * 600))
    [model] = chapter.Contents(Report(tmp_path)).models
    assert len(model["settings"]) < 250 and " … `" in model["settings"]


@pytest.mark.usefixtures("pictures_alone")
@pytest.mark.parametrize("prompt, said", [("", True), ("a face", False)])
def test_only_a_model_without_a_prompt_is_said_to_draw_one_image(tmp_path, prompt, said):
    run = save_run(tmp_path, "stable-diffusion", [8.0] * 5, settings=dict(prompt=prompt))
    for iteration in run.iterations:
        iteration.images = run.iterations[0].images
    run.save()
    assert ("from a single latent" in markdown(Report(tmp_path))) == said


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


@pytest.mark.usefixtures("pictures_alone")
def test_without_a_gpu_the_listing_names_none(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0] * 5, vram=None)
    assert "cuda" not in chapter.Contents(Report(tmp_path)).parts.listings["readings"].text


@pytest.mark.parametrize("template, said", [
    ("# A\n\n{{ nothing }}", "'nothing' is undefined"), ("{% if %}", "own.md, line 1 cannot be filled (Expected an expression"),
    ("a\n{{ ref.__globals__ }}", "access to attribute '__globals__'"), ("{{ has('x') }}", "'x' is no table, figure, listing"),
    ("{{ 1 / 0 }}", "division by zero"), ("{{ 'a'.index('b') }}", "substring not found"),
    ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion"), ("{% include 'a' %}", "no loader"),
    ("# Розділ".encode("cp1251"), "own.md is not in UTF-8: save it as UTF-8"),
    (None, "own.md cannot be read (No such file or directory)")],
    ids=["unknown", "syntax", "sandbox", "no kind", "sum", "value", "recursion", "include", "encoding", "no file"])
def test_a_template_that_will_not_do_is_named(contents_of, tmp_path, template, said):
    path = tmp_path / "own.md"
    if template is not None:
        path.write_bytes(template if isinstance(template, bytes) else template.encode())
    with pytest.raises((ValueError, OSError), match=re.escape(said)) as error:
        chapter.markdown(contents_of("en"), path)
    assert str(error.value).startswith(f"the template {path}")


def test_a_template_of_ones_own_may_place_what_is_not_there_but_not_refer_to_it(report, contents_of, tmp_path):
    path = tmp_path / "own.md"
    path.write_text("<b>a</b>{{ place('table:none') }}")
    assert chapter.markdown(contents_of("en"), path) == "<b>a</b>"
    path.write_text("# A\n\n[](#table:growths)")
    with pytest.raises(ValueError, match="growths"):
        report.save_chapter(tmp_path / "new", template=str(path))
    assert not (tmp_path / "new").exists()


def test_only_some_tables_and_figures_are_written(report, tmp_path):
    paths = report.save_chapter(tmp_path, "2", only=["results", "figure:growth"])
    assert [path.name for path in paths] == ["chapter.docx", "chapter.tex", "chapter.html", "growth.pdf"]
    page = (tmp_path / "chapter.html").read_text(encoding="utf-8")
    assert "Table 2.1 – " in page and "Figure 2.1 – " in page and "Table 2.2" not in page and "<h2" not in page


@pytest.mark.parametrize("change, said", [
    (dict(number="III"), "the chapter's number is 'III': use a whole number, as in 3"),
    (dict(number="99999999999"), "the chapter's number is '99999999999'"), (dict(number="²"), "the chapter's number is '²'"),
    (dict(only=["bar"]), "there is no table or figure 'bar' in this report (did you mean 'bars'?): use some of table:results")])
def test_a_wrong_number_or_name_is_said(report, tmp_path, change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        report.save_chapter(tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("pictures_alone")
def test_one_iteration_is_no_nan(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0], settings=dict(steps=50, prompt=""), ram=500 * MB)
    report = Report(tmp_path)
    shown = [markdown(report), *(report.table(name).data.to_string() for name in report.tables)]
    assert not re.search(r"\bnan\b", "\n".join(shown), re.IGNORECASE)
