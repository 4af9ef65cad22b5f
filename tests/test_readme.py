"""What the README shows is what comes out."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genlib.report import Report

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_the_first_screen_has_the_two_commands_a_picture_table_1_and_what_has_not_been_measured():
    first = README[:README.index("\n## ")]
    assert "make run " in first and "make test " in first and "| Stable Diffusion |" in first and "<img" in first
    assert re.search(r"not been measured.*the published weights", first, re.DOTALL)
    assert len(first.splitlines()) <= 40


def test_table_1_ends_within_a_laptops_first_screen():
    """900 characters, the commands and a table of six lines fill the 720 px that GitHub shows of it."""
    before, _, after = README.partition("**Table 1")
    said = re.sub(r"<img.*?>|```.*?```|\]\(.*?\)", "", before, flags=re.DOTALL)
    assert len(said) <= 900 and len(re.search(r"\| Model .*?\n\n", after, re.DOTALL)[0].strip().splitlines()) <= 6


def test_windows_takes_two_lines_of_powershell_and_no_make():
    [lines] = re.findall(r"```powershell\n(.*?)```", README, re.DOTALL)
    install, run = lines.splitlines()
    assert install.endswith("-m pip install -r requirements.txt -e .") and run == r".venv\Scripts\genlib run"


@pytest.mark.parametrize("number, machine, weights", [(1, "cpu-amd-epyc", "demo"), (2, "nvidia-h200", "random")])
def test_its_tables_are_those_of_the_reference_runs(tmp_path, number, machine, weights):
    report = Report(tmp_path, reference=PROJECT / "notebooks" / "reference", machine=machine, weights=weights, profile="thesis",
                    number=str(number))
    assert str(report.table("results")).strip() in README


def test_the_python_example_is_ten_lines_and_prints_its_table(tmp_path):
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    done = subprocess.run([sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\n{example}"], cwd=tmp_path,
                          capture_output=True, encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1"})
    assert done.returncode == 0, done.stderr
    assert re.search(r"\| Generative Adversarial Networks \| 0\.\d+ ± 0\.\d+ \|", done.stdout)


def test_every_file_and_folder_that_it_points_to_is_there():
    targets = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r'src="([^"]+)"', README)
    targets = [target for target in targets if not target.startswith("http")]
    assert len(targets) > 5 and [target for target in targets if not (PROJECT / target).exists()] == []
    headings = {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in re.findall(r"^#+ (.+)", README, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_every_command_that_it_names_is_one():
    from genlib.__main__ import COMMANDS

    names = {module.__name__.rpartition(".")[2] for module in COMMANDS}
    assert set(re.findall(r"`genlib (\w+)", README)) == names
