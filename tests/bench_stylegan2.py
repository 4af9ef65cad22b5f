"""Speed and memory of the StyleGAN2 generator against the plain formulation, interleaved in one run: make bench

The plain formulation: per-sample kernels in one grouped convolution, NCHW, transposed convolution then depthwise FIR, and noise,
bias, activation, gain as operations of their own. Random weights of the published architecture, float32, on the CPU.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time
from math import sqrt

import torch
import torch.nn.functional as F

from genlib.measure.readings import Readings
from genlib.models import stylegan2
from genlib.models.stylegan2_network import Generator

ALL = ["256,1", "256,4", "512,1", "512,4", "1024,1", "1024,4"]  # resolution, batch


class Plain:
    """The synthesis network in its plain form, of a skip generator with the default filter and no clamp."""

    def __init__(self, generator: Generator):
        self.state = generator.synthesis.state_dict()
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
        return F.leaky_relu(x, 0.2) * sqrt(2)

    def to_rgb(self, name, x, w):
        N, C, H, W = x.shape
        kernels = self.state[f"{name}.weight"][None] * (self.affine(name, w) / sqrt(C))[:, None, :, None, None]
        x = F.conv2d(x.reshape(1, N * C, H, W), kernels.flatten(0, 1), groups=N).reshape(N, -1, H, W)
        return x + self.state[f"{name}.bias"][:, None, None]

    def upsample(self, image, taps):
        N, C, H, W = image.shape
        spread = F.pad(image.reshape(N, C, H, 1, W, 1), [0, 1, 0, 0, 0, 1]).reshape(N, C, 2 * H, 2 * W)
        return self.filter(spread, taps, 2, 1)

    def filter(self, x, taps, before, after):
        x = F.pad(x, [before, after, before, after])
        return F.conv2d(x, (4 * taps).expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


def peak_bytes(call) -> int:
    """How much higher RSS stood while the call ran than before."""
    readings = Readings()
    readings.start()
    before = readings._rss_peak_bytes
    call()
    return readings.stop().ram_peak_bytes - before


def bench(resolution: int, batch: int, rounds: int) -> None:
    """One line: medians, ratio, images a second, peak memory, largest difference in standard deviations of the image."""
    config = stylegan2.config("random", resolution)
    config["synthesis_kwargs"] |= dict(num_fp16_res=0, conv_clamp=None)
    torch.manual_seed(0)
    generator = Generator(**config).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    plain_form = Plain(generator)
    with torch.inference_mode():
        ws = generator.mapping(torch.randn(batch, 512))
        calls = {"plain": lambda: plain_form(ws), "genlib": lambda: generator.synthesis(ws, "const")}
        expected, image = calls["plain"](), calls["genlib"]()  # the warm-up as well
        times = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
        peaks = {name: peak_bytes(call) / 1024**2 for name, call in calls.items()}
    plain, ours = (statistics.median(times[name]) for name in calls)
    error = ((image - expected).abs().max() / expected.std()).item()
    print(f"{resolution:5} px  batch {batch}  plain {1000 * plain:6.0f} ms  genlib {1000 * ours:6.0f} ms  x{plain / ours:4.2f}  "
          f"{batch / ours:5.2f} images/s  peak {peaks['plain']:5.0f} / {peaks['genlib']:5.0f} MB  difference {error:.0e} sigma", flush=True)


def main() -> None:
    """All sizes, with ordinary and, in processes of their own (it has to be set before torch loads), with huge pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", default=ALL, metavar="RESOLUTION,BATCH")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--huge-pages", action="store_true")
    options = parser.parse_args()
    if options.huge_pages:
        environment = os.environ | {"THP_MEM_ALLOC_ENABLE": "1"}
        command = [sys.executable, __file__, *options.sizes, f"--rounds={options.rounds}"]
        sys.exit(subprocess.run(command, env=environment).returncode)
    print(f"StyleGAN2, float32, random weights, {torch.get_num_threads()} threads, medians of {options.rounds} rounds, "
          f"huge pages {'on' if os.environ.get('THP_MEM_ALLOC_ENABLE') == '1' else 'off'}")
    for size in options.sizes:
        bench(*map(int, size.split(",")), options.rounds)


if __name__ == "__main__":
    main()
