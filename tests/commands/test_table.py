"""genlib table: what it prints, and the files that it leaves."""
import subprocess
import sys

import pytest
from docx import Document
from saved_runs import save_run

from genlib.__main__ import main
from genlib.archives import pack
from genlib.report.tables import TABLES

TIMES = {"stable-diffusion": [8.0, 8.1, 8.2], "vae-as-in-thesis": [8.3, 8.4, 8.5], "vae-round-trip": [0.1, 0.2, 0.3],
         "stylegan2-ada": [0.02, 0.02, 0.02]}
OTHERS = "common_precision", "sessions", "growth", "precisions", "machines", "survey", "decision", "models", "cards", "methods", \
    "scores"  # which these runs do not fill
FILES = [kind.file or kind.name for kind in TABLES if kind.name not in OTHERS]
FILES += [f"iterations-{experiment}" for experiment in TIMES]


@pytest.fixture
def results(tmp_path):
    for experiment, times in TIMES.items():
        save_run(tmp_path / "results", experiment, times)
    return tmp_path / "results"


def written(folder):
    return sorted(path.name for path in folder.iterdir())


def test_table_is_printed_and_written_without_a_notebook(results, tmp_path, capsys):
    assert main(["table", str(results), "--language", "uk", "--out", str(tmp_path / "out")]) == 0
    assert "Таблиця 1" in capsys.readouterr().out
    assert written(tmp_path / "out") == [f"{name}.{kind}" for name in sorted(FILES) for kind in ("csv", "docx", "md", "tex")]
    (tmp_path / "empty").mkdir()
    for given, complaint in (["nothing"], "nothing is not here: give folders"), ([".", "away.zip"], "away.zip is not here"), (
            ["empty"], "there are no finished runs of models in what was given"):
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


def test_a_number_that_cannot_be_counted_on_is_refused_before_anything_is_written(results, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["table", str(results), "--number", "3.x", "--out", str(tmp_path / "out")])
    assert "use one that ends in a whole number" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_with_a_price_the_table_of_costs_names_it(results, tmp_path):
    for given, priced in ([], False), (["--price-per-hour", "2.5"], True):
        assert main(["table", str(results), "--format", "md", *given, "--out", str(tmp_path / "out")]) == 0
        assert ("2.50 for an hour of a device" in (tmp_path / "out" / "cost.md").read_text()) is priced


def test_limits_and_a_file_of_prices_are_given_as_options_and_a_file_that_is_not_there_is_named(results, tmp_path, capsys):
    (tmp_path / "prices.csv").write_text("device,price_per_hour\nT4,0.35\n")
    call = ["table", str(results), "--format", "md", "--out", str(tmp_path / "out")]
    limits = ["--limit-s", "0.5", "--limit-gb", "8", "--needs-text", "--commercial"]
    assert main([*call, "--price-per-hour", str(tmp_path / "prices.csv"), *limits]) == 0
    assert "0.350 for an hour" in (tmp_path / "out" / "cost.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "(at most 0.5 s an image; at most 8 GB of memory; a text prompt; a licence that allows commercial use)" in printed
    assert "| StyleGAN2-ADA | met: 0.0200 s (" in (tmp_path / "out" / "decision.md").read_text(encoding="utf-8")
    assert main([*call, "--price-per-hour", str(tmp_path / "out" / "cost.md")]) == 1 and "has no column" in capsys.readouterr().err
    no_file = "'no.csv' is no number: write one such as 0.7, or name a file of prices that is here"
    for option, wrong, complaint in ("--price-per-hour", "no.csv", no_file), ("--limit-s", "-1", "'-1' is below 0: write a number"):
        with pytest.raises(SystemExit):
            main([*call, option, wrong])
        assert complaint in capsys.readouterr().err


def test_the_table_command_writes_the_formats_asked_for_and_prints_the_conclusions(results, tmp_path, capsys):
    asked = ["--language", "uk", "--format", "docx,tex", "--number", "3.1", "--out", str(tmp_path / "out")]
    assert main(["table", str(results), *asked]) == 0
    printed = capsys.readouterr().out
    assert "Таблиця 3.1 –" in printed and "Керування текстом: із цих моделей запит приймає Stable Diffusion" in printed
    assert written(tmp_path / "out") == [f"{name}.{kind}" for name in sorted(FILES) for kind in ("docx", "tex")]
    captions = [Document(tmp_path / "out" / f"{name}.docx").paragraphs[0].text for name in FILES]
    assert [caption.split(" – ")[0] for caption in captions] == [f"Таблиця 3.{number}" for number in range(1, len(FILES) + 1)]
    with pytest.raises(SystemExit):
        main(["table", str(results), "--format", "pdf"])
    assert "there is no format 'pdf'" in capsys.readouterr().err


def test_the_table_command_says_what_makes_every_run_doubtful_that_it_used(tmp_path, capsys):
    call = ["table", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--format", "md"]
    save_run(tmp_path / "runs", "stable-diffusion", [1.0] * 5)
    assert main(call) == 0
    assert "\nNothing was seen that makes these figures doubtful.\n" in capsys.readouterr().out
    save_run(tmp_path / "runs", "stable-diffusion", [1.0] * 2, variant="guidance-1")
    assert main(call) == 0
    assert "What makes these figures doubtful:\nFewer than 5 iterations show neither a drift nor an outlier: Stable " \
        "Diffusion (without guidance, n = 2)." in capsys.readouterr().out
    assert main([*call, "--language", "uk"]) == 0
    assert "Stable Diffusion (без керування запитом, n = 2). Виконайте більше ітерацій (щонайменше 5)." in capsys.readouterr().out


def test_the_published_figures_are_of_the_work_that_the_command_is_told(results, tmp_path):
    out = tmp_path / "out"
    assert main(["table", str(results), "--reproduced", "in the master’s thesis of 2025", "--format", "md", "--out", str(out)]) == 0
    assert "Published figures are those given in the master’s thesis of 2025." in (out / "beside_thesis.md").read_text(encoding="utf-8")


def test_the_table_command_takes_a_zip_and_writes_the_audit(tmp_path, capsys):
    save_run(tmp_path / "colab", "stable-diffusion", [1.0, 2.0])
    archive = pack(tmp_path / "colab")
    assert main(["table", str(archive), "--out", str(tmp_path / "out"), "--format", "md", "--language", "uk"]) == 0
    assert "1,50 ± 0,71" in capsys.readouterr().out
    assert "Перевірка опублікованих показників" in (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_commands_at_once_on_the_same_folders_leave_whole_files_and_nothing_else(results, tmp_path):
    """Also while a run is being written, which they do not show yet."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "genlib", "table", str(results), "--out", str(out), "--format", "md,docx", "--language"]
    tables = [subprocess.Popen([*command, language], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for language in ("en", "uk")]
    for times in [1.0], [1.0, 2.0], [1.0, 2.0, 3.0]:
        save_run(results, "stylegan2-ada", times, variant="batch-2")
    assert [(table.communicate()[1], table.returncode) for table in tables] == [(b"", 0)] * 2
    assert {path.stem for path in out.iterdir()} - {"growth"} == set(FILES)
    for path in out.iterdir():
        assert path.stat().st_size and (path.suffix != ".docx" or Document(path).tables)
