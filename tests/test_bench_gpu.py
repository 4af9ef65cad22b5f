"""The script for a GPU, tried without one: cells, conditions, report. On a card, `make gpu` runs it."""
import ast
import os
import re
import subprocess
import sys
import weakref
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import bench_gpu
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from saved_runs import save_run

from genlib.models import tuned
from genlib.runs import Iteration

PROJECT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("notebook", bench_gpu.NOTEBOOKS)
def test_a_notebooks_cells_are_a_script_with_the_parameters_asked_for(notebook):
    code = bench_gpu.cells_as_code(notebook, dict(WEIGHTS="random", ITERATIONS=7, RESULTS="elsewhere"))
    values = [(node.targets[0].id, ast.literal_eval(node.value)) for node in ast.parse(code).body
              if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    last = dict(values)
    assert (last["WEIGHTS"], last["ITERATIONS"], last["RESULTS"]) == ("random", 7, "elsewhere")
    assert "measure.repeat(" in code and "zipfile" not in code and "subprocess" not in code


def test_the_condition_nearest_to_the_figure_of_the_thesis_is_named_with_the_distance():
    peaks = {"float16-none-fused": 2500 * 2**20, "autocast-checker-fused": 5600 * 2**20, "float32-none-plain": None}
    assert bench_gpu.nearest(peaks, round(5619.66 * 2**20)) == "autocast-checker-fused, 5600.00 MB (-0.3%)"
    assert bench_gpu.nearest({"a": None}, 1) == "not measured, no GPU"


@pytest.mark.slow
def test_it_runs_the_gpu_tests_without_genlib_installed_and_without_jupyter_and_docx(tmp_path):
    for name in "nbformat", "docx", "nbclient", "jupyter_client":
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError({name!r})")
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.meta_path = [f for f in sys.meta_path if '__editable__' not in str(f)]")
    code = f"import sys; sys.path.insert(0, {str(PROJECT / 'tests')!r}); import bench_gpu; print(bench_gpu.gpu_tests()[0])"
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # nbval imports nbformat
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert not done.returncode and re.search("passed|skipped", done.stdout) and "error" not in done.stdout, done.stdout + done.stderr


def test_the_runs_of_each_notebook_are_kept_when_it_ends(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(bench_gpu, "of_child", lambda *arguments, **options: order.append("notebook") or ("", ""))
    bench_gpu.run_notebooks(tmp_path, "demo", 1, lambda: order.append("kept"))
    assert order == ["notebook", "kept"] * 6, "what follows may be cut off by a limit of time"


@pytest.mark.parametrize("code, fault", [
    ("print('a\\nb')", ""), ("import os; os.kill(os.getpid(), 9)", "exit status -9"), ("raise SystemExit(3)", "exit status 3"),
    ("raise RuntimeError('CUDA error: no access\\nCompile with TORCH_USE_CUDA_DSA.')", "RuntimeError: CUDA error: no access"),
    ("print('2 failed, 5 passed in 3 s'); raise SystemExit(1)", "2 failed, 5 passed in 3 s"), ("import time; time.sleep(9)", "after 1 s")])
def test_it_says_why_a_process_stopped(monkeypatch, code, fault):
    monkeypatch.setattr(bench_gpu, "CHILD_S", 1 if "sleep" in code else 60)
    assert bench_gpu.of_child([sys.executable, "-c", code]) == (("b", "") if not fault else ("", f"Stopped: {fault}"))


def test_nothing_of_a_pipeline_is_kept_when_the_next_is_measured(tmp_path, monkeypatch):
    plain, there, seen = bench_gpu.stable_diffusion.load, weakref.WeakSet(), []

    def load(*words, **options):
        pipe = plain(*words, **options)
        there.update((pipe.unet, pipe.vae, pipe.text_encoder))
        return pipe

    def measured(*arguments, variant, **options):
        seen.append((variant, len(there)))
        return SimpleNamespace(iterations=[Iteration(time_s=1.0)])

    monkeypatch.setattr(bench_gpu.stable_diffusion, "load", load)
    monkeypatch.setattr(bench_gpu.measure, "repeat", measured)
    bench_gpu.vram_conditions(tmp_path, "demo", 1)
    assert len(seen) == 7 and {variant: parts for variant, parts in seen if parts != 3} == {
        "memory-float16-none-fused-beside-a-second-pipeline": 6}


def test_autocast_is_measured_with_trainable_weights_as_published_ones_are(tmp_path, monkeypatch):
    trainable = {}

    def measured(call, variant, **options):
        trainable[variant] = {p.requires_grad for part in (call.args[0].unet, call.args[0].vae) for p in part.parameters()}
        return SimpleNamespace(iterations=[Iteration(time_s=1.0)])

    monkeypatch.setattr(bench_gpu.measure, "repeat", measured)
    plain = bench_gpu.stable_diffusion.load
    monkeypatch.setattr(bench_gpu.stable_diffusion, "load", lambda *words, **options: frozen(plain(*words, **options)))
    bench_gpu.vram_conditions(tmp_path, "demo", 1)
    assert trainable["memory-autocast-none-fused"] == {True} and trainable["memory-float32-none-fused"] == {False}


def frozen(pipe):
    """As with random weights."""
    for part in pipe.unet, pipe.vae, pipe.text_encoder:
        part.requires_grad_(False)
    return pipe


@pytest.mark.slow
def test_the_peaks_that_are_compared_are_those_of_each_model_alone(monkeypatch):
    there = weakref.WeakSet()
    monkeypatch.setattr(bench_gpu, "peak", lambda iterations: len(there))
    plain = bench_gpu.stylegan2.load

    def load(*words, **options):
        there.add(G := plain(*words, **options))
        return G

    monkeypatch.setattr(bench_gpu.stylegan2, "load", load)
    rows = []
    monkeypatch.setattr(bench_gpu, "compared", lambda *arguments: rows.append(arguments[-1]) or "")
    bench_gpu.faces("demo", 1)
    assert rows == [(1, 1)] * 8


def test_whether_compiling_pays_is_said_where_there_is_a_gpu_and_time(monkeypatch):
    assert bench_gpu.compiling("demo", 1, 1, left_s=10) == ["Left out: 10 s were left."]
    assert bench_gpu.compiling("demo", 1, 1, left_s=500) == ["Not measured: torch's compiler has no GPU here, or does not work."]
    plain, loads = bench_gpu.stable_diffusion.load, []

    def load(weights, profile, expected_images):
        pipe = plain(weights, profile=profile)
        pipe.info.load_time_s, pipe.info.switches["compile"] = (90.0, True) if expected_images >= tuned.COMPILE_PAYS_FROM else (10.0, False)
        loads.append(expected_images)
        return pipe

    monkeypatch.setattr(bench_gpu.stable_diffusion, "load", load)
    for times, pays in ((1.0, 0.8), "from 400 images on"), ((0.8, 0.8), "never"):
        monkeypatch.setattr(bench_gpu, "in_turn", lambda calls, rounds, times=times: {
            name: [Iteration(time_s=time_s)] for name, time_s in zip(calls, times, strict=True)})
        [line] = bench_gpu.compiling("demo", 1, 1, left_s=500)
        assert line.startswith("Compiling takes 80 s; ") and f"It pays {pays}; " in line
    assert loads == [1, tuned.COMPILE_PAYS_FROM] * 2


def test_what_fits_into_which_card_is_a_table_and_each_run_is_kept_at_once(tmp_path, monkeypatch):
    assert bench_gpu.on_cards(tmp_path, "demo", 1, list) == ["Not measured: no GPU."]
    tried = [save_run(tmp_path, "stable-diffusion", [2.0], variant=f"card-{gb}-gb", settings=dict(card_bytes=gb * 2**30)) for gb in (6, 4)]
    kept = []
    monkeypatch.setattr(bench_gpu.device, "pick", lambda: torch.device("cuda"))
    monkeypatch.setattr(bench_gpu.cards, "tries", lambda weights, steps, sizes, results: iter(tried))
    lines = bench_gpu.on_cards(tmp_path, "random", 50, lambda: kept.append(len(kept)))
    assert kept == [0, 1] and [line for line in lines if line.startswith("| all on the card | float16 | — | 4 |")]


def test_a_part_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def fails(*arguments):
        raise RuntimeError("the card fell out\nof its slot")

    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "--weights", "demo", "--out", str(tmp_path)])
    monkeypatch.setattr(bench_gpu, "run_notebooks", lambda *arguments: [])
    monkeypatch.setattr(bench_gpu, "gpu_tests", lambda: ["5 passed"])
    for part in "vram_conditions", "diffusion", "faces":
        monkeypatch.setattr(bench_gpu, part, fails)
    with pytest.raises(SystemExit) as stopped:
        bench_gpu.main()
    [report] = tmp_path.glob("*/report.md")
    assert stopped.value.code and report.read_text().count("\nStopped: the card fell out\n") == 3 and "5 passed" in report.read_text()
    assert capsys.readouterr().err.count("\nof its slot\n") == 3, "with where it was"


@pytest.mark.slow
def test_the_whole_script_runs_with_the_demo_and_leaves_runs_and_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "--weights", "demo", "--steps", "1", "--rounds", "1", "--out", str(tmp_path)])
    monkeypatch.setattr(bench_gpu, "gpu_tests", lambda: ["5 passed"])
    monkeypatch.setattr(bench_gpu, "NOTEBOOKS", ["3_stylegan2_ada"])
    with pytest.raises(SystemExit) as stopped:
        bench_gpu.main()
    assert not stopped.value.code
    [report] = tmp_path.glob("*/report.md")
    text = report.read_text()
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles == ["Notebooks", "Tests on the card", "VRAM of v1-4, and the thesis's figure", "StyleGAN2", "Plain and tuned", "Cards",
                      "Compiling"]
    assert len(re.findall(r"^\| (?:float16|float32|autocast) \| none \| (?:fused|plain) \|", text, re.MULTILINE)) == 6
    assert "| float16 | none | fused beside a second pipeline |" in text and "Error" not in text and "Stopped" not in text
    assert re.search(r"3_stylegan2_ada \| thesis \| \d+ s", text) and re.search(r"3_stylegan2_ada \| tuned \| \d+ s", text)
    kept = {path.parent.parent.name for path in tmp_path.rglob("run.json")}
    assert {"demo-thesis", "demo-tuned", "demo-thesis-memory-autocast-none-plain"} <= kept and not list(tmp_path.rglob("*.png"))


def test_gpu_txt_pins_what_it_needs_as_requirements_does_and_the_rarer_dependencies_of_those():
    pinned = set((PROJECT / "requirements.txt").read_text().replace(" ", "").splitlines())
    lines = [line for line in (PROJECT / "tests" / "gpu.txt").read_text().splitlines() if not line.startswith("#")]
    versions = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    if metadata.version("pydantic") != versions["pydantic"]:
        pytest.skip("what it needs is told by the version in requirements.txt")
    needs = [Requirement(text) for name in versions for text in metadata.requires(name) or []]
    needs = {canonicalize_name(need.name): need for need in needs if not need.marker or need.marker.evaluate({"extra": ""})}
    for line in lines:
        name, version = canonicalize_name(line.split("==")[0]), line.split("==")[1]
        assert any(found.split("#")[0] == line for found in pinned) or version in needs[name].specifier, line
    assert {"pydantic-core", "annotated-types", "typing-inspection", "httpx2", "httpcore2", "truststore"} & needs.keys() <= versions.keys()
