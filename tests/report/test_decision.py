"""Models held against the limits that a reader sets."""
import pytest
from saved_runs import MB, save_run

from genlib.report import Limits, Report

GAN, DIFFUSION = "stylegan2-ada", "stable-diffusion"


def decision(folder, language="en", **limits):
    return Report(folder, language=language, limits=Limits(**limits)).table("decision").data


def concluded(folder, language="en", **limits):
    return "\n".join(Report(folder, language=language, limits=Limits(**limits)).conclusions())


def test_without_limits_the_table_is_empty_and_says_how_to_give_them(tmp_path):
    save_run(tmp_path, GAN, [1.0, 1.0])
    table = Report(tmp_path).table("decision")
    assert table.data.empty and "(LIMITS)" in table.note and "decision" not in Report(tmp_path).tables
    assert "depends on its limits of time, memory, text and licence; none were given." in concluded(tmp_path)
    assert "real time" not in concluded(tmp_path) and "4 GB" not in concluded(tmp_path)


@pytest.mark.parametrize("wrong", [dict(seconds=-1), dict(seconds=float("nan")), dict(gb=float("inf")), dict(gb=-0.5)], ids=str)
def test_what_is_no_limit_is_refused(wrong):
    with pytest.raises(ValueError, match="the limit of (seconds|gb) is .*: use a number above 0, or 0 for no limit"):
        Limits(**wrong)


@pytest.mark.parametrize("times, verdict", [
    ([0.9, 0.91, 0.92], "met: 0.910 s (0.885 … 0.935)"), ([1.1, 1.11, 1.12], "not met: 1.11 s (1.09 … 1.13)"),
    ([0.8, 0.9, 1.2], "not known: 0.967 s (0.450 … 1.48)"), ([0.1], "not known: 0.100 s (—)")], ids=str)
def test_a_time_is_within_its_limit_or_beyond_it_with_its_whole_interval(tmp_path, times, verdict):
    save_run(tmp_path, GAN, times)
    assert decision(tmp_path, seconds=1.0).iloc[0].tolist() == ["StyleGAN2-ADA", verdict, verdict.split(": ")[0]]


def test_memory_on_a_gpu_is_what_the_device_held_without_other_processes(tmp_path):
    """The allocator's peak, far below, holds neither the context nor what libraries take for themselves."""
    for experiment, held in (DIFFUSION, dict(vram_device_bytes=4300 * MB, vram_others_bytes=300 * MB)), (
            "vae-round-trip", dict(vram_device_bytes=5000 * MB)), (GAN, {}):
        save_run(tmp_path, experiment, [1.0, 1.0], vram=500 * MB, readings=held)
    assert decision(tmp_path, gb=4)["Memory"].tolist() == ["met: 4000 MB", "not met: 5000 MB", "not known"]
    text = concluded(tmp_path, gb=4)
    assert "Within all limits (at most 4 GB of memory): Stable Diffusion." in text
    assert "Beyond a limit: VAE alone – memory 5000 MB." in text and "Not known from these runs: StyleGAN2-ADA – memory." in text
    text = concluded(tmp_path, "uk", gb=4)
    assert "Задовольняють усі обмеження (не більше ніж 4\u00a0ГБ пам’яті): Stable Diffusion." in text
    assert "Не задовольняють обмежень: Лише VAE – пам’ять 5000\u00a0МБ." in text


def test_without_a_gpu_memory_is_the_processs_peak_where_no_other_model_was_loaded_before(tmp_path):
    for experiment, loaded in (DIFFUSION, []), (GAN, ["Stable Diffusion v1-4, float32"]):
        save_run(tmp_path, experiment, [1.0, 1.0], vram=None, readings=dict(ram_peak_bytes=3000 * MB), loaded_before=loaded)
    assert decision(tmp_path, gb=4)["Memory"].tolist() == ["met: 3000 MB", "not known"]


@pytest.mark.parametrize("reading, vram", [("vram_device_bytes", 500 * MB), ("ram_peak_bytes", None)])
def test_the_most_memory_is_that_of_all_sessions(tmp_path, reading, vram):
    for day, held in (1, 5000), (2, 1000):
        save_run(tmp_path, GAN, [1.0, 1.0], vram=vram, readings={reading: held * MB}, loaded_before=[],
                 started=f"2026-01-0{day}T00:00:00+00:00")
    table = Report(tmp_path, limits=Limits(gb=4)).table("decision")
    assert table.data["Memory"].tolist() == ["not met: 5000 MB"] and "1 MB = 1024² bytes." in table.note


def test_where_a_text_is_needed_the_time_and_memory_of_a_run_with_a_prompt_count(tmp_path):
    settings = dict(steps=50, prompt="", seed=0)
    save_run(tmp_path, DIFFUSION, [1.0] * 3, settings=settings, readings=dict(vram_device_bytes=2000 * MB))
    save_run(tmp_path, DIFFUSION, [2.0] * 3, variant="face-prompt", settings=settings | dict(prompt="a face"),
             readings=dict(vram_device_bytes=3000 * MB))
    save_run(tmp_path, GAN, [0.1] * 3)
    with_text, without = decision(tmp_path, seconds=1.5, gb=8, text=True), decision(tmp_path, seconds=1.5, gb=8)
    assert with_text.iloc[0].tolist()[1:4] == ["not met: 2.00 s (2.00 … 2.00)", "met: 3000 MB", "met"]
    assert without.iloc[0].tolist()[1:3] == ["met: 1.00 s (1.00 … 1.00)", "met: 2000 MB"]
    assert with_text["Text prompt"].tolist() == ["met", "not met"]


def test_commercial_use_goes_by_the_licence_and_an_unknown_one_is_not_known(tmp_path):
    save_run(tmp_path, DIFFUSION, [1.0], weights="random")
    save_run(tmp_path, GAN, [1.0], weights="random", model="StyleGAN2-ADA 512 px")
    save_run(tmp_path, "my-own", [1.0], weights="random", model="mine")
    found, note = decision(tmp_path, commercial=True), Report(tmp_path, limits=Limits(commercial=True)).table("decision").note
    assert found["All limits"].tolist() == ["met", "not met", "not known"]
    assert found["Commercial use"][1] == "not met: NVIDIA Source Code License"
    assert "; NVIDIA Source Code License – research or evaluation only." in note


def test_each_profile_is_held_against_the_limits_and_named_where_there_are_several(tmp_path):
    for profile, time_s in ("tuned", 1.0), ("thesis", 3.0):
        save_run(tmp_path, GAN, [time_s] * 3, profile=profile)
    found = decision(tmp_path, seconds=2)
    assert found[["Profile", "All limits"]].to_numpy().tolist() == [
        ["without optimisations", "not met"], ["optimised (the same pictures)", "met"]]
    assert "(at most 2 s an image): StyleGAN2-ADA, optimised (the same pictures)." in concluded(tmp_path, seconds=2)


def test_no_model_within_the_limits_is_said(tmp_path):
    save_run(tmp_path, GAN, [1.0] * 3)
    text = concluded(tmp_path, seconds=0.5, text=True)
    assert "No model is shown to stay within all limits (at most 0.5 s an image; a text prompt)." in text


def test_a_model_of_which_no_iteration_succeeded_is_held_against_nothing(tmp_path):
    run = save_run(tmp_path, GAN, [1.0])
    run.iterations[0].error = "out of memory"
    run.save()
    assert decision(tmp_path, seconds=1).empty
