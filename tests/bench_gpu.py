"""Measure everything on this machine's GPU, with random weights: make gpu, or python tests/bench_gpu.py

    1  the cells of notebooks 1 to 3, in both profiles; the runs, without pictures, go to <out>/<machine>/
    2  the tests marked gpu, in a process of their own
    3  v1-4's VRAM in {float16, float32, float32 under autocast} x {safety checker, none} x {fused, plain
       attention}, beside a second pipeline, and with its parts on the card in turn: which of these is the
       thesis's 5619.66 MB?
    4  StyleGAN2 at 512 px in batches of 1 and 16, and at 1024 px
    5  plain diffusers compared with the tuned profile, in turn: time, VRAM, whether the picture is the same
    6  Stable Diffusion on cards of 4 to 15 GB, imitated on this one, as genlib cards does
    7  from how many images on compiling pays, if any of nine minutes is left

It needs no network, no Jupyter, and beside torch and numpy only what tests/gpu.txt lists. The report,
<out>/<machine>/report.md, has all figures beside their targets. If a part fails, it says so there,
and goes on.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # genlib need not be installed

from bench_tuned import PROMPT, denoise, free, in_turn
from torch.nn.attention import SDPBackend, sdpa_kernel

from genlib import device, measure, quality, runs
from genlib.commands import cards
from genlib.experiments import STABLE_DIFFUSION
from genlib.models import images, stable_diffusion, stylegan2, tuned
from genlib.record import SAME_DB

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ("1_stable_diffusion", "2_vae_round_trip", "3_stylegan2_ada")
MB = 1024**2
MINUTES = 9
CHILD_S = 240
COMPILING_TAKES_S = 200  # a guess: how much of the minutes must be left for it


def cells_as_code(notebook: str, parameters: dict) -> str:
    """The code of a notebook as a script with other parameters, which shows and installs nothing."""
    code = ["get_ipython = display = lambda *_: None"]
    for cell in json.loads((PROJECT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] != "code" or cell["id"] == "set-up":
            continue
        code.append("".join(cell["source"]))
        if "parameters" in tags:
            code += [f"{name} = {value!r}" for name, value in parameters.items()]
    return "\n".join(code)


def run_notebooks(results: Path, weights: str, steps: int, keep) -> list[str]:
    """Run notebooks 1 to 3 in both profiles, each in a process of its own; call `keep()` after each.

    Returns a table: how long each took, or why it stopped.
    """
    rows = []
    for profile in "thesis", "tuned":
        for notebook in NOTEBOOKS:
            parameters = dict(WEIGHTS=weights, PROFILE=profile, ITERATIONS=5, STEPS=steps, RESULTS=str(results))
            if profile == "tuned":  # how cost grows is shown once
                parameters |= dict(SHARES_OF_STEPS_TRIED=[], BATCHES_TRIED=[], PRECISIONS_TRIED=[], RESOLUTIONS_TRIED=[], SCALES_TRIED=[])
            start = time.perf_counter()
            fault = of_child([sys.executable, "-"], input=cells_as_code(notebook, parameters), cwd=PROJECT / "notebooks")[1]
            outcome = fault or f"{time.perf_counter() - start:.0f} s"
            print(f"{notebook}, {profile}: {outcome}", flush=True)
            rows.append(f"| {notebook} | {profile} | {outcome} |")
            keep()
    return ["| notebook | profile | |", "| --- | --- | ---: |", *rows]


def of_child(command: list, **options) -> tuple[str, str]:
    """Run a process for CHILD_S at most: the last line that it prints, and "", or "Stopped: ..." if it fails.

    Whatever a failed process printed is shown.
    """
    try:
        paths = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(command, text=True, capture_output=True, timeout=CHILD_S, env=os.environ | {"PYTHONPATH": paths}, **options)
    except subprocess.TimeoutExpired:
        return "", f"Stopped: after {CHILD_S} s"
    if not done.returncode:
        return (done.stdout.strip().splitlines() or ["no output"])[-1], ""
    print(done.stdout, done.stderr, sep="\n", file=sys.stderr, flush=True)
    # The last lines of a GPU error are hints on how to find it. The error itself is the last line that begins
    # with a class.
    named = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b|.*\bfailed\b")
    said = [line for line in (done.stdout + done.stderr).splitlines() if named.match(line)]
    return "", f"Stopped: {said[-1] if said else f'exit status {done.returncode}'}"


def keep_runs(results: Path, out: Path) -> None:
    """Copy the runs to the reference folder, without pictures: with random weights those are noise."""
    for path in results.rglob("run.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        for iteration in record["iterations"]:
            iteration["images"] = []
        target = out / path.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")


def vram_conditions(results: Path, weights: str, steps: int) -> list[str]:
    """Draw one image in each condition, kept as a run of the variant "memory-...".

    Returns a table, and which condition is nearest to the thesis's figure.
    """
    published, rows, peaks = STABLE_DIFFUSION.published.vram_bytes, [], {}

    def draw(pipe, *condition):
        name = "-".join(condition).replace(" ", "-")
        run = measure.repeat(partial(denoise, pipe, steps, output="pil", guidance_scale=7.5), model=pipe.info, iterations=1, warmup=0,
                             experiment="stable-diffusion", variant=f"memory-{name}", settings=dict(steps=steps, prompt=""),
                             results=results)
        [iteration] = run.iterations
        peaks[name] = iteration.vram_peak_bytes
        rows.append(f"| {' | '.join(condition)} | {figure(iteration.vram_peak_bytes)} | {figure(iteration.vram_reserved_bytes)} | "
                    f"{iteration.time_s:.2f} |")

    for precision in "float16", "float32", "autocast":
        for checker in (False,) if weights == "demo" else (False, True):
            free()
            pipe = stable_diffusion.load(weights, dtype=precision.replace("autocast", "float32"), safety_checker=checker)
            if precision == "autocast":  # autocast keeps casts of trainable weights, like published ones: 2 GB
                may_be_trained(pipe)
            for attention in "fused", "plain":
                cast = torch.autocast(device.pick().type, torch.float16) if precision == "autocast" else nullcontext()
                with cast, sdpa_kernel(SDPBackend.MATH) if attention == "plain" else nullcontext():
                    draw(pipe, precision, "checker" if checker else "none", attention)
            del pipe
    free()
    pipes = [stable_diffusion.load(weights, dtype="float16", safety_checker=weights != "demo") for _ in range(2)]  # of two cells, say
    draw(pipes.pop(), "float16", "none" if weights == "demo" else "checker", "fused beside a second pipeline")
    del pipes
    if device.pick().type == "cuda":
        free()
        pipe = stable_diffusion.load(weights, dtype="float16")
        pipe.enable_model_cpu_offload()
        draw(pipe, "float16", "none", "fused with parts in turn")
        del pipe
    return ["| precision | safety checker | attention | peak (MB) | reserved (MB) | first image (s) |",
            "| --- | --- | --- | ---: | ---: | ---: |", *rows, "",
            f"Nearest to the thesis's {published / MB:.2f} MB: {nearest(peaks, published)}."]


def may_be_trained(pipe) -> None:
    for part in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.safety_checker):
        part is None or part.requires_grad_(True)


def nearest(peaks: dict[str, int | None], published: int) -> str:
    """The condition whose peak is nearest, and how far off it is."""
    known = {name: size for name, size in peaks.items() if size is not None}
    if not known:
        return "not measured, no GPU"
    name = min(known, key=lambda name: abs(known[name] - published))
    return f"{name}, {known[name] / MB:.2f} MB ({known[name] / published - 1:+.1%})"


def figure(size: int | None) -> str:
    return "—" if size is None else f"{size / MB:.1f}"


def peak(iterations) -> int | None:
    values = [iteration.vram_peak_bytes for iteration in iterations]
    return None if None in values else max(values)


def peaks_alone(load, *draws) -> list[int | None]:
    """The peak of each of `draws`, with no other model loaded, which would count in the peak."""
    free()
    model = load()
    return [peak(in_turn({"": partial(draw, model)}, 1)[""]) for draw in draws]


def compared(what: str, calls: dict, rounds: int, target: str, psnr: float, peaks=(None, None)) -> str:
    """A row: medians of two calls measured in turn, their ratio, each one's peak, their pictures' PSNR."""
    times = [median(i.time_s for i in taken) for taken in in_turn(calls, rounds).values()]
    share = "—" if None in peaks else f"{peaks[1] / peaks[0]:.2f}"
    row = (f"| {what} | {1000 * times[0]:.2f} | {1000 * times[1]:.2f} | {times[0] / times[1]:.2f} | {target} | {figure(peaks[0])} | "
           f"{figure(peaks[1])} | {share} | {psnr:.1f} |")
    print(row, flush=True)
    return row


HEAD = ["| | plain (ms) | tuned (ms) | ratio | target | VRAM plain (MB) | tuned (MB) | ratio | PSNR (dB) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]


def diffusion(weights: str, steps: int, rounds: int) -> list[str]:
    """Stable Diffusion from latent to picture: thesis profile, tuned, and tuned without each switch."""
    loads = [partial(stable_diffusion.load, weights, profile=profile) for profile in ("thesis", "tuned")]
    draws = [lambda pipe, prompt=prompt: denoise(pipe, steps, prompt, "pil") for prompt in (PROMPT, "")]
    peaks = zip(*(peaks_alone(load, *draws) for load in loads), strict=True)
    free()
    plain, quick = (load() for load in loads)
    rows = []
    for (prompt, what, target), both in zip(((PROMPT, "with a prompt", "≥ 2"), ("", "empty prompt", "≥ 3")), list(peaks), strict=True):
        calls = {name: partial(denoise, pipe, steps, prompt, "pil") for name, pipe in (("plain", plain), ("tuned", quick))}
        same = quality.psnr(*(call()[0] for call in calls.values()))
        rows.append(compared(f"Stable Diffusion, {plain.info.dtype}, {what}", calls, rounds, target, same, both))
    loaded = f"The tuned profile loads in {quick.info.load_time_s:.1f} s (graphs and choices made there included), plain in " \
             f"{plain.info.load_time_s:.1f} s. Switches: {', '.join(name for name, on in quick.info.switches.items() if on)}."
    del plain, calls
    for switch in [name for name, on in quick.info.switches.items() if on and name not in ("huge_pages", "vae_slicing")]:
        free()
        without = stable_diffusion.load(weights, profile="tuned", without=[switch])
        calls = {"without": partial(denoise, without, steps, "", "pil"), "tuned": partial(denoise, quick, steps, "", "pil")}
        same = quality.psnr(*(call()[0] for call in calls.values()))
        rows.append(compared(f"tuned, empty prompt: without and with {switch}", calls, rounds, "", same))
        del without
    return [*HEAD, *rows, "", loaded, f"Two pictures count as the same from {SAME_DB} dB on. The target for VRAM is 0.6 of plain's."]


@torch.inference_mode()
def faces(weights: str, rounds: int) -> list[str]:
    """StyleGAN2 from z to 8-bit pictures: thesis profile and tuned."""
    rows = []
    for resolution, batch, target in (512, 1, "≤ 1 ms"), (512, 16, "≥ 1500 images/s"), (1024, 1, ""), (1024, 4, ""):
        z = torch.from_numpy(np.random.RandomState(0).randn(batch, 512)).to(device.pick())

        def on_device(G, z=z):
            return G(z[:, : G.z_dim], None, truncation_psi=0.7, noise_mode="const")

        def draw(G, on_device=on_device):
            return images.to_pil(on_device(G))

        loads = [partial(stylegan2.load, weights, resolution=resolution, profile=profile) for profile in ("thesis", "tuned")]
        peaks = list(zip(*(peaks_alone(load, draw, on_device) for load in loads), strict=True))
        free()
        networks = [load() for load in loads]
        same = quality.psnr(*(draw(G)[0] for G in networks))
        for (what, call), both in zip((("to PIL", draw), ("on the device", on_device)), peaks, strict=True):
            calls = {name: partial(call, G) for name, G in zip(("plain", "tuned"), networks, strict=True)}
            rows.append(compared(f"StyleGAN2, {networks[0].img_resolution} px, batch {batch}, {what}", calls, 5 * rounds, target, same,
                                 both))
        if networks[1].info.switches["fewer_passes"]:
            networks[0] = stylegan2.load(weights, resolution=resolution, profile="tuned", without=["fewer_passes"])
            calls = {name: partial(on_device, G) for name, G in zip(("without", "tuned"), networks, strict=True)}
            same = quality.psnr(*(draw(G)[0] for G in networks))
            rows.append(compared("the same, tuned: without and with fewer_passes", calls, 5 * rounds, "", same))
        del networks, calls
    return [*HEAD, *rows]


def compiling(weights: str, steps: int, rounds: int, left_s: float) -> list[str]:
    """How much longer loading takes with compiling, how much an image gains, and from how many on it pays."""
    if left_s < COMPILING_TAKES_S:
        return [f"Left out: {left_s:.0f} s were left."]
    free()
    expected = {"tuned": 1, "compiled": tuned.COMPILE_PAYS_FROM}
    pipes = {name: stable_diffusion.load(weights, profile="tuned", expected_images=count) for name, count in expected.items()}
    if not pipes["compiled"].info.switches["compile"]:
        return ["Not measured: torch's compiler has no GPU here, or does not work."]
    calls = {name: partial(denoise, pipe, steps, PROMPT, "pil") for name, pipe in pipes.items()}
    same = quality.psnr(*(call()[0] for call in calls.values()))
    longer_s = pipes["compiled"].info.load_time_s - pipes["tuned"].info.load_time_s
    plain_s, compiled_s = (median(i.time_s for i in taken) for taken in in_turn(calls, rounds).values())
    pays = f"from {longer_s / (plain_s - compiled_s):.0f} images on" if compiled_s < plain_s else "never"
    return [f"Compiling takes {longer_s:.0f} s; an image then {1000 * compiled_s:.1f} ms in place of {1000 * plain_s:.1f} (PSNR "
            f"{same:.1f} dB). It pays {pays}; the switch `compile` is on from {tuned.COMPILE_PAYS_FROM} on."]


def on_cards(results: Path, weights: str, steps: int, keep) -> list[str]:
    """Which card holds each memory mode, as a table; `keep()` after each try."""
    if device.pick().type != "cuda":
        return ["Not measured: no GPU."]
    folders = []
    for run in cards.tries(weights, steps, cards.CARDS_GB, results):
        folders.append(run.folder)
        keep()
    return str(cards.table(folders)).splitlines()


def gpu_tests() -> list[str]:
    # Only files with such tests: others import Jupyter or python-docx, which may be missing, and
    # pytest would stop.
    files = [path for path in (PROJECT / "tests").rglob("test_*.py") if "@pytest.mark.gpu" in path.read_text(encoding="utf-8")]
    last, fault = of_child([sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *sorted(files)], cwd=PROJECT)
    return [fault or last]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", choices=["random", "demo"], default="random")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=PROJECT / "notebooks" / "reference")
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        results = Path(temporary)
        keep = partial(keep_runs, results, options.out)
        # The notebooks come first, and until then this process leaves CUDA alone: it would be another one
        # on the GPU.
        ran = run_notebooks(results, options.weights, options.steps, keep)
        machine = device.describe()
        folder = options.out / machine.slug
        folder.mkdir(parents=True, exist_ok=True)
        report = [f"# {machine.device}", "", f"{options.weights} weights, {options.steps} steps, medians of {options.rounds}; driver "
                  f"{machine.driver}, CUDA {machine.cuda}, " + ", ".join(f"{name} {version}" for name, version in machine.packages.items()),
                  "", "## Notebooks", "", *ran]
        parts = {"Tests on the card": gpu_tests,
                 "VRAM of v1-4, and the thesis's figure": partial(vram_conditions, results, options.weights, options.steps),
                 "StyleGAN2": partial(faces, options.weights, options.rounds),
                 "Plain and tuned": partial(diffusion, options.weights, options.steps, options.rounds),
                 "Cards": partial(on_cards, results, options.weights, options.steps, keep),
                 "Compiling": lambda: compiling(options.weights, options.steps, options.rounds, 60 * MINUTES - time.perf_counter() + start)}
        for title, part in parts.items():
            free()
            try:
                lines = part()
            except Exception as error:
                traceback.print_exc()
                lines = [f"Stopped: {(str(error).strip() or type(error).__name__).splitlines()[0]}"]
            report += ["", f"## {title}", "", *lines]
            (folder / "report.md").write_text("\n".join(report) + "\n", encoding="utf-8")  # kept at once, whatever happens later
            keep()
    print(f"{folder / 'report.md'}: {time.perf_counter() - start:.0f} s, {len(runs.read_all(folder))} runs")
    sys.exit(any("Stopped: " in line for line in report))


if __name__ == "__main__":
    main()
