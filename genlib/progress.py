"""What is under way and how long it still takes: one line, redrawn in place, of which nothing stays.

A task has parts, and a task that is begun within another belongs to the part under way there: a sweep has
conditions, a condition calls, a call steps. One line names them all. A person sees it in a terminal or a
notebook. Where there is no terminal (CI, a file), it is printed now and then. In a notebook that a program
executes it is not, so that the outputs which are kept hold none of it.
"""
import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager, suppress
from itertools import dropwhile

from genlib.escape import plain

LONG_S = 2  # what takes less says nothing
REDRAWN_S = 0.5
PRINTED_S = 30
QUIET_S = 10  # of a measured call, during which nothing is drawn
JUDGED_BY = 0.01, 10  # the share, or else the seconds, that must be done before it is said what remains
NOTEBOOK_WIDTH = 100  # characters
clock = time.monotonic


class Task:
    """Something under way, for as long as the context lasts.

    name: with a total but no unit, what a part is called, as in "step 13 of 50".
    total: the number of parts, if known.
    unit: for parts that are only counted, as in "40 of 200 images (3.10 images/s)".
    bound: "at most" where it may end early.
    """

    def __init__(self, name: str, total: float | None = None, unit: str = "", bound: str = "about"):
        self.name, self.total, self.unit, self.bound, self.done, self.begun = name, total, unit, bound, 0, clock()
        self.part = ""  # what the part under way is called, if not by its number

    def __enter__(self):
        _board.begin(self)
        return self

    def __exit__(self, *_):
        _board.end(self)

    def update(self, parts: float = 1) -> None:
        """So many parts more are done."""
        self.done += parts
        _board.updated = clock()

    def left_s(self, now: float) -> float | None:
        """Seconds that it still takes, where that is known otherwise than by its parts."""
        return None

    def __str__(self):
        if self.unit:
            rate = self.done / max(clock() - self.begun, 1e-9)
            of = f"{self.done:.0f} of {self.total:.0f} {self.unit} ({rate:.2f} {self.unit}/s)" if self.total else ""
            return " ".join(filter(None, (self.name, of)))
        counted = f"{self.name} {min(self.done + 1, self.total)} of {self.total}" if self.total else self.name
        return self.part or counted


def steps(iterable=None, total: int | None = None):
    """What a pipeline of diffusers takes in place of its own `progress_bar`.

    Few give it an `iterable`, whose steps are not counted: if their loop failed, nobody would end the task.
    """
    return Task("step", total) if iterable is None else iterable


@contextmanager
def quiet():
    """A measured call: what is under way is drawn before it, and only if it takes long, meanwhile."""
    with _board.lock:  # so that the thread does not begin to draw in between
        _board.paint(begins=True)
        _board.quiet_until = clock() + QUIET_S
    try:
        yield
    finally:
        _board.quiet_until = 0


def write(line: str) -> None:
    """Print a line that stays."""
    with _board.lock:
        _board.erase()
        print(line, flush=True)


def duration(seconds: float) -> str:
    """As in "300 ms", "50 s", "12 min", "3.5 h"."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class _Board:
    """The tasks under way, and the line that says so."""

    def __init__(self):
        self.lock, self.tasks, self.thread, self.ended = threading.RLock(), [], None, None
        self.quiet_until = self.updated = self.printed = 0.0
        self.stream, self.in_place, self.drawn = None, False, 0  # drawn: characters that stand there
        self.best = None, 0.0, 0.0  # a task, the largest share of it that was seen to be done, and when it was

    def begin(self, task: Task) -> None:
        with self.lock:
            self.tasks.append(task)
            if len(self.tasks) > 1:
                return
            self.stream, self.in_place = watched()
            self.printed = clock()
            if self.stream is not None:
                self.ended = threading.Event()
                self.thread = threading.Thread(target=self._keep_painting, args=(self.ended,), daemon=True)
                self.thread.start()

    def end(self, task: Task) -> None:
        with suppress(ValueError):  # of a process that was forked within the task, and has no tasks of its own
            self.tasks.remove(task)  # before an interrupt can come: the thread ends without tasks
        with self.lock:
            if self.tasks:
                return
            self.erase()
            thread, self.thread, self.best = self.thread, None, (None, 0.0, 0.0)
        if thread:
            self.ended.set()
            thread.join()

    def _keep_painting(self, ended: threading.Event) -> None:
        while not ended.wait(REDRAWN_S) and self.tasks:
            self.paint()

    def paint(self, begins: bool = False) -> None:
        """Draw or print the line if it is time to. begins: the last moment before a measured call."""
        with self.lock:
            now = clock()
            if not self.tasks or self.stream is None or now < self.quiet_until:
                return
            left = self._left(now)
            lasts = (left is None or left >= LONG_S) if begins else now - self.tasks[0].begun >= LONG_S
            if self.in_place and lasts:
                self._draw(*self._line(now, left))
            elif not self.in_place and now - self.printed >= PRINTED_S:
                self.printed = now
                self._write("".join(self._line(now, left)) + "\n")

    def erase(self) -> None:
        """Take the line away."""
        if self.drawn:
            self._draw("")

    def _line(self, now: float, left: float | None) -> tuple[str, str]:
        """What is under way, and how long."""
        processes = int(os.environ.get("WORLD_SIZE", 1))
        who = f"process {int(os.environ.get('RANK', 0)) + 1} of {processes}: " if processes > 1 else ""
        so_far, bound = duration(max(1, now - self.tasks[0].begun)), (self.best[0] or self.tasks[0]).bound
        how_long = f" · {so_far} so far" if left is None else f" · {bound} {duration(max(1, left))} left"
        return who + plain(" · ".join(map(str, self.tasks))), how_long

    def _left(self, now: float) -> float | None:
        """Seconds that the outermost task of known length still takes; None if that is not known."""
        if left := self.tasks[0].left_s(now) if self.tasks else None:
            return left
        tasks = list(dropwhile(lambda task: not task.total, self.tasks))
        share = 0.0
        for task in reversed(tasks):
            share = min(1, (task.done + share) / task.total) if task.total else 0.0
        if tasks and (tasks[0] is not self.best[0] or share > self.best[1]):
            self.best = tasks[0], share, self.updated  # a later smaller one only means that a task within has ended
        task, share, at = self.best
        known = tasks and share and (share >= JUDGED_BY[0] or at - task.begun >= JUDGED_BY[1])
        left = (at - task.begun) * (1 / share - 1) - (now - at) if known else 0
        return left if left > 0 else None

    def _draw(self, what: str, how_long: str = "") -> None:
        """In the row of this process: those of a launch share the terminal. The cursor is left at the row's
        beginning, where whatever else is printed writes over the line."""
        width = shutil.get_terminal_size().columns - 1 if self.stream.isatty() else NOTEBOOK_WIDTH
        room = max(1, width - len(how_long))
        line = f"{what if len(what) <= room else f'{what[:room - 1]}…'}{how_long}"[:width]
        row = int(os.environ.get("LOCAL_RANK", 0))
        self._write("\n" * row + f"\r{line.ljust(min(self.drawn, width))}\r" + f"\x1b[{row}A" * (row > 0))
        self.drawn = len(line)

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # closed, or of an encoding without these letters: no reason to stop the work
            self.stream.write(text)
            self.stream.flush()


def watched():
    """The stream for progress, and whether it is redrawn in place; (None, False) where nobody sees it."""
    kernel = getattr(getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)(), "kernel", None)
    if kernel is not None:  # whose cells may ask for input if a person executes them, and not if nbclient or nbval does
        return (sys.stdout, True) if getattr(kernel, "_allow_stdin", False) else (None, False)
    return sys.stderr, sys.stderr is not None and sys.stderr.isatty()


_board = _Board()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=lambda: _board.__init__())  # its thread is not there, and may have held the lock
