"""What several files of the project must agree on."""
import ast
import re
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
PINNED = {}
for line in (PROJECT / "requirements.txt").read_text().splitlines():
    if line and not line.startswith("#"):
        requirement = Requirement(line.split("#")[0])
        PINNED[requirement.name.lower().replace("_", "-")] = str(requirement.specifier).removeprefix("==")
COLAB = {  # the GPU image's versions, 2026-08
    "torch": "2.11.0", "diffusers": "0.39.0", "transformers": "5.15.0", "accelerate": "1.14.0", "huggingface-hub": "1.27.0",
    "safetensors": "0.8.0", "numpy": "2.1.3", "scipy": "1.16.3", "pandas": "2.2.3", "matplotlib": "3.10.0", "pillow": "11.3.0",
    "psutil": "5.9.5", "nvidia-ml-py": "13.610.43", "scikit-image": "0.25.2", "jinja2": "3.1.6"}


def ranges():
    return {r.name.lower().replace("_", "-"): r.specifier for r in map(Requirement, PYPROJECT["project"]["dependencies"])}


def test_every_dependency_of_the_package_is_pinned_within_its_range():
    for name, specifier in ranges().items():
        assert name in PINNED and Version(PINNED[name]) in specifier, name


def test_colabs_versions_satisfy_the_ranges():
    for name, version in COLAB.items():
        assert Version(version) in ranges()[name], name


def locked(name):
    lines = (PROJECT / "tests" / f"{name}.txt").read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))


def test_the_environment_of_test_colab_has_colabs_versions_but_for_torch():
    there = locked("colab")
    assert {name: there[name] for name in COLAB if name != "torch"} == {name: version for name, version in COLAB.items() if name != "torch"}
    assert there["torch"] == PINNED["torch"]


def test_the_lowest_versions_are_those_of_pyproject_but_for_torch():
    there = locked("lowest")
    for name, specifier in ranges().items():
        [lowest] = [part.version for part in specifier if part.operator == ">="]
        release = Version(there[name]).release
        assert name == "torch" or release[:len(Version(lowest).release)] == Version(lowest).release, f"{name}: {there[name]}, not {lowest}"


def test_every_pinned_package_is_exact_and_says_who_needs_it():
    for line in (PROJECT / "requirements.txt").read_text().splitlines()[1:]:
        assert re.fullmatch(r"[\w.-]+==[\w.]+ +# .+", line), line


def test_environment_yml_is_requirements_txt_and_a_python_that_the_package_takes():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert packages["pip"] == ["-r requirements.txt", "--no-deps -e ."] and pip == "pip"
    assert Version(python.split("=")[1]) in Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier


PYTHON_3_13 = next(map(str, Path.home().glob(".pyenv/versions/3.13*/bin/python")), None) or shutil.which("python3.13")
COMPILE = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("error")  # of syntax that a later Python will refuse
for path in sys.argv[1:]:
    compile(Path(path).read_text(encoding="utf-8"), path, "exec")
import genlib.__main__, genlib.files, genlib.notebook, genlib.runs
print(*sorted(sys.stdlib_module_names))
"""


@pytest.mark.skipif(not PYTHON_3_13, reason="there is no Python 3.13 here")
def test_syntax_and_imports_are_python_3_13s_too():
    """That Python has no torch: only files without it are imported. Every standard module must be there."""
    files = [path for folder in ("genlib", "tests", "training") for path in (PROJECT / folder).rglob("*.py")]
    done = subprocess.run([PYTHON_3_13, "-B", "-c", COMPILE, *map(str, files)], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    there = set(done.stdout.split())
    for path in files:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
        gone = {name.partition(".")[0] for name in names} & sys.stdlib_module_names - there
        assert not gone, f"{path.name} imports {gone}, which Python 3.13 has no more"


def imports(path: Path) -> set[str]:
    """genlib's modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("genlib.")}


WINGS = {  # and what their files may import
    "models": ("models", "device", "system", "runs", "record", "files", "progress", "spelling"),
    "measure": ("measure", "checks", "device", "system", "nvml", "progress", "runs", "record", "remarks"),
    "quality": ("quality", "runs", "record", "experiments", "device", "files", "lines", "pictures", "progress", "scores"),
    "report": ("report", "runs", "scores", "sessions", "record", "remarks", "experiments", "licences", "locale", "files", "lines",
               "escape", "pictures", "spelling")}
ABOVE = ("commands", "notebook", "__main__")  # they join the wings, and no wing knows them
FOLDERS = sorted(path.parent.name for path in (PROJECT / "genlib").glob("*/__init__.py"))


def within(name: str, parts: tuple[str, ...]) -> bool:
    """Whether a module is, or lies in, one of genlib's parts."""
    return name.split(".")[1] in parts


def test_every_folder_of_the_package_is_a_wing_or_known_otherwise():
    assert set(FOLDERS) - {"commands", "locale"} <= set(WINGS)


@pytest.mark.parametrize("wing", [name for name in FOLDERS if name in WINGS])
def test_imports_run_one_way(wing):
    """No wing imports another, nor what joins them."""
    files = list((PROJECT / "genlib" / wing).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            assert within(name, WINGS[wing]), f"{path.name} imports {name}"


def test_what_the_wings_share_imports_none_of_them():
    files = [path for path in (PROJECT / "genlib").glob("*.py") if path.stem not in ABOVE]
    assert files
    for path in files:
        for name in imports(path):
            assert not within(name, (*WINGS, *ABOVE)), f"{path.name} imports {name}"


def test_only_the_entry_point_imports_the_commands():
    for path in (PROJECT / "genlib").rglob("*.py"):
        if path.parent.name != "commands" and path.stem != "__main__":
            assert not [name for name in imports(path) if within(name, ("commands", "__main__"))], path


def test_imports_make_no_circle():
    package = PROJECT / "genlib"
    modules = {".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
               for path in package.rglob("*.py")}
    graph = {}
    for module, path in modules.items():
        found = imports(path) & set(modules)
        graph[module] = {name for name in found if not any(other.startswith(f"{name}.") for other in found)} - {module}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them


def test_no_file_of_the_package_is_over_300_lines():
    for path in (PROJECT / "genlib").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path


def test_every_file_of_the_package_says_in_its_first_line_what_it_is_for():
    for path in (PROJECT / "genlib").rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path
