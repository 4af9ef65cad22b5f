"""The notebooks' loops over precision and resolution go on where a condition does not fit into memory."""
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import nbformat
import pytest
import torch

from genlib import device

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LOADERS = {"1_stable_diffusion": "stable_diffusion", "2_vae_round_trip": "vae", "3_stylegan2_ada": "stylegan2"}
LOOPS = [*((stem, "precision") for stem in LOADERS), ("3_stylegan2_ada", "resolution")]


def execute(stem, cell, load, tried):
    """Run a notebook's cell with `load` for the model's loader and a measure.repeat that measures nothing; the variants that it was
    asked to measure, and what the notebook then has for a model."""
    notebook = nbformat.read(NOTEBOOKS / f"{stem}.ipynb", as_version=4)
    source = next(c.source for c in notebook.cells if c.id == cell)
    own = SimpleNamespace(model=SimpleNamespace(dtype="float32", weights="random"))
    measure = MagicMock()
    names = {name: MagicMock() for name in compile(source, stem, "exec").co_names}
    names |= dict(device=device, measure=measure, run=own, of_photograph=own, PRECISIONS_TRIED=tried, RESOLUTIONS_TRIED=tried, print=print,
                  dict=dict, list=list)
    names[LOADERS[stem]] = MagicMock(load=load)
    exec(source, names)
    return [call.kwargs["variant"] for call in measure.repeat.call_args_list]


@pytest.mark.parametrize("stem, cell", LOOPS)
@pytest.mark.parametrize("error", [MemoryError("too large for 2 GiB"), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_model_that_does_not_fit_is_a_printed_line_and_the_next_is_measured(stem, cell, error, capsys):
    def load(*arguments, **options):
        if "first" in options.values():
            raise error
        return MagicMock()

    assert execute(stem, cell, load, ["first", "second"]) == [f"{cell}-second"]
    out = capsys.readouterr().out
    assert "first" in out and f"left out. {error}" in out


@pytest.mark.parametrize("stem, cell", LOOPS)
def test_another_error_is_not_hidden_and_an_empty_list_measures_nothing(stem, cell):
    def load(*arguments, **options):
        raise ValueError("no such dtype")

    with pytest.raises(ValueError, match="no such dtype"):
        execute(stem, cell, load, ["first"])
    assert execute(stem, cell, load, []) == []


def test_the_precision_that_the_run_itself_has_is_left_out_with_a_line(capsys):
    assert execute("1_stable_diffusion", "precision", MagicMock(), ["float32", "float16"]) == ["precision-float16"]
    assert "float32: left out, the run itself has it" in capsys.readouterr().out


@pytest.mark.parametrize("supported", [True, False])
def test_bfloat16_is_tried_on_gpus_that_compute_in_it(monkeypatch, capsys, supported):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported and not including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    assert device.other_precisions(["bfloat16", "float32"], "float16") == ["bfloat16", "float32"][not supported:]
    assert ("bfloat16: left out, Tesla T4 has no instructions for it" in capsys.readouterr().out) == (not supported)
