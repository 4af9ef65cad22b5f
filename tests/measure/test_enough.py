"""A run goes on until its mean time is known as well as asked, and its interval then covers what it says."""
import sys

import numpy as np
import pytest
from PIL import Image

from genlib import measure, runs
from genlib.measure import enough
from genlib.record import NOT_FINITE
from genlib.report.statistics import estimate


@pytest.fixture
def clock(monkeypatch):
    """Iterations take the times that a test gives, one after another."""
    module = sys.modules["genlib.measure.repeat"]  # by that name the package has its function
    measured_once = module.measure

    def take(times):
        times = iter(times)

        def measure_one(call, index):
            iteration, images = measured_once(call, index)
            iteration.time_s = next(times)
            return iteration, images

        monkeypatch.setattr(module, "measure", measure_one)
    return take


def repeat(tmp_path, call=lambda: None, **options):
    return measure.repeat(call, **(dict(experiment="e", until=0.02, warmup=0, results=tmp_path) | options))


# --- the rule

@pytest.mark.parametrize("spread", [0.01, 0.045, 0.06])
@pytest.mark.parametrize("skewed", [False, True])
def test_95_percent_of_the_intervals_at_the_end_cover_the_mean(spread, skewed):
    random = np.random.default_rng(1)
    draw = random.lognormal if skewed else random.normal
    times = draw(0 if skewed else 1, spread, (1000, 100))
    ends = [next(n for n in range(2, 101) if n == 100 or enough.known(row[:n], 0.02)) for row in times]
    found = [estimate([row[:n]]) for row, n in zip(times, ends, strict=True)]
    mean = np.exp(spread**2 / 2) if skewed else 1
    assert np.mean([one.low <= mean <= one.high for one in found]) == pytest.approx(0.95, abs=0.02)
    assert all(one.high - one.low <= 0.04 * one.mean for one, n in zip(found, ends, strict=True) if n < 100)


def test_the_interval_is_that_of_the_report():
    times = [1.0, 1.1, 1.3, 0.9]
    found = estimate([np.array(times)])
    assert enough.half_width(times) == pytest.approx((found.high - found.low) / 2 / found.mean)


# --- the run

def test_a_steady_call_is_measured_15_times_and_an_unsteady_one_until_its_mean_is_known(tmp_path, clock, capsys):
    clock([1.0, 1.01] * 50)
    assert len(repeat(tmp_path / "steady").iterations) == 15
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("(judged from iteration 15 on)") and lines[14].endswith("· mean ± 0.285 % (to be ± 2 %)")
    assert lines[15] == "enough: the mean time is known to ± 0.285 % (95 % interval)"
    clock([1.0, 1.1] * 50)
    run = repeat(tmp_path / "unsteady")
    assert 15 < len(run.iterations) < 100 and not run.warnings
    assert not enough.known([i.time_s for i in run.iterations[:-1]], 0.02)


def test_iterations_are_the_least(tmp_path, clock):
    clock([1.0] * 100)
    assert len(repeat(tmp_path, iterations=20).iterations) == 20


def test_the_limit_ends_a_run_and_its_warnings_say_so(tmp_path, clock, capsys):
    clock([1.0, 2.0] * 50)
    run = repeat(tmp_path, limit=18)
    assert len(run.iterations) == 18 and len(run.warnings) == 1 and runs.read(run.folder / "run.json").warnings == run.warnings
    assert run.warnings[0].startswith("the limit of 18 iterations was reached before the mean time was known to ± 2 %")
    assert run.warnings[0] in capsys.readouterr().out.splitlines()


def test_a_run_that_was_interrupted_goes_on_to_the_same_end(tmp_path, clock, capsys):
    times = [1.0, 1.1] * 50
    clock(times)
    whole = repeat(tmp_path / "whole")

    def interrupted(index):
        if index == 17:
            raise KeyboardInterrupt

    clock(times)
    with pytest.raises(KeyboardInterrupt):
        repeat(tmp_path, interrupted)
    clock(times[17:])
    run = repeat(tmp_path)
    assert run.resumed and [i.time_s for i in run.iterations] == [i.time_s for i in whole.iterations]
    assert "interrupted after 17 of at most 100 iterations" in capsys.readouterr().out


def test_a_run_interrupted_at_its_end_measures_no_more(tmp_path, clock):
    def interrupted(pictures):
        raise KeyboardInterrupt

    clock([1.0] * 15)
    with pytest.raises(KeyboardInterrupt):
        repeat(tmp_path, lambda: [Image.new("RGB", (4, 4))], quality=interrupted)
    assert len(repeat(tmp_path, lambda: pytest.fail("it ran")).iterations) == 15


def test_where_nothing_succeeds_a_run_does_not_go_on_to_its_limit(tmp_path):
    picture = Image.new("RGB", (8, 8))
    picture.info["doubt"] = NOT_FINITE
    run = repeat(tmp_path, lambda: [picture])
    assert len(run.iterations) == 15 and not run.warnings


@pytest.mark.parametrize("options, said", [
    *((dict(until=until), f"until is {until!r}: it must lie between 0 and 1") for until in (0, -0.1, 1, 2, float("nan"), "0.02")),
    *((dict(limit=limit), f"limit is {limit!r}: .* at least iterations \\(5\\)") for limit in (4, 0, 20.5, None))])
def test_what_cannot_be_reached_is_refused_before_anything_runs(tmp_path, options, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        repeat(tmp_path, lambda: pytest.fail("it ran"), **options)
    assert list(tmp_path.iterdir()) == []
