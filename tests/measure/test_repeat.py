import inspect
import time

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from genlib import device, measure, runs
from genlib.record import BLACKENED, NOT_FINITE

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


def marked(doubt):
    picture = Image.new("RGB", (8, 8))
    picture.info["doubt"] = doubt
    return [picture]


def test_an_iteration_whose_picture_is_not_finite_failed_and_the_others_count(tmp_path, capsys):
    run = repeat(lambda iteration: marked(NOT_FINITE) if iteration == 1 else [Image.new("RGB", (8, 8))], tmp_path, iterations=3)
    assert [i.error for i in run.iterations] == [None, NOT_FINITE, None] and len(run.good) == 2 and run.finished
    assert [len(i.images) for i in run.iterations] == [1, 0, 1] and len(list(run.folder.glob("*.png"))) == 2
    assert "NaN or infinite (dtype='float32' helps" in capsys.readouterr().out


def test_where_no_picture_is_finite_the_remedy_is_not_to_take_less_memory(tmp_path, capsys):
    run = repeat(lambda: marked(NOT_FINITE), tmp_path, iterations=2)
    assert len(run.iterations) == 2 and run.warmup[0].error == NOT_FINITE and run.finished
    assert "no iteration succeeded\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no pictures, since no iteration succeeded .*float32.*") as error:
        run.image_files()
    assert "smaller batch" not in str(error.value)


def test_a_picture_that_the_safety_checker_turned_black_counts_with_one_warning(tmp_path):
    run = repeat(lambda: marked(BLACKENED), tmp_path, iterations=3)
    assert len(run.good) == 3 and run.warnings == [BLACKENED] and len(run.image_files()) == 3
    assert runs.read(run.folder / "run.json").warnings == [BLACKENED]


def test_the_thesiss_own_reading_says_too_that_a_picture_is_not_finite(tmp_path):
    run = measure.repeat_as_in_thesis(lambda: marked(NOT_FINITE), experiment="e", iterations=2, results=tmp_path)
    assert [i.error for i in run.iterations] == [NOT_FINITE] * 2
    run = measure.repeat_as_in_thesis(lambda: torch.zeros(2, 3), experiment="e", iterations=1, results=tmp_path / "tensor")
    assert run.good


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


def test_repeat_has_the_signature_that_notebooks_and_users_rely_on():
    parameters = inspect.signature(measure.repeat).parameters
    assert {"experiment", "model", "settings", "iterations", "warmup", "results"} <= set(parameters)
    assert (parameters["iterations"].default, parameters["warmup"].default) == (5, 1)


@pytest.mark.gpu
def test_a_tensor_of_known_size_is_read_to_the_byte(tmp_path):
    def generate():
        torch.empty(100 * MIB, dtype=torch.uint8, device="cuda").zero_()

    run = repeat(generate, tmp_path)
    base = torch.cuda.memory_allocated()
    for iteration in run.iterations:
        assert 0 <= iteration.vram_peak_bytes - base - 100 * MIB < 1 * MIB
        assert iteration.vram_device_bytes >= iteration.vram_reserved_bytes >= iteration.vram_peak_bytes


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


def flat(level):
    return Image.new("RGB", (4, 4), (level, level, level))


def levels(pictures):
    return [picture.getpixel((0, 0))[0] for picture in pictures]


def test_quality_gets_the_pictures_of_all_iterations_in_order_and_its_figures_are_in_the_finished_record(tmp_path):
    given = []

    def judge(pictures):
        [path] = tmp_path.rglob("run.json")
        given.append((levels(pictures), runs.read(path).finished))
        return dict(mean=np.float32(sum(levels(pictures)) / len(pictures)))

    run = repeat(lambda index: [flat(index), flat(100 + index)], tmp_path, iterations=3, quality=judge)
    assert given == [([0, 100, 1, 101, 2, 102], None)], "once, before the run is finished, and without the warm-up's"
    kept = runs.read(run.folder / "run.json")
    assert kept.finished and kept.quality == run.quality == dict(mean=51) and kept.warnings == []


@pytest.mark.parametrize("judge, said", [
    (lambda pictures: {}["sharpness"], "KeyError: 'sharpness'"), (lambda pictures: None, "AttributeError"),
    (lambda pictures: dict(clip_iqa="good"), "ValueError: could not convert string to float: 'good'")])
def test_a_fault_of_quality_costs_its_figures_only_and_is_said(tmp_path, capsys, judge, said):
    run = repeat(lambda: [flat(1)], tmp_path, quality=judge)
    kept = runs.read(run.folder / "run.json")
    assert kept.finished and len(kept.iterations) == 2 and kept.quality == {}
    assert len(kept.warnings) == 1 and kept.warnings[0].startswith(f"the quality of the pictures is missing: {said}")
    assert kept.warnings[0] in capsys.readouterr().out.splitlines()
    assert runs.load(tmp_path)["warnings"].unique().tolist() == kept.warnings


def test_quality_interrupted_by_hand_leaves_a_run_that_the_next_call_judges_without_measuring_it_again(tmp_path):
    def interrupted(pictures):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repeat(lambda index: [flat(index)], tmp_path, quality=interrupted)
    drawn = []
    run = repeat(lambda index: drawn.append(index) or [flat(50)], tmp_path, quality=lambda pictures: dict(sum=sum(levels(pictures))))
    assert run.resumed and run.quality == dict(sum=1) and drawn == [0], "the warm-up alone"


def test_quality_of_a_continued_run_has_the_pictures_of_before(tmp_path):
    def interrupted(index):
        if index == 2:
            raise KeyboardInterrupt
        return [flat(index)]

    with pytest.raises(KeyboardInterrupt):
        repeat(interrupted, tmp_path, iterations=4)
    given = []
    repeat(lambda index: [flat(10 + index)], tmp_path, iterations=4, quality=lambda pictures: given.extend(levels(pictures)) or {})
    assert given == [0, 1, 12, 13]


def fails_from(first):
    def call(index):
        if index >= first:
            raise MemoryError("no more")
        return [flat(index)]
    return call


def test_quality_is_asked_of_what_was_drawn_and_not_at_all_if_nothing_was(tmp_path):
    given = []
    for name, call in ("some", fails_from(1)), ("none", fails_from(0)), ("no pictures", lambda: None):
        repeat(call, tmp_path, experiment=name, quality=lambda pictures: given.append(levels(pictures)) or {})
    assert given == [[0]]


@pytest.mark.parametrize("returned, said", [
    ([torch.zeros(3, 4, 4)], "a list with a Tensor in it: return PIL images, which images.to_pil makes"),
    ([flat(0), None], "a NoneType in it"),
    ([[flat(0)]], "a list with a list in it"), (["face.png"], "a str in it"), ([np.zeros((4, 4, 3))], "a ndarray in it"),
    *(([Image.new(mode, (4, 4))], f"mode {mode} with 4 x 4 pixels, which no PNG holds")
      for mode in ("F", "I", "CMYK", "HSV", "YCbCr", "LAB")),
    ([Image.new("RGB", (0, 4))], "mode RGB with 0 x 4 pixels")])
def test_what_no_png_can_hold_is_one_sentence_at_the_warm_up_and_costs_nothing_that_was_measured(tmp_path, returned, said):
    with pytest.raises((TypeError, ValueError), match=f"^generate returned .*{said}"):
        repeat(lambda: returned, tmp_path)
    with pytest.raises((TypeError, ValueError)):
        repeat(lambda index: returned if index else [flat(1)], tmp_path, warmup=0)
    run = repeat(lambda index: [flat(index)], tmp_path)
    assert run.resumed and run.finished and [len(i.images) for i in run.iterations] == [1, 1]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_picture_that_a_png_holds_is_kept(tmp_path, mode):
    [file] = repeat(lambda: [Image.new(mode, (4, 4))], tmp_path, iterations=1).image_files()
    assert Image.open(file).size == (4, 4)


def test_no_pictures_at_all_are_no_fault(tmp_path):
    assert repeat(lambda: [], tmp_path).finished


def test_a_run_names_the_other_models_that_its_process_had_loaded_each_once(tmp_path, monkeypatch):
    first, again, own = (runs.ModelInfo(name, "random", "thesis", "seed 0") for name in ("first", "first", "own"))
    monkeypatch.setattr(device, "loaded", [own])
    assert repeat(lambda: None, tmp_path, model=own).loaded_before == []
    monkeypatch.setattr(device, "loaded", [first, own, again])
    assert repeat(lambda: None, tmp_path, model=own).loaded_before == ["first, float32"]
    assert repeat(lambda: None, tmp_path).loaded_before == ["first, float32", "own, float32"]
    again.dtype = "bfloat16"
    read = measure.repeat_as_in_thesis(lambda: None, experiment="e", model=own, iterations=1, results=tmp_path)
    assert runs.read(read.folder / "run.json").loaded_before == ["first, float32", "first, bfloat16"]


def test_the_conditions_of_a_sweep_name_those_that_were_loaded_before_them(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "loaded", [])

    def condition(name):
        info = runs.ModelInfo(name, "random", "thesis", "seed 0")
        device.loaded.append(info)
        return lambda: None, info, {}

    measured = measure.sweep(["a", "b", "c"], condition, experiment="e", setting="precision", results=tmp_path)
    assert [run.loaded_before for run in measured.values()] == [[], ["a, float32"], ["a, float32", "b, float32"]]
