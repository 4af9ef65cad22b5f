"""The forecast counts what the models really do; its seconds are compared with measured ones by `make bench`."""
import functools
import gc
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from genlib import doctor, measure, notebook
from genlib.__main__ import main
from genlib.models import stable_diffusion, stylegan2, vae


@pytest.fixture(scope="module", autouse=True)
def counted_once():
    """Each model's operations are counted once for all tests: that takes seconds and comes out the same each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "work", functools.cache(doctor.work))
        yield


@pytest.fixture(scope="module")
def demo():
    return doctor.work("demo", torch.float32, steps=4)


def test_the_forecast_counts_the_operations_that_the_demo_models_make(demo):
    pipe, autoencoder, G = stable_diffusion.load("demo"), vae.load("demo"), stylegan2.load("demo")
    latents = stable_diffusion.random_latents(pipe)
    really = {
        "stable-diffusion": measure.count_flops(lambda: pipe(prompt="", latents=latents, num_inference_steps=4).images),
        "vae-round-trip": measure.count_flops(lambda: vae.decode(autoencoder, vae.encode(autoencoder, torch.zeros(1, 3, 64, 64))) is None),
        "stylegan2-ada": measure.count_flops(lambda: G(torch.zeros(1, G.z_dim)) is None)}
    for experiment, flops in really.items():
        assert 0.9 < demo[experiment].flops / flops < 1.1, experiment
    assert demo["stable-diffusion"].weights_bytes == sum(
        p.numel() * 4 for part in (pipe.unet, pipe.vae, pipe.text_encoder) for p in part.parameters())


def test_it_knows_the_published_sizes_and_that_half_precision_halves_them():
    full, half = (doctor.work("random", dtype) for dtype in (torch.float32, torch.float16))
    assert 4.26e9 < full["stable-diffusion"].weights_bytes < 4.28e9  # 3.44 + 0.49 + 0.335 GB without the safety checker
    assert half["stable-diffusion"].weights_bytes * 2 == full["stable-diffusion"].weights_bytes
    assert full["stable-diffusion"].flops == half["stable-diffusion"].flops > 50 * full["vae-round-trip"].flops / 5
    assert full["vae-round-trip"].map_bytes > 512 * 512 * 128 * 4, "the decoder's largest map"


def test_maps_that_are_gone_do_not_count_at_the_peak():
    size = 2**20
    with doctor._Watch() as watch:
        a = torch.zeros(size)
        b = a + 1
        del a
        gc.collect()
        c = b + 1
        c.view(2, -1)
    assert watch.peak_bytes == 2 * 4 * size and watch.operations == 4


def test_a_cpu_computes_and_starts_operations_in_turn_a_gpu_at_once():
    amount = doctor.Work(flops=1e9, operations=1000)
    assert doctor.time_s(amount, 1e9, 1e-3, "cpu") == pytest.approx(1 / doctor.SHARE_REACHED["cpu"] + 1)
    assert doctor.time_s(amount, 1e9, 1e-3, "cuda") == pytest.approx(1 / doctor.SHARE_REACHED["cuda"])
    assert doctor.time_s(amount.times(2), 1e12, 1e-3, "cuda") == pytest.approx(2)


def test_the_command_says_machine_weights_forecast_and_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(doctor.weights_module, "hub_answers", lambda: False)
    monkeypatch.setattr(doctor.notebook, "NEEDED", {"no_such_module": "some-package", "torch": "torch"})
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "the model hub does not answer" in out and "missing    some-package: pip install some-package" in out
    for number, experiment in enumerate(("stable-diffusion", "vae-round-trip", "stylegan2-ada"), 1):
        assert len(re.findall(r"an image, .*?GiB", re.search(rf"^{number} {experiment}.*$", out, re.MULTILINE)[0])) == 2, out


@pytest.mark.parametrize("module, package", [("torch", "torch"), ("skimage", "scikit-image")])
def test_a_package_that_nothing_works_without_is_said_with_the_command_that_installs_it(module, package):
    hidden = f"import sys\nsys.modules[{module!r}] = None\nfrom importlib import util\nfind = util.find_spec\n" \
             f"util.find_spec = lambda name: None if name == {module!r} else find(name)\n" \
             "from genlib.__main__ import main\nsys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert f"missing {package}: pip install {package}" in " ".join((done.stdout + done.stderr).split()), done.stderr


def test_every_dependency_of_the_package_is_looked_for():
    declared = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.match(r"[\w-]+", line)[0] for line in declared} <= set(notebook.NEEDED.values())


def test_notebook_2_needs_the_memory_of_the_pipeline_that_makes_its_faces(monkeypatch):
    monkeypatch.setattr(doctor.weights_module, "hub_answers", lambda: False)
    first, second = (next(line for line in doctor.examine() if line.startswith(f"{number} ")) for number in (1, 2))
    assert re.findall(r"[\d.]+ GiB", second) == re.findall(r"[\d.]+ GiB", first)


@pytest.mark.parametrize("cached, answers, said", [(True, False, "is in the cache"), (False, True, "can be downloaded"),
                                                   (False, False, "cannot be had now: the model hub does not answer")])
def test_it_says_whether_the_published_weights_can_be_had_and_what_tuned_would_do(monkeypatch, cached, answers, said):
    monkeypatch.setattr(doctor.weights_module, "in_cache", lambda: cached)
    monkeypatch.setattr(doctor.weights_module, "hub_answers", lambda: answers)
    text = "\n".join(doctor.examine())
    assert f"published {said}\n" in text and "tuned: vae_slicing, skip_equal_guidance, inference_mode" in text


def test_what_does_not_fit_is_said(capsys, monkeypatch):
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 2 * 1024**3, "total": 4 * 1024**3})())
    assert "does not fit" in next(line for line in doctor.examine() if line.startswith("1 "))
