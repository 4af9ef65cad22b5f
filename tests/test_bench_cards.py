"""Cards imitated on a larger one, tried without any: which holds a mode, what stays of those that do not."""
import bench_cards
import pytest
import torch
from bench_cards import GB, Mode

from genlib import runs
from genlib.models import stable_diffusion


def kept():
    """Runs are kept elsewhere."""


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of 100 GB that does what the CPU does; the list gets each limit in GB, and the model's place."""
    said = []
    monkeypatch.setattr(bench_cards, "context_bytes", lambda: GB // 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (100 * GB, 100 * GB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share: said.append(round(100 * share, 6)))
    monkeypatch.setattr(stable_diffusion.StableDiffusionPipeline, "enable_model_cpu_offload", lambda pipe: said.append("parts"))
    monkeypatch.setattr(stable_diffusion.StableDiffusionPipeline, "enable_sequential_cpu_offload", lambda pipe: said.append("layers"))
    return said


def test_of_a_mode_each_card_is_tried_until_one_holds_it_and_the_others_are_runs_out_of_memory(tmp_path, monkeypatch, gpu):
    plain = stable_diffusion.load

    def load(*arguments, **options):
        if gpu[-1] < 7:
            raise MemoryError("it does not fit")
        return plain(*arguments, **options)

    monkeypatch.setattr(bench_cards.stable_diffusion, "load", load)
    monkeypatch.setattr(bench_cards, "MODES", [Mode("float32")])
    lines = bench_cards.cards(tmp_path, "demo", 1, kept)
    assert [line.split(" | ")[2:4] for line in lines[2:5]] == [["4", "out of memory"], ["6", "out of memory"], ["8", "holds it"]]
    assert gpu == [3.5, 3.5, 100, 5.5, 5.5, 100, 7.5, 7.5, 100], "less the context; the limit is lifted again"
    found = {run.settings["card_bytes"] // GB: [iteration.out_of_memory for iteration in run.iterations] for run in runs.read_all(tmp_path)}
    assert found == {4: [True], 6: [True], 8: [False, False]}


def test_a_model_that_is_offloaded_is_loaded_before_the_limit_and_put_in_its_place(tmp_path, monkeypatch, gpu):
    monkeypatch.setattr(bench_cards, "MODES", [Mode("float32", "parts in turn"), Mode("float32", "layers in turn")])
    lines = bench_cards.cards(tmp_path, "demo", 8, kept)
    assert gpu == ["parts", 3.5, 100, "layers", 3.5, 100]
    assert [line.split(" | ")[1] for line in lines[2:4]] == ["8", "5"], "fewer steps where each moves every layer"


def test_a_batch_is_drawn_with_and_without_slicing_and_its_time_is_that_of_an_image(tmp_path, monkeypatch, gpu):
    monkeypatch.setattr(bench_cards, "MODES", [Mode("float32", batch=4), Mode("float32", batch=4, slicing=True)])
    bench_cards.cards(tmp_path, "demo", 1, kept)
    found = list(runs.read_all(tmp_path))
    assert sorted(run.settings["vae_slicing"] for run in found) == [False, True]
    assert {len(iteration.images) for run in found for iteration in run.iterations} == {4}


def test_without_a_gpu_it_says_so(tmp_path):
    if not torch.cuda.is_available():
        assert bench_cards.cards(tmp_path, "demo", 1, kept) == ["Not measured: no GPU."]
