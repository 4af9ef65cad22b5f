"""Forked processes: when they are taken; an error, an interrupt or a kill ends them all, and is said once."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from genlib import system
from genlib.models import forks

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")


@pytest.fixture
def machine(monkeypatch):
    """Eight cores, no GPU, no launcher, as far as the rule sees."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(forks.device, "pick", lambda: torch.device("cpu"))
    return monkeypatch


def test_a_small_network_on_a_cpu_is_shared_by_a_process_a_core_if_each_has_batches_enough(machine):
    assert [forks.how_many(batches, int(120e6)) for batches in (1, 39, 40, 10_000)] == [1, 1, 8, 8]


@pytest.mark.parametrize("why", ["a large network", "a GPU", "a launcher", "another system"])
def test_elsewhere_one_process_draws_all(machine, why):
    if why == "a GPU":
        machine.setattr(forks.device, "pick", lambda: torch.device("cuda"))
    if why == "a launcher":
        machine.setenv("WORLD_SIZE", "1")
    if why == "another system":
        machine.setattr(sys, "platform", "darwin")
    assert forks.how_many(10_000, int(3.4e9) if why == "a large network" else 1) == 1


@pytest.mark.parametrize("limit, variables, threads", [
    (None, {}, 8), (2.0, {}, 2), (0.5, {}, 1), (64.0, {}, 8), (None, {"LOCAL_WORLD_SIZE": "4"}, 2), (2.0, {"OMP_NUM_THREADS": "8"}, 8)])
def test_torch_takes_its_share_of_the_cores_that_a_container_has_unless_a_variable_says_otherwise(machine, limit, variables, threads):
    machine.delenv("OMP_NUM_THREADS")
    taken = [8]
    machine.setattr(torch, "set_num_threads", taken.append)
    machine.setattr(forks.system, "limit", lambda file: limit)
    for name, value in variables.items():
        machine.setenv(name, value)
    forks.take_threads()
    assert taken[-1] == threads


def test_one_batch_of_fifty_is_timed_before_the_fork_but_no_more_than_twenty():
    assert [forks.drawn_before(batches) for batches in (10, 100, 1000, 50_000)] == [1, 3, 21, 21]


def test_processes_that_would_not_fit_into_the_memory_are_not_taken(monkeypatch):
    monkeypatch.setattr(forks, "free_bytes", lambda: 4e9)
    assert forks.fit(8, int(0.5e9)) and not forks.fit(8, int(0.6e9))


def test_each_part_is_worked_on_in_a_process_of_its_own_with_one_thread(tmp_path):
    def work(number, part):
        launched = os.environ["RANK"] + os.environ["WORLD_SIZE"]
        (tmp_path / str(number)).write_text(f"{os.getpid()} {part} {torch.get_num_threads()} {launched}")

    forks.share(work, [[1], [2, 3]])
    processes, said = zip(*[(tmp_path / name).read_text().split(" ", 1) for name in "01"], strict=True)
    assert len({*processes, str(os.getpid())}) == 3 and said == ("[1] 1 02", "[2, 3] 1 12")
    assert "RANK" not in os.environ, "here there is no launcher still"


class Unusual(Exception):
    """It cannot be pickled, as it takes two arguments."""
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


@pytest.mark.parametrize("raised, caught, said", [
    (OSError(28, "No space left on device"), OSError, "No space left"), (Unusual("one", "other"), RuntimeError, "Unusual: one and other"),
    (None, MemoryError, "was killed, which mostly happens when the machine's memory is used up")])
def test_an_error_or_a_kill_of_one_is_raised_and_ends_the_others(raised, caught, said):
    def work(number, part):
        if number == 0:
            return time.sleep(600)
        if raised:
            raise raised
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(caught, match=said):
        forks.share(work, [[], []])
    assert not psutil.Process().children()


PARENT = """
import time
from genlib.models import forks
def work(number, part):
    print(flush=True)
    time.sleep(600)
forks.share(work, [[], []])
"""


def test_a_killed_parent_leaves_none_behind():
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=PROJECT, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline(), parent.stdout.readline()
        children = psutil.Process(parent.pid).children()
        parent.kill()
        assert len(children) == 2 and not psutil.wait_procs(children, timeout=60)[1]


INTERRUPTED = """
import os, signal, time
from genlib.models import forks
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))  # what is raised there, Python passes over
try:
    forks.share(lambda number, part: time.sleep(600), [[], []])
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_an_interrupt_at_the_moment_of_a_fork_is_not_lost():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted True\n", done.stderr


IGNORING = """
import os, signal
from genlib.models import forks
signal.signal(signal.SIGINT, signal.SIG_IGN)
forks.share(lambda number, part: os.kill(os.getppid(), signal.SIGINT), [[], []])
print("went on", signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
"""


def test_a_job_in_the_background_that_ignores_interrupts_goes_on():
    done = subprocess.run([sys.executable, "-c", IGNORING], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "went on True\n", done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP] if sys.platform == "linux" else [])
def test_a_process_that_is_told_twice_to_end_puts_away_first_what_it_was_writing(tmp_path, number):
    def work(*_):
        (tmp_path / "half").touch()
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # the parent's, which a closed terminal ends too
            (tmp_path / "half").unlink()

    with pytest.raises(MemoryError):
        forks.share(work, [[]])
    assert not list(tmp_path.iterdir())


TOLD_TWICE = """
import os, signal, time
from genlib.models import forks
def work(number, part):
    both = signal.SIGTERM, signal.SIGHUP
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    for number in both:
        os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
    time.sleep(600)
try:
    forks.share(work, [[]])
except MemoryError:
    print("ended")
"""


def test_a_process_that_is_told_twice_at_once_to_end_says_nothing():
    done = subprocess.run([sys.executable, "-c", TOLD_TWICE], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("ended\n", "")


def test_a_process_under_nohup_goes_on_when_the_terminal_is_closed(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        forks.share(lambda *_: (os.kill(os.getpid(), signal.SIGHUP), (tmp_path / "done").touch()), [[]])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "done").exists()


def test_a_process_that_does_not_end_when_it_is_asked_to_is_killed(monkeypatch):
    monkeypatch.setattr(system, "ENDS_WITHIN_S", 0.2)

    def work(number, part):
        if number:
            time.sleep(0.3)  # until the other hears nothing
            raise OSError(28, "No space left on device")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)

    with pytest.raises(OSError, match="No space left"):
        forks.share(work, [[], []])
    assert not psutil.Process().children()
