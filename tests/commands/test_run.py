"""The command that executes the notebooks."""
import errno
import json
import os
import re
import subprocess
import sys
from email.message import Message
from pathlib import Path

import nbformat
import pytest

from genlib import notebook
from genlib.__main__ import main, parser
from genlib.commands import execute, progress, run
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
    (["--only", "1,x"], "there is no notebook 'x'"), (["--only", "3-1"], "there is no notebook '3-1'"),
    (["--only", "1-9"], "there is no notebook '1-9'"), (["--only", "1-"], "there is no notebook '1-'"),
    (["--number", "3.x"], "use one that ends in a whole number"), (["--number", "-1"], "is '-1': use one"),
    (["--only", "9" * 5000], "there is no notebook"), (["--only", "٣"], "there is no notebook"),
    (["--steps", "9" * 5000], "is not a whole number"), (["--price-per-hour", "-1"], "'-1' is below 0"),
    (["--price-per-hour", "much"], "'much' is no number"),
    (["--iterations", "0"], "'0' is not a whole number of at least 1"),
    (["--steps", "-3"], "is not a whole number of at least 1"),
    (["--weights", "huge"], "--weights is 'huge': use one of auto, demo, random, published"),
    (["--language", "fr"], "--language is 'fr': use one of en, "),
    (["--sessions", "0"], "'0' is not a whole number of at least 1"),
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
        measuring = "from genlib import notebook\n(notebook.results_folder(RESULTS) / 'measured').write_text(WEIGHTS)"
        cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(measuring),
                 nbformat.v4.new_code_cell(last)]
        kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / f"{name}.ipynb")
    nbformat.write(nbformat.v4.new_notebook(), folder / "4_comparison.ipynb")
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    monkeypatch.setattr(progress, "FORECAST", "")  # which takes seconds
    monkeypatch.setenv("PYTHONPATH", str(Path(notebook.__file__).parent.parent))
    return tmp_path


def cells(project, name, *sources, **metadata):
    """Give a notebook of the project other cells after its parameters."""
    path = project / "notebooks" / f"{name}.ipynb"
    changed = nbformat.read(path, as_version=4)
    changed.cells[1:] = [nbformat.v4.new_code_cell(source) for source in sources]
    changed.metadata.update(metadata)
    nbformat.write(changed, path)


def test_run_passes_the_options_on_and_keeps_the_executed_notebook_as_ipynb_and_html(capsys, project):
    results = project / "results"
    status, out, _ = call(capsys, "run", "--only", "1", "--weights", "demo", "--iterations", "2", "--results", results)
    assert status == 0 and (results / "measured").read_text() == "demo"
    assert re.search(r"^1_stable_diffusion · \d+ s$", out, re.MULTILINE)
    executed = nbformat.read(results / "notebooks" / "1_stable_diffusion.ipynb", as_version=4)
    assert executed.cells[-1].execution_count and (results / "notebooks" / "1_stable_diffusion.html").stat().st_size > 1000


@pytest.mark.parametrize("given, numbers", [("1-3", [1, 2, 3]), ("1,3", [1, 3]), ("4, 1-2", [1, 2, 4]), ("2-2,2", [2])])
def test_notebooks_are_named_one_by_one_and_as_a_range(given, numbers):
    assert parser().parse_args(["run", "--only", given]).only == numbers


def test_notebook_4_gets_the_machine_the_number_and_the_price_that_are_named():
    named = ["--machine", "H100,T4", "--number", "3.1", "--price-per-hour", "2.5"]
    options = parser().parse_args(["run", *named])
    assert run._parameters(options, "4_comparison").items() >= dict(MACHINE="H100,T4", TABLE_NUMBER="3.1", PRICE_PER_HOUR=2.5).items()
    assert "MACHINE" not in run._parameters(options, "1_stable_diffusion") | run._parameters(parser().parse_args(["run"]), "4_comparison")


def test_notebook_4_is_asked_for_the_weights_and_profile_that_are_named():
    both = ["--weights", "demo", "--profile", "tuned"]
    for given, weights, profile in ([], "", ""), (["--weights", "auto"], "", ""), (both, "demo", "tuned"):
        options = parser().parse_args(["run", *given])
        assert run._parameters(options, "4_comparison") == dict(WEIGHTS=weights, PROFILE=profile, LANGUAGE="en")
        assert run._parameters(options, "1_stable_diffusion")["PROFILE"] == (profile or "thesis")


@pytest.mark.parametrize("option, only", [("--steps", "3"), ("--steps", "4"), ("--iterations", "4"), ("--machine", "1"),
                                          ("--price-per-hour", "3")])
def test_an_option_that_no_notebook_takes_is_refused(capsys, tmp_path, option, only):
    status, _, err = call(capsys, "run", "--only", only, option, "2", "--results", tmp_path / "results")
    assert status == 1 and f"{option} is given, but none of the notebooks {only} takes it" in err and not (tmp_path / "results").exists()


def test_a_notebook_that_fails_stops_the_run_with_cell_error_and_copy_and_keeps_what_was_measured(capsys, project):
    results = project / "results"
    status, out, err = call(capsys, "run", "--only", "1,2", "--iterations", "2", "--results", results)
    assert status == 1 and "2_vae_round_trip stopped in its cell" in err and "ValueError: the disk melted" in err
    assert "Traceback" not in err and str(results / "notebooks" / "2_vae_round_trip.ipynb") in err
    assert (results / "measured").exists() and (results / "notebooks" / "2_vae_round_trip.ipynb").exists()


@pytest.mark.parametrize("number, said", [
    (errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EACCES, "you may not write here"), (errno.EROFS, "can only be read")])
def test_a_disk_that_takes_no_executed_copy_is_one_sentence_with_its_folder_before_anything_is_executed(
        capsys, project, monkeypatch, number, said):
    def refused(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    status, _, err = call(capsys, "run", "--only", "1", "--results", project / "results")
    assert status == 1 and said in err and str(project / "results" / "notebooks") in err and "Errno" not in err
    assert not (project / "results" / "measured").exists()


def test_a_kernel_that_is_killed_is_one_sentence_and_what_was_measured_stays(capsys, project):
    cells(project, "1_stable_diffusion", "print('measured')", "import os\nos.kill(os.getpid(), 9)")
    status, _, err = call(capsys, "run", "--only", "1", "--results", project / "results")
    assert status == 1 and "was killed" in err and "memory" in err
    assert "measured" in (project / "results" / "notebooks" / "1_stable_diffusion.ipynb").read_text()


def test_the_notebooks_are_those_of_the_experiments_and_the_comparison_comes_last(monkeypatch):
    assert run.notebooks() == {1: "1_stable_diffusion", 2: "2_vae_round_trip", 3: "3_stylegan2_ada", 4: "4_comparison"}
    for number, name in run.notebooks().items():
        assert (notebook.PROJECT / "notebooks" / f"{name}.ipynb").exists(), number
    monkeypatch.setattr(run, "EXPERIMENTS", [*EXPERIMENTS, Experiment("made-up", label="Made up", notebook="5_made_up")])
    assert list(run.notebooks()) == [1, 2, 3, 5, 4]
    assert parser().parse_args(["run", "--only", "4,5,1"]).only == [1, 5, 4]


def test_a_notebook_gets_the_parameters_that_it_has_and_no_others(project):
    options = parser().parse_args(["run", "--steps", "3", "--iterations", "2"])
    assert run._parameters(options, "1_stable_diffusion") == dict(ITERATIONS=2, WEIGHTS="auto", PROFILE="thesis")


def test_without_what_executes_notebooks_the_command_names_the_package_before_it_makes_anything(capsys, project, monkeypatch):
    monkeypatch.setattr(run, "find_spec", lambda name: name != "nbclient" or None)
    status, _, err = call(capsys, "run", "--results", project / "results")
    assert status == 1 and "nbclient must be there to execute notebooks: pip install nbclient" in err
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


PRINTS = """
import os, pathlib, sys, tempfile, warnings
results = pathlib.Path(os.environ["GENLIB_RESULTS"])
print("the runs lie in", results, os.getcwd(), sys.prefix, tempfile.gettempdir(), pathlib.Path.home() / "models" / "mine")
warnings.warn(f"skipped {results}/x.zip")
results"""


@pytest.mark.parametrize("last", ["print('done')", "open(results / 'nowhere')"], ids=["to its end", "to an error"])
def test_the_executed_copy_and_its_page_have_no_paths_of_the_machine(capsys, project, monkeypatch, last):
    results = project / "home" / "somebody" / "my results"
    monkeypatch.setenv("HOME", str(project / "home" / "somebody"))
    cells(project, "1_stable_diffusion", PRINTS, last, papermill={"input_path": str(results)}, kernelspec={"name": "somebodys-own"})
    call(capsys, "run", "--only", "1", "--results", results)
    [copy] = (results / "notebooks").glob("*.ipynb")
    for file in (copy, *(results / "notebooks").glob("*.html")):
        text = file.read_text()
        assert "the runs lie in my results" in text and "models/mine" in text
        assert not [secret for secret in ("somebody", str(project), sys.prefix, str(Path.cwd())) if secret in text]
    assert ("FileNotFoundError" in copy.read_text()) == (last != "print('done')")


def test_a_link_in_the_place_of_an_executed_copy_is_replaced_and_what_it_points_to_is_left_alone(capsys, project):
    folder, precious = project / "results" / "notebooks", project / "precious"
    folder.mkdir(parents=True)
    precious.write_text("mine")
    for suffix in ".ipynb", ".html":
        (folder / f"1_stable_diffusion{suffix}").symlink_to(precious)
    status, *_ = call(capsys, "run", "--only", "1", "--iterations", "2", "--results", project / "results")
    assert status == 0 and precious.read_text() == "mine" and not any(path.is_symlink() for path in folder.iterdir())
    nbformat.read(folder / "1_stable_diffusion.ipynb", as_version=4)


def test_the_kernel_is_of_this_python_whatever_kernel_the_user_calls_python3(capsys, project, monkeypatch):
    for name in "python3", "somebodys-own":
        spec = project / "jupyter" / "kernels" / name / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(json.dumps({"argv": ["/nowhere/python", "-f", "{connection_file}"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(project / "jupyter"))
    cells(project, "1_stable_diffusion", "import sys\nprint('it is', sys.executable)", kernelspec={"name": "somebodys-own"})
    monkeypatch.setattr(execute, "_without_paths", lambda value, names: value)
    status, _, err = call(capsys, "run", "--only", "1", "--results", project / "results")
    assert status == 0, err
    assert f"it is {sys.executable}" in (project / "results" / "notebooks" / "1_stable_diffusion.ipynb").read_text()


def test_a_kernel_that_does_not_start_is_one_sentence_that_says_where_to_look(capsys, project, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    status, _, err = call(capsys, "run", "--only", "1", "--results", project / "results")
    assert status == 1 and "1_stable_diffusion has no kernel" in err and "see what `/bin/false -m ipykernel_launcher` says" in err


@pytest.mark.parametrize("widgets", [{}, {"application/vnd.jupyter.widget-state+json": {}}])
def test_a_notebook_that_colab_saved_becomes_a_page_and_tells_nothing_of_its_owner(capsys, project, widgets):
    shows = "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}, 'text/plain': 'a widget'}, raw=True)"
    cells(project, "1_stable_diffusion", shows, widgets=widgets)
    path = project / "notebooks" / "1_stable_diffusion.ipynb"
    saved = json.loads(path.read_text())
    saved["cells"][1]["metadata"] = {"executionInfo": {"user": {"displayName": "Olena"}}, "id": "x", "outputId": "y"}
    saved |= {"nbformat_minor": 0}
    path.write_text(json.dumps(saved))
    status, _, err = call(capsys, "run", "--only", "1", "--results", project / "results")
    assert status == 0 and err == ""
    assert "a widget" in (project / "results" / "notebooks" / "1_stable_diffusion.html").read_text()
    assert "Olena" not in (project / "results" / "notebooks" / "1_stable_diffusion.ipynb").read_text()


def test_a_page_that_cannot_be_made_is_said_and_stops_no_run(capsys, project, monkeypatch):
    import nbconvert

    monkeypatch.setattr(nbconvert.HTMLExporter, "from_notebook_node", lambda *_, **__: {}["state"])
    status, out, _ = call(capsys, "run", "--only", "1", "--iterations", "2", "--results", project / "results")
    assert status == 0 and "no 1_stable_diffusion.html (KeyError: 'state')" in out


@pytest.mark.parametrize("given, variable, named", [
    ("mine", "yours", "mine"), (None, "yours", "yours"), (None, " ", "results"), ("~/mine", None, "home/mine"), ("'mine' ", None, "mine")])
def test_the_results_folder_is_the_option_then_the_variable_and_relative_to_where_the_command_is_typed(
        capsys, project, monkeypatch, given, variable, named):
    typed = project / "typed"
    typed.mkdir()
    monkeypatch.chdir(typed)
    monkeypatch.setenv("HOME", "home")
    if variable:
        monkeypatch.setenv("GENLIB_RESULTS", variable)
    monkeypatch.setattr(execute, "execute", lambda source, copy, results, parameters, progress: (results / "measured").write_text(""))
    status, *_ = call(capsys, "run", "--only", "1", *(["--results", given] if given else []))
    assert status == 0 and [path.relative_to(typed) for path in typed.rglob("measured")] == [Path(named, "measured")]


@pytest.mark.parametrize("given, said", [("", "names no folder"), ("https://x.org/y", "is an address"), ("taken", "cannot be made")])
def test_what_is_no_folder_is_one_sentence(capsys, project, monkeypatch, given, said):
    monkeypatch.chdir(project)
    (project / "taken").write_text("")
    status, _, err = call(capsys, "run", "--only", "1", "--results", given)
    assert status and said in err and "Traceback" not in err and [path.name for path in project.iterdir()] == ["notebooks", "taken"]


@pytest.mark.slow
def test_two_runs_at_once_on_one_results_folder_leave_whole_copies(project):
    cells(project, "1_stable_diffusion", *[f"print({number}, 'x' * 100_000)" for number in range(5)])
    code = f"from genlib import notebook, __main__\nfrom pathlib import Path\nnotebook.PROJECT = Path({str(project)!r})\n" \
           f"raise SystemExit(__main__.main(['run', '--only', '1', '--results', {str(project / 'results')!r}]))"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    copy = project / "results" / "notebooks" / "1_stable_diffusion.ipynb"
    while any(process.poll() is None for process in both):
        if copy.exists():
            json.loads(copy.read_text())
    assert [process.returncode for process in both] == [0, 0] and len(list(copy.parent.iterdir())) == 2


# --- sessions

@pytest.fixture
def sessions(project, monkeypatch, capsys):
    """Call `genlib run --sessions`, in which a notebook is only noted; `killed_at` kills the n-th."""
    def sessions(*arguments, killed_at=None):
        executed = []

        def noted(source, copy, results, parameters, progress):
            copy.write_text("")
            if len(executed) + 1 == killed_at:
                raise KeyboardInterrupt
            executed.append(copy.stem)
            (results / "tables").mkdir(exist_ok=True)
            (results / "tables" / "table1.md").write_text("")

        monkeypatch.setattr(execute, "execute", noted)
        try:
            status, out, err = call(capsys, "run", "--results", project / "results", *arguments)
        except KeyboardInterrupt:
            status, out, err = None, capsys.readouterr().out, ""
        return executed, status, out + err

    return sessions


ONE, TWO, THREE = (run.notebooks()[number] for number in (1, 2, 3))


def numbered(session, *names):
    return [f"{name}.session{session}" for name in names]


def test_each_session_begins_with_another_notebook_and_the_comparison_comes_once_at_the_end(sessions):
    executed, status, out = sessions("--sessions", "3")
    assert status == 0 and executed == [*numbered(1, ONE, TWO, THREE), *numbered(2, TWO, THREE, ONE), *numbered(3, THREE, ONE, TWO),
                                        run.COMPARISON]
    ended = re.findall(r"^session (\d) of 3: (\d)\S+ · \d+ s$", out, re.MULTILINE)
    assert ended[3:5] == [("2", "2"), ("2", "3")]


@pytest.mark.parametrize("killed_at", [1, 2, 5, 7])
def test_after_a_kill_the_same_command_goes_on_with_the_notebook_that_it_was_at(sessions, killed_at):
    whole = [*numbered(1, ONE, TWO, THREE), *numbered(2, TWO, THREE, ONE), run.COMPARISON]
    before, *_ = sessions("--sessions", "2", killed_at=killed_at)
    after, status, out = sessions("--sessions", "2")
    assert [*before, *after] == whole and status == 0
    assert (f"goes on where it was stopped, after {killed_at - 1} of 6 notebooks" in out) == (killed_at > 1)


def test_once_it_has_come_to_its_end_the_same_command_measures_more_sessions_beside_the_first(sessions):
    for first in 1, 3:
        executed, _, out = sessions("--sessions", "2", "--only", "1")
        assert executed == numbered(first, ONE) + numbered(first + 1, ONE) and f"session {first} of {first + 1}: " in out
    assert sessions("--only", "1")[0] == [ONE], "without the option as ever"


def test_sessions_that_were_stopped_are_not_gone_on_with_under_other_options_and_the_file_is_named(sessions, project):
    sessions("--sessions", "2", "--weights", "demo", killed_at=2)
    executed, status, out = sessions("--sessions", "3")
    file = project / "results" / "notebooks" / "sessions.json"
    assert status == 1 and executed == []
    assert f"{file} is of sessions that were stopped before their end, with sessions 2, weights demo" in out
    file.unlink()
    assert sessions("--sessions", "1", "--only", "1")[0] == numbered(2, ONE), "without it they begin anew, and no copy is overwritten"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asked": {}}', '{"asked": 1, "first": "x", "taken": null}', "\0"])
def test_a_damaged_note_of_what_is_finished_is_one_sentence(sessions, project, text):
    sessions("--sessions", "2", killed_at=2)
    (project / "results" / "notebooks" / "sessions.json").write_text(text)
    executed, status, out = sessions("--sessions", "2")
    assert status == 1 and executed == [] and "does not say what is finished" in out and "delete it to begin new sessions" in out


def test_two_commands_for_sessions_do_not_share_a_folder(sessions, monkeypatch):
    monkeypatch.setattr(run.turns, "hold", lambda folder: False)
    executed, status, out = sessions("--sessions", "2")
    assert status == 1 and executed == [] and "another `genlib run --sessions` is at work in" in out


def test_sessions_of_the_comparison_alone_are_refused(sessions, project):
    executed, status, out = sessions("--sessions", "2", "--only", "4")
    assert status == 1 and executed == [] and "--sessions is 2, but notebook 4 measures nothing" in out
    assert not (project / "results").exists()


def test_the_copies_of_several_sessions_stand_side_by_side(capsys, project):
    cells(project, ONE, "print('measured')")
    status, *_ = call(capsys, "run", "--only", "1", "--sessions", "2", "--results", project / "results")
    assert status == 0 and sorted(path.name for path in (project / "results" / "notebooks").iterdir()) == [
        f"{ONE}.session{session}.{kind}" for session in (1, 2) for kind in ("html", "ipynb")]
