"""What `genlib run` says while it works."""
from threading import Event

import nbformat
import pytest

import genlib.progress
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
def now(monkeypatch):
    """The clock, in seconds, which only the test moves; and no thread draws."""
    time = [1000.0]
    monkeypatch.setattr(genlib.progress, "clock", lambda: time[0])
    monkeypatch.setattr(genlib.progress._Board, "_keep_painting", lambda board, ended: None)
    monkeypatch.setattr(genlib.progress, "_board", genlib.progress._Board())
    return time


def test_the_time_left_is_the_forecast_at_first_and_what_was_seen_the_more_is_done():
    assert still_s(FORECAST_S, "1_a", ["2_b", "3_c"], 0, 0, 0, 1) == 70
    assert still_s(FORECAST_S, "1_a", [], 0.5, 40, 0, 1) == 0.5 * (20 + 40), "the half done took 40 s, the forecast of the whole"
    assert still_s(FORECAST_S, "1_a", [], 0.99, 100, 0, 1) == pytest.approx(1, rel=0.01)
    assert still_s(FORECAST_S, "2_b", ["3_c"], 0, 0, 0, 3) == 90, "the notebooks before took three times their forecast"


def test_within_a_cell_the_time_runs_down_and_one_that_takes_longer_leaves_that_of_the_notebooks_that_follow():
    assert still_s(FORECAST_S, "1_a", ["2_b", "3_c"], 0, 0, 15, 1) == 55
    assert still_s(FORECAST_S, "1_a", ["2_b", "3_c"], 0, 0, 500, 1) == 30
    assert still_s(FORECAST_S, "1_a", [], 0, 0, 500, 1) is None


def test_without_a_forecast_of_every_notebook_no_time_is_named():
    assert still_s({}, "1_a", [], 0.5, 10, 0, 1) is None
    assert still_s(FORECAST_S, "1_a", ["5_unknown"], 0.5, 10, 0, 1) is None


def test_a_line_says_notebook_section_what_was_printed_last_and_time_left_and_one_that_stays_what_a_notebook_took(capsys, monkeypatch, now):
    def line(seconds: float) -> str:
        now[0] += seconds
        genlib.progress._board.printed = 0
        genlib.progress._board.paint()
        return capsys.readouterr().err

    forecast_is(monkeypatch, FORECAST_S)
    with Progress("demo", {"1_a": {}, "2_b": {}}) as shown:
        shown.begin("1_a", "session 1 of 2: 1_a", ["2_b"])
        shown.at(BOOK, 1)
        assert line(6) == "session 1 of 2: 1_a · begins · 6 s so far\n", "no forecast as yet"
        for index in 2, 3:
            shown.at(BOOK, index)
        assert line(0) == "session 1 of 2: 1_a · Measure · about 59 s left\n"
        shown.said("iteration 2/5:    0.5 s\n")
        assert line(4) == "session 1 of 2: 1_a · Measure · iteration 2/5 · about 55 s left\n"
        shown.end()
        shown.begin("2_b", "2_b", [])
        assert line(0) == "2_b · begins · about 5 s left\n", "the first took a quarter of its forecast"
    assert line(60) == ""


def test_what_a_notebook_took_is_printed(capsys, now):
    with Progress("demo", {}) as shown:
        shown.begin("1_a", "session 1 of 2: 1_a", [])
        now[0] += 30
        shown.end()
    assert capsys.readouterr().out == "session 1 of 2: 1_a · 30 s\n"


@pytest.mark.parametrize("code", [
    "", "raise ValueError", "print('no forecast')", "print(5)", "print([1, 2])", "print('{\"1_a\": null}')", "print('{\"1_a\": NaN}')",
    "import sys; sys.stdout.buffer.write(b'\\xff')", "import os; os.kill(os.getpid(), 9)", "import time; time.sleep(600)"])
def test_a_forecast_that_fails_costs_the_display_its_times_and_nothing_else(monkeypatch, code, now):
    monkeypatch.setattr(progress, "FORECAST", code)
    monkeypatch.setattr(progress, "LONGEST_S", 0.2 if "sleep" in code else 60)
    with Progress("demo", {"1_a": {}}) as shown:
        process = shown._forecasting
        shown.begin("1_a", "1_a", [])
        shown.at(BOOK, 3)
        assert shown.left_s(now[0]) is None and process.poll() is not None


def test_an_interrupt_ends_the_forecast(monkeypatch):
    monkeypatch.setattr(progress, "FORECAST", "import time; time.sleep(600)")
    with pytest.raises(KeyboardInterrupt), Progress("demo", {"1_a": {}}) as shown:
        process = shown._forecasting
        raise KeyboardInterrupt
    assert process.poll() is not None


@pytest.mark.parametrize("index, is_done", [(1, False), (3, True)])
def test_a_page_is_made_beside_the_next_imports_and_done_before_something_is_measured(index, is_done):
    may_end, done = Event(), []
    with Progress("demo", {}) as shown:
        shown.beside(lambda: done.append(may_end.wait(0.2)))
        shown.at(BOOK, index)
        assert bool(done) == is_done
        may_end.set()
    assert done, "nor does the command end before it"


def test_what_goes_wrong_beside_ends_the_command_unless_something_else_has():
    def full():
        raise OSError("the disk is full")

    for index in 3, 1:  # at the next cell that measures, and at the end
        with pytest.raises(OSError, match="the disk is full"), Progress("demo", {}) as shown:
            shown.beside(full)
            shown.at(BOOK, index)
    with pytest.raises(ValueError, match="a cell failed"), Progress("demo", {}) as shown:
        shown.beside(full)
        raise ValueError("a cell failed")


@pytest.mark.parametrize("word", [progress.LOADS, progress.MEASURES])
def test_nothing_is_measured_or_loaded_beside_the_making_of_the_forecast(monkeypatch, word):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"first{word}it)"), *BOOK.cells])
    monkeypatch.setattr(progress, "FORECAST", "import time; time.sleep(0.2); print('{}')")
    with Progress("demo", {"1_a": {}}) as shown:
        process = shown._forecasting
        shown.begin("1_a", "1_a", [])
        shown.at(book, 2)
        assert process.poll() is None, "it goes on beside other cells"
        shown.at(book, 0)
        assert process.poll() is not None


@pytest.mark.parametrize("name", run.notebooks().values())
def test_the_words_by_which_cells_that_load_or_measure_are_known_stand_in_the_notebooks(name):
    cells = nbformat.read(notebook.PROJECT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    for word in progress.LOADS, progress.MEASURES:
        assert any(word in source for source in sources) == (name != run.COMPARISON), word


@pytest.mark.slow
def test_the_forecast_is_of_each_notebook_with_the_parameters_that_it_is_given():
    few, many = (doctor.notebooks_s("demo", {"3_stylegan2_ada": dict(ITERATIONS=n, BATCHES_TRIED=[], PRECISIONS_TRIED=[]),
                                             "4_comparison": {}}) for n in (5, 50000))
    assert few["4_comparison"] == many["4_comparison"] == doctor.AROUND_S < few["3_stylegan2_ada"] < many["3_stylegan2_ada"]
