"""The list of the names that a person can type."""
import re
import subprocess
import sys

import pytest

from genlib import device, locale
from genlib.__main__ import main
from genlib.commands import names
from genlib.experiments import EXPERIMENTS, OTHER_METHODS
from genlib.models import MODELS, PROFILES, WEIGHTS, presets, switches
from genlib.models.stylegan2.load import DTYPES
from genlib.report.figures import FIGURES
from genlib.report.figures.figure import UNDATED
from genlib.report.formats import FORMATS
from genlib.report.tables import OF_EACH, TABLES

DEFINED = {
    "weights": WEIGHTS, "profiles": PROFILES, "dtypes": {*device.DTYPES, *DTYPES}, "models": MODELS,
    "networks": presets.PRESETS, "experiments": [entry.slug for entry in EXPERIMENTS + OTHER_METHODS],
    "variants": [f"{entry.slug}/{name}" for entry in EXPERIMENTS for name in [*entry.variants, "precision-DTYPE"]],
    "switches": [switch.name for switch in switches.SWITCHES],
    "tables": [kind.name for kind in TABLES] + [f"{kind.name}-EXPERIMENT" for kind in OF_EACH], "figures": [kind.name for kind in FIGURES],
    "formats": [*FORMATS, *UNDATED], "languages": locale.languages()}


@pytest.mark.parametrize("kind", DEFINED)
def test_every_name_that_is_defined_has_a_line_of_its_own_below_its_kind(kind, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["doctor", "--list"]) == 0
    [part] = [part for part in capsys.readouterr().out.split("\n\n") if part.startswith(kind)]
    found = [re.fullmatch(r"  (\S+) +\S.*", line)[1] for line in part.strip().splitlines()[1:]]
    assert len(found) == len(set(found)) and set(DEFINED[kind]) <= set(found)


def test_a_switch_is_listed_with_what_it_does_and_where(monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    text = "\n".join(names.lines())
    assert all(f"  {switch.help} ({switch.where})\n" in text for switch in switches.SWITCHES)


def test_a_loop_of_an_experiment_is_a_variant():
    assert any(line.startswith("  stable-diffusion/batch-N ") for line in names.lines())


@pytest.mark.parametrize("columns", [80, 100])
def test_no_line_of_the_list_is_wider_than_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, names.lines())) < columns


def test_the_list_loads_no_torch():
    code = "import sys; from genlib.commands import names; names.lines(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
