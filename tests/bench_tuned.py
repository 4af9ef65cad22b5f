"""The tuned profile compared with plain diffusers, in turn, random weights at full size: make bench

Times are medians of the rounds. Two 8-bit pictures from one latent count as the same from SAME_DB of PSNR on;
between precisions, the PSNR stands beside what the precision alone costs in plain diffusers.
"""
import argparse
import gc
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from functools import partial
from statistics import median

import torch

from genlib import device, quality
from genlib.measure.repeat import measure
from genlib.models import images, stable_diffusion, vae
from genlib.record import SAME_DB

PROMPT = "a photo of the face of a smiling woman with red hair"


def in_turn(calls: dict, rounds: int) -> dict:
    """The iterations of each call, measured in turn after a warm-up."""
    for call in calls.values():
        call()
    taken = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            made = []  # until the readings are taken; a call's tensors are no pictures for `measure`
            taken[name].append(measure(lambda index, call=call, made=made: made.append(call()), 0)[0])
    return taken


def ratio(taken: dict) -> str:
    """The medians of two calls measured in turn, and their ratio, as text."""
    first, second = (median(iteration.time_s for iteration in iterations) for iterations in taken.values())
    return f"{1000 * first:9.1f} / {1000 * second:9.1f} ms  x{first / second:5.2f}"


def line(what: str, taken: dict, target: str) -> None:
    print(f"{what:58} {ratio(taken)}  (target {target})", flush=True)


def denoise(pipe, steps: int, prompt: str = "", output: str = "latent", **options):
    """Latents [1, 4, H/8, W/8] after the steps, without decoding; with output="pil", pictures."""
    scale = options.pop("guidance_scale", stable_diffusion.guidance_scale(pipe))
    return pipe(prompt=prompt, latents=stable_diffusion.random_latents(pipe), num_inference_steps=steps, guidance_scale=scale,
                output_type=output, **options).images


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def bench_steps(weights: str, steps: int, rounds: int) -> None:
    """The denoising alone, thesis profile against tuned, in this device's usual precision."""
    pipes = [stable_diffusion.load(weights, profile=profile) for profile in ("thesis", "tuned")]
    for prompt, what, target in ("", "empty prompt", ">= 3 on a GPU, >= 1.8 on a CPU"), (PROMPT, "with a prompt", ">= 2 on a GPU"):
        calls = {name: partial(denoise, pipe, steps, prompt) for name, pipe in zip(("plain", "tuned"), pipes, strict=True)}
        line(f"Stable Diffusion, {pipes[0].info.dtype}, {steps} steps, {what}", in_turn(calls, rounds), target)
        plain, quick = (denoise(pipe, steps, prompt, "pil")[0] for pipe in pipes)
        print(f"    the same picture: PSNR {quality.psnr(plain, quick):.1f} dB (>= {SAME_DB})", flush=True)


def bench_precision(weights: str, steps: int, rounds: int, dtype: str) -> None:
    """UNet steps of equal work, the VAE's round trip, and how the precision alone changes the picture."""
    plain, low = (stable_diffusion.load(weights, dtype=name) for name in ("float32", dtype))
    calls = {name: partial(denoise, pipe, steps, guidance_scale=1.0) for name, pipe in (("float32", plain), (dtype, low))}
    line(f"Stable Diffusion, float32 / {dtype}, {steps} steps of equal work", in_turn(calls, rounds), ">= 3.3 with AMX")
    photograph = images.photograph(plain.vae.config.sample_size)

    def round_trip(pipe):
        return images.to_pil(vae.decode(pipe.vae, vae.encode(pipe.vae, images.to_tensor([photograph], like=pipe.vae))))[0]

    calls = {name: partial(round_trip, pipe) for name, pipe in (("float32", plain), (dtype, low))}
    line(f"VAE round trip, float32 / {dtype}", in_turn(calls, rounds), ">= 3 with AMX")
    print(f"    round trip, {dtype} against float32: PSNR {quality.psnr(round_trip(plain), round_trip(low)):.1f} dB")
    pictures = [denoise(pipe, steps, output="pil")[0] for pipe in (plain, low)]
    del plain, low
    free()
    tuned = denoise(stable_diffusion.load(weights, profile="tuned", dtype=dtype), steps, output="pil")[0]
    print(f"    picture after {steps} steps, against plain float32: plain {dtype} PSNR {quality.psnr(*pictures):.1f} dB, tuned {dtype} "
          f"{quality.psnr(pictures[0], tuned):.1f} dB; tuned against plain {dtype} {quality.psnr(pictures[1], tuned):.1f} dB", flush=True)


PEAK = """
import re, sys
from pathlib import Path
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from genlib.models import stable_diffusion

class Computed(TorchFunctionMode):  # float16 in and out, bfloat16 within
    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if function in (F.conv2d, F.linear, F.scaled_dot_product_attention):
            arguments = [value.bfloat16() if isinstance(value, torch.Tensor) else value for value in arguments]
            return function(*arguments, **keywords or {}).half()
        return function(*arguments, **keywords or {})

pipe = stable_diffusion.load(model_id=sys.argv[1], dtype="float16", profile="tuned", without=sys.argv[2:])
with Computed():
    pipe(prompt="", latents=stable_diffusion.random_latents(pipe), num_inference_steps=2).images
# Not getrusage's ru_maxrss, which begins with that of the process that started this one.
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]))
"""


def bench_ram(weights: str) -> None:
    """Peak RSS of a process that loads a folder of float16 files, keeps float16, and draws with two steps.

    Convolutions and products are computed in bfloat16, and each weight is cast as it is used: on a processor
    without float16 arithmetic an image would take an hour otherwise, and only memory is measured here.
    """
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(None):
            stable_diffusion.load(weights, dtype="float16").save_pretrained(folder, variant="fp16")
        free()
        for without in [], ["release_weights"]:
            child = subprocess.run([sys.executable, "-c", PEAK, folder, *without], capture_output=True, text=True, check=True)
            print(f"RAM at its peak, from a folder of float16 files{', without '.join(['', *without]):25} "
                  f"{int(child.stdout.split()[-1]) / 1e9:5.2f} GB  (target <= 2.4)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", choices=["random", "demo"], default="random")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    has = ", ".join(name for name, there in {"AMX": torch.cpu._is_amx_tile_supported(), "AVX512-BF16": torch.cpu._is_avx512_bf16_supported()
                                             }.items() if there) or "no bfloat16"
    print(f"{device.describe().device}, {torch.get_num_threads()} threads, {has}; {options.weights} weights, medians of {options.rounds}")
    bench_steps(options.weights, options.steps, options.rounds)
    free()
    bench_precision(options.weights, options.steps, options.rounds, "bfloat16")
    free()
    bench_ram(options.weights)


if __name__ == "__main__":
    main()
