"""Table 1's rows in one precision, where a GPU has them in several: of made-up runs."""
import re

import pytest
from saved_runs import MB, save_run

from genlib.report import Report

FACES, PHOTOGRAPH = dict(steps=50, prompt="a face"), dict(original="photograph", size=512)
NOTEBOOKS_SETTINGS = {"stable-diffusion": dict(steps=50, prompt=""), "vae-as-in-thesis": FACES, "vae-round-trip": PHOTOGRAPH,
                      "stylegan2-ada": dict(seed=0)}


def on_a_gpu(folder, but=()):
    """Runs as notebooks 1 to 3 leave them on a GPU, but for the float32 of some experiments."""
    save_run(folder, "stable-diffusion", [8.0, 8.2], settings=NOTEBOOKS_SETTINGS["stable-diffusion"])
    save_run(folder, "vae-as-in-thesis", [8.5, 8.5], settings=FACES)
    save_run(folder, "vae-round-trip", [0.2, 0.2], settings=PHOTOGRAPH)
    save_run(folder, "vae-round-trip", [0.3, 0.3], variant="faces", settings=FACES)
    save_run(folder, "stylegan2-ada", [0.1, 0.1], dtype="mixed", settings=dict(seed=0))
    for experiment, time in ("stable-diffusion", 28.0), ("vae-as-in-thesis", 30.0), ("vae-round-trip", 0.7), ("stylegan2-ada", 0.4):
        if experiment not in but:
            in_precision(folder, experiment, "float32", [time] * 3)
    return folder


def in_precision(folder, experiment, dtype, times, settings=None, **changes):
    return save_run(folder, experiment, times, variant=f"precision-{dtype}", dtype=dtype, vram=2000 * MB,
                    settings=settings or NOTEBOOKS_SETTINGS[experiment], **changes)


def common(folder, **options):
    return Report(folder, **options).table("common_precision")


def times(table):
    return table.data.iloc[:, 1].tolist()


def test_rows_that_a_gpu_has_in_two_precisions_stand_in_a_third_with_table_1s_names_and_columns(tmp_path):
    report = Report(on_a_gpu(tmp_path), number="1")
    table, table1 = report.table("common_precision"), report.table("results").data
    assert times(table) == ["28.0 ± 0.0", "30.0 ± 0.0", "0.700 ± 0.000", "0.400 ± 0.000"]
    assert table.data.columns.tolist() == table1.columns.tolist() and table.data["Model"].tolist() == [
        name.rstrip("†") for name in table1["Model"]]
    assert report.tables[:2] == ["results", "common_precision"] and table.caption == "Table 2 – Comparison in one precision"
    for part in "one precision, float32:", "n = 3", "RAM":
        assert part in table.note, table.note
    assert "No run in" not in table.note


def test_the_precision_that_most_rows_of_table_1_have_already_is_preferred_and_they_are_not_measured_twice(tmp_path):
    in_precision(on_a_gpu(tmp_path), "stylegan2-ada", "float16", [0.2] * 3)
    table = common(tmp_path)
    assert times(table) == ["8.10 ± 0.14", "8.50 ± 0.00", "0.200 ± 0.000", "0.200 ± 0.000"]
    assert "one precision, float16:" in table.note


def test_a_row_without_a_run_in_the_common_precision_is_a_dash_and_the_note_names_the_notebook_that_measures_it(tmp_path):
    table = common(on_a_gpu(tmp_path, but=["vae-as-in-thesis"]))
    assert table.data.iloc[1].tolist() == ["Variational Autoencoders", "—", "—", "—"] and times(table)[0] == "28.0 ± 0.0"
    assert 'No run in float32 yet: VAE (+SD); to measure it, set PRECISIONS_TRIED = ["float32"] in 2_vae_round_trip.' in table.note


def test_of_a_precision_that_did_not_fit_the_row_says_so_and_nobody_is_told_to_measure_it_again(tmp_path):
    run = in_precision(on_a_gpu(tmp_path, but=["vae-as-in-thesis"]), "vae-as-in-thesis", "float32", [1.0], errors=1)
    run.iterations = run.iterations[-1:]
    run.save()
    assert times(common(tmp_path)) == ["28.0 ± 0.0", "out of memory", "0.700 ± 0.000", "0.400 ± 0.000"]
    assert "There is no run" not in common(tmp_path).note


def test_without_any_run_in_float32_the_table_is_empty_and_says_what_to_measure(tmp_path):
    report = Report(on_a_gpu(tmp_path, but=list(NOTEBOOKS_SETTINGS)))
    table = report.table("common_precision")
    assert table.data.empty and "common_precision" not in report.tables
    assert table.note == (
        "The rows of the main table differ in precision (float16, mixed). No run in float32 yet: Stable Diffusion, VAE (+SD), VAE alone, "
        'StyleGAN2-ADA; to measure it, set PRECISIONS_TRIED = ["float32"] in 1_stable_diffusion, 2_vae_round_trip, 3_stylegan2_ada.')


def test_where_table_1_has_one_precision_there_is_no_second_table_and_the_note_says_so(tmp_path):
    for experiment in "stable-diffusion", "stylegan2-ada":
        save_run(tmp_path, experiment, [1.0], dtype="float32")
        in_precision(tmp_path, experiment, "bfloat16", [2.0])
    report = Report(tmp_path, number="1")
    assert report.table("common_precision").note == "All rows of the main table have one precision already: float32."
    assert report.tables[1] == "beside_thesis" and report.table("beside_thesis").caption.startswith("Table 2 – ")


@pytest.mark.parametrize("other", [dict(settings=dict(steps=9, prompt="")), dict(model="another")])
def test_only_a_run_that_differs_from_table_1s_in_precision_alone_takes_its_place(tmp_path, other):
    in_precision(on_a_gpu(tmp_path, but=["stable-diffusion"]), "stable-diffusion", "float32", [1.0], **other)
    assert times(common(tmp_path))[0] == "—"


def test_in_ukrainian_nothing_is_left_in_english(tmp_path):
    for but in [], ["vae-as-in-thesis"], list(NOTEBOOKS_SETTINGS):
        table = common(on_a_gpu(tmp_path / str(len(but)), but), language="uk")
        words = set(re.findall(r"[A-Za-z]{3,}", f"{table.caption} {table.note} {' '.join(table.data)}"))
        assert words <= {"VRAM", "RAM", "VAE", "float", "mixed", "Tesla", "Stable", "Diffusion", "StyleGAN", "ADA", "PRECISIONS", "TRIED",
                         "stable", "diffusion", "vae", "round", "trip", "stylegan", "ada"}
