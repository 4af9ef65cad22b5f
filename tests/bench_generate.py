"""How many images two processes draw compared with one, a thread each, without start-up: make bench"""
import os
import re
import subprocess
import sys
import tempfile
from statistics import median

TURNS, COUNT = 3, 2000
LAUNCHERS = {1: [sys.executable, "-m"], 2: [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m"]}


def images_per_s(processes: int) -> float:
    """The rate that `generate` prints, from the first image to the last."""
    with tempfile.TemporaryDirectory() as out:
        command = [*LAUNCHERS[processes], "genlib", "generate", "--model", "stylegan2", "--weights", "demo", "--seeds", f"0-{COUNT - 1}",
                   "--out", out]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return float(re.search(r"\(([\d.]+) images/s\)", done.stdout)[1])


def main() -> None:
    rates = {processes: [] for processes in LAUNCHERS}
    for _ in range(TURNS):
        for processes in LAUNCHERS:
            rates[processes].append(images_per_s(processes))
    one, two = (median(found) for found in rates.values())
    print(f"StyleGAN2, demo weights, {COUNT} images, a thread a process, medians of {TURNS} in turn: one {one:.0f} images/s, two "
          f"{two:.0f} images/s  x{two / one:.2f}  (target >= 1.8)")


if __name__ == "__main__":
    main()
