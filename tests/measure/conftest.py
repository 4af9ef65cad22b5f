"""What the tests of measuring share."""
import threading
from types import SimpleNamespace

import pytest
import torch
from card import MIB

from genlib import nvml


@pytest.fixture
def cuda(monkeypatch):
    """A stand-in for torch.cuda: a dict of its figures, which a call may change.

    `uuids` are those of the GPUs that torch sees, in its order. As with the real one, each thread has a
    current GPU of its own, at first number 0.
    """
    figures = dict(peak=500 * MIB, reserved=600 * MIB, resets=0, synchronized=0, free=1000 * MIB, total=3000 * MIB, segments=[],
                   name="Tesla T4", uuids=["abc"])
    current = threading.local()

    def gpu():
        return getattr(current, "number", 0)

    def properties(device=None):
        number = gpu() if device is None else getattr(device, "index", device)
        return SimpleNamespace(name=figures["name"], total_memory=15 * 1024 * MIB, uuid=figures["uuids"][number])

    def choose(device):
        current.number = getattr(device, "index", device)

    def count(name):
        figures[name] += 1

    for name, value in dict(
            is_available=lambda: True, current_device=gpu, set_device=choose, synchronize=lambda: count("synchronized"),
            reset_peak_memory_stats=lambda: count("resets"), max_memory_allocated=lambda: figures["peak"],
            max_memory_reserved=lambda: figures["reserved"], memory_allocated=lambda: 100 * MIB,
            memory_snapshot=lambda: figures["segments"], empty_cache=lambda: None,
            mem_get_info=lambda: (figures["free"] + gpu() * MIB, figures["total"]), get_device_properties=properties).items():
        monkeypatch.setattr(torch.cuda, name, value)
    nvml._asker.cache_clear()
    yield figures
    nvml._asker.cache_clear()
