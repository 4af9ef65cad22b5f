"""How many images two processes draw compared with one, a thread each, without start-up: make bench

One is started with OMP_NUM_THREADS=1. With 2 `generate` forks two, the first images being drawn before that.
"""
import os
import re
import sys
import tempfile
from statistics import median

from children import child

TURNS = 5
DRAWN = {  # the demo's models, with how many images and which options
    "stylegan2": (2000, []),
    "stable-diffusion": (200, ["--steps", "10"])}


def images_per_s(model: str, processes: int) -> float:
    """The rate that `generate` prints, from the first image to the last."""
    count, options = DRAWN[model]
    with tempfile.TemporaryDirectory() as out:
        printed = child("-m", "genlib", "generate", "--model", model, "--weights", "demo", "--seeds", f"0-{count - 1}", *options,
                        "--out", out, environment=os.environ | {"OMP_NUM_THREADS": str(processes)})
    return float(re.search(r"\(([\d.]+) images/s\)", printed)[1])


def main(models: list[str]) -> None:
    for model in models:
        rates = {1: [], 2: []}
        for _ in range(TURNS):
            for processes in rates:
                rates[processes].append(images_per_s(model, processes))
        one, two = map(median, rates.values())
        print(f"{model}, demo weights, {DRAWN[model][0]} images, a thread a process, medians of {TURNS} in turn: one {one:.1f} images/s, "
              f"two {two:.1f} images/s  x{two / one:.2f}  (target >= 1.8)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(DRAWN))
