"""What genlib.notebook does: results folder, missing runs, parameters, the project's address.

Colab is a stand-in for google.colab: Drive, download, upload, secrets.
"""
import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from saved_runs import save_run

from genlib import device, notebook, runs
from genlib.experiments import EXPERIMENTS, Experiment


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """google.colab with a Drive that appears where it is mounted, and a list of what was downloaded."""
    module = types.ModuleType("google.colab")
    module.downloads, module.mounts = [], []

    def mount(folder):
        module.mounts.append(folder)
        (Path(folder) / "MyDrive").mkdir(parents=True, exist_ok=True)

    module.drive = types.SimpleNamespace(mount=mount)
    module.files = types.SimpleNamespace(download=module.downloads.append,
                                         upload=lambda: {Path(path).name: Path(path).read_bytes() for path in module.downloads})
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setattr(notebook, "DRIVE", tmp_path / "drive")
    return module


def test_with_use_drive_the_runs_lie_on_drive_and_need_no_download(colab, tmp_path, capsys):
    results = notebook.results_folder(tmp_path / "results", use_drive=True)
    assert results == tmp_path / "drive" / "MyDrive" / "genlib" / "results" and results.is_dir()
    assert colab.mounts == [str(tmp_path / "drive")]
    notebook.take_along(results, use_drive=True)
    assert colab.downloads == [] and "on your Drive" in capsys.readouterr().out


def test_without_drive_nothing_is_mounted_and_elsewhere_use_drive_is_refused(colab, tmp_path, monkeypatch):
    assert notebook.results_folder(tmp_path / "results") == tmp_path / "results" and colab.mounts == []
    monkeypatch.delitem(sys.modules, "google.colab")
    with pytest.raises(ValueError, match="USE_DRIVE is on, but Google Drive is at hand on Colab only"):
        notebook.results_folder(tmp_path, use_drive=True)


def test_a_download_at_the_end_is_what_notebook_4_uploads_on_another_machine(colab, tmp_path, capsys):
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    run = save_run(results, "stable-diffusion", [1.0, 2.0])
    (run.folder / "iteration_1.png").write_bytes(b"\x89PNG")
    (results / "figures").mkdir()
    (results / "figures" / "bars.png").write_bytes(b"a figure, no run")
    notebook.take_along(results)
    assert colab.downloads == [str(tmp_path / "results.zip")] and "results.zip" in capsys.readouterr().out
    assert not any("bars" in name for name in zipfile.ZipFile(tmp_path / "results.zip").namelist())
    elsewhere.mkdir()
    notebook.upload(elsewhere)
    assert list(runs.load(elsewhere)["time_s"]) == [1.0, 2.0]
    assert len(list(elsewhere.rglob("iteration_1.png"))) == 1


def test_on_a_laptop_the_end_of_a_notebook_says_where_the_runs_lie_without_the_owners_name(tmp_path, monkeypatch, capsys):
    notebooks = tmp_path / "somebody" / "notebooks"
    notebooks.mkdir(parents=True)
    monkeypatch.setattr(notebook, "here", lambda: notebooks)
    for results, shown in (notebooks.parent / "results", "../results"), (notebooks / "a" / "b", "a/b"), (tmp_path / "results", "…/results"):
        notebook.take_along(results)
        assert f"the runs lie in {shown}: notebook 4" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.zip"))


def test_a_token_in_colabs_secrets_is_found_by_the_hubs_client():
    code = """
import builtins, sys, types
builtins.get_ipython = lambda: "<google.colab._shell.Shell>"
for name in "google", "google.colab", "google.colab.userdata", "google.colab.errors":
    sys.modules[name] = types.ModuleType(name)
sys.modules["google.colab"].userdata = sys.modules["google.colab.userdata"]
class Missing(Exception): pass
sys.modules["google.colab.errors"].Error = Missing
for name in "NotebookAccessError", "SecretNotFoundError", "TimeoutException":
    setattr(sys.modules["google.colab.userdata"], name, type(name, (Missing,), {}))
sys.modules["google.colab.userdata"].get = lambda name: {"HF_TOKEN": "hf_of_the_vault"}[name]
from huggingface_hub import get_token
print(get_token())
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment | {"HF_HOME": "/nowhere"})
    assert done.stdout.strip() == "hf_of_the_vault", done.stderr


@pytest.fixture
def commands(monkeypatch):
    """The command lines that would have been started, and what they print."""
    started = []

    class Process:
        returncode, stdout = 0, ["3_stylegan2_ada ... 12 s\n"]

        def __init__(self, command, **options):
            started.append((command, options))

        __enter__, __exit__ = lambda self: self, lambda self, *_: None

    monkeypatch.setattr(subprocess, "Popen", Process)
    return types.SimpleNamespace(started=started, process=Process)


def test_what_is_missing_is_run_in_processes_of_its_own_and_nothing_twice(tmp_path, commands, capsys):
    asked = dict(weights="demo", profile="tuned")
    save_run(tmp_path, "stable-diffusion", [1.0], **asked)
    save_run(tmp_path, "vae-round-trip", [1.0], variant="photograph", **asked)  # a side condition, not the experiment
    notebook.run_missing(tmp_path, "demo", "tuned")
    [(command, options)] = commands.started
    assert command[1:] == ["-m", "genlib", "run", "--only", "2,3", "--results", str(tmp_path), "--weights", "demo", "--profile", "tuned"]
    assert (options["cwd"] / "genlib" / "__main__.py").exists() and "12 s" in capsys.readouterr().out
    for experiment in "vae-as-in-thesis", "vae-round-trip", "stylegan2-ada":
        save_run(tmp_path, experiment, [1.0], **asked)
    notebook.run_missing(tmp_path, "auto", "tuned")
    assert len(commands.started) == 1 and "nothing is missing" in capsys.readouterr().out


def test_a_notebook_is_missing_while_one_of_its_experiments_is(tmp_path, commands, monkeypatch):
    added = [Experiment("made-up", label="Made up", notebook="5_made_up"), Experiment("by-hand", label="Measured without a notebook")]
    monkeypatch.setattr(notebook, "EXPERIMENTS", [*EXPERIMENTS, *added])
    for experiment in "stable-diffusion", "vae-round-trip", "stylegan2-ada":
        save_run(tmp_path, experiment, [1.0])
    notebook.run_missing(tmp_path)
    [(command, _)] = commands.started
    assert command[command.index("--only") + 1] == "2,5"


def test_runs_of_other_weights_or_of_another_profile_leave_it_missing(tmp_path, commands):
    for entry in EXPERIMENTS:
        save_run(tmp_path, entry.slug, [1.0], weights="demo", profile="thesis")
    for weights, profile in ("demo", "thesis"), ("auto", "thesis"), ("published", "thesis"), ("demo", "tuned"):
        notebook.run_missing(tmp_path, weights, profile)
    assert [command[command.index("--weights") + 1:] for command, _ in commands.started] == [
        ["published", "--profile", "thesis"], ["demo", "--profile", "tuned"]]


def test_a_notebook_that_runs_for_notebook_4_downloads_nothing(colab, tmp_path, commands, monkeypatch, capsys):
    notebook.run_missing(tmp_path / "MyDrive" / "my results")
    [(command, _)] = commands.started
    monkeypatch.setenv("GENLIB_RESULTS", command[command.index("--results") + 1])  # as in its kernel, where google.colab is at hand too
    results = notebook.results_folder("../results")
    notebook.take_along(results)
    assert results == tmp_path / "MyDrive" / "my results" and colab.downloads == [] and "the runs lie in" in capsys.readouterr().out


def test_an_upload_on_colab_lands_in_the_results_and_elsewhere_one_is_told_where_to_put_it(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="on Colab only: put the .zip"):
        notebook.upload(tmp_path)
    archive = tmp_path / "empty.zip"
    zipfile.ZipFile(archive, "w").close()
    module = types.ModuleType("google.colab")
    module.files = types.SimpleNamespace(upload=lambda: {"../r.zip": archive.read_bytes()})
    monkeypatch.setitem(sys.modules, "google.colab", module)
    notebook.upload(tmp_path)
    assert (tmp_path / "r.zip").read_bytes() == archive.read_bytes()


def archive_of(text):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("run.json", text)
    return data.getvalue()


def uploaded(colab, folder, files):
    """The archives that lie in the folder after the user has chosen these files."""
    colab.files.upload = lambda: files
    notebook.upload(folder)
    return sorted(path.name for path in folder.iterdir())


def test_archives_of_one_name_are_all_kept_and_the_same_one_once(colab, tmp_path):
    """Drive splits a folder into several; notebooks 1 to 3 each download a results.zip."""
    drive = {f"results-20261126T101010Z-00{number}.zip": archive_of(str(number)) for number in (1, 2)}
    assert uploaded(colab, tmp_path, drive) == sorted(drive)
    for text in "abca":
        there = uploaded(colab, tmp_path, {"results.zip": archive_of(text)})
    assert len(there) == 5 and {(tmp_path / name).read_bytes() for name in there} == {archive_of(text) for text in "12abc"}


@pytest.mark.parametrize("name, kept", [
    ("/etc/cron.d/x.zip", "x.zip"), ("..\\..\\x.zip", "x.zip"), ("..", "upload.zip"), (".zip", "upload.zip"), ("", "upload.zip"),
    ("results", "results.zip"), ("a\nb\x1b[31m.zip", "a_b__31m.zip"), (".hidden.zip", "hidden.zip"),
    ("результати (1).zip", "результати (1).zip"), ("x" * 300 + ".zip", "x" * 80 + ".zip")])
def test_an_upload_is_kept_under_a_plain_name_within_the_results(colab, tmp_path, name, kept):
    assert uploaded(colab, tmp_path, {name: archive_of("")}) == [kept]


def test_an_upload_in_the_place_of_a_link_leaves_alone_what_it_points_to(colab, tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "r.zip").symlink_to(tmp_path / "precious")
    there = uploaded(colab, tmp_path / "results", {"r.zip": archive_of("")})
    assert len(there) == 2 and (tmp_path / "precious").read_text() == "mine"


def test_an_upload_of_other_files_is_said_and_left_out(colab, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    colab.downloads.append(tmp_path / "thesis.docx.txt")
    (tmp_path / "thesis.docx.txt").write_text("no archive")
    notebook.upload(tmp_path / "results")
    assert "'thesis.docx.txt' is not a .zip" in capsys.readouterr().out and not list((tmp_path / "results").iterdir())


def test_if_that_fails_its_own_last_line_is_the_reason(tmp_path, commands):
    commands.process.returncode, commands.process.stdout = 1, ["1_stable_diffusion ... failed\n", "genlib: no memory\n"]
    with pytest.raises(RuntimeError, match="did not come to their end: genlib: no memory"):
        notebook.run_missing(tmp_path)


def test_what_it_prints_is_passed_on_whatever_its_encoding_and_without_paths(tmp_path, monkeypatch, capsys):
    results = tmp_path / "somebody" / "results"
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\nprintf 'runs \\377 {results}/<machine> — ґ\\n'; printf 'genlib: {results} is full'; exit 1")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(RuntimeError, match="did not come to their end: genlib: results is full"):
        notebook.run_missing(results)
    assert "runs \ufffd results/<machine> — ґ\n" in capsys.readouterr().out


def test_a_drive_that_is_unmounted_is_said_so(tmp_path):
    run = save_run(tmp_path / "drive", "e", [1.0])
    run.folder.rename(tmp_path / "gone")
    shutil.rmtree(tmp_path / "drive")
    with pytest.raises(OSError, match="the folder is no longer there .*mount the drive again"):
        run.save()
    with pytest.raises(OSError, match="the folder is no longer there .*mount the drive again"):
        save_run(tmp_path / "drive", "e", [1.0], variant="the next condition")
    assert not (tmp_path / "drive").exists(), "an empty folder made in its place could not be mounted over"
    with pytest.raises(OSError, match="the folder is no longer there"):
        run.save_images([Image.new("RGB", (2, 2))], "iteration_1")
    assert runs.read(tmp_path / "gone" / "run.json").iterations[0].time_s == 1.0


def test_the_environment_chooses_the_results_folder_and_a_folder_that_cannot_be_made_is_said(monkeypatch, tmp_path):
    assert notebook.results_folder(str(tmp_path / "a")) == tmp_path / "a"
    monkeypatch.setenv("GENLIB_RESULTS", str(tmp_path / "b"))
    assert notebook.results_folder(str(tmp_path / "a")) == tmp_path / "b" and (tmp_path / "b").is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENLIB_RESULTS", str(tmp_path / "file" / "c"))
    with pytest.raises(OSError, match="cannot be made .* choose another"):
        notebook.results_folder("x")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A checkout with its notebooks folder."""
    folder = tmp_path / "project"
    (folder / "notebooks" / "reference").mkdir(parents=True)
    (folder / "notebooks" / "1_x.ipynb").write_text("{}")
    monkeypatch.setattr(notebook, "PROJECT", folder)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return folder


@pytest.mark.parametrize("place", ["project/notebooks", "project", "elsewhere", "."])
def test_the_projects_notebooks_mean_the_same_folders_wherever_their_kernel_starts(tmp_path, project, monkeypatch, place):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / place)
    assert notebook.results_folder("../results") == project / "results"
    assert notebook.reference_folder("reference") == project / "notebooks" / "reference"
    monkeypatch.setenv("GENLIB_RESULTS", "../of the variable")
    assert notebook.results_folder("../results") == project / "of the variable"


@pytest.mark.parametrize("program", ["VS Code", "Jupyter"])
def test_a_copy_elsewhere_means_its_own_folders_if_the_program_says_which_file_it_is(tmp_path, project, monkeypatch, program):
    copy = tmp_path / "thesis" / "my copy.ipynb"
    copy.parent.mkdir()
    copy.write_text("{}")
    monkeypatch.chdir(project)
    if program == "Jupyter":
        monkeypatch.setenv("JPY_SESSION_NAME", str(copy))
    else:
        monkeypatch.setattr(sys.modules["__main__"], "__vsc_ipynb_file__", str(copy), raising=False)
    assert notebook.results_folder("results") == tmp_path / "thesis" / "results"
    assert notebook.reference_folder("reference") == project / "notebooks" / "reference", "which it has not copied"
    copy.unlink()
    assert notebook.here() == project / "notebooks", "a name of a file that is not here says nothing"


def test_an_installed_package_takes_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "PROJECT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert notebook.results_folder("results") == tmp_path / "results"


def test_a_reference_that_is_not_there_is_a_line_and_none_at_all_is_nothing(project, capsys):
    assert notebook.reference_folder("") is None and capsys.readouterr().out == ""
    assert notebook.reference_folder("no/such") is None and "no/such is not here" in capsys.readouterr().out


def test_a_package_that_does_not_tell_its_version_is_left_out_where_the_machine_is_introduced(monkeypatch, capsys):
    machine = runs.Machine("cpu", "A CPU", ram_bytes=2**30, python="3.12.1", packages={"torch": "2.11"})
    monkeypatch.setattr(device, "describe", lambda: machine)
    notebook.introduce()
    assert capsys.readouterr().out == "A CPU (1 GiB RAM) · Python 3.12.1 · torch 2.11\n"


def test_what_a_notebook_needs_is_installed_and_what_cannot_be_is_said(monkeypatch, capsys):
    called = []
    monkeypatch.setattr(notebook, "find_spec", lambda module: module == "babel" or None)

    def pip(command):
        called.append(command[2:])
        return types.SimpleNamespace(returncode="python-docx" in command)

    monkeypatch.setattr(subprocess, "run", pip)
    notebook.install_missing()
    assert called == [["pip", "install", "-q", name] for name in ("GPUtil", "python-docx")]
    assert capsys.readouterr().out.startswith("python-docx could not be installed")
    notebook.install_missing(for_chapter=True)
    assert called[-1] == ["pip", "install", "-q", "pypandoc_binary"] and len(called) == 5


def test_the_address_is_written_everywhere_at_once(monkeypatch, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project.urls]\n# Repository = "https://github.com/OWNER/NAME"\n')
    (tmp_path / "README.md").write_text(f"[badge]({notebook.COLAB}OWNER/NAME/blob/main/notebooks/1.ipynb)")
    cell = nbformat.v4.new_code_cell('import os\nREPOSITORY = ""  # comment')
    badge = nbformat.v4.new_markdown_cell(f"[badge]({notebook.COLAB}OWNER/NAME/blob/main/notebooks/1.ipynb)")
    nbformat.write(nbformat.v4.new_notebook(cells=[badge, cell]), tmp_path / "notebooks" / "1.ipynb")
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    for address in "some/project", "other/name-2.0":
        notebook.write_address(address)
        urls = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]["urls"]
        assert urls == {"Repository": f"https://github.com/{address}"}
        assert f"{address}/blob" in (tmp_path / "README.md").read_text()
        written = json.loads((tmp_path / "notebooks" / "1.ipynb").read_text())
        assert f"{address}/blob" in "".join(written["cells"][0]["source"])
        assert f'REPOSITORY = "{address}"  # comment' in "".join(written["cells"][1]["source"])
    for wrong in "just-a-name", "../..", "owner/..", "owner/name/more", "owner/na me", 'owner/"x', "https://github.com/owner/name", "":
        with pytest.raises(SystemExit, match="owner/name"):
            notebook.write_address(wrong)


def parameters_cell(project, source):
    (project / "notebooks").mkdir(exist_ok=True)
    cells = [nbformat.v4.new_code_cell("STEPS = 1"), nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), project / "notebooks" / "1_x.ipynb")


def test_a_notebooks_parameters_are_read_from_its_cell_and_none_where_there_is_no_notebook(tmp_path, monkeypatch):
    assert notebook.parameters("1_stable_diffusion")["STEPS"] == 50
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    assert notebook.parameters("1_x") == {}
    parameters_cell(tmp_path, '#@title Parameters\nSTEPS = 50  #@param {type: "integer"}\nTRIED = [0.2, 1]\nNAME = ""')
    assert notebook.parameters("1_x") == dict(STEPS=50, TRIED=[0.2, 1], NAME="")


def test_a_parameter_that_is_no_literal_is_there_without_a_value(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    parameters_cell(tmp_path, "STEPS: int = 5\nTRIED = [n / 10 for n in range(3)]\nprint(1)")
    assert notebook.parameters("1_x") == dict(STEPS=5, TRIED=None)


@pytest.mark.parametrize("source", ["STEPS =", "(STEPS = 5"])
def test_a_cell_of_parameters_that_cannot_be_read_is_one_sentence_with_the_remedy(tmp_path, monkeypatch, source):
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    parameters_cell(tmp_path, source)
    with pytest.raises(ValueError, match="the parameters of .*1_x.ipynb cannot be read .*lines as in STEPS = 50"):
        notebook.parameters("1_x")
