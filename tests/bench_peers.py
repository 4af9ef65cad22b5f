"""The networks on a CPU by torch, by genlib and by OpenVINO, a process each, in turn: make bench

v1-4's UNet (latents of 64 x 64) and decoder (512 px), and StyleGAN2 (512 px), with random weights in float32.
"torch" is diffusers' network, or StyleGAN2 in NVIDIA's formulation (`bench_stylegan2.Plain`); "OpenVINO" is
that network converted, with its shapes fixed; "thesis" and "tuned" are genlib's profiles. All have the same
inputs, number of threads and huge pages.

Beside each time stand its ratio to torch's and to what the machine could do at best: the operations of direct
convolutions, products and attention at the highest rate that torch's products and convolutions reach here.
Convolutions of fewer operations, as Winograd's, may fall below. (Reading all weights once takes a tenth of
it or less, so memory sets no second limit.) RSS is its peak after loading.
"""
import argparse
import gc
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from bench_stylegan2 import Plain
from children import child, in_turn, timed

from genlib import device, system
from genlib.commands import forecast
from genlib.models import stable_diffusion, stylegan2, vae

ROWS = ["unet,1", "unet,2", "decoder,1", "stylegan2,1", "stylegan2,4"]  # network, batch
FORMS = {"unet": ["torch", "OpenVINO", "tuned"], "decoder": ["torch", "OpenVINO", "tuned"],
         "stylegan2": ["torch", "OpenVINO", "thesis", "tuned"]}
WORK = {"unet": ("unet", 2), "decoder": ("decoder", 1), "stylegan2": ("generator", 1)}  # the doctor's name, and its batch
PAGES = {"THP_MEM_ALLOC_ENABLE": "1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # torch's, and everyone's that calls malloc


class Network(torch.nn.Module):
    """A function of tensors as a module, which OpenVINO can convert."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def build(form: str, network: str, batch: int) -> tuple[Network, list[torch.Tensor]]:
    """The network in torch or genlib, and its inputs."""
    randn = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    profile = "tuned" if form == "tuned" else "thesis"
    if network == "unet":
        unet = stable_diffusion.load("random", dtype="float32", profile=profile).unet
        inputs = [randn(batch, 4, 64, 64), torch.tensor(981), randn(batch, 77, 768)]
        return Network(lambda x, t, text: unet(x, t, text, return_dict=False)[0]), inputs
    if network == "decoder":
        autoencoder = vae.load("random", dtype="float32", profile=profile)
        return Network(lambda z: autoencoder.decode(z, return_dict=False)[0]), [randn(batch, 4, 64, 64)]
    G = stylegan2.load("random", dtype="float32", profile=profile)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)  # at 0 OpenVINO would leave the noise out
    function = Plain(G) if form == "torch" else lambda ws: G.synthesis(ws, noise_mode="const")
    return Network(function), [G.mapping(randn(batch, 512))]


def openvino():
    """OpenVINO, which reports nothing about this machine: its telemetry, if installed, cannot be imported."""
    sys.modules["openvino_telemetry"] = None
    import openvino

    return openvino


def convert(network: str, batch: int, path: Path) -> None:
    module, inputs = build("torch", network, batch)
    model = openvino().convert_model(module, example_input=tuple(inputs), input=[list(x.shape) for x in inputs])
    openvino().save_model(model, path, compress_to_fp16=False)
    np.savez(path.with_suffix(".npz"), *inputs)


def ready(form: str, network: str, batch: int, path: Path):
    """A call of the network in this form, and how many threads it computes with."""
    if form != "OpenVINO":
        module, inputs = build(form, network, batch)
        gc.collect()  # the other parts of a pipeline
        return lambda: module(*inputs), torch.get_num_threads()
    settings = dict(PERFORMANCE_HINT="LATENCY", INFERENCE_PRECISION_HINT="f32", INFERENCE_NUM_THREADS=torch.get_num_threads())
    model = openvino().compile_model(path, "CPU", settings)
    inputs = list(np.load(path.with_suffix(".npz")).values())
    return lambda: model(inputs)[0], model.get_property("INFERENCE_NUM_THREADS")


def rate() -> float:
    """The most operations a second in any of some products and convolutions."""
    convolution = torch.nn.functional.conv2d
    calls = [(2 * rows**3, partial(torch.mm, *torch.randn(2, rows, rows))) for rows in (1024, 2048)]
    for channels, side in (128, 256), (256, 128), (512, 64):
        maps, kernel = torch.randn(1, channels, side, side), torch.randn(channels, channels, 3, 3)
        for layout in torch.contiguous_format, torch.channels_last:
            arguments = [x.contiguous(memory_format=layout) for x in (maps, kernel)]
            calls.append((2 * 9 * channels**2 * side**2, partial(convolution, *arguments, padding=1)))
    return max(flops / min(timed(call) for _ in range(3)) for flops, call in calls)


@torch.inference_mode()
def answer(task: str, row: str, rounds: int, folder: Path):
    """What is asked of a child process: to convert, the rate, or a form's time, peak of RSS and threads."""
    (network, batch), path = split(row), folder / "network.xml"
    if task == "convert":
        return convert(network, batch, path)
    if task == "rate":
        return rate()
    call, threads = ready(task, network, batch, path)
    system.reset_peak_rss()
    np.save(folder / f"{task}.npy", np.asarray(call()))
    return median(timed(call) for _ in range(rounds)), system.of_status("VmHWM"), threads


def chosen(names: list[str]) -> list[str]:
    """The rows that are named, or whose network is."""
    networks = [split(row)[0] for row in ROWS]
    if unknown := [name for name in names if name not in ROWS + networks]:
        sys.exit(f"row is {unknown[0]!r}: name some of {' '.join(ROWS)}, or a network for all of its rows")
    return [row for row, network in zip(ROWS, networks, strict=True) if {row, network} & set(names)]


def split(row: str) -> tuple[str, int]:
    network, batch = row.split(",")
    return network, int(batch)


def bench(row: str, work: forecast.Work, rounds: int, turns: int) -> None:
    """Print a line for each form."""
    with tempfile.TemporaryDirectory() as folder:
        def ask(task):
            return json.loads(child(__file__, row, f"--rounds={rounds}", f"--task={task}", f"--folder={folder}",
                                    environment=os.environ | PAGES))

        ask("convert")
        forms = FORMS[split(row)[0]]
        answers = in_turn({task: partial(ask, task) for task in ("rate", *forms)}, turns)
        reached = max(answers["rate"])
        at_best = work.flops / reached
        print(f"{row:12} {work.flops / 1e9:5.0f} GFLOP, at {reached / 1e9:.0f} GFLOP/s {at_best:7.3f} s at best")
        expected = np.load(f"{folder}/torch.npy")
        for form in forms:
            times, peaks, threads = zip(*answers[form], strict=True)
            error = np.abs(np.load(f"{folder}/{form}.npy") - expected).max() / expected.std()
            first, time = (median(answer[0] for answer in answers[name]) for name in ("torch", form))
            print(f"{row:12} {form:9} {time:7.3f} s  x{first / time:4.2f}  {time / at_best:4.2f} times at best  "
                  f"RSS {max(peaks) / 1e9:5.2f} GB  {threads[0]} threads  difference {error:.0e} sigma", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", default=ROWS, metavar="ROW", help=f"{', '.join(ROWS)}; a network stands for all of its rows")
    parser.add_argument("--rounds", type=int, default=3, help="calls in a process, after one that warms up")
    parser.add_argument("--turns", type=int, default=3, help="processes of each form")
    parser.add_argument("--task", help="what is asked of a child process")
    parser.add_argument("--folder", type=Path, help="where child processes leave what they share")
    options = parser.parse_args()
    if options.task:
        print(json.dumps(answer(options.task, options.rows[0], options.rounds, options.folder)))
        return
    rows = chosen(options.rows)
    print(f"{device.describe().cpu}, {torch.get_num_threads()} threads, float32, random weights, ratios to torch")
    calls = forecast.calls("random", torch.float32)
    for row in rows:
        name, counted_at = WORK[split(row)[0]]
        bench(row, calls[name].times(split(row)[1] / counted_at), options.rounds, options.turns)


if __name__ == "__main__":
    main()
