"""What is set side by side, ranked and quoted: only what the runs at hand bear."""
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from saved_runs import MB, save_run

from genlib.report import Limits, Report
from genlib.report.conclusions import p_of_equal_spreads, rivals_of_first

EARLIER = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


def save(folder, experiment, times, *, started=None, peaks=None, **changes):
    """A run as saved_runs makes it, started when asked for, each iteration with its own peak of RAM."""
    run = save_run(folder, experiment, times, **changes)
    run.started = started or run.started
    for iteration in run.iterations:
        iteration.ram_peak_bytes = peaks
    run.save()
    return run


def concluded(folder, language="en"):
    return "\n".join(Report(folder, language=language).conclusions())


# --- the number of steps

def test_rows_that_share_no_number_of_steps_say_theirs_and_nothing_is_ranked(tmp_path):
    save(tmp_path, "vae-as-in-thesis", [20.0] * 5, started=EARLIER, settings=dict(steps=20))
    save(tmp_path, "vae-round-trip", [0.2] * 5, started=EARLIER, settings=dict(steps=20), quality=dict(sharpness=2.0))
    save(tmp_path, "stable-diffusion", [4.0, 4.1], settings=dict(steps=4), quality=dict(sharpness=1.0))
    save(tmp_path, "stylegan2-ada", [0.1] * 5)
    report = Report(tmp_path)
    names = ["Stable Diffusion (4 steps)", "Variational Autoencoders (20 steps)", "VAE alone (faces of 20 steps)",
             "Generative Adversarial Networks"]
    labels = [names[0], "VAE (+SD) (20 steps)", names[2], "StyleGAN2-ADA"]
    results, beside, readings, cost = (report.table(name).data for name in ("results", "beside_thesis", "readings", "cost"))
    assert list(results["Model"]) == names and list(beside["Model"][::3]) == [labels[0], labels[1], labels[3]]
    assert "Stable Diffusion (4 steps)" in readings and "VAE (+SD) (20 steps)" in readings
    assert "Stable Diffusion (4 steps)" in set(cost["Model"])
    assert list(Report(tmp_path, language="uk").table("results").data["Модель"])[:3] == [
        "Stable Diffusion (4 кроки)", "Variational Autoencoders (20 кроків)", "Лише VAE (обличчя за 20 кроків)"]
    text = concluded(tmp_path)
    assert "differ in their number of steps, so that nothing is ranked: Stable Diffusion (4 steps); VAE alone (faces of 20 steps)" in text
    assert not re.search("Fastest|Smallest|stable than|told apart|the highest", text)


# --- the time with a prompt

def save_pair(folder, **changes):
    """Notebook 1's two runs, the one without a prompt first."""
    settings = dict(steps=50, prompt="", seed=0)
    save(folder, "stable-diffusion", [1.0] * 5, settings=settings)
    save(folder, "stable-diffusion", [2.0] * 5, variant="face-prompt",
         **(dict(settings=settings | dict(prompt="a face", guidance_scale=7.5)) | changes))


def test_the_time_with_a_prompt_is_that_of_a_run_with_one(tmp_path):
    save_pair(tmp_path)
    assert "of these models Stable Diffusion takes a prompt; with one it takes 2.00 s an image (n = 5)." in concluded(tmp_path)
    assert "із запитом зображення генерується за 2,00 с (n = 5)." in concluded(tmp_path, "uk")


@pytest.mark.parametrize("change", [dict(settings=dict(steps=20, prompt="a face")), dict(dtype="bfloat16"), dict(model="another"),
                                    dict(method="thesis"), dict(settings=dict(steps=50, prompt=""))])
def test_a_time_without_a_prompt_is_called_so_and_a_run_of_other_conditions_does_not_stand_in(tmp_path, change):
    save_pair(tmp_path, **change)
    assert "of these models Stable Diffusion takes a prompt; the 1.00 s an image are without one." in concluded(tmp_path)
    assert "1,00 с на зображення, – без запиту." in concluded(tmp_path, "uk")


# --- sessions

def save_sessions(folder, experiment, *sessions):
    for day, times in enumerate(sessions, 1):
        save(folder, experiment, times, started=f"2021-01-0{day}T00:00:00+00:00")


def test_another_day_counts_where_there_are_several_sessions(tmp_path):
    """On each day the two differ, but the days differ as much."""
    save_sessions(tmp_path, "stable-diffusion", [1.0, 1.01, 1.02], [1.3, 1.31, 1.32], [1.6, 1.61, 1.62])
    save_sessions(tmp_path, "stylegan2-ada", [1.5, 1.51, 1.52], [1.8, 1.81, 1.82], [2.1, 2.11, 2.12])
    text = concluded(tmp_path)
    assert "Which model is fastest is not known: Stable Diffusion" in text
    assert "Telling them apart would take about 8 sessions of each, with as many iterations as now" in text
    assert "приблизно стільки сеансів: 8 (із тією самою кількістю ітерацій" in concluded(tmp_path, "uk")


def test_what_one_session_cannot_tell_is_said_once_and_not_of_several(tmp_path):
    for folder, sessions in (tmp_path / "one", [STEADY]), (tmp_path / "three", [STEADY] * 3):
        for experiment in "stable-diffusion", "stylegan2-ada":
            save_sessions(folder, experiment, *sessions)
    one, three = concluded(tmp_path / "one"), concluded(tmp_path / "three")
    assert one.count("whether another day would give the same") == 1 and "another day" not in three and "n = 3 × 5" in three


def test_beside_a_row_of_several_sessions_a_single_one_may_lie_as_far_off_and_more_sessions_tell(tmp_path):
    """The newest sessions, by themselves, rank the other way."""
    save_sessions(tmp_path, "stable-diffusion", [1.0, 1.01, 1.02], [1.1, 1.11, 1.12], [3.0, 3.01, 3.02])
    save_sessions(tmp_path, "stylegan2-ada", [2.5, 2.51, 2.52])
    text = concluded(tmp_path)
    assert "not known: Stable Diffusion (" in text and re.search(r"take about \d+ sessions of each", text)
    assert "so that whether another day would give the same is not known: StyleGAN2-ADA." in text


def test_a_difference_too_small_to_matter_is_called_so(tmp_path):
    times = [1.0, 1.1, 0.9, 1.05, 0.95]
    save(tmp_path, "stable-diffusion", times)
    save(tmp_path, "stylegan2-ada", [time + 0.001 for time in times])
    assert "They differ so little that even 1000 iterations of each would not tell them apart." in concluded(tmp_path)


@pytest.mark.parametrize("means, sessions, unlike", [((1, 1), 1, 1), ((1, 1), 3, 5), ((1, 1, 1, 1), 1, 5), ((1, 1, 2, 3), 3, 5)], ids=str)
def test_of_models_that_are_equally_fast_one_is_called_fastest_in_at_most_5_percent(means, sessions, unlike):
    random, called, tries = np.random.default_rng(0), 0, 500
    spreads = 0.05 * np.array([1, unlike, 1, unlike])[:len(means)]
    for _ in range(tries):
        days = np.array(means) + spreads * random.standard_normal((sessions, len(means))) * (sessions > 1)
        models = {str(i): list(days[:, i, None] + spreads[i] * random.standard_normal((sessions, 5))) for i in range(len(means))}
        called += rivals_of_first(dict(sorted(models.items(), key=lambda model: np.mean(model[1])))) == []
    assert called / tries <= 0.055


# --- spread

STEADY, WILD = [1.0, 1.001, 0.999, 1.0, 1.001], [1.0, 1.4, 0.6, 1.3, 0.7]


def spread_of(folder, first, second):
    save(folder, "stable-diffusion", first)
    save(folder, "stylegan2-ada", [time / 50 for time in second])
    return concluded(folder)


def test_spreads_that_a_test_tells_apart_are_ranked(tmp_path):
    text = spread_of(tmp_path / "a", STEADY, WILD)
    assert "Stable Diffusion is more stable than StyleGAN2-ADA: within a session its time varies by 0.084 %, that of StyleGAN2-ADA by " \
           "35 %" in text
    assert "StyleGAN2-ADA is more stable than Stable Diffusion" in spread_of(tmp_path / "b", WILD, STEADY)


def test_of_three_models_the_two_extremes_are_ranked_only_if_they_themselves_differ(tmp_path):
    """The test of the two gives p = 0.027, to be multiplied by three pairs."""
    save(tmp_path, "vae-round-trip", [10.0, 10.01, 9.99, 10.01, 10.0])
    text = spread_of(tmp_path, STEADY, [1.0, 1.03, 0.97, 1.0, 0.97])
    assert "cannot be told apart at n = 5" in text


@pytest.mark.parametrize("sizes, others", [((5,), (5,)), ((3,) * 10, (30,)), ((5,) * 3, (10,) * 3)], ids=str)
def test_equal_spreads_are_told_apart_in_at_most_5_percent_whatever_the_sizes_of_the_sessions(sizes, others):
    random = np.random.default_rng(0)

    def row(sizes):  # each day has a speed of its own, which is no spread within it
        return [random.uniform(1, 2) * random.lognormal(0, 0.05, n) for n in sizes]

    assert np.mean([p_of_equal_spreads(row(sizes), row(others)) < 0.05 for _ in range(600)]) <= 0.06


@pytest.mark.parametrize("first, second, n", [
    ([1.0, 1.05, 0.96, 1.02, 0.99], [1.0, 1.1, 0.95, 1.03, 0.97], "5"),
    ([1.0, 1.0001], [1.0, 2.0], "2"),  # two values lie equally far from their median, by which the test would always find a difference
    (STEADY, [1.0, 2.0], "2 … 5"),
    ([1.0, 1.1, 1.2], [1.0, 1.4, 1.8], "3"),  # the distances left of each are equal, so that any difference would look certain
    ([1.0] * 5, [1.0] * 5, "5"),
])
def test_spreads_that_no_test_tells_apart_are_not(tmp_path, first, second, n):
    text = spread_of(tmp_path, first, second)
    assert f"Within a session the spreads of the times cannot be told apart at n = {n}: Stable Diffusion" in text
    assert "more stable" not in text


def test_an_outlier_makes_no_model_less_stable_than_one_whose_times_all_vary_more(tmp_path):
    """By the standard deviation the first varies most, by the distances from the median the second."""
    outlier, varied = [1.4, *(1 + 0.0001 * number for number in range(12))], [1 + 0.02 * (number % 5) for number in range(13)]
    assert "more stable" not in spread_of(tmp_path, outlier, varied)


# --- memory

def save_with_floors(folder, **models):
    """A run of each model without VRAM: its RAM, that before the model, and what its process had loaded."""
    for experiment, (ram, before, loaded) in models.items():
        save(folder, experiment.replace("_", "-"), [1.0], vram=None, ram=ram * MB, peaks=2 * ram * MB, loaded_before=loaded,
             ram_before=before and before * MB)
    return concluded(folder)


def test_ram_is_ranked_above_that_of_the_libraries_though_the_process_of_the_smaller_model_holds_more(tmp_path):
    text = save_with_floors(tmp_path, stable_diffusion=(538, 470, []), vae_round_trip=(1100, 1060, []), stylegan2_ada=(600, 381, []))
    assert "Smallest is VAE alone. MB of RAM above that of the libraries: VAE alone 40; Stable Diffusion 68; StyleGAN2-ADA 219." in text
    assert "left out" not in text and "RAM is not ranked" not in text
    assert "МБ оперативної пам’яті понад зайняте бібліотеками: Лише VAE 40" in concluded(tmp_path, "uk")


def test_where_a_record_does_not_tell_ram_before_the_model_none_is_ranked_and_a_sentence_says_why(tmp_path):
    text = save_with_floors(tmp_path, stable_diffusion=(538, 470, []), stylegan2_ada=(409, None, None))
    assert "RAM is not ranked: it includes the libraries, and how much they took before the model was loaded is not known of " \
        "StyleGAN2-ADA." in text and "Smallest" not in text
    assert "невідомо для таких моделей: StyleGAN2-ADA." in concluded(tmp_path, "uk")


def test_ram_that_differs_by_no_more_than_the_libraries_do_from_process_to_process_is_not_ranked(tmp_path):
    assert "Smallest" not in save_with_floors(tmp_path, stable_diffusion=(500, 450, []), stylegan2_ada=(409, 366, []))
    text = save_with_floors(tmp_path, vae_round_trip=(900, 450, []))
    assert "Smallest are StyleGAN2-ADA, Stable Diffusion. MB" in text and "StyleGAN2-ADA 43; Stable Diffusion 50; VAE alone 450." in text


@pytest.mark.parametrize("loaded", [["Stable Diffusion v1-4, float32"], None], ids=["by its record", "by its experiment"])
def test_the_ram_of_a_process_that_had_run_another_model_is_left_out(tmp_path, loaded):
    text = save_with_floors(tmp_path, stable_diffusion=(538, 470, []), vae_round_trip=(651, 640, loaded), stylegan2_ada=(409, 381, []))
    assert "The RAM of VAE alone is left out: its process may hold what ran in it before." in text
    assert "Smallest is StyleGAN2-ADA. MB of RAM above that of the libraries: StyleGAN2-ADA 28; Stable Diffusion 68." in text


def test_vram_is_the_allocators_and_of_the_vae_too(tmp_path):
    for experiment, vram in ("stable-diffusion", 500), ("vae-round-trip", 651), ("stylegan2-ada", 400):
        save(tmp_path, experiment, [1.0], vram=vram * MB)
    text = concluded(tmp_path)
    assert "of VRAM by the allocator’s peak: StyleGAN2-ADA 400; Stable Diffusion 500; VAE alone 651." in text and "left out" not in text
    assert "VRAM is the allocator’s peak" in Report(tmp_path).table("results").note


@pytest.mark.parametrize("times, english, ukrainian", [
    (1.004, "0.40 % longer", "на 0,40 % довше"), (1.4, "1.4 times as long", "у 1,4 раза довше"),
    (12, "12 times as long", "у 12 разів довше"), (21, "21 times", "у 21 раз довше"), (144, "144 times", "у 144 рази довше")])
def test_how_many_times_as_long_it_takes_has_the_form_of_its_number(tmp_path, times, english, ukrainian):
    save(tmp_path, "stylegan2-ada", [1.0, 1.0])
    save(tmp_path, "stable-diffusion", [float(times)] * 2)
    assert english in concluded(tmp_path) and ukrainian in concluded(tmp_path, "uk")


# --- what models there are

def conclusions_of(folder, **times):
    for experiment, values in times.items():
        save_run(folder, experiment.replace("_", "-"), values, vram=round(values[0] * 100 * MB))
    return concluded(folder)


def test_other_data_give_other_conclusions(tmp_path):
    vae, quick = [0.3, 0.3, 0.31], [0.02, 0.02, 0.021]
    one = conclusions_of(tmp_path / "a", stable_diffusion=[8.0, 8.1, 8.2], vae_round_trip=vae, stylegan2_ada=quick)
    other = conclusions_of(tmp_path / "b", stable_diffusion=quick, vae_round_trip=vae, stylegan2_ada=[80.0, 81.0, 80.0])
    assert "Fastest is StyleGAN2-ADA: 0.0203 s an image; Stable Diffusion takes 8.10 s" in one
    assert "Fastest is Stable Diffusion: 0.0203 s an image; StyleGAN2-ADA takes 80.3 s" in other
    assert "Smallest is StyleGAN2-ADA. MB of VRAM" in one and "Smallest is Stable Diffusion. MB" in other
    assert "of these models Stable Diffusion takes a prompt; the 8.10 s an image are without one" in one


def test_models_that_no_test_tells_apart_are_not_ranked_and_how_many_iterations_would_do_it_is_said(tmp_path):
    text = conclusions_of(tmp_path, vae_round_trip=[1.0, 1.2, 1.4], stylegan2_ada=[1.1, 1.25, 1.4], stable_diffusion=[9.0, 9.1, 9.2])
    assert "Which model is fastest is not known: VAE alone (0.703 … 1.70 s) cannot be told apart in time from StyleGAN2-ADA " \
           "(0.877 … 1.62 s) (Welch’s test, p ≥ 0.05). Telling them apart would take about 199 iterations of each, if they really differ " \
           "as much as measured (power 80 %)." in text.replace("\n", " ")
    assert "Fastest" not in text


def test_one_iteration_ranks_nothing_and_failed_runs_conclude_nothing(tmp_path):
    text = conclusions_of(tmp_path / "a", vae_round_trip=[1.0], stylegan2_ada=[9.0])
    assert "Of one iteration no interval is known, so that times are not ranked. Seconds an image: VAE alone 1.00;" in text
    assert not [word for word in ("Fastest", "overlap", "spreads", "stable") if word in text]
    run = save_run(tmp_path / "b", "stylegan2-ada", [1.0])
    run.iterations[0].error = "out of memory"
    run.save()
    report = Report(tmp_path / "b")
    assert report.conclusions() == ["No run for the table of results succeeded, so there is nothing to conclude."]
    assert report.table("cost").data.empty and "cost" not in report.tables
    assert report.table("results").data.iloc[3, 1] == "out of memory"


def test_a_model_of_which_no_iteration_succeeded_is_named_with_its_reason(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [1.0, 1.0])
    run = save_run(tmp_path, "stable-diffusion", [1.0])
    run.iterations[0].error = "out of memory"
    run.save()
    assert "Not compared, since no iteration succeeded: Stable Diffusion (out of memory)." in concluded(tmp_path)


def test_quality_is_told_and_never_ranked_since_pictures_without_a_face_may_have_the_sharpest_edges(tmp_path):
    for experiment, values in ("stable-diffusion", [30.0, 10.0]), ("stylegan2-ada", [20.0, 20.0]):
        save_run(tmp_path, experiment, [1.0], quality=dict(zip(["psnr_db", "sharpness"], values, strict=True)))
    text = concluded(tmp_path)
    assert "PSNR (dB): Stable Diffusion 30.0; StyleGAN2-ADA 20.0." in text
    assert "Sharpness: Stable Diffusion 10.0; StyleGAN2-ADA 20.0." in text and not re.search("highest|sharpest|best", text)
    assert "PSNR and SSIM compare a picture with its own original only; sharpness does not say whether a picture shows a face." in text


def test_the_quality_of_what_the_vae_gives_back_says_of_which_original_it_is(tmp_path):
    save(tmp_path, "vae-round-trip", [1.0], settings=dict(original="photograph", size=64), quality=dict(psnr_db=13.0, ssim=0.355))
    save(tmp_path, "vae-round-trip", [1.0], variant="faces", settings=dict(original="faces", size=64, steps=50),
         quality=dict(psnr_db=40.0, ssim=0.994))
    said = "PSNR and SSIM of VAE alone: of a photograph 13.0 dB and 0.355; of faces 40.0 dB and 0.994."
    text = concluded(tmp_path)
    assert said in text and "PSNR (dB):" not in text and "its own original only" in text
    assert said in Report(tmp_path).table("readings").note
    assert "PSNR і SSIM (Лише VAE): для фотографії – 13,0 дБ і 0,355; для облич – 40,0 дБ і 0,994." in concluded(tmp_path, "uk")


def test_of_earlier_records_the_faces_are_the_runs_own_and_the_photograph_its_variant(tmp_path):
    save(tmp_path, "vae-round-trip", [1.0], settings=dict(steps=50, size=64), quality=dict(psnr_db=40.0, ssim=0.994))
    save(tmp_path, "vae-round-trip", [1.0], variant="photograph", settings=dict(size=64), quality=dict(psnr_db=13.0, ssim=0.355))
    save(tmp_path, "vae-round-trip", [1.0], variant="precision-bfloat16", dtype="bfloat16", settings=dict(size=64),
         quality=dict(psnr_db=9.0))
    assert "PSNR and SSIM of VAE alone: of faces 40.0 dB and 0.994; of a photograph 13.0 dB and 0.355." in concluded(tmp_path)


def test_figures_that_are_alike_as_shown_are_not_ranked(tmp_path):
    for experiment, more in ("stable-diffusion", 1), ("stylegan2-ada", 2):
        save_run(tmp_path, experiment, [1.0], vram=500 * MB + more)
    assert "Smallest" not in concluded(tmp_path)


def test_a_face_drawn_and_given_back_is_no_model_of_its_own_to_rank(tmp_path):
    text = conclusions_of(tmp_path, stable_diffusion=[8.0, 8.1, 8.2], vae_as_in_thesis=[8.3, 8.4, 8.5], vae_round_trip=[0.1, 0.11, 0.12])
    said = "VAE (+SD) contains a whole run of Stable Diffusion and is left out of these comparisons."
    assert "Fastest is VAE alone" in text and said in text and "VAE (+SD)" not in text.replace(said, "")
    save_run(tmp_path / "alone", "vae-as-in-thesis", [8.3, 8.4, 8.5])
    alone = Report(tmp_path / "alone", limits=Limits(seconds=9)).conclusions()
    assert "Within all limits (at most 9 s an image): VAE (+SD)." in alone


def test_of_random_weights_no_quality_is_told(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0, 1.0], weights="random", quality=dict(sharpness=10.0))
    assert "harpness" not in concluded(tmp_path)


def test_experiments_under_the_name_of_a_column_do_not_differ_in_steps(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0, 1.0], settings=dict(steps=50))
    save_run(tmp_path, "Model", [9.0, 9.1])
    text = concluded(tmp_path)
    assert "number of steps" not in text and "Fastest is Stable Diffusion" in text


def test_ukrainian_conclusions_have_no_english_words_and_decimal_commas(tmp_path):
    conclusions_of(tmp_path, stable_diffusion=[8.0, 8.1, 8.2], vae_as_in_thesis=[8.3, 8.4, 8.5], vae_round_trip=[0.1, 0.2, 0.3],
                   stylegan2_ada=[0.02, 0.02, 0.02])
    text = concluded(tmp_path, "uk")
    latin = set(re.findall(r"[A-Za-z]{2,}", text)) - {"Stable", "Diffusion", "VAE", "SD", "StyleGAN", "ADA", "MB", "Tesla"}
    assert not latin and not re.search(r"\d\.\d", text)
