"""What `genlib run` says while it works."""
import re
from types import SimpleNamespace

import nbformat
import pytest

from genlib import notebook
from genlib.commands import doctor, progress, run
from genlib.commands.progress import Progress, still_s

FORECAST_S = {"1_a": 40, "2_b": 20, "3_c": 10}
BOOK = nbformat.v4.new_notebook(cells=[
    nbformat.v4.new_markdown_cell("# A title"), nbformat.v4.new_code_cell("import genlib"),
    nbformat.v4.new_markdown_cell("## Measure\nat length"), nbformat.v4.new_code_cell("run = measure.repeat(call)"),
    nbformat.v4.new_markdown_cell("### In it"), nbformat.v4.new_code_cell("run.table()")])


def forecast_is(monkeypatch, seconds):
    monkeypatch.setattr(progress, "FORECAST", f"print('weights: demo'); print({str(seconds).replace(chr(39), chr(34))!r})")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now.s)
    return now


def test_the_time_left_is_the_forecast_at_first_and_what_was_seen_the_more_is_done():
    assert still_s(FORECAST_S, "1_a", ["2_b", "3_c"], 0, 0, 1) == 70
    assert still_s(FORECAST_S, "1_a", [], 0.5, 40, 1) == 0.5 * (20 + 40), "the half done took 40 s, the forecast of the whole"
    assert still_s(FORECAST_S, "1_a", [], 0.99, 100, 1) == pytest.approx(1, rel=0.01)
    assert still_s(FORECAST_S, "2_b", ["3_c"], 0, 0, 3) == 90, "the notebooks before took three times their forecast"


def test_without_a_forecast_of_every_notebook_no_time_is_named():
    assert still_s({}, "1_a", [], 0.5, 10, 1) is None
    assert still_s(FORECAST_S, "1_a", ["5_unknown"], 0.5, 10, 1) is None


def test_without_a_terminal_a_plain_line_says_notebook_section_and_time_left_but_not_often(capsys, monkeypatch, clock):
    forecast_is(monkeypatch, FORECAST_S)
    with Progress("demo", {"1_a": {}, "2_b": {}}) as shown:
        shown.begin("1_a", "session 1 of 2: 1_a", ["2_b"])
        for index in range(4):
            clock.s += 4
            shown.at(BOOK, index)
        shown.said("iteration 1/5:    0.5 s\n")
        clock.s = 30
        shown.said("iteration 2/5:    0.5 s\n")
        shown.end()
        shown.begin("2_b", "2_b", [])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["session 1 of 2: 1_a · begins · 0 s", "session 1 of 2: 1_a · Measure · 16 s · about 70 s left",
                     "session 1 of 2: 1_a · Measure · iteration 2/5 · 30 s · about 80 s left", "session 1 of 2: 1_a · 30 s",
                     "2_b · begins · 0 s · about 15 s left"]


def test_on_a_terminal_one_line_is_rewritten_and_at_last_names_the_time(capsys, monkeypatch, clock):
    monkeypatch.setattr(progress.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    with Progress("demo", {}) as shown:
        shown.begin("1_a", "1_a", [])
        for index in range(len(BOOK.cells)):
            shown.at(BOOK, index)
        shown.end()
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and out.endswith("\r\x1b[K1_a · 0 s\n\r\x1b[K") and "1_a · Measure · 0 s" in out
    assert max(map(len, re.split(r"\r\x1b\[K", out))) < 30


@pytest.mark.parametrize("code", ["", "raise ValueError", "print('no forecast')"])
def test_a_forecast_that_fails_costs_the_display_its_times_and_nothing_else(capsys, monkeypatch, code):
    monkeypatch.setattr(progress, "FORECAST", code)
    with Progress("demo", {"1_a": {}}) as shown:
        shown.begin("1_a", "1_a", [])
        shown.at(BOOK, 3)
        shown.end()
    assert "left" not in capsys.readouterr().out


def test_nothing_is_measured_or_loaded_beside_the_making_of_the_forecast(monkeypatch):
    monkeypatch.setattr(progress, "FORECAST", "import time; time.sleep(0.2); print('{}')")
    with Progress("demo", {"1_a": {}}) as shown:
        process = shown._forecasting
        shown.begin("1_a", "1_a", [])
        shown.at(BOOK, 1)
        assert process.poll() is None, "it goes on beside other cells"
        shown.at(BOOK, 3)
        assert process.poll() is not None


@pytest.mark.parametrize("name", run.notebooks().values())
def test_the_words_by_which_cells_that_load_or_measure_are_known_stand_in_the_notebooks(name):
    cells = nbformat.read(notebook.PROJECT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    assert any(progress.MEASURES in source for source in sources) == (name != run.COMPARISON)
    loads, measures = ([number for number, source in enumerate(sources) if word in source] for word in (progress.LOADS, progress.MEASURES))
    assert loads < measures or not measures, "the forecast is awaited before a model is loaded"


@pytest.mark.slow
def test_the_forecast_is_of_each_notebook_with_the_parameters_that_it_is_given():
    few, many = (doctor.notebooks_s("demo", {"3_stylegan2_ada": dict(ITERATIONS=n, BATCHES_TRIED=[], PRECISIONS_TRIED=[]),
                                             "4_comparison": {}}) for n in (5, 50000))
    assert few["4_comparison"] == many["4_comparison"] == doctor.AROUND_S < few["3_stylegan2_ada"] < many["3_stylegan2_ada"]
