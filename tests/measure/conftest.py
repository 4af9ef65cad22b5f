"""What the tests of measuring share."""
from types import SimpleNamespace

import pytest
import torch
from card import MIB

from genlib import nvml


@pytest.fixture
def cuda(monkeypatch):
    """A stand-in for torch.cuda: a dict of its figures, which a call may change."""
    figures = dict(peak=500 * MIB, reserved=600 * MIB, resets=0, synchronized=0, free=1000 * MIB, total=3000 * MIB, segments=[])
    properties = SimpleNamespace(name="Tesla T4", total_memory=15 * 1024 * MIB, uuid="abc")

    def count(name):
        figures[name] += 1

    for name, value in dict(
            is_available=lambda: True, current_device=lambda: 0, synchronize=lambda: count("synchronized"),
            reset_peak_memory_stats=lambda: count("resets"), max_memory_allocated=lambda: figures["peak"],
            max_memory_reserved=lambda: figures["reserved"], memory_allocated=lambda: 100 * MIB,
            memory_snapshot=lambda: figures["segments"], empty_cache=lambda: None,
            mem_get_info=lambda: (figures["free"], figures["total"]), get_device_properties=lambda *_: properties).items():
        monkeypatch.setattr(torch.cuda, name, value)
    nvml._asker.cache_clear()
    yield figures
    nvml._asker.cache_clear()
