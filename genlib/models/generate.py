"""Draw many images on many processes: a PNG a seed, and a manifest. Finished images are skipped.

A launcher starts the processes (Accelerate joins them) or, on a CPU, this one forks them (forks.py).

Seeds are drawn in fixed batches: for batches of 4, seeds 0 to 3 together, then 4 to 7. A process always draws
a batch whole, even if some of its pictures exist or were not asked for. So a picture depends only on its seed
and the settings, not on the number of processes or on where a run began or was interrupted, up to rounding,
which may differ with the number of threads.
"""
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from genlib import device, progress, system
from genlib.files import explain_storage, open_to_append, release
from genlib.models import STYLEGAN2, convolutions, forks, images, native, out_folder, stable_diffusion, stylegan2, tuned
from genlib.models import labels as labels_module
from genlib.models.weights import WORDS

SAVERS = 2, 16  # threads that encode and write: at least, at most
SHOWN = 5  # seeds in a message
WAITING = 4  # how many batches, beyond one a thread, may wait to be saved: with a slow disk, memory would grow without a limit


def generate(model: str, weights: str, seeds: range, out: Path, *, prompts: list[str] | None = None, labels: str | None = None,
             batch: int = 1, steps: int = 50, guidance_scale: float | None = None, truncation_psi: float = 0.7, dtype: str = "auto") -> int:
    """Draw the pictures of `seeds` that `out` lacks, in the tuned profile; return how many were drawn in all.

    Every process of a launch makes this call; on several hosts, `out` is a folder that they share. Without a
    launcher this process may fork others, by the rule in forks.py.
    model: STYLEGAN2 (`weights` is the network of `stylegan2.load`, z comes from RandomState(seed)) or
    STABLE_DIFFUSION (`weights` is a weights word or a model_id, and seed s takes line s of `prompts`,
    starting over after the last line; without prompts, an empty one).
    guidance_scale: of Stable Diffusion; None for the model's own.
    labels: the labels of a conditional network, as `labels_module.parse` reads them; seeds take them in turn.
    dtype: the precision, as the loaders take it.
    Raises ValueError when `out` holds pictures of other settings or another launch is filling it, when labels
    are missing or the network has none, and, after all others are saved, when pictures have values that are
    not finite; MemoryError when a batch does not fit.
    """
    if labels:
        labels_module.parse(labels)  # before a network is downloaded for them
    def load(compiled: bool) -> tuple:
        if model == STYLEGAN2:
            return _stylegan2(weights, labels, truncation_psi, dtype)
        return _stable_diffusion(weights, prompts or [""], batch, steps, guidance_scale, dtype, compiled)

    try:
        with convolutions.restored():
            return _fill(out, seeds, batch, load, prompts or [])
    finally:
        release(out)


def _fill(out: Path, seeds: range, batch: int, load: Callable[[bool], tuple], prompts: list[str]) -> int:
    """Draw the pictures.

    load: called with whether to compile; returns a function from seeds to pictures, its settings, and bytes
    of weights.
    """
    # One process may end, or finish its download, hours before another: after 10 minutes, the default on
    # GPUs, torch would stop them all.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30))
    check_processes(state)
    claimed, there, before = False, {}, None
    if state.is_main_process:
        claimed, there = out_folder.claim(out, make=False), out_folder.drawn(out)
        before = out_folder.settings(out) if there else None
    [before] = broadcast_object_list([before])
    compiled = _compiled(before, len(seeds))
    (draw, settings, network_bytes), settings_of_convolutions = _loaded_alike(state, before, out, partial(load, compiled))
    settings |= settings_of_convolutions
    forks.take_threads()
    machine = device.describe()
    todo = []
    if state.is_main_process:
        if not claimed:  # made only now, so that what could not be loaded leaves no folder behind
            out_folder.claim(out, make=True)
            there = out_folder.drawn(out)  # another launch may have begun and ended meanwhile
        todo = out_folder.missing(seeds, batch, out, there)
        out_folder.keep_settings(out, settings | dict(batch=batch), there)
        if todo:  # a launch that draws nothing has no times here
            out_folder.keep_machine(out, machine)
        print(f"{state.num_processes} process{'es' * (state.num_processes > 1)} of {torch.get_num_threads()} threads on "
              f"{device.pick().type}: {settings['model']}, {settings['weights']} weights, {settings['dtype']}", flush=True)
        if blank := sum(not prompt.strip() for prompt in prompts):
            print(f"{blank} of the {len(prompts)} lines of prompts {'are' if blank > 1 else 'is'} blank, which is an empty prompt")
    todo, start = broadcast_object_list([todo])[0], time.perf_counter()

    def work(number: int, batches: list, slug: str | None = None) -> None:
        _draw_and_save(draw, batches, batch, settings.get("labels", []), out, number, slug)

    try:
        if state.num_processes > 1:
            alone = device.pick().type != "cpu"  # processes that share a CPU slow each other
            work(state.process_index, todo[state.process_index :: state.num_processes], machine.slug if alone else None)
        else:
            _share(work, todo, network_bytes, machine.slug)
    except RuntimeError as error:
        if not device.is_out_of_memory(error):
            raise
        raise MemoryError(f"a batch of {batch} does not fit into the memory: choose a smaller --batch") from None
    state.wait_for_everyone()
    failed = []
    if state.is_main_process:
        failed = _finish(out, seeds, todo, time.perf_counter() - start)
    state.wait_for_everyone()
    state.destroy_process_group()
    if failed:
        raise ValueError(_not_finite(failed, settings["dtype"]))
    return sum(map(len, todo))


def _share(work, todo: list[list[int]], network_bytes: int, slug: str) -> None:
    """Draw all in this process; or the first ones here, and the others in processes that it forks."""
    system.reset_peak_rss()  # else the peak of loading would count as drawing's
    processes, before = forks.how_many(len(todo), network_bytes), psutil.Process().memory_info().rss
    first = forks.drawn_before(len(todo)) if processes > 1 else len(todo)
    work(0, todo[:first], slug)
    if rest := todo[first:]:
        if not forks.fit(processes, (system.of_status("VmHWM") or 0) - before):
            return work(0, rest, slug)
        print(f"{processes} processes of a thread each draw all but the first {first}", flush=True)
        forks.share(work, [rest[number::processes] for number in range(processes)])


def _finish(out: Path, seeds: range, todo: list[list[int]], took: float) -> list[int]:
    """Join the manifest and say what was drawn; return the seeds that failed."""
    lines, asked = out_folder.join(out), [seed for some in todo for seed in some]
    failed = [seed for seed in asked if seed not in lines]
    count = len(asked) - len(failed)
    print(f"{count} picture{'s' * (count != 1)} in {took:.1f} s ({len(asked) / took:.2f} images/s), {len(seeds) - len(asked)} were there: "
          f"{out}", flush=True)
    if black := sum("blackened" in lines[seed] for seed in asked if seed in lines):
        print(f"{black} of them were turned black by the model's safety checker: the manifest says which", flush=True)
    return failed


def _not_finite(failed: list[int], dtype: str) -> str:
    some = ", ".join(map(str, failed[:SHOWN])) + " ..." * (len(failed) > SHOWN)
    remedy = "see whether the network's file is the right one" if dtype == "float32" else "draw into another --out with --dtype float32"
    return (f"{len(failed)} picture{'s have' if len(failed) > 1 else ' has'} values in {dtype} that are NaN or infinite and would be black "
            f"or spoilt, and {'were' if len(failed) > 1 else 'was'} left out (seed{'s' * (len(failed) > 1)} {some}): {remedy}")


def check_processes(state: PartialState) -> None:
    """Raises ValueError unless as many processes take part as the launcher started."""
    started = int(os.environ.get("WORLD_SIZE", 1))
    if state.num_processes != started:
        raise ValueError(f"the launcher started {started} processes, but {state.num_processes} work together: use torchrun, or "
                         "accelerate launch --multi_gpu")


def _stylegan2(weights: str, labels: str | None, psi: float, dtype: str):
    """A function from seeds to what `images.from_levels` makes pictures of; settings; bytes of weights."""
    G = stylegan2.load(weights, profile="tuned", dtype=dtype)
    images.check_channels(G.img_channels)
    if G.c_dim and not labels:
        raise ValueError(f"{G.info.name} draws {G.c_dim} classes: say which with --labels, one from 0 to {G.c_dim - 1}, several (0,1,2), "
                         "or all in turn (all)")
    wanted = labels_module.choose(G, labels or "")
    if psi != 1 and G.mapping.w_avg is None:
        raise ValueError(f"{G.info.name} has no average to truncate towards (w_avg): draw with --truncation-psi 1")

    @torch.inference_mode()
    def draw(seeds):
        z = torch.from_numpy(np.concatenate([np.random.RandomState(seed).randn(1, G.z_dim) for seed in seeds]))  # [N, z_dim]
        c = labels_module.one_hot(G, wanted, seeds)  # [N, c_dim]
        drawn = G(z.to(G.device, non_blocking=True), c, truncation_psi=psi, noise_mode="const")
        return images.to_levels(drawn), images.sums(drawn)

    settings = _settings(G.info, truncation_psi=psi, noise_mode="const", **dict(labels=wanted) if wanted else {})
    return draw, settings, sum(G.info.bytes.values())


def _stable_diffusion(weights: str, prompts: list[str], batch: int, steps: int, scale: float | None, dtype: str, compiled: bool):
    """A function from seeds to PIL pictures; settings; bytes of weights."""
    word = weights in WORDS
    pipe = stable_diffusion.load(weights if word else "published", model_id=None if word else weights, profile="tuned", dtype=dtype,
                                 without=_decided_by_timing(compiled), expected_batch=batch,
                                 expected_images=tuned.COMPILE_PAYS_FROM if compiled else 1)
    scale = stable_diffusion.guidance_scale(pipe) if scale is None else scale

    def draw(seeds):
        asked = [prompts[seed % len(prompts)] for seed in seeds]
        return pipe(prompt=asked, **stable_diffusion.start(pipe, seeds)(), guidance_scale=scale, num_inference_steps=steps).images

    text = hashlib.sha256("\n".join(prompts).encode()).hexdigest()
    settings = _settings(pipe.info, steps=steps, guidance_scale=scale, prompts=len(prompts), prompts_sha256=text,
                         compile=pipe.info.switches["compile"])
    return draw, settings, sum(pipe.info.bytes.values())


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


def _compiled(before: dict | None, count: int) -> bool:
    """Whether to compile, which changes pictures a little: as the existing ones were; else if it pays.

    before: the settings of existing pictures, if there are any.
    """
    return count >= tuned.COMPILE_PAYS_FROM if before is None else before.get("compile") is True


def _loaded_alike(state: PartialState, before: dict | None, out: Path, load: Callable[[], tuple]) -> tuple[tuple, dict]:
    """What `load` returns, and what the settings say of convolutions: all processes have them alike.

    They change pictures a little. So the choice is that of the existing pictures; else what the first process
    finds quicker while it loads, before the others do. These then find a download in the cache, too.
    """
    if before is not None:
        convolutions.choose(before.get("convolutions", []))
        if convolutions.chosen() != before.get("convolutions", []):
            raise ValueError(f"{out} holds pictures whose convolutions this machine cannot compute in the same way: install a C compiler, "
                             "such as gcc, or choose another --out")
    elif not native.available():
        convolutions.choose([])  # what torch does in their place is quick on one machine, and cannot be chosen on another
    loaded = load() if state.is_main_process else None
    [wanted] = broadcast_object_list([convolutions.chosen()])
    convolutions.choose(wanted)
    with state.local_main_process_first():  # on each host
        loaded = loaded or load()
    return loaded, dict(convolutions=wanted) if wanted else {}


def _threads() -> int:
    """How many threads encode and write while the device draws: one a core, but none where the CPU draws."""
    if device.pick().type == "cpu":
        return 0
    least, most = SAVERS
    return min(most, max(least, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def _draw_and_save(draw, batches: list[list[int]], batch: int, wanted: list[int], out: Path, number: int, slug: str | None) -> None:
    """Draw batch after batch, while threads fetch, encode and write: the device never waits for the disk.

    number: of this process. slug: the machine's, for the times of all batches but the first; None: no times.
    """
    waiting, threads = set(), _threads()
    with explain_storage(out), open_to_append(out / f"manifest-{number}.jsonl") as manifest, \
            ThreadPoolExecutor(max(threads, 1)) as savers, \
            progress.Task("", sum(map(len, batches)), "images") as task:
        manifest.write("\n")  # in case a kill cut off the last line
        for index, missing in enumerate(batches):
            first, begun = missing[0] // batch * batch, device.moment()
            pictures = draw(list(range(first, first + batch)))
            timed = (begun, device.moment(), slug) if slug and index else None
            if threads:
                waiting.add(savers.submit(_save, pictures, first, missing, wanted, out, manifest, timed))
            else:
                _save(pictures, first, missing, wanted, out, manifest, timed)
            if len(waiting) > threads + WAITING:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()  # raises what went wrong while saving
            task.update(len(missing))
        for future in waiting:
            future.result()


def _save(pictures, first: int, missing: list[int], wanted: list[int], out: Path, manifest, timed: tuple | None) -> None:
    """Write the missing pictures of the batch from seed `first` on.

    wanted: labels, as `choose` returns. timed: when drawing began and ended, and on which machine.
    """
    pictures = images.from_levels(*pictures) if isinstance(pictures, tuple) else pictures
    time = dict(time_s=device.seconds(*timed[:2]) / len(pictures), machine=timed[2]) if timed else {}
    for seed in missing:
        label = dict(label=wanted[seed % len(wanted)]) if wanted else {}
        out_folder.save(pictures[seed - first], seed, out, manifest, label | time)
