"""What tests share."""
import gc
import os
import shutil

import pytest
import torch
from latex import needs

# The demo models are too small to be shared among threads, which only wait for each other on a busy machine:
# one thread here, and one in the processes that tests start, notebooks' kernels among them.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _no_weights_from_the_environment(monkeypatch):
    monkeypatch.delenv("GENLIB_WEIGHTS", raising=False)
    monkeypatch.delenv("GENLIB_RESULTS", raising=False)
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")  # as torch was started here; a command under test would set it for good,
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # and how idle threads wait


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by playwright."""
    needs("chromium")
    if os.environ.get("CI") != "true":
        pytest.importorskip("playwright", reason="`make test-all` installs playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # measuring collects garbage before each iteration, and would look through a million objects of modules each time


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `pytest -n`, which tests run in one process, one after the other."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.partition("::")[0]
            if path.endswith(".ipynb"):
                return "notebooks"  # a notebook's cells share a kernel, and notebook 4 shows what 1 to 3 measured
            if "tests/measure/" in path:
                return "tests/measure"  # they read times, memory and load: one at a time
            return path  # a file's tests share what its fixtures load

    return Scheduling(config, log)
