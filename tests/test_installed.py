"""The package as pip installs it: what is in the wheel, and its commands far from the project's folder."""
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from saved_runs import save_run

PROJECT = Path(__file__).resolve().parent.parent
UNSTABLE = shutil.ignore_patterns("__pycache__")  # which other processes write to


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy, since building leaves folders behind, with an address and one more language."""
    copy = tmp_path_factory.mktemp("copy")
    for name in "genlib", "pyproject.toml", "README.md", "LICENSE":
        source = PROJECT / name
        shutil.copytree(source, copy / name, ignore=UNSTABLE) if source.is_dir() else shutil.copy(source, copy / name)
    pyproject = (copy / "pyproject.toml").read_text()
    (copy / "pyproject.toml").write_text(pyproject.replace("# Repository = ", "Repository = ").replace("OWNER/NAME", "some/project"))
    catalogue = copy / "genlib" / "locale" / "eo" / "LC_MESSAGES" / "genlib.po"
    catalogue.parent.mkdir(parents=True)
    catalogue.write_text("")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", copy / "out", copy],
                   check=True, capture_output=True)
    [wheel] = (copy / "out").glob("*.whl")
    return wheel


def test_the_wheel_has_the_demo_weights_and_the_languages_and_neither_training_nor_tests_nor_notebooks(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    demo = {str(path.relative_to(PROJECT)) for path in (PROJECT / "genlib" / "models" / "demo").rglob("*")
            if path.is_file() and path.suffix != ".png"}
    languages = {str(path.relative_to(PROJECT)) for path in (PROJECT / "genlib" / "locale").rglob("*.po")}
    assert demo <= set(names) and any(name.endswith(".safetensors") for name in demo)
    templates = {"genlib/locale/en/chapter.md", "genlib/locale/uk/chapter.md"}
    assert languages | templates | {"genlib/locale/eo/LC_MESSAGES/genlib.po"} <= set(names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"genlib"}, "nothing beside the package and its metadata"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A new environment with the wheel in it. The packages that it needs are borrowed, not downloaded."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", f"--python={python}", "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    find = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip())
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def call(environment, *arguments, at):
    """Run the environment's genlib, or `python -m genlib` if the arguments begin so, in the folder `at`."""
    program = [environment / "bin" / "python", "-I", *arguments] if arguments[0] == "-m" else [environment / "bin" / "genlib", *arguments]
    return subprocess.run(list(map(str, program)), cwd=at, capture_output=True, text=True)


def test_pip_installs_a_command_that_says_and_does_the_same_as_python_m(installed, tmp_path):
    where = subprocess.run([installed / "bin" / "python", "-c", "import genlib; print(genlib.__file__)"], cwd=tmp_path,
                           capture_output=True, text=True)
    assert where.stdout.startswith(str(installed)), "not the project's folder"
    by_name, by_python = call(installed, "--help", at=tmp_path), call(installed, "-m", "genlib", "--help", at=tmp_path)
    assert by_name.returncode == by_python.returncode == 0
    assert by_name.stdout.startswith("usage: genlib [-h] COMMAND")
    assert by_name.stdout == by_python.stdout.replace("python -m genlib", "genlib")
    for arguments in ["table", "nowhere"], ["table"], ["run", "--steps", "0"]:
        by_name, by_python = call(installed, *arguments, at=tmp_path), call(installed, "-m", "genlib", *arguments, at=tmp_path)
        assert by_name.returncode == by_python.returncode != 0
        assert by_name.stderr.split() == by_python.stderr.replace("python -m genlib", "genlib").split()
        assert "Traceback" not in by_name.stderr


def test_the_installed_command_makes_tables_and_documents_and_says_in_a_line_what_it_skips(installed, tmp_path):
    save_run(tmp_path / "results", "stable-diffusion", [1.0, 2.0])
    broken = tmp_path / "results" / "tesla-t4" / "broken" / "run.json"
    broken.parent.mkdir()
    broken.write_text("{")
    done = call(installed, "table", "results", "--format", "md", at=tmp_path)
    assert done.returncode == 0 and "Stable Diffusion" in done.stdout, done.stderr
    assert "Stable Diffusion" in (tmp_path / "results" / "tables" / "table1.md").read_text(encoding="utf-8")
    written = call(installed, "report", "results", "--language", "uk", "--only", "results", at=tmp_path)
    assert written.returncode == 0 and (tmp_path / "results" / "chapter" / "chapter.docx").exists(), written.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("genlib: skipped ") and "broken" in line, "a warning without its line of source"


def test_the_installed_command_says_where_the_notebooks_are(installed, tmp_path):
    done = call(installed, "run", at=tmp_path)
    assert done.returncode == 1 and not list(tmp_path.iterdir())
    assert done.stderr == ("genlib: the notebooks are not part of the installed package: clone or download the project from "
                           "https://github.com/some/project, and run `python -m genlib run` in its folder\n")


@pytest.mark.slow
def test_the_installed_command_draws_with_the_demo_weights_and_examines_the_machine(installed, tmp_path):
    done = call(installed, "generate", "--model", "stylegan2", "--weights", "demo", "--seeds", "0-1", "--out", "faces", at=tmp_path)
    assert done.returncode == 0 and len(list((tmp_path / "faces").rglob("*.png"))) == 2, done.stderr
    done = call(installed, "doctor", at=tmp_path)
    assert done.returncode == 0 and "1 stable-diffusion" in done.stdout, done.stderr
