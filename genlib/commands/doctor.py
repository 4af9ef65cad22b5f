"""What this machine can do, and what a run will take: `python -m genlib doctor`.

The forecast needs no weights: each network is built without memory (torch's meta device) and called once, which counts its operations
and the bytes alive at the peak. These are divided by the rates that this machine reaches now.
"""
import time
from dataclasses import dataclass

import psutil
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from genlib import device, notebook
from genlib.measure import machine_rates
from genlib.models import stable_diffusion, stylegan2, vae
from genlib.models import weights as weights_module
from genlib.models.stylegan2_network import Generator
from genlib.models.weights import DEMO

MB = 1024**2
SHARE_REACHED = {"cpu": 0.7, "cuda": 0.5, "mps": 0.5}  # of the rate of a large matrix product, by networks of this kind
GPU_CONTEXT_BYTES = 500 * MB  # what the driver takes for a process beside torch's allocator
# Images, counted in whole ones, that a notebook makes by default with warm-ups, growth, precision, audit; and seconds around them.
IMAGES = {1: 32, 2: 12, 3: 73}
AROUND_S = 15


@dataclass
class Work:
    """Of one image, or one part of it: floating-point operations, torch's own operations, bytes of weights, of maps at the peak."""
    flops: float = 0
    operations: float = 0
    weights_bytes: int = 0
    map_bytes: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.operations + other.operations, self.weights_bytes + other.weights_bytes,
                    max(self.map_bytes, other.map_bytes))

    def times(self, number: int) -> "Work":
        """The same done `number` times, one after the other."""
        return Work(self.flops * number, self.operations * number, self.weights_bytes, self.map_bytes)


class _Watch(TorchDispatchMode):
    """Counts operations, and the bytes of what they made that is alive at the worst moment."""

    def __init__(self):
        super().__init__()
        self.operations, self.alive, self.peak_bytes = 0, {}, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        self.operations += 1
        self.alive = {storage: size for storage, size in self.alive.items() if not storage.expired()}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.alive.setdefault(StorageWeakRef(tensor.untyped_storage()), tensor.untyped_storage().nbytes())
        self.peak_bytes = max(self.peak_bytes, sum(self.alive.values()))
        return result


def work_of(build, call, dtype: torch.dtype) -> Work:
    """The work of `call(network)`, of the network that `build()` makes, both on torch's meta device, without memory or time."""
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network = build().eval()
            with _Watch() as watch:
                call(network)
    finally:
        torch.set_default_dtype(default)
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    return Work(counter.get_total_flops(), watch.operations, size, watch.peak_bytes)


def work(weights: str, dtype: torch.dtype, steps: int = 50) -> dict[str, Work]:
    """The work of an image by experiment; weights: "demo", or "random" and "published", which have the same size."""
    folder = DEMO / "stable-diffusion"
    small = weights == "demo"
    unet_config = UNet2DConditionModel.load_config(folder / "unet") if small else stable_diffusion.UNET_CONFIG
    vae_config = AutoencoderKL.load_config(folder / "vae") if small else vae.V1_CONFIG
    text_config = CLIPTextConfig.from_pretrained(folder / "text_encoder") if small else CLIPTextConfig(**stable_diffusion.TEXT_CONFIG)
    size, width = unet_config["sample_size"], unet_config["cross_attention_dim"]

    def build_vae():
        return AutoencoderKL.from_config(vae_config)

    def draw(generator):
        return generator(torch.empty(1, generator.z_dim))

    text = work_of(lambda: CLIPTextModel(text_config), lambda model: model(torch.empty(1, 77, dtype=torch.long)), dtype).times(2)
    unet = work_of(lambda: UNet2DConditionModel.from_config(unet_config),
                   lambda model: model(torch.empty(2, 4, size, size), torch.tensor(1), torch.empty(2, 77, width)), dtype)
    decode = work_of(build_vae, lambda model: model.decode(torch.empty(1, 4, size, size)), dtype)
    encode = work_of(build_vae, lambda model: model.encode(torch.empty(1, 3, 8 * size, 8 * size)), dtype)
    round_trip = Work(encode.flops + decode.flops, encode.operations + decode.operations, decode.weights_bytes,
                      max(encode.map_bytes, decode.map_bytes))
    generator = Generator.load_config(DEMO / "stylegan2") if small else stylegan2.config(512)
    return {"stable-diffusion": text + unet.times(steps + (steps > 1)) + decode, "vae-round-trip": round_trip,
            "stylegan2-ada": work_of(lambda: Generator.from_config(generator), draw, torch.float32)}


def operation_s(dtype: torch.dtype) -> float:
    """Seconds that one of torch's operations takes here however small it is: measured on a block of a UNet with hardly any work."""
    block = ResnetBlock2D(in_channels=16, temb_channels=16, groups=4).to(device.pick(), dtype).eval()
    x, temb = (torch.zeros(shape, device=device.pick(), dtype=dtype) for shape in ([2, 16, 8, 8], [2, 16]))
    with torch.inference_mode():
        with _Watch() as watch:
            block(x, temb)
        times = []
        for _ in range(30):
            device.synchronize()
            start = time.perf_counter()
            block(x, temb)
            device.synchronize()
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] / watch.operations


def time_s(amount: Work, flops_per_s: float, each_s: float, kind: str) -> float:
    """Forecast of an image's time: a CPU does arithmetic and starts operations in turn, a GPU at once."""
    arithmetic, starting = amount.flops / (flops_per_s * SHARE_REACHED[kind]), amount.operations * each_s
    return arithmetic + starting if kind == "cpu" else max(arithmetic, starting)


def memory_bytes(amount: Work, kind: str) -> int:
    """Forecast of the peak: weights and maps, on a CPU beside what this process (which has loaded the same libraries) takes now."""
    return amount.weights_bytes + amount.map_bytes + (GPU_CONTEXT_BYTES if kind != "cpu" else psutil.Process().memory_info().rss)


def examine() -> list[str]:
    """The lines that the command prints."""
    machine, where = device.describe(), device.pick()
    dtype = device.pick_dtype()
    name = str(dtype).removeprefix("torch.")
    flops_per_s, bytes_per_s = machine_rates(name)
    free = torch.cuda.mem_get_info()[0] if where.type == "cuda" else psutil.virtual_memory().available
    kind = "VRAM" if where.type == "cuda" else "memory"
    lines = [f"machine    {machine.device}: {free / 1024**3:.1f} GiB of {kind} free, {machine.threads} threads, Python {machine.python}",
             f"rates      {flops_per_s / 1e9:.0f} GFLOP/s in {name} matrix products, {bytes_per_s / 1e9:.0f} GB/s copied"]
    published = ("is in the cache" if weights_module.in_cache() else "can be downloaded" if weights_module.hub_answers() else
                 "cannot be had now: the model hub does not answer")
    tuned = [switch for switch, good in stable_diffusion.switches(dtype, own=True, expected_images=1).items() if good]
    lines += [f"weights    demo and random need no download · published {published}",
              f"precision  {name}" + (" · float16 is for GPUs" if where.type == "cpu" else " · float32 with dtype='float32'")
              + (" · bfloat16 when asked" if where.type == "cuda" or device.computes_in_bfloat16() else ""),
              f"profile    thesis · tuned: {', '.join(tuned)}"]
    each_s = operation_s(dtype)
    lines += ["", f"{'':24}{'demo weights':>30}{'random or published weights':>34}"]
    forecasts = [work("demo", dtype), work("random", dtype)]
    for number, experiment in enumerate(forecasts[0], 1):
        cells = []
        for amounts in forecasts:
            seconds = time_s(amounts[experiment], flops_per_s, each_s, where.type)
            drawn = amounts["stable-diffusion"] if number == 2 else amounts[experiment]  # notebook 2 makes its faces first
            needed = memory_bytes(drawn, where.type)
            verdict = "" if needed < free else ", does not fit"
            whole = AROUND_S + IMAGES[number] * time_s(drawn, flops_per_s, each_s, where.type)
            cells.append(f"{_span(seconds)} an image, {_span(whole)}, {needed / 1024**3:.1f} GiB{verdict}")
        lines.append(f"{number} {experiment:20}  {cells[0]:>30}{cells[1]:>36}")
    lines += ["", "An image, the whole notebook, memory at the peak; a forecast, mostly within a factor of two."]
    return lines + [f"missing    {notebook.missing() or 'nothing'}"]


def _span(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
