"""genlib runs: what it lists, and that it names whatever is broken."""
import json
from pathlib import Path

import pytest
from saved_runs import save_run

from genlib.__main__ import main
from genlib.archives import pack


@pytest.fixture
def folder(tmp_path):
    save_run(tmp_path / "runs", "stable-diffusion", [8.0, 8.1, 8.2], variant="face-prompt")
    save_run(tmp_path / "runs", "stylegan2-ada", [0.1] * 5)
    return tmp_path / "runs"


def test_every_run_is_listed_with_its_doubts_also_from_an_archive(folder, capsys):
    for given in folder, pack(folder):
        assert main(["runs", str(given)]) == 0
        out = capsys.readouterr().out
        assert "Tesla T4 · stable-diffusion · face-prompt · published · thesis · n = 3 · 20" in out
        assert "\n  doubtful: Fewer than 5 iterations show neither a drift nor an outlier: n = 3. Measure" in out
        assert out.endswith("\nruns: 2, none of them broken\n") and "BROKEN" not in out


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


BREAK = {
    "a lost picture": (lambda folder: (folder / "iteration_1.png").unlink(), "iteration_1.png is not there"),
    "another picture": (lambda folder: (folder / "iteration_2.png").write_bytes((folder / "iteration_1.png").read_bytes()),
                        "iteration_2.png is not the picture that was drawn"),
    "a record cut off": (lambda folder: (folder / "run.json").write_text("{"), "it is not valid JSON"),
    "a run of nothing": (lambda folder: [rewrite(folder / "run.json", iterations=[]), *map(Path.unlink, folder.glob("*.png"))],
                         "it has no iterations"),
    "another file": (lambda folder: (folder / "notes.txt").touch(), "notes.txt is not named in its record"),
    "an unfinished run": (lambda folder: rewrite(folder / "run.json", finished=None), "it is unfinished"),
    "another folder": (lambda folder: folder.parent.rename(folder.parent.with_name("demo-thesis")),
                       "it lies in tesla-t4/stylegan2-ada/demo-thesis, and its record belongs in tesla-t4/stylegan2-ada/published-thesis"),
    "another start": (lambda folder: folder.rename(folder.with_name("2001-01-01T00-00-00")), "its folder is 2001-01-01T00-00-00, and it")}


@pytest.mark.parametrize("why", BREAK)
def test_what_is_broken_is_named_and_the_command_fails(folder, capsys, why):
    [record] = (folder / "tesla-t4" / "stylegan2-ada").rglob("run.json")
    change, said = BREAK[why]
    change(record.parent)
    assert main(["runs", str(folder)]) == 1
    out, error = capsys.readouterr()
    assert f"\n  BROKEN: {said}" in out or "\n  BROKEN: " in out and said in out
    assert out.count("BROKEN") == 1 and error.startswith("genlib: 1 of 2 runs cannot be sent as they are: ")


def test_a_folder_that_is_not_there_or_has_no_runs_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for given, said in ("nothing", "nothing is not here: give a folder"), ("empty", "empty has no runs: give the folder of results"):
        assert main(["runs", str(tmp_path / given)]) == 1
        assert said in capsys.readouterr().err


def test_runs_that_no_report_is_made_of_are_listed_too(tmp_path, capsys):
    save_run(tmp_path, "stable-diffusion", [8.0], method="thesis")
    assert main(["runs", str(tmp_path)]) == 0
    assert "· thesis · thesis · n = 1 ·" in capsys.readouterr().out
