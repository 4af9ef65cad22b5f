"""What tests share."""
import pytest
import torch

torch.set_num_threads(1)  # the demo models are too small to share out, and threads that wait for each other stall on a busy machine


@pytest.fixture(autouse=True)
def _no_weights_from_the_environment(monkeypatch):
    monkeypatch.delenv("GENLIB_WEIGHTS", raising=False)
    monkeypatch.delenv("GENLIB_RESULTS", raising=False)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")  # as torch was started here; a command under test would set it for good


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
