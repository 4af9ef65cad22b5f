"""What genlib.notebook does: results folder, missing runs, parameters, the project's address.

Colab is a stand-in for google.colab: Drive, download, upload, secrets.
"""
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

from genlib import notebook, runs
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


def test_on_a_laptop_the_end_of_a_notebook_says_where_the_runs_lie(tmp_path, capsys):
    notebook.take_along(tmp_path)
    assert f"the runs lie in {tmp_path}" in capsys.readouterr().out and not list(tmp_path.parent.glob("*.zip"))


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
    [(_, options)] = commands.started
    monkeypatch.setenv("GENLIB_RESULTS", options["env"]["GENLIB_RESULTS"])  # as in its kernel, where google.colab is at hand too
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


def test_an_upload_of_other_files_is_said_and_left_out(colab, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    colab.downloads.append(tmp_path / "thesis.docx.txt")
    (tmp_path / "thesis.docx.txt").write_text("no archive")
    notebook.upload(tmp_path / "results")
    assert "thesis.docx.txt is not a .zip" in capsys.readouterr().out and not list((tmp_path / "results").iterdir())


def test_if_that_fails_its_own_last_line_is_the_reason(tmp_path, commands):
    commands.process.returncode, commands.process.stdout = 1, ["1_stable_diffusion ... failed\n", "genlib: no memory\n"]
    with pytest.raises(RuntimeError, match="did not come to their end: genlib: no memory"):
        notebook.run_missing(tmp_path)


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
    with pytest.raises(OSError, match="cannot be made .* choose another RESULTS"):
        notebook.results_folder("x")


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
    with pytest.raises(SystemExit, match="owner/name"):
        notebook.write_address("just-a-name")


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
