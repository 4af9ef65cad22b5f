"""The script for a GPU, tried without one: its cells, conditions, report; on a card `make gpu` runs all of it."""
import ast
import re
import sys
from pathlib import Path

import bench_gpu
import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("notebook", bench_gpu.NOTEBOOKS)
def test_a_notebooks_cells_are_a_script_with_the_parameters_asked_for(notebook):
    code = bench_gpu.cells_as_code(notebook, dict(WEIGHTS="random", ITERATIONS=7, RESULTS="elsewhere"))
    values = [(node.targets[0].id, ast.literal_eval(node.value)) for node in ast.parse(code).body
              if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    last = dict(values)
    assert (last["WEIGHTS"], last["ITERATIONS"], last["RESULTS"]) == ("random", 7, "elsewhere")
    assert "measure.repeat(" in code and "zipfile" not in code and "subprocess" not in code


def test_the_condition_nearest_to_the_theses_figure_is_named_with_its_distance():
    peaks = {"float16-none-fused": 2500 * 2**20, "autocast-checker-fused": 5600 * 2**20, "float32-none-plain": None}
    assert bench_gpu.nearest(peaks, round(5619.66 * 2**20)) == "autocast-checker-fused, 5600.00 MB (-0.3%)"
    assert bench_gpu.nearest({"a": None}, 1) == "not measured, no GPU"


def test_the_whole_script_runs_with_the_demo_and_leaves_runs_and_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "--weights", "demo", "--steps", "1", "--rounds", "1", "--out", str(tmp_path)])
    monkeypatch.setattr(bench_gpu, "gpu_tests", lambda: ["5 passed"])
    monkeypatch.setattr(bench_gpu, "NOTEBOOKS", ["3_stylegan2_ada"])
    bench_gpu.main()
    [report] = tmp_path.glob("*/report.md")
    text = report.read_text()
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles == ["VRAM of v1-4, and the thesis's figure", "Plain and tuned", "StyleGAN2", "Tests on the card", "Notebooks"]
    assert len(re.findall(r"^\| (?:float16|float32|autocast) \| no \|", text, re.MULTILINE)) == 6 and "Error" not in text
    assert re.search(r"3_stylegan2_ada \| thesis \| \d+ s", text) and re.search(r"3_stylegan2_ada \| tuned \| \d+ s", text)
    kept = {path.parent.parent.name for path in tmp_path.rglob("run.json")}
    assert {"demo-thesis", "demo-tuned", "demo-thesis-memory-autocast-none-plain"} <= kept and not list(tmp_path.rglob("*.png"))


def test_what_it_needs_is_pinned_as_in_requirements():
    pinned = set((PROJECT / "requirements.txt").read_text().replace(" ", "").splitlines())
    for name in (PROJECT / "tests" / "gpu.txt").read_text().splitlines():
        assert name.startswith("#") or any(line.split("#")[0] == name for line in pinned), name
