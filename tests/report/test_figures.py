"""The figures of a report: what they draw, and that their files are the same each time."""
import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text
from PIL import Image
from saved_runs import save_run

from genlib.locale import languages
from genlib.report import Report
from genlib.report.figures import FIGURES, pictures
from genlib.report.figures.charts import bars_of
from genlib.report.figures.figure import LINE, UNDATED, blank, in_lines

TIMES = {"stable-diffusion": [8.0, 8.1, 8.2], "vae-as-in-thesis": [8.3, 8.4, 8.5], "vae-round-trip": [0.1, 0.2, 0.3],
         "stylegan2-ada": [0.02, 0.02, 0.02]}
TWELVE = {f"model-{i} of a rather long-name": [10.0**(i / 2 - 3)] for i in range(12)}
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


def texts(figure):
    return [text.get_text() for text in figure.canvas.findobj(Text)]


def panel(report, reading):
    ax = blank().subplots()
    bars_of(report, ax, reading)
    return ax


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_fits_the_page_and_names_machine_and_weights_and_is_saved_to_the_same_bytes_each_time(folder, tmp_path, name):
    drawn = [Report(folder, language=language).figure(name) for language in languages()]
    assert all(figure.canvas.get_figwidth() <= 6.3 for figure in drawn)
    named = drawn[0].canvas.get_suptitle() + " ".join(texts(drawn[0]))
    assert "Tesla T4" in named and "published weights" in named and "published weights" in drawn[0].caption
    again = Report(folder, language=languages()[-1]).figure(name)
    together, alone = drawn[-1].save(tmp_path / "a"), [again.save(tmp_path / "b", [kind])[0] for kind in UNDATED]
    assert [path.read_bytes() for path in together] == [path.read_bytes() for path in alone]


def test_a_figure_is_shown_in_a_notebook_as_the_same_picture_each_time_and_named_in_a_console(folder, tmp_path):
    figure, again = Report(folder).figure("vae"), Report(folder).figure("vae")
    shown = figure._repr_png_()
    again.save(tmp_path)
    assert shown.startswith(b"\x89PNG") and shown == figure._repr_png_() == again._repr_png_()
    assert repr(figure) == "figure vae: What the VAE gives back – Tesla T4 · published weights · without optimisations"


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


@pytest.mark.parametrize("weights, expected", [("published", ["Опубліковано"]), ("demo", [])])
def test_the_dashed_line_of_the_thesis_has_one_entry_in_the_legend_where_it_is_drawn(tmp_path, weights, expected):
    figure = Report(save_runs(tmp_path, weights=weights), language="uk").figure("bars").canvas
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == expected


def test_a_panel_without_a_reading_says_so_and_the_other_figures_fall_back_to_ram(tmp_path):
    report = Report(save_runs(tmp_path, vram=None, weights="demo"))
    assert "not measured" in panel(report, "vram_peak_bytes").texts[0].get_text().replace("\n", " ")
    assert "RAM" in report.figure("time_against_memory").canvas.axes[0].get_xlabel()


@pytest.mark.parametrize("share, inside", [(0.95, False), (1.0, False), (1.06, True), (1.5, False)])
def test_the_dashed_line_of_the_thesis_crosses_no_number(tmp_path, share, inside):
    save_run(tmp_path, "stable-diffusion", [7.93 / share] * 2, vram=None)
    save_run(tmp_path, "vae-round-trip", [5.0] * 2, vram=None)
    figure = Report(tmp_path).figure("bars")
    figure._repr_png_()
    ax = figure.canvas.axes[0]
    number, line = ax.texts[0].get_window_extent(), ax.transData.transform((0, 7.93))[1]
    assert not number.y0 <= line <= number.y1
    assert (number.y1 < ax.transData.transform((0, 7.93 / share))[1]) == inside, "a line well above a bar has not the bar's number"


def test_points_in_one_place_are_all_seen(tmp_path):
    for experiment in TIMES:
        save_run(tmp_path, experiment, [1.0, 1.0])
    lines = Report(tmp_path).figure("iterations").canvas.axes[0].lines[::3]
    assert [line.get_markersize() for line in lines] == [23, 18, 13, 8]
    ax = Report(tmp_path).figure("time_against_memory").canvas.axes[0]
    sizes = [container.lines[0].get_markersize() for container in ax.containers]
    assert len(sizes) == 4 and all(earlier > later for earlier, later in zip(sizes, sizes[1:], strict=False)), "drawn one upon another"
    apart = Report(save_runs(tmp_path / "apart")).figure("time_against_memory").canvas.axes[0]
    assert [container.lines[0].get_markersize() for container in apart.containers][2:] == [sizes[-1]] * 2


def test_of_one_iteration_there_are_no_error_bars(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0])
    report = Report(tmp_path)
    assert not [c for c in panel(report, "time_s").containers if isinstance(c, ErrorbarContainer)]
    [point] = report.figure("time_against_memory").canvas.axes[0].containers
    assert not point.has_xerr and not point.has_yerr


def test_an_error_bar_of_growth_is_not_cut(tmp_path):
    for n, times in (2, [1.0, 2.0]), (4, [1.0, 9.0]):
        save_run(tmp_path, "stylegan2-ada", times, settings=dict(batch_size=n), variant=f"batch-{n}")
    assert Report(tmp_path).figure("growth").canvas.axes[0].get_ylim()[1] > 5 + 5.66


@pytest.mark.parametrize("text, lines", [("Стабільна дифузія", 2), ("Автокодувально-диференційна модель", 3), ("W" * 28, 1), ("W" * 60, 2)])
def test_a_name_is_wrapped_between_words(text, lines):
    wrapped = in_lines(text, LINE)
    assert len(wrapped.split("\n")) == lines and wrapped.replace("\n", "").replace(" ", "") == text.replace(" ", "")
    assert all(len(line) <= 30 for line in wrapped.split("\n"))


def test_units_are_of_one_language_and_not_those_of_the_thesiss_headings(folder):
    for name in "bars", "iterations", "time_against_memory", "growth", "machines":
        assert not [text for text in texts(Report(folder, language="uk").figure(name)) if "сек." in text or "MB" in text], name


@pytest.mark.parametrize("models, looks", [(TIMES, 4), (TWELVE, 10)], ids=["four", "twelve"])
def test_no_text_is_cut_or_covered_and_models_are_told_apart_in_grey(tmp_path, models, looks):
    for machine in "a", "b":
        for experiment, time in models.items():
            save_on(tmp_path, machine, time, experiment=experiment, picture=False)
    report = Report(tmp_path, language="uk")  # whose words are longer
    for name in "bars", "iterations", "time_against_memory", "machines":
        assert not troubles(report.figure(name)), name
    [legend] = report.figure("iterations").canvas.legends
    assert len({line.get_marker() for line in legend.get_lines()}) == looks


def test_nothing_is_cut_where_there_are_sessions(tmp_path):
    for day in 1, 2:
        save_runs(tmp_path, started=f"2021-01-0{day}T00:00:00+00:00", picture=False)
    assert not troubles(Report(tmp_path, language="uk").figure("iterations"))


def troubles(figure):
    """Texts that leave the page or lie upon another; ticks beyond the ends of their axis are not drawn."""
    figure._repr_png_()  # which lays it out
    ticks = [(axis, tick.label1) for ax in figure.canvas.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()]
    drawn = [(axis, tick.label1) for ax in figure.canvas.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis._update_ticks()]
    hidden = {label for _, label in ticks} - {label for _, label in drawn}
    shown = [text for text in figure.canvas.findobj(Text) if text.get_visible() and text.get_text().strip() and text not in hidden]
    boxes, page = {text: text.get_window_extent() for text in shown}, figure.canvas.bbox
    cut = [text.get_text() for text, box in boxes.items() if box.x0 < page.x0 or box.x1 > page.x1 or box.y0 < page.y0 or box.y1 > page.y1]
    return cut + [f"{one.get_text()} upon {other.get_text()}" for i, one in enumerate(shown) for other in shown[i + 1:]
                  if boxes[one].overlaps(boxes[other])]


def test_an_axis_over_many_powers_of_ten_has_numbers_and_all_have_the_languages_decimal_sign(tmp_path):
    for experiment, time in zip(TIMES, (1e-7, 1e-4, 1.0, 1e5), strict=True):
        save_run(tmp_path, experiment, [time, time], vram=None, picture=False)
    for name in "bars", "iterations", "time_against_memory":
        figure = Report(tmp_path, language="uk").figure(name)
        figure._repr_png_()
        ax = figure.canvas.axes[0]
        assert len([tick for tick in ax.yaxis._update_ticks() if tick.label1.get_text()]) > 2, name
        assert not [text.get_text() for text in ax.get_xticklabels() if "." in text.get_text()]


def test_a_figure_whose_file_cannot_be_written_keeps_its_title(folder, tmp_path):
    figure = Report(folder).figure("bars")
    (tmp_path / "bars.png").mkdir()
    with pytest.raises(OSError):
        figure.save(tmp_path, titled=False)
    assert figure.heading.get_visible() and figure.heading.get_in_layout()


def test_a_figure_is_saved_without_its_title_for_a_document_that_has_a_caption(folder, tmp_path):
    figure = Report(folder, language="uk").figure("bars")
    assert figure.caption == "Час і пам’ять, потрібні для одного зображення (опубліковані ваги, Tesla T4)"
    [titled], [bare] = figure.save(tmp_path / "a", ["svg"]), figure.save(tmp_path / "b", ["svg"], titled=False)
    assert titled.read_bytes() != bare.read_bytes() and titled.read_bytes() == figure.save(tmp_path / "c", ["svg"])[0].read_bytes()
    assert [path.name for path in figure.save(tmp_path / "d")] == ["bars.png", "bars.pdf", "bars.svg"]
    with pytest.raises(ValueError, match="no format 'gif': use some of png, pdf, svg"):
        figure.save(tmp_path, ["gif"])


# --- iterations, machines

def test_the_first_image_is_drawn_apart_from_the_iterations(tmp_path):
    save_run(tmp_path, "stylegan2-ada", TIMES["stylegan2-ada"])
    line, _, first = Report(tmp_path).figure("iterations").canvas.axes[0].lines
    assert line.get_xdata().tolist() == [1, 2, 3] and first.get_xdata().tolist() == [0]
    assert first.get_ydata().tolist() == pytest.approx([0.06])


def test_sessions_stand_side_by_side_in_a_panel_for_each_model(tmp_path):
    for times in [0.1, 0.11], [0.2], [0.1, 0.12, 0.11]:
        save_run(tmp_path, "stylegan2-ada", times, errors=1)
    run = save_run(tmp_path, "stable-diffusion", [1.0], errors=2)
    del run.iterations[0]
    run.save()
    save_run(tmp_path, "vae-round-trip", [1.0])
    drawn = Report(tmp_path).figure("iterations").canvas
    failed, single, panel = drawn.axes[:3]
    assert [panel.get_title(), single.get_title()] == ["StyleGAN2-ADA", "VAE alone"] and not drawn.axes[3].axison
    sessions = [line.get_xdata() for line in panel.lines[:3]]
    assert [len(places) for places in sessions] == [2, 1, 3] and [round(places.mean()) for places in sessions] == [1, 2, 3]
    assert max(sessions[0]) < min(sessions[1]) and {line.get_markersize() for line in panel.lines[:3]} == {5}
    assert not len(failed.lines[0].get_xdata()) and single.get_ylim()[0] < 0.95 < 1.05 < single.get_ylim()[1], "noise looks small"


def widths(figure):
    """Of the bars, panel by panel."""
    return [[bar.get_width() for bar in ax.patches] for ax in figure.canvas.axes]


def machine_names(figure):
    return [" ".join(label.get_text().split()) for label in figure.canvas.axes[0].get_yticklabels()]


def test_the_figure_of_the_machines_shows_the_runs_of_table_1(tmp_path):
    for experiment in "stable-diffusion", "vae-as-in-thesis":
        run = save_run(tmp_path, experiment, [20.0] * 5, settings=dict(steps=20))
        run.started = "2021-01-01T00:00:00+00:00"
        run.save()
    save_run(tmp_path, "stable-diffusion", [4.0, 4.0], settings=dict(steps=4))
    assert widths(Report(tmp_path).figure("machines")) == [[20.0], [20.0]]


def test_machines_stand_side_by_side_and_a_reference_run_is_marked(tmp_path):
    for machine, weights in ("a100", "random"), ("other", "demo"), ("tesla-t4", "random"):
        save_on(tmp_path / "own", machine, [1.0, 2.0], weights=weights)
    save_on(tmp_path / "reference", "a100", [3.0, 3.0], weights="random")
    report = Report(tmp_path / "own", reference=tmp_path / "reference", weights="random")
    figure = report.figure("machines")
    assert machine_names(figure) == ["Device tesla-t4", "Device a100", "Device a100 (reference)"], "own first, no other weights"
    assert widths(figure) == [[1.5, 1.5, 3.0]] and "random weights" in figure.caption
    asked = Report(tmp_path / "own", reference=tmp_path / "reference", weights="random", machine="T4, other")
    assert machine_names(asked.figure("machines")) == ["Device tesla-t4"]


def save_on(folder, machine, times, device="", experiment="stable-diffusion", **changes):
    run = save_run(folder, experiment, times, machine=machine, **changes)
    run.machine.device = device or f"Device {machine}"
    run.save()


def test_eight_machines_of_long_names_do_not_overlap_and_each_is_named_once(tmp_path):
    names = [f"NVIDIA GeForce RTX {number} Laptop GPU" for number in range(3050, 3130, 10)]
    for name in names:
        for experiment, times in TIMES.items():
            save_on(tmp_path, name.lower().replace(" ", "-"), times, name, experiment, picture=False)
    figure = Report(tmp_path).figure("machines")
    assert sorted(machine_names(figure)) == names and figure.canvas.get_figheight() < 9.7
    assert not troubles(figure)


# --- pictures

def test_the_vaes_pictures_are_original_reconstruction_and_difference(tmp_path):
    save_run(tmp_path, "vae-as-in-thesis", [1.0, 1.0], picture=2)
    shown = [ax.images[0].get_array()[0, 0, 0] for ax in Report(tmp_path).figure("vae").canvas.axes if ax.images]
    assert shown == [10, 30, 0, 20, 40, 40], "two columns: reconstruction 0 of 10, 20 of 30; four times 10"
    save_run(tmp_path / "one", "vae-as-in-thesis", [1.0], picture=1)
    assert "no pictures of these runs were kept" in texts_of(Report(tmp_path / "one"), "vae")


@pytest.mark.parametrize("name, alone, below", [
    ("pictures-stable-diffusion", ["without a prompt"], []),
    ("pictures", ["Stable Diffusion"], ["StyleGAN2-ADA"])])
def test_what_a_model_drew_from_a_prompt_stands_below_its_pictures_without_one(tmp_path, name, alone, below):
    def rows(folder=tmp_path):
        """The names of the rows, and how many pictures each has."""
        grid = np.array(Report(folder).figure(name).canvas.axes, dtype=object).reshape(-1, pictures.COLUMNS)
        return {line[0].get_ylabel().replace("\n", " "): sum(bool(ax.images) for ax in line) for line in grid}

    save_run(tmp_path, "stable-diffusion", [1.0] * 3, settings=dict(prompt=""))
    save_run(tmp_path, "stylegan2-ada", [1.0])
    without = rows()
    assert list(without.values()) == [3, *[1] * len(below)], "where nothing was drawn from a prompt"
    save_run(tmp_path, "stable-diffusion", [1.0] * 2, settings=dict(prompt="a face"), variant="face-prompt")
    assert rows() == dict.fromkeys(alone, 3) | {"with a prompt": 2} | dict.fromkeys(below, 1)
    save_run(tmp_path, "stable-diffusion", [1.0] * 4, settings=dict(prompt="a face"), variant="face-prompt", model="another")
    assert rows()["with a prompt"] == 2, "of Table 1's model"


def test_the_vae_alone_shows_the_faces_that_it_gave_back_and_without_them_its_photograph(tmp_path):
    def rows():
        return {ax.get_ylabel() for ax in Report(tmp_path).figure("pictures").canvas.axes} - {""}

    save_run(tmp_path, "vae-round-trip", [1.0])
    assert rows() == {"VAE alone"}
    save_run(tmp_path, "vae-round-trip", [1.0], variant="faces")
    assert rows() == {"VAE alone, of\nfaces"}


@pytest.mark.parametrize("why", ["a picture was deleted", "every iteration failed"])
def test_pictures_that_are_not_there_leave_a_figure_that_says_so(tmp_path, why):
    run = save_run(tmp_path, "stable-diffusion", [1.0], picture=why == "a picture was deleted", errors=1)
    for file in run.folder.glob("*.png"):
        file.unlink()
    assert "no pictures of these runs were kept" in texts_of(Report(tmp_path), "pictures")


@pytest.mark.parametrize("name", ["$\\frac$", "_hidden"])
def test_a_name_begins_no_formula_and_is_shown_as_it_is(tmp_path, name):
    run = save_run(tmp_path, "stylegan2-ada", [0.1, 0.2])
    run.experiment, run.machine.device, run.machine.slug, run.model.profile, run.profile = [name] * 5
    run.save()
    for figure in map(Report(tmp_path).figure, NAMES):
        assert figure._repr_png_() and any(name in text for text in texts(figure))
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
    assert "no pictures of these runs were kept" in texts_of(Report(tmp_path), "vae")
