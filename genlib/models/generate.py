"""Draw many images on many processes (Accelerate): a PNG a seed, and a manifest. Finished images are skipped.

    <out>/settings.json               what all its pictures have in common
    <out>/00042/seed00042017.png      a thousand to a folder
    <out>/manifest.jsonl              a line a picture: seed, file, sha256 (while it runs, a part a process)

Seeds are drawn in fixed batches: for batches of 4, seeds 0 to 3 together, then 4 to 7. A process always draws
a batch whole, even if some of its pictures exist or were not asked for. So a picture depends only on its seed
and the settings, not on the number of processes or on where a run began or was interrupted.
"""
import hashlib
import io
import json
import os
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from genlib import device
from genlib.files import explain_storage, hold, release, write_atomically
from genlib.models import STYLEGAN2, images, stable_diffusion, stylegan2, tuned
from genlib.models.weights import WORDS

SAVERS = 2, 16  # threads that encode and write: at least, at most
WAITING = 4  # how many batches, beyond one a thread, may wait to be saved: with a slow disk, memory would grow without a limit
PNG_LEVEL = 1  # of zlib's 9: takes a third of the default's time, for files a tenth larger


def generate(model: str, weights: str, seeds: range, out: Path, *, prompts: list[str] | None = None, batch: int = 1, steps: int = 50,
             truncation_psi: float = 0.7) -> int:
    """Draw the pictures of `seeds` that `out` lacks, in the tuned profile; return how many were drawn in all.

    Every process of a launch makes this call; on several hosts, `out` is a folder that they share.
    model: STYLEGAN2 (`weights` is the network of `stylegan2.load`, z comes from RandomState(seed)) or
    STABLE_DIFFUSION (`weights` is a weights word or a model_id, and seed s takes line s of `prompts`,
    starting over after the last line; without prompts, an empty one).
    Raises ValueError when `out` holds pictures of other settings or another launch is filling it, MemoryError
    when a batch does not fit.
    """
    # One process may end, or finish its download, hours before another: after 10 minutes, the default on
    # GPUs, torch would stop them all.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30))
    check_processes(state)
    if state.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        if not hold(out):
            raise ValueError(f"{out} is being filled by another launch: wait until it has ended, or choose another --out")
    compiled = broadcast_object_list([state.is_main_process and _compiled(out, len(seeds))])[0]
    with state.local_main_process_first():  # the first downloads, the others find the files in the cache
        draw, settings = _drawer(model, weights, prompts or [""], batch, steps, truncation_psi, compiled)
    if state.is_main_process:
        _keep_settings(out, settings | dict(batch=batch))
        print(f"{state.num_processes} process{'es' * (state.num_processes > 1)} of {torch.get_num_threads()} threads on "
              f"{device.pick().type}: {settings['model']}, {settings['weights']} weights, {settings['dtype']}", flush=True)
    missing = broadcast_object_list([state.is_main_process and _missing(seeds, batch, out)])[0]
    count, start = sum(map(len, missing)), time.perf_counter()
    try:
        _draw_and_save(draw, missing[state.process_index :: state.num_processes], batch, out, state)
    except RuntimeError as error:
        if not device.is_out_of_memory(error):
            raise
        raise MemoryError(f"a batch of {batch} does not fit into the memory: choose a smaller --batch") from None
    state.wait_for_everyone()
    if state.is_main_process:
        took = time.perf_counter() - start
        _join_manifest(out)
        print(f"{count} pictures in {took:.1f} s ({count / took:.2f} images/s), {len(seeds) - count} were there: {out}", flush=True)
        release(out)
    state.wait_for_everyone()
    state.destroy_process_group()
    return count


def check_processes(state: PartialState) -> None:
    """Raises ValueError unless as many processes take part as the launcher started."""
    started = int(os.environ.get("WORLD_SIZE", 1))
    if state.num_processes != started:
        raise ValueError(f"the launcher started {started} processes, but {state.num_processes} work together: use torchrun, or "
                         "accelerate launch --multi_gpu")


def _drawer(model: str, weights: str, prompts: list[str], batch: int, steps: int, psi: float, compiled: bool):
    """A function from seeds to pictures, uint8 [N, H, W, C] on the device or PIL; and the settings."""
    if model == STYLEGAN2:
        G = stylegan2.load(weights, profile="tuned")

        @torch.inference_mode()
        def draw(seeds):
            z = torch.from_numpy(np.concatenate([np.random.RandomState(seed).randn(1, G.z_dim) for seed in seeds]))  # [N, z_dim]
            return images.to_levels(G(z.to(G.device, non_blocking=True), None, truncation_psi=psi, noise_mode="const"))

        return draw, _settings(G.info, truncation_psi=psi, noise_mode="const")
    word = weights in WORDS
    pipe = stable_diffusion.load(weights if word else "published", model_id=None if word else weights, profile="tuned",
                                 without=_decided_by_timing(compiled), expected_batch=batch,
                                 expected_images=tuned.COMPILE_PAYS_FROM if compiled else 1)
    scale = stable_diffusion.guidance_scale(pipe)

    def draw(seeds):
        latents = torch.cat([stable_diffusion.random_latents(pipe, seed=seed) for seed in seeds])
        asked = [prompts[seed % len(prompts)] for seed in seeds]
        return pipe(prompt=asked, latents=latents, guidance_scale=scale, num_inference_steps=steps).images

    text = hashlib.sha256("\n".join(prompts).encode()).hexdigest()
    return draw, _settings(pipe.info, steps=steps, guidance_scale=scale, prompts=len(prompts), prompts_sha256=text,
                           compile=pipe.info.switches["compile"])


def _decided_by_timing(compiled: bool) -> list[str]:
    """The switches to leave out: timed anew in each process, they could change pictures a little."""
    if compiled:
        from torch._inductor import config

        if not hasattr(config, "deterministic"):  # before torch 2.10, the compiler cannot do without timings
            return ["cudnn_attention", "compile", "vae_compile"]
        config.deterministic = True
    return ["cudnn_attention"]


def _settings(info, **more) -> dict:
    return dict(model=info.name, weights=info.weights, source=info.source, revision=info.revision, sha256=info.sha256, dtype=info.dtype,
                profile=info.profile) | more


def _compiled(out: Path, count: int) -> bool:
    """Whether to compile, which changes pictures a little: as the existing ones were; else if it pays."""
    if (out / "settings.json").exists() and _manifest(out):
        return json.loads((out / "settings.json").read_text()).get("compile", False)
    return count >= tuned.COMPILE_PAYS_FROM


def _keep_settings(out: Path, settings: dict) -> None:
    file = out / "settings.json"
    if not file.exists() or not _manifest(out):  # settings without a picture: for example, the first batch did not fit
        return write_atomically(file, json.dumps(settings, indent=1).encode())
    before = json.loads(file.read_text())
    for name in {**before, **settings}:
        if before.get(name) != settings.get(name):
            raise ValueError(f"{out} holds pictures with {name} {before.get(name)!r}, not {settings.get(name)!r}: choose another --out")


def _missing(seeds: range, batch: int, out: Path) -> list[list[int]]:
    """The seeds whose pictures are missing, grouped by batch."""
    there = {line["seed"] for line in _manifest(out) if (out / line["file"]).exists()}
    missing = (seed for seed in seeds if seed not in there)
    return [list(group) for _, group in groupby(missing, lambda seed: seed // batch)]


def _manifest(out: Path) -> list[dict]:
    """The lines of the manifest and of its parts, except any that a kill cut off."""
    lines = []
    for file in sorted(out.glob("manifest*.jsonl")):
        for line in file.read_text().splitlines():
            with suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
    return lines


def _join_manifest(out: Path) -> None:
    lines = {line["seed"]: line for line in _manifest(out)}
    write_atomically(out / "manifest.jsonl", "".join(json.dumps(lines[seed]) + "\n" for seed in sorted(lines)).encode())
    for part in out.glob("manifest-*.jsonl"):
        part.unlink()


def _threads() -> int:
    """How many threads encode and write while the device draws: one a core, but none where the CPU draws."""
    if device.pick().type == "cpu":
        return 0
    least, most = SAVERS
    return min(most, max(least, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def _draw_and_save(draw, batches: list[list[int]], batch: int, out: Path, state: PartialState) -> None:
    """Draw batch after batch, while threads fetch, encode and write: the device never waits for the disk."""
    waiting, threads = set(), _threads()
    with explain_storage(out), open(out / f"manifest-{state.process_index}.jsonl", "a", buffering=1) as manifest, \
            ThreadPoolExecutor(max(threads, 1)) as savers, \
            tqdm(total=sum(map(len, batches)), unit="image", desc=f"process {state.process_index + 1} of {state.num_processes}",
                 disable=None if state.is_main_process else True, mininterval=1) as bar:
        manifest.write("\n")  # in case a kill cut off the last line
        for missing in batches:
            first = missing[0] // batch * batch
            pictures = draw(list(range(first, first + batch)))
            if threads:
                waiting.add(savers.submit(_save, pictures, first, missing, out, manifest))
            else:
                _save(pictures, first, missing, out, manifest)
            if len(waiting) > threads + WAITING:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()  # raises what went wrong while saving
            bar.update(len(missing))
        for future in waiting:
            future.result()


def _save(pictures, first: int, missing: list[int], out: Path, manifest) -> None:
    """Write missing pictures of the batch from seed `first` on: each whole or not at all; then its line."""
    pictures = images.from_levels(pictures) if isinstance(pictures, torch.Tensor) else pictures
    for seed in missing:
        file = out / f"{seed // 1000:05}" / f"seed{seed:08}.png"
        file.parent.mkdir(exist_ok=True)
        data = io.BytesIO()
        pictures[seed - first].save(data, "png", compress_level=PNG_LEVEL)
        part = file.with_suffix(".part")
        part.write_bytes(data.getvalue())
        os.replace(part, file)
        line = dict(seed=seed, file=file.relative_to(out).as_posix(), sha256=hashlib.sha256(data.getvalue()).hexdigest())
        manifest.write(json.dumps(line) + "\n")
