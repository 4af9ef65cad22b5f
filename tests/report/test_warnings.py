"""What makes a run doubtful, on figures whose outcome is known by hand."""
import numpy as np
import pandas as pd
import pytest
from saved_runs import MB

from genlib import runs
from genlib.locale import Language
from genlib.record import NOT_FINITE
from genlib.report import Report, cells, warnings
from genlib.report.summary import summarize


def save(folder, times, *, experiment="stable-diffusion", cores=2, started=None, **changes):
    """A finished run whose iterations took `times`, each with the same readings, or the i-th of a list of
    them."""
    of_run = {name: changes.pop(name) for name in ("variant", "settings", "warnings", "method", "model", "resumed") if name in changes}
    run = runs.begin(runs.Run(experiment, runs.Machine("tesla-t4", device="Tesla T4", cores=cores), **of_run), folder)
    for i, time in enumerate(times):
        run.iterations.append(runs.Iteration(time_s=time, **{k: v[i] if isinstance(v, list) else v for k, v in changes.items()}))
    run.started = started or run.started
    run.finished = run.started
    run.save()


def warned(folder, times, *, language="en", **changes):
    """What is said of such a run: a line for each cause."""
    save(folder, times, **changes)
    report = Report(folder, language=language)
    return warnings.doubts(report)


STEADY = [1.00, 1.01, 0.99, 1.01, 1.00]


def test_steady_times_of_an_idle_machine_bring_no_warning(tmp_path):
    save(tmp_path, STEADY, throttled=[[]] * 5, vram_others_bytes=MB, other_cpu_s=0.05, swapped_bytes=0, energy_j=None)
    assert Report(tmp_path).doubts() == ["Nothing was seen that makes these figures doubtful."]


@pytest.mark.parametrize("times, said", [
    ([1.00, 1.03, 1.05, 1.08, 1.10], "The time rises from the first iteration to the last: Stable Diffusion (10 %). "),
    ([1.10, 1.08, 1.05, 1.03, 1.00], "The time falls from the first iteration to the last: Stable Diffusion (10 %). "),
    ([7.79, 7.83, 7.94, 8.06, 8.05], "The time rises from the first iteration to the last: Stable Diffusion (4 %). "),  # as published
])
def test_a_drift_is_named_with_its_size_and_a_remedy(tmp_path, times, said):
    save(tmp_path, times)
    [warning] = Report(tmp_path).doubts()
    assert warning.startswith(said) and warning.endswith("measure again.")


def test_noise_without_a_direction_is_no_drift(tmp_path):
    assert warned(tmp_path, [1.0, 1.08, 1.0, 1.07, 1.01, 1.08, 1.0]) == []


def test_drift_is_rarely_found_where_there_is_none():
    random, found = np.random.default_rng(0), 0
    for _ in range(400):
        times = pd.Series(1 + 0.05 * random.standard_normal(5), index=range(1, 6))
        found += any("from the first" in doubt.cause for doubt in warnings._unsteady(Language("en"), times))
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
    [two] = warned(tmp_path / "b", [1.0, 1.01, 3, 0.99, 1.0, 1.01, 0.98, 9, 1.0, 1.02])
    assert "(iteration 8: 9.00 s, median 1.00 s; iteration 3: 3.00 s, median 1.00 s)" in two


def test_a_slow_first_iteration_asks_for_more_warm_up(tmp_path):
    [warning] = warned(tmp_path, [2.0, 1.0, 1.01, 0.99, 1.0])
    assert "(iteration 1: 2.00 s, median 1.00 s)" in warning and "warm-up" in warning
    [warning] = warned(tmp_path / "quick", [0.5, 1.0, 1.01, 0.99, 1.0])
    assert "iteration 1: 0.500 s" in warning and "warm-up" not in warning, "a quick one does not"


def test_the_published_method_has_no_warm_up_to_raise(tmp_path):
    save(tmp_path, STEADY)
    save(tmp_path, [2.0, 1.0, 1.01, 0.99, 1.0], method="thesis")
    assert warnings.doubts(Report(tmp_path)) == []


def test_times_that_vary_without_a_pattern_are_named_with_their_spread(tmp_path):
    [warning] = warned(tmp_path, [1.0, 1.5, 0.9, 1.4, 1.1])
    assert warning == "The times vary: Stable Diffusion (22 %). Close other programs, or measure more iterations."


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_than_five_times_are_called_too_few(tmp_path, n):
    [warning] = warned(tmp_path, STEADY[:n])
    assert warning == \
        f"Fewer than 5 iterations show neither a drift nor an outlier: Stable Diffusion (n = {n}). Measure at least 5."


def test_readings_that_some_iterations_lack_are_named(tmp_path):
    [warning] = warned(tmp_path, [2.0] * 5, energy_j=[5.0, None, 5.0, None, None], ram_bytes=7)
    assert "the reading “Energy”: Stable Diffusion (2 of 5)" in warning and "RAM" not in warning


@pytest.mark.parametrize("readings, said", [
    (dict(throttled=[[], ["power cap"], [], [], ["power cap", "power brake"]]),
     "The GPU slowed itself down: Stable Diffusion (power brake, power cap). "),
    (dict(vram_others_bytes=500 * MB), "Other processes held memory of the GPU: Stable Diffusion (500 MB). "),
    (dict(other_cpu_s=1.2), "Other processes kept processor cores busy: Stable Diffusion (1.2 cores on average). "),
    (dict(swapped_bytes=10 * MB), "The machine moved data between memory and swap: Stable Diffusion (50 MB). "),
    (dict(warnings=["the driver gave no answer"]), "the driver gave no answer: Stable Diffusion."),
])
def test_what_disturbs_a_measurement_is_named_with_its_size(tmp_path, readings, said):
    save(tmp_path, STEADY, **readings)
    [warning] = Report(tmp_path).doubts()
    assert said in warning
    [ukrainian] = Report(tmp_path, language="uk").doubts()
    assert ukrainian != warning or "warnings" in readings


def test_the_same_work_of_others_disturbs_a_small_processor_and_not_a_large_one(tmp_path):
    assert warned(tmp_path / "a", STEADY, other_cpu_s=0.6, cores=2)
    assert warned(tmp_path / "b", STEADY, other_cpu_s=0.6, cores=64) == []


def test_energy_of_windows_shorter_than_a_second_is_flagged_and_of_longer_ones_not(tmp_path):
    for folder, energy in ("a", 14.0), ("c", [14.0, None, 14.0, None, None]):
        [warning] = warned(tmp_path / folder, [0.2] * 5, energy_j=energy)
        assert "too short for the GPU’s energy counter" in warning
    assert warned(tmp_path / "b", [2.0] * 5, energy_j=140.0) == []


@pytest.mark.parametrize("error, said, ukrainian", [
    ("out of memory: 2 GiB", "Iterations ran out of memory and are not in the averages: Stable Diffusion ({} of {}). A smaller batch",
     "не вистачило пам’яті"),
    (NOT_FINITE, "Iterations gave pictures with values that are NaN or infinite and are not in the averages: Stable Diffusion ({} of {}). ",
     "нечислові (NaN)"),
    ("<b>", "Iterations failed and are not in the averages: Stable Diffusion ({} of {}). run.json says why.", "Причину зазначено")])
@pytest.mark.parametrize("errors", [1, 2])
def test_iterations_that_failed_are_counted_by_their_reason(tmp_path, error, said, ukrainian, errors):
    readings = dict(error=[None, None] + [error] * errors)
    english = warned(tmp_path / "a", [1.0, 1.0] + [9.0] * errors, **readings)[0]
    assert english.startswith(said.format(errors, errors + 2)) and "<b>" not in english
    assert ukrainian in warned(tmp_path / "b", [1.0, 1.0] + [9.0] * errors, **readings, language="uk")[0]


def test_of_a_run_without_any_good_iteration_nothing_else_is_said(tmp_path):
    assert len(warned(tmp_path, [9.0], error=["out of memory: 2 GiB"], vram_peak_bytes=15_000 * MB)) == 1


# --- of all runs of a report

FEW = "Fewer than 5 iterations show neither a drift nor an outlier: {}. Measure at least 5."


def test_a_cause_has_one_line_with_its_runs_and_its_remedy_once(tmp_path):
    save(tmp_path, STEADY[:2], swapped_bytes=10 * MB)
    save(tmp_path, STEADY, experiment="vae-round-trip")
    save(tmp_path, STEADY[:3], experiment="stylegan2-ada")
    assert Report(tmp_path).doubts() == [
        FEW.format("Stable Diffusion (n = 2); StyleGAN2-ADA (n = 3)"),
        "The machine moved data between memory and swap: Stable Diffusion (20 MB). Free some memory and measure again."]


@pytest.mark.parametrize("language, named, counted", [
    ("en", "Stable Diffusion (batch of 1 image, n = 2; batch of 2 images, n = 2)", "Stable Diffusion (3 runs); StyleGAN2-ADA (1 run)"),
    ("uk", "Stable Diffusion (пакет із 1 зображення, n = 2; пакет із 2 зображень, n = 2)",
     "Stable Diffusion (3 запуски); StyleGAN2-ADA (1 запуск)")])
def test_many_runs_of_one_cause_are_counted_and_few_are_named(tmp_path, language, named, counted):
    for size in 1, 2:
        save(tmp_path, STEADY[:2], variant=f"batch-{size}", settings=dict(batch_size=size))
    assert f": {named}. " in Report(tmp_path, language=language).doubts()[0]
    save(tmp_path, STEADY[:2])
    save(tmp_path, STEADY[:2], experiment="stylegan2-ada")
    assert f": {counted}. " in Report(tmp_path, language=language).doubts()[0]


def test_a_run_with_two_outliers_is_one_run(tmp_path):
    times = [1.0, 1.01, 3, 0.99, 1.0, 1.01, 0.98, 9, 1.0, 1.02]
    for seed in 1, 2, 3, 4:
        save(tmp_path, times, settings=dict(seed=seed))
    [text] = Report(tmp_path).doubts()
    assert ": Stable Diffusion (4 runs). " in text


def test_runs_of_one_name_are_told_apart_by_when_they_were_started(tmp_path):
    for n in 1, 2:
        save(tmp_path, STEADY[:2], settings=dict(steps=n), started=f"2020-01-0{n}T00:00:00+00:00")
    assert Report(tmp_path).doubts() == [FEW.format("Stable Diffusion (2020-01-01 00:00:00, n = 2; 2020-01-02 00:00:00, n = 2)")]


@pytest.mark.parametrize("change, english, ukrainian", [
    (dict(variant="as-in-thesis", method="thesis"), "by the published method", "за опублікованою методикою"),
    (dict(variant="face-prompt"), "with a prompt", "із запитом"),
    (dict(variant="guidance-1"), "without guidance", "без керування запитом"),
    (dict(variant="steps-10", settings=dict(steps=10)), "10 steps", "10 кроків"),
    (dict(variant="precision-bfloat16", model=runs.ModelInfo("a", "demo", "thesis", "b", dtype="bfloat16")), "bfloat16", "bfloat16"),
    (dict(variant="size-64", settings=dict(size=64), experiment="vae-round-trip"), "64 px", "64 пікс."),
    (dict(variant="photograph", experiment="vae-round-trip"), "of a photograph", "для фотографії"),
    (dict(variant="my-own", settings=dict(steps=10)), "“my-own”", "“my-own”")])
def test_variants_have_names_that_a_reader_understands(tmp_path, change, english, ukrainian):
    save(tmp_path, STEADY[:2], **change)
    every = summarize(runs.read_all(tmp_path))
    for language, name in ("en", english), ("uk", ukrainian):
        words = Language(language)
        words.text = words.say
        assert cells.variant(words, every["run"].iloc[0]) == name


def test_a_run_that_was_interrupted_is_doubtful_and_is_marked_in_tables_whose_note_says_why(tmp_path):
    save(tmp_path, STEADY, resumed=True, experiment="stylegan2-ada")
    save(tmp_path, STEADY)
    report = Report(tmp_path)
    [doubt] = report.doubts()
    assert doubt.startswith("The run was interrupted and taken up again, ") and ": StyleGAN2-ADA. " in doubt
    for name, names in ("results", "Generative Adversarial Networks*"), ("beside_thesis", "StyleGAN2-ADA*"), ("cost", "StyleGAN2-ADA*"):
        table = report.table(name)
        assert names in set(table.data["Model"]) and "Stable Diffusion" in set(table.data["Model"])
        assert "* The run was interrupted and taken up again." in table.note
    assert "StyleGAN2-ADA*" in report.table("readings").data and "*" not in " ".join(report.conclusions())


@pytest.mark.parametrize("days, far", [([1, 1.02, 1.5], [3]), ([1, 1.3], [1, 2]), ([1, 1.05, 0.95], []), ([1.5], [])], ids=str)
def test_a_session_whose_mean_lies_far_from_the_others_is_named(tmp_path, days, far):
    for day, slower in enumerate(days, 1):
        save(tmp_path, [slower * time for time in STEADY], started=f"2021-01-0{day}T00:00:00+00:00")
    text = "\n".join(warnings.doubts(Report(tmp_path)))
    assert [day for day, slower in enumerate(days, 1) if f"2021-01-0{day} 00:00:00: {slower:.2f} s, median of the sessions" in text] == far
    assert ("measure another session" in text) == bool(far)
