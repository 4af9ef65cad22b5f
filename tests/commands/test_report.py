"""genlib report: the chapter from a terminal."""
import pytest
from docx import Document
from saved_runs import save_run

from genlib.__main__ import main


@pytest.fixture
def results(tmp_path):
    save_run(tmp_path / "results", "stable-diffusion", [8.0, 8.1, 8.2, 8.1, 8.0], settings=dict(steps=50, prompt=""))
    return tmp_path / "results"


def test_the_chapter_is_written_in_the_language_and_under_the_number_that_are_asked_for(results, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "results", "--language", "uk", "--chapter", "2", "--reproduced", "у роботі 2025 року"]) == 0
    written = capsys.readouterr().out.splitlines()
    assert written[:3] == [f"results/chapter/chapter.{kind}" for kind in ("docx", "tex", "html")]
    assert "results/chapter/figures/bars.pdf" in written
    assert all((tmp_path / path).stat().st_size for path in written)
    page = (tmp_path / "results" / "chapter" / "chapter.html").read_text(encoding="utf-8")
    assert "Таблиця 2.1 – " in page and "у роботі 2025 року" in page and "Table" not in page


@pytest.mark.parametrize("only", ["results,", " table:results ,, results"])
def test_tables_of_runs_in_a_folder_of_any_name_are_written_beside_them(tmp_path, monkeypatch, capsys, only):
    folder = tmp_path / "мої запуски 100%s {n}"
    save_run(folder, "stable-diffusion", [8.0, 8.1, 8.2])
    monkeypatch.chdir(folder)
    assert main(["report", ".", "--only", only, "--out", "розділ 3"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"розділ 3/chapter.{kind}" for kind in ("docx", "tex", "html")]


@pytest.mark.parametrize("options, said", [
    (["--chapter", "x"], "the chapter's number is 'x'"),
    (["--only", "results,bar"], "there is no table or figure 'bar'"),
    (["--template", "none.md"], "none.md cannot be read (No such file or directory)"),
    (["--reference", "nowhere"], "nowhere is not here"), (["--machine", "h100"], "h100")])
def test_what_cannot_be_written_is_said_in_one_sentence_and_nothing_is(results, tmp_path, capsys, options, said):
    assert main(["report", str(results), "--out", str(tmp_path / "out"), *options]) == 1
    error = capsys.readouterr().err
    assert said in error and error.startswith("genlib: ") and error.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("only", ["results,", " table:results ,, results"])
def test_the_chapter_of_runs_in_a_folder_of_any_name_is_written_beside_them(tmp_path, monkeypatch, capsys, only):
    folder = tmp_path / "мої запуски 100%s {n}"
    save_run(folder, "stable-diffusion", [8.0, 8.1, 8.2])
    monkeypatch.chdir(folder)
    assert main(["report", ".", "--only", only, "--out", "розділ 3", "--chapter", "3", "--language", "uk"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"розділ 3/chapter.{kind}" for kind in ("docx", "tex", "html")]
    assert "Таблиця 3.1 – " in (folder / "розділ 3" / "chapter.html").read_text(encoding="utf-8")


def test_margins_and_print_are_those_that_are_asked_for(results, tmp_path):
    assert main(["report", str(results), "--only", "results", "--page", "left_mm=30, size_pt=12", "--out", str(tmp_path / "out")]) == 0
    document = Document(tmp_path / "out" / "chapter.docx")
    assert document.sections[0].left_margin.mm == pytest.approx(30, abs=0.1) and document.styles["Normal"].font.size.pt == 12
    assert r"\documentclass[12pt,a4paper]" in (tmp_path / "out" / "chapter.tex").read_text(encoding="utf-8")


@pytest.mark.parametrize("page, said", [
    ("margin=3", "a page has no 'margin': use some of left_mm, "), ("left_mm=wide", "'left_mm=wide' makes no page"),
    ("left_mm=200", "smaller ones"), ("size_pt=13", "use 12 or 14")])
def test_a_page_that_cannot_be_is_refused(results, capsys, page, said):
    with pytest.raises(SystemExit):
        main(["report", str(results), "--page", page])
    assert said in capsys.readouterr().err
