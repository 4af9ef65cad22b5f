"""The table of the tuned profile's switches: what is made from it, and that it is complete."""
import subprocess
import sys
from pathlib import Path

import pytest

from genlib.models import stable_diffusion, stylegan2, switches, vae

PROJECT = Path(__file__).resolve().parents[2]


def test_the_readme_shows_the_table_as_it_is():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"\n\n{switches.as_markdown()}\n\n" in text, "write switches.as_markdown() into the README anew"
    assert text.count("| switch |") == 1


@pytest.mark.parametrize("load", [stable_diffusion.load, vae.load, stylegan2.load])
def test_a_loaded_model_has_the_switches_of_the_table_and_no_others(load):
    model = load.__module__.removeprefix("genlib.models.").removesuffix(".load")
    expected = {switch.name for switch in switches.SWITCHES if model in switch.models} | {"huge_pages"}
    assert len(expected) > 1 and load("demo").info.switches.keys() - {"safety_checker"} == expected


def test_every_switch_is_of_a_loader_or_of_the_environment_and_named_once():
    names = [switch.name for switch in switches.SWITCHES]
    assert len(names) == len(set(names)) and all(switch.where in switches.PLACES for switch in switches.SWITCHES)
    assert [switch.name for switch in switches.SWITCHES if not switch.models] == ["huge_pages"]


def test_a_misspelt_name_is_refused_with_the_one_that_it_resembles():
    with pytest.raises(ValueError, match=r"without names 'vae_slice' \(did you mean 'vae_slicing'\?\): use some of "):
        vae.load("demo", profile="tuned", without=["vae_slice"])
    with pytest.raises(ValueError, match="without names 'cuda_graph': use some of vae_slicing"):
        switches.check(["cuda_graph"], ["vae_slicing"])


def test_the_table_loads_no_torch():
    code = "import sys; from genlib.models import switches; print(len(switches.as_markdown()), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.endswith(" False\n")
