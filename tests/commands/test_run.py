"""The command that executes the notebooks."""
import errno
import re
from email.message import Message

import nbformat
import pytest

from genlib import notebook
from genlib.__main__ import main, parser
from genlib.commands import run
from genlib.experiments import EXPERIMENTS, Experiment


def call(capsys, *arguments):
    """Exit status, stdout, stderr of a command."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as exit:
        status = exit.code
    return status, *capsys.readouterr()


@pytest.mark.parametrize("arguments, complaint", [
    (["--only", "7"], "there is no notebook '7': use numbers from 1 to 4"),
    (["--only", "1,x"], "there is no notebook 'x'"),
    (["--iterations", "0"], "'0' is not a whole number of at least 1"),
    (["--steps", "-3"], "is not a whole number of at least 1"),
    (["--weights", "huge"], "invalid choice: 'huge'"),
    (["--language", "fr"], "invalid choice: 'fr'"),
])
def test_a_wrong_option_is_one_sentence_and_a_status(capsys, tmp_path, arguments, complaint):
    status, out, err = call(capsys, "run", "--results", tmp_path / "results", *arguments)
    assert status == 2 and complaint in err and "Traceback" not in err
    assert not (tmp_path / "results").exists(), "nothing is made for a call that cannot run"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two small notebooks, the first of which leaves a file and the second of which fails."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, last in ("1_stable_diffusion", "assert ITERATIONS == 2"), ("2_vae_round_trip", "raise ValueError('the disk melted')"):
        parameters = 'ITERATIONS = 5\nWEIGHTS = "auto"\nPROFILE = "thesis"\nRESULTS = "x"'
        cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
                 nbformat.v4.new_code_cell("from pathlib import Path\n(Path(RESULTS) / 'measured').write_text(WEIGHTS)"),
                 nbformat.v4.new_code_cell(last)]
        kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / f"{name}.ipynb")
    nbformat.write(nbformat.v4.new_notebook(), folder / "4_comparison.ipynb")
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    return tmp_path


def test_run_passes_the_options_on_and_keeps_the_executed_notebook_as_ipynb_and_html(capsys, project):
    results = project / "results"
    status, out, _ = call(capsys, "run", "--only", "1", "--weights", "demo", "--iterations", "2", "--results", results)
    assert status == 0 and (results / "measured").read_text() == "demo"
    assert re.search(r"^1_stable_diffusion \.\.\. \d+ s$", out, re.MULTILINE)
    executed = nbformat.read(results / "notebooks" / "1_stable_diffusion.ipynb", as_version=4)
    assert executed.cells[-1].execution_count and (results / "notebooks" / "1_stable_diffusion.html").stat().st_size > 1000


def test_notebook_4_is_asked_for_the_weights_and_profile_that_are_named():
    both = ["--weights", "demo", "--profile", "tuned"]
    for given, weights, profile in ([], "", ""), (["--weights", "auto"], "", ""), (both, "demo", "tuned"):
        options = parser().parse_args(["run", *given])
        assert run._parameters(options, "4_comparison", "r") == dict(RESULTS="r", WEIGHTS=weights, PROFILE=profile, LANGUAGE="en")
        assert run._parameters(options, "1_stable_diffusion", "r")["PROFILE"] == (profile or "thesis")


@pytest.mark.parametrize("option, only", [("--steps", "3"), ("--steps", "4"), ("--iterations", "4")])
def test_an_option_that_no_notebook_takes_is_refused(capsys, tmp_path, option, only):
    status, _, err = call(capsys, "run", "--only", only, option, "2", "--results", tmp_path / "results")
    assert status == 1 and f"{option} is given, but none of the notebooks {only} takes it" in err and not (tmp_path / "results").exists()


def test_a_notebook_that_fails_stops_the_run_with_cell_error_and_copy_and_keeps_what_was_measured(capsys, project):
    results = project / "results"
    status, out, err = call(capsys, "run", "--only", "1,2", "--iterations", "2", "--results", results)
    assert status == 1 and "2_vae_round_trip stopped in its cell" in err and "ValueError: the disk melted" in err
    assert "Traceback" not in err and str(results / "notebooks" / "2_vae_round_trip.ipynb") in err
    assert (results / "measured").exists() and (results / "notebooks" / "2_vae_round_trip.ipynb").exists()


def test_a_results_folder_that_is_a_file_is_said(capsys, project):
    (project / "taken").write_text("")
    status, _, err = call(capsys, "run", "--only", "1", "--results", project / "taken")
    assert status == 1 and "cannot be made" in err and "choose another" in err and (project / "taken").is_file()


def test_a_disk_too_full_for_the_executed_copy_is_one_sentence_with_the_remedy(capsys, project, monkeypatch):
    import papermill

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(papermill, "execute_notebook", full)
    status, _, err = call(capsys, "run", "--only", "1", "--results", project / "results")
    assert status == 1 and "the disk is full" in err and "free some space and run again" in err and "Errno" not in err


def test_a_kernel_that_is_killed_is_one_sentence_and_what_was_measured_stays(capsys, project):
    path = project / "notebooks" / "1_stable_diffusion.ipynb"
    killed = nbformat.read(path, as_version=4)
    killed.cells[-1].source = "import os\nos.kill(os.getpid(), 9)"
    nbformat.write(killed, path)
    status, _, err = call(capsys, "run", "--only", "1", "--results", project / "results")
    assert status == 1 and "was killed" in err and "memory" in err and (project / "results" / "measured").exists()


def test_the_notebooks_are_those_of_the_experiments_and_the_comparison_comes_last(monkeypatch):
    assert run.notebooks() == {1: "1_stable_diffusion", 2: "2_vae_round_trip", 3: "3_stylegan2_ada", 4: "4_comparison"}
    for number, name in run.notebooks().items():
        assert (notebook.PROJECT / "notebooks" / f"{name}.ipynb").exists(), number
    monkeypatch.setattr(run, "EXPERIMENTS", [*EXPERIMENTS, Experiment("made-up", label="Made up", notebook="5_made_up")])
    assert list(run.notebooks()) == [1, 2, 3, 5, 4]
    assert parser().parse_args(["run", "--only", "4,5,1"]).only == [1, 5, 4]


def test_a_notebook_gets_the_parameters_that_it_has_and_no_others(project):
    options = parser().parse_args(["run", "--steps", "3", "--iterations", "2"])
    assert run._parameters(options, "1_stable_diffusion", "r") == dict(ITERATIONS=2, WEIGHTS="auto", PROFILE="thesis", RESULTS="r")


def test_without_what_executes_notebooks_the_command_names_the_package_before_it_makes_anything(capsys, project, monkeypatch):
    monkeypatch.setattr(run, "find_spec", lambda name: name != "papermill" or None)
    status, _, err = call(capsys, "run", "--results", project / "results")
    assert status == 1 and "papermill must be there to execute notebooks: pip install papermill" in err
    assert not (project / "results").exists()


def test_without_notebooks_the_command_says_where_they_are_and_gives_an_address_only_if_there_is_one(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)

    def not_installed(name):
        raise run.metadata.PackageNotFoundError(name)

    for found in not_installed, lambda name: Message():
        monkeypatch.setattr(run.metadata, "metadata", found)
        status, _, err = call(capsys, "run", "--results", tmp_path / "results")
        assert status == 1 and not (tmp_path / "results").exists()
        assert "clone or download the project, and run `python -m genlib run` in its folder" in err
