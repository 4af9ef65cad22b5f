"""What several files of the project must agree on."""
import ast
import re
import tomllib
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
    "safetensors": "0.8.0", "numpy": "2.1.3", "pandas": "2.2.3", "matplotlib": "3.10.0", "pillow": "11.3.0", "psutil": "5.9.5",
    "nvidia-ml-py": "13.610.43", "scikit-image": "0.25.2", "jinja2": "3.1.6"}


def ranges():
    return {r.name.lower().replace("_", "-"): r.specifier for r in map(Requirement, PYPROJECT["project"]["dependencies"])}


def test_every_dependency_of_the_package_is_pinned_within_its_range():
    for name, specifier in ranges().items():
        assert name in PINNED and Version(PINNED[name]) in specifier, name


def test_colabs_versions_satisfy_the_ranges():
    for name, version in COLAB.items():
        assert Version(version) in ranges()[name], name


def test_every_pinned_package_is_exact_and_says_who_needs_it():
    for line in (PROJECT / "requirements.txt").read_text().splitlines()[1:]:
        assert re.fullmatch(r"[\w.-]+==[\w.]+ +# .+", line), line


def test_environment_yml_is_requirements_txt_and_a_python_that_the_package_takes():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert packages["pip"] == ["-r requirements.txt", "--no-deps -e ."] and pip == "pip"
    assert Version(python.split("=")[1]) in Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier


def imports(path: Path) -> set[str]:
    """genlib's modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("genlib.")}


@pytest.mark.parametrize("wing, allowed", [
    ("models", ("genlib.models", "genlib.device", "genlib.runs")),
    ("measure", ("genlib.measure", "genlib.device", "genlib.nvml", "genlib.runs")),
    ("report", ("genlib.report", "genlib.runs", "genlib.files"))])
def test_imports_run_one_way(wing, allowed):
    files = list((PROJECT / "genlib" / wing).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            assert any(name == module or name.startswith(f"{module}.") for module in allowed), f"{path.name} imports {name}"


def test_no_file_of_the_package_is_much_over_300_lines():
    for path in (PROJECT / "genlib").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 325, path


def test_every_file_of_the_package_says_in_its_first_line_what_it_is_for():
    for path in (PROJECT / "genlib").rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_the_readme_names_the_two_commands():
    text = (PROJECT / "README.md").read_text()
    assert "make run" in text and "make test" in text
