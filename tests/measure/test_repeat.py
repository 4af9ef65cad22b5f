import inspect
import sys
import time
import types

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from genlib import measure, quality, runs
from genlib.measure import as_in_thesis

MIB = 1024**2


def repeat(call, tmp_path, **options):
    return measure.repeat(call, **(dict(experiment="e", iterations=2, results=tmp_path) | options))


def test_a_sleep_is_never_read_shorter_than_it_was(tmp_path):
    run = repeat(lambda: time.sleep(0.05), tmp_path, iterations=5)
    assert all(i.time_s >= 0.05 for i in run.iterations)


def test_a_sleep_takes_wall_time_and_no_cpu_time(tmp_path):
    run = repeat(lambda: time.sleep(0.3), tmp_path, iterations=1)
    assert run.iterations[0].cpu_time_s < 0.1 < run.iterations[0].time_s


def test_the_warm_up_runs_first_and_is_kept_apart(tmp_path):
    calls = []
    run = repeat(lambda: calls.append(1), tmp_path, iterations=3, warmup=2)
    assert len(calls) == 5 and len(run.warmup) == 2 and len(run.iterations) == 3


def test_a_call_that_asks_for_the_index_gets_it(tmp_path):
    seen = []
    repeat(lambda iteration: seen.append(iteration), tmp_path, iterations=3)
    assert seen == [0, 0, 1, 2]


def test_the_pictures_are_saved_outside_the_timed_region(tmp_path, monkeypatch):
    save = runs.Run.save_images
    monkeypatch.setattr(runs.Run, "save_images", lambda *arguments: time.sleep(0.3) or save(*arguments))
    run = repeat(lambda: [Image.new("RGB", (8, 8))], tmp_path, iterations=1)
    assert run.iterations[0].time_s < 0.25 and run.image_files()[0].exists()


def test_peak_memory_sees_an_allocation_that_was_freed_inside_the_call(tmp_path):
    before = []

    def allocate():
        before.append(psutil.Process().memory_info().rss)
        np.ones(256 * MIB, dtype=np.uint8)

    run = repeat(allocate, tmp_path, iterations=2)
    for iteration, rss in zip(run.iterations, before[1:], strict=True):
        assert iteration.ram_peak_bytes - rss == pytest.approx(256 * MIB, rel=0.03)
        assert iteration.ram_bytes - rss < 64 * MIB, "it was freed before the end"


def test_one_iterations_peak_is_not_carried_into_the_next(tmp_path):
    def allocate_once(iteration):
        np.ones(256 * MIB if iteration == 0 else 1, dtype=np.uint8)

    run = repeat(allocate_once, tmp_path)
    assert run.iterations[0].ram_peak_bytes - run.iterations[1].ram_peak_bytes > 200 * MIB


def test_mapped_weights_count_as_resident_and_not_as_private(tmp_path):
    file = tmp_path / "weights.bin"
    np.ones(128 * MIB, dtype=np.uint8).tofile(file)
    kept = []

    def touch():
        kept.append(np.memmap(file, mode="r"))
        kept[-1].sum()

    plain = repeat(lambda: None, tmp_path / "a", iterations=1, warmup=0).iterations[0]
    mapped = repeat(touch, tmp_path / "b", iterations=1, warmup=0).iterations[0]
    assert mapped.ram_bytes - plain.ram_bytes == pytest.approx(128 * MIB, rel=0.1)
    assert abs(mapped.ram_private_bytes - plain.ram_private_bytes) < 16 * MIB


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="this machine has a GPU")
def test_what_a_machine_without_a_gpu_cannot_tell_is_null(tmp_path):
    iteration = repeat(lambda: None, tmp_path).iterations[0]
    for name in ("vram_peak_bytes", "vram_reserved_bytes", "vram_device_bytes", "vram_process_bytes", "vram_source", "energy_j",
                 "temperature_c", "clock_hz", "throttled"):
        assert getattr(iteration, name) is None, name


@pytest.mark.parametrize("iterations", [0, -1, 2.5])
def test_iterations_below_one_are_refused_before_anything_runs(tmp_path, iterations):
    with pytest.raises(ValueError, match="iterations is .* at least 1"):
        repeat(lambda: pytest.fail("it ran"), tmp_path, iterations=iterations)
    assert list(tmp_path.iterdir()) == []


def test_out_of_memory_is_an_iteration_that_says_so_and_the_next_condition_goes_on(tmp_path):
    def too_large():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    run = repeat(too_large, tmp_path)
    assert run.finished and [i.error for i in run.iterations] == ["out of memory: CUDA out of memory. Tried to allocate 20.00 GiB"]
    assert repeat(lambda: None, tmp_path, variant="smaller").iterations[0].error is None
    df = runs.load(tmp_path)
    assert set(df["error"].notna()) == {True, False}


def test_another_error_is_raised_and_what_was_measured_stays(tmp_path):
    def fails(iteration):
        if iteration == 2:
            raise RuntimeError("the third fails")

    with pytest.raises(RuntimeError, match="the third fails"):
        repeat(fails, tmp_path, iterations=4)
    [path] = tmp_path.rglob("run.json")
    interrupted = runs.read(path)
    assert interrupted.finished is None and len(interrupted.iterations) == 2


def test_an_interrupted_run_goes_on_where_it_stopped_and_says_so(tmp_path, capsys):
    def interrupted(iteration):
        if iteration == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repeat(interrupted, tmp_path, iterations=3)
    seen = []
    run = repeat(lambda iteration: seen.append(iteration), tmp_path, iterations=3)
    assert run.resumed and len(run.iterations) == 3 and seen == [0, 1, 2]  # the warm-up, then the two that were missing
    assert "after 1 of 3" in capsys.readouterr().out
    assert len(list(tmp_path.rglob("run.json"))) == 1


def test_a_run_cut_off_with_more_iterations_than_are_now_asked_for_stays_and_a_new_one_begins_beside_it(tmp_path, capsys):
    def interrupted(iteration):
        if iteration == 3:
            raise KeyboardInterrupt

    for measured in measure.repeat, measure.repeat_as_in_thesis:
        with pytest.raises(KeyboardInterrupt):
            measured(interrupted, experiment="e", iterations=5, results=tmp_path)
        run = measured(lambda: None, experiment="e", iterations=2, results=tmp_path)
        assert len(run.iterations) == 2 and not run.resumed, "a notebook that asked for two gets two"
    assert "continues" not in capsys.readouterr().out and len(list(tmp_path.rglob("run.json"))) == 4


def test_a_line_is_printed_an_iteration_and_the_averages(tmp_path, capsys):
    repeat(lambda: None, tmp_path, iterations=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split() for line in lines] == [
        ["warm-up", "1/1"], ["iteration", "1/2"], ["iteration", "2/2"], ["average", "of", "2"]]
    assert all(" s · VRAM " in line and "RAM" in line for line in lines)


def test_flops_of_a_matrix_product_a_convolution_and_attention_are_the_textbooks():
    a, b = torch.randn(3, 5), torch.randn(5, 7)
    assert measure.count_flops(lambda: a @ b) == 2 * 3 * 5 * 7
    image, kernel = torch.randn(1, 3, 8, 8), torch.randn(4, 3, 3, 3)
    assert measure.count_flops(lambda: torch.nn.functional.conv2d(image, kernel, padding=1)) == 2 * 4 * 3 * 9 * 64
    q = torch.randn(1, 2, 6, 4)  # 2 heads, 6 positions, 4 wide
    assert measure.count_flops(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q)) == 2 * (2 * 2 * 6 * 6 * 4)


def test_the_thesiss_reading_has_no_warm_up_and_its_own_method(tmp_path):
    calls = []
    run = measure.repeat_as_in_thesis(lambda: calls.append(1), experiment="e", iterations=3, results=tmp_path)
    assert len(calls) == 3 and run.warmup == [] and run.method == "thesis"
    assert runs.load(tmp_path)["method"].unique().tolist() == ["thesis"]


def test_the_thesiss_reading_refuses_a_source_that_it_did_not_use(tmp_path):
    with pytest.raises(ValueError, match="'allocator' or 'gputil'"):
        measure.repeat_as_in_thesis(lambda: None, experiment="e", vram="nvml", results=tmp_path)


@pytest.mark.parametrize("script, expected", [
    ("", None), ("echo 'NVIDIA-SMI has failed'", None), ("echo 'No devices were found'", None), ("sleep 60", None),
    ("echo '0, GPU-1, 5, 1000, 1136, 400, 535.1, Tesla T4, 123, Disabled, Disabled, 60'", 1136 * MIB),
    ("echo '0, GPU-1, 5, 1000, 1136, 400, 535.1, NVIDIA A100, MIG 1g.5gb, 123, Disabled, Disabled, 60'", 1136 * MIB),
    ("echo '0, GPU-1, 5, 1000, [Insufficient Permissions], 400, 535.1, NVIDIA A100, 123, Disabled, Disabled, 60'", None),
    ("echo '0, GPU-1, 5, [N/A], [N/A], [N/A], 535.1, Tesla T4, 123, Disabled, Disabled, 60'", None),
    ("echo '0, GPU-1, 5, 0, 0, 0, 535.1, Tesla T4, 123, Disabled, Disabled, 60'", None),
])
def test_every_fault_of_gputil_is_a_reading_that_is_missing(tmp_path, monkeypatch, script, expected):
    program = tmp_path / "nvidia-smi"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(as_in_thesis, "TIMEOUT_S", 3)
    assert as_in_thesis.gputil_memory_used() == expected


def test_repeat_has_the_signature_that_notebooks_and_users_rely_on():
    parameters = inspect.signature(measure.repeat).parameters
    assert {"experiment", "model", "settings", "iterations", "warmup", "results"} <= set(parameters)
    assert (parameters["iterations"].default, parameters["warmup"].default) == (5, 1)


def noise(seed):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (32, 32, 3), dtype=np.uint8))


def test_psnr_and_ssim_know_an_identical_a_close_and_an_unrelated_picture():
    a = noise(0)
    close = Image.fromarray((np.asarray(a).astype(int) + 1).clip(0, 255).astype(np.uint8))
    assert quality.psnr(a, a) == float("inf") and quality.ssim(a, a) == 1
    assert 47 < quality.psnr(a, close) < 49, "one level off everywhere is 20 log10(255) = 48.1 dB"
    assert quality.psnr(a, noise(1)) < 10 and quality.ssim(a, noise(1)) < 0.1
    with pytest.raises(ValueError, match="resize"):
        quality.psnr(a, a.resize((8, 8)))


def test_sharpness_and_diversity_are_zero_for_flat_and_for_equal_pictures():
    flat = Image.new("RGB", (32, 32), "grey")
    assert quality.sharpness(flat) == 0 < quality.sharpness(noise(0))
    assert quality.diversity([flat, flat]) == 0 < quality.diversity([flat, noise(0)])


def clip_of_torchmetrics(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "torchmetrics", types.ModuleType("torchmetrics"))
    monkeypatch.setitem(sys.modules, "torchmetrics.multimodal", module)


def test_clip_iqa_gives_the_pictures_to_torchmetrics_as_levels_of_255(monkeypatch):
    given = []

    class Metric:
        def __init__(self, data_range):
            assert data_range == 255

        def __call__(self, pictures):
            given.append(pictures)
            return torch.tensor([0.25, 0.75])

    clip_of_torchmetrics(monkeypatch, types.SimpleNamespace(CLIPImageQualityAssessment=Metric))
    pictures = [noise(0), noise(1)]
    found = quality.of_pictures(pictures, clip=True)
    assert found["clip_iqa"] == 0.5 and given[0].shape == (2, 3, 32, 32) and given[0].dtype == torch.float32
    assert (given[0][1].permute(1, 2, 0).numpy() == np.asarray(pictures[1])).all()
    assert found["sharpness"] == pytest.approx((quality.sharpness(noise(0)) + quality.sharpness(noise(1))) / 2)
    assert found["diversity"] == quality.diversity(pictures)
    assert set(quality.of_pictures(pictures)) == {"sharpness", "diversity"}, "CLIP only when asked"


@pytest.mark.parametrize("fault", [ImportError("No module named 'torchmetrics'"), ValueError("package `piq` must be installed"),
                                   OSError("<urlopen error>")])
def test_without_packages_or_a_network_clip_iqa_is_left_out_with_the_reason(monkeypatch, capsys, fault):
    def refuse(data_range):
        raise fault

    clip_of_torchmetrics(monkeypatch, types.SimpleNamespace(CLIPImageQualityAssessment=refuse))
    assert set(quality.of_pictures([noise(0), noise(1)], clip=True)) == {"sharpness", "diversity"}
    out = capsys.readouterr().out
    assert str(fault) in out and "pip install torchmetrics piq" in out and len(out.splitlines()) == 1


@pytest.mark.gpu
def test_a_tensor_of_known_size_is_read_to_the_byte(tmp_path):
    run = repeat(lambda: torch.empty(100 * MIB, dtype=torch.uint8, device="cuda").zero_().sum().item() or None, tmp_path)
    base = torch.cuda.memory_allocated()
    for iteration in run.iterations:
        assert 0 <= iteration.vram_peak_bytes - base - 100 * MIB < 1 * MIB
        assert iteration.vram_device_bytes >= iteration.vram_reserved_bytes >= iteration.vram_peak_bytes


def test_pictures_that_should_be_the_same_are_counted_and_their_largest_difference_told():
    a = noise(0)
    pixels = np.asarray(a).copy()
    pixels[3, 4, 1] ^= 1
    assert quality.differences([a, a, a]) == {"different_pictures": 1, "largest_difference": 0}
    assert quality.differences([a, a, Image.fromarray(pixels)]) == {"different_pictures": 2, "largest_difference": 1}


def test_a_line_says_mb_of_1024_squared_bytes():
    from genlib.measure.repeat import describe

    line = describe(runs.Iteration(time_s=1.5, vram_peak_bytes=3000 * MIB, ram_bytes=700 * MIB))
    assert line.split() == "1.500 s · VRAM 3000 MB · RAM 700 MB".split()


def test_a_wall_clock_that_is_set_back_changes_no_time(tmp_path, monkeypatch):
    hours = iter(range(100, 0, -1))
    monkeypatch.setattr(time, "time", lambda: 3600.0 * next(hours))
    assert 0.05 <= repeat(lambda: time.sleep(0.05), tmp_path, iterations=1).iterations[0].time_s < 5


def test_a_shorter_run_leaves_a_longer_one_that_was_cut_off_alone(tmp_path, capsys):
    def interrupted(iteration):
        if iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repeat(interrupted, tmp_path, iterations=5)
    assert len(repeat(lambda: None, tmp_path, iterations=2).iterations) == 2, "as many as were asked for"
    assert "continues" not in capsys.readouterr().out
    assert len(repeat(lambda: None, tmp_path, iterations=5).iterations) == 5 and "after 3 of 5 iterations" in capsys.readouterr().out
