"""What a use asks of a model: an image in real time, memory of a weak machine."""
from genlib.report.summary import readings
from genlib.runs import Run

REAL_TIME_S = 1 / 25  # an image of film; slower is seen as single pictures
WEAK_BYTES = 4 * 1024**3  # memory of a small graphics card


def held_by_device(run: Run) -> float:
    """The most that the GPU held during an iteration, without what other processes held; NaN if unknown."""
    return (readings(run.good, "vram_device_bytes") - readings(run.good, "vram_others_bytes").fillna(0)).max()
