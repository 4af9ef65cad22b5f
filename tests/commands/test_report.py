"""genlib report: the files that it leaves, and where."""
import pytest
from saved_runs import save_run

from genlib.__main__ import main


@pytest.mark.parametrize("only", ["results,", " table:results ,, results"])
def test_the_chapter_of_runs_in_a_folder_of_any_name_is_written_beside_them(tmp_path, monkeypatch, capsys, only):
    folder = tmp_path / "мої запуски 100%s {n}"
    save_run(folder, "stable-diffusion", [8.0, 8.1, 8.2])
    monkeypatch.chdir(folder)
    assert main(["report", ".", "--only", only, "--out", "розділ 3", "--chapter", "3", "--language", "uk"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"розділ 3/chapter.{kind}" for kind in ("docx", "tex", "html")]
    assert "Таблиця 3.1 – " in (folder / "розділ 3" / "chapter.html").read_text(encoding="utf-8")


def test_a_template_that_is_not_there_is_one_sentence(tmp_path, capsys):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1, 8.2])
    assert main(["report", str(tmp_path), "--template", str(tmp_path / "my.md"), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("genlib: the template ") and said.endswith("(No such file or directory): give another file\n")
