"""What is set side by side, ranked and quoted: only what the runs at hand bear."""
import json
import re

import pytest
from saved_runs import save_run

from genlib import runs
from genlib.__main__ import main
from genlib.report import conclusions, plots, tables, words

MB = 1024**2
OLD, OLDER = "2021-01-01T00:00:00+00:00", "2020-01-01T00:00:00+00:00"


def save(folder, experiment, times, *, started=None, peaks=None, **changes):
    """A run as saved_runs makes it, started when asked for, each iteration with its own peak of RAM."""
    run = save_run(folder, experiment, times, **changes)
    run.started = started or run.started
    for iteration in run.iterations:
        iteration.ram_peak_bytes = peaks
    run.save()
    return run


def concluded(folder, language="en"):
    df = runs.load(folder)
    chosen = tables.pick(df)
    return "\n".join(conclusions.conclude(chosen, language, tables.companions(df, chosen)))


# --- the number of steps

def steps_in_table(folder):
    chosen = tables.pick(runs.load(folder)).drop_duplicates("folder")
    return {experiment: json.loads(settings).get("steps") for experiment, settings in zip(chosen["experiment"], chosen["settings"],
                                                                                        strict=True)}


def test_the_rows_of_a_table_are_of_the_newest_number_of_steps_that_all_have(tmp_path):
    for started, steps in (OLDER, 50), (OLD, 20):
        for experiment in "stable-diffusion", "vae-as-in-thesis", "vae-round-trip":
            save(tmp_path, experiment, [float(steps)] * 5, started=started, settings=dict(steps=steps))
    save(tmp_path, "stable-diffusion", [4.0, 4.0], settings=dict(steps=4))
    save(tmp_path, "stylegan2-ada", [0.1] * 5, settings=dict(truncation_psi=0.7))
    assert steps_in_table(tmp_path) == {"stable-diffusion": 20, "vae-as-in-thesis": 20, "vae-round-trip": 20, "stylegan2-ada": None}
    table = tables.table1(tables.pick(runs.load(tmp_path)))
    assert table["Model"][0] == "Stable Diffusion" and "; 20 steps." in tables.note(tables.pick(runs.load(tmp_path)))


def test_the_figure_of_the_machines_shows_the_runs_of_table_1(tmp_path):
    for experiment in "stable-diffusion", "vae-as-in-thesis":
        save(tmp_path, experiment, [20.0] * 5, started=OLD, settings=dict(steps=20))
    save(tmp_path, "stable-diffusion", [4.0, 4.0], settings=dict(steps=4))
    df = runs.load(tmp_path)
    assert [bar.get_height() for bar in plots.machines(df, tables.pick(df)).axes[0].patches] == [20.0, 20.0]


def test_rows_that_share_no_number_of_steps_say_theirs_and_nothing_is_ranked(tmp_path):
    save(tmp_path, "vae-as-in-thesis", [20.0] * 5, started=OLD, settings=dict(steps=20))
    save(tmp_path, "vae-round-trip", [0.2] * 5, started=OLD, settings=dict(steps=20), quality=dict(sharpness=2.0))
    save(tmp_path, "stable-diffusion", [4.0, 4.1], settings=dict(steps=4), quality=dict(sharpness=1.0))
    save(tmp_path, "stylegan2-ada", [0.1] * 5)
    chosen = tables.pick(runs.load(tmp_path))
    names = ["Stable Diffusion (4 steps)", "Variational Autoencoders (20 steps)", "VAE alone (faces of 20 steps)",
             "Generative Adversarial Networks"]
    assert list(tables.table1(chosen)["Model"]) == names and list(tables.beside_thesis(chosen)["Model"][::3]) == names
    assert "Stable Diffusion (4 steps)" in tables.full(chosen) and "VAE (+SD) (20 steps)" in tables.full(chosen)
    assert "Stable Diffusion (4 steps)" in set(conclusions.cost_at_scale(chosen)["Model"])
    assert "Stable Diffusion (кроків: 4)" in list(tables.table1(chosen, "uk")["Модель"])
    text = concluded(tmp_path)
    assert "differ in their number of steps, so that nothing is ranked: Stable Diffusion (4 steps); VAE (faces of 20 steps)" in text
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
    assert "only Stable Diffusion takes a prompt; with one it takes 2.00 s an image." in concluded(tmp_path)
    assert "запит приймає лише Stable Diffusion; із запитом зображення генерується за 2,00 с." in concluded(tmp_path, "uk")


@pytest.mark.parametrize("change", [dict(settings=dict(steps=20, prompt="a face")), dict(dtype="bfloat16"), dict(model="another"),
                                    dict(method="thesis"), dict(settings=dict(steps=50, prompt=""))])
def test_a_time_without_a_prompt_is_called_so_and_a_run_of_other_conditions_does_not_stand_in(tmp_path, change):
    save_pair(tmp_path, **change)
    assert "only Stable Diffusion takes a prompt; the 1.00 s an image are without one." in concluded(tmp_path)
    assert "1,00 с на зображення, – без запиту." in concluded(tmp_path, "uk")


# --- spread

STEADY, WILD = [1.0, 1.001, 0.999, 1.0, 1.001], [1.0, 1.4, 0.6, 1.3, 0.7]


def spread_of(folder, first, second):
    save(folder, "stable-diffusion", first)
    save(folder, "stylegan2-ada", [time / 50 for time in second])
    return concluded(folder)


def test_spreads_that_a_test_tells_apart_are_ranked(tmp_path):
    text = spread_of(tmp_path / "a", STEADY, WILD)
    assert "Stable Diffusion is more stable than StyleGAN2 ADA: its time varies by 0.1 %, that of StyleGAN2 ADA by 35.4 %" in text
    assert "StyleGAN2 ADA is more stable than Stable Diffusion" in spread_of(tmp_path / "b", WILD, STEADY)


@pytest.mark.parametrize("first, second, n", [
    ([1.0, 1.05, 0.96, 1.02, 0.99], [1.0, 1.1, 0.95, 1.03, 0.97], "5"),
    ([1.0, 1.0001], [1.0, 2.0], "2"),  # two values lie equally far from their median, by which the test would always find a difference
    (STEADY, [1.0, 2.0], "2 … 5"),
    ([1.0] * 5, [1.0] * 5, "5"),
])
def test_spreads_that_no_test_tells_apart_are_not(tmp_path, first, second, n):
    text = spread_of(tmp_path, first, second)
    assert f"The spreads of the times cannot be told apart at n = {n}: Stable Diffusion" in text and "more stable" not in text


# --- memory

def test_ram_is_ranked_by_table_1s_reading_without_the_vae_whose_process_ran_the_pipeline_before(tmp_path):
    for experiment, ram in ("stable-diffusion", 500), ("vae-round-trip", 651), ("stylegan2-ada", 400):
        save(tmp_path, experiment, [1.0], vram=None, ram=ram * MB, peaks=2 * ram * MB)
    text = concluded(tmp_path)
    assert "Smallest is StyleGAN2 ADA, with 400 MB of RAM at the end of an iteration; most takes Stable Diffusion: 500 MB." in text
    assert "The RAM of VAE is left out: its process may hold what ran in it before." in text
    assert "these fit: Stable Diffusion, StyleGAN2 ADA. MB of RAM at the peak: Stable Diffusion 1000; StyleGAN2 ADA 800." in text
    assert "651" not in text and "1302" not in text
    assert "RAM is what the process holds at the end of an iteration" in tables.note(tables.pick(runs.load(tmp_path)))
    assert "на піку" in concluded(tmp_path, "uk") and "наприкінці" in concluded(tmp_path, "uk")


def test_vram_is_the_allocators_and_of_the_vae_too(tmp_path):
    for experiment, vram in ("stable-diffusion", 500), ("vae-round-trip", 651), ("stylegan2-ada", 400):
        save(tmp_path, experiment, [1.0], vram=vram * MB)
    text = concluded(tmp_path)
    assert "with 400 MB of VRAM at the peak; most takes VAE: 651 MB." in text and "left out" not in text
    assert "VRAM is the allocator’s peak" in tables.note(tables.pick(runs.load(tmp_path)))


# --- many images

def cost_of(folder, times):
    save(folder, "stable-diffusion", times)
    return list(conclusions.cost_at_scale(tables.pick(runs.load(folder)), counts=(10**9,), price_per_hour=1.0).iloc[0])[2:]


def test_cost_has_no_more_digits_than_the_interval_of_the_mean_bears(tmp_path):
    thin = "\N{NARROW NO-BREAK SPACE}"
    within_a_percent = cost_of(tmp_path / "a", [0.63564, 0.63565, 0.63563, 0.63564, 0.63564])
    assert within_a_percent == [text.replace(" ", thin) for text in ("5 660", "177 000", "—", "7 360", "177 000")]
    three_percent = cost_of(tmp_path / "b", [0.61, 0.66, 0.63, 0.65, 0.6282])
    assert three_percent == [text.replace(" ", thin) for text in ("5 700", "180 000", "—", "7 400", "180 000")]
    assert cost_of(tmp_path / "c", [0.63564])[0] == f"5{thin}700", "of one time no interval is known"


def test_devices_are_rounded_up_and_few_are_counted(tmp_path):
    save(tmp_path, "stable-diffusion", [3.6, 3.6])
    cost = conclusions.cost_at_scale(tables.pick(runs.load(tmp_path)), counts=(25_000, 10_000_001), deadline_h=1.0)
    assert list(cost["Devices for 1 h"]) == ["25", "10\N{NARROW NO-BREAK SPACE}100"]


# --- the command

def test_the_table_command_says_what_makes_every_run_doubtful_that_it_used(tmp_path, capsys):
    save(tmp_path, "stable-diffusion", [1.0] * 5)
    assert main(["table", str(tmp_path), "--out", str(tmp_path / "out"), "--format", "md"]) == 0
    assert "Nothing was seen that makes these figures doubtful." in capsys.readouterr().out
    save(tmp_path, "stable-diffusion", [1.0] * 2, variant="guidance-1")
    assert main(["table", str(tmp_path), "--out", str(tmp_path / "out"), "--format", "md"]) == 0
    assert "What makes these figures doubtful:\nStable Diffusion (guidance-1): n = 2 is too few" in capsys.readouterr().out
    assert words.say("doubtful", "uk") == "Що ставить ці дані під сумнів:"
