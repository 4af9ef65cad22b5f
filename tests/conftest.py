"""What tests share."""
import gc
import os

import pytest
import torch

# The demo models are too small to share out, and threads that wait for each other stall on a busy machine: one here, and one in the
# processes that are started, notebooks' kernels among them.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _no_weights_from_the_environment(monkeypatch):
    monkeypatch.delenv("GENLIB_WEIGHTS", raising=False)
    monkeypatch.delenv("GENLIB_RESULTS", raising=False)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")  # as torch was started here; a command under test would set it for good


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own
def pytest_collection_modifyitems(config, items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # measuring collects garbage before each iteration, and would look through a million objects of modules each time


def _group(item) -> str:
    """The tests that `pytest --dist loadgroup` runs in one process, one after the other."""
    if item.path.suffix == ".ipynb":
        return "notebooks"  # a notebook's cells share a kernel, and notebook 4 shows what 1 to 3 measured
    if item.get_closest_marker("alone") or item.path.parent.name == "measure":
        return "alone"
    return item.nodeid.partition("::")[0]  # a file's tests share what its fixtures load
