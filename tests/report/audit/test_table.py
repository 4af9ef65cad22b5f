"""The audit of the thesis's figures: a verdict on each, and what shows it."""
import re

import pytest
from saved_runs import MB, save_run

from genlib.locale import Language
from genlib.locale.numbers import MISSING
from genlib.report import Report
from genlib.report.audit import verdicts

AS_PUBLISHED = {  # what runs at full size on the thesis's card would be, had it read rightly what it could
    ("stable-diffusion", "genlib"): dict(times=[7.9, 8.0], vram=5000 * MB, quality=dict(unet_calls=51, different_pictures=1)),
    ("stable-diffusion", "thesis"): dict(times=[7.9, 8.0], vram=5620 * MB),
    ("stable-diffusion", "guidance-1"): dict(times=[4.0], quality=dict(largest_difference=0)),
    ("vae-as-in-thesis", "genlib"): dict(times=[8.0, 8.1], sizes=dict(unet=1700 * MB)),
    ("vae-as-in-thesis", "thesis"): dict(times=[8.0, 8.1], vram=None, ram=3917 * MB, readings=dict(vram_device_bytes=2300 * MB)),
    ("vae-round-trip", "genlib"): dict(times=[0.1, 0.1]),
    ("stylegan2-ada", "genlib"): dict(times=[0.150, 0.151]),
    ("stylegan2-ada", "thesis"): dict(times=[0.149, 0.150], vram=400 * MB),
}
ACROSS = "The published times follow from the printed iterations?"
T4 = "Stable Diffusion was computed in float32 on a T4?"
SLOW_START = "A slow first image raises the published mean time of Stable Diffusion?"
GUIDANCE, CALLS, ONE = "Guidance is paid for and changes nothing?", "50 steps are 51 UNet calls?", "The five pictures are one?"
VERDICTS = {
    "Stable Diffusion: time": verdicts.SOUND,
    "Stable Diffusion: VRAM": verdicts.REPRODUCED,
    "Stable Diffusion: RAM": verdicts.CONTRADICTS,
    "VAE (+SD): time": verdicts.IMPOSSIBLE,
    "VAE (+SD): VRAM": verdicts.IMPOSSIBLE,
    "VAE (+SD): RAM": verdicts.REPRODUCED,
    "StyleGAN2-ADA: time": verdicts.SOUND,
    "StyleGAN2-ADA: VRAM": verdicts.REPRODUCED,
    "StyleGAN2-ADA: RAM": verdicts.IMPOSSIBLE,
    ACROSS: verdicts.CONFIRMED,
    SLOW_START: verdicts.REFUTED,
    "Stable Diffusion and VAE (+SD) cannot be told apart in time?": verdicts.CONFIRMED,
    T4: verdicts.REFUTED,
    GUIDANCE: verdicts.CONFIRMED,
    CALLS: verdicts.CONFIRMED,
    ONE: verdicts.CONFIRMED,
}
OPEN = {  # to the sums, and the run that decides each
    "Stable Diffusion: VRAM": "on a GPU, “make gpu”: random weights in each precision, with and without the safety checker",
    "VAE (+SD): RAM": 'on a GPU, notebook 2 with WEIGHTS = "published"',
    "StyleGAN2-ADA: time": 'on a GPU, notebook 3 with WEIGHTS = "published"',
    "StyleGAN2-ADA: VRAM": 'on a GPU, notebook 3 with WEIGHTS = "published"',
}


def table_of(folder, language="en"):
    """The audit's table, indexed by figure."""
    return Report(folder, language=language).table("audit").data.set_index(Language(language).say("Published figure"))


def audit(folder, language="en", **changes):
    """That of AS_PUBLISHED with changes to all runs, or to those whose key is named."""
    for (experiment, kind), values in AS_PUBLISHED.items():
        values = values | changes.get("all", {}) | changes.get(f"{experiment} {kind}", {})
        method, variant = ("thesis", "as-in-thesis") if kind == "thesis" else ("genlib", "" if kind == "genlib" else kind)
        save_run(folder, experiment, **values, method=method, variant=variant)
    return table_of(folder, language)


def test_every_suspect_has_its_verdict_from_runs_of_both_methods(tmp_path):
    table = audit(tmp_path)
    assert table["Verdict"].to_dict() == VERDICTS
    assert set(table.index[table["Decided by"] == "these runs"]) == {*OPEN, "Stable Diffusion: time", GUIDANCE, CALLS, ONE}
    assert set(table["Decided by"]) == {"these runs", "the publication"}
    assert MISSING not in " ".join(table["What shows it"]), "every sentence has its figures"
    for shown in "The whole cycle takes 8.05 s here. VAE alone takes 0.100 s.", "By GPUtil: 2300 MB.", "The least RSS of any run: 500 MB.":
        assert shown in " ".join(table["What shows it"]), "what was measured supports the sums"


@pytest.mark.parametrize("figure, run, change, expected", [
    ("VAE (+SD): RAM", "vae-as-in-thesis thesis", dict(ram=1000 * MB, vram=None), verdicts.NOT_REPRODUCED),
    ("StyleGAN2-ADA: time", "stylegan2-ada thesis", dict(times=[0.010, 0.011]), verdicts.UNSOUND),
    ("StyleGAN2-ADA: time", "stylegan2-ada thesis", dict(times=[0.200, 0.210]), verdicts.DISTURBED),
    ("StyleGAN2-ADA: time", "stylegan2-ada thesis", dict(times=[0.43, 0.01, 0.01]), verdicts.DISTURBED),  # a mean of 0.15 by chance
    ("StyleGAN2-ADA: VRAM", "stylegan2-ada thesis", dict(vram=600 * MB), verdicts.NOT_REPRODUCED),
    (GUIDANCE, "stable-diffusion guidance-1", dict(quality=dict(largest_difference=40)), verdicts.REFUTED),
    (CALLS, "stable-diffusion genlib", dict(quality=dict(unet_calls=50)), verdicts.REFUTED),
    (ONE, "stable-diffusion genlib", dict(quality=dict(different_pictures=5)), verdicts.REFUTED),
])
def test_other_measurements_give_another_verdict(tmp_path, figure, run, change, expected):
    row = audit(tmp_path, **{run: change}).loc[figure]
    assert row["Verdict"] == expected and row["Decided by"] == (OPEN[figure] if expected == verdicts.DISTURBED else "these runs")


def test_the_published_vram_is_not_reproduced_only_where_each_precision_and_the_safety_checker_were_tried(tmp_path):
    """A run in float16 alone says nothing of float32; with the checker that is too much by the sums."""
    figure, checked = "Stable Diffusion: VRAM", dict(variant="memory-checker", vram=2998 * MB)
    row = audit(tmp_path, **{"stable-diffusion thesis": dict(vram=2418 * MB), "stable-diffusion genlib": dict(vram=2418 * MB)}).loc[figure]
    assert row["Verdict"] == "cannot be judged here (no such run)" and row["Decided by"] == OPEN[figure]
    run = save_run(tmp_path, "stable-diffusion", [8.0], **checked)
    run.model.parameters["safety_checker"] = 303_981_588
    run.save()
    row = table_of(tmp_path).loc[figure]
    assert row["Verdict"] == "cannot be judged here (no such run)"
    assert "The nearest run has 2998 MB (float16, “memory-checker”, with the safety checker)." in row["What shows it"]
    save_run(tmp_path, "stable-diffusion", [8.0], variant="precision-float32", vram=4836 * MB, dtype="float32")
    assert table_of(tmp_path).loc[figure, "Verdict"] == verdicts.NOT_REPRODUCED, "the nearest is in float32"


@pytest.mark.parametrize("experiment", ["stylegan2-ada", "vae-as-in-thesis"])
def test_no_run_of_another_network_judges_the_memory_of_the_published_one(tmp_path, experiment):
    table = audit(tmp_path, **{f"{experiment} {kind}": dict(model="another") for kind in ("genlib", "thesis")})
    figure = {"stylegan2-ada": "StyleGAN2-ADA: VRAM", "vae-as-in-thesis": "VAE (+SD): RAM"}[experiment]
    assert table.loc[figure, "Verdict"] == "cannot be judged here (no such run)"


@pytest.mark.parametrize("figure, run, times", [
    ("Stable Diffusion: time", "stable-diffusion thesis", [2.0, 2.1]), ("Stable Diffusion: time", "stable-diffusion thesis", [12.0, 12.1]),
    (GUIDANCE, "stable-diffusion guidance-1", [9.0]), (GUIDANCE, "stable-diffusion guidance-1", [7.94])])
def test_disturbed_times_leave_the_verdict_to_the_publication_and_are_not_shown(tmp_path, figure, run, times):
    row = audit(tmp_path, **{run: dict(times=times)}).loc[figure]
    assert row["Verdict"] == VERDICTS[figure] and row["Decided by"] == "the publication"
    assert not re.search("published method|an image takes", row["What shows it"])


@pytest.mark.parametrize("run, figures", [
    ("stable-diffusion thesis", {"Stable Diffusion: time"}), ("stable-diffusion guidance-1", {GUIDANCE}),
    ("stylegan2-ada thesis", {"StyleGAN2-ADA: time", "StyleGAN2-ADA: VRAM"})])
def test_runs_of_another_precision_are_not_compared(tmp_path, run, figures):
    table = audit(tmp_path, **{run: dict(dtype="float32")})
    assert "these runs" not in set(table.loc[list(figures), "Decided by"])
    assert set(table.loc[list(figures & set(OPEN)), "Verdict"]) <= {"cannot be judged here (no such run)"}


def test_the_note_counts_the_iterations_of_all_runs_that_gave_a_figure(tmp_path):
    audit(tmp_path)
    assert "Means, n = 1 … 2." in Report(tmp_path).table("audit").note


def test_a_figure_from_a_run_that_was_taken_up_again_is_marked(tmp_path):
    table = audit(tmp_path, **{"stylegan2-ada thesis": dict(resumed=True)})
    assert [figure for figure in table.index if "*" in figure] == ["StyleGAN2-ADA: time*", "StyleGAN2-ADA: VRAM*"]
    assert "* The run was interrupted" in Report(tmp_path).table("audit").note


def test_neither_a_batch_nor_a_run_without_guidance_is_a_candidate_for_the_thesiss_vram(tmp_path):
    save_run(tmp_path, "stable-diffusion", [9.0], vram=5619 * MB, variant="batch-2", settings=dict(steps=50, batch_size=2))
    save_run(tmp_path, "stable-diffusion", [9.0], vram=5619 * MB, variant="guidance-1", settings=dict(steps=50))
    save_run(tmp_path, "stable-diffusion", [9.0], vram=5000 * MB, variant="precision-float32", dtype="float32", settings=dict(steps=50))
    table = table_of(tmp_path)
    assert "The nearest run has 5000 MB (float32)." in table.loc["Stable Diffusion: VRAM", "What shows it"]


@pytest.mark.parametrize("change, reason", [(dict(weights="demo"), "demonstration weights"), (dict(vram=None), "no GPU"),
                                            (dict(profile="tuned"), "other settings than the published ones")])
def test_without_a_gpu_or_with_demo_weights_the_sums_judge_and_the_rest_names_the_run_that_decides_it(tmp_path, change, reason):
    table = audit(tmp_path, all=change)
    for figure, verdict in VERDICTS.items():
        by = "these runs" if figure == CALLS and reason == "no GPU" else OPEN.get(figure, "the publication")
        expected = f"cannot be judged here ({reason})" if figure in OPEN else verdict
        assert table.loc[figure, ["Verdict", "Decided by"]].tolist() == [expected, by], figure
    shown = table["What shows it"]
    assert MISSING not in " ".join(shown)
    assert "0.15 s" in shown["StyleGAN2-ADA: time"] and "0.149 s" in shown["StyleGAN2-ADA: time"], "what was measured is said nevertheless"
    assert "here" not in shown["VAE (+SD): time"], "but not beside a verdict that it does not support"
    assert ("leaves out" in shown["StyleGAN2-ADA: time"]) == (reason != "no GPU"), "without a GPU nothing is launched and left alone"


def test_a_run_that_is_not_there_or_has_other_steps_judges_nothing_and_the_verdict_says_which(tmp_path):
    save_run(tmp_path, "vae-as-in-thesis", [7.9, 8.0], method="thesis", variant="as-in-thesis", settings=dict(steps=5))
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1])
    verdicts = table_of(tmp_path)["Verdict"]
    assert verdicts["StyleGAN2-ADA: time"] == verdicts["Stable Diffusion: VRAM"] == "cannot be judged here (no such run)"
    assert verdicts["VAE (+SD): RAM"] == "cannot be judged here (5 steps instead of 50)"


OF_DIFFUSION = [f"{experiment} {kind}" for experiment, kind in AS_PUBLISHED if experiment != "stylegan2-ada"]
OTHER_STEPS = {run: dict(settings=dict(steps=20)) for run in OF_DIFFUSION}


def test_runs_left_out_for_their_steps_are_the_reason_where_they_were_asked_and_no_clause_has_dashes(tmp_path):
    table = audit(tmp_path, **OTHER_STEPS)
    for figure in "Stable Diffusion: VRAM", "VAE (+SD): RAM":
        assert table.loc[figure, "Verdict"] == "cannot be judged here (20 steps instead of 50)", figure
        assert table.loc[figure, "What shows it"].endswith(" Not measured with 50 steps."), figure
    assert table.loc["StyleGAN2-ADA: VRAM", "Verdict"] == "reproduced", "nothing is denoised there"
    assert MISSING not in " ".join(table["What shows it"])
    assert table.loc[SLOW_START, "What shows it"].endswith("on average."), "it shows it by itself"


def test_the_steps_of_loops_are_no_reason(tmp_path):
    for variant, steps in ("", 20), ("steps-4", 4), ("batch-2", 5):
        save_run(tmp_path, "stable-diffusion", [1.0], variant=variant, settings=dict(steps=steps))
    table = table_of(tmp_path)
    assert table.loc["Stable Diffusion: VRAM", "Verdict"] == "cannot be judged here (20 steps instead of 50)"
    assert table.loc["StyleGAN2-ADA: time", "What shows it"].endswith(" Not measured.")


def test_the_steps_stand_beside_the_other_reasons(tmp_path):
    changes = {f"{experiment} {kind}": dict(weights="demo", vram=None, profile="tuned") for experiment, kind in AS_PUBLISHED}
    table = audit(tmp_path, "uk", **{run: change | OTHER_STEPS.get(run, {}) for run, change in changes.items()})
    assert table.loc["Stable Diffusion: відеопам’ять", "Висновок"] == (
        "оцінити неможливо (демонстраційні ваги; немає графічного процесора; налаштування відрізняються від опублікованих; "
        "20 кроків замість 50)")
    assert "кроків" not in table.loc["StyleGAN2-ADA: час", "Висновок"]


def test_of_two_figures_the_one_that_was_measured_is_said(tmp_path):
    shown = audit(tmp_path, **{"vae-as-in-thesis genlib": dict(settings=dict(steps=20))}).loc["VAE (+SD): RAM", "What shows it"]
    assert shown.endswith("By the published method: 3918 MB.")


def test_without_any_run_of_the_thesiss_model_no_weights_are_blamed(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0], model="stabilityai/sdxl-turbo")
    assert table_of(tmp_path).loc["Stable Diffusion: VRAM", "Verdict"] == "cannot be judged here (no such run)"


def test_runs_of_another_model_judge_no_figure_of_the_thesis(tmp_path):
    other = dict(model="stabilityai/sdxl-turbo", vram=5620 * MB)
    table = audit(tmp_path, **{f"stable-diffusion {kind}": other for kind in ("genlib", "thesis", "guidance-1")})
    assert table.loc["Stable Diffusion: VRAM", "Verdict"].startswith("cannot be judged here (no such run)")
    assert set(table.loc[["Stable Diffusion: time", GUIDANCE, CALLS, ONE], "Decided by"]) == {"the publication"}
    assert table.loc["StyleGAN2-ADA: VRAM", "Verdict"] == "reproduced", "the other experiments are judged as before"


def test_the_audit_in_ukrainian_has_its_words_and_commas(tmp_path):
    table = audit(tmp_path, "uk")
    text = " ".join([*table.columns, *table.to_numpy().ravel()])
    assert "не відповідає заявленому змісту" in text and "7,86…8,09 с" in text.replace(" … ", "…")
    assert "." not in text.replace(". ", " ").replace(".\n", "")[:-1]


def test_only_runs_of_the_chosen_machine_weights_and_profile_are_audited(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [2.0, 2.0], vram=9 * MB, machine="other", method="thesis", variant="as-in-thesis")
    assert audit(tmp_path).loc["StyleGAN2-ADA: VRAM", "Verdict"] == "reproduced"


@pytest.mark.parametrize("language, label", [("en", "What the published method leaves out: unknown, since"),
                                             ("uk", "не враховує: невідомо, бо")])
def test_what_a_clock_leaves_out_is_unknown_where_it_reads_more_than_the_finished_image(tmp_path, language, label):
    shown = audit(tmp_path, language, **{"stylegan2-ada thesis": dict(times=[0.5, 0.6])}).iloc[6, -1]
    assert label in shown and " %" not in shown


@pytest.mark.parametrize("speed", [0.1, 10])
def test_no_time_of_another_card_makes_a_published_time_reproduced_or_refuted(tmp_path, speed):
    """The published card is unknown: runs on a slower and on a faster one have the same verdicts."""
    table = audit(tmp_path, **{f"{experiment} {kind}": dict(times=[time * speed for time in values["times"]])
                               for (experiment, kind), values in AS_PUBLISHED.items()})
    assert table["Verdict"].to_dict() == VERDICTS


def test_one_picture_does_not_confirm_that_several_are_alike(tmp_path):
    table = audit(tmp_path, **{"stable-diffusion genlib": dict(times=[7.9])})
    assert table.loc[ONE, "Decided by"] == "the publication"


@pytest.mark.parametrize("language", ["en", "uk"])
def test_no_internal_name_is_shown(tmp_path, language):
    table = audit(tmp_path, language)
    text = " ".join(table.to_numpy().ravel())
    assert not [name for name in ("as-in-thesis", "guidance-1", "guidance_scale", "stable-diffusion", "genlib", "thesis") if name in text]
