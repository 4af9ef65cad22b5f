"""The forecast counts what the models and the notebooks really do; bench_doctor.py compares its seconds."""
import gc
from contextlib import contextmanager
from math import prod

import nbformat
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from torch.nn.modules.module import register_module_forward_hook
from transformers import CLIPConfig

from genlib import device, experiments, measure, notebook
from genlib.commands import forecast
from genlib.experiments import STABLE_DIFFUSION, STYLEGAN2_ADA, VAE_AS_IN_THESIS, VAE_ROUND_TRIP
from genlib.models import stable_diffusion, stylegan2, vae, weights


@pytest.fixture(scope="module")
def demo():
    return forecast.calls("demo", torch.float32)


def test_the_forecast_counts_the_operations_that_the_demo_models_make(demo):
    pipe, autoencoder, G = stable_diffusion.load("demo"), vae.load("demo"), stylegan2.load("demo")
    latents, picture = stable_diffusion.random_latents(pipe), torch.zeros(1, 3, 64, 64)

    def draw():
        return pipe(prompt="", latents=latents, num_inference_steps=4).images

    def round_trip():
        return vae.decode(autoencoder, vae.encode(autoencoder, picture))

    really = [(STABLE_DIFFUSION, draw), (VAE_AS_IN_THESIS, lambda: (draw(), round_trip())), (VAE_ROUND_TRIP, round_trip),
              (STYLEGAN2_ADA, lambda: G(torch.zeros(1, G.z_dim)))]
    for entry, call in really:
        assert 0.9 < forecast.of_image(entry, demo, steps=4).flops / measure.count_flops(call) < 1.1, entry.slug
    for entry in STABLE_DIFFUSION, VAE_AS_IN_THESIS:
        assert forecast.of_image(entry, demo).weights_bytes == sum(
            p.numel() * 4 for part in (pipe.unet, pipe.vae, pipe.text_encoder) for p in part.parameters())


def test_it_knows_the_published_sizes_and_that_half_precision_halves_them():
    full, half = (forecast.calls("random", dtype) for dtype in (torch.float32, torch.float16))
    drawn, drawn_in_half = (forecast.of_image(STABLE_DIFFUSION, calls) for calls in (full, half))
    round_trip = forecast.of_image(VAE_ROUND_TRIP, full)
    assert 4.26e9 < drawn.weights_bytes < 4.28e9  # 3.44 + 0.49 + 0.335 GB without the safety checker
    assert drawn_in_half.weights_bytes * 2 == drawn.weights_bytes
    assert drawn.flops == drawn_in_half.flops > 50 * round_trip.flops / 5
    assert round_trip.map_bytes > 512 * 512 * 128 * 4, "the decoder's largest map"
    assert {name: work.flops for name, work in full.items()} == experiments.FLOPS
    sizes = {name: full[part].weights_bytes // 4 for name, part in (
        ("unet", "unet"), ("vae", "decoder"), ("text_encoder", "text_encoder"), ("generator", "generator"))}
    with torch.device("meta"):
        checker = StableDiffusionSafetyChecker(CLIPConfig(**stable_diffusion.CHECKER_CONFIG))
    assert sizes | {"safety_checker": sum(p.numel() for p in checker.parameters())} == experiments.PARAMETERS


@torch.inference_mode()
def test_the_decoders_largest_convolution_takes_and_gives_as_many_values_as_the_audit_sums():
    with torch.device("meta"):
        decoder = AutoencoderKL.from_config(vae.V1_CONFIG).decoder.eval()
        with counted(torch.nn.Conv2d, lambda inputs, output: inputs[0].numel() + output.numel()) as values:
            decoder(torch.empty(1, 4, 64, 64))
    assert max(values) == experiments.DECODED_VALUES


def test_results_that_are_gone_do_not_count_at_the_peak():
    size = 2**20
    with forecast._Watch() as watch:
        a = torch.zeros(size)
        b = a + 1
        del a
        gc.collect()
        c = b + 1
        c.view(2, -1)
    assert watch.peak_bytes == 2 * 4 * size and watch.operations == 4


def test_a_cpu_computes_and_starts_operations_in_turn_a_gpu_at_once():
    amount = forecast.Work(flops=1e9, operations=1000)
    assert forecast.time_s(amount, 1e9, 1e-3, "cpu") == pytest.approx(1 / forecast.SHARE_REACHED["cpu"] + 1)
    assert forecast.time_s(amount, 1e9, 1e-3, "cuda") == pytest.approx(1 / forecast.SHARE_REACHED["cuda"])
    assert forecast.time_s(amount.times(2), 1e12, 1e-3, "cuda") == pytest.approx(2)


def test_a_part_that_is_no_known_network_is_one_sentence_with_the_places_to_change(demo):
    entry = experiments.Experiment("made-up", label="", parts=lambda steps: {"transformer": steps})
    with pytest.raises(ValueError, match="made-up has a part 'transformer' in .*experiments.py: .*forecast.py, or leave `parts` out"):
        forecast.of_image(entry, demo)


# --- the images that a notebook draws

@contextmanager
def counted(network, amount):
    """A list to which each call of a network of this class adds `amount(inputs, output)`."""
    amounts = []

    def add(module, inputs, output):
        if isinstance(module, network):
            amounts.append(amount(inputs, output))

    hook = register_module_forward_hook(add)
    try:
        yield amounts
    finally:
        hook.remove()


def execute(name, results, monkeypatch, **changes):
    """Execute a notebook's code cells here, with demo weights and changes; the parameters to count by."""
    monkeypatch.chdir(notebook.PROJECT / "notebooks")
    parameters = notebook.parameters(name) | dict(WEIGHTS="demo", RESULTS=str(results)) | changes
    variables = {}
    gc.freeze()  # each measurement collects garbage first, and this process holds much more than a notebook's
    for cell in nbformat.read(f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and cell.id != "set-up":  # which finds genlib, and installs what is missing
            exec(compile(cell.source, f"{name}, cell {cell.id}", "exec"), variables)
        if cell.id == "parameters":
            variables |= parameters
    gc.unfreeze()
    return parameters | dict(PRECISIONS_TRIED=device.precisions(parameters["PRECISIONS_TRIED"], "float32"))


@pytest.mark.parametrize("changes, computes, number", [
    pytest.param({}, True, 123, marks=pytest.mark.slow, id="as it is"), pytest.param({}, False, 119, id="a processor without bfloat16"),
    pytest.param(dict(ITERATIONS=2, BATCHES_TRIED=[3], PRECISIONS_TRIED=[]), True, 63, id="fewer")])
def test_notebook_3_draws_the_images_that_its_entry_counts(tmp_path, monkeypatch, changes, computes, number):
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: computes)
    synthesis = type(stylegan2.load("demo").synthesis)
    with counted(synthesis, lambda inputs, output: len(output)) as images:
        parameters = execute(STYLEGAN2_ADA.notebook, tmp_path, monkeypatch, **changes)
    assert sum(images) == STYLEGAN2_ADA.images(parameters) == number


@pytest.mark.parametrize("changes", [
    pytest.param({}, marks=pytest.mark.slow, id="as it is"),
    pytest.param(dict(ITERATIONS=2, BATCHES_TRIED=[], SHARES_OF_STEPS_TRIED=[], STEPS=4), id="fewer, on a processor without bfloat16")])
def test_notebook_1_draws_the_images_that_its_entry_counts(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: not changes)
    with counted(UNet2DConditionModel, lambda inputs, output: len(inputs[0])) as predictions:
        parameters = execute(STABLE_DIFFUSION.notebook, tmp_path, monkeypatch, **changes)
    of_an_image = 2 * STABLE_DIFFUSION.parts(parameters["STEPS"])["unet"]  # with and without the prompt
    assert sum(predictions) / of_an_image == pytest.approx(STABLE_DIFFUSION.images(parameters), rel=0.02)  # a share of steps is rounded


@pytest.mark.parametrize("changes", [
    pytest.param({}, marks=pytest.mark.slow, id="as it is"),
    pytest.param(dict(ITERATIONS=2, BATCHES_TRIED=[3], SCALES_TRIED=[0.5], STEPS=4), id="fewer, on a processor without bfloat16")])
def test_notebook_2_draws_the_images_that_its_entries_count(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: not changes)
    side = AutoencoderKL.load_config(weights.DEMO_STABLE_DIFFUSION / "vae")["sample_size"]
    with counted(UNet2DConditionModel, lambda inputs, output: len(inputs[0])) as predictions, \
            counted(Decoder, lambda inputs, output: len(output) * prod(output.shape[2:]) / side**2) as decoded:
        parameters = execute(VAE_ROUND_TRIP.notebook, tmp_path, monkeypatch, **changes)
    parts, faces = VAE_AS_IN_THESIS.parts(parameters["STEPS"]), VAE_AS_IN_THESIS.images(parameters)
    assert sum(predictions) == 2 * parts["unet"] * faces
    assert sum(decoded) == parts["decoder"] * faces + VAE_ROUND_TRIP.parts(0)["decoder"] * VAE_ROUND_TRIP.images(parameters)
