"""The audit of the thesis's figures, the machines side by side, and runs that come from elsewhere."""
import sys
import types
import zipfile

import pandas as pd
import pytest
from saved_runs import MB, save_run

from genlib import notebook, runs
from genlib.__main__ import main
from genlib.report import plots, tables, thesis, words

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
VERDICTS = dict(sd_time="reproduced", sd_vram="reproduced", sd_ram="contradicts", vae_time="impossible", vae_vram="impossible",
                vae_ram="reproduced", gan_time="reproduced", gan_vram="reproduced", gan_ram="impossible", warm_up="refuted",
                spread="confirmed", guidance="confirmed", unet_calls="confirmed", identical="confirmed")


def audit(folder, language="en", **changes):
    """The audit's table of AS_PUBLISHED with changes to all runs, or to those whose key is named; indexed by figure."""
    for (experiment, kind), values in AS_PUBLISHED.items():
        values = values | changes.get("all", {}) | changes.get(f"{experiment} {kind}", {})
        method, variant = ("thesis", "as-in-thesis") if kind == "thesis" else ("genlib", "" if kind == "genlib" else kind)
        save_run(folder, experiment, **values, method=method, variant=variant)
    df = runs.load(folder)
    return thesis.audit(tables.companions(df, tables.pick(df)), language).set_index(words.say("figure", language))


def verdict(table, name):
    return table.loc[words.say(f"audit.{name}", "en"), "Verdict"]


def test_every_suspect_has_its_verdict_from_runs_of_both_methods(tmp_path):
    table = audit(tmp_path)
    assert {name: verdict(table, name) for name in thesis.SUSPECTS} == {n: words.say(f"verdict.{v}", "en") for n, v in VERDICTS.items()}
    assert words.MISSING not in " ".join(table["What shows it"]), "every sentence has its figures"


@pytest.mark.parametrize("name, run, change, expected", [
    ("sd_time", "stable-diffusion thesis", dict(times=[2.0, 2.1]), "not_reproduced"),
    ("sd_vram", "stable-diffusion thesis", dict(vram=5700 * MB), "not_reproduced"),
    ("vae_time", "vae-round-trip genlib", dict(times=[7.0, 7.1]), "not_shown"),
    ("vae_vram", "vae-as-in-thesis genlib", dict(sizes=dict(vae=100 * MB)), "not_shown"),
    ("vae_vram", "vae-as-in-thesis thesis", dict(readings=dict(vram_device_bytes=1136 * MB)), "not_shown"),
    ("vae_ram", "vae-as-in-thesis thesis", dict(ram=1000 * MB, vram=None), "not_reproduced"),
    ("gan_time", "stylegan2-ada thesis", dict(times=[0.010, 0.011]), "impossible"),
    ("gan_time", "stylegan2-ada thesis", dict(times=[0.200, 0.210]), "not_reproduced"),
    ("gan_vram", "stylegan2-ada thesis", dict(vram=600 * MB), "not_reproduced"),
    ("gan_ram", "stylegan2-ada thesis", dict(ram=200 * MB), "not_shown"),
    ("guidance", "stable-diffusion guidance-1", dict(quality=dict(largest_difference=40)), "refuted"),
    ("unet_calls", "stable-diffusion genlib", dict(quality=dict(unet_calls=50)), "refuted"),
    ("identical", "stable-diffusion genlib", dict(quality=dict(different_pictures=5)), "refuted"),
])
def test_other_measurements_give_another_verdict(tmp_path, name, run, change, expected):
    assert verdict(audit(tmp_path, **{run: change}), name) == words.say(f"verdict.{expected}", "en")


def test_a_batch_of_pictures_is_no_candidate_for_the_thesiss_vram(tmp_path):
    save_run(tmp_path, "stable-diffusion", [9.0], vram=5619 * MB, variant="batch-2", settings=dict(steps=50, batch_size=2))
    save_run(tmp_path, "stable-diffusion", [9.0], vram=5000 * MB, variant="precision-float32", dtype="float32", settings=dict(steps=50))
    table = thesis.audit(runs.load(tmp_path)).set_index("Figure of the thesis")
    assert "the nearest has 5000 MB: float32, precision-float32" in table.loc["Stable Diffusion: VRAM", "What shows it"]


@pytest.mark.parametrize("change, reason", [(dict(weights="demo"), "demonstration weights"), (dict(vram=None), "no GPU"),
                                            (dict(profile="tuned"), "another profile than the thesis’s")])
def test_without_a_gpu_or_with_demo_weights_only_what_the_publication_shows_is_judged(tmp_path, change, reason):
    table = audit(tmp_path, all=change)
    for name, (read, _) in thesis.SUSPECTS.items():
        expected = words.say(f"verdict.{VERDICTS[name]}", "en") if read == "published" else f"cannot be judged here ({reason})"
        assert verdict(table, name) == expected
    assert words.MISSING not in " ".join(table["What shows it"])
    shown = table.loc["Stable Diffusion: time", "What shows it"]
    assert "7.93" in shown and "7.95 s" in shown, "what was measured is said nevertheless"


def test_a_run_that_is_not_there_or_has_other_steps_judges_nothing_and_the_verdict_says_which(tmp_path):
    save_run(tmp_path, "stable-diffusion", [7.9, 8.0], method="thesis", variant="as-in-thesis", settings=dict(steps=5))
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1])
    table = thesis.audit(runs.load(tmp_path)).set_index("Figure of the thesis")
    for name in "vae_time", "vae_vram", "gan_time", "guidance", "unet_calls", "identical":
        assert verdict(table, name) == "cannot be judged here (no such run)", name
    for name in "sd_time", "sd_vram":
        assert verdict(table, name) == "cannot be judged here (5 steps instead of 50)", name


OF_DIFFUSION = [f"{experiment} {kind}" for experiment, kind in AS_PUBLISHED if experiment != "stylegan2-ada"]
OTHER_STEPS = {run: dict(settings=dict(steps=20)) for run in OF_DIFFUSION}


def test_runs_left_out_for_their_steps_are_the_reason_where_they_were_asked_and_no_clause_has_dashes(tmp_path):
    table = audit(tmp_path, **OTHER_STEPS)
    for name, (read, _) in thesis.SUSPECTS.items():
        if read != "published" and not name.startswith("gan"):
            assert verdict(table, name) == "cannot be judged here (20 steps instead of 50)", name
    assert verdict(table, "gan_time") == words.say("verdict.reproduced", "en"), "nothing is denoised there"
    shown = table["What shows it"]
    assert words.MISSING not in " ".join(shown)
    assert shown["Stable Diffusion: time"] == "Published: 7.93 s. Not measured here with 50 steps."
    assert shown["VAE: time"] == "Not measured here with 50 steps."
    assert shown["A slow first image raises Stable Diffusion’s mean time?"].endswith("on average."), "it shows it by itself"


def test_the_steps_of_loops_are_no_reason(tmp_path):
    for variant, steps in ("", 20), ("steps-4", 4), ("batch-2", 5):
        save_run(tmp_path, "stable-diffusion", [1.0], variant=variant, settings=dict(steps=steps))
    table = thesis.audit(runs.load(tmp_path)).set_index("Figure of the thesis")
    assert verdict(table, "sd_vram") == "cannot be judged here (20 steps instead of 50)"
    assert table.loc["StyleGAN2-ADA: time", "What shows it"] == "Published: 0.15 s. Not measured here."


def test_the_steps_stand_beside_the_other_reasons(tmp_path):
    changes = {f"{experiment} {kind}": dict(weights="demo", vram=None, profile="tuned") for experiment, kind in AS_PUBLISHED}
    table = audit(tmp_path, "uk", **{run: change | OTHER_STEPS.get(run, {}) for run, change in changes.items()})
    assert table.loc["Stable Diffusion: час", "Висновок"] == (
        "тут оцінити неможливо (демонстраційні ваги; немає графічного процесора; інший профіль, ніж у дипломній роботі; "
        "кроків: 20 замість 50)")
    assert "кроків" not in table.loc["StyleGAN2-ADA: час", "Висновок"]


def test_of_two_figures_the_one_that_was_measured_is_said(tmp_path):
    shown = audit(tmp_path, **{"stable-diffusion genlib": dict(settings=dict(steps=20))}).loc["Stable Diffusion: time", "What shows it"]
    assert shown == "Published: 7.93 s. The thesis’s reading gives 7.95 s here."


def test_without_any_run_of_the_thesiss_model_no_weights_are_blamed(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0], model="stabilityai/sdxl-turbo")
    assert verdict(thesis.audit(runs.load(tmp_path)).set_index("Figure of the thesis"), "sd_time") == "cannot be judged here (no such run)"


def test_runs_of_another_model_judge_no_figure_of_the_thesis(tmp_path):
    other = dict(model="stabilityai/sdxl-turbo", vram=5620 * MB)
    table = audit(tmp_path, **{f"stable-diffusion {kind}": other for kind in ("genlib", "thesis", "guidance-1")})
    for name in "sd_time", "sd_vram", "guidance", "unet_calls", "identical":
        assert verdict(table, name).startswith("cannot be judged here (no such run)"), name
    assert verdict(table, "gan_vram") == words.say("verdict.reproduced", "en"), "the other experiments are judged as before"


def test_with_one_experiment_only_every_figure_and_table_is_made(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1])
    df = runs.load(tmp_path)
    chosen = tables.pick(df)
    assert len(thesis.audit(tables.companions(df, chosen))) == len(thesis.SUSPECTS)
    assert plots.growth(tables.companions(df, chosen)) and plots.machines(df, chosen) and plots.vae(chosen)


def test_the_audit_in_ukrainian_has_its_words_and_commas(tmp_path):
    table = audit(tmp_path, "uk")
    text = " ".join([*table.columns, *table.to_numpy().ravel()])
    assert "не може бути тим, чим названо" in text and "7,93 с" in text and "." not in text.replace(". ", " ").replace(".\n", "")[:-1]


def test_only_runs_of_the_chosen_machine_weights_and_profile_are_audited(tmp_path):
    save_run(tmp_path, "stable-diffusion", [2.0, 2.0], machine="other", method="thesis", variant="as-in-thesis")
    assert verdict(audit(tmp_path), "sd_time") == "reproduced"


# --- machines, the VAE's pictures

def test_machines_stand_side_by_side_and_a_reference_run_is_marked(tmp_path):
    for machine, weights in ("tesla-t4", "random"), ("a100", "random"), ("other", "demo"):
        save_run(tmp_path / "own", "stable-diffusion", [1.0, 2.0], machine=machine, weights=weights)
    save_run(tmp_path / "reference", "stable-diffusion", [3.0, 3.0], machine="a100", weights="random")
    df = runs.load(tmp_path / "own", reference=tmp_path / "reference")
    figure = plots.machines(df, tables.pick(df, weights="random"))
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert sorted(names) == ["a100", "a100\n(reference)", "tesla-t4"], "no other weights"
    assert sorted(bar.get_height() for bar in figure.axes[0].patches) == [1.5, 1.5, 3.0]


def test_the_vaes_pictures_are_original_reconstruction_and_difference(tmp_path):
    save_run(tmp_path, "vae-as-in-thesis", [1.0, 1.0], picture=2)
    figure = plots.vae(runs.load(tmp_path))
    shown = [ax.images[0].get_array()[0, 0, 0] for ax in figure.axes if ax.images]
    assert shown == [10, 30, 0, 20, 40, 40], "two columns: reconstruction 0 of 10, 20 of 30; four times 10"
    save_run(tmp_path / "one", "vae-as-in-thesis", [1.0], picture=1)
    assert "there are no pictures" in [text.get_text() for text in plots.vae(runs.load(tmp_path / "one")).texts]


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_these_figures_too_are_the_same_bytes_each_time_and_fit_the_page(tmp_path, language):
    save_run(tmp_path, "vae-as-in-thesis", [9.0], picture=2)
    df = runs.load(tmp_path)
    for number, draw in enumerate([lambda: plots.machines(df, tables.pick(df), language), lambda: plots.vae(df, language)]):
        first, second = (plots.save(draw(), tmp_path / f"{name}{number}") for name in "ab")
        assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
        assert draw().get_figwidth() <= 6.3


# --- runs from elsewhere

def packed(folder, archive, prefix="results/"):
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, prefix + str(path.relative_to(folder)))
    return archive


def test_a_zip_of_results_dropped_into_the_folder_is_read_with_its_pictures(tmp_path):
    save_run(tmp_path / "colab", "stable-diffusion", [1.0, 2.0], machine="tesla-t4")
    (tmp_path / "results").mkdir()
    save_run(tmp_path / "results", "stable-diffusion", [3.0, 4.0], machine="cpu")
    archive = packed(tmp_path / "colab", tmp_path / "results" / "from colab.zip")
    df = runs.load(tmp_path / "results")
    assert df.groupby("machine")["time_s"].mean().to_dict() == {"cpu": 3.5, "tesla-t4": 1.5}, "told apart, not averaged"
    assert pd.Series(df["image"]).map(lambda file: open(file, "rb").read(4)).eq(b"\x89PNG").all()
    assert runs.load(tmp_path / "results").equals(df), "unpacked once"
    save_run(tmp_path / "colab", "stable-diffusion", [9.0, 9.0], machine="new-card")
    packed(tmp_path / "colab", archive)
    assert "new-card" in set(runs.load(tmp_path / "results")["machine"]), "another archive of the same name"


@pytest.mark.parametrize("spoil", [
    lambda data: data[:len(data) // 2], lambda data: b"", lambda data: b"<html>",
    lambda data: data[:len(data) // 2] + bytes(60) + data[len(data) // 2 + 60:]])
def test_a_damaged_zip_is_named_and_skipped_and_the_other_runs_are_read(tmp_path, spoil):
    save_run(tmp_path / "colab", "stable-diffusion", [1.0])
    save_run(tmp_path / "results", "stylegan2-ada", [2.0])
    archive = packed(tmp_path / "colab", tmp_path / "results" / "r.zip")
    archive.write_bytes(spoil(archive.read_bytes()))
    with pytest.warns(UserWarning, match="skipped .*r.zip: it is not a whole .zip"):
        assert runs.load(tmp_path / "results")["time_s"].tolist() == [2.0]
    assert not [path for path in (tmp_path / "results").iterdir() if path.name.endswith(".part")]


def test_a_zip_with_backslashes_is_read_and_one_without_runs_is_named(tmp_path):
    save_run(tmp_path / "colab", "stable-diffusion", [1.0])
    (tmp_path / "results").mkdir()
    with zipfile.ZipFile(tmp_path / "results" / "windows.ZIP", "w") as file:
        for path in (tmp_path / "colab").rglob("*.*"):
            file.writestr(zipfile.ZipInfo("results\\" + str(path.relative_to(tmp_path / "colab")).replace("/", "\\")), path.read_bytes())
    with zipfile.ZipFile(tmp_path / "results" / "other.zip", "w") as file:
        file.writestr("readme.txt", "")
    with pytest.warns(UserWarning, match="skipped .*other.zip: there is no run.json in it"):
        df = runs.load(tmp_path / "results")
    assert len(df) == 1 and open(df["image"].iloc[0], "rb").read(4) == b"\x89PNG"


def test_nothing_of_a_zip_lands_outside_its_folder_and_a_bomb_is_refused(tmp_path, monkeypatch):
    archive = tmp_path / "results" / "r.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../run.json", "{}")
        file.writestr("/abs/evil.png", "x")
        file.writestr("evil.py", "x")
    with pytest.warns(UserWarning, match="its schema is None"):
        assert len(runs.load(archive.parent)) == 0
    [folder] = [path for path in archive.parent.iterdir() if path.is_dir()]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["evil.png", "r.zip", "run.json"]
    assert all(folder in path.parents for path in tmp_path.rglob("*") if path.is_file() and path != archive)
    monkeypatch.setattr("genlib.files.UNPACKED_BYTES", 2)
    archive.write_bytes(archive.read_bytes() + b" ")
    with pytest.warns(UserWarning, match="would unpack to"):
        runs.load(archive.parent / "r.zip")


def test_the_table_command_takes_a_zip_and_writes_the_audit(tmp_path, capsys):
    save_run(tmp_path / "colab", "stable-diffusion", [1.0, 2.0])
    archive = packed(tmp_path / "colab", tmp_path / "r.zip")
    assert main(["table", str(archive), "--out", str(tmp_path / "out"), "--format", "md", "--language", "uk"]) == 0
    assert "1,50 ± 0,71" in capsys.readouterr().out
    assert "Перевірка показників" in (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")


def test_an_upload_on_colab_lands_in_the_results_and_elsewhere_one_is_told_where_to_put_it(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="on Colab only: put the .zip"):
        notebook.upload(tmp_path)
    archive = packed(tmp_path / "empty", tmp_path / "empty.zip")
    colab = types.ModuleType("google.colab")
    colab.files = types.SimpleNamespace(upload=lambda: {"../r.zip": archive.read_bytes()})
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    notebook.upload(tmp_path)
    assert (tmp_path / "r.zip").read_bytes() == archive.read_bytes()
