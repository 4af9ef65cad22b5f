"""The tables of machines, of what runs were measured on, and of the iterations of one model."""
import shutil

import pytest
from saved_runs import MB, save_run

from genlib.report import Report


def save(folder, machine, times, experiment="stable-diffusion", device="Tesla T4", cpu=None, **changes):
    run = save_run(folder, experiment, times, machine=machine, **changes)
    run.machine.device, run.machine.cpu = device, cpu
    run.save()
    return run


def failed(run):
    """Without its one good iteration."""
    run.iterations = run.iterations[1:]
    run.save()


def rows(report):
    return report.table("machines").data


# --- machines

def test_machines_stand_model_by_model_with_the_ratio_to_the_first_and_no_column_that_nobody_fills(tmp_path):
    save(tmp_path, "cpu", [8.0, 8.0], device="AMD EPYC", vram=None, dtype="float32")
    for experiment in "stable-diffusion", "stylegan2-ada":
        save(tmp_path, "tesla-t4", [2.0, 2.0], experiment)
    table = rows(Report(tmp_path))
    assert table[["Model", "Machine", "Precision", "Time (s)", "ratio", "VRAM (MB)"]].to_numpy().tolist() == [
        ["Stable Diffusion", "Tesla T4", "float16", "2.00 ± 0.00", "1.0", "1000.0 ± 0.0"],
        ["Stable Diffusion", "AMD EPYC", "float32", "8.00 ± 0.00", "4.0", "—"],
        ["StyleGAN2-ADA", "Tesla T4", "float16", "2.00 ± 0.00", "1.0", "1000.0 ± 0.0"]]
    assert not [column for column in table if column.startswith("Energy")]
    save(tmp_path, "tesla-t4", [2.0, 2.0], readings=dict(energy_j=50.0))
    assert rows(Report(tmp_path))["Energy (J)"].tolist() == ["50.0 ± 0.0", "—", "—"]


def test_money_is_compared_where_a_file_has_prices_of_the_devices_and_one_price_is_of_no_other_machine(tmp_path):
    for slug, device in ("a100", "NVIDIA A100"), ("cpu", "AMD EPYC"), ("tesla-t4", "Tesla T4"):
        save(tmp_path / "runs", slug, [3.6, 3.6], device=device)
    (tmp_path / "prices.csv").write_text("device,price_per_hour\nT4,0.35\nA100,2\n")
    found = rows(Report(tmp_path / "runs", price_per_hour=tmp_path / "prices.csv")).set_index("Machine")["Money for 1000 images"].to_dict()
    assert found == {"Tesla T4": "0.35", "AMD EPYC": "—", "NVIDIA A100": "2.0"}
    assert "Money for 1000 images" not in rows(Report(tmp_path / "runs", price_per_hour=1.0))


@pytest.mark.parametrize("other", [dict(weights="demo"), dict(settings=dict(steps=20)), dict(model="another")])
def test_no_ratio_is_formed_of_other_weights_settings_or_models(tmp_path, other):
    save(tmp_path, "other", [1.0, 1.0], device="Other", **(dict(settings=dict(steps=50, seed=3)) | other))
    save(tmp_path, "third", [4.0, 4.0], device="Third", settings=dict(steps=50, seed=2))
    save(tmp_path, "tesla-t4", [2.0, 2.0], settings=dict(steps=50, seed=1))
    found = rows(Report(tmp_path)).set_index("Machine")["ratio"].to_dict()
    assert found == {"Tesla T4": "1.0", "Third": "2.0", "Other": "—"}, "a seed changes no time"
    assert ("Stable Diffusion (20 steps)" in rows(Report(tmp_path))["Model"].tolist()) == ("settings" in other)


@pytest.mark.parametrize("first, second, names", [
    (("tesla-t4", "Intel Xeon"), ("tesla-t4-2", "AMD EPYC"), ["Tesla T4 (AMD EPYC)", "Tesla T4 (Intel Xeon)"]),
    (("tesla-t4", "Intel Xeon"), ("tesla-t4-2", "Intel Xeon"), ["Tesla T4 (tesla-t4-2, Intel Xeon)", "Tesla T4 (tesla-t4, Intel Xeon)"]),
    (("a", None), ("b", None), ["Tesla T4 (b)", "Tesla T4 (a)"])])
def test_devices_of_one_name_stay_apart(tmp_path, first, second, names):
    for machine, cpu in first, second:
        save(tmp_path, machine, [1.0, 2.0], cpu=cpu)
    assert rows(Report(tmp_path))["Machine"].tolist() == names


def test_reference_runs_are_marked_and_of_other_weights_only_there_if_they_were_asked_for(tmp_path):
    save(tmp_path / "own", "tesla-t4", [2.0, 2.0])
    save(tmp_path / "reference", "tesla-t4", [3.0, 3.0])
    save(tmp_path / "reference", "cpu", [1.0, 1.0], device="AMD EPYC", weights="demo")
    report = Report(tmp_path / "own", reference=tmp_path / "reference")
    assert rows(report)["Machine"].tolist() == ["Tesla T4", "Tesla T4 (reference)"]
    assert "“Reference” marks" in report.table("machines").note and "demo" not in report.table("machines").note
    asked = Report(tmp_path / "own", reference=tmp_path / "reference", machine="t4,epyc")
    assert rows(asked)[["Machine", "Weights", "ratio"]].to_numpy().tolist() == [
        ["Tesla T4", "published weights", "1.0"], ["Tesla T4 (reference)", "published weights", "1.5"],
        ["AMD EPYC (reference)", "demonstration weights", "—"]]
    assert "say nothing of the published ones" in asked.table("machines").note


def test_ones_own_runs_that_lie_among_the_reference_runs_too_stand_there_once(tmp_path):
    save(tmp_path / "own", "tesla-t4", [2.0, 2.0])
    save(tmp_path / "own", "cpu", [4.0, 4.0], device="AMD EPYC")
    shutil.copytree(tmp_path / "own", tmp_path / "reference")
    save(tmp_path / "reference", "a100", [1.0, 1.0], device="A100")
    report = Report(tmp_path / "own", reference=tmp_path / "reference", machine="t4,epyc,a100")
    assert sorted(rows(report)["Machine"]) == ["A100 (reference)", "AMD EPYC", "Tesla T4"]


def test_of_one_machine_there_is_no_table_and_a_note_says_so(tmp_path):
    save(tmp_path, "tesla-t4", [2.0, 2.0])
    report = Report(tmp_path)
    assert "machines" not in report.tables
    assert report.table("machines").note == "Only one machine has runs with these weights and this profile."


def test_a_machine_on_which_every_iteration_failed_says_why(tmp_path):
    failed(save(tmp_path, "small", [1.0], device="Small", errors=2))
    save(tmp_path, "tesla-t4", [2.0, 2.0])
    report = Report(tmp_path)
    assert rows(report).iloc[1][["n", "Time (s)", "ratio"]].tolist() == ["0", "out of memory", "—"]
    assert "out of memory" in [text.get_text() for text in report.figure("machines").canvas.axes[0].texts]


# --- environment

def test_the_environment_names_what_is_known_and_where_runs_differ_each_value_with_its_models(tmp_path):
    for experiment, driver in ("stable-diffusion", "580.1"), ("stylegan2-ada", "580.2"):
        run = save(tmp_path, "tesla-t4", [2.0, 2.0], experiment, cpu="Xeon")
        run.machine.driver, run.machine.vram_bytes, run.machine.power_limit_w = driver, 15360 * MB, 70.0
        run.machine.packages, run.machine.commit = {"torch": "2.11.0", "genlib": "0.1.0"}, "abc"
        run.save()
    report = Report(tmp_path, language="uk", number="1")
    found = report.table("environment").data.to_numpy().tolist()
    assert found == [
        ["Пристрій", "Tesla T4"], ["Драйвер", "580.1 (Stable Diffusion)"], ["Драйвер", "580.2 (StyleGAN2-ADA)"],
        ["Відеопам’ять", "15360 МБ"],
        ["Обмеження потужності", "70 Вт"], ["Процесор", "Xeon"], ["torch", "2.11.0"], ["genlib", "0.1.0, версія коду abc"]]
    assert report.tables.index("environment") > report.tables.index("cost"), "Table 1 to 7 keep their numbers"


# --- iterations

def test_the_iterations_of_a_model_have_the_first_image_apart_and_say_why_one_failed(tmp_path):
    save(tmp_path, "tesla-t4", [1.0, 2.0], errors=1)
    table = Report(tmp_path).table("iterations-stable-diffusion")
    assert table.data.to_numpy().tolist() == [
        ["first image", "3.00", "—", "—"], ["1", "1.00", "1000.0", "500"], ["2", "2.00", "1000.0", "501"], ["3", "out of memory", "—", "—"],
        ["mean", "1.50", "1000.0", "500"], ["standard deviation", "0.71", "0.0", "1"]]
    assert "is not in the mean" in table.note and "Tesla T4; published weights" in table.note


def test_of_one_iteration_there_is_no_deviation_and_of_none_no_mean(tmp_path):
    run = save(tmp_path, "tesla-t4", [1.0], vram=None, errors=1)
    table = Report(tmp_path).table("iterations-stable-diffusion").data
    assert table["Iteration"].tolist() == ["first image", "1", "2", "mean"] and not [column for column in table if "VRAM" in column]
    failed(run)
    assert Report(tmp_path).table("iterations-stable-diffusion").data["Iteration"].tolist() == ["first image", "1"]
