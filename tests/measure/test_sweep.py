"""A run for each condition, each with the memory to itself."""
import weakref

import pytest
import torch
from PIL import Image

from genlib import measure, runs


def sweep(conditions, make, tmp_path, **options):
    return measure.sweep(conditions, make, **(dict(experiment="e", setting="batch_size", results=tmp_path) | options))


def flat(level):
    return Image.new("RGB", (4, 4), (level, level, level))


class Model:
    """What is large: known only to its condition, and to itself."""

    def __init__(self):
        self.itself = self  # reference counts alone would not free it

    def draw(self):
        return [flat(0)]


def test_each_condition_is_a_run_named_after_the_setting_and_kept_under_its_condition(tmp_path):
    info = runs.ModelInfo("a model", "demo", "thesis", "here")
    drawn = sweep([2, 4], lambda n: (lambda: [flat(i) for i in range(n)], info, dict(batch_size=n, seed=0)), tmp_path)
    assert {n: (run.variant, run.settings, run.model.name) for n, run in drawn.items()} == {
        2: ("batch-2", dict(batch_size=2, seed=0), "a model"), 4: ("batch-4", dict(batch_size=4, seed=0), "a model")}
    assert all(len(run.warmup) == 1 and [len(i.images) for i in run.iterations] == [n, n] for n, run in drawn.items())
    assert {run.variant for run in runs.read_all(tmp_path)} == {"batch-2", "batch-4"}


def test_iterations_warm_up_and_index_are_those_of_repeat(tmp_path):
    seen = []
    [run] = sweep(["a"], lambda name: (lambda index: seen.append((name, index)), None, {}), tmp_path, iterations=3, warmup=2).values()
    assert seen == [("a", 0), ("a", 0), ("a", 0), ("a", 1), ("a", 2)] and len(run.warmup) == 2


def test_no_conditions_measure_nothing(tmp_path):
    assert sweep([], lambda condition: pytest.fail("it was made"), tmp_path) == {} and not list(tmp_path.iterdir())


def test_a_model_is_gone_before_the_next_conditions_is_made(tmp_path):
    there, before = weakref.WeakSet(), []

    def make(condition):
        before.append(len(there))
        there.add(model := Model())
        return lambda index: model.draw(), None, dict(condition=condition)

    assert list(sweep([1, 2, 3], make, tmp_path)) == [1, 2, 3] and before == [0, 0, 0]


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_condition_that_does_not_fit_is_a_printed_line_and_the_next_has_all_the_memory(tmp_path, capsys, error):
    there, before = weakref.WeakSet(), []

    def make(condition):
        before.append(len(there))
        there.add(model := Model())
        if condition == "large":
            raise error("too large for 2 GiB")
        return model.draw, None, {}

    assert list(sweep(["large", "small"], make, tmp_path, setting="precision")) == ["small"] and before == [0, 0]
    assert "precision-large: left out. too large for 2 GiB" in capsys.readouterr().out


@pytest.mark.parametrize("error, options", [(ConnectionError, {}), (FileNotFoundError, {}), (OSError, {}), (
    ValueError, dict(left_out=(OSError, ValueError)))], ids=["network", "file", "full disk", "refused, where that is asked for"])
def test_a_condition_whose_model_cannot_be_had_is_a_printed_line_and_what_a_call_raises_is_not_hidden(tmp_path, capsys, error, options):
    def fail():
        raise error("float16 files are all there are")

    def make(condition):
        return (fail() if condition == "float32" else lambda: None), None, {}

    assert list(sweep(["float32", "bfloat16"], make, tmp_path, setting="precision", **options)) == ["bfloat16"]
    assert "precision-float32: left out. float16 files are all there are" in capsys.readouterr().out
    with pytest.raises(error):
        sweep(["float32"], lambda condition: (fail, None, {}), tmp_path, **options)


def test_a_call_that_runs_out_of_memory_is_a_run_that_says_so_and_the_next_is_measured(tmp_path):
    def make(n):
        def call():
            if n == 8:
                raise MemoryError("no more")
        return call, None, {}

    measured = sweep([8, 4], make, tmp_path)
    assert {n: run.iterations[0].error for n, run in measured.items()} == {8: "out of memory: no more", 4: None}


def test_a_model_that_does_not_fit_is_a_run_that_says_so_if_the_error_knows_the_model(tmp_path):
    def make(condition):
        model, gone = runs.ModelInfo(condition, "random", "thesis", "seed 0", bytes=dict(unet=8)), Model()
        alive.add(gone)
        error = MemoryError(f"{condition} does not fit")
        error.info = model
        raise error

    alive = weakref.WeakSet()
    [(_, run)] = sweep(["flux"], make, tmp_path, setting="model").items()
    assert (run.variant, run.model.name, run.model.bytes) == ("model-flux", "flux", dict(unet=8)) and not alive
    assert [i.error for i in run.iterations] == ["out of memory: flux does not fit"] and run.finished
    assert runs.read(run.folder / "run.json") == run


def test_another_error_is_raised_and_the_conditions_before_it_stay(tmp_path):
    def make(n):
        if n == 4:
            raise ValueError("no such batch")
        return lambda: None, None, {}

    with pytest.raises(ValueError, match="no such batch"):
        sweep([2, 4], make, tmp_path)
    assert [run.variant for run in runs.read_all(tmp_path)] == ["batch-2"]


def test_quality_judges_the_pictures_of_each_condition(tmp_path):
    measured = sweep([10, 20], lambda level: (lambda: [flat(level)], None, {}), tmp_path,
                     quality=lambda pictures: dict(level=pictures[0].getpixel((0, 0))[0], pictures=len(pictures)))
    assert {level: run.quality for level, run in measured.items()} == {level: dict(level=level, pictures=2) for level in (10, 20)}
    assert all(runs.read(run.folder / "run.json").quality == run.quality for run in measured.values())


def test_a_condition_given_twice_is_measured_once_and_one_that_can_be_no_key_fails_before_anything_is_measured(tmp_path):
    made = []

    def make(condition):
        made.append(condition)
        return lambda: None, None, {}

    assert list(measure.sweep([2, 2, 4], make, experiment="e", setting="size", results=tmp_path)) == [2, 4] and made == [2, 4]
    with pytest.raises(TypeError, match="unhashable"):
        measure.sweep([8, [1, 2]], make, experiment="e", setting="size", results=tmp_path)
    assert made == [2, 4]
