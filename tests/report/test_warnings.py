"""The statistics and the warnings of a run, on figures whose outcome is known by hand."""
import numpy as np
import pandas as pd
import pytest

from genlib import runs
from genlib.report import summary

MB = 1024**2


def save(folder, times, *, experiment="stable-diffusion", cores=2, warnings=(), flops=None, rate=None, **readings):
    """A finished run whose iterations took `times`, each with the same `readings`, or the i-th of a list of them."""
    machine = runs.Machine("tesla-t4", device="Tesla T4", cores=cores, matmul_flops_per_s=rate)
    run = runs.begin(runs.Run(experiment, machine, flops_per_image=flops, warnings=list(warnings)), folder)
    for i, time in enumerate(times):
        run.iterations.append(runs.Iteration(time_s=time, **{k: v[i] if isinstance(v, list) else v for k, v in readings.items()}))
    run.finished = run.started
    run.save()
    return runs.load(folder)


STEADY = [1.00, 1.01, 0.99, 1.01, 1.00]


def test_steady_times_of_an_idle_machine_bring_no_warning(tmp_path):
    df = save(tmp_path, STEADY, throttled=[[]] * 5, vram_others_bytes=MB, other_cpu_s=0.05, swapped_bytes=0, energy_j=None)
    assert summary.warnings(df) == []


@pytest.mark.parametrize("times, said", [
    ([1.00, 1.03, 1.05, 1.08, 1.10], "the time rises by 10 % from the first iteration to the last"),
    ([1.10, 1.08, 1.05, 1.03, 1.00], "the time falls by 10 % from the first iteration to the last"),
    ([7.79, 7.83, 7.94, 8.06, 8.05], "the time rises by 4 %"),  # as the thesis printed them
])
def test_a_drift_is_named_with_its_size_and_a_remedy(tmp_path, times, said):
    [warning] = summary.warnings(save(tmp_path, times))
    assert warning.startswith(f"Stable Diffusion: {said}") and "measure again" in warning


def test_noise_without_a_direction_is_no_drift(tmp_path):
    assert summary.warnings(save(tmp_path, [1.0, 1.08, 1.0, 1.07, 1.01, 1.08, 1.0])) == []


def test_drift_is_rarely_found_where_there_is_none():
    random, found = np.random.default_rng(0), 0
    for _ in range(400):
        frame = pd.DataFrame({"time_s": 1 + 0.05 * random.standard_normal(5), "iteration": range(1, 6)})
        found += any("from the first" in text for text in summary._unsteady(frame, "en"))
    assert found <= 12, "at a chance of 1 % each, 4 of 400 are expected"


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("n", [5, 10])
def test_an_outlier_is_rarely_found_where_there_is_none(noise, n):
    random = np.random.default_rng(0)
    found = sum(len(summary._outliers(pd.Series(1 + noise * random.standard_normal(n), index=range(1, n + 1)), "en")) > 0
                for _ in range(400))
    assert found <= 12, "at a chance of 1 % each, 4 of 400 are expected"


def test_an_outlier_is_found_among_five_and_two_of_them_among_ten(tmp_path):
    assert len(summary.warnings(save(tmp_path / "a", [1.0, 1.01, 1.4, 0.99, 1.0]))) == 1
    two = summary.warnings(save(tmp_path / "b", [1.0, 1.01, 3, 0.99, 1.0, 1.01, 0.98, 9, 1.0, 1.02]))
    assert len(two) == 2 and "iteration 8" in two[0] and "iteration 3" in two[1]


def test_a_slow_first_iteration_asks_for_more_warm_up(tmp_path):
    [warning] = summary.warnings(save(tmp_path, [2.0, 1.0, 1.01, 0.99, 1.0]))
    assert "iteration 1 took 2.00 s" in warning and "warm-up" in warning


def test_times_that_vary_without_a_pattern_are_named_with_their_spread(tmp_path):
    [warning] = summary.warnings(save(tmp_path, [1.0, 1.5, 0.9, 1.4, 1.1]))
    assert "vary by 22 %" in warning


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_than_five_times_are_called_too_few(tmp_path, n):
    [warning] = summary.warnings(save(tmp_path, STEADY[:n]))
    assert f"n = {n} is too few" in warning


def test_readings_that_some_iterations_lack_are_named(tmp_path):
    [warning] = summary.warnings(save(tmp_path, [2.0] * 5, energy_j=[5.0, None, 5.0, None, None], ram_bytes=7))
    assert "energy_j (2)" in warning and "ram_bytes" not in warning


def test_an_outlier_is_named_by_its_iteration(tmp_path):
    [warning] = summary.warnings(save(tmp_path, [1.0, 1.01, 2.5, 0.99, 1.0]))
    assert "iteration 3 took 2.50 s against a median of 1.00 s" in warning


@pytest.mark.parametrize("readings, said", [
    (dict(throttled=[[], ["power cap"], [], [], ["power cap", "power brake"]]), r"slowed itself down \(power brake, power cap\)"),
    (dict(vram_others_bytes=500 * MB), "other processes held 500 MB of the GPU"),
    (dict(other_cpu_s=1.2), "other processes kept 1.2 processor cores busy"),
    (dict(swapped_bytes=10 * MB), "moved 50 MB between memory and swap"),
    (dict(warnings=["the driver gave no answer"]), "Stable Diffusion: the driver gave no answer"),
])
def test_what_disturbs_a_measurement_is_named_with_its_size(tmp_path, readings, said):
    df = save(tmp_path, STEADY, **readings)
    [warning] = summary.warnings(df)
    assert pd.Series([warning]).str.contains(said).all()
    [ukrainian] = summary.warnings(df, "uk")
    assert ukrainian != warning or "warnings" in readings


def test_the_same_work_of_others_disturbs_a_small_processor_and_not_a_large_one(tmp_path):
    assert summary.warnings(save(tmp_path / "a", STEADY, other_cpu_s=0.6, cores=2))
    assert not summary.warnings(save(tmp_path / "b", STEADY, other_cpu_s=0.6, cores=64))


def test_energy_of_windows_shorter_than_a_second_is_flagged_and_of_longer_ones_not(tmp_path):
    [warning] = summary.warnings(save(tmp_path / "a", [0.2] * 5, energy_j=14.0))
    assert "too short for the GPU’s energy counter" in warning
    assert not summary.warnings(save(tmp_path / "b", [2.0] * 5, energy_j=140.0))


def test_iterations_out_of_memory_are_said_and_not_averaged(tmp_path):
    df = save(tmp_path, [1.0, 1.0, 9.0], error=[None, None, "out of memory: 2 GiB"])
    assert "1 of 3 iterations ran out of memory" in summary.warnings(df)[0]
    assert summary.summarize(df)["time_s"].tolist() == [1.0]


def test_a_run_without_any_good_iteration_is_a_row_without_a_mean(tmp_path):
    df = save(tmp_path, [9.0], error=["out of memory: 2 GiB"], vram_peak_bytes=15_000 * MB, flops=1e12, rate=1e13)
    [row] = summary.summarize(df).to_dict("records")
    assert (row["n"], row["failed"]) == (0, 1) and np.isnan([row["time_s"], row["time_s_sd"], row["machine_share"]]).all()
    assert len(summary.warnings(df)) == 1


def test_the_share_of_the_machine_is_work_over_time_over_its_rate(tmp_path):
    [row] = summary.summarize(save(tmp_path, [2.0, 2.0], flops=40e12, rate=50e12)).to_dict("records")
    assert row["flops_per_s"] == pytest.approx(20e12) and row["machine_share"] == pytest.approx(0.4)


def test_without_known_work_or_rate_there_is_no_share(tmp_path):
    [row] = summary.summarize(save(tmp_path, [2.0, 2.0], flops=40e12)).to_dict("records")
    assert np.isnan(row["machine_share"]) and row["flops_per_s"] == pytest.approx(20e12)


def test_the_share_of_the_machine_is_of_the_best_rate_that_its_runs_measured_in_that_precision(tmp_path):
    """Each process measures the rate anew, and equal work in equal time is an equal share."""
    save(tmp_path, [2.0, 2.0], flops=40e12, rate=50e12)
    save(tmp_path, [2.0, 2.0], flops=40e12, rate=80e12, experiment="stylegan2-ada")
    rows = summary.summarize(runs.load(tmp_path))
    assert rows["machine_share"].tolist() == pytest.approx([0.25, 0.25])
    shares = summary.summarize(runs.load(tmp_path).assign(dtype=["float32"] * 2 + ["bfloat16"] * 2))["machine_share"]
    assert shares.tolist() == pytest.approx([0.4, 0.25]), "another precision has another rate"


def test_in_brief_a_run_has_one_line_and_those_of_which_the_same_is_said_share_it(tmp_path):
    save(tmp_path, STEADY[:2], swapped_bytes=10 * MB)
    save(tmp_path, STEADY, experiment="vae-round-trip")
    df = save(tmp_path, STEADY[:2], experiment="stylegan2-ada")
    few, swapped, few_too = summary.warnings(df)
    assert summary.warnings_in_brief(df) == [f"{few}; {swapped.removeprefix('Stable Diffusion: ')}", few_too]
    variants = pd.concat([df, *(df.assign(variant=name, folder=name) for name in ("batch-2", "batch-4"))])
    assert len(summary.warnings_in_brief(variants)) == 4
    assert f"Stable Diffusion (batch-2, batch-4){few.removeprefix('Stable Diffusion')}" in "\n".join(summary.warnings_in_brief(variants))


def test_runs_of_one_name_are_told_apart_by_when_they_were_started(tmp_path):
    df = save(tmp_path, STEADY[:2])
    both = pd.concat([df.assign(settings=f'{{"steps": {n}}}', folder=str(n), started=f"2020-01-0{n}T00:00:00+00:00") for n in (1, 2)])
    assert [text[:39] for text in summary.warnings(both)] == [f"Stable Diffusion (2020-01-0{n}T00:00:00):" for n in (1, 2)]
