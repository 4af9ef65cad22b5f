"""Methods beside each other: what is in that table, and that it is in no other."""
import pytest
from saved_runs import save_run

from genlib import runs
from genlib.report import Report

COLUMNS = ["Family", "Model", "What was measured", "n", "Time (s)", "VRAM (MB)", "RAM (MB)"]


def save_without_model(folder, experiment, times, *, memory=False, **changes):
    """A run of what no model drew; without `memory` as `genlib record` leaves one."""
    run = save_run(folder, experiment, times, **changes)
    run.model, run.weights, run.profile = None, "none", "none"
    if not memory:
        for iteration in run.iterations:
            iteration.vram_peak_bytes = iteration.ram_bytes = None
    run.save()
    return run


def save_clocked(folder, experiment, times):
    return save_without_model(folder, experiment, times, machine=runs.Machine("unknown"), method="by-hand")


@pytest.fixture
def folder(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1], settings=dict(seed=0))
    for way, time in ("style-mixing", 0.3), ("interpolation", 0.2):
        save_run(tmp_path, "stylegan2-ada", [time, time], variant=way, settings=dict(seed=0, way=way))
    save_run(tmp_path, "stable-diffusion", [8.0, 8.0], settings=dict(steps=50))
    save_run(tmp_path, "stable-diffusion", [9.0, 9.0], settings=dict(steps=50, prompt="a face"), variant="face-prompt")
    save_without_model(tmp_path, "drawn-faces", [0.002, 0.002], memory=True)
    save_clocked(tmp_path, "my-service", [60.0])
    save_clocked(tmp_path, "midjourney", [35.0, 37.0])
    return tmp_path


def test_each_models_other_ways_stand_below_it_then_what_no_model_draws_then_services(folder):
    table = Report(folder).table("methods")
    assert list(table.data) == COLUMNS
    assert table.data.drop(columns="RAM (MB)").to_numpy().tolist() == [
        ["diffusion model", "Stable Diffusion", "a picture from a latent", "2", "8.00 ± 0.00", "1000.0 ± 0.0"],
        ["generative adversarial network", "StyleGAN2-ADA", "a picture from a latent", "2", "0.100 ± 0.000", "1000.0 ± 0.0"],
        ["generative adversarial network", "StyleGAN2-ADA", "style mixing of two faces", "2", "0.300 ± 0.000", "1000.0 ± 0.0"],
        ["generative adversarial network", "StyleGAN2-ADA", "halfway between two faces", "2", "0.200 ± 0.000", "1000.0 ± 0.0"],
        ["procedural graphics", "Drawn faces", "a face drawn by rules from a seed", "2", "0.00200 ± 0.00000", "1000.0 ± 0.0"],
        ["—", "MidJourney", "clocked by hand", "2", "36.0 ± 1.4", "—"], ["—", "my-service", "clocked by hand", "1", "60.0", "—"]]
    assert "Clocked by hand: MidJourney, my-service; such a time" in table.note and "Tesla T4; published weights" in table.note


def test_they_are_in_no_other_table_and_in_no_sentence(folder):
    report = Report(folder, machine="tesla")
    assert set(report.rows.index) == {"stable-diffusion", "stylegan2-ada"} and list(report.groups["weights"]) == ["published"]
    texts = [str(report.table(name)) for name in report.tables if name != "methods"] + report.conclusions() + report.doubts()
    for name in "Drawn faces", "drawn-faces", "MidJourney", "midjourney", "my-service":
        assert not [text for text in texts if name in text], name
    assert report.left_out() == []


def test_without_another_method_the_table_is_empty_and_says_how_to_have_one(tmp_path):
    save_run(tmp_path, "stable-diffusion", [8.0])
    report = Report(tmp_path)
    assert report.table("methods").data.empty and "genlib record" in report.table("methods").note and "methods" not in report.tables


def test_what_was_drawn_on_another_machine_or_with_another_model_is_not_there_and_services_are_wherever_they_lie(tmp_path):
    save_run(tmp_path / "own", "stylegan2-ada", [0.1])
    save_run(tmp_path / "own", "stylegan2-ada", [0.2], variant="interpolation", dtype="float32")
    save_without_model(tmp_path / "own", "drawn-faces", [0.002], machine=runs.Machine("other", device="Other"), memory=True)
    save_without_model(tmp_path / "reference", "drawn-faces", [0.002], memory=True)
    save_clocked(tmp_path / "own", "runway", [20.0])
    save_clocked(tmp_path / "reference", "runway", [40.0])
    save_clocked(tmp_path / "reference", "dall-e-2", [10.0])
    rows = Report(tmp_path / "own", reference=tmp_path / "reference").table("methods").data
    assert rows[["Model", "Time (s)"]].to_numpy().tolist() == [["StyleGAN2-ADA", "0.100"], ["DALL-E 2", "10.0"], ["Runway", "20.0"]]
    assert list(rows["Family"])[1:] == ["diffusion model"] * 2


def test_a_service_that_bears_a_models_name_is_marked_as_a_strangers(folder):
    save_clocked(folder, "StyleGAN2-ADA", [1.0])
    assert "“StyleGAN2-ADA”" in set(Report(folder).table("methods").data["Model"])


def test_two_commands_for_one_service_are_two_sessions_of_it(folder):
    save_clocked(folder, "midjourney", [36.0, 36.0])
    rows = Report(folder).table("methods").data.set_index("Model")
    assert rows.loc["MidJourney", "n"] == "2 × 2"


def test_of_services_alone_there_is_no_report_and_the_sentence_says_what_is_missing(tmp_path):
    save_clocked(tmp_path, "midjourney", [35.0])
    with pytest.raises(ValueError, match="there are no finished runs of models in what was given: run notebooks 1 to 3 first"):
        Report(tmp_path)


@pytest.mark.parametrize("language, heading", [("en", "Methods beside each other"), ("uk", "Зіставлення методів")])
def test_the_chapter_says_what_each_family_models_and_cites_its_paper(folder, language, heading):
    from genlib.report.chapter.chapter import Contents, markdown
    from genlib.report.chapter.sources import OF_FAMILIES

    report = Report(folder, language=language)
    text = markdown(Contents(report), report.chapter_template)
    section = text[text.index(f"## {heading}"):].partition("\n## ")[0]
    assert all(f"source:{key}" in section or f",{key}" in section for key in OF_FAMILIES) and section.count("$") >= 8
