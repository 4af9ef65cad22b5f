"""The notebooks' loops that load models: each is alone in memory, and one that does not fit is left out."""
import ast
import importlib
import symtable
import weakref
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import nbformat
import pytest
import torch
from card import processor

from genlib import device, measure

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LOADERS = {"1_stable_diffusion": "stable_diffusion", "2_vae_round_trip": "vae", "3_stylegan2_ada": "stylegan2"}
MODELS = {"1_stable_diffusion": "pipe", "2_vae_round_trip": "autoencoder", "3_stylegan2_ada": "G"}
LOOPS = [*((stem, "precision") for stem in LOADERS), ("3_stylegan2_ada", "resolution")]


def sources(stem) -> dict[str, str]:
    """The code cells of a notebook, but for its set-up."""
    cells = nbformat.read(NOTEBOOKS / f"{stem}.ipynb", as_version=4).cells
    return {cell.id: cell.source for cell in cells if cell.cell_type == "code" and cell.id != "set-up"}


def names_in(code) -> set[str]:
    """The names that code reads from outside, its functions' included."""
    return set(code.co_names).union(*(names_in(part) for part in code.co_consts if hasattr(part, "co_names")))


@pytest.fixture
def execute(monkeypatch):
    """Run a notebook's cell with `load` as the loader; the variants that it would have measured."""
    def execute(stem, cell, load, tried, own_model=lambda: None, own="float32", **others):
        source, variants = sources(stem)[cell], []
        monkeypatch.setattr(importlib.import_module("genlib.measure.sweep"), "repeat",
                            lambda call, variant, **options: variants.append(variant))
        own = SimpleNamespace(model=SimpleNamespace(dtype=own, weights="random"), image_files=MagicMock())
        names = {name: MagicMock() for name in names_in(compile(source, stem, "exec"))}
        names |= dict(device=device, measure=SimpleNamespace(sweep=measure.sweep, count_flops=MagicMock()), run=own, alone=own,
                      as_in_thesis=own, PRECISIONS_TRIED=tried, RESOLUTIONS_TRIED=tried, settings={}, print=print, dict=dict)
        names |= {LOADERS[stem]: SimpleNamespace(load=load, start=lambda pipe, seeds: None), MODELS[stem]: own_model(),
                  "draw": lambda G, seed: [None]}  # a mock would keep the model that it was called with
        names |= others
        others.clear()  # else they would stay in memory
        exec(source, names)
        return variants

    return execute


@pytest.mark.parametrize("stem, cell", LOOPS)
@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_model_that_does_not_fit_is_a_printed_line_and_the_next_is_measured(execute, stem, cell, error, capsys):
    def load(*arguments, **options):
        if "first" in options.values():
            raise error("too large for 2 GiB")
        return MagicMock()

    assert execute(stem, cell, load, ["first", "second"]) == [f"{cell}-second"]
    assert f"{cell}-first: left out. too large for 2 GiB" in capsys.readouterr().out


@pytest.mark.parametrize("stem, cell", LOOPS)
def test_another_error_is_not_hidden_and_an_empty_list_measures_nothing(execute, stem, cell):
    def load(*arguments, **options):
        raise ValueError("no such dtype")

    with pytest.raises(ValueError, match="no such dtype"):
        execute(stem, cell, load, ["first"])
    assert execute(stem, cell, load, []) == []


class Model:
    """What is large: known only to its condition, and to itself."""
    info = None

    def __init__(self):
        self.itself = self  # reference counts alone would not free it


@pytest.mark.parametrize("stem, cell", LOOPS)
def test_the_notebooks_own_model_and_each_condition_are_gone_when_the_next_is_loaded(execute, stem, cell):
    there, before = weakref.WeakSet(), []

    def load(*arguments, **options):
        before.append(len(there))
        there.add(model := Model())
        return model

    execute(stem, cell, load, ["first", "second", "third"], own_model=load if cell == "precision" else lambda: None)
    assert before == [0] * (4 if cell == "precision" else 3)


def test_the_precision_that_the_run_itself_has_is_left_out_with_a_line(execute, capsys):
    assert execute("1_stable_diffusion", "precision", MagicMock(), ["float32", "float16"]) == ["precision-float16"]
    assert "float32: left out, the run itself has it" in capsys.readouterr().out


@pytest.mark.parametrize("stem", LOADERS)
@pytest.mark.parametrize("tried, measured", [("auto", []), (["bfloat16"], ["precision-bfloat16"])])
def test_what_the_processor_lacks_is_measured_only_if_it_is_asked_for_by_name(execute, monkeypatch, capsys, stem, tried, measured):
    processor(monkeypatch, "AMD EPYC 7B12")
    assert execute(stem, "precision", MagicMock(), tried) == measured
    said = ("bfloat16: left out, AMD EPYC 7B12 has no instructions for it and might take many times as long; "
            'PRECISIONS_TRIED = ["bfloat16"] measures it all the same\n')
    assert (said in capsys.readouterr().out) == (tried == "auto")


@pytest.mark.parametrize("stem", LOADERS)
@pytest.mark.parametrize("name, measured", [
    ("Tesla T4", ["float32"]), ("NVIDIA H100 80GB HBM3", ["float32", "bfloat16"]), ("Apple M1 GPU", ["float32", "bfloat16"]),
    ("AMD EPYC 7B12", []), ("Intel Xeon Platinum 8481C", ["bfloat16"])])
def test_unasked_a_notebook_tries_what_the_processor_computes_in_beside_its_own(execute, monkeypatch, stem, name, measured):
    processor(monkeypatch, name)
    own = "float32" if device.pick().type == "cpu" else "mixed" if stem[0] == "3" else "float16"
    assert execute(stem, "precision", MagicMock(), "auto", own=own) == [f"precision-{dtype}" for dtype in measured]


@pytest.mark.parametrize("own, by_precision, measured", [
    ("float16", ["float16", "float32", "bfloat16"], ["precision-float32"]), ("float16", ["float16", "bfloat16"], []),
    ("float32", ["float32", "bfloat16"], [])])
def test_the_face_for_the_vae_is_made_in_float32_too_where_that_is_not_its_own_and_the_vae_was_measured_in_it(
        execute, own, by_precision, measured):
    there, loaded = weakref.WeakSet(), []

    def autoencoder():
        there.add(model := Model())
        return model

    def load(*arguments, dtype, **options):
        loaded.append((dtype, len(there)))
        return MagicMock()

    variants = execute("2_vae_round_trip", "common-precision", None, None, own=own, by_precision=dict.fromkeys(by_precision),
                       stable_diffusion=SimpleNamespace(load=load), reloaded=autoencoder())
    assert variants == measured
    assert loaded == [("float32", 0)] * len(measured), "when the autoencoder is gone"


def test_one_precision_that_is_no_list_is_one_sentence(execute):
    with pytest.raises(ValueError, match="PRECISIONS_TRIED is 'bfloat16': use \"auto\" or a list, as in"):
        execute("1_stable_diffusion", "precision", MagicMock(), "bfloat16")


def bound(source) -> set[str]:
    """The names to which a cell gives something; None, by which a model is let go, is nothing."""
    let_go = {node.targets[0].id for node in ast.parse(source).body
              if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is None}
    return {s.get_name() for s in symtable.symtable(source, "cell", "exec").get_symbols() if s.is_assigned() or s.is_imported()} - let_go


def read_by_functions(table) -> set[str]:
    """The notebook's names that the functions and lambdas of a cell read."""
    found = set()
    for child in table.get_children():
        if child.get_name() not in ("listcomp", "setcomp", "dictcomp", "genexpr"):
            found |= {symbol.get_name() for symbol in child.get_symbols() if symbol.is_global()}
        found |= read_by_functions(child)
    return found


@pytest.mark.parametrize("stem", LOADERS)
def test_no_function_reads_a_name_that_another_cell_binds_anew(stem):
    cells = sources(stem).values()
    times = Counter(name for source in cells for name in bound(source))
    read = set().union(*(read_by_functions(symtable.symtable(source, "cell", "exec")) for source in cells))
    assert {MODELS[stem], "STEPS" if stem[0] != "3" else "SEED"} <= read, "it sees what functions read"
    assert {name for name in read if times[name] > 1} == set()
