"""What tests share."""
import pytest
import torch


@pytest.fixture(autouse=True)
def _no_weights_from_the_environment(monkeypatch):
    monkeypatch.delenv("GENLIB_WEIGHTS", raising=False)
    monkeypatch.delenv("GENLIB_RESULTS", raising=False)


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
