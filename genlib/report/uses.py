"""What a use asks of a model: the limits that a reader sets, and those that the published claims mean."""
import math
from dataclasses import dataclass

from genlib.report.summary import readings
from genlib.runs import Run

REAL_TIME_S = 1 / 25  # an image of film; slower is seen as single pictures
WEAK_BYTES = 4 * 1024**3  # memory of a small graphics card


@dataclass(frozen=True)
class Limits:
    """What a reader asks of a model; 0 and False ask nothing. Raises ValueError for what is no limit."""
    seconds: float = 0.0  # that one image may take
    gb: float = 0.0  # of memory, VRAM on a GPU, else RAM; 1 GB = 1024³ bytes
    text: bool = False  # whether it has to take a prompt
    commercial: bool = False  # whether its licence has to allow commercial use
    deadline_h: float = 24.0  # in which many images have to be there: of the table of costs alone

    def __post_init__(self):
        for name, value in ("seconds", self.seconds), ("gb", self.gb):
            if not 0 <= value < math.inf:
                raise ValueError(f"the limit of {name} is {value}: use a number above 0, or 0 for no limit")
        if not 0 < self.deadline_h < math.inf:
            raise ValueError(f"deadline_h is {self.deadline_h}: use a number of hours above 0")

    def __bool__(self):
        return any((self.seconds, self.gb, self.text, self.commercial))


NO_LIMITS = Limits()


def held_by_device(run: Run) -> float:
    """The most that the GPU held during an iteration, without what other processes held; NaN if unknown."""
    return (readings(run.good, "vram_device_bytes") - readings(run.good, "vram_others_bytes").fillna(0)).max()
