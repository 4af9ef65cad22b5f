"""Scored sets of pictures: which stand beside each other, the table, what quality costs, strangers' files."""
import re

import pytest
from saved_runs import AGAINST, save_run, save_set, save_sets

from genlib import scores
from genlib.report import Report
from genlib.report.scores import cost, frontier, lines
from genlib.scores import Against, Figure


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, and sets of two models by steps, guidance and truncation."""
    folder = tmp_path_factory.mktemp("scored")
    save_run(folder, "stable-diffusion", [1.0, 1.1], weights="demo")
    return save_sets(folder)


def texts(figure):
    return [text.get_text() for ax in figure.canvas.axes for text in ax.texts]


def legend(figure):
    return [text.get_text().replace("\n", " ") for text in figure.canvas.legends[0].get_texts()]


# --- which sets are read

def test_sets_are_read_from_beside_the_runs_and_from_the_results_and_ones_own_come_before_the_references(tmp_path):
    run = save_run(tmp_path / "own", "stable-diffusion", [1.0])
    save_set(tmp_path / "elsewhere", "x", 5.0, 1.0, settings=dict(steps=50)).save(run.folder)
    save_set(tmp_path / "own", "a", 10.0, 0.5, settings=dict(steps=20))
    save_set(tmp_path / "reference", "b", 20.0, 0.5, settings=dict(steps=20), scored="2027-01-01T00:00:00+00:00")
    save_set(tmp_path / "reference", "c", 30.0, 0.5, settings=dict(steps=10))
    read = Report(tmp_path / "own", reference=tmp_path / "reference").scores
    assert [found.figures["frechet_reader"].value for found in read["scores"]] == [30.0, 10.0, 5.0], "by steps; of two alike the own one"
    assert read["reference"].tolist() == [True, False, False]


def test_of_sets_drawn_alike_the_newest_counts_and_one_compared_with_other_pictures_stands_beside_it(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    for day, distance in (2, 20.0), (1, 10.0):
        save_set(tmp_path, f"set-{day}", distance, 0.5, scored=f"2026-11-0{day}T00:00:00+00:00")
    save_set(tmp_path, "other", 40.0, 0.5, against=Against("held-out", 500, "b" * 64))
    report = Report(tmp_path)
    assert sorted(found.figures["frechet_reader"].value for found in report.scores["scores"]) == [20.0, 40.0]
    assert set(report.table("scores").data["Compared with"]) == {"held-out, aaaaaaaa (500 pictures)", "held-out, bbbbbbbb (500 pictures)"}


def test_a_file_that_is_no_record_of_scores_is_skipped_in_a_line_and_the_others_are_shown(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    save_set(tmp_path, "good", 5.0, 1.0)
    for name, text in {"cut": '{"schema": 1', "list": "[]", "newer": '{"schema": 9}'}.items():
        (tmp_path / "sets" / name).mkdir()
        (tmp_path / "sets" / name / scores.FILE).write_text(text)
    (tmp_path / "sets" / "folder" / scores.FILE).mkdir(parents=True)
    with pytest.warns(UserWarning) as said:
        assert len(Report(tmp_path).scores) == 1
    assert [re.search(r"(\w+)/scores.json cannot be read", str(warning.message))[1] for warning in said] == ["cut", "list", "newer"]


def test_without_scored_pictures_table_and_figure_say_what_makes_them(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    report = Report(tmp_path)
    assert report.table("scores").data.empty and "`genlib score` leaves scores.json" in report.table("scores").note
    assert report.figure("cost_of_quality").empty and not any("nearest" in sentence for sentence in report.conclusions())


# --- the table

def test_each_set_has_a_row_with_its_settings_time_and_figures_with_intervals_and_n(folder):
    table = Report(folder).table("scores")
    assert table.data.iloc[0].to_dict() == {
        "Model": "Stable Diffusion", "Settings": "5 steps; g = 3", "Time (s)": "0.0500",
        "Fréchet distance": "40.0 (39.0 … 41.0)", "KID": "0.0400 (0.0364 … 0.0444)"}
    assert table.data["Settings"].tolist()[-3:] == ["ψ = 0.3", "ψ = 0.7", "ψ = 1"], "by model, then by what was varied"
    for common in "Compared with: held-out (500 pictures).", "Machine: Tesla T4.", "n: 300.", "reader of the demo’s faces (r1).", \
            "g: guidance scale.":
        assert common in table.note, "what all rows share is no column"


def test_figures_of_different_networks_or_revisions_or_against_other_pictures_never_share_a_column_unmarked(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    save_set(tmp_path, "a", 1.0, 1.0, network="clip", revision="r1")
    save_set(tmp_path, "b", 2.0, 1.0, network="dinov2", revision="r1", settings=dict(steps=5))
    save_set(tmp_path, "c", 3.0, 1.0, network="dinov2", revision="r2", settings=dict(steps=9))
    data = Report(tmp_path).table("scores").data
    heads = [head for head in data if head.startswith("Fréchet")]
    assert heads == ["Fréchet distance, CLIP", "Fréchet distance, DINOv2, r1", "Fréchet distance, DINOv2, r2"]
    assert all((data[head] != "—").sum() == 1 for head in heads)


def test_a_long_hash_of_a_network_is_shown_by_its_beginning(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    save_set(tmp_path, "a", 1.0, 1.0, revision=f"reader.safetensors, sha256 {'0123456789abcdef' * 4}")
    assert "(reader.safetensors, sha256 01234567)." in Report(tmp_path).table("scores").note


def test_a_figure_without_an_interval_and_shares_and_unknown_drawers_are_shown(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    save_set(tmp_path, "somebody’s", 0, None, experiment=None, model=None, weights=None, profile=None, device=None, machine=None,
             dtype=None, against=None, figures={"faces": Figure(0.5, None, None, 12, 10)})
    table = Report(tmp_path).table("scores")
    assert table.data.iloc[0].to_dict() == {"Model": "somebody’s", "Pictures with a face (%)": "50.0"}
    assert "n: 12." in table.note
    save_set(tmp_path, "b", 0, None, experiment=None, model=None, against=None, figures={"faces": Figure(0.5, None, None, 13, 10)})
    assert sorted(Report(tmp_path).table("scores").data["n"]) == ["12", "13"], "a column where it is not the same in all"


def test_the_models_of_an_experiment_go_by_their_own_names_where_there_are_several(folder, tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    for model in "SDXL", "SD3":
        save_set(tmp_path, model, 5.0, 1.0, model=model)
    assert Report(tmp_path).table("scores").data["Model"].tolist() == ["SD3", "SDXL"]


# --- what quality costs

def test_the_frontier_is_of_the_sets_that_no_other_beats_in_time_and_distance(folder):
    found = cost(Report(folder))
    of_diffusion = found.rows[found.rows["experiment"] == "stable-diffusion"]
    assert frontier(of_diffusion, "frechet")["time_s"].tolist() == pytest.approx([0.05, 0.1, 0.2, 0.5])
    assert frontier(found.rows, "kid")["value"].tolist() == pytest.approx([0.009]), "one model beats all of the other's sets"


def test_a_line_is_of_sets_that_differ_in_one_setting_alone(folder):
    rows = cost(Report(folder)).rows
    found = [(line.setting, [settings[line.setting] for settings in line.rows["settings"]]) for line in lines(rows)]
    assert found == [("steps", [5, 10, 20, 50]), ("guidance_scale", [1, 3, 6]), ("truncation_psi", [0.3, 0.7, 1])]
    alone = [line.setting for line in lines(rows[rows["time_s"].isin([0.05, 0.3])])]
    assert alone == ["", ""], "what differs in two settings is joined by no line"


def test_the_figure_names_each_line_and_the_value_of_each_point_in_both_panels(folder):
    figure = Report(folder, language="uk").figure("cost_of_quality")
    assert [ax.get_ylabel() for ax in figure.canvas.axes] == ["Відстань Фреше", "KID"]
    assert texts(figure) == ["5", "50", "g = 1", "g = 6", "ψ = 0,3", "ψ = 1"] * 2
    assert legend(figure)[1:] == [
        "Stable Diffusion, за кількістю кроків: 5; 10; 20; 50 (g = 3)",
        "Stable Diffusion, за коефіцієнтом керування g: 1; 3; 6 (50 кроків)", "StyleGAN2-ADA, за усіканням ψ: 0,3; 0,7; 1"]
    assert "Tesla T4" in figure.caption


@pytest.mark.parametrize("change", [dict(machine="h200", device="H200"), dict(against=Against("other", 9, "c" * 64)), dict(revision="r2"),
                                    dict(weights="published"), dict(n=5000)])
def test_sets_of_another_machine_comparison_network_weights_or_number_are_not_drawn_into_it(tmp_path, change):
    save_run(save_sets(tmp_path), "stable-diffusion", [1.0], weights="demo")
    for number in range(3):
        save_set(tmp_path, f"apart-{number}", 1.0, 0.001, settings=dict(steps=number), **change)
    rows = cost(Report(tmp_path)).rows
    assert len(rows) == 9 and rows["time_s"].min() > 0.001


def test_with_one_distance_there_is_one_panel_and_sets_without_a_time_are_left_out(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0], weights="demo")
    for steps in 1, 2, 3, 4:
        save_set(tmp_path, f"set-{steps}", 0, 0.1 * steps if steps < 4 else None, settings=dict(steps=steps),
                 figures={"kid_reader": Figure(0.01 - steps / 200, None, None, 300, 100)})
    report = Report(tmp_path)
    figure = report.figure("cost_of_quality")
    assert [ax.get_ylabel() for ax in figure.canvas.axes] == ["KID"] and texts(figure) == ["1", "3"]
    assert figure.canvas.axes[0].get_yscale() == "linear", "KID's estimate may be below zero"


def test_a_conclusion_says_which_set_is_nearest_and_which_quicker_one_reaches_its_interval(folder):
    said = [sentence for sentence in Report(folder).conclusions() if "nearest" in sentence or "quickest" in sentence]
    assert said == [
        "Stable Diffusion comes nearest to the pictures of held-out (500 pictures) with 50 steps; g = 3: Fréchet distance "
        "10.5 (9.5 … 11.5), 0.500 s an image on Tesla T4.",
        "The quickest set whose 95 % interval overlaps that one’s has 20 steps; g = 3: Fréchet distance 12.0 (11.0 … 13.0), 0.200 s an "
        "image.",
        "StyleGAN2-ADA comes nearest to the pictures of held-out (500 pictures) with ψ = 1: Fréchet distance 9.00 (8.00 … "
        "10.00), 0.00400 s an image on Tesla T4."]


@pytest.mark.parametrize("settings", [dict(steps="many"), dict(steps=True), dict(steps=10**29), dict(guidance_scale=[1]), {"": None}])
def test_odd_settings_of_a_stranger_are_shown_or_left_out_and_stop_nothing(tmp_path, settings):
    save_run(save_sets(tmp_path), "stable-diffusion", [1.0], weights="demo")
    odd = dict(model="_$x^{2}\x1b" + "W" * 300, variant="<b>", against=AGAINST)
    save_set(tmp_path, "odd", 1.0, 1e9, settings=settings, **odd)
    save_set(tmp_path, "beside", 1.0, 1e8, settings={name: 7 for name in settings}, **odd)  # a line's other end
    for language in "en", "uk":
        report = Report(tmp_path, language=language)
        assert len(report.table("scores").data) == 11 and report.conclusions() and report.figure("cost_of_quality")._repr_png_()


def test_sets_that_differ_in_truncation_alone_take_one_time_and_none_is_called_quicker(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [1.0], weights="demo")
    for psi, distance, time_s in (0.7, 9.4, 0.005), (0.85, 9.2, 0.006), (1.0, 9.0, 0.007):
        save_set(tmp_path, f"psi-{psi}", distance, time_s, settings=dict(truncation_psi=psi), experiment="stylegan2-ada",
                 model="StyleGAN2-ADA")
    said = "\n".join(Report(tmp_path).conclusions())
    assert "comes nearest to the pictures of held-out (500 pictures) with ψ = 1" in said and "The quickest set" not in said
