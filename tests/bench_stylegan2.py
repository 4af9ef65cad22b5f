"""Speed and memory of the StyleGAN2 generator, compared with the plain formulation, interleaved: make bench

In the plain formulation there is a kernel for each sample, all in one grouped convolution, in NCHW;
upsampling is a transposed convolution and then a depthwise filter; noise, bias, activation and gain are
operations of their own. Random weights of the published architecture, float32, on the CPU.
"""
import argparse
import os
import statistics
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from math import sqrt

import torch
import torch.nn.functional as F
from children import child, in_turn, timed

from genlib.measure.readings import Readings
from genlib.models import stylegan2
from genlib.models.stylegan2.network import Generator

ALL = ["256,1", "256,4", "512,1", "512,4", "1024,1", "1024,4"]  # resolution, batch


class Plain:
    """The synthesis network in its plain form, for a skip generator with the default filter."""

    def __init__(self, generator: Generator):
        self.state = generator.synthesis.state_dict()
        self.clamp = generator.config["synthesis_kwargs"]["conv_clamp"]
        self.resolutions = generator.synthesis.block_resolutions

    def __call__(self, ws: torch.Tensor) -> torch.Tensor:
        x, image = self.state["b4.const"].expand(len(ws), -1, -1, -1), None
        for k, r in enumerate(self.resolutions):
            if k:
                x = self.styled(f"b{r}.conv0", x, ws[:, 2 * k - 1], upsample=True)
            x = self.styled(f"b{r}.conv1", x, ws[:, 2 * k], upsample=False)
            rgb = self.to_rgb(f"b{r}.torgb", x, ws[:, 2 * k + 1])
            image = rgb if image is None else self.upsample(image, self.state[f"b{r}.resample_filter"]) + rgb
        return image

    def affine(self, name, w):
        weight = self.state[f"{name}.affine.weight"]
        return F.linear(w, weight / sqrt(weight.shape[1]), self.state[f"{name}.affine.bias"])

    def styled(self, name, x, w, upsample):
        N, C, H, W = x.shape
        weight = self.state[f"{name}.weight"]
        kernels = weight[None] * self.affine(name, w)[:, None, :, None, None]  # [N, O, C, 3, 3]
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        x = x.reshape(1, N * C, H, W)
        if upsample:
            x = F.conv_transpose2d(x, kernels.transpose(1, 2).flatten(0, 1), stride=2, groups=N)
            x = self.filter(x, self.state[f"{name}.resample_filter"], 1, 1)
        else:
            x = F.conv2d(x, kernels.flatten(0, 1), padding=1, groups=N)
        x = x.reshape(N, len(weight), *x.shape[2:])
        x = x + self.state[f"{name}.noise_const"] * self.state[f"{name}.noise_strength"]
        x = x + self.state[f"{name}.bias"][:, None, None]
        return self.clamped(F.leaky_relu(x, 0.2) * sqrt(2))

    def to_rgb(self, name, x, w):
        N, C, H, W = x.shape
        kernels = self.state[f"{name}.weight"][None] * (self.affine(name, w) / sqrt(C))[:, None, :, None, None]
        x = F.conv2d(x.reshape(1, N * C, H, W), kernels.flatten(0, 1), groups=N).reshape(N, -1, H, W)
        return self.clamped(x + self.state[f"{name}.bias"][:, None, None])

    def clamped(self, x):
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def upsample(self, image, taps):
        N, C, H, W = image.shape
        spread = F.pad(image.reshape(N, C, H, 1, W, 1), [0, 1, 0, 0, 0, 1]).reshape(N, C, 2 * H, 2 * W)
        return self.filter(spread, taps, 2, 1)

    def filter(self, x, taps, before, after):
        x = F.pad(x, [before, after, before, after])
        return F.conv2d(x, (4 * taps).expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


def peak_bytes(call) -> int:
    """How far RSS rises during the call."""
    readings = Readings()
    readings.start()
    before = readings._rss_peak_bytes
    call()
    return readings.stop().ram_peak_bytes - before


def calls(resolution: int, batch: int) -> dict:
    """The plain form and genlib's, with the same network and style vectors."""
    config = stylegan2.config(resolution)
    config["synthesis_kwargs"] |= dict(num_fp16_res=0, conv_clamp=None)
    torch.manual_seed(0)
    generator = Generator(**config).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    plain_form, ws = Plain(generator), generator.mapping(torch.randn(batch, 512))
    return {"plain": lambda: plain_form(ws), "genlib": lambda: generator.synthesis(ws, "const")}


@torch.inference_mode()
def bench(resolution: int, batch: int, rounds: int) -> None:
    """Print medians, ratio, images a second, peak memory, largest difference in standard deviations."""
    forms = calls(resolution, batch)
    expected, image = forms["plain"](), forms["genlib"]()  # this is also the warm-up
    times = [{name: timed(call) for name, call in forms.items()} for _ in range(rounds)]
    peaks = {name: peak_bytes(call) / 1024**2 for name, call in forms.items()}
    plain, ours = (statistics.median(time[name] for time in times) for name in forms)
    error = ((image - expected).abs().max() / expected.std()).item()
    print(f"{resolution:5} px  batch {batch}  plain {1000 * plain:6.0f} ms  genlib {1000 * ours:6.0f} ms  x{plain / ours:4.2f}  "
          f"{batch / ours:5.2f} images/s  peak {peaks['plain']:5.0f} / {peaks['genlib']:5.0f} MB  difference {error:.0e} sigma", flush=True)


HUGE = {"THP_MEM_ALLOC_ENABLE": "1"}  # torch asks Linux for huge pages
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}  # glibc keeps freed memory for the next map
PAGES = {"plain": ("plain", {}), "genlib": ("genlib", {}), "genlib, huge pages": ("genlib", HUGE),
         "plain, huge pages, kept heap": ("plain", HUGE | KEPT), "genlib, huge pages, kept heap": ("genlib", HUGE | KEPT)}
SOON = {"GOMP_SPINCOUNT": "1000"}  # as `run` and `generate` set it
BESIDE = ", beside a busy core"
WAITING = {"genlib": ("genlib", {}), "genlib, waiting soon": ("genlib", SOON),  # at most 1.05 times the first's time, and then 2.2 times
           f"genlib{BESIDE}": ("genlib", {}), f"genlib, waiting soon{BESIDE}": ("genlib", SOON)}


def bench_children(kinds: dict, size: str, rounds: int, turns: int = 3) -> None:
    """Compare what is chosen before a process starts: a child process for each, in turn."""
    unset = {name: value for name, value in os.environ.items() if name not in SOON}

    def seconds(name: str, form: str, environment: dict) -> float:
        with busy_core() if BESIDE in name else nullcontext():
            return float(child(__file__, size, f"--rounds={rounds}", f"--only={form}", environment=unset | environment))

    times = in_turn({name: partial(seconds, name, *kind) for name, kind in kinds.items()}, turns)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    first = medians[next(iter(kinds))]
    for name, median in medians.items():
        print(f"{size:>7}  {name:42} {1000 * median:6.0f} ms  x{first / median:4.2f}  {median / first:4.2f} times the first's", flush=True)


@contextmanager
def busy_core():
    """Another program, which needs a whole core."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as program:
        try:
            yield
        finally:
            program.kill()


@torch.inference_mode()
def median_of_one(form: str, size: str, rounds: int) -> float:
    call = calls(*map(int, size.split(",")))[form]
    call()
    return statistics.median(timed(call) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=ALL, metavar="RESOLUTION,BATCH")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pages", action="store_true", help="ordinary and huge pages, in child processes")
    parser.add_argument("--waiting", action="store_true", help="idle threads that spin or wait, on a quiet machine and beside a busy core")
    parser.add_argument("--only", choices=["plain", "genlib"], help="the seconds of one form: what is asked of child processes")
    options = parser.parse_args()
    if options.only:
        print(median_of_one(options.only, options.sizes[0], options.rounds))
        return
    print(f"StyleGAN2, float32, random weights, {torch.get_num_threads()} threads, medians of {options.rounds} rounds"
          + (", in child processes in turn, ratios to the first" if options.pages or options.waiting else ", interleaved"))
    for size in options.sizes:
        if options.pages or options.waiting:
            bench_children(WAITING if options.waiting else PAGES, size, options.rounds)
        else:
            bench(*map(int, size.split(",")), options.rounds)


if __name__ == "__main__":
    main()
