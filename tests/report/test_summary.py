"""The statistics of a run, on figures whose outcome is known by hand."""
import numpy as np
import pytest
from saved_runs import MB, save_run

from genlib import runs
from genlib.report.summary import summarize


def measured(times, *, experiment="stable-diffusion", dtype="float32", flops=None, rate=None, **readings):
    """A run whose iterations took `times`, each with the i-th of each of the `readings`."""
    machine = runs.Machine("tesla-t4", device="Tesla T4", matmul_flops_per_s=rate)
    iterations = [runs.Iteration(time_s=time, **{name: values[i] for name, values in readings.items()}) for i, time in enumerate(times)]
    model = runs.ModelInfo("a model", "published", "thesis", "somewhere", dtype=dtype)
    return runs.Run(experiment, machine, model, iterations=iterations, flops_per_image=flops)


def test_a_run_is_summed_up_by_mean_sample_deviation_median_and_students_interval(tmp_path):
    save_run(tmp_path, "vae-round-trip", [0.1, 0.2, 0.3])
    [row] = summarize(runs.read_all(tmp_path)).to_dict("records")
    assert row["n"] == 3 and row["time_s"] == pytest.approx(0.2) and row["time_s_sd"] == pytest.approx(0.1)
    assert row["time_s_median"] == pytest.approx(0.2) and row["time_s_cv"] == pytest.approx(0.5)
    half = 4.302653 * 0.1 / 3**0.5  # t(0.975, 2)
    assert (row["time_s_low"], row["time_s_high"]) == pytest.approx((0.2 - half, 0.2 + half))
    assert row["first_image_s"] == pytest.approx(0.3)


def test_an_iteration_that_failed_is_counted_and_not_averaged(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [1.0, 3.0], errors=1)
    [row] = summarize(runs.read_all(tmp_path)).to_dict("records")
    assert (row["n"], row["failed"], row["time_s"]) == (2, 1, 2.0)


def test_one_iteration_has_no_deviation_and_no_interval():
    [row] = summarize([measured([1.0])]).to_dict("records")
    assert row["time_s"] == 1.0 and np.isnan([row["time_s_sd"], row["time_s_low"], row["time_s_cv"]]).all()


def test_a_run_without_any_good_iteration_is_a_row_without_a_mean():
    run = measured([9.0], error=["out of memory: 2 GiB"], vram_peak_bytes=[15_000 * MB], flops=1e12, rate=1e13)
    [row] = summarize([run]).to_dict("records")
    assert (row["n"], row["failed"]) == (0, 1) and np.isnan([row["time_s"], row["time_s_sd"], row["machine_share"]]).all()


def test_no_runs_give_an_empty_summary_with_the_columns_of_others():
    nothing = summarize([])
    assert len(nothing) == 0 and {"run", "time_s", "machine_share", *runs.KEY} <= set(nothing.columns)


def test_a_reading_that_some_iterations_lack_is_averaged_over_the_others():
    [row] = summarize([measured([1.0] * 3, energy_j=[5.0, None, 7.0])]).to_dict("records")
    assert row["energy_j"] == 6.0 and row["n"] == 3


# --- the machine's rate

def test_the_share_of_the_machine_is_work_over_time_over_its_rate():
    [row] = summarize([measured([2.0, 2.0], flops=40e12, rate=50e12)]).to_dict("records")
    assert row["flops_per_s"] == pytest.approx(20e12) and row["machine_share"] == pytest.approx(0.4)


def test_without_known_work_or_rate_there_is_no_share():
    [row] = summarize([measured([2.0, 2.0], flops=40e12)]).to_dict("records")
    assert np.isnan(row["machine_share"]) and row["flops_per_s"] == pytest.approx(20e12)


def test_the_share_of_the_machine_is_of_the_best_rate_that_its_runs_measured_in_that_precision():
    """Each process measures the rate anew, and equal work in equal time is an equal share."""
    def shares(second_dtype):
        one = measured([2.0, 2.0], flops=40e12, rate=50e12)
        other = measured([2.0, 2.0], flops=40e12, rate=80e12, experiment="stylegan2-ada", dtype=second_dtype)
        return summarize([one, other])["machine_share"].tolist()

    assert shares("float32") == pytest.approx([0.25, 0.25])
    assert shares("bfloat16") == pytest.approx([0.4, 0.25]), "another precision has another rate"
