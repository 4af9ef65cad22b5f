"""What the command says; how the forecast is counted is tested in test_forecast.py."""
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from card import processor
from huggingface_hub import constants
from saved_runs import save_run

from genlib import device, notebook
from genlib.__main__ import main
from genlib.commands import as_typed, doctor, forecast, short
from genlib.experiments import EXPERIMENTS, Experiment
from genlib.models import weights

counted_once = functools.cache(forecast.calls)  # it takes seconds, and comes out the same each time


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The forecast's amounts as counted above, rates that need no measuring, and no network."""
    monkeypatch.setattr(forecast, "calls", counted_once)
    monkeypatch.setattr("genlib.measure.machine_rates", lambda dtype: (1e10, 1e10))
    monkeypatch.setattr(forecast, "operation_s", lambda dtype: 1e-5)
    monkeypatch.setattr(weights, "hub_answers", lambda: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5e9))
    for name in "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "CUDA_VISIBLE_DEVICES":
        monkeypatch.delenv(name, raising=False)


def row(slug):
    """The line of an experiment."""
    [line] = [line for line in doctor.examine() if re.match(rf"\S+ {slug} ", line)]
    return line


def test_the_command_says_machine_weights_forecast_and_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(notebook, "NEEDED", {"no_such_module": "some-package", "torch": "torch"})
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "the model hub does not answer" in out and "missing    some-package: pip install some-package" in out
    for entry in EXPERIMENTS:
        line = re.search(rf"^{entry.notebook[0]} {entry.slug} .*$", out, re.MULTILINE)[0]
        assert len(re.findall(r"\d m?\w+ an image, \S+ \w+, [\d.]+ GiB", line)) == 2, out


@pytest.mark.parametrize("module, package", [("torch", "torch"), pytest.param("skimage", "scikit-image", marks=pytest.mark.slow)])
def test_a_package_that_nothing_works_without_is_said_with_the_command_that_installs_it(module, package):
    hidden = f"import sys\nsys.modules[{module!r}] = None\nfrom importlib import util\nfind = util.find_spec\n" \
             f"util.find_spec = lambda name: None if name == {module!r} else find(name)\n" \
             "from genlib.__main__ import main\nsys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2])
    assert f"missing {package}: pip install {package}" in " ".join((done.stdout + done.stderr).split()), done.stderr


def test_every_dependency_of_the_package_is_looked_for():
    declared = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.match(r"[\w-]+", line)[0] for line in declared} <= set(notebook.NEEDED.values())


def test_notebook_2_needs_the_memory_of_the_pipeline_that_makes_its_faces():
    needed = [re.findall(r"[\d.]+ GiB", row(slug)) for slug in ("stable-diffusion", "vae-as-in-thesis", "vae-round-trip")]
    assert needed[0] == needed[1] == needed[2] and len(needed[0]) == 2


def whole(slug):
    """The whole notebook's time with demo weights, in seconds, as an experiment's line says it."""
    number, unit = re.search(r"an image, ([\d.]+) (\w+)", row(slug)).groups()
    return float(number) * dict(s=1, min=60, h=3600)[unit]


def test_a_notebooks_forecast_is_the_sum_over_its_experiments(monkeypatch):
    assert whole("vae-as-in-thesis") == whole("vae-round-trip"), "one notebook"
    monkeypatch.setattr(forecast, "time_s", lambda work, *rates: 1000.0)  # an image of any model
    images = {entry.slug: entry.images(notebook.parameters(entry.notebook) | dict(PRECISIONS_TRIED=device.precisions("auto", "float32")))
              for entry in EXPERIMENTS}
    both = doctor.AROUND_S + 1000 * (images["vae-as-in-thesis"] + images["vae-round-trip"])
    assert whole("vae-round-trip") == pytest.approx(both, rel=0.01)
    assert whole("stylegan2-ada") == pytest.approx(doctor.AROUND_S + 1000 * images["stylegan2-ada"], rel=0.01)


def test_the_parameters_that_stand_in_a_notebook_are_what_is_counted(monkeypatch):
    given, plain = notebook.parameters, whole("stable-diffusion")
    monkeypatch.setattr(notebook, "parameters", lambda name: given(name) | dict(STEPS=200))
    assert whole("stable-diffusion") > 2 * plain
    monkeypatch.setattr(notebook, "parameters", lambda name: dict(ITERATIONS=5))
    with pytest.raises(ValueError, match="1_stable_diffusion.ipynb has no parameter 'STEPS'.*put it back"):
        doctor.examine()


def test_a_precision_that_the_processor_lacks_is_counted_only_if_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(forecast, "time_s", lambda work, *rates: 1000.0)  # an image of any model
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: True)
    given, usual = notebook.parameters, whole("stylegan2-ada")
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: False)
    assert usual - whole("stylegan2-ada") == pytest.approx(4000, abs=400), "a warm-up and three iterations; times are rounded"
    monkeypatch.setattr(notebook, "parameters", lambda name: given(name) | dict(PRECISIONS_TRIED=["bfloat16"]))
    assert whole("stylegan2-ada") == usual


@pytest.mark.parametrize("name, said", [
    ("Tesla T4", "float16 · the notebooks also try float32 · bfloat16 when asked, without instructions for it: many times slower"),
    ("NVIDIA H100 80GB HBM3", "float16 · the notebooks also try float32 and bfloat16"),
    ("AMD EPYC 7B12", "float32 · float16 is for GPUs · bfloat16 when asked, without instructions for it: many times slower"),
    ("Intel Xeon Platinum 8481C", "float32 · the notebooks also try bfloat16 · float16 is for GPUs")])
def test_it_says_which_precisions_the_notebooks_try_on_a_processor(monkeypatch, name, said):
    processor(monkeypatch, name)
    assert doctor._precision("float32" if device.pick().type == "cpu" else "float16") == f"precision  {said}"


@pytest.mark.parametrize("name, in_others_s", [("Tesla T4", 4 * 3.5), ("NVIDIA H100 80GB HBM3", 4 * 3.5 + 4 * 0.9)])
def test_images_in_other_precisions_are_forecast_by_their_rates_and_the_face_for_the_vae_in_float32_alone(monkeypatch, name, in_others_s):
    """Of an image that takes 1 s in float16."""
    processor(monkeypatch, name)
    image = doctor._Image(dict(float16=1.0, float32=3.5, bfloat16=0.9).get, 0)
    took = {entry.slug: doctor._whole_s([entry], {entry.slug: image}, "float16", notebook.parameters(entry.notebook))
            for entry in EXPERIMENTS}
    plain = {entry.slug: doctor.AROUND_S + entry.images(notebook.parameters(entry.notebook) | dict(PRECISIONS_TRIED=[]))
             for entry in EXPERIMENTS}
    assert {slug: took[slug] - plain[slug] for slug in took} == pytest.approx(
        dict.fromkeys(took, in_others_s) | {"vae-as-in-thesis": 4 * 3.5})


def test_without_notebooks_only_an_image_is_forecast(monkeypatch, tmp_path):
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    assert re.fullmatch(r"1 stable-diffusion( +[\d.]+ \w+ an image, [\d.]+ GiB){2}", row("stable-diffusion"))


@pytest.mark.parametrize("added, line", [
    (Experiment("made-up", label="", notebook="5_made_up"), r"5 made-up +– +–"),
    (Experiment("made-up", label=""), r"– made-up +– +–"),
    (Experiment("made-up", label="", parts=lambda steps: {"generator": 1000}), r"– made-up( +[\d.]+ \w+ an image, [\d.]+ GiB){2}"),
    (Experiment("made-up", label="", notebook="3_stylegan2_ada", parts=lambda steps: {"generator": 1}, images=lambda p: 10**9),
     r"3 made-up +\d+ m?s an image, \d{4,}.*h, .*")])
def test_an_experiment_is_forecast_from_its_entry_alone_and_one_without_parts_gets_a_dash(monkeypatch, added, line):
    monkeypatch.setattr(doctor, "EXPERIMENTS", [*EXPERIMENTS, added])
    assert re.fullmatch(line, row("made-up"))
    assert "an image" in row("stylegan2-ada"), "the others keep theirs"


def test_a_notebook_with_an_experiment_that_cannot_be_counted_has_no_forecast_as_a_whole(monkeypatch):
    monkeypatch.setattr(doctor, "EXPERIMENTS", [*EXPERIMENTS, Experiment("made-up", label="", notebook="3_stylegan2_ada")])
    assert re.fullmatch(r"3 stylegan2-ada( +[\d.]+ \w+ an image, [\d.]+ GiB){2}", row("stylegan2-ada"))


@pytest.mark.parametrize("cached, answers, said", [(True, False, "is in the cache"), (False, True, "can be downloaded"),
                                                   (False, False, "cannot be had now: the model hub does not answer")])
def test_it_says_whether_the_published_weights_can_be_had_and_what_tuned_would_do(monkeypatch, cached, answers, said):
    monkeypatch.setattr(weights, "in_cache", lambda: cached)
    monkeypatch.setattr(weights, "hub_answers", lambda: answers)
    text = "\n".join(doctor.examine())
    assert f"published {said}\n" in text and "tuned: vae_slicing, skip_equal_guidance, inference_mode" in text


def test_what_does_not_fit_is_said(capsys, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 2 * 1024**3, "total": 4 * 1024**3})())
    assert "does not fit" in next(line for line in doctor.examine() if line.startswith("1 "))


@pytest.mark.parametrize("cache, said", [
    ("file", "file cannot be written; set HF_HOME to a folder of yours"), ("file/hub", "file cannot be written"),
    ("locked/hub", "locked cannot be written"), ("new/hub", "can be downloaded")])
def test_a_cache_that_cannot_be_written_is_said_before_a_download(tmp_path, monkeypatch, cache, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "locked").mkdir()
    access = os.access  # whoever runs the tests may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("locked") and access(path, mode))
    monkeypatch.setattr(weights, "in_cache", lambda: False)
    monkeypatch.setattr(weights, "hub_answers", lambda: True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / cache))
    assert said in doctor._published()


def test_a_cache_without_room_for_the_weights_is_said_before_a_download(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "hub_answers", lambda: True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e9))
    assert doctor._published() == (f"may not be downloaded whole: {tmp_path} has 1.0 GB free, and they take up to 4.3; free some space, "
                           "or set HF_HOME to a folder on another disk")


def test_the_proxy_or_the_switch_that_keeps_the_hub_away_is_said_and_no_password_shown(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@nowhere:1")
    assert doctor._published() == "cannot be had now: the model hub does not answer through the proxy that the environment names"
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://nowhere")
    assert "the environment variable HTTPS_PROXY is 'nonsense://nowhere', which is no address" in doctor._published()
    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    assert doctor._published() == "cannot be had now: HF_HUB_OFFLINE is on"


def next_line(monkeypatch, given=("/x/__main__.py",)):
    monkeypatch.setattr(sys, "argv", list(given))
    return doctor._next("tesla-t4", only_random=False).partition(" -m ")[2]


def test_the_last_line_is_what_to_type_next(monkeypatch, tmp_path):
    monkeypatch.setenv("GENLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["/x/__main__.py"])
    assert doctor.examine()[-1] == f"next       {short(Path(sys.executable))} -m genlib run", "nothing is measured on this machine"


def test_what_is_typed_next_depends_on_what_is_measured_on_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("GENLIB_RESULTS", str(tmp_path / "results"))
    save_run(tmp_path / "results", "stylegan2-ada", [1.0], machine="another")
    assert next_line(monkeypatch) == "genlib run"
    for slug, said in ("stable-diffusion", "genlib run --only 2,3,4"), ("vae-as-in-thesis", "genlib run --only 2,3,4"), (
            "vae-round-trip", "genlib run --only 3,4"), ("stylegan2-ada", f"genlib report {tmp_path / 'results'}"):
        save_run(tmp_path / "results", slug, [1.0])
        assert next_line(monkeypatch) == said
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert next_line(monkeypatch) == f"genlib table {tmp_path / 'results'}", "without pandoc there is no chapter"


def test_what_is_typed_next_depends_on_packages_notebooks_and_whether_a_gpu_would_find_its_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("GENLIB_RESULTS", str(tmp_path / "results"))
    assert doctor._next("tesla-t4", only_random=True).endswith(" run --weights random")
    monkeypatch.setenv("GENLIB_WEIGHTS", "published")
    assert doctor._next("tesla-t4", only_random=True).endswith(" run")
    monkeypatch.setattr(notebook, "PROJECT", tmp_path)
    assert next_line(monkeypatch) == "genlib generate --model stylegan2 --seeds 0-15 --out faces"
    monkeypatch.setattr(notebook, "missing", lambda: "a, b: pip install a b")
    assert doctor._next("tesla-t4", only_random=False) == f"{short(Path(sys.executable))} -m pip install a b"


def test_the_program_is_named_as_it_can_be_typed_again(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "bin" / "genlib"
    for there, said in (None, str(Path("bin", "genlib"))), (str(script), "genlib"):
        monkeypatch.setattr(shutil, "which", lambda name, there=there: there)
        monkeypatch.setattr(sys, "argv", [str(script)])
        assert as_typed() == said
    for called in "./genlib", str(tmp_path / "genlib"):
        monkeypatch.setattr(sys, "argv", [called])
        assert as_typed() == os.path.join(".", "genlib"), "a bare name would be looked for elsewhere"


def test_paths_with_spaces_are_typed_in_quotes(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["/x/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my python"))
    monkeypatch.setenv("GENLIB_RESULTS", str(tmp_path / "my results"))
    for slug in "stable-diffusion", "vae-as-in-thesis", "vae-round-trip", "stylegan2-ada":
        save_run(tmp_path / "my results", slug, [1.0])
    typed = shlex.split(doctor._next("tesla-t4", only_random=False))
    assert typed == [sys.executable, "-m", "genlib", "report", str(tmp_path / "my results")]


@pytest.mark.parametrize("value", ["", "7"])
def test_a_machine_whose_gpus_are_hidden_is_told_by_what(monkeypatch, value):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert f"no GPU is visible with CUDA_VISIBLE_DEVICES={value!r}" in doctor.examine()[0]
