"""Lines of growth with their fixed and per-unit time, and what precision costs: of made-up runs."""
import re

import numpy as np
import pytest
from docx import Document
from saved_runs import MB, save_run

from genlib.experiments import STABLE_DIFFUSION, STYLEGAN2_ADA, VAE_ROUND_TRIP
from genlib.report import Report
from genlib.report.tables.growth import conditions, line_through, loops

STEPS, BATCH = STABLE_DIFFUSION.loops
SIZE, _ = VAE_ROUND_TRIP.loops
BATCH_OF_STYLEGAN2, _ = STYLEGAN2_ADA.loops


def out_of_memory(folder, experiment, **changes):
    """A run whose only iteration failed."""
    run = save_run(folder, experiment, [1.0], errors=1, **changes)
    run.iterations = run.iterations[-1:]
    run.save()


def grow(folder):
    """Runs as the loops of notebooks 1 to 3 leave them: batches of Stable Diffusion at few steps; a batch
    that did not fit."""
    save_run(folder, "stable-diffusion", [5.5, 5.5], settings=dict(steps=50, prompt=""))
    for steps in 10, 20:
        save_run(folder, "stable-diffusion", [0.5 + 0.1 * steps] * 2, variant=f"steps-{steps}", settings=dict(steps=steps, prompt=""))
    for size in 1, 2, 4:
        save_run(folder, "stable-diffusion", [0.2 + 0.3 * size] * 2, variant=f"batch-{size}",
                 settings=dict(steps=5, prompt="", batch_size=size))
    save_run(folder, "vae-round-trip", [9.0], settings=dict(steps=50, size=64))
    save_run(folder, "vae-round-trip", [1.0], variant="photograph", settings=dict(size=1000))
    save_run(folder, "vae-round-trip", [4.0], variant="size-2000", settings=dict(size=2000))
    save_run(folder, "stylegan2-ada", [0.02, 0.02], settings=dict(seed=0))
    save_run(folder, "stylegan2-ada", [0.1], vram=None, variant="batch-8", settings=dict(seed=0, batch_size=8))
    out_of_memory(folder, "stylegan2-ada", variant="batch-64", settings=dict(seed=0, batch_size=64))
    return folder


def summary_of(folder):
    return Report(folder).summary


# --- lines

def test_a_line_has_a_fixed_part_and_a_part_for_each_unit(tmp_path):
    summary = summary_of(grow(tmp_path))
    steps = conditions(summary, STABLE_DIFFUSION, STEPS)
    assert steps["units"].tolist() == [10, 20, 50] and line_through(steps) == pytest.approx((0.5, 0.1, 1.0, 0, 0))
    sizes = conditions(summary, VAE_ROUND_TRIP, SIZE)
    assert sizes["units"].tolist() == [1.0, 4.0], "megapixels; the faces are no condition of the loop"
    batches = conditions(summary, STYLEGAN2_ADA, BATCH_OF_STYLEGAN2)
    assert batches["units"].tolist() == [1, 8, 64] and batches["time_s"].isna().tolist() == [False, False, True]


def test_the_vaes_loops_set_out_from_its_own_run_where_that_is_of_the_photograph_and_never_from_faces(tmp_path):
    settings = dict(original="photograph")
    save_run(tmp_path, "vae-round-trip", [1.0], settings=settings | dict(size=1000))
    save_run(tmp_path, "vae-round-trip", [7.0], variant="faces", settings=dict(original="faces", size=1000, steps=50))
    save_run(tmp_path, "vae-round-trip", [4.0], variant="size-2000", settings=settings | dict(size=2000))
    save_run(tmp_path, "vae-round-trip", [0.5], variant="precision-float32", dtype="float32", settings=settings | dict(size=1000))
    sizes = conditions(summary_of(tmp_path), VAE_ROUND_TRIP, SIZE)
    assert sizes["units"].tolist() == [1.0, 4.0] and sizes["time_s"].tolist() == [1.0, 4.0]
    assert precisions_of(tmp_path)["ratio"].tolist() == ["1.0", "0.50"]
    for variant, time in ("photograph", 2.0), ("size-2000", 8.0):  # of an earlier version, but measured later
        save_run(tmp_path, "vae-round-trip", [time], variant=variant, settings=dict(size=2000 if time == 8.0 else 1000))
    assert conditions(summary_of(tmp_path), VAE_ROUND_TRIP, SIZE)["time_s"].tolist() == [2.0, 8.0]


def test_a_batch_at_few_steps_is_not_on_one_line_with_the_run_of_many_steps(tmp_path):
    batches = conditions(summary_of(grow(tmp_path)), STABLE_DIFFUSION, BATCH)
    assert batches["units"].tolist() == [1, 2, 4] and batches["time_s"].tolist() == pytest.approx([0.5, 0.8, 1.4])


def test_there_is_a_line_for_every_loop_that_was_run_and_none_for_others(tmp_path):
    summary = summary_of(grow(tmp_path))
    assert [(entry.slug, loop.setting) for entry, loop, _ in loops(summary)] == [
        ("stable-diffusion", "steps"), ("stable-diffusion", "batch_size"), ("vae-round-trip", "size"), ("stylegan2-ada", "batch_size")]
    assert list(loops(summary[summary["variant"] == ""])) == [], "a run by itself is no loop"
    assert list(loops(summary.iloc[:0])) == []


def test_a_generators_resolutions_are_of_networks_of_several_names(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [9.0], settings=dict(seed=0), model="StyleGAN2-ADA 512 px")
    for side, time in (1000, 1.0), (2000, 4.0), (3000, 9.0):
        save_run(tmp_path, "stylegan2-ada", [time], variant=f"resolution-{side}", settings=dict(seed=0, resolution=side),
                 model=f"StyleGAN2-ADA {side} px")
    [(_, loop, found)] = loops(summary_of(tmp_path))
    assert loop.setting == "resolution" and found["units"].tolist() == [1, 4, 9], "megapixels"
    assert line_through(found) == pytest.approx((0, 1, 1, 0, 0), abs=1e-9)


def test_of_one_condition_measured_twice_the_newer_counts(tmp_path):
    for seed, started in (2, None), (1, "2020-01-01T00:00:00+00:00"):
        run = save_run(tmp_path, "stylegan2-ada", [seed], variant="batch-2", settings=dict(batch_size=2, seed=seed))
        run.started = started or run.started
        run.save()
    assert conditions(summary_of(tmp_path), STYLEGAN2_ADA, BATCH_OF_STYLEGAN2)["time_s"].tolist() == [2.0]


@pytest.mark.parametrize("old, new", [(dict(dtype="float16"), dict(dtype="float32")), (dict(model="A"), dict(model="B"))])
def test_one_line_is_of_one_precision_and_one_model(tmp_path, old, new):
    for kind, sizes in (old, (2, 4)), (new, (4,)):
        for size in sizes:
            save_run(tmp_path, "stylegan2-ada", [size * (1.0 if kind is old else 3.0)], variant=f"batch-{size}",
                     settings=dict(batch_size=size), **kind)
    save_run(tmp_path, "stylegan2-ada", [99.0], **old)
    assert conditions(summary_of(tmp_path), STYLEGAN2_ADA, BATCH_OF_STYLEGAN2)["time_s"].tolist() == [12.0], "those of the newest"


def test_a_run_in_another_precision_is_on_no_line(tmp_path):
    grow(tmp_path)
    save_run(tmp_path, "stable-diffusion", [77.0], variant="precision-bfloat16", dtype="bfloat16", settings=dict(steps=50, prompt=""))
    assert 77.0 not in conditions(summary_of(tmp_path), STABLE_DIFFUSION, STEPS)["time_s"].tolist()


def test_the_table_has_fixed_and_per_unit_time_and_counts_what_did_not_fit(tmp_path):
    table = Report(grow(tmp_path)).table("growth").data.set_index(["Model", "Unit"])
    assert list(table.columns) == ["Fixed time (s)", "Time a unit (s)", "R²", "Conditions", "Out of memory"]
    assert table.loc[("Stable Diffusion", "steps")].tolist() == ["0.500 ± 0.000", "0.100 ± 0.000", "1.000", "3", "0"]
    batches = table.loc[("Stable Diffusion", "images in a batch (5 steps)")]
    assert batches.tolist() == ["0.200 ± 0.000", "0.300 ± 0.000", "1.000", "3", "0"]
    assert table.loc[("VAE alone", "megapixels")].tolist() == ["—", "—", "—", "2", "0"], "two conditions make no line"
    assert table.loc[("StyleGAN2-ADA", "images in a batch")].tolist() == ["—", "—", "—", "2", "1"]


def batches_of_a_generator(folder, times):
    """Runs of a GAN of 1, 2, 4 ... images that took these times."""
    for n, time in enumerate(times):
        save_run(folder, "stylegan2-ada", [time, time], settings=dict(batch_size=2**n), variant=f"batch-{2**n}" if n else "")
    return folder


def test_both_parts_have_their_standard_errors_to_as_many_decimals(tmp_path):
    report = Report(batches_of_a_generator(tmp_path, [1.0, 2.2, 4.0, 8.3]))
    n, times = np.array([1, 2, 4, 8]), np.array([1.0, 2.2, 4.0, 8.3])
    (slope, fixed), covariance = np.polyfit(n, times, 1, cov="unscaled")
    residual = ((times - fixed - slope * n) ** 2).sum() / 2  # over the degrees of freedom, 4 - 2
    slope_error, fixed_error = (covariance.diagonal() * residual) ** 0.5
    [(_, _, found)] = loops(report.summary)
    assert line_through(found)[3:] == pytest.approx((fixed_error, slope_error))
    [row] = report.table("growth").data.to_numpy()
    assert row[2] == f"{fixed:.3f} ± {fixed_error:.3f}" and row[3] == f"{slope:.2f} ± {slope_error:.2f}"


@pytest.mark.parametrize("times, below", [([0.07, 0.2262, 0.54, 1.165], True), ([0.9, 2.2, 4.4, 8.3], False), ([1.1, 1.9, 4, 8.2], False)])
def test_a_fixed_part_below_zero_by_more_than_its_error_is_called_no_time(tmp_path, times, below):
    report = Report(batches_of_a_generator(tmp_path, times))
    note, ukrainian = report.table("growth").note, Report(tmp_path, language="uk").table("growth").note
    assert ("does not reach down to zero units (StyleGAN2-ADA, images in a batch)" in note) == below
    assert ("не можна продовжити до нуля одиниць" in ukrainian) == below
    fixed_s = line_through(next(loops(report.summary))[2]).fixed_s
    assert report.table("growth").data["Fixed time (s)"][0].startswith("−" if fixed_s < 0 else "0."), "a real minus"
    [ax] = report.figure("growth").canvas.axes
    [line] = [line for line in ax.lines if line.get_linestyle() == "-"]
    assert (min(line.get_ydata()) >= 0) == (below or fixed_s >= 0)


def test_the_growth_note_calls_the_error_a_standard_error_and_no_deviation(tmp_path):
    note = Report(grow(tmp_path)).table("growth").note
    assert "Part of the line ± its standard error, n = 1 … 2" in note and "deviation" not in note
    assert "deviation" in Report(round_off(tmp_path / "precisions")).table("precisions").note


# --- the figure

def test_the_figure_has_a_panel_a_line_and_says_what_failed_and_where_too_little_was_measured(tmp_path):
    steps, batch, size, gan = Report(grow(tmp_path)).figure("growth").canvas.axes
    text = [[t.get_text() for t in ax.texts] for ax in (steps, batch, size, gan)]
    assert "0.50 s + 0.10 s × n\nR² = 1.000" in text[0] and "0.20 s + 0.30 s × n\nR² = 1.000" in text[1]
    assert any("fewer than" in t for t in text[2]) and "out of memory" in text[3]
    assert [ax.get_xlabel() for ax in (steps, batch, size)] == ["steps", "images in a batch\n(5 steps)", "megapixels"]


def test_where_no_loop_was_run_the_figure_says_so(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    report = Report(tmp_path)
    assert "no loop over conditions was measured" in [text.get_text() for text in report.figure("growth").canvas.texts]
    assert report.table("growth").note == "no loop over conditions was measured" and "growth" not in report.tables


# --- precision

def round_off(folder):
    """A run and the same in other precisions, one of which did not fit; the VAE's is the photograph's."""
    settings = dict(steps=50, prompt="")
    save_run(folder, "stable-diffusion", [4.0, 4.0, 4.0], vram=1000 * MB, settings=settings)
    save_run(folder, "stable-diffusion", [2.0, 3.0], vram=600 * MB, variant="precision-bfloat16", dtype="bfloat16", settings=settings,
             quality=dict(psnr_db=31.26))
    out_of_memory(folder, "stable-diffusion", variant="precision-float32", dtype="float32", settings=settings)
    save_run(folder, "vae-round-trip", [9.0], settings=settings)
    save_run(folder, "vae-round-trip", [0.5], variant="photograph", quality=dict(psnr_db=25.0), settings=dict(size=512))
    save_run(folder, "vae-round-trip", [0.5], variant="precision-float32", dtype="float32", settings=dict(size=512),
             quality=dict(psnr_db=float("inf")))
    save_run(folder, "stylegan2-ada", [0.1])
    return folder


def precisions_of(folder, keep=lambda variant: True):
    """The table of precisions, of the runs of all variants or of those to keep."""
    report = Report(folder)
    report.summary = report.summary[report.summary["variant"].map(keep)]
    return report.table("precisions").data


def test_precisions_stand_beside_their_runs_own_and_are_never_averaged(tmp_path):
    table = precisions_of(round_off(tmp_path))
    assert list(table.columns) == ["Model", "Precision", "n", "Time (s)", "ratio", "VRAM (MB)", "RAM (MB)", "PSNR (dB)"]
    assert table.to_numpy().tolist() == [
        ["Stable Diffusion", "float16", "3", "4.00 ± 0.00", "1.0", "1000.0 ± 0.0", "501 ± 1", "—"],
        ["Stable Diffusion", "bfloat16", "2", "2.50 ± 0.71", "0.62", "600.0 ± 0.0", "500 ± 1", "31.3"],
        ["Stable Diffusion", "float32", "0", "out of memory", "—", "—", "—", "—"],
        ["VAE alone", "float16", "1", "0.500", "1.0", "1000", "500", "—"],
        ["VAE alone", "float32", "1", "0.500", "1.0", "1000", "500", "∞"]]


def test_a_precision_is_held_against_the_run_of_the_same_settings_and_model(tmp_path):
    table = precisions_of(round_off(tmp_path))
    assert precisions_of(tmp_path, lambda variant: variant != "")["Model"].tolist() == ["VAE alone"] * 2, (
        "without its own run there is nothing to compare")
    assert len(precisions_of(tmp_path, lambda variant: variant == "")) == 0
    save_run(tmp_path, "stable-diffusion", [100.0], settings=dict(steps=9, prompt=""))
    save_run(tmp_path, "stable-diffusion", [100.0], settings=dict(steps=50, prompt=""), model="another")
    assert precisions_of(tmp_path).equals(table)


def test_what_turns_out_to_be_the_same_precision_is_no_row(tmp_path):
    table = precisions_of(round_off(tmp_path))
    save_run(tmp_path, "stylegan2-ada", [0.1], variant="precision-mixed")
    assert precisions_of(tmp_path).equals(table)


@pytest.mark.parametrize("kind", ["growth", "precisions"])
def test_the_notes_name_machine_weights_counts_and_what_to_read_with_care(tmp_path, kind):
    note = Report(round_off(grow(tmp_path))).table(kind).note
    for part in "Tesla T4", "published weights", "n = 1 × 1 … 2, 2 × 2 … 3 (sessions × iterations)":
        assert part in note, note
    assert ("PSNR" in note) == (kind == "precisions") and ("5 … 50 steps" in note) == (kind == "growth")
    save_run(tmp_path / "alone", "stylegan2-ada", [0.1])
    assert "was measured" in Report(tmp_path / "alone").table(kind).note, "a table without rows says why"


def test_a_run_on_two_lines_counts_once_in_the_note(tmp_path):
    save_run(tmp_path, "vae-round-trip", [1.0, 1.0], variant="photograph", settings=dict(size=512))
    for variant, setting in ("size-1024", dict(size=1024)), ("batch-2", dict(size=512, batch_size=2)):
        save_run(tmp_path, "vae-round-trip", [2.0, 2.0], variant=variant, settings=setting)
    assert "n = 2." in Report(tmp_path).table("growth").note


@pytest.mark.parametrize("kind", ["growth", "precisions"])
def test_in_ukrainian_they_have_decimal_commas_and_no_english(tmp_path, kind):
    table = Report(round_off(grow(tmp_path)), language="uk", number="3").table(kind)
    text = " ".join([*table.data.columns, *table.data.to_numpy().ravel(), table.caption, table.note])
    number = {"growth": 7, "precisions": 8}[kind]  # of these runs, whose Table 1 is table 3
    assert f"Таблиця {number} – " in text and ("0,200" if kind == "growth" else "0,500") in text and not re.search(r"\d\.\d", text)
    names = {"Stable", "Diffusion", "VAE", "StyleGAN", "ADA", "VRAM", "RAM", "MB", "PSNR", "R", "Tesla", "T", "thesis", "float", "bfloat",
             "n"}
    assert set(re.findall(r"[A-Za-z]+", text)) <= names
    csv, md, tex, docx = table.save(tmp_path / "tables")
    assert len(Document(docx).tables[0].rows) == len(table.data) + 1
    assert csv.stat().st_size and md.stat().st_size and tex.stat().st_size


@pytest.mark.parametrize("kind, why", [("growth", "no loop over conditions was measured"), ("precisions", "no run in another precision")])
def test_tables_of_nothing_are_shown_and_written_too_with_what_is_missing(tmp_path, kind, why):
    save_run(tmp_path / "runs", "stylegan2-ada", [0.1])
    table = Report(tmp_path / "runs", number="1").table(kind)
    assert len(table.data) == 0 and not table.caption.startswith("Table")
    assert why in str(table) and why in table._repr_html_() and "|" not in str(table) and "<table" not in table._repr_html_()
    csv, md, tex, docx = table.save(tmp_path / "tables")
    assert why in md.read_text() and why in tex.read_text() and "tabular" not in tex.read_text()
    assert [paragraph.text[:len(why)] for paragraph in Document(docx).paragraphs] == [table.caption[:len(why)], why]
    assert not Document(docx).tables, "Word opens no table without columns"
