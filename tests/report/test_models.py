"""Models side by side: of made-up runs."""
import shutil

import pytest
from saved_runs import MB, save_run

from genlib.report import Report

FACE = dict(prompt="a face", guidance_scale=7.5)
SDXL, FLUX = "stable-diffusion-xl-base-1.0", "FLUX.1-schnell"


@pytest.fixture
def tried(tmp_path):
    """Notebook 1's own runs, two other models, and one that did not fit."""
    save_run(tmp_path, "stable-diffusion", [5.5, 5.5], settings=dict(steps=50, prompt=""), sizes=dict(unet=1600 * MB))
    save_run(tmp_path, "stable-diffusion", [6.0, 6.2], variant="face-prompt", settings=FACE | dict(steps=50), sizes=dict(unet=1600 * MB))
    save_run(tmp_path, "stable-diffusion", [9.0, 9.4], variant=f"model-{SDXL}", model=SDXL, settings=FACE | dict(steps=50), vram=9000 * MB)
    save_run(tmp_path, "stable-diffusion", [70.0], variant="model-karlo", model="karlo", settings=FACE | dict(steps=25), weights="random")
    run = save_run(tmp_path, "stable-diffusion", [1.0], errors=1, variant=f"model-{FLUX}", model=FLUX, sizes=dict(transformer=32000 * MB))
    run.iterations = run.iterations[-1:]
    run.save()
    return tmp_path


def test_each_model_is_a_row_with_its_own_weights_steps_and_time_and_one_that_did_not_fit_says_so(tried):
    table = Report(tried).table("models")
    rows = table.data.set_index("Model")
    assert list(rows.index) == ["Stable Diffusion v1-4", SDXL, "karlo", FLUX], "ours, then as they were tried"
    assert rows["Steps"].to_list() == ["50", "50", "25", "—"] and rows["Weights (MB)"].to_list() == ["1600", "—", "—", "32000"]
    assert rows["Time (s)"].to_list()[0] == "6.10 ± 0.14" and rows.loc[FLUX, "Time (s)"] == "out of memory"
    assert rows.loc["karlo", "Weights"] == "random weights at full size" != rows.loc[SDXL, "Weights"]
    assert "The row of" not in table.note and "Random weights draw no faces" in table.note


def test_the_licence_is_that_of_the_published_weights_and_a_dash_where_it_is_not_known(tried):
    rows = Report(tried).table("models").data.set_index("Model")["Licence"]
    assert rows["karlo"] == "—" and "CreativeML" not in rows[FLUX]


def test_of_a_model_that_was_tried_twice_the_newest_run_is_shown(tried):
    save_run(tried, "stable-diffusion", [3.0, 3.0], variant=f"model-{SDXL}", model=SDXL, settings=FACE | dict(steps=20))
    rows = Report(tried).table("models").data.set_index("Model")
    assert rows.loc[SDXL, "Steps"] == "20" and len(rows) == 4


def test_models_that_were_tried_change_no_other_table(tried):
    with_them = Report(tried)
    there = {name: (with_them.table(name).data, with_them.table(name).note) for name in with_them.tables}
    for run in with_them.everything["run"]:
        if run.variant.startswith("model-"):
            shutil.rmtree(run.folder)
    without = Report(tried)
    assert set(there) - set(without.tables) == {"models"}
    for name in without.tables:
        assert there[name][0].equals(without.table(name).data) and there[name][1] == without.table(name).note, name


def test_without_another_model_the_table_says_where_to_name_one(tmp_path):
    save_run(tmp_path, "stable-diffusion", [5.5], settings=dict(steps=50, prompt=""))
    save_run(tmp_path, "stable-diffusion", [6.0], variant="face-prompt", settings=FACE)
    table = Report(tmp_path).table("models")
    assert table.data.empty and table.note == "no other model was tried; MODEL_IDS_TRIED in 1_stable_diffusion names them"


def test_a_strangers_name_of_a_model_is_shown_as_text(tmp_path):
    save_run(tmp_path, "stable-diffusion", [5.5], settings=dict(steps=50, prompt=""))
    save_run(tmp_path, "stable-diffusion", [5.5], variant="model-x", model="<b>\u202ex</b>")
    assert "\u202e" not in Report(tmp_path).table("models").data["Model"].iloc[-1]
