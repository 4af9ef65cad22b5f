"""The audit of the thesis's figures: a verdict on each, and what shows it."""
import pytest
from saved_runs import MB, save_run

from genlib.experiments import STYLEGAN2_ADA
from genlib.locale import Language
from genlib.locale.numbers import MISSING
from genlib.report import Report
from genlib.report import audit as auditing

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
SLOW_START = "A slow first image raises the published mean time of Stable Diffusion?"
GUIDANCE, CALLS, ONE = "Guidance is paid for and changes nothing?", "50 steps are 51 UNet calls?", "The five pictures are one?"
VERDICTS = {
    "Stable Diffusion: time": auditing.SOUND,
    "Stable Diffusion: VRAM": auditing.REPRODUCED,
    "Stable Diffusion: RAM": auditing.CONTRADICTS,
    "VAE (+SD): time": auditing.IMPOSSIBLE,
    "VAE (+SD): VRAM": auditing.IMPOSSIBLE,
    "VAE (+SD): RAM": auditing.REPRODUCED,
    "StyleGAN2-ADA: time": auditing.SOUND,
    "StyleGAN2-ADA: VRAM": auditing.REPRODUCED,
    "StyleGAN2-ADA: RAM": auditing.IMPOSSIBLE,
    SLOW_START: auditing.REFUTED,
    "Stable Diffusion and VAE (+SD) cannot be told apart in time?": auditing.CONFIRMED,
    GUIDANCE: auditing.CONFIRMED,
    CALLS: auditing.CONFIRMED,
    ONE: auditing.CONFIRMED,
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
    assert MISSING not in " ".join(table["What shows it"]), "every sentence has its figures"


@pytest.mark.parametrize("figure, run, change, expected", [
    ("Stable Diffusion: time", "stable-diffusion thesis", dict(times=[2.0, 2.1]), auditing.DISTURBED),
    ("Stable Diffusion: time", "stable-diffusion thesis", dict(times=[12.0, 12.1]), auditing.DISTURBED),
    ("Stable Diffusion: VRAM", "stable-diffusion thesis", dict(vram=5700 * MB), auditing.NOT_REPRODUCED),
    ("VAE (+SD): time", "vae-round-trip genlib", dict(times=[7.0, 7.1]), auditing.NOT_SHOWN),
    ("VAE (+SD): time", "vae-round-trip genlib", dict(times=[9.0, 9.1]), auditing.DISTURBED),
    ("VAE (+SD): VRAM", "vae-as-in-thesis genlib", dict(sizes=dict(vae=100 * MB)), auditing.NOT_SHOWN),
    ("VAE (+SD): VRAM", "vae-as-in-thesis thesis", dict(readings=dict(vram_device_bytes=1136 * MB)), auditing.NOT_SHOWN),
    ("VAE (+SD): RAM", "vae-as-in-thesis thesis", dict(ram=1000 * MB, vram=None), auditing.NOT_REPRODUCED),
    ("StyleGAN2-ADA: time", "stylegan2-ada thesis", dict(times=[0.010, 0.011]), auditing.UNSOUND),
    ("StyleGAN2-ADA: time", "stylegan2-ada thesis", dict(times=[0.200, 0.210]), auditing.DISTURBED),
    ("StyleGAN2-ADA: time", "stylegan2-ada thesis", dict(times=[0.43, 0.01, 0.01]), auditing.DISTURBED),  # a mean of 0.15 by chance
    ("StyleGAN2-ADA: VRAM", "stylegan2-ada thesis", dict(vram=600 * MB), auditing.NOT_REPRODUCED),
    ("StyleGAN2-ADA: RAM", "stylegan2-ada thesis", dict(ram=200 * MB), auditing.NOT_SHOWN),
    (GUIDANCE, "stable-diffusion guidance-1", dict(quality=dict(largest_difference=40)), auditing.REFUTED),
    (GUIDANCE, "stable-diffusion guidance-1", dict(times=[9.0]), auditing.DISTURBED),
    (GUIDANCE, "stable-diffusion guidance-1", dict(times=[7.94]), auditing.DISTURBED),
    (CALLS, "stable-diffusion genlib", dict(quality=dict(unet_calls=50)), auditing.REFUTED),
    (ONE, "stable-diffusion genlib", dict(quality=dict(different_pictures=5)), auditing.REFUTED),
])
def test_other_measurements_give_another_verdict(tmp_path, figure, run, change, expected):
    assert audit(tmp_path, **{run: change}).loc[figure, "Verdict"] == expected


def test_of_weights_in_single_precision_half_are_held_against_the_published_vram(tmp_path):
    changes = {f"vae-as-in-thesis {kind}": AS_PUBLISHED["vae-as-in-thesis", kind] | dict(dtype="float32") for kind in ("genlib", "thesis")}
    changes["vae-as-in-thesis genlib"] |= dict(sizes=dict(vae=2000 * MB))
    assert audit(tmp_path, **changes).loc["VAE (+SD): VRAM", "Verdict"] == auditing.NOT_SHOWN


@pytest.mark.parametrize("run, figures", [
    ("stable-diffusion thesis", ["Stable Diffusion: time"]), ("stable-diffusion guidance-1", [GUIDANCE]),
    ("vae-round-trip genlib", ["VAE (+SD): time"]), ("stylegan2-ada thesis", ["StyleGAN2-ADA: time", "StyleGAN2-ADA: VRAM"])])
def test_runs_of_another_precision_are_not_compared(tmp_path, run, figures):
    table = audit(tmp_path, **{run: dict(dtype="float32")})
    assert set(table.loc[figures, "Verdict"]) == {"cannot be judged here (no such run)"}


def test_weights_of_unknown_size_speak_neither_for_nor_against_the_published_vram(tmp_path):
    table = audit(tmp_path, **{"vae-as-in-thesis genlib": dict(sizes={})})
    assert table.loc["VAE (+SD): VRAM", "Verdict"] == "cannot be judged here (no such reading)"
    assert "weights alone" not in table.loc["VAE (+SD): VRAM", "What shows it"]


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
def test_without_a_gpu_or_with_demo_weights_only_what_the_publication_shows_is_judged(tmp_path, change, reason):
    table = audit(tmp_path, all=change)
    for (figure, verdict), suspect in zip(VERDICTS.items(), auditing.SUSPECTS, strict=True):
        is_judged = suspect.read == auditing.PUBLICATION or figure == CALLS and reason == "no GPU"
        expected = verdict if is_judged else f"cannot be judged here ({reason})"
        assert table.loc[figure, "Verdict"] == expected, figure
    assert MISSING not in " ".join(table["What shows it"])
    shown = table.loc["Stable Diffusion: time", "What shows it"]
    assert "7.93" in shown and "7.95 s" in shown, "what was measured is said nevertheless"


def test_a_run_that_is_not_there_or_has_other_steps_judges_nothing_and_the_verdict_says_which(tmp_path):
    save_run(tmp_path, "stable-diffusion", [7.9, 8.0], method="thesis", variant="as-in-thesis", settings=dict(steps=5))
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1])
    table = table_of(tmp_path)
    for figure in "VAE (+SD): time", "VAE (+SD): VRAM", "StyleGAN2-ADA: time", GUIDANCE, CALLS, ONE:
        assert table.loc[figure, "Verdict"] == "cannot be judged here (no such run)", figure
    for figure in "Stable Diffusion: time", "Stable Diffusion: VRAM":
        assert table.loc[figure, "Verdict"] == "cannot be judged here (5 steps instead of 50)", figure


OF_DIFFUSION = [f"{experiment} {kind}" for experiment, kind in AS_PUBLISHED if experiment != "stylegan2-ada"]
OTHER_STEPS = {run: dict(settings=dict(steps=20)) for run in OF_DIFFUSION}


def test_runs_left_out_for_their_steps_are_the_reason_where_they_were_asked_and_no_clause_has_dashes(tmp_path):
    table = audit(tmp_path, **OTHER_STEPS)
    for figure, suspect in zip(VERDICTS, auditing.SUSPECTS, strict=True):
        if suspect.read != auditing.PUBLICATION and suspect.model is not STYLEGAN2_ADA:
            assert table.loc[figure, "Verdict"] == "cannot be judged here (20 steps instead of 50)", figure
    assert table.loc["StyleGAN2-ADA: VRAM", "Verdict"] == "reproduced", "nothing is denoised there"
    shown = table["What shows it"]
    assert MISSING not in " ".join(shown)
    assert shown["Stable Diffusion: time"] == f"Published: 7.93 s. {auditing.NO_CARD} Not measured with 50 steps."
    assert shown["VAE (+SD): time"] == "Published: 7.96 s, as the time of Variational Autoencoders. Not measured with 50 steps."
    assert shown[SLOW_START].endswith("on average."), "it shows it by itself"


def test_the_steps_of_loops_are_no_reason(tmp_path):
    for variant, steps in ("", 20), ("steps-4", 4), ("batch-2", 5):
        save_run(tmp_path, "stable-diffusion", [1.0], variant=variant, settings=dict(steps=steps))
    table = table_of(tmp_path)
    assert table.loc["Stable Diffusion: VRAM", "Verdict"] == "cannot be judged here (20 steps instead of 50)"
    assert table.loc["StyleGAN2-ADA: time", "What shows it"] == f"Published: 0.15 s. {auditing.NO_CARD} Not measured."


def test_the_steps_stand_beside_the_other_reasons(tmp_path):
    changes = {f"{experiment} {kind}": dict(weights="demo", vram=None, profile="tuned") for experiment, kind in AS_PUBLISHED}
    table = audit(tmp_path, "uk", **{run: change | OTHER_STEPS.get(run, {}) for run, change in changes.items()})
    assert table.loc["Stable Diffusion: час", "Висновок"] == (
        "оцінити неможливо (демонстраційні ваги; немає графічного процесора; налаштування відрізняються від опублікованих; "
        "20 кроків замість 50)")
    assert "кроків" not in table.loc["StyleGAN2-ADA: час", "Висновок"]


def test_of_two_figures_the_one_that_was_measured_is_said(tmp_path):
    shown = audit(tmp_path, **{"stable-diffusion genlib": dict(settings=dict(steps=20))}).loc["Stable Diffusion: time", "What shows it"]
    assert shown == f"Published: 7.93 s. By the published method: 7.95 s. {auditing.NO_CARD}"


def test_without_any_run_of_the_thesiss_model_no_weights_are_blamed(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0], model="stabilityai/sdxl-turbo")
    assert table_of(tmp_path).loc["Stable Diffusion: time", "Verdict"] == "cannot be judged here (no such run)"


def test_runs_of_another_model_judge_no_figure_of_the_thesis(tmp_path):
    other = dict(model="stabilityai/sdxl-turbo", vram=5620 * MB)
    table = audit(tmp_path, **{f"stable-diffusion {kind}": other for kind in ("genlib", "thesis", "guidance-1")})
    for figure in "Stable Diffusion: time", "Stable Diffusion: VRAM", GUIDANCE, CALLS, ONE:
        assert table.loc[figure, "Verdict"].startswith("cannot be judged here (no such run)"), figure
    assert table.loc["StyleGAN2-ADA: VRAM", "Verdict"] == "reproduced", "the other experiments are judged as before"


def test_the_audit_in_ukrainian_has_its_words_and_commas(tmp_path):
    table = audit(tmp_path, "uk")
    text = " ".join([*table.columns, *table.to_numpy().ravel()])
    assert "не відповідає заявленому змісту" in text and "7,93 с" in text and "." not in text.replace(". ", " ").replace(".\n", "")[:-1]


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
    assert table.loc[ONE, "Verdict"] == "cannot be judged here (no such reading)"


@pytest.mark.parametrize("language", ["en", "uk"])
def test_no_internal_name_is_shown(tmp_path, language):
    table = audit(tmp_path, language)
    text = " ".join(table.to_numpy().ravel())
    assert not [name for name in ("as-in-thesis", "guidance-1", "guidance_scale", "stable-diffusion", "genlib", "thesis") if name in text]
