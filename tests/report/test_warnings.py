"""What makes a run doubtful, on figures whose outcome is known by hand."""
import numpy as np
import pandas as pd
import pytest
from saved_runs import MB

from genlib import runs
from genlib.locale import Language
from genlib.record import NOT_FINITE
from genlib.report import Report, warnings


def save(folder, times, *, experiment="stable-diffusion", cores=2, started=None, **changes):
    """A finished run whose iterations took `times`, each with the same readings, or the i-th of a list of
    them."""
    of_run = {name: changes.pop(name) for name in ("variant", "settings", "warnings") if name in changes}
    run = runs.begin(runs.Run(experiment, runs.Machine("tesla-t4", device="Tesla T4", cores=cores), **of_run), folder)
    for i, time in enumerate(times):
        run.iterations.append(runs.Iteration(time_s=time, **{k: v[i] if isinstance(v, list) else v for k, v in changes.items()}))
    run.started = started or run.started
    run.finished = run.started
    run.save()


def warned(folder, times, *, language="en", **changes):
    """What is said of such a run."""
    save(folder, times, **changes)
    report = Report(folder, language=language)
    return warnings.of_run(report, report.summary["run"].iloc[0])


STEADY = [1.00, 1.01, 0.99, 1.01, 1.00]


def test_steady_times_of_an_idle_machine_bring_no_warning(tmp_path):
    save(tmp_path, STEADY, throttled=[[]] * 5, vram_others_bytes=MB, other_cpu_s=0.05, swapped_bytes=0, energy_j=None)
    assert Report(tmp_path).doubts() == ["Nothing was seen that makes these figures doubtful."]


@pytest.mark.parametrize("times, said", [
    ([1.00, 1.03, 1.05, 1.08, 1.10], "the time rises by 10 % from the first iteration to the last"),
    ([1.10, 1.08, 1.05, 1.03, 1.00], "the time falls by 10 % from the first iteration to the last"),
    ([7.79, 7.83, 7.94, 8.06, 8.05], "the time rises by 4 %"),  # as the thesis printed them
])
def test_a_drift_is_named_with_its_size_and_a_remedy(tmp_path, times, said):
    save(tmp_path, times)
    [warning] = Report(tmp_path).doubts()
    assert warning.startswith(f"Stable Diffusion: {said}") and "measure again" in warning


def test_noise_without_a_direction_is_no_drift(tmp_path):
    assert warned(tmp_path, [1.0, 1.08, 1.0, 1.07, 1.01, 1.08, 1.0]) == []


def test_drift_is_rarely_found_where_there_is_none():
    random, found = np.random.default_rng(0), 0
    for _ in range(400):
        times = pd.Series(1 + 0.05 * random.standard_normal(5), index=range(1, 6))
        found += any("from the first" in text for text in warnings._unsteady(Language("en"), times))
    assert found <= 12, "at a chance of 1 % each, 4 of 400 are expected"


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("n", [5, 10])
def test_an_outlier_is_rarely_found_where_there_is_none(noise, n):
    random = np.random.default_rng(0)
    samples = [pd.Series(1 + noise * random.standard_normal(n), index=range(1, n + 1)) for _ in range(400)]
    found = sum(len(warnings._outliers(Language("en"), times)) > 0 for times in samples)
    assert found <= 12, "at a chance of 1 % each, 4 of 400 are expected"


def test_an_outlier_is_found_among_five_and_two_of_them_among_ten(tmp_path):
    assert len(warned(tmp_path / "a", [1.0, 1.01, 1.4, 0.99, 1.0])) == 1
    two = warned(tmp_path / "b", [1.0, 1.01, 3, 0.99, 1.0, 1.01, 0.98, 9, 1.0, 1.02])
    assert len(two) == 2 and "iteration 8" in two[0] and "iteration 3" in two[1]


def test_a_slow_first_iteration_asks_for_more_warm_up(tmp_path):
    [warning] = warned(tmp_path, [2.0, 1.0, 1.01, 0.99, 1.0])
    assert "iteration 1 took 2.00 s" in warning and "warm-up" in warning
    [warning] = warned(tmp_path / "quick", [0.5, 1.0, 1.01, 0.99, 1.0])
    assert "iteration 1 took 0.500 s" in warning and "warm-up" not in warning, "a quick one does not"


def test_times_that_vary_without_a_pattern_are_named_with_their_spread(tmp_path):
    [warning] = warned(tmp_path, [1.0, 1.5, 0.9, 1.4, 1.1])
    assert "vary by 22 %" in warning


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_than_five_times_are_called_too_few(tmp_path, n):
    [warning] = warned(tmp_path, STEADY[:n])
    assert f"n = {n} is too few" in warning


def test_readings_that_some_iterations_lack_are_named(tmp_path):
    [warning] = warned(tmp_path, [2.0] * 5, energy_j=[5.0, None, 5.0, None, None], ram_bytes=7)
    assert "energy_j (2)" in warning and "ram_bytes" not in warning


def test_an_outlier_is_named_by_its_iteration(tmp_path):
    [warning] = warned(tmp_path, [1.0, 1.01, 2.5, 0.99, 1.0])
    assert "iteration 3 took 2.50 s against a median of 1.00 s" in warning


@pytest.mark.parametrize("readings, said", [
    (dict(throttled=[[], ["power cap"], [], [], ["power cap", "power brake"]]), "slowed itself down (power brake, power cap)"),
    (dict(vram_others_bytes=500 * MB), "other processes held 500 MB of the GPU"),
    (dict(other_cpu_s=1.2), "other processes kept 1.2 processor cores busy"),
    (dict(swapped_bytes=10 * MB), "moved 50 MB between memory and swap"),
    (dict(warnings=["the driver gave no answer"]), "Stable Diffusion: the driver gave no answer"),
])
def test_what_disturbs_a_measurement_is_named_with_its_size(tmp_path, readings, said):
    save(tmp_path, STEADY, **readings)
    [warning] = Report(tmp_path).doubts()
    assert said in warning
    [ukrainian] = Report(tmp_path, language="uk").doubts()
    assert ukrainian != warning or "warnings" in readings


def test_the_same_work_of_others_disturbs_a_small_processor_and_not_a_large_one(tmp_path):
    assert warned(tmp_path / "a", STEADY, other_cpu_s=0.6, cores=2)
    assert not warned(tmp_path / "b", STEADY, other_cpu_s=0.6, cores=64)


def test_energy_of_windows_shorter_than_a_second_is_flagged_and_of_longer_ones_not(tmp_path):
    [warning] = warned(tmp_path / "a", [0.2] * 5, energy_j=14.0)
    assert "too short for the GPU’s energy counter" in warning
    assert not warned(tmp_path / "b", [2.0] * 5, energy_j=140.0)


@pytest.mark.parametrize("errors, english, ukrainian", [
    (1, "1 of 3 iterations ran out of memory and is not in the averages", "для 1 ітерації з 3 не вистачило пам’яті"),
    (2, "2 of 4 iterations ran out of memory and are not in the averages", "для 2 ітерацій із 4 не вистачило пам’яті")])
def test_iterations_out_of_memory_are_said(tmp_path, errors, english, ukrainian):
    readings = dict(error=[None, None] + ["out of memory: 2 GiB"] * errors)
    assert english in warned(tmp_path / "a", [1.0, 1.0] + [9.0] * errors, **readings)[0]
    assert ukrainian in warned(tmp_path / "b", [1.0, 1.0] + [9.0] * errors, **readings, language="uk")[0]


@pytest.mark.parametrize("errors, english, ukrainian", [
    ([NOT_FINITE], "1 of 3 iterations failed and is not in the averages: the picture has values that are NaN",
     "невдалих ітерацій – 1 із 3"),
    ([NOT_FINITE] * 2, "2 of 4 iterations failed and are not in the averages: the picture", "зображення містить нечислові (NaN)"),
    (["<b>"], "1 of 3 iterations failed and is not in the averages: run.json says why", "причину зазначено у файлі run.json")])
def test_iterations_that_failed_otherwise_are_not_said_to_need_memory(tmp_path, errors, english, ukrainian):
    readings = dict(error=[None, None, *errors])
    said = warned(tmp_path / "a", [1.0, 1.0] + [9.0] * len(errors), **readings)[0]
    assert english in said and "memory" not in said and "<b>" not in said
    assert ukrainian in warned(tmp_path / "b", [1.0, 1.0] + [9.0] * len(errors), **readings, language="uk")[0]


def test_of_a_run_without_any_good_iteration_nothing_else_is_said(tmp_path):
    assert len(warned(tmp_path, [9.0], error=["out of memory: 2 GiB"], vram_peak_bytes=15_000 * MB)) == 1


# --- of all runs of a report

def test_a_run_has_one_line_and_those_of_which_the_same_is_said_share_it(tmp_path):
    few = "n = 2 is too few to see a drift or an outlier: measure at least 5 iterations"
    save(tmp_path, STEADY[:2], swapped_bytes=10 * MB)
    save(tmp_path, STEADY, experiment="vae-round-trip")
    save(tmp_path, STEADY[:2], experiment="stylegan2-ada")
    assert Report(tmp_path).doubts() == [
        f"Stable Diffusion: {few}; the machine moved 20 MB between memory and swap: free some memory and measure again",
        f"StyleGAN2-ADA: {few}"]
    for variant in "batch-2", "batch-4":
        save(tmp_path, STEADY[:2], variant=variant)
    assert len(Report(tmp_path).doubts()) == 3
    assert f"Stable Diffusion (batch-2, batch-4): {few}" in Report(tmp_path).doubts()


def test_runs_of_one_name_are_told_apart_by_when_they_were_started(tmp_path):
    for n in 1, 2:
        save(tmp_path, STEADY[:2], settings=dict(steps=n), started=f"2020-01-0{n}T00:00:00+00:00")
    [text] = Report(tmp_path).doubts()
    assert text.startswith("Stable Diffusion (2020-01-01T00:00:00, 2020-01-02T00:00:00): n = 2 is too few")
