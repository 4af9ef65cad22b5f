"""What a person sees of work that takes long: the part under way, how long still, and at the end nothing."""
import io
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch
from jupyter_client.manager import run_kernel
from PIL import Image

from genlib import measure, progress
from genlib.measure import work
from genlib.models import hashes, stylegan2, weights


class Terminal(io.StringIO):
    def isatty(self):
        return True


def seen(text: str) -> str:
    """What a text with carriage returns leaves on a terminal's line; without spaces at its end."""
    line, at = [], 0
    for letter in text:
        if letter == "\r":
            at = 0
        else:
            line[at:at + 1], at = letter, at + 1
    return "".join(line).rstrip()


@pytest.fixture
def now(monkeypatch):
    """The clock, in seconds, which only the test moves; and no thread draws."""
    time = [1000.0]
    monkeypatch.setattr(progress, "clock", lambda: time[0])
    monkeypatch.setattr(progress._Board, "_keep_painting", lambda board, ended: None)
    monkeypatch.setattr(progress, "_board", progress._Board())
    return time


@pytest.fixture
def terminal(monkeypatch, now):
    terminal = Terminal()
    monkeypatch.setattr(progress, "watched", lambda: (terminal, True))
    monkeypatch.setenv("COLUMNS", "100")
    return terminal


def after(now, seconds: float, terminal) -> str:
    """The line as it stands when so many seconds more have gone by."""
    now[0] += seconds
    progress._board.paint()
    return seen(terminal.getvalue())


def test_a_line_says_the_part_under_way_on_each_level_and_how_long_still_and_at_the_end_nothing_stays(now, terminal):
    with progress.Task("condition", 2) as conditions:
        conditions.part = "batch-4 (1 of 2)"
        with progress.Task("iteration", 5) as iterations:
            now[0] += 30
            iterations.update()
            with progress.steps(total=50) as steps:
                now[0] += 15
                steps.update(25)
                assert after(now, 0, terminal) == "batch-4 (1 of 2) · iteration 2 of 5 · step 26 of 50 · about 4 min left"
                assert after(now, 125, terminal).endswith("about 2 min left"), "45 s for 3 of 20 half-images are 255 s for the others"
    assert seen(terminal.getvalue()) == "" and terminal.getvalue().endswith("\r")


def test_what_remains_is_what_the_parts_so_far_took_and_it_runs_down_until_the_next_is_done(now, terminal):
    with progress.Task("step", 4) as steps:
        assert after(now, 10, terminal) == "step 1 of 4 · 10 s so far", "nothing to judge it by"
        steps.update()
        assert after(now, 0, terminal) == "step 2 of 4 · about 30 s left"
        assert after(now, 4, terminal) == "step 2 of 4 · about 26 s left"
        assert after(now, 30, terminal) == "step 2 of 4 · 44 s so far", "it takes longer than was thought"


def test_by_a_hundredth_that_was_done_at_once_nothing_is_foretold(now, terminal):
    with progress.Task("downloads a model", 5000, "MB") as task:
        task.update(1)
        now[0] += 1
        task.update(1)
        assert after(now, 3, terminal).endswith("4 s so far")
        now[0] += 6
        task.update(18)
        assert after(now, 0, terminal).endswith("20 of 5000 MB (2.00 MB/s) · about 42 min left")


def test_a_task_within_that_has_ended_takes_nothing_back(now, terminal):
    with progress.Task("iteration", 2):
        with progress.steps(total=10) as steps:
            now[0] += 10
            steps.update(10)
            assert after(now, 0, terminal) == "iteration 1 of 2 · step 10 of 10 · about 10 s left"
        assert after(now, 1, terminal) == "iteration 1 of 2 · about 9 s left"


@pytest.mark.parametrize("done, line", [(30, "30 of 120 MB (3.00 MB/s) · about 30 s left"), (0, "0 of 120 MB (0.00 MB/s) · 10 s so far")])
def test_what_is_only_counted_is_shown_with_its_rate(now, terminal, done, line):
    with progress.Task("downloads a.pkl", 120, "MB") as task:
        now[0] += 10
        task.update(done)
        assert after(now, 0, terminal) == f"downloads a.pkl {line}"


@pytest.mark.parametrize("seconds, text", [(0.2, "200 ms"), (50, "50 s"), (119, "119 s"), (720, "12 min"), (12600, "3.5 h")])
def test_a_duration_is_said_in_the_unit_that_fits(seconds, text):
    assert progress.duration(seconds) == text


def test_what_takes_less_than_two_seconds_says_nothing(now, terminal):
    with progress.Task("step", 4) as steps:
        after(now, 1.9, terminal)
        steps.update(3)
    with progress.Task("iteration", 100) as task:
        now[0] += 0.01
        task.update()
        with progress.quiet():
            pass
    assert terminal.getvalue() == ""


def test_of_a_measured_call_what_is_under_way_stands_there_from_before_it_and_is_redrawn_only_after_ten_seconds(now, terminal):
    with progress.Task("warm-up", 1), progress.quiet():
        begun = terminal.getvalue()
        assert seen(begun) == "warm-up 1 of 1 · 1 s so far"
        with progress.steps(total=50) as steps:
            for _ in range(9):
                steps.update()
                after(now, 1.1, terminal)
            assert terminal.getvalue() == begun, "9.9 s"
            assert after(now, 0.2, terminal) == "warm-up 1 of 1 · step 10 of 50 · about 39 s left"


def test_a_line_that_stays_is_printed_in_place_of_the_one_that_does_not(now, terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal)
    with progress.Task("iteration", 5):
        after(now, 5, terminal)
        progress.write("iteration 1/5: 5 s")
        [stays, rest] = terminal.getvalue().split("\n")
        assert seen(stays) == "iteration 1/5: 5 s" and rest == ""


def test_a_line_is_no_longer_than_the_terminal_is_wide_and_a_strangers_name_does_nothing_there(now, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    with progress.Task("loads a\x1b[2Jmodel" + " of names" * 9):
        assert after(now, 3, terminal) == r"loads a\x1b[2Jm… · 3 s so far"


def test_in_a_terminal_that_was_made_narrower_no_line_is_wrapped(now, terminal, monkeypatch):
    with progress.Task("loads a model" + " of names" * 9):
        after(now, 3, terminal)
        for columns in 40, 12, 2:
            terminal.truncate(terminal.seek(0))
            monkeypatch.setenv("COLUMNS", str(columns))
            after(now, 0, terminal)
            assert max(map(len, terminal.getvalue().split("\r"))) < columns


def test_each_process_of_a_launch_has_a_row_of_its_own(now, terminal, monkeypatch):
    for name, value in dict(WORLD_SIZE="4", RANK="3", LOCAL_RANK="1").items():
        monkeypatch.setenv(name, value)
    with progress.Task("", 40, "images") as task:
        now[0] += 10
        task.update(20)
        progress._board.paint()
        assert terminal.getvalue() == "\n\rprocess 4 of 4: 20 of 40 images (2.00 images/s) · about 10 s left\r\x1b[1A"


def test_where_there_is_no_terminal_a_plain_line_is_printed_every_half_minute(now, monkeypatch):
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    with progress.Task("iteration", 6) as task:
        for _ in range(5):
            after(now, 20, file)
            task.update()
            with progress.quiet():
                pass
    assert file.getvalue() == "iteration 2 of 6 · about 80 s left\niteration 4 of 6 · about 40 s left\n"


class Closed(Terminal):
    def write(self, text):
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("stream", [None, Closed()], ids=["none", "closed"])
def test_a_stream_that_cannot_be_written_to_stops_no_work(now, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.Task("iteration", 6), progress.quiet():
        now[0] += 60
        progress._board.paint()


@pytest.mark.parametrize("asked, expected", [(True, "step 1 of 4 · 3 s so far"), (False, "")])
def test_a_notebook_shows_it_to_a_person_and_keeps_none_of_it_where_a_program_executes_the_cells(now, monkeypatch, asked, expected):
    kernel = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=asked))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: kernel))
    monkeypatch.setattr(sys, "stdout", cell := io.StringIO())
    with progress.Task("step", 4):
        assert after(now, 3, cell) == expected
    assert seen(cell.getvalue()) == ""


def test_a_thread_draws_while_a_task_lasts_and_ends_with_it_even_after_an_interrupt(monkeypatch):
    monkeypatch.setattr(progress, "REDRAWN_S", 0.001)
    monkeypatch.setattr(progress, "LONG_S", 0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    drawn, before = threading.Event(), threading.active_count()
    sys.stderr.flush = drawn.set
    with pytest.raises(KeyboardInterrupt), progress.Task("iteration", 2), progress.steps(total=3):
        assert drawn.wait(60) and threading.active_count() == before + 1
        raise KeyboardInterrupt
    assert threading.active_count() == before and seen(sys.stderr.getvalue()) == ""


def test_an_interrupt_while_a_task_ends_leaves_neither_the_task_nor_its_thread(monkeypatch):
    class Interrupted:
        def __enter__(self):
            raise KeyboardInterrupt

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(progress, "REDRAWN_S", 0.001)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_board", board := progress._Board())
    with pytest.raises(KeyboardInterrupt), progress.Task("iteration", 2):
        thread, board.lock = board.thread, Interrupted()
    thread.join(60)
    assert not board.tasks and not thread.is_alive()


def test_tasks_may_end_in_another_order_than_they_were_nested_in(now, terminal):
    outer, inner = progress.Task("condition", 2).__enter__(), progress.Task("iteration", 2).__enter__()
    outer.__exit__()
    assert after(now, 3, terminal) == "iteration 1 of 2 · 3 s so far"
    inner.__exit__()
    assert after(now, 3, terminal) == "" and not progress._board.tasks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_is_forked_within_a_task_has_none_and_is_not_held_up(now, terminal):
    with ThreadPoolExecutor(1) as thread, progress.Task("iteration", 2):
        thread.submit(progress._board.lock.acquire).result()  # as by the thread that draws
        if not (child := os.fork()):
            with suppress(BaseException):
                signal.alarm(30)
                with progress.Task("in the child", 2), progress.quiet():
                    os._exit(0 if [task.name for task in progress._board.tasks] == ["in the child"] else 1)
            os._exit(2)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        thread.submit(progress._board.lock.release).result()
    assert ended == 0


IN_A_CELL = """
import time
from genlib import progress
progress.LONG_S, progress.REDRAWN_S = 0, 0.01
progress.write("before")
with progress.Task("condition", 2), progress.steps(total=3):
    time.sleep(0.3)
    progress.write("within")
"""


def test_a_person_who_executes_a_cell_sees_the_line_among_what_it_prints_and_a_program_gets_nothing_of_it():
    printed = {}
    with run_kernel() as kernel:
        for person in True, False:
            messages = []
            reply = kernel.execute_interactive(IN_A_CELL, allow_stdin=person, timeout=60, output_hook=messages.append)
            assert reply["content"]["status"] == "ok", reply
            assert {message["msg_type"] for message in messages} <= {"status", "execute_input", "stream"}
            printed[person] = "".join(message["content"]["text"] for message in messages if message["msg_type"] == "stream")
    assert printed[False] == "before\nwithin\n"
    assert "\rcondition 1 of 2 · step 1 of 3 · 1 s so far\r" in printed[True]
    assert [seen(line) for line in printed[True].split("\n")] == ["before", "within", ""]


@pytest.fixture
def lines(now, monkeypatch):
    """What the line would say at each beginning of a measured call."""
    said = []
    monkeypatch.setattr(progress._Board, "paint", lambda board, begins=False: said.append([str(task) for task in board.tasks]))
    return said


def test_repeat_sweep_and_the_thesiss_reading_say_which_call_of_how_many_is_under_way(lines, tmp_path):
    measure.repeat(lambda: None, experiment="e", iterations=2, warmup=1, results=tmp_path)
    assert lines == [["warm-up 1 of 1"], ["iteration 1 of 2"], ["iteration 2 of 2"]]
    lines.clear()
    measure.repeat_as_in_thesis(lambda: None, experiment="e", iterations=2, results=tmp_path)
    assert lines == [["iteration 1 of 2"], ["iteration 2 of 2"]]
    lines.clear()
    measure.sweep([2, 4], lambda n: (lambda: None, None, {}), experiment="e", setting="batch_size", iterations=1, warmup=0,
                  results=tmp_path)
    assert lines == [["batch-2 (1 of 2)", "iteration 1 of 1"], ["batch-4 (2 of 2)", "iteration 1 of 1"]]


def test_a_run_that_goes_on_until_its_mean_is_known_says_how_long_at_most(now, terminal, tmp_path):
    def see(index):
        now[0] += 20
        said.append(after(now, 0, terminal))

    said = []
    measure.repeat(see, experiment="e", iterations=1, until=0.5, limit=3, warmup=1, results=tmp_path)
    assert said[1:] == ["iteration 1 of at most 3 · at most 40 s left", "iteration 2 of at most 3 · at most 20 s left",
                        "iteration 3 of at most 3 · 80 s so far"]


def test_what_else_takes_long_says_what_it_does(monkeypatch, tmp_path):
    said, begin = [], progress._Board.begin
    monkeypatch.setattr(progress._Board, "begin", lambda board, task: said.append(task.name) or begin(board, task))
    monkeypatch.setattr(work, "machine_rates", lambda dtype: (1e9, 1e9))
    (tmp_path / "weights.bin").write_bytes(b"weights")
    run = measure.repeat(lambda: [Image.new("RGB", (8, 8))], experiment="e", iterations=1, quality=lambda pictures: {}, results=tmp_path)
    measure.record_work(run, measure.count_flops(lambda: torch.ones(2, 2) @ torch.ones(2, 2)))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        weights.fetch(f"http://127.0.0.1:{server.server_port}/weights.bin", tmp_path / "copy.bin")
        server.shutdown()
    hashes.sha256(tmp_path / "copy.bin")
    stylegan2.load("demo")
    assert said == ["call", "judges the pictures", "counts the operations of a call", "measures the machine's rates",
                    "downloads copy.bin", "computes the SHA-256 of copy.bin", "loads StyleGAN2-ADA, demo weights"]
