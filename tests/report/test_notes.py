"""What notes say of memory: what RAM holds beside the model."""
import pytest
from saved_runs import MB, save_run

from genlib.report import Report

FLOOR = "Of this, the libraries take"


def note(folder, language="en", table="results"):
    return Report(folder, language=language).table(table).note


def save(folder, experiment, before, loaded=(), **changes):
    return save_run(folder, experiment, [1.0, 1.0], vram=None, ram_before=before and before * MB, loaded_before=list(loaded), **changes)


def test_the_note_of_table_1_says_what_the_libraries_take_of_ram_for_each_row_where_that_differs(tmp_path):
    save(tmp_path, "stable-diffusion", 470)
    save(tmp_path, "stylegan2-ada", 381)
    assert f"{FLOOR} before any model is loaded, in MB: Stable Diffusion 470; StyleGAN2-ADA 381." in note(tmp_path)
    assert "бібліотеки займають ще до завантаження моделі (МБ): Stable Diffusion 470; StyleGAN2-ADA 381." in note(tmp_path, "uk")


@pytest.mark.parametrize("floors, said", [((470, 470), "470 MB"), ((472, 468), "468 … 472 MB")])
def test_what_differs_by_a_few_mb_as_between_processes_is_one_figure(tmp_path, floors, said):
    for experiment, floor in zip(("stable-diffusion", "vae-round-trip"), floors, strict=True):
        save(tmp_path, experiment, floor)
    assert f"{FLOOR} {said} before any model is loaded." in note(tmp_path)


def test_of_a_process_that_had_loaded_other_models_the_note_names_them_and_no_share_of_libraries(tmp_path):
    save(tmp_path, "vae-round-trip", 470)
    before = ["VAE of Stable Diffusion v1-4, float32", "VAE of Stable Diffusion v1-4, bfloat16"]
    save(tmp_path, "vae-as-in-thesis", 590, before, ram=620 * MB)
    text = note(tmp_path)
    assert f"{FLOOR} 470 MB before any model is loaded." in text and "590" not in text
    assert "This RAM may include models that the process had loaded before: VAE (+SD) (VAE of Stable Diffusion v1-4, float32, " \
        "bfloat16)." in text
    readings = Report(tmp_path).table("readings").data.set_index("Reading").loc["RAM, added with the model (MB)"]
    assert readings.tolist() == ["—", "30"], "it may use again what the models before it left"
    assert "what ran in it before" not in text, "records tell it better than their experiment"


@pytest.mark.parametrize("other", [dict(before=None), dict(before=900)], ids=["unknown", "swapped out since"])
def test_where_not_every_row_tells_what_the_libraries_take_the_note_says_of_which_it_is(tmp_path, other):
    save(tmp_path, "stable-diffusion", **other)
    save(tmp_path, "stylegan2-ada", 381)
    assert f"{FLOOR} before any model is loaded, in MB: StyleGAN2-ADA 381. This" in note(tmp_path)


def test_of_earlier_records_the_note_says_what_it_said(tmp_path):
    save_run(tmp_path, "vae-round-trip", [1.0], vram=None)
    assert "(VAE alone: with what ran in it before)" in note(tmp_path) and FLOOR not in note(tmp_path)
    for variant, dtype in ("", "float32"), ("precision-bfloat16", "bfloat16"):
        save_run(tmp_path, "stable-diffusion", [1.0], vram=None, variant=variant, dtype=dtype)
    assert "(Stable Diffusion, bfloat16: with what ran in it before)" in note(tmp_path, table="precisions")


def test_all_readings_and_the_machines_show_ram_above_that_before_the_model(tmp_path):
    for machine in "tesla-t4", "nvidia-h200":
        save(tmp_path, "stable-diffusion", 470, machine=machine, ram=538 * MB)
        save(tmp_path, "stylegan2-ada", 470, ["another"], machine=machine, ram=538 * MB)
    readings = Report(tmp_path).table("readings").data.set_index("Reading")["Stable Diffusion"]
    place = list(readings.index).index("RAM, at the end (MB)")
    assert readings.index[place + 1] == "RAM, added with the model (MB)" and readings.iloc[place + 1] == "68"
    machines = Report(tmp_path).table("machines")
    assert list(machines.data["RAM, added with the model (MB)"]) == ["68", "68", "—", "—"]
    assert machines.note.count("loaded before: StyleGAN2-ADA (another).") == 1, "one sentence, though two machines say it"


@pytest.mark.parametrize("before", [None, 900])
def test_ram_above_is_unknown_where_the_record_does_not_tell_or_memory_was_swapped_out_since(tmp_path, before):
    save(tmp_path, "stable-diffusion", before, ram=538 * MB)
    assert "RAM, added with the model (MB)" not in set(Report(tmp_path).table("readings").data["Reading"])


def test_over_sessions_the_ram_above_is_the_mean_of_those_that_tell_it(tmp_path):
    for before in 470, 460, None:
        save(tmp_path, "stable-diffusion", before, ram=530 * MB)
    [row] = Report(tmp_path).rows.to_dict("records")
    assert row["ram_above_bytes"] == pytest.approx(65.5 * MB) and row["ram_before_bytes"] == 465 * MB  # a MB more at the second iteration
