"""Which card holds Stable Diffusion v1-4, and at what time: cards of 4 to 15 GB imitated on a larger one.

torch gets as much of the GPU's memory as such a card would leave it: all of it less what the CUDA context
takes here. Each mode is tried on the smallest card first, until one holds it. Each try is a run of the
variant "card-...", and one that does not fit is a run whose iteration says "out of memory".
"""
from dataclasses import dataclass
from functools import partial

import torch
from bench_tuned import free

from genlib import device, measure
from genlib.measure.repeat import describe
from genlib.models import stable_diffusion

CARDS_GB = 4, 6, 8, 12, 15  # as cards are sold: of 1024^3 bytes
GB = 1024**3
OFFLOADED_STEPS = 5  # every step moves the whole UNet through the bus


@dataclass(frozen=True)
class Mode:
    """How a model lies in memory, and how many pictures are drawn at once."""
    dtype: str
    where: str = "on the card"  # or "parts in turn" (diffusers' model offload), "layers in turn" (sequential offload)
    batch: int = 1
    slicing: bool = False  # the VAE decodes one picture of a batch at a time
    profile: str = "thesis"

    def __str__(self):
        return ", ".join([self.profile, self.dtype, self.where, f"batch {self.batch}", *["VAE slicing"] * self.slicing])


MODES = [Mode("float16", profile="tuned"), Mode("float16"), Mode("float16", batch=4), Mode("float16", batch=4, slicing=True),
         Mode("float16", "parts in turn"), Mode("float16", "layers in turn"), Mode("bfloat16"), Mode("float32"),
         Mode("float32", "parts in turn")]


def cards(results, weights: str, steps: int, keep) -> list[str]:
    """A table: each mode's smallest card that holds it, and its time there; `keep()` after each try."""
    rows, context = [], context_bytes()
    if context is None:
        return ["Not measured: no GPU."]
    for mode in MODES:
        taken = steps if mode.where != "layers in turn" else min(steps, OFFLOADED_STEPS)
        for card_gb in CARDS_GB:
            iteration = try_on(card_gb, context, mode, results, weights, taken)
            keep()
            print(f"{card_gb} GB, {mode}, {taken} steps: {describe(iteration)}", flush=True)
            peak = "—" if iteration.vram_peak_bytes is None else f"{iteration.vram_peak_bytes / 1024**2:.0f}"
            rows.append(f"| {mode} | {taken} | {card_gb} | " + ("out of memory | — | — |" if iteration.out_of_memory else
                        f"holds it | {peak} | {iteration.time_s / mode.batch:.2f} |"))
            if not iteration.out_of_memory:
                break
    return ["| mode | steps | card (GB) | | peak (MB) | s an image |", "| --- | ---: | ---: | --- | ---: | ---: |", *rows, "",
            f"Of each card torch gets all but the CUDA context, {context / 1024**2:.0f} MB here."]


def context_bytes() -> int | None:
    """What the process takes of the GPU beside torch's tensors (nobody else is there); None without a GPU."""
    if device.pick().type != "cuda":
        return None
    torch.zeros(1, device="cuda")
    unused, whole = torch.cuda.mem_get_info()
    return whole - unused - torch.cuda.memory_reserved()


def try_on(card_gb: int, context: int, mode: Mode, results, weights: str, steps: int):
    """The last iteration of a run on such a card, of a model that is loaded and put in place there."""
    free()
    if mode.where == "on the card":
        limit(card_gb * GB - context)
    try:
        info, draw = prepare(mode, weights, steps)
        free()
        limit(card_gb * GB - context)  # only now if the model was loaded on the CPU's side, as published weights are
        name = str(mode).replace(",", "").replace(" ", "-")
        run = measure.repeat(draw, model=info, iterations=2, warmup=1, experiment="stable-diffusion", variant=f"card-{card_gb}-gb-{name}",
                             settings=dict(steps=steps, prompt="", batch=mode.batch, card_bytes=card_gb * GB, memory=mode.where,
                                           vae_slicing=mode.slicing), results=results)
        return run.iterations[-1]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def limit(size: int) -> None:
    """Let torch have no more than `size` bytes of the GPU."""
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / torch.cuda.mem_get_info()[1]))


def prepare(mode: Mode, weights: str, steps: int):
    """The model's info, and a call that draws; one that runs out of memory if loading did."""
    try:
        pipe = stable_diffusion.load(weights, dtype=mode.dtype, profile=mode.profile)
    except MemoryError as error:
        return None, partial(out_of_memory, str(error))
    latents = stable_diffusion.random_latents(pipe, batch_size=mode.batch)
    if mode.slicing:
        pipe.vae.enable_slicing()
    if mode.where == "parts in turn":
        pipe.enable_model_cpu_offload()
    elif mode.where == "layers in turn":
        pipe.enable_sequential_cpu_offload()
    scale = stable_diffusion.guidance_scale(pipe)
    return pipe.info, lambda: pipe([""] * mode.batch, latents=latents, num_inference_steps=steps, guidance_scale=scale).images


def out_of_memory(reason: str):
    raise torch.OutOfMemoryError(reason)
