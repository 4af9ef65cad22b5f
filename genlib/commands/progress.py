"""What `genlib run` says while it works: which notebook, which section, how long still.

The time is the doctor's forecast, made by a process of its own while the first kernel starts, and corrected
by what has been done since.
"""
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping

from genlib import notebook

MEASURES = "measure."  # stands in the cells that measure
LOADS = ".load("  # and this where a model is loaded, whose time is recorded too
AS_LONG_AS = 10  # other cells takes one that measures, about
QUIET_S = 10  # between two lines where there is no terminal
LONGEST_S = 60  # that a forecast may take
FORECAST = "import json, sys; from genlib.commands import doctor; print(json.dumps(doctor.notebooks_s(*json.loads(sys.argv[1]))))"


class Progress:
    """The display of one command: `begin` and `end` for each notebook, `at` before each of its cells, `said`
    for each line that it prints. To be used in a `with`, which ends the forecast.

    On a terminal it is one line, which is rewritten; elsewhere a line for each notebook and, at most every
    QUIET_S seconds, one for its section.
    """

    def __init__(self, weights: str, parameters: Mapping[str, dict]):
        """parameters: the values of each notebook that is to be executed, by its name; {} for no forecast."""
        self._on_terminal = sys.stdout.isatty()
        self._forecast_s, self._took_s, self._foreseen_s, self._forecasting = {}, 0.0, 0.0, None
        if parameters:
            self._forecasting = subprocess.Popen([sys.executable, "-c", FORECAST, json.dumps([weights, parameters])], cwd=notebook.PROJECT,
                                                 stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._clear()
        self._end_forecast()

    def begin(self, name: str, title: str, later: list[str]) -> None:
        """A notebook, as it is called on the line, and the names of those that follow it."""
        self._name, self._title, self._later, self._section, self._share = name, title, later, "begins", 0.0
        self._start, self._last_line = time.perf_counter(), -QUIET_S
        self._show()

    def at(self, book, index: int) -> None:
        """The cell of the notebook that is executed next.

        Before the first one that loads or measures it waits for the forecast, which would disturb it.
        """
        cell = book.cells[index]
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            self._section = cell.source.partition("\n")[0].removeprefix("## ")
        if cell.cell_type == "code":
            self._share = sum(map(_weight, book.cells[:index])) / sum(map(_weight, book.cells))
            if self._forecasting and (MEASURES in cell.source or LOADS in cell.source):
                self._read_forecast()
            self._show()

    def said(self, text: str) -> None:
        """A text that the notebook has printed, of which the last line's beginning is shown."""
        self._show((text.splitlines() or [""])[-1].partition(":")[0].strip())

    def end(self) -> None:
        """The notebook has been executed."""
        took_s = time.perf_counter() - self._start
        if self._name in self._forecast_s:
            self._took_s, self._foreseen_s = self._took_s + took_s, self._foreseen_s + self._forecast_s[self._name]
        self._clear()
        print(f"{self._title} · {took_s:.0f} s", flush=True)

    def _read_forecast(self) -> None:
        try:  # one that fails costs the display its times, and no run
            answer, _ = self._forecasting.communicate(timeout=LONGEST_S)
            self._forecast_s = json.loads(answer.splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError):
            pass
        self._end_forecast()

    def _end_forecast(self) -> None:
        if self._forecasting:
            self._forecasting.kill()
            self._forecasting.wait()
            self._forecasting.stdout.close()
            self._forecasting = None

    def _show(self, detail: str = "") -> None:
        now = time.perf_counter()
        if not self._on_terminal and now - self._last_line < QUIET_S:
            return
        self._last_line = now
        left_s = still_s(self._forecast_s, self._name, self._later, self._share, now - self._start,
                         self._took_s / self._foreseen_s if self._foreseen_s else 1)
        parts = [self._title, self._section, detail, f"{now - self._start:.0f} s", left_s and f"about {_span(left_s)} left"]
        line = " · ".join(filter(None, parts))
        if self._on_terminal:
            self._clear()
            print(line[:shutil.get_terminal_size().columns - 1], end="", flush=True)
        else:
            print(line, flush=True)

    def _clear(self) -> None:
        if self._on_terminal:
            print("\r\x1b[K", end="", flush=True)


def still_s(forecast_s: Mapping[str, float], name: str, later: list[str], share: float, elapsed_s: float, slower: float) -> float | None:
    """Seconds until all notebooks are executed; None where one of them has no forecast.

    share: how much of the notebook `name` is done, 0 to 1. The more that is, the more its time by then,
    elapsed_s, counts, and the less the forecast. slower: what the notebooks before it took, over their
    forecast.
    """
    if not forecast_s.keys() >= {name, *later}:
        return None
    whole_s = (1 - share) * slower * forecast_s[name] + elapsed_s  # = (1 - share) · forecast + share · (elapsed / share)
    return (1 - share) * whole_s + slower * sum(forecast_s[one] for one in later)


def _weight(cell) -> int:
    return (AS_LONG_AS if MEASURES in cell.source else 1) * (cell.cell_type == "code")


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
