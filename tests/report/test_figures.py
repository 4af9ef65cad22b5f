"""The figures of a report: what they draw, and that their files are the same each time."""
import pytest
from matplotlib.container import ErrorbarContainer
from PIL import Image
from saved_runs import save_run

from genlib.locale import languages
from genlib.report import Report
from genlib.report.figures import FIGURES
from genlib.report.figures.charts import bars_of
from genlib.report.figures.figure import blank

TIMES = {"stable-diffusion": [8.0, 8.1, 8.2], "vae-as-in-thesis": [8.3, 8.4, 8.5], "vae-round-trip": [0.1, 0.2, 0.3],
         "stylegan2-ada": [0.02, 0.02, 0.02]}
NAMES = [kind.name for kind in FIGURES]


def save_runs(folder, **changes):
    for experiment, times in TIMES.items():
        save_run(folder, experiment, times, **changes)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four runs with two pictures an iteration, and the conditions of a loop."""
    folder = save_runs(tmp_path_factory.mktemp("runs"), picture=2)
    for size in 2, 4:
        save_run(folder, "stylegan2-ada", [0.02 * size] * 2, settings=dict(batch_size=size), variant=f"batch-{size}")
    return folder


def texts_of(report, name):
    return [text.get_text() for text in report.figure(name).canvas.texts]


def panel(report, reading):
    ax = blank().subplots()
    bars_of(report, ax, reading)
    return ax


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_fits_the_page_and_names_machine_and_weights_and_is_saved_to_the_same_bytes_each_time(folder, tmp_path, name):
    drawn = [Report(folder, language=language).figure(name) for language in languages()]
    assert all(figure.canvas.get_figwidth() <= 6.3 for figure in drawn)
    assert "Tesla T4 · published weights" in drawn[0].canvas.get_suptitle()
    again = Report(folder, language=languages()[-1]).figure(name)
    first, second = drawn[-1].save(tmp_path / "a"), again.save(tmp_path / "b")
    assert [path.name for path in first] == [f"{name}.png", f"{name}.pdf", f"{name}.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_figure_is_shown_in_a_notebook_as_a_picture_and_named_in_a_console(folder):
    figure = Report(folder).figure("vae")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert repr(figure) == "figure vae: What the VAE gives back – Tesla T4 · published weights · profile “thesis”"


def test_drawing_leaves_the_users_matplotlib_settings_alone(folder):
    import matplotlib

    before = dict(matplotlib.rcParams)
    Report(folder).figure("bars")
    assert dict(matplotlib.rcParams) == before


# --- bars

def test_bars_show_the_means_and_the_deviations(tmp_path):
    report = Report(save_runs(tmp_path))
    ax = panel(report, "time_s")
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([8.1, 8.4, 0.2, 0.02])
    assert [text.get_text() for text in ax.texts] == ["8.1", "8.4", "0.20", "0.020"] and ax.get_yscale() == "log"
    errors = [container for container in ax.containers if isinstance(container, ErrorbarContainer)]
    lengths = [high - low for error in errors for [[_, low], [_, high]] in error.lines[2][0].get_segments()]
    assert lengths == pytest.approx([0.2, 0.2, 0.2, 0], abs=1e-9), "a deviation down and one up"
    assert panel(report, "ram_bytes").get_yscale() == "linear"


@pytest.mark.parametrize("weights, expected", [("published", ["опубліковано"]), ("demo", [])])
def test_the_dashed_line_of_the_thesis_has_one_entry_in_the_legend_where_it_is_drawn(tmp_path, weights, expected):
    figure = Report(save_runs(tmp_path, weights=weights), language="uk").figure("bars").canvas
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == expected


def test_a_panel_without_a_reading_says_so_and_the_other_figures_fall_back_to_ram(tmp_path):
    report = Report(save_runs(tmp_path, vram=None, weights="demo"))
    assert "not measured" in panel(report, "vram_peak_bytes").texts[0].get_text().replace("\n", " ")
    assert "RAM" in report.figure("time_against_memory").canvas.axes[0].get_xlabel()


# --- iterations, machines

def test_the_first_image_is_drawn_apart_from_the_iterations(tmp_path):
    save_run(tmp_path, "stylegan2-ada", TIMES["stylegan2-ada"])
    line, _, first = Report(tmp_path).figure("iterations").canvas.axes[0].lines
    assert line.get_xdata().tolist() == [1, 2, 3] and first.get_xdata().tolist() == [0]
    assert first.get_ydata().tolist() == pytest.approx([0.06])


def test_the_figure_of_the_machines_shows_the_runs_of_table_1(tmp_path):
    for experiment in "stable-diffusion", "vae-as-in-thesis":
        run = save_run(tmp_path, experiment, [20.0] * 5, settings=dict(steps=20))
        run.started = "2021-01-01T00:00:00+00:00"
        run.save()
    save_run(tmp_path, "stable-diffusion", [4.0, 4.0], settings=dict(steps=4))
    assert [bar.get_height() for bar in Report(tmp_path).figure("machines").canvas.axes[0].patches] == [20.0, 20.0]


def test_machines_stand_side_by_side_and_a_reference_run_is_marked(tmp_path):
    for machine, weights in ("tesla-t4", "random"), ("a100", "random"), ("other", "demo"):
        save_run(tmp_path / "own", "stable-diffusion", [1.0, 2.0], machine=machine, weights=weights)
    save_run(tmp_path / "reference", "stable-diffusion", [3.0, 3.0], machine="a100", weights="random")
    report = Report(tmp_path / "own", reference=tmp_path / "reference", weights="random")
    axes = report.figure("machines").canvas.axes
    names = [label.get_text() for label in axes[0].get_xticklabels()]
    assert sorted(names) == ["a100", "a100\n(reference)", "tesla-t4"], "no other weights"
    assert sorted(bar.get_height() for bar in axes[0].patches) == [1.5, 1.5, 3.0]


# --- pictures

def test_the_vaes_pictures_are_original_reconstruction_and_difference(tmp_path):
    save_run(tmp_path, "vae-as-in-thesis", [1.0, 1.0], picture=2)
    shown = [ax.images[0].get_array()[0, 0, 0] for ax in Report(tmp_path).figure("vae").canvas.axes if ax.images]
    assert shown == [10, 30, 0, 20, 40, 40], "two columns: reconstruction 0 of 10, 20 of 30; four times 10"
    save_run(tmp_path / "one", "vae-as-in-thesis", [1.0], picture=1)
    assert "there are no pictures" in texts_of(Report(tmp_path / "one"), "vae")


@pytest.mark.parametrize("why", ["a picture was deleted", "every iteration failed"])
def test_pictures_that_are_not_there_leave_a_figure_that_says_so(tmp_path, why):
    run = save_run(tmp_path, "stable-diffusion", [1.0], picture=why == "a picture was deleted", errors=1)
    for file in run.folder.glob("*.png"):
        file.unlink()
    assert "there are no pictures" in texts_of(Report(tmp_path), "pictures")


@pytest.mark.parametrize("name", ["$\\frac$", "$x^{2$", "\\", "_hidden"])
def test_a_name_begins_no_formula_and_is_shown_as_it_is(tmp_path, name):
    run = save_run(tmp_path, "stylegan2-ada", [0.1, 0.2])
    run.experiment, run.machine.device, run.machine.slug, run.model.profile, run.profile = [name] * 5
    run.save()
    for figure in map(Report(tmp_path).figure, NAMES):
        assert figure._repr_png_() and f"\n{name} · " in figure.canvas.get_suptitle().replace(" _", "_")
    drawn = Report(tmp_path).figure("iterations").canvas
    assert [text.get_text().strip() for legend in drawn.legends for text in legend.get_texts()] == [name]


@pytest.mark.parametrize("damage", [lambda data: data[:60], lambda data: b"%!PS-Adobe-3.0 EPSF-3.0", lambda data: b""])
def test_a_damaged_picture_costs_its_iteration_and_is_named(tmp_path, damage):
    run = save_run(tmp_path, "vae-as-in-thesis", [1.0, 1.0, 1.0], picture=2)
    path = run.folder / run.iterations[1].images[0].file
    path.write_bytes(damage(path.read_bytes()))
    for name, expected in ("vae", 6), ("pictures", 2):
        with pytest.warns(UserWarning, match=f"left out .*{path.name}"):
            axes = Report(tmp_path).figure(name).canvas.axes
        assert len([ax for ax in axes if ax.images]) == expected


def test_an_original_and_a_reconstruction_of_different_sizes_are_no_pair(tmp_path):
    run = save_run(tmp_path, "vae-as-in-thesis", [1.0], picture=2)
    Image.new("RGB", (8, 4)).save(run.folder / run.iterations[0].images[1].file)
    assert "there are no pictures" in texts_of(Report(tmp_path), "vae")
