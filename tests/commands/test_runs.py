"""genlib runs: what it lists, and that it names whatever is broken."""
import json
from pathlib import Path

import pytest
from saved_runs import save_run

from genlib.__main__ import main
from genlib.archives import pack
from genlib.record import Machine


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


def test_what_scoring_leaves_beside_a_run_breaks_nothing(folder, capsys):
    [record] = (folder / "tesla-t4" / "stylegan2-ada").rglob("run.json")
    for name in "scores.json", "closest.png":
        (record.parent / name).touch()
    assert main(["runs", str(folder)]) == 0


def test_a_folder_that_is_not_there_or_has_no_runs_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for given, said in ("nothing", "nothing is not here: give a folder"), ("empty", "empty has no runs: give the folder of results"):
        assert main(["runs", str(tmp_path / given)]) == 1
        assert said in capsys.readouterr().err


def test_runs_that_no_report_is_made_of_are_listed_too(tmp_path, capsys):
    save_run(tmp_path, "stable-diffusion", [8.0], method="thesis")
    assert main(["runs", str(tmp_path)]) == 0
    assert "· thesis · thesis · n = 1 ·" in capsys.readouterr().out


def test_a_run_is_set_aside_with_a_reason_and_taken_back(folder, capsys):
    [record] = (folder / "tesla-t4" / "stylegan2-ada").rglob("run.json")
    before = json.loads(record.read_text())
    assert main(["runs", str(folder), "--set-aside", str(record.parent), "--why", " a film ran "]) == 0
    assert main(["runs", str(folder)]) == 0 and " · set aside: a film ran\n" in capsys.readouterr().out
    assert json.loads(record.read_text()) == before | {"set_aside": "a film ran"}, "nothing that was measured is lost"
    assert main(["runs", str(folder), "--take-back", str(record.parent)]) == 0
    assert json.loads(record.read_text()) == before
    assert main(["runs", str(folder), "--take-back", str(record.parent)]) == 1
    assert "is not set aside: it counts already" in capsys.readouterr().err


@pytest.mark.parametrize("options, said", [
    (["--set-aside", "runs"], "--set-aside and --why go together"), (["--why", "x"], "--set-aside and --why go together"),
    (["--set-aside", "runs", "--why", " "], "why is empty: say why"), (["--set-aside", "runs", "--why", "x"], "runs has no run.json"),
    (["--set-aside", ".", "--why", "x"], "does not lie in")])
def test_setting_aside_what_is_no_run_or_without_a_reason_is_refused(folder, capsys, options, said):
    options = [str(folder.parent / option) if option in ("runs", ".") else option for option in options]
    assert main(["runs", str(folder), *options]) == 1 and said in capsys.readouterr().err


def test_sessions_are_counted_older_environments_named_and_a_session_far_from_the_others_is_doubtful(folder, capsys):
    for time in 0.1, 0.2:
        save_run(folder, "stylegan2-ada", [time] * 5, machine=Machine("tesla-t4", packages={"torch": "3.0"}))
    assert main(["runs", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "· session 1 of 2\n" in out and "· session 2 of 2\n" in out and out.count("· of an older environment\n") == 1
    assert out.count("doubtful: The mean time of a session lies far from the others: ") == 1
