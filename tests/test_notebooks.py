"""What holds for every committed notebook, and proof that the notebook checks can fail."""
import ast
import copy
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from saved_runs import save_run

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
BADGE = re.compile(r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/blob/main/notebooks/([\w.]+)")
SET_UP = next(cell.source for cell in nbformat.read(NOTEBOOKS[0], as_version=4).cells if cell.source.startswith("#@title Set-up"))
COMPARED = "nbval-check-output"
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(home|root|Users|tmp|work|content|mnt)/\w")


def tags(cell):
    return cell.metadata.get("tags", [])


def faults(notebook) -> list[str]:
    """Everything that is wrong with a notebook, in words."""
    ids = [cell.id for cell in notebook.cells]
    found = ["two cells have one id"] * (len(set(ids)) < len(ids))
    nbformat.validate(notebook)  # which gives one of them another
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    compared = [cell for cell in code if COMPARED in tags(cell)]
    if len(compared) < 2:
        found.append(f"{len(compared)} compared cells")
    found += [f"{cell.id}: compared, but has no output" for cell in compared if not cell.outputs]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("the execution counts are not 1, 2, 3 ...: nbval skips a cell without one")
    found += [f"{cell.id}: more than 15 lines" for cell in code if len(cell.source.splitlines()) > 15]
    found += [f"{cell.id}: an error as output" for cell in code for output in cell.outputs if output.output_type == "error"]
    found += [f"{cell.id}: a warning as output" for cell in code for output in cell.outputs
              if output.get("name") == "stderr" and "Warning" in output.text]
    found += [f"{cell.id}: progress as output" for cell in code for output in cell.outputs
              if "\r" in output.get("text", "") or "application/vnd.jupyter.widget-view+json" in output.get("data", {})]
    found += [f"{cell.id}: over 1 MB of output" for cell in code if len(str(cell.outputs)) > 1e6]
    found += [f"{cell.id}: a path of a machine" for cell in notebook.cells
              if MACHINE_PATH.search(cell.source + str(cell.get("outputs", "")))]
    parameters = [cell for cell in code if "parameters" in tags(cell)]
    if len(parameters) != 1:
        found.append(f"{len(parameters)} cells are tagged parameters")
    for cell in parameters:
        for statement in ast.parse(cell.source).body:
            if not isinstance(statement, ast.Assign):
                found.append(f"parameters: {ast.unparse(statement)} is no plain assignment")
            else:
                ast.literal_eval(statement.value)
    if set(notebook.metadata) - {"accelerator", "colab", "kernelspec", "language_info"}:
        found.append(f"metadata {sorted(notebook.metadata)}")
    found += [f"{cell.id}: metadata {sorted(cell.metadata)}" for cell in notebook.cells if set(cell.metadata) - {"tags"}]
    if notebook.metadata.get("accelerator") != "GPU" or notebook.metadata.colab.get("gpuType") != "T4":
        found.append("the metadata asks Colab for no T4")
    if set(notebook.metadata.colab) - {"gpuType", "provenance"} or notebook.metadata.colab.get("provenance"):
        found.append(f"metadata of somebody's Colab {dict(notebook.metadata.colab)}")
    return found


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_four():
    assert [path.stem for path in NOTEBOOKS] == ["1_stable_diffusion", "2_vae_round_trip", "3_stylegan2_ada", "4_comparison"]


def test_a_committed_notebook_has_no_fault(notebook):
    assert faults(notebook) == []


@pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId")
@pytest.mark.parametrize("spoil, complaint", [
    (lambda cell: cell.update(execution_count=None), "execution counts"),
    (lambda cell: cell.metadata.update(tags=[]), "compared cells"),
    (lambda cell: cell.update(outputs=[]), "has no output"),
    (lambda cell: cell.update(source="x = 1\n" * 16), "more than 15 lines"),
    (lambda cell: cell.update(id="title"), "two cells have one id"),
    (lambda cell: cell.metadata.update(executionInfo={"user": {"displayName": "somebody"}}), "metadata"),
    (lambda cell: cell.update(source="open('/home/me/x')"), "a path of a machine"),
    (lambda cell: cell.update(outputs=[nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]), "an error as output"),
    (lambda cell: cell.update(outputs=[nbformat.v4.new_output("stream", text="\r 1 of 5")]), "progress as output"),
    (lambda cell: cell.update(outputs=[nbformat.v4.new_output(
        "display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}})]), "progress as output"),
])
def test_a_spoilt_copy_of_a_notebook_has_one(notebook, spoil, complaint):
    spoilt = copy.deepcopy(notebook)
    compared = [cell for cell in spoilt.cells if COMPARED in tags(cell)]
    for cell in compared[1:] if complaint == "compared cells" else compared[:1]:
        spoil(cell)
    assert any(complaint in fault for fault in faults(spoilt))


@pytest.mark.parametrize("colab", [dict(authorship_tag="ABX9TyN"), dict(provenance=[{"file_id": "1aB", "timestamp": 1}])])
def test_what_colab_writes_of_a_person_is_a_fault(notebook, colab):
    notebook.metadata.colab.update(colab)
    assert any("somebody's Colab" in fault for fault in faults(notebook))


def test_the_set_up_cell_is_the_same_everywhere():
    cells = {next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.id == "set-up") for path in NOTEBOOKS}
    assert len(cells) == 1


def test_the_address_in_badges_and_cells_is_the_one_in_pyproject():
    urls = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["urls"]
    address = urls.get("Repository", "https://github.com/OWNER/NAME").removeprefix("https://github.com/")
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        assert BADGE.findall(text) == [(address, path.name)]
        assert re.findall(r'REPOSITORY = \\"([^\\]*)\\"', text) == ["" if address == "OWNER/NAME" else address]
    assert BADGE.findall((PROJECT / "README.md").read_text(encoding="utf-8")) == [(address, path.name) for path in NOTEBOOKS]


@pytest.fixture(scope="module")
def nbval(tmp_path_factory):
    """What nbval says of cells that print 2, by their committed output and count, compared or not."""
    kinds = [("2", 1, True), ("3", 2, True), ("2", None, True), ("3", 3, False), (None, None, False)]
    cells = [nbformat.v4.new_code_cell("print(1 + 1)", execution_count=count, metadata={"tags": [COMPARED] if compared else []},
                                       outputs=[nbformat.v4.new_output("stream", text=f"{output}\n")] if output else [])
             for output, count, compared in kinds]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    folder = tmp_path_factory.mktemp("nbval")
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "n.ipynb")
    command = [sys.executable, "-m", "pytest", "-rA", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "n.ipynb"]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    said = re.findall(r"^(PASSED|FAILED) n\.ipynb::Cell (\d)", answer.stdout, re.MULTILINE)
    said = [word for word, _ in sorted(said, key=lambda pair: pair[1])]
    assert len(said) == len(kinds), answer.stdout + answer.stderr
    return dict(zip(kinds, said, strict=True))


def test_nbval_fails_a_wrong_committed_output_and_one_without_a_count(nbval):
    assert nbval["2", 1, True] == "PASSED"
    assert nbval["3", 2, True] == "FAILED"
    assert nbval["2", None, True] == "FAILED"


def test_what_nbval_lets_through_is_what_the_checks_above_are_for(nbval):
    assert nbval["3", 3, False] == "PASSED", "a wrong output without the tag"
    assert nbval[None, None, False] == "PASSED", "a stripped notebook"


def set_up(folder, repository="", after="", times=1, path=()):
    """Run the set-up cell as a kernel does, with its folder on the path, but without a network."""
    cell = re.sub(r'(REPOSITORY = ")[^"]*', rf"\g<1>{repository}", SET_UP)
    code = f"import sys\nsys.path[:0] = {['', *map(str, path)]}\nfor _ in range({times}):\n  exec({cell!r})\n{after}"
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=folder, capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "https_proxy": "http://localhost:9"})


FOUND = "import genlib, os\nassert genlib.here and os.path.exists('1_stable_diffusion.ipynb')"
PROJECTS_OWN = {"genlib/__init__.py": "here = True", "notebooks/1_stable_diffusion.ipynb": "{}", "pyproject.toml": "[project]",
                "notebooks/reference/thesis/e/w/t/run.json": "{}"}
RUN = {"tesla-t4/e/w/t/run.json": "{}"}


def write_zip(path, files, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{top}{name}", text)


def write_folder(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("repository", ["", "some/project"], ids=["without an address", "with one, offline"])
@pytest.mark.parametrize("name, top_folder", [
    ("project", "genlib-main/"), ("project", ""), ("genlib", "genlib-main/"), ("genlib", "genlib/"), ("genlib-main (1)", "genlib-main/"),
    ("genlib [1]", "genlib-main/"), ("genlib-main", "genlib-main/genlib-main/")])  # the last as Windows packs what it has unpacked
def test_the_set_up_cell_takes_the_project_from_a_zip_twice_and_in_a_kernel_started_anew(tmp_path, name, top_folder, repository):
    (tmp_path / "results.zip").write_bytes(b"half an upload")
    write_zip(tmp_path / f"{name}.zip", PROJECTS_OWN, top_folder)
    for _ in range(2):
        done = set_up(tmp_path, repository, FOUND, times=2)
        assert done.returncode == 0, done.stderr


def test_the_set_up_cell_takes_a_zip_of_this_project_with_the_runs_that_come_with_it(tmp_path):
    folders = [PROJECT / name for name in ("genlib", "notebooks", "tests")]
    own = {path.relative_to(PROJECT).as_posix(): "" for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert sum(name.endswith("/run.json") for name in own) > 20
    write_zip(tmp_path / "genlib-main.zip", own | PROJECTS_OWN, "genlib-main/")
    done = set_up(tmp_path, "", FOUND)
    assert done.returncode == 0, done.stderr


def test_on_kaggle_the_project_is_found_in_a_data_set_that_can_only_be_read(tmp_path):
    (tmp_path / "working").mkdir()
    write_folder(tmp_path / "input" / "some-results", PACKAGE | COPY | RUN)
    write_folder(tmp_path / "input" / "genlib" / "genlib-main", PROJECTS_OWN)
    done = set_up(tmp_path / "working", "", FOUND)
    assert done.returncode == 0, done.stderr


def test_a_clone_named_genlib_is_found_by_a_kernel_started_anew(tmp_path):
    """The folder of that name is no package, though Python would import it as one without contents."""
    write_folder(tmp_path / "genlib", PROJECTS_OWN)
    done = set_up(tmp_path, "some/genlib", FOUND)
    assert done.returncode == 0, done.stderr


def test_a_clone_in_which_runs_lie_by_now_is_found_again(tmp_path):
    write_folder(tmp_path / "project", PROJECTS_OWN | {f"results/{name}": text for name, text in RUN.items()})
    assert set_up(tmp_path, "", FOUND).returncode == 0


@pytest.mark.parametrize("repository", ["", "some/project"])
def test_the_set_up_cell_says_what_to_upload_where_there_is_nothing(tmp_path, repository):
    done = set_up(tmp_path, repository)
    assert done.returncode and "upload a zip of the project" in done.stderr and "CalledProcessError" not in done.stderr


PACKAGE, COPY = {"genlib/__init__.py": "open('RAN', 'w')\nhere = False"}, {"notebooks/1_stable_diffusion.ipynb": "{}"}
STRANGERS = {
    "a package": PACKAGE | RUN, "a package without runs": PACKAGE, "a package and copies": PACKAGE | COPY | RUN,
    "all of a project, and runs": PROJECTS_OWN | PACKAGE | RUN, "the same, by Windows": PROJECTS_OWN | PACKAGE | {"a\\run.json": "{}"}}


@pytest.mark.parametrize("files", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("top", ["", "results/", "genlib-main/"])
def test_an_archive_of_results_runs_nothing_is_not_unpacked_and_stops_neither_an_archive_of_the_project_nor_a_clone(tmp_path, files, top):
    write_zip(tmp_path / "results.zip", files, top)
    done = set_up(tmp_path, "some/project", "import genlib")
    assert "genlib is not here" in done.stderr and os.listdir(tmp_path) == ["results.zip"]
    assert "unable to access 'https://github.com/some/project/'" in done.stderr, "the clone was tried"
    write_zip(tmp_path / "project.zip", PROJECTS_OWN, "genlib-main/")
    done = set_up(tmp_path, "", FOUND)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["project.zip", "project.zip-unpacked", "results.zip"]


@pytest.mark.parametrize("files", [PACKAGE, PACKAGE | COPY | RUN, PROJECTS_OWN | PACKAGE | RUN], ids=["a package", "copies", "all"])
@pytest.mark.parametrize("place", [".", "results", "results[1]"])
def test_a_folder_of_results_that_lies_there_is_not_imported(tmp_path, files, place):
    write_folder(tmp_path / place, files)
    done = set_up(tmp_path)
    assert "genlib is not here" in done.stderr
    write_zip(tmp_path / "project.zip", PROJECTS_OWN)
    done = set_up(tmp_path, "", FOUND)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("RAN"))


def test_an_executed_copy_among_the_results_does_not_import_a_package_beside_it(tmp_path):
    write_folder(tmp_path / "results", PACKAGE | COPY | RUN)
    write_folder(tmp_path / "packages", {"genlib/__init__.py": "here = True"})
    done = set_up(tmp_path / "results" / "notebooks", "", FOUND, path=[tmp_path / "packages"])
    assert done.returncode == 0, done.stderr


def test_two_archives_of_the_project_or_one_beside_a_clone_are_an_error_that_names_both(tmp_path):
    for name in "first.zip", "second.zip":
        write_zip(tmp_path / name, PROJECTS_OWN, "genlib-main/")
    done = set_up(tmp_path)
    assert done.returncode and "first.zip" in done.stderr and "second.zip" in done.stderr and "only one" in done.stderr
    (tmp_path / "second.zip").unlink()
    (tmp_path / "second.zip-unpacked").rename(tmp_path / "clone")
    done = set_up(tmp_path)
    assert done.returncode and "first.zip" in done.stderr and "clone/" in done.stderr


def test_members_of_the_projects_archive_land_within_its_folder_and_links_become_files(tmp_path):
    folder = tmp_path / "content"
    folder.mkdir()
    write_zip(folder / "project.zip", PROJECTS_OWN | {"../../above": "", "/absolute": "", "genlib/../../../up": ""}, "genlib-main/")
    with zipfile.ZipFile(folder / "project.zip", "a") as archive:
        link = zipfile.ZipInfo("genlib-main/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    done = set_up(folder, "", FOUND)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path) == ["content"] and sorted(os.listdir(folder)) == ["project.zip", "project.zip-unpacked"]
    assert not any(path.is_symlink() for path in tmp_path.rglob("*")) and not Path("/absolute").exists()


def damaged(path):
    write_zip(path, RUN)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02")] = 0
    path.write_bytes(data)


def test_a_zip_of_the_project_with_a_damaged_file_is_not_imported_by_halves(tmp_path):
    write_zip(tmp_path / "project.zip", PROJECTS_OWN | {"genlib/large.py": "x = 1\n" * 99}, "genlib-main/")
    data = (tmp_path / "project.zip").read_bytes()
    (tmp_path / "project.zip").write_bytes(data.replace(b"x = 1", b"x = 2", 1))
    for _ in range(2):
        done = set_up(tmp_path)
        assert "genlib is not here: upload a zip of the project, whole" in done.stderr and os.listdir(tmp_path) == ["project.zip"]


@pytest.mark.parametrize("make", [damaged, os.mkdir, getattr(os, "mkfifo", os.mkdir), Path.touch, lambda path: path.symlink_to("nowhere")],
                         ids=["a damaged list", "a folder", "a pipe", "empty", "a link to nothing"])
def test_what_is_called_zip_and_is_none_does_no_harm(tmp_path, make):
    make(tmp_path / "a.zip")
    write_zip(tmp_path / "project.zip", PROJECTS_OWN)
    done = set_up(tmp_path, "", FOUND)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("place", [".", "notebooks"])
def test_a_kernel_started_in_the_projects_folder_or_among_its_notebooks_takes_that_project(tmp_path, place):
    write_folder(tmp_path / "project", PROJECTS_OWN)
    write_folder(tmp_path, PACKAGE)
    done = set_up(tmp_path / "project" / place, "", "import genlib\nassert genlib.here", path=[tmp_path])
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_notebook_4_finds_results_and_reference_wherever_its_kernel_starts(tmp_path, monkeypatch):
    for name in "genlib", "notebooks":
        shutil.copytree(PROJECT / name, tmp_path / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path / "project")
    (tmp_path / "elsewhere").mkdir()
    save_run(tmp_path / "project" / "results", "stable-diffusion", [1.0, 2.0], machine="mine")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "project"))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    said = {}
    for place in "project/notebooks", "project", "elsewhere":
        notebook = nbformat.read(tmp_path / "project" / "notebooks" / "4_comparison.ipynb", as_version=4)
        last = next(place for place, cell in enumerate(notebook.cells) if "beside_thesis" in cell.source)
        notebook.cells = notebook.cells[:last + 1] + [nbformat.v4.new_code_cell("print(results, reference)")]
        NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path / place)}}, record_timing=False).execute()
        said[place] = [output.get("text") or output.data for cell in notebook.cells for output in cell.get("outputs", [])]
    assert said["project"] == said["elsewhere"] == said["project/notebooks"]
    assert said["project"][-1] == f"{tmp_path / 'project' / 'results'} {tmp_path / 'project' / 'notebooks' / 'reference'}\n"
    assert not (tmp_path / "results").exists() and "nan" not in str(said["project"]).lower()
