"""What `genlib run` says while it works: which notebook, which section, how long still.

The time is the doctor's forecast, made by a process of its own while the first kernel starts, and corrected
by what has been done since.
"""
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from genlib import notebook, progress

MEASURES = "measure."  # stands in the cells that measure
LOADS = ".load("  # and this where a model is loaded, whose time is recorded too
AS_LONG_AS = 10  # a cell that measures counts like so many others
LONGEST_S = 60  # that a forecast may take
# Without collections, which find nothing and make imports a quarter longer.
FORECAST = """import gc; gc.disable()
import json, sys
from genlib.commands import doctor
print(json.dumps(doctor.notebooks_s(*json.loads(sys.argv[1]))))"""


class Progress(progress.Task):
    """The display of one command: `begin` and `end` for each notebook, `at` before each of its cells, `said`
    for each line that it prints. To be used in a `with`, which ends whatever runs beside."""

    def __init__(self, weights: str, parameters: Mapping[str, dict]):
        """parameters: the values of each notebook that is to be executed, by its name; {} for no forecast."""
        super().__init__("notebooks")
        self.begin("", "", [])
        self._forecast_s, self._took_s, self._foreseen_s, self._forecasting = {}, 0.0, 0.0, None
        self._worker, self._beside = ThreadPoolExecutor(1), None
        if parameters:
            self._forecasting = subprocess.Popen([sys.executable, "-c", FORECAST, json.dumps([weights, parameters])], cwd=notebook.PROJECT,
                                                 stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)

    def __exit__(self, kind, *error):
        self._end_forecast()
        self._worker.shutdown()
        super().__exit__(kind, *error)
        if kind is None:
            self._end_beside()

    def begin(self, name: str, title: str, later: list[str]) -> None:
        """A notebook, as it is called on the line, and the names of those that follow it."""
        self._notebook, self._title, self._later, self._section, self._detail, self._share = name, title, later, "begins", "", 0.0
        self.begun = self._cell_begun = progress.clock()

    def at(self, book, index: int) -> None:
        """The cell of the notebook that is executed next.

        Before one that loads or measures it waits for the forecast and what is done `beside`, which would
        disturb it.
        """
        cell = book.cells[index]
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            self._section, self._detail = cell.source.partition("\n")[0].removeprefix("## "), ""
        if cell.cell_type == "code":
            if MEASURES in cell.source or LOADS in cell.source:
                self._end_beside()
                self._read_forecast()
            self._share = sum(map(_weight, book.cells[:index])) / sum(map(_weight, book.cells))
            self._cell_begun = progress.clock()

    def beside(self, work: Callable[[], None]) -> None:
        """Do it while the next kernel starts and imports, which takes one core; what it raises is raised when
        it is waited for."""
        self._end_beside()
        self._beside = self._worker.submit(work)

    def said(self, text: str) -> None:
        """A text that the notebook has printed; of its last line what stands before a colon is shown."""
        self._detail = (text.splitlines() or [""])[-1].rpartition(": ")[0].strip()

    def end(self) -> None:
        """The notebook has been executed."""
        took_s = progress.clock() - self.begun
        if self._notebook in self._forecast_s:
            self._took_s, self._foreseen_s = self._took_s + took_s, self._foreseen_s + self._forecast_s[self._notebook]
        progress.write(f"{self._title} · {took_s:.0f} s")

    def __str__(self):
        return " · ".join(filter(None, (self._title, self._section, self._detail)))

    def left_s(self, now: float) -> float | None:
        """Seconds until all notebooks are executed, by the forecast; None without one."""
        return still_s(self._forecast_s, self._notebook, self._later, self._share, self._cell_begun - self.begun, now - self._cell_begun,
                       self._took_s / self._foreseen_s if self._foreseen_s else 1)

    def _end_beside(self) -> None:
        if self._beside:
            self._beside.result()

    def _read_forecast(self) -> None:
        if not self._forecasting:
            return
        try:  # one that fails costs the display its times, and no run
            answer, _ = self._forecasting.communicate(timeout=LONGEST_S)
            self._forecast_s = {name: float(seconds) for name, seconds in dict(json.loads(answer.splitlines()[-1])).items()}
        except (subprocess.TimeoutExpired, ValueError, IndexError, TypeError):
            pass
        self._end_forecast()

    def _end_forecast(self) -> None:
        if self._forecasting:
            self._forecasting.kill()
            self._forecasting.wait()
            self._forecasting.stdout.close()
            self._forecasting = None


def still_s(forecast_s: Mapping[str, float], name: str, later: list[str], share: float, elapsed_s: float, in_cell_s: float,
            slower: float) -> float | None:
    """Seconds until all notebooks are executed; None where one of them has no forecast or none remain.

    share: how much of the notebook `name` was done, 0 to 1, when its cell began: elapsed_s after the
    notebook, in_cell_s ago. The more that is, the more the time that it took counts, and the less the
    forecast. slower: what the notebooks before took, over their forecast.
    """
    if not forecast_s.keys() >= {name, *later}:
        return None
    whole_s = (1 - share) * slower * forecast_s[name] + elapsed_s  # = (1 - share) · forecast + share · (elapsed / share)
    return max(0, (1 - share) * whole_s - in_cell_s) + slower * sum(forecast_s[one] for one in later) or None


def _weight(cell) -> int:
    return (AS_LONG_AS if MEASURES in cell.source else 1) * (cell.cell_type == "code")
