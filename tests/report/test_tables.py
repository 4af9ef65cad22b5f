import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from docx import Document
from saved_runs import save_run

from genlib import runs
from genlib.__main__ import main
from genlib.report import conclusions, plots, summary, tables, thesis, words

MB = 1024**2
TIMES = {"stable-diffusion": [8.0, 8.1, 8.2], "vae-as-in-thesis": [8.3, 8.4, 8.5], "vae-round-trip": [0.1, 0.2, 0.3],
         "stylegan2-ada": [0.02, 0.02, 0.02]}


@pytest.fixture
def df(tmp_path):
    for experiment, times in TIMES.items():
        save_run(tmp_path, experiment, times)
    return tables.pick(runs.load(tmp_path))


# --- summary

def test_a_run_is_summed_up_by_mean_sample_deviation_median_and_students_interval(df):
    row = summary.summarize(df).set_index("experiment").loc["vae-round-trip"]
    assert row["n"] == 3 and row["time_s"] == pytest.approx(0.2) and row["time_s_sd"] == pytest.approx(0.1)
    assert row["time_s_median"] == pytest.approx(0.2) and row["time_s_cv"] == pytest.approx(0.5)
    half = 4.302653 * 0.1 / 3**0.5  # t(0.975, 2)
    assert (row["time_s_low"], row["time_s_high"]) == pytest.approx((0.2 - half, 0.2 + half))
    assert row["first_image_s"] == pytest.approx(0.3)


def test_an_iteration_that_failed_is_counted_and_not_averaged(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [1.0, 3.0], errors=1)
    [row] = summary.summarize(runs.load(tmp_path)).to_dict("records")
    assert (row["n"], row["failed"], row["time_s"]) == (2, 1, 2.0)


def test_one_iteration_has_no_deviation_and_no_interval(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [1.0])
    [row] = summary.summarize(runs.load(tmp_path)).to_dict("records")
    assert row["time_s"] == 1.0 and np.isnan([row["time_s_sd"], row["time_s_low"], row["time_s_cv"]]).all()
    assert tables.table1(runs.load(tmp_path)).iloc[3, 1] == "1.00"


@pytest.mark.parametrize("change", [dict(weights="random"), dict(profile="tuned"), dict(settings={"steps": 9}), dict(machine="other"),
                                    dict(method="thesis"), dict(variant="steps-9")])
def test_unlike_runs_are_never_averaged(tmp_path, change):
    save_run(tmp_path, "stable-diffusion", [1.0, 1.0])
    save_run(tmp_path, "stable-diffusion", [9.0, 9.0], **change)
    assert sorted(summary.summarize(runs.load(tmp_path))["time_s"]) == [1.0, 9.0]
    assert set(tables.pick(runs.load(tmp_path))["time_s"]) in ({1.0}, {9.0})


def test_no_runs_give_an_empty_summary_and_a_clear_sentence(tmp_path):
    assert len(summary.summarize(runs.load(tmp_path))) == 0
    with pytest.raises(ValueError, match="there are no finished runs in what was given: run notebooks 1 to 3 first"):
        tables.pick(runs.load(tmp_path))


# --- tables

def test_table_1_has_the_thesiss_rows_and_columns_and_mean_with_deviation(df):
    table = tables.table1(df)
    assert table.columns.tolist() == ["Model", "Generation time (s)", "VRAM use (MB)", "RAM use (MB)"]
    assert table["Model"].tolist() == ["Stable Diffusion", "Variational Autoencoders", "VAE alone", "Generative Adversarial Networks"]
    assert table.iloc[0].tolist()[1:] == ["8.10 ± 0.10", "1000.0 ± 0.0", "501 ± 1"]
    assert table.iloc[2, 1] == "0.200 ± 0.100"


def test_a_model_that_was_not_measured_and_a_reading_that_is_missing_are_dashes(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0, 2.0], vram=None)
    table = tables.table1(runs.load(tmp_path))
    assert table.iloc[0].tolist()[1:] == ["1.50 ± 0.71", "—", "500 ± 1"] and table.iloc[3].tolist()[1:] == ["—"] * 3


def test_the_newest_group_is_picked_unless_another_is_named(tmp_path):
    old = save_run(tmp_path, "stable-diffusion", [1.0], machine="old-card")
    old.started = "2020-01-01T00:00:00+00:00"
    old.save()
    save_run(tmp_path, "stable-diffusion", [2.0], weights="random")
    df = runs.load(tmp_path)
    assert tables.groups(df)["machine"].tolist() == ["tesla-t4", "old-card"]
    assert set(tables.pick(df)["machine"]) == {"tesla-t4"} and set(tables.pick(df, machine="old-card")["time_s"]) == {1.0}
    with pytest.raises(ValueError, match="no run of old-card · random; there are: tesla-t4 · random · thesis; old-card · published"):
        tables.pick(df, "old-card", "random")


def test_a_ratio_to_the_thesis_is_given_for_published_and_random_weights_and_not_for_the_demo(tmp_path):
    for weights, expected in ("published", "0.50"), ("random", "0.50"), ("demo", "—"):
        save_run(tmp_path / weights, "stable-diffusion", [7.93 / 2] * 2, weights=weights)
        beside = tables.beside_thesis(runs.load(tmp_path / weights))
        assert beside.loc[0, ["thesis", "ratio"]].tolist() == ["7.93", expected]
        assert ("say nothing of the published" in tables.note(runs.load(tmp_path / weights))) == (weights == "demo")


def test_the_vae_alone_has_no_figure_in_the_thesis(df):
    rows = tables.beside_thesis(df)
    assert set(rows[rows["Model"] == "VAE alone"]["thesis"]) == {"—"} == set(rows[rows["Model"] == "VAE alone"]["ratio"])


def test_the_note_names_machine_weights_profile_precision_count_and_unit(df):
    note = tables.note(df)
    for part in "Tesla T4", "published weights", "“thesis”", "float16", "n = 3", "1024²":
        assert part in note, part


def test_every_file_of_a_table_can_be_opened_and_holds_its_cells(df, tmp_path):
    table, caption, note = tables.table1(df), tables.caption("3.1"), tables.note(df)
    csv, md, tex, docx = tables.save(table, tmp_path / "table1", caption, note)
    assert pd.read_csv(csv, dtype=str).equals(table)
    assert "| Stable Diffusion | 8.10 ± 0.10 | 1000.0 ± 0.0 | 501 ± 1 |" in md.read_text(encoding="utf-8")
    document = Document(docx)
    texts = [[cell.text.replace("\N{NO-BREAK SPACE}", " ") for cell in row.cells] for row in document.tables[0].rows]
    assert texts == [table.columns.tolist(), *table.to_numpy().tolist()]
    page = document.sections[0]
    widths = [cell.width for cell in document.tables[0].rows[0].cells]
    assert sum(widths) <= page.page_width - page.left_margin - page.right_margin and round(page.page_width.mm) == 210, "A4, and on it"
    assert document.paragraphs[0].text == "Table 3.1 – Comparison of the results" and document.paragraphs[-1].text == note
    body = [element.tag.rsplit("}", 1)[1] for element in document.element.body]
    assert body.index("p") < body.index("tbl"), "the caption stands above the table"
    assert document.styles["Normal"].font.name == "Times New Roman" and document.styles["Normal"].font.size.pt == 14
    source = tex.read_text(encoding="utf-8")
    assert "\\toprule" in source and r"8.10 $\pm$ 0.10" in source and source.index("Table 3.1") < source.index("\\toprule")


def test_latex_special_letters_are_escaped(tmp_path):
    frame = pd.DataFrame({"a_b %": ["50 % & more", "x_1 ~ \\y^2"]})
    tex = tables.save(frame, tmp_path / "t", "100 %", "#1")[2].read_text(encoding="utf-8")
    assert r"a\_b \%" in tex and r"50 \% \& more" in tex and r"100 \%" in tex and r"\#1" in tex
    assert r"x\_1 \textasciitilde{} \textbackslash{}y\textasciicircum{}2" in tex


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX on this machine")
def test_the_latex_table_compiles(df, tmp_path):
    for language in words.LANGUAGES:
        caption, note = tables.caption("1", language), tables.note(df, language)
        for table in (tables.table1(df, language), tables.full(df, language), thesis.audit(df, language),
                      conclusions.cost_at_scale(df, language=language)):
            [tex] = tables.save(table, tmp_path / language, caption, note, language, ["tex"])
            (tmp_path / "main.tex").write_text("\\documentclass{article}\\usepackage[a4paper,left=25mm,right=20mm]{geometry}"
                                               "\\usepackage{booktabs,array,longtable}\\usepackage[T2A]{fontenc}"
                                               f"\\begin{{document}}\\input{{{tex.name}}}\\end{{document}}")
            compiled = subprocess.run(["pdflatex", "-halt-on-error", "main.tex"], cwd=tmp_path, capture_output=True, text=True)
            assert compiled.returncode == 0, compiled.stdout
            assert "Overfull \\hbox" not in compiled.stdout, "the table is wider than the page"
            assert "Float too large" not in compiled.stdout, "the table is longer than a page"


# --- languages

def test_both_languages_have_every_word_with_the_same_places():
    for key, (english, ukrainian) in words.WORDS.items():
        assert set(re.findall(r"{\w*}", english)) == set(re.findall(r"{\w*}", ukrainian)), key
        assert bool(english) == bool(ukrainian), key


def test_ukrainian_tables_have_decimal_commas_and_no_english(df, tmp_path):
    table = tables.table1(df, "uk")
    text = " ".join([*table.columns, *table.to_numpy().ravel(), tables.caption("1", "uk"), tables.note(df, "uk")])
    assert "Таблиця 1 – Порівняльна таблиця результатів" in text and "8,10 ± 0,10" in text and not re.search(r"\d\.\d", text)
    names = {"Stable", "Diffusion", "Variational", "Autoencoders", "Generative", "Adversarial", "Networks", "VAE", "VRAM", "RAM", "MB",
             "Tesla", "thesis", "float", "T", "n"}  # names that the thesis itself leaves in English, and values of the record
    assert set(re.findall(r"[A-Za-z]+", text)) <= names
    csv = tables.save(table, tmp_path / "t", tables.caption("1", "uk"), "", "uk")[0].read_bytes()
    assert csv.startswith(b"\xef\xbb\xbf") and ";8,10 ± 0,10;".encode() in csv


def test_ukrainian_units_are_of_one_alphabet_but_for_the_thesiss_own_headings():
    of_the_thesis = {"time_s", "vram_peak_bytes", "ram_bytes"}
    explained = {"note", "evidence.gan_ram"}  # what those headings' MB are
    for key, (_, ukrainian) in words.WORDS.items():
        units = set(re.findall(r"(?<=[ (}])(?:s|MB|GB|GiB|J|dB|h|(?:GFLOP)(?:/.)?|сек\.)(?=[ ,.;:)\n]|$)", ukrainian))
        assert units <= ({"MB", "сек."} if key in of_the_thesis else {"MB"} if key in explained else set()), key


def test_nothing_is_said_of_noise_since_random_weights_of_a_gan_draw_smooth_blobs():
    assert not [key for key, texts in words.WORDS.items() if re.search(r"\bnoise\b|\bшум", " ".join(texts))]


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="language is 'fr': use one of en, uk"):
        words.say("model", "fr")


@pytest.mark.parametrize("value, digits, text", [(29.613, 3, "29.6"), (0.0122, 3, "0.0122"), (0.00773, 2, "0.0077"), (361.2, 3, "361"),
                                                 (1234.5, 3, "1234"), (0, 3, "0"), (None, 3, "—"), (float("nan"), 3, "—")])
def test_numbers_are_written_with_significant_digits(value, digits, text):
    assert words.significant(value, digits, "en") == text
    assert words.significant(value, digits, "uk") == text.replace(".", ",")


# --- the thesis

def test_the_readme_shows_table_1_of_the_reference_run():
    project = plots.Path(__file__).resolve().parent.parent
    chosen = tables.pick(runs.load(project / "notebooks" / "reference"), machine="cpu-amd-epyc", weights="demo")
    readme = (project / "README.md").read_text(encoding="utf-8")
    for row in tables.table1(chosen).to_numpy():
        assert " | ".join(row) in readme
    assert tables.note(chosen) in readme
    assert all(warning in readme for warning in summary.warnings(chosen)), "what makes the figures doubtful is not kept back"


def test_the_reference_runs_hold_the_thesiss_published_iterations():
    folder = plots.Path(__file__).resolve().parent.parent / "notebooks" / "reference"
    for experiment in thesis.ITERATION_TIMES_S:
        run = runs.read(folder / "thesis" / experiment / "published-thesis" / "published" / "run.json")
        assert run.to_json() == thesis.as_run(experiment).to_json()


def test_the_thesiss_averages_follow_from_its_iterations_except_where_it_contradicts_itself():
    for experiment, times in thesis.ITERATION_TIMES_S.items():
        mean = sum(times) / len(times)
        assert abs(mean - thesis.PUBLISHED[experiment]["time_s"]) < 0.0151, "printed with two decimals, and not always rounded"
    assert thesis.ITERATION_VRAM_BYTES["stable-diffusion"] // MB * MB == thesis.PUBLISHED["stable-diffusion"]["vram_peak_bytes"]
    assert thesis.ITERATION_RAM_BYTES["stable-diffusion"] / MB == pytest.approx(4278.79), "its table says 4271"


# --- figures

def test_every_figure_is_drawn_in_both_languages_and_saved_to_the_same_bytes_each_time(df, tmp_path):
    for language in words.LANGUAGES:
        for draw in plots.bars_of_all, plots.iterations, plots.time_against_memory, plots.pictures:
            first = [path.read_bytes() for path in plots.save(draw(df, language), tmp_path / "a" / draw.__name__)]
            again = [path.read_bytes() for path in plots.save(draw(df, language), tmp_path / "b" / draw.__name__)]
            assert first == again and all(first), draw.__name__


def test_figures_fit_the_page_and_name_machine_and_weights(df):
    for draw in plots.bars_of_all, plots.iterations, plots.time_against_memory, plots.pictures:
        figure = draw(df)
        assert figure.get_figwidth() <= 6.3
        assert "Tesla T4 · published weights" in figure.get_suptitle(), draw.__name__


def test_bars_show_the_means_and_the_deviations(df):
    ax = plots.bars(df, "time_s")
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([8.1, 8.4, 0.2, 0.02])
    assert [text.get_text() for text in ax.texts] == ["8.1", "8.4", "0.20", "0.020"] and ax.get_yscale() == "log"
    assert plots.bars(df, "ram_bytes").get_yscale() == "linear"


@pytest.mark.parametrize("weights, expected", [("published", ["дипломна робота"]), ("demo", [])])
def test_the_dashed_line_of_the_thesis_has_one_entry_in_the_legend_where_it_is_drawn(tmp_path, weights, expected):
    for experiment, times in TIMES.items():
        save_run(tmp_path, experiment, times, weights=weights)
    df = tables.pick(runs.load(tmp_path))
    for figure in plots.bars_of_all(df, "uk"), plots.bars(df, "ram_bytes", "uk").figure:
        assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == expected


def test_a_panel_without_a_reading_says_so_and_the_other_figures_fall_back_to_ram(tmp_path):
    for experiment, times in TIMES.items():
        save_run(tmp_path, experiment, times, vram=None, weights="demo")
    df = tables.pick(runs.load(tmp_path))
    assert "not measured" in plots.bars(df, "vram_peak_bytes").texts[0].get_text().replace("\n", " ")
    assert "RAM" in plots.time_against_memory(df).axes[0].get_xlabel()


def test_the_first_image_is_drawn_apart_from_the_iterations(df):
    ax = plots.iterations(df[df["experiment"] == "stylegan2-ada"]).axes[0]
    line, _, first = ax.lines
    assert line.get_xdata().tolist() == [1, 2, 3] and first.get_xdata().tolist() == [0]
    assert first.get_ydata().tolist() == pytest.approx([0.06])


def test_drawing_leaves_the_users_matplotlib_settings_alone(df):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.bars_of_all(df)
    assert dict(matplotlib.rcParams) == before


# --- the command

def test_table_is_printed_and_written_without_a_notebook(df, tmp_path, capsys):
    assert main(["table", str(tmp_path), "--language", "uk", "--out", str(tmp_path / "out")]) == 0
    assert "Таблиця 1" in capsys.readouterr().out
    kinds = "csv", "docx", "md", "tex"
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"{name}.{kind}" for name in ("audit", "full", "table1") for kind in kinds]
    (tmp_path / "empty").mkdir()
    for given, complaint in (["nothing"], "nothing is not here: give folders"), ([".", "away.zip"], "away.zip is not here"), (
            ["empty"], "there are no finished runs in what was given"):
        assert main(["table", *(str(tmp_path / name) for name in given), "--out", str(tmp_path / "out2")]) == 1
        assert complaint in capsys.readouterr().err and not (tmp_path / "out2").exists()


def test_the_command_takes_the_kind_of_runs_that_is_asked_for_and_names_the_others(tmp_path, capsys):
    for weights, profile, time_s in ("demo", "thesis", 1.0), ("random", "thesis", 2.0), ("random", "tuned", 3.0):
        save_run(tmp_path / "runs", "stable-diffusion", [time_s] * 2, weights=weights, profile=profile)
    call = ["table", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--format", "md"]
    for asked, time_s, others in ([], "3.00", "tesla-t4 · random · thesis; tesla-t4 · demo · thesis"), (
            ["--weights", "demo", "--profile", "thesis", "--machine", "tesla-t4"], "1.00",
            "tesla-t4 · random · tuned; tesla-t4 · random · thesis"):
        assert main([*call, *asked]) == 0
        out = capsys.readouterr().out
        assert f"| Stable Diffusion | {time_s} ± 0.00 |" in out and out.endswith(
            f"left out, for --machine, --weights, --profile: {others}\n")
    assert main([*call, "--weights", "published"]) == 1
    assert "there is no run of published; there are: tesla-t4 · random · tuned; " in capsys.readouterr().err


def test_a_reference_run_never_fills_in_for_an_own_one_even_of_the_same_machine_and_settings(tmp_path):
    save_run(tmp_path / "own", "stable-diffusion", [1.0])
    for experiment in "stable-diffusion", "stylegan2-ada":
        save_run(tmp_path / "reference", experiment, [9.0])  # newer
    df = runs.load(tmp_path / "own", reference=tmp_path / "reference")
    assert df["reference"].tolist().count(True) == 2 and len(df) == 3, "neither hides the other"
    assert tables.pick(df)["time_s"].tolist() == [1.0]
    assert tables.table1(tables.pick(df)).iloc[3].tolist()[1:] == ["—"] * 3
    only_reference = runs.load(tmp_path / "nothing", reference=tmp_path / "reference")
    assert tables.pick(only_reference)["time_s"].tolist() == [9.0, 9.0]


def test_no_ratio_is_given_for_other_steps_than_the_thesiss_and_the_note_says_the_steps(tmp_path):
    for steps, ratio in (50, "1.0"), (2, "—"):
        save_run(tmp_path / str(steps), "stable-diffusion", [7.93, 7.93], weights="random", settings=dict(steps=steps))
        df = tables.pick(runs.load(tmp_path / str(steps)))
        assert tables.beside_thesis(df).iloc[0, -1] == ratio
        assert f"{steps} steps" in tables.note(df) and f"кроків: {steps}" in tables.note(df, "uk")


def test_of_two_settings_the_newer_is_in_the_table(tmp_path):
    old = save_run(tmp_path, "stable-diffusion", [1.0], settings=dict(steps=1))
    old.started = "2020-01-01T00:00:00+00:00"
    old.save()
    save_run(tmp_path, "stable-diffusion", [2.0], settings=dict(steps=2))
    assert tables.pick(runs.load(tmp_path))["time_s"].tolist() == [2.0]


@pytest.mark.parametrize("why", ["a picture was deleted", "every iteration failed"])
def test_pictures_that_are_not_there_leave_a_figure_that_says_so(tmp_path, why):
    run = save_run(tmp_path, "stable-diffusion", [1.0], picture=why == "a picture was deleted", errors=1)
    for file in run.folder.glob("*.png"):
        file.unlink()
    figure = plots.pictures(tables.pick(runs.load(tmp_path)))
    assert "there are no pictures" in [text.get_text() for text in figure.texts]


def test_the_thesiss_reading_of_the_whole_device_is_not_divided_into_an_allocators_peak(df):
    beside = tables.beside_thesis(df)
    vram = beside[beside["Reading"] == "VRAM use (MB)"].set_index("Model")
    assert vram.loc["Variational Autoencoders", ["thesis", "ratio"]].tolist() == ["1136", "—"]
    assert vram.loc["Stable Diffusion", "ratio"] == "0.18"


# --- the full table, conclusions, cost at scale

def test_the_full_table_has_a_row_a_reading_and_a_column_a_model_with_dashes_for_what_was_not_read(df):
    full = tables.full(df).set_index("Reading")
    assert list(full.columns) == ["Stable Diffusion", "VAE (+SD)", "VAE", "StyleGAN2 ADA"]
    assert full.loc["Iterations (failed)", "VAE"] == "3 (0)"
    assert full.loc["First image (s)", "Stable Diffusion"] == "24.0"
    assert full.loc["Mean time (s)", "Stable Diffusion"] == "8.10 ± 0.10"
    assert full.loc["95 % interval of the mean (s)", "Stable Diffusion"] == "7.85 … 8.35"
    assert full.loc["VRAM, allocator’s peak (MB)", "VAE"] == "1000.0 ± 0.0"
    assert set(full.loc["Energy (J)"]) == {words.MISSING}


def test_another_model_than_v1_4_is_named_and_gets_no_ratio_to_the_thesis(tmp_path):
    for model, ratio in ("Stable Diffusion v1-4", "0.50"), ("stabilityai/sdxl-turbo", "—"):
        save_run(tmp_path / model, "stable-diffusion", [3.965, 3.965], settings=dict(steps=50), model=model)
        df = tables.pick(runs.load(tmp_path / model))
        assert list(tables.beside_thesis(df)["ratio"])[0] == ratio
        assert ("is of the model stabilityai/sdxl-turbo" in tables.note(df)) == (ratio == "—")
        assert ("стосується моделі stabilityai/sdxl-turbo" in tables.note(df, "uk")) == (ratio == "—")


def test_the_full_table_shows_quality_where_it_was_measured_and_says_how_many_iterations_failed(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [1.0, 1.1], errors=1, quality=dict(sharpness=12.34))
    full = tables.full(tables.pick(runs.load(tmp_path)), "uk").set_index("Показник")["StyleGAN2 ADA"]
    assert full["Ітерації (невдалі)"] == "2 (1)" and full["Різкість"] == "12,3"
    assert "SSIM" not in full.index


def test_only_the_formats_asked_for_are_written_and_an_unknown_one_is_refused(df, tmp_path):
    paths = tables.save(tables.table1(df), tmp_path / "t", "caption", "note", formats=["docx", "md"])
    assert sorted(path.name for path in tmp_path.glob("t.*")) == sorted(path.name for path in paths) == ["t.docx", "t.md"]
    with pytest.raises(ValueError, match="no format 'pdf': use csv, md, tex, docx"):
        tables.save(tables.table1(df), tmp_path / "t", "caption", "note", formats=["pdf"])


def conclusions_of(folder, **times):
    for experiment, values in times.items():
        save_run(folder, experiment.replace("_", "-"), values, vram=round(values[0] * 100 * MB))
    return "\n".join(conclusions.conclude(tables.pick(runs.load(folder))))


def test_other_data_give_other_conclusions(tmp_path):
    vae, quick = [0.3, 0.3, 0.31], [0.02, 0.02, 0.021]
    one = conclusions_of(tmp_path / "a", stable_diffusion=[8.0, 8.1, 8.2], vae_round_trip=vae, stylegan2_ada=quick)
    other = conclusions_of(tmp_path / "b", stable_diffusion=quick, vae_round_trip=vae, stylegan2_ada=[80.0, 81.0, 80.0])
    assert "Fastest is StyleGAN2 ADA: 0.0203 s an image; Stable Diffusion takes 8.10 s" in one
    assert "Fastest is Stable Diffusion: 0.0203 s an image; StyleGAN2 ADA takes 80.3 s" in other
    assert "Smallest is StyleGAN2 ADA, with 2 MB of VRAM" in one and "Smallest is Stable Diffusion, with 2 MB" in other
    assert "these serve: StyleGAN2 ADA." in one and "these serve: Stable Diffusion." in other
    assert "these fit: Stable Diffusion, VAE, StyleGAN2 ADA." in one and "these fit: Stable Diffusion, VAE." in other
    assert "only Stable Diffusion takes a prompt; the 8.10 s an image are without one" in one


def test_models_whose_intervals_overlap_are_not_ranked(tmp_path):
    text = conclusions_of(tmp_path, vae_round_trip=[1.0, 1.2, 1.4], stylegan2_ada=[1.1, 1.25, 1.4])
    assert "cannot be told apart in time" in text and "Fastest" not in text
    assert "For real time (25 images a second) none serves here" in text


def test_one_iteration_ranks_nothing_and_failed_runs_conclude_nothing(tmp_path):
    assert "Fastest" not in conclusions_of(tmp_path / "a", vae_round_trip=[1.0], stylegan2_ada=[9.0])
    save_run(tmp_path / "b", "stylegan2-ada", [1.0])
    df = runs.load(tmp_path / "b").assign(error="out of memory")
    assert conclusions.conclude(df) == ["No measurement succeeded, so there is nothing to conclude."]
    assert conclusions.cost_at_scale(df).empty


def test_the_best_of_a_quality_measure_is_named_where_two_models_have_it(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0], quality=dict(sharpness=10.0))
    save_run(tmp_path, "stylegan2-ada", [1.0], quality=dict(sharpness=20.0, diversity=5.0))
    text = "\n".join(conclusions.conclude(tables.pick(runs.load(tmp_path))))
    assert "Sharpness: StyleGAN2 ADA 20.0; Stable Diffusion 10.0; the highest is that of StyleGAN2 ADA." in text
    assert "Diversity: StyleGAN2 ADA 5.00." in text


def test_ukrainian_conclusions_have_no_english_words_and_decimal_commas(df):
    text = "\n".join(conclusions.conclude(df, "uk"))
    latin = set(re.findall(r"[A-Za-z]{2,}", text)) - {"Stable", "Diffusion", "VAE", "StyleGAN", "ADA", "MB", "Tesla"}
    assert not latin and not re.search(r"\d\.\d", text)


def test_the_cost_of_many_images_follows_from_the_mean_time_and_energy(tmp_path):
    run = save_run(tmp_path, "stylegan2-ada", [3.6, 3.6])
    for iteration in run.iterations:
        iteration.energy_j = 360.0
    run.save()
    df = tables.pick(runs.load(tmp_path))
    row = conclusions.cost_at_scale(df, counts=(10**6,), price_per_hour=2.0, price_per_kwh=0.5, deadline_h=100).iloc[0]
    assert list(row) == ["StyleGAN2 ADA", "1\u202f000\u202f000", "1\u202f000", "1\u202f000", "100", "10", "2\u202f050"]


def test_money_is_a_dash_without_a_price_and_where_a_priced_energy_was_not_read(df):
    assert set(conclusions.cost_at_scale(df)["Money"]) == {words.MISSING}
    assert set(conclusions.cost_at_scale(df, price_per_hour=1.0, price_per_kwh=1.0)["Money"]) == {words.MISSING}
    assert words.MISSING not in set(conclusions.cost_at_scale(df, price_per_hour=1.0)["Money"])


@pytest.mark.parametrize("wrong", [dict(price_per_hour=-1.0), dict(price_per_kwh=float("nan")), dict(deadline_h=0)])
def test_a_price_below_zero_and_no_deadline_are_refused(df, wrong):
    with pytest.raises(ValueError, match="use a deadline above 0, prices from 0 up"):
        conclusions.cost_at_scale(df, **wrong)


@pytest.mark.parametrize("first, fourth", [("1", "4"), ("3.1", "3.4"), ("А.9", "А.12"), ("2.3.8", "2.3.11")])
def test_tables_are_numbered_on_from_the_first(first, fourth):
    assert [tables.number_after(first, 0), tables.number_after(first, 3)] == [first, fourth]


def test_a_number_that_cannot_be_counted_on_is_refused(df, tmp_path, capsys):
    with pytest.raises(ValueError, match="the number of Table 1 is '3.x': end it in a whole number, as in 1 or 3.1"):
        tables.number_after("3.x", 1)
    assert main(["table", str(tmp_path), "--number", "3.x", "--out", str(tmp_path / "out")]) == 1
    assert "end it in a whole number" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_table_command_writes_the_formats_asked_for_and_prints_the_conclusions(df, tmp_path, capsys):
    asked = ["--language", "uk", "--format", "docx,tex", "--number", "3.1", "--out", str(tmp_path / "out")]
    assert main(["table", str(tmp_path), *asked]) == 0
    printed = capsys.readouterr().out
    assert "Таблиця 3.1 –" in printed and "Керування текстом: запит приймає лише Stable Diffusion" in printed
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"{n}.{k}" for n in ("audit", "full", "table1") for k in ("docx", "tex")]
    captions = [Document(tmp_path / "out" / f"{name}.docx").paragraphs[0].text for name in ("table1", "full", "audit")]
    assert [caption.split(" – ")[0] for caption in captions] == ["Таблиця 3.1", "Таблиця 3.2", "Таблиця 3.3"]
    with pytest.raises(SystemExit):
        main(["table", str(tmp_path), "--format", "pdf"])
    assert "there is no format 'pdf'" in capsys.readouterr().err
