"""An experiment is one entry: what has an entry is found everywhere, what has none is shown and said."""
import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from saved_runs import MB, save_run

import genlib
from genlib import runs
from genlib.experiments import EXPERIMENTS, OTHER_METHODS, STABLE_DIFFUSION, STEPS, VAE_AS_IN_THESIS, Experiment, Loop, find
from genlib.locale import N_
from genlib.record import TABLE1
from genlib.report import Report
from genlib.report.tables import TABLES

PACKAGE = Path(genlib.__file__).parent
MADE_UP = Experiment("tidal-flow", label=N_("Tidal flow"), family=N_("normalising flow"), colour="#123456", marker="*", takes_text=True,
                     loops=(Loop("batch_size", N_("images in a batch")), Loop("steps", N_("steps", "unit of a line"))))


@pytest.fixture
def made_up():
    """The entry, and nothing else."""
    EXPERIMENTS.append(MADE_UP)
    yield
    EXPERIMENTS.remove(MADE_UP)


def texts(figure):
    """Everything written in a figure."""
    return " ".join(text.get_text() for text in figure.canvas.findobj(lambda artist: hasattr(artist, "get_text"))).replace("\n", " ")


@pytest.mark.parametrize("language", ["en", "uk"])
def test_a_new_entry_with_a_saved_run_is_in_every_table_and_figure_of_the_models(tmp_path, made_up, language):
    save_run(tmp_path, "stable-diffusion", [8.0, 8.1, 8.2], settings=dict(steps=50))
    save_run(tmp_path, "tidal-flow", [2.0, 2.1, 2.2], settings=dict(steps=50, prompt="a face"), ram=300 * MB)
    report = Report(tmp_path, language=language)
    results = report.table("results").data
    assert results[results.iloc[:, 0] == "Tidal flow"].iloc[0, 1] in ("2.10 ± 0.10", "2,10 ± 0,10")
    assert "Tidal flow" in report.table("readings").data.columns
    assert "Tidal flow" in set(report.table("cost").data.iloc[:, 0])
    assert "Tidal flow" in report.table("iterations-tidal-flow").caption
    for name in "bars", "iterations", "time_against_memory", "pictures", "machines", "pictures-tidal-flow":
        assert "Tidal flow" in texts(report.figure(name)), name
    conclusions = " ".join(report.conclusions())
    assert re.search("Fastest is Tidal flow|Найшвидша модель – Tidal flow", conclusions)
    assert re.search("Tidal flow takes a prompt; with one|приймає Tidal flow; із запитом", conclusions)
    assert "Tidal flow" not in str(report.table("audit")), "the thesis has no figure of it"
    assert "Tidal flow" not in str(report.table("growth")) + str(report.table("precisions")), "no loop was run"


def test_its_label_is_translated_like_any_other(tmp_path, made_up, monkeypatch):
    from genlib import locale

    folder = tmp_path / "locale" / "uk" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    catalogue = (locale.FOLDER / "uk" / "LC_MESSAGES" / "genlib.po").read_text(encoding="utf-8")
    (folder / "genlib.po").write_text(f'{catalogue}\nmsgid "Tidal flow"\nmsgstr "Припливний потік"\n', encoding="utf-8")
    monkeypatch.setattr(locale, "FOLDER", tmp_path / "locale")
    save_run(tmp_path / "runs", "tidal-flow", [2.0, 2.1])
    report = Report(tmp_path / "runs", language="uk")
    assert "Припливний потік" in set(report.table("results").data.iloc[:, 0]) and "Припливний потік" in report.table("readings").data
    assert "Припливний потік" in texts(report.figure("bars")) and "Припливний потік" in " ".join(report.conclusions())


def test_once_its_runs_have_loops_it_is_in_the_tables_of_growth_and_precision(tmp_path, made_up):
    save_run(tmp_path, "tidal-flow", [2.0, 2.0], settings=dict(steps=10))
    for n in 2, 4:
        save_run(tmp_path, "tidal-flow", [2.0 * n], settings=dict(steps=10, batch_size=n), variant=f"batch-{n}")
        save_run(tmp_path, "tidal-flow", [0.2 * n], settings=dict(steps=n), variant=f"steps-{n}")
    save_run(tmp_path, "tidal-flow", [1.0], settings=dict(steps=10), variant="precision-bfloat16", dtype="bfloat16")
    report = Report(tmp_path)
    growth, precisions = report.table("growth").data, report.table("precisions").data
    assert growth[["Model", "Unit"]].to_numpy().tolist() == [["Tidal flow", "images in a batch (10 steps)"], ["Tidal flow", "steps"]]
    assert precisions["Model"].tolist() == ["Tidal flow"] * 2 and precisions["ratio"].tolist() == ["1.0", "0.50"]
    assert "Tidal flow" in texts(report.figure("growth"))


def test_a_run_without_an_entry_is_shown_under_its_slug_and_a_line_says_so(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [0.1, 0.1])
    save_run(tmp_path, "who-knows", [2.0, 2.1])
    report = Report(tmp_path)
    table = report.table("results")
    assert table.data.set_index("Model").loc["who-knows", "Generation time (s)"] == "2.05 ± 0.07"
    assert "Experiments that genlib does not know are shown under the names in their records: who-knows." in table.note
    assert "who-knows" in report.table("readings").data and "who-knows" in texts(report.figure("bars"))
    assert "genlib does not know" not in Report(tmp_path / "tesla-t4" / "stylegan2-ada").table("results").note


def test_no_two_entries_share_a_slug_a_label_or_a_look():
    every = EXPERIMENTS + OTHER_METHODS
    for values in ([e.slug for e in every], [e.label for e in every], [e.colour for e in EXPERIMENTS],
                   [e.hatch for e in EXPERIMENTS], [e.marker for e in EXPERIMENTS]):
        assert len(set(values)) == len(values)


def test_the_main_table_of_each_entry_is_one_that_a_report_makes():
    assert {entry.table for entry in EXPERIMENTS + OTHER_METHODS} <= {kind.name for kind in TABLES}
    assert {entry.table for entry in OTHER_METHODS} == {"methods"} and all(entry.measured for entry in EXPERIMENTS)
    assert all(set(entry.ways) <= set(entry.variants) for entry in EXPERIMENTS)


def test_a_slug_is_written_in_at_most_two_files_of_the_package():
    """Its entry and its loader: everything else goes through the entries."""
    files = {path: {node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)}
             for path in PACKAGE.rglob("*.py")}
    for entry in EXPERIMENTS + OTHER_METHODS:
        writing = [path.name for path, constants in files.items() if entry.slug in constants]
        assert "experiments.py" in writing and len(writing) <= 2, (entry.slug, writing)


def test_the_entries_load_no_torch():
    code = "import sys, genlib.experiments, genlib.runs, genlib.report; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def test_each_entry_names_a_notebook_that_is_there_and_whose_parameters_count_its_images():
    for entry in EXPERIMENTS:
        notebook = nbformat.read(PACKAGE.parent / "notebooks" / f"{entry.notebook}.ipynb", as_version=4)
        cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        parameters = {statement.targets[0].id: ast.literal_eval(statement.value) for statement in ast.parse(cell.source).body}
        assert entry.images(parameters) > parameters["ITERATIONS"], entry.slug
        assert entry.images(parameters | {"ITERATIONS": parameters["ITERATIONS"] + 1}) > entry.images(parameters)


# --- the thesis's figures

PUBLISHED = [STABLE_DIFFUSION, VAE_AS_IN_THESIS]  # with their iterations; of StyleGAN2-ADA it prints the averages only
THESIS = PACKAGE.parent / "notebooks" / "reference" / "thesis"


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.slug)
def test_the_reference_runs_hold_the_thesiss_published_iterations(entry):
    [path] = (THESIS / entry.slug).rglob("run.json")
    run = runs.read(path)
    assert tuple(iteration.time_s for iteration in run.iterations) == entry.published.times_s
    assert {iteration.vram_peak_bytes for iteration in run.iterations} == {entry.published.vram_bytes}
    assert {iteration.ram_bytes for iteration in run.iterations} == {entry.published.ram_bytes}
    assert (run.experiment, run.machine.slug, run.method, run.settings) == (entry.slug, "thesis", "thesis", dict(steps=STEPS))
    assert (run.model.name, run.weights, run.profile) == (entry.model, "published", "thesis")


def test_there_is_a_reference_run_of_every_published_iteration_and_of_nothing_else():
    assert sorted(run.experiment for run in map(runs.read, THESIS.rglob("run.json"))) == sorted(
        entry.slug for entry in EXPERIMENTS if entry.published and entry.published.times_s)


def test_the_thesiss_averages_follow_from_its_iterations_except_where_it_contradicts_itself():
    for published in (entry.published for entry in PUBLISHED):
        mean = sum(published.times_s) / len(published.times_s)
        assert abs(mean - published.averages["time_s"]) < 0.0151, "printed with two decimals, and not always rounded"
    published = STABLE_DIFFUSION.published
    assert published.vram_bytes // MB * MB == published.averages["vram_peak_bytes"]
    assert published.ram_bytes / MB == pytest.approx(4278.79), "its table says 4271"


def test_an_entry_says_of_every_reading_of_table_1_what_the_thesis_published_and_is_found_by_its_slug():
    for entry in EXPERIMENTS:
        assert find(entry.slug) is entry and (entry.published is None or set(entry.published.averages) == set(TABLE1))
    unknown = find("my-own-model")
    assert unknown.label == "my-own-model" and unknown not in EXPERIMENTS and unknown.published is None
