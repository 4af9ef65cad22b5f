"""A report: which runs it is of, how its tables are numbered, what it writes."""
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from saved_runs import save_run

from genlib import runs
from genlib.__main__ import main
from genlib.report import Report, figures, tables
from genlib.report.audit.table import SUSPECTS
from genlib.report.figures import FIGURES
from genlib.report.figures.figure import blank
from genlib.report.summary import summarize
from genlib.report.tables import TABLES

OLD, OLDER = "2021-01-01T00:00:00+00:00", "2020-01-01T00:00:00+00:00"


def save(folder, experiment, times, *, started=None, **changes):
    """A run as saved_runs makes it, started when asked for."""
    run = save_run(folder, experiment, times, **changes)
    run.started = started or run.started
    run.save()


def times_in(report):
    """The mean times of Table 1's runs."""
    return report.rows["time_s"].tolist()


# --- which runs

@pytest.mark.parametrize("change", [dict(weights="random"), dict(profile="tuned"), dict(settings={"steps": 9}), dict(machine="other"),
                                    dict(method="thesis"), dict(variant="steps-9")])
def test_unlike_runs_are_never_averaged(tmp_path, change):
    save(tmp_path, "stable-diffusion", [1.0, 1.0])
    save(tmp_path, "stable-diffusion", [9.0, 9.0], **change)
    assert sorted(summarize(runs.read_all(tmp_path))["time_s"]) == [1.0, 9.0]
    assert times_in(Report(tmp_path)) in ([1.0], [9.0])


def test_no_runs_are_a_clear_sentence(tmp_path):
    with pytest.raises(ValueError, match="there are no finished runs of models in what was given: run notebooks 1 to 3 first"):
        Report(tmp_path)


def test_the_newest_group_is_picked_unless_another_is_named(tmp_path):
    save(tmp_path, "stable-diffusion", [1.0], machine="old-card", started=OLDER)
    save(tmp_path, "stable-diffusion", [2.0], weights="random")
    assert Report(tmp_path).groups["machine"].tolist() == ["tesla-t4", "old-card"]
    assert times_in(Report(tmp_path)) == [2.0] and times_in(Report(tmp_path, machine="old-card")) == [1.0]
    assert Report(tmp_path).left_out() == ["old-card · published · thesis"]
    with pytest.raises(ValueError, match="no run of old-card · random; there are: tesla-t4 · random · thesis; old-card · published"):
        Report(tmp_path, machine="old-card", weights="random")


def test_the_newest_group_is_that_of_the_newest_run_in_table_1_and_not_of_a_condition(tmp_path):
    save(tmp_path, "stable-diffusion", [1.0], machine="old-card", started=OLDER)
    save(tmp_path, "stable-diffusion", [2.0], started=OLD)
    save(tmp_path, "stable-diffusion", [3.0], machine="old-card", variant="batch-2")
    assert times_in(Report(tmp_path)) == [2.0]
    assert Report(tmp_path).groups[["started", "experiments"]].to_numpy().tolist() == [[OLD[:19], 1], [OLDER[:19], 1]]


@pytest.mark.filterwarnings("error::UserWarning")
def test_conditions_alone_fill_what_they_can_and_the_other_tables_say_why_they_are_empty(tmp_path):
    for n in 1, 2, 4:
        save(tmp_path, "stylegan2-ada", [0.1 * n] * 2, variant=f"batch-{n}", settings=dict(batch_size=n))
    report = Report(tmp_path, number="1")
    assert report.tables == ["growth", "audit", "claims", "environment"] and report.table("growth").caption == "Table 1 – How time grows"
    assert report.table("results").note == "There is no run that this table takes."
    assert report.conclusions() == ["No run for the table of results succeeded, so there is nothing to conclude."]
    assert all(report.figure(name).canvas.get_suptitle() for name in report.figures)


def test_the_rows_of_a_table_are_of_the_newest_number_of_steps_that_all_have(tmp_path):
    for started, steps in (OLDER, 50), (OLD, 20):
        for experiment in "stable-diffusion", "vae-as-in-thesis", "vae-round-trip":
            save(tmp_path, experiment, [float(steps)] * 5, started=started, settings=dict(steps=steps))
    save(tmp_path, "stable-diffusion", [4.0, 4.0], settings=dict(steps=4))
    save(tmp_path, "stylegan2-ada", [0.1] * 5, settings=dict(truncation_psi=0.7))
    report = Report(tmp_path)
    assert {slug: run.settings.get("steps") for slug, run in report.rows["run"].items()} == {
        "stable-diffusion": 20, "vae-as-in-thesis": 20, "vae-round-trip": 20, "stylegan2-ada": None}
    assert report.table("results").data["Model"][0] == "Stable Diffusion" and "; 20 steps." in report.table("results").note


def test_a_reference_run_never_fills_in_for_an_own_one_even_of_the_same_machine_and_settings(tmp_path):
    save(tmp_path / "own", "stable-diffusion", [1.0])
    for experiment in "stable-diffusion", "stylegan2-ada":
        save(tmp_path / "reference", experiment, [9.0])  # newer
    report = Report(tmp_path / "own", reference=tmp_path / "reference")
    assert report.everything["reference"].tolist().count(True) == 2 and len(report.everything) == 3, "neither hides the other"
    assert times_in(report) == [1.0]
    assert report.table("results").data.iloc[3].tolist()[1:] == ["—"] * 3
    assert times_in(Report(tmp_path / "nothing", reference=tmp_path / "reference")) == [9.0, 9.0]


def test_several_folders_are_one_report(tmp_path):
    save(tmp_path / "a", "stable-diffusion", [1.0])
    save(tmp_path / "b", "stylegan2-ada", [2.0])
    assert times_in(Report([tmp_path / "a", tmp_path / "b"])) == [1.0, 2.0] and times_in(Report(str(tmp_path / "a"))) == [1.0]


# --- numbers and names

@pytest.mark.parametrize("first, fourth", [("1", "4"), ("3.1", "3.4"), ("А.9", "А.12"), ("2.3.8", "2.3.11")])
def test_tables_are_numbered_on_from_the_first_over_those_that_are_filled(tmp_path, first, fourth):
    save(tmp_path, "stylegan2-ada", [1.0])
    report = Report(tmp_path, number=first)
    assert [name for name in report.tables if name in ("growth", "precisions")] == [], "no loop and no other precision"
    assert report.table("results").caption == f"Table {first} – Comparison of the results"
    assert report.table(report.tables[3]).caption.startswith(f"Table {fourth} – ")
    assert report.table("growth").caption == "How time grows" and Report(tmp_path).table("audit").caption.startswith("The published")


def test_a_new_table_or_figure_is_an_entry(tmp_path, monkeypatch):
    """It is numbered, shown by its name, and written by the report and by the command."""
    table = tables.Kind("slowest", "The slowest", lambda report: (pd.DataFrame({"s": [str(report.rows["time_s"].max())]}), "A note."))
    figure = figures.Kind("nothing", "Nothing drawn", lambda report: (blank(), report.rows))
    monkeypatch.setattr("genlib.report.report.TABLES", [table, *TABLES])
    monkeypatch.setattr(figures, "FIGURES", [*FIGURES, figure])
    save(tmp_path / "runs", "stylegan2-ada", [1.5, 1.5])
    report = Report(tmp_path / "runs", number="3.1")
    assert str(report.table("slowest")).startswith("**Table 3.1 – The slowest**") and "| 1.5 |" in str(report.table("slowest"))
    assert report.table("results").caption.startswith("Table 3.2 – ") and report.figures[-2:] == ["nothing", "pictures-stylegan2-ada"]
    assert "Nothing drawn" in report.figure("nothing").canvas.get_suptitle()
    assert main(["table", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--format", "md"]) == 0
    assert (tmp_path / "out" / "slowest.md").exists()


def test_what_there_is_for_each_experiment_stands_behind_the_others_under_a_name_that_is_safe_in_a_file(tmp_path):
    for folder, experiment in ("a", "stylegan2-ada"), ("b", "../away"), ("c", "A b"):
        run = save_run(tmp_path, folder, [1.5, 1.5])
        run.experiment = experiment
        run.save()
    report = Report(tmp_path, number="1")
    names = report.tables[-3:]
    assert names[0] == "iterations-stylegan2-ada" and all(re.fullmatch("iterations-[0-9a-f]{8}", name) for name in names[1:])
    assert report.table(names[0]).caption == f"Table {len(report.tables) - 2} – Iterations of StyleGAN2-ADA"
    assert {report.table(name).caption.partition(" – ")[2] for name in names[1:]} == {"Iterations of ../away", "Iterations of A b"}
    assert [name.replace("pictures", "iterations") for name in report.figures[-3:]] == names


def test_a_number_that_cannot_be_counted_on_is_refused(tmp_path):
    save(tmp_path, "stylegan2-ada", [1.0])
    with pytest.raises(ValueError, match="the number of Table 1 is '3.x': use one that ends in a whole number, as in 1 or 3.1"):
        Report(tmp_path, number="3.x")


def test_what_there_is_not_is_refused_with_what_there_is(tmp_path):
    save(tmp_path, "stylegan2-ada", [1.0])
    report = Report(tmp_path)
    with pytest.raises(ValueError, match="there is no table 'table1': use one of results, common_precision"):
        report.table("table1")
    with pytest.raises(ValueError, match="there is no figure 'plot': use one of bars, iterations"):
        report.figure("plot")
    with pytest.raises(ValueError, match="language is 'fr': use one of en, "):
        Report(tmp_path, language="fr")


# --- what it writes

def test_with_one_experiment_only_every_table_and_every_figure_is_written(tmp_path, monkeypatch):
    save(tmp_path / "runs", "stylegan2-ada", [0.1, 0.1])
    report = Report(tmp_path / "runs")
    assert report.figures == [*(kind.name for kind in FIGURES), "pictures-stylegan2-ada"]
    assert len(report.table("audit").data) == len(SUSPECTS)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda canvas, file, **_: file.write(canvas.get_suptitle().encode()))
    paths = report.save(tmp_path / "out")
    assert sorted(paths) == sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    files = [*(kind.file or kind.name for kind in TABLES), "iterations-stylegan2-ada"]
    assert [str(path.relative_to(tmp_path / "out")) for path in paths] == [
        *(f"tables/{file}.{kind}" for file in files for kind in ("csv", "md", "tex", "docx")),
        *(f"figures/{name}.{ending}" for name in report.figures for ending in ("png", "pdf", "svg"))]


def test_notebook_4s_checks_hold_for_runs_that_fill_a_part_of_its_tables(tmp_path, monkeypatch):
    notebook = nbformat.read(Path(__file__).parents[2] / "notebooks" / "4_comparison.ipynb", as_version=4)
    [checks] = [cell.source for cell in notebook.cells if cell.id == "checks"]
    save(tmp_path / "runs", "stylegan2-ada", [0.1, 0.1])
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda canvas, file, **_: file.write(b"drawn"))
    exec(checks, dict(report=Report(tmp_path / "runs"), results=tmp_path / "out"))
    assert (tmp_path / "out" / "tables" / "table1.docx").exists()
