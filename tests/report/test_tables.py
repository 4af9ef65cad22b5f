"""The tables of a report that set models side by side, and their files."""
import re
from itertools import cycle
from pathlib import Path

import latex
import pandas as pd
import pytest
from docx import Document
from saved_runs import save_run

from genlib.archives import pack
from genlib.locale import languages
from genlib.locale import numbers as numbers_of_language
from genlib.report import Report, formats, warnings
from genlib.report.tables import Table

TIMES = {"stable-diffusion": [8.0, 8.1, 8.2], "vae-as-in-thesis": [8.3, 8.4, 8.5], "vae-round-trip": [0.1, 0.2, 0.3],
         "stylegan2-ada": [0.02, 0.02, 0.02]}


@pytest.fixture
def folder(tmp_path):
    for experiment, times in TIMES.items():
        save_run(tmp_path / "runs", experiment, times)
    return tmp_path / "runs"


def data(folder, name="results", **options):
    return Report(folder, **options).table(name).data


def note(folder, language="en"):
    """Of Table 1."""
    return Report(folder, language=language).table("results").note


# --- Table 1

def test_table_1_has_the_thesiss_rows_and_columns_and_mean_with_deviation(folder):
    table = data(folder)
    assert table.columns.tolist() == ["Model", "Generation time (s)", "VRAM use (MB)", "RAM use (MB)"]
    assert table["Model"].tolist() == ["Stable Diffusion", "Variational Autoencoders", "VAE alone", "Generative Adversarial Networks"]
    assert table.iloc[0].tolist()[1:] == ["8.10 ± 0.10", "1000.0 ± 0.0", "501 ± 1"]
    assert table.iloc[2, 1] == "0.200 ± 0.100"


def test_a_model_that_was_not_measured_and_a_reading_that_is_missing_are_dashes(tmp_path):
    save_run(tmp_path, "stable-diffusion", [1.0, 2.0], vram=None)
    table = data(tmp_path)
    assert table.iloc[0].tolist()[1:] == ["1.50 ± 0.71", "—", "500 ± 1"] and table.iloc[3].tolist()[1:] == ["—"] * 3


def test_the_note_names_machine_weights_profile_precision_count_and_unit_and_whose_names_the_rows_have(folder):
    for part in "Tesla T4", "published weights", "without optimisations", "float16", "n = 3", "1024²":
        assert part in note(folder), part
    assert "as in the reproduced thesis: Variational Autoencoders is VAE (+SD), Generative Adversarial Networks is StyleGAN2-ADA." in \
        note(folder)


def test_an_experiment_without_an_entry_is_a_row_under_its_own_name(folder):
    save_run(folder, "my-own-model", [3.0, 3.0])
    assert data(folder).iloc[4].tolist() == ["my-own-model", "3.00 ± 0.00", "1000.0 ± 0.0", "500 ± 1"]
    assert "Experiments that genlib does not know are shown under the names in their records: my-own-model." in note(folder)
    assert "my-own-model" in data(folder, "readings") and "my-own-model" in set(data(folder, "cost")["Model"])


def test_the_readme_shows_table_1_of_the_reference_run():
    project = Path(__file__).resolve().parents[2]
    report = Report(project / "notebooks" / "reference", machine="cpu-amd-epyc", weights="demo")
    readme = (project / "README.md").read_text(encoding="utf-8")
    for row in report.table("results").data.to_numpy():
        assert " | ".join(row) in readme
    assert report.table("results").note in readme
    for slug, run in report.rows["run"].items():
        for warning in warnings.of_run(report, run):
            assert warning.cause in readme, f"what makes the figures of {slug} doubtful is not kept back"


# --- beside the thesis

def test_a_ratio_to_the_thesis_is_given_for_published_and_random_weights_and_not_for_the_demo(tmp_path):
    for weights, expected in ("published", "0.50"), ("random", "0.50"), ("demo", "—"):
        save_run(tmp_path / weights, "stable-diffusion", [7.93 / 2] * 2, weights=weights)
        beside = data(tmp_path / weights, "beside_thesis")
        assert beside.loc[0, ["published", "ratio"]].tolist() == ["7.93", expected]
        assert ("say nothing of the published" in note(tmp_path / weights)) == (weights == "demo")


def test_the_vae_alone_which_the_thesis_did_not_measure_is_not_beside_it(folder):
    assert "VAE alone" not in set(data(folder, "beside_thesis")["Model"])


def test_ram_of_a_machine_without_a_gpu_where_the_weights_lie_in_it_has_no_ratio(tmp_path):
    save_run(tmp_path, "stable-diffusion", [7.93, 7.93], weights="random", vram=None)
    table = Report(tmp_path).table("beside_thesis")
    assert table.data["ratio"].tolist() == ["1.0", "—", "—"] and "Without a GPU the weights lie in RAM" in table.note


def test_no_ratio_is_given_for_other_steps_than_the_thesiss_and_the_note_says_the_steps(tmp_path):
    for steps, ratio, ukrainian in (50, "1.0", "50 кроків"), (2, "—", "2 кроки"):
        save_run(tmp_path / str(steps), "stable-diffusion", [7.93, 7.93], weights="random", settings=dict(steps=steps))
        assert data(tmp_path / str(steps), "beside_thesis").iloc[0, -1] == ratio
        assert f"{steps} steps" in note(tmp_path / str(steps)) and ukrainian in note(tmp_path / str(steps), "uk")


def test_the_thesiss_reading_of_the_whole_device_is_not_divided_into_an_allocators_peak(folder):
    beside = data(folder, "beside_thesis")
    vram = beside[beside["Reading"] == "VRAM (MB)"].set_index("Model")
    assert vram.loc["VAE (+SD)", ["published", "ratio"]].tolist() == ["1136", "—"]
    assert vram.loc["Stable Diffusion", "ratio"] == "0.18"


def test_another_model_than_v1_4_is_named_and_gets_no_ratio_to_the_thesis(tmp_path):
    for model, ratio in ("Stable Diffusion v1-4", "0.50"), ("stabilityai/sdxl-turbo", "—"):
        save_run(tmp_path / model, "stable-diffusion", [3.965, 3.965], settings=dict(steps=50), model=model)
        assert data(tmp_path / model, "beside_thesis")["ratio"][0] == ratio
        assert ("is of the model stabilityai/sdxl-turbo" in note(tmp_path / model)) == (ratio == "—")
        assert ("стосується моделі stabilityai/sdxl-turbo" in note(tmp_path / model, "uk")) == (ratio == "—")


@pytest.mark.parametrize("options, said", [
    (dict(), "in the reproduced thesis"), (dict(language="uk"), "у роботі, що відтворюється"),
    (dict(reproduced="in the master’s thesis of 2025"), "in the master’s thesis of 2025"),
    (dict(language="uk", reproduced="у роботі О. Коваленко"), "у роботі О. Коваленко")])
def test_the_work_whose_figures_are_published_has_the_name_that_its_user_gives(folder, options, said):
    report = Report(folder, **options)
    for name in "results", "beside_thesis", "audit":
        assert said in report.table(name).note
    texts = [report.table(name) for name in report.tables]
    everything = " ".join(f"{table.caption} {table.note} {' '.join([*table.data, *table.data.to_numpy().ravel()])}" for table in texts)
    rest = everything.replace(said, "") + " ".join([*report.conclusions(), *report.doubts()])
    assert not re.search("thesis|диплом", rest), "no other word for it"


# --- all readings

def test_a_share_of_the_machines_rate_above_100_percent_is_not_given_and_the_note_says_why(tmp_path):
    for name, flops, shown, said in ("a", 1.0e9, "50.0", False), ("b", 5.2e9, None, True):
        run = save_run(tmp_path / name, "stylegan2-ada", [1.0, 1.0])
        run.flops_per_image, run.machine.matmul_flops_per_s = flops, 2.0e9
        run.save()
        table = Report(tmp_path / name).table("readings")
        assert dict(zip(table.data["Reading"], table.data["StyleGAN2-ADA"], strict=True)).get("Share of the machine’s rate (%)") == shown
        assert ("A share of the machine’s rate above 100 % is not given" in table.note) == said


@pytest.mark.parametrize("language", languages())
def test_of_one_iteration_and_one_picture_no_spread_interval_or_diversity_is_said(tmp_path, language):
    for experiment in TIMES:
        save_run(tmp_path, experiment, [1.0], quality=dict(sharpness=5.0, diversity=0.0))
    report = Report(tmp_path, language=language)
    tables = [report.table(name) for name in report.tables]
    cells = [cell for table in tables for cell in table.data.to_numpy().ravel()]
    text = " ".join([*cells, *(table.note for table in tables), *report.conclusions(), *report.doubts()])
    assert not re.search("nan|±", text, re.IGNORECASE) and not re.search("iversity|ізноманіт", text)


def test_the_full_table_has_a_row_a_reading_and_a_column_a_model_without_what_was_not_read(folder):
    full = data(folder, "readings").set_index("Reading")
    assert list(full.columns) == ["Stable Diffusion", "VAE (+SD)", "VAE alone", "StyleGAN2-ADA"]
    assert full.loc["Iterations (failed)", "VAE alone"] == "3 (0)"
    assert full.loc["First image (s)", "Stable Diffusion"] == "24.0"
    assert full.loc["Mean time (s)", "Stable Diffusion"] == "8.10 ± 0.10"
    assert full.loc["95 % interval of the mean (s)", "Stable Diffusion"] == "7.85 … 8.35"
    assert full.loc["VRAM, allocator’s peak (MB)", "VAE alone"] == "1000.0 ± 0.0"
    assert "Energy (J)" not in full.index, "nobody read it"


def test_the_full_table_shows_quality_where_it_was_measured_and_says_how_many_iterations_failed(tmp_path):
    save_run(tmp_path, "stylegan2-ada", [1.0, 1.1], errors=1, quality=dict(sharpness=12.34))
    full = data(tmp_path, "readings", language="uk").set_index("Показник")["StyleGAN2-ADA"]
    assert full["Кількість ітерацій (невдалих)"] == "2 (1)" and full["Різкість"] == "12,3"
    assert "SSIM" not in full.index


# --- files

def test_every_file_of_a_table_can_be_opened_and_holds_its_cells(folder, tmp_path):
    table = Report(folder, number="3.1").table("results")
    csv, md, tex, docx = table.save(tmp_path / "tables")
    assert pd.read_csv(csv, dtype=str).equals(table.data)
    assert "| Stable Diffusion | 8.10 ± 0.10 | 1000.0 ± 0.0 | 501 ± 1 |" in md.read_text(encoding="utf-8")
    document = Document(docx)
    texts = [[cell.text.replace("\N{NO-BREAK SPACE}", " ") for cell in row.cells] for row in document.tables[0].rows]
    assert texts == [table.data.columns.tolist(), *table.data.to_numpy().tolist()]
    page = document.sections[0]
    widths = [cell.width for cell in document.tables[0].rows[0].cells]
    assert sum(widths) <= page.page_width - page.left_margin - page.right_margin and round(page.page_width.mm) == 210, "A4, and on it"
    above, below = [paragraph.text.replace("\N{NO-BREAK SPACE}", " ") for paragraph in document.paragraphs]
    assert above == table.caption == f"Table 3.1 – {table.title}" == "Table 3.1 – Comparison of the results" and below == table.note
    body = [element.tag.rsplit("}", 1)[1] for element in document.element.body]
    assert body.index("p") < body.index("tbl"), "the caption stands above the table"
    assert document.styles["Normal"].font.name == "Times New Roman" and document.styles["Normal"].font.size.pt == 14
    source = tex.read_text(encoding="utf-8")
    assert r"8.10~$\pm$ 0.10" in source and source.index("{Comparison of the results}\\label{table:results}") < source.index("\\toprule")


def test_latex_special_letters_are_escaped(tmp_path):
    frame = pd.DataFrame({"a_b %": ["50 % & more", "x_1 ~ \\y^2"]})
    [path] = Table("t", frame, "100 %", "Table 1 – 100 %", "#1", "t").save(tmp_path, ["tex"])
    tex = path.read_text(encoding="utf-8")
    assert r"a\_b \%" in tex and r"50~\% \& more" in tex and r"100 \%" in tex and r"\#1" in tex
    assert r"x\_1 \textasciitilde{} \textbackslash{}y\textasciicircum{}2" in tex


def test_what_would_be_a_tag_or_a_rule_is_text_in_a_notebook_and_in_markdown():
    table = Table("t", pd.DataFrame({"a < b": ["<b>bold</b> | 1"]}), "x & y", "x & y", "n < 5", "t")
    shown = table._repr_html_()
    assert "&lt;b&gt;bold&lt;/b&gt; | 1" in shown and "a &lt; b" in shown and "x &amp; y" in shown and "n &lt; 5" in shown
    assert shown == table._repr_html_(), "the same each time"
    assert " \\| 1 |" in str(table)


def test_only_the_formats_asked_for_are_written_and_an_unknown_one_is_refused(folder, tmp_path):
    table = Report(folder).table("results")
    paths = table.save(tmp_path / "tables", ["docx", "md"])
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(path.name for path in paths) == [
        "table1.docx", "table1.md"]
    with pytest.raises(ValueError, match="no format 'pdf': use some of csv, md, tex, docx"):
        table.save(tmp_path / "other", ["pdf"])
    assert not (tmp_path / "other").exists()


SENTENCES = pd.DataFrame({"Verdict": ["cannot be judged here"] * 60, "Evidence": ["A sentence that takes several lines. " * 4] * 60})

WIDE = pd.DataFrame({"Device": ["NVIDIA GeForce RTX 3060 Laptop GPU", "NVIDIA A100-SXM4-80GB"], "Weights": "демонстраційні ваги",
                     "Precision": "float16", "Час (с)": "0,00699 ± 0,00040", "Відеопам’ять (МБ)": "1000,0 ± 0,1",
                     "Оперативна пам’ять (МБ)": "548,0 ± 0,1", "Енергія (Дж)": "360", "Відношення": "0,79"})


def test_in_latex_pages_end_with_one_rule_and_begin_with_the_heads_and_nothing_floats():
    source = formats.to_latex(SENTENCES, "t", "Title", "Note")
    heads = "\\toprule\nVerdict & Evidence \\\\\n\\midrule\n"
    assert f"{heads}\\endhead\n\\bottomrule\n\\endfoot\n\\endlastfoot" in source
    assert "\\\\*\n\\bottomrule\\noalign{\\unskip\\nobreak" in source, "between which no page may end"
    assert source.count("rule\n") == 2 * 2 + 1 and source.count("\\bottomrule") == 2 and "{table}" not in source


@pytest.mark.slow
@pytest.mark.parametrize("engine", latex.ENGINES)
@pytest.mark.parametrize("language", languages())
def test_every_engine_sets_a_reports_tables_within_the_page_in_their_order_with_their_numbers(folder, tmp_path, engine, language):
    for n in 2, 4:
        save_run(folder, "stylegan2-ada", [0.02 * n], variant=f"batch-{n}", settings=dict(steps=50, batch_size=n))
    report = Report(folder, language=language)
    tables = [report.table(name) for name in report.tables]
    tables += [Table(name, frame, name, name, "Note.", name) for name, frame in (("wide", WIDE), ("long", SENTENCES))]
    body = "\\chapter{X}"
    for table in tables:
        body += "A line of the text. " * 80 + "\n\n" + formats.to_latex(table.data, table.name, table.title, table.note)
        body += f"\\label{{after:{table.name}}}"
    log, labels = latex.compiled(latex.document(body), engine, tmp_path)
    assert latex.FAULTS.findall(log) == []
    assert [labels[f"table:{table.name}"][0] for table in tables] == [f"1.{i + 1}" for i in range(len(tables))]
    pages = [labels[f"{place}:{table.name}"][1] for table in tables for place in ("table", "after")]
    assert pages == sorted(pages) and pages[-1] > pages[-2], "each in its place, and the long one on several pages"


@pytest.mark.slow
@pytest.mark.parametrize("language", languages())
def test_the_file_of_each_table_says_in_comments_all_that_it_needs(folder, tmp_path, language):
    report = Report(folder, language=language)
    for name, engine in zip(report.tables, cycle(latex.ENGINES)):
        [tex] = report.table(name).save(tmp_path, ["tex"])
        said, *preamble = re.findall("^% (.*)", tex.read_text(encoding="utf-8"), re.MULTILINE)
        log, labels = latex.compiled(latex.document(f"\\input{{{tex.name}}}", "\n".join(preamble)), engine, tmp_path)
        assert said == "In the preamble:" and latex.FAULTS.findall(log) == [] and f"table:{name}" in labels


@pytest.mark.parametrize("sign, separator", [(".", ","), (",", ";")])
def test_a_double_click_in_excel_finds_letters_columns_and_numbers(tmp_path, sign, separator):
    """By the mark at the start, the separator of the language, a minus and digits that Excel knows."""
    numbers = [f"8{sign}10", f"−0{sign}1", numbers_of_language.grouped(10**6), f"8{sign}1 ± 0{sign}1", "—", "-x", "4"]
    [path] = Table("t", pd.DataFrame({"Ж": numbers, "n": numbers}), "", "", "", "t", sign).save(tmp_path, ["csv"])
    assert path.read_bytes().startswith("\ufeffЖ".encode() + separator.encode() + b"n")
    read = pd.read_csv(path, sep=separator, dtype=str)["Ж"].tolist()
    assert read == [f"8{sign}10", f"-0{sign}1", "1000000", f"8{sign}1 ± 0{sign}1", "—", "'-x", "4"]


def test_tables_and_figures_replace_links_and_leave_alone_what_they_point_to(folder, tmp_path):
    report, out = Report(folder), tmp_path / "real"
    out.mkdir()
    (tmp_path / "out").symlink_to(out)  # a linked folder goes on working
    (tmp_path / "mine").write_text("mine")
    for name in "table1.csv", "table1.docx", "bars.png":
        (out / name).symlink_to(tmp_path / "mine")
    written = [*report.table("results").save(tmp_path / "out"), *report.figure("bars").save(tmp_path / "out")]
    assert (tmp_path / "mine").read_text() == "mine" and {path.name for path in out.iterdir()} == {path.name for path in written}
    assert not any(path.is_symlink() for path in written) and all(path.stat().st_size for path in written)


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(folder, tmp_path):
    (tmp_path / "file").write_text("")
    for made in Report(folder).table("results"), Report(folder).figure("bars"):
        for out in tmp_path / "file", tmp_path / "file" / "tables":
            with pytest.raises(OSError, match=f"^the folder {out} cannot be made .*: choose another$"):
                made.save(out)


# --- Ukrainian

def test_ukrainian_tables_have_decimal_commas_and_no_english(folder, tmp_path):
    table = Report(folder, language="uk", number="1").table("results")
    text = " ".join([*table.data.columns, *table.data.to_numpy().ravel(), table.caption, table.note])
    assert "Таблиця 1 – Порівняння результатів" in text and "8,10 ± 0,10" in text and not re.search(r"\d\.\d", text)
    names = {"Stable", "Diffusion", "Variational", "Autoencoders", "Generative", "Adversarial", "Networks", "VAE", "SD", "StyleGAN", "ADA",
             "VRAM", "RAM", "MB", "Tesla", "thesis", "float", "T", "n"}  # names that the thesis leaves in English, and values of the record
    assert set(re.findall(r"[A-Za-z]+", text)) <= names
    [path] = table.save(tmp_path / "tables", ["csv"])
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") and ";8,10 ± 0,10;".encode() in path.read_bytes()


# --- where the rows are from

def test_each_row_says_the_folder_or_archive_that_it_is_from_and_the_note_where_there_are_several(tmp_path):
    save_run(tmp_path / "mine", "stable-diffusion", [1.0, 1.1])
    assert Report(tmp_path / "mine").table("readings").note.endswith("The runs are from “mine”.")
    assert "from “" not in note(tmp_path / "mine")
    save_run(tmp_path / "friend", "stylegan2-ada", [0.1, 0.2])
    pack(tmp_path / "friend").rename(tmp_path / "mine" / "friend.zip")
    for said in note(tmp_path / "mine"), Report(tmp_path / "mine").table("readings").note:
        assert "The runs come from several places: friend.zip (StyleGAN2-ADA); mine (Stable Diffusion)." in said
    assert "взято з кількох джерел: friend.zip (StyleGAN2-ADA); " in note(tmp_path / "mine", "uk")
