"""Cards imitated on a larger one, tried without any: which holds a mode, what stays of those that do not."""
import re
from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace

import pytest
import torch

from genlib import device, runs
from genlib.__main__ import main
from genlib.commands import cards
from genlib.measure import card
from genlib.models import modes, stable_diffusion, weights
from genlib.models.modes import Mode

GB = 1024**3
PIPELINE = stable_diffusion.StableDiffusionPipeline


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 24 GB that does what the CPU does; the list gets each limit in GB and each offloading."""
    said = []

    @contextmanager
    def limited_to(size):
        said.append(size)
        yield
        said.append("lifted")

    monkeypatch.setattr(card, "largest_gb", lambda: 24)
    monkeypatch.setattr(card, "limited_to", limited_to)
    monkeypatch.setattr(device, "computes_in", lambda dtype: dtype != "bfloat16")
    monkeypatch.setattr(PIPELINE, "enable_model_cpu_offload", lambda pipe: said.append("model"))
    monkeypatch.setattr(PIPELINE, "enable_sequential_cpu_offload", lambda pipe: said.append("sequential"))
    return said


@pytest.fixture
def fits_from(monkeypatch, gpu):
    """Let loading fail on cards smaller than this one."""
    def fits_from(least):
        plain = stable_diffusion.load

        def load(*arguments, **options):
            if gpu[-1] != "lifted" and gpu[-1] < least:
                raise MemoryError("it does not fit")
            return plain(*arguments, **options)

        monkeypatch.setattr(stable_diffusion, "load", load)
    return fits_from


def try_all(monkeypatch, folder, *tried, steps=1, sizes=(6, 4, 8)):
    monkeypatch.setattr(modes, "MODES", tried)
    return list(cards.tries("demo", steps, sizes, folder))


def test_of_a_mode_each_card_is_tried_from_the_smallest_until_one_holds_it_and_the_others_are_runs_out_of_memory(
        tmp_path, monkeypatch, gpu, fits_from):
    fits_from(6)
    try_all(monkeypatch, tmp_path, Mode("float32"))
    assert gpu == [4, "lifted", 4, "lifted", 6, "lifted", 6, "lifted"], "while it is loaded, and while it draws"
    found = {run.variant: run for run in runs.read_all(tmp_path)}
    assert {name: [i.out_of_memory for i in run.iterations] for name, run in found.items()} == {
        "card-4-gb-float32": [True], "card-6-gb-float32": [False, False]}
    small, large = found.values()
    assert (small.settings["card_bytes"], large.settings["card_bytes"]) == (4 * GB, 6 * GB)
    assert (small.weights, small.profile, small.model.name, small.model.dtype) == (
        large.weights, large.profile, large.model.name, large.model.dtype), "or it would lie apart, as of no model"


def test_a_model_in_parts_is_loaded_before_the_limit_and_takes_few_steps_where_each_moves_every_layer(tmp_path, monkeypatch, gpu):
    taken = try_all(monkeypatch, tmp_path, Mode("float32", offload="model"), Mode("float32", offload="sequential"), steps=8)
    assert gpu == ["model", 4, "lifted", "sequential", 4, "lifted"]
    assert [run.settings["steps"] for run in taken] == [8, 5]
    assert [run.settings["offload"] for run in taken] == ["model", "sequential"]


def test_a_model_that_is_offloaded_is_never_whole_on_the_gpu(monkeypatch, gpu):
    monkeypatch.setattr(device, "pick", lambda: torch.device("meta"))  # where the demo's networks would lie without their values
    asked, plain = [], stable_diffusion.load
    monkeypatch.setattr(stable_diffusion, "load", lambda *arguments, **options: asked.append(plain(*arguments, **options)) or asked[-1])
    for offload in "model", "sequential":
        _, draw, _ = modes.prepare(Mode("float32", offload=offload), "demo", 1)
        assert asked[-1].unet.device.type == asked[-1].vae.device.type == "cpu" and draw.args[1].device.type == "meta"


def test_random_weights_are_made_where_the_model_is_to_lie(monkeypatch):
    monkeypatch.setattr(stable_diffusion, "_class", lambda info: dict)
    monkeypatch.setattr(weights, "seeded", lambda build, dtype, place: place)
    made = stable_diffusion.build(SimpleNamespace(switches=dict(safety_checker=True)), torch.float16, "there")
    assert {made[name] for name in ("unet", "vae", "text_encoder", "safety_checker")} == {"there"}


def test_a_card_that_holds_the_model_but_not_its_latents_is_out_of_memory(tmp_path, monkeypatch, gpu):
    def fail(pipe, mode):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(modes, "_latents", fail)
    runs_out = try_all(monkeypatch, tmp_path, Mode("float32"), sizes=(4, 6))
    assert [[i.error for i in run.iterations] for run in runs_out] == [["out of memory: no more"]] * 2


@pytest.mark.parametrize("mode, pictures, side, decoded", [
    (Mode("float32", batch=3), 3, 64, (3, 8)), (Mode("float32", batch=3, slicing=True), 3, 64, (1, 8)),
    (Mode("float32", sides=2), 1, 128, (1, 16)), (Mode("float32", sides=2, tiling=True), 1, 128, (1, 8))])
def test_the_pictures_have_the_number_and_the_size_of_the_mode_and_the_vae_decodes_no_more_at_once_than_it_says(
        tmp_path, monkeypatch, gpu, mode, pictures, side, decoded):
    seen, plain = [], PIPELINE.__call__

    @wraps(plain)
    def call(pipe, *arguments, **options):
        hook = pipe.vae.decoder.register_forward_pre_hook(lambda decoder, given: seen.append(tuple(given[0].shape)))
        try:
            return plain(pipe, *arguments, **options)
        finally:
            hook.remove()

    monkeypatch.setattr(PIPELINE, "__call__", call)
    [run] = try_all(monkeypatch, tmp_path, mode)
    assert len(run.iterations) == 2 and {len(i.images) for i in run.iterations} == {pictures}
    assert {picture.size for i in run.iterations for picture in run.shown(i, 9)} == {(side, side)}
    assert max((batch, height) for batch, _, height, _ in seen) == decoded
    assert (run.settings["batch_size"], run.settings.get("size", 64)) == (pictures, side)


def test_latents_of_a_larger_picture_are_random_numbers_that_occur_once():
    latents = modes._latents(stable_diffusion.load("demo", dtype="float32"), Mode(batch=2, sides=2))
    assert latents.shape == (2, 4, 16, 16) and latents.unique().numel() == latents.numel()


def test_each_mode_has_a_name_of_its_own_and_one_that_differs_in_what_it_tries():
    assert len({mode.name for mode in modes.MODES}) == len(modes.MODES) == 11
    assert Mode().name == "float16" and Mode(profile="tuned", offload="model", batch=4, sides=2, slicing=True, tiling=True).name == \
        "float16-tuned-model-offload-batch-4-2-sides-slicing-tiling"
    assert {(m.offload, m.slicing, m.tiling, m.dtype) for m in modes.MODES} >= {
        ("", False, False, dtype) for dtype in ("float16", "bfloat16", "float32")} | {
        ("model", False, False, "float16"), ("sequential", False, False, "float16"), ("", True, False, "float16"),
        ("", False, True, "float16")}


def test_a_precision_without_instructions_and_a_card_larger_than_this_gpu_are_left_out_with_a_line(tmp_path, monkeypatch, gpu, capsys):
    assert try_all(monkeypatch, tmp_path, Mode("bfloat16"), sizes=(4, 32)) == []
    said = capsys.readouterr().out
    assert "bfloat16: left out, " in said and "has no instructions for bfloat16\n" in said and "32 GB: left out, this GPU has 24 GB" in said


def test_the_command_prints_which_card_holds_each_mode_and_where_the_runs_are(tmp_path, monkeypatch, gpu, fits_from, capsys):
    fits_from(6)
    monkeypatch.setattr(modes, "MODES", [Mode("float32"), Mode("float32", offload="model")])
    assert main(["cards", "--weights", "demo", "--steps", "1", "--cards", "4,6", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^\| all on the card \| float32 \| 1 \| 6 \| . \| [\d.]+ \|$", said, re.MULTILINE)
    assert re.search(r"^\| network by network, .*\| float32 \| 1 \| 4 \|", said, re.MULTILINE)
    assert re.search(r"^runs  .*stable-diffusion/$", said, re.MULTILINE)


@pytest.mark.parametrize("given, sentence", [
    (["--cards", "4,six"], "'4,six' is no list of cards: write their memory in whole GB, as in 4,6,8"), (["--cards", "0"], "is no list"),
    (["--cards", "32,48"], "a card of 32 GB is larger than this GPU, which has 24 GB: give smaller ones in --cards")])
def test_cards_that_cannot_be_tried_are_one_sentence(tmp_path, gpu, capsys, given, sentence):
    try:
        status = main(["cards", "--weights", "demo", "--results", str(tmp_path), *given])
    except SystemExit as stopped:
        status = stopped.code
    assert status and sentence in (said := capsys.readouterr().err) and said.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_one_sentence(tmp_path, capsys):
    assert main(["cards", "--weights", "demo", "--results", str(tmp_path)]) == 1
    assert "smaller cards are imitated on an NVIDIA GPU only" in capsys.readouterr().err
