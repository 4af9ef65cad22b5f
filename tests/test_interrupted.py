"""After a kill at any moment, or on a full disk, what was measured is whole, and a second run goes on."""
import hashlib
import random
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from genlib import runs

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOK = PROJECT / "notebooks" / "1_stable_diffusion.ipynb"
KILLS = 20
pytestmark = pytest.mark.slow
PARAMETERS = ("WEIGHTS, STEPS, ITERATIONS, SHARES_OF_STEPS_TRIED, BATCHES_TRIED, PRECISIONS_TRIED, RESULTS = "
              "'demo', 8, 4, [0.5], [], [], {!r}")


class Kernel:
    """A real kernel with the notebook in it; its own process can be killed."""

    def __init__(self, results: Path):
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(NOTEBOOK.parent),
                                                     extra_arguments=["--log-level=CRITICAL"])
        cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
        places = {cell.id: i for i, cell in enumerate(cells)}
        self.setting_up = [cell.source for cell in cells[:places["imports"] + 1]]
        self.setting_up.insert(places["parameters"] + 1, PARAMETERS.format(str(results)))
        self.measuring = [cell.source for cell in cells[places["imports"] + 1:]]
        self.printed = ""

    def run(self, sources) -> None:
        """Execute cells one after the other, as Run all does; an error is raised here."""
        for source in sources:
            reply = self.client.execute_interactive(source, timeout=120, output_hook=self._keep, store_history=False)
            assert reply["content"]["status"] == "ok", reply["content"]

    def _keep(self, message) -> None:
        if message["msg_type"] == "stream":
            self.printed += message["content"]["text"]

    def start(self) -> None:
        """Run all, without waiting for it."""
        for source in self.measuring:
            self.client.execute(source, store_history=False)

    def end(self) -> None:
        """SIGKILL, whatever it is doing."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def whole(results: Path) -> dict[str, int]:
    """The iterations of each run on disk; every record can be read and its pictures are what it says."""
    counts = {}
    for path in results.rglob("run.json"):
        run = runs.read(path)
        for picture in [picture for iteration in run.iterations for picture in iteration.images]:
            assert hashlib.sha256((run.folder / picture.file).read_bytes()).hexdigest() == picture.sha256
        counts[str(path)] = len(run.iterations)
    return counts


def test_a_notebook_kernel_killed_at_random_moments_loses_nothing_that_was_measured(tmp_path):
    moments, before, cut_short = random.Random(0), {}, 0
    kernel = Kernel(tmp_path / "whole")
    kernel.run(kernel.setting_up)
    began = time.perf_counter()
    kernel.run(kernel.measuring)
    again = time.perf_counter()
    kernel.run(kernel.measuring)
    takes_s = min(again - began, time.perf_counter() - again)  # the first time files are read from the disk
    kernel.end()
    for _ in range(KILLS):
        kernel = Kernel(tmp_path / "killed")
        kernel.run(kernel.setting_up)
        kernel.start()
        time.sleep(moments.uniform(0, takes_s))
        kernel.end()
        after = whole(tmp_path / "killed")
        assert all(after[path] >= count for path, count in before.items()), "an iteration that was on disk is gone"
        cut_short += any(runs.read(path).finished is None and count != before.get(path) for path, count in after.items())
        before = after
    assert cut_short >= KILLS / 4, f"only {cut_short} of {KILLS} kills hit a run"
    kernel = Kernel(tmp_path / "killed")
    kernel.run(kernel.setting_up + kernel.measuring)
    kernel.end()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a record that cannot be read would be named
        df = runs.load(tmp_path / "killed")
    sizes = df[df["method"] == "genlib"].groupby(["variant", "session"]).size()
    assert all(set(sizes[variant]) == {4} for variant in ("", "face-prompt", "guidance-1")) and whole(tmp_path / "killed")


def test_a_second_run_all_goes_on_within_the_run_that_was_cut_off_and_says_so(tmp_path):
    kernel = Kernel(tmp_path)
    kernel.run(kernel.setting_up)
    kernel.start()
    for _ in range(600):
        if any(whole(tmp_path).values()):
            break
        time.sleep(0.1)
    kernel.end()
    path, measured = next((path, count) for path, count in whole(tmp_path).items() if count)
    assert runs.read(path).finished is None, "it was over before the kill: make the run longer"
    kernel = Kernel(tmp_path)
    kernel.run(kernel.setting_up + kernel.measuring)
    kernel.end()
    assert "continues the run of" in kernel.printed and f"after {measured} of 4 iterations" in kernel.printed
    assert runs.read(path).finished and whole(tmp_path)[path] == 4


FILLING = """
import numpy as np, sys
from PIL import Image
from genlib import measure
noise = lambda index: [Image.fromarray(np.random.RandomState(index).randint(0, 256, (100, 100, 3), dtype=np.uint8))]
try:
    measure.repeat(noise, experiment="e", iterations=8, results=sys.argv[1])
except OSError as error:
    print("said:", error)
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs Linux's unshare")
def test_a_disk_that_fills_up_keeps_what_was_measured_and_with_space_the_run_goes_on(tmp_path):
    """A tmpfs of 150 kB holds four pictures of 30 kB; it is mounted in a namespace of the test's own."""
    small = tmp_path / "small"
    small.mkdir()
    script = (f"mount -t tmpfs -o size=150k tmpfs {small} && {sys.executable} -c '{FILLING}' {small}; ls {small}; "
              f"mount -o remount,size=1m {small} && {sys.executable} -c '{FILLING}' {small} && cp -r {small}/. {tmp_path}/kept")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, cwd=PROJECT)
    if "unshare" in done.stderr or "permission denied" in done.stderr:
        pytest.skip(f"no namespace here: {done.stderr.strip()}")
    assert "said: [Errno 28] the disk is full (0.0 MB free): free some space" in done.stdout, done.stdout + done.stderr
    assert "which was interrupted after" in done.stdout
    [run] = runs.read_all(tmp_path / "kept")
    assert run.resumed and len(run.iterations) == 8 and whole(tmp_path / "kept")
