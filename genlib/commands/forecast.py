"""What an image will take on this machine, counted without weights.

Each network is built on torch's meta device, which takes no memory, and called once to count its operations
and the bytes alive at the peak. An experiment's entry says how often an image calls each network. The sum is
divided by the rates that this machine reaches now.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import psutil
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from genlib import device
from genlib.experiments import STEPS, Experiment
from genlib.measure.work import seconds
from genlib.models import stable_diffusion, stylegan2, vae
from genlib.models.weights import DEMO_STABLE_DIFFUSION, DEMO_STYLEGAN2
from genlib.record import MB

SHARE_REACHED = {"cpu": 0.7, "cuda": 0.5, "mps": 0.5}  # of the rate of a large matrix product, by networks of this kind
GPU_CONTEXT_BYTES = 500 * MB  # what the driver takes for a process beside torch's allocator


@dataclass
class Work:
    """What an image, or one part of it, takes."""
    flops: float = 0  # floating-point operations
    operations: float = 0  # torch's own, each of which takes time however small it is
    map_bytes: int = 0  # of results that are alive at the peak
    weights: Mapping[str, int] = field(default_factory=dict)  # bytes of the networks that must be loaded, by name

    @property
    def weights_bytes(self) -> int:
        return sum(self.weights.values())

    def __add__(self, other: "Work") -> "Work":
        """One after the other; a network that both need is loaded once."""
        return Work(self.flops + other.flops, self.operations + other.operations, max(self.map_bytes, other.map_bytes),
                    {**self.weights, **other.weights})

    def times(self, number: float) -> "Work":
        """The same done `number` times, one after the other."""
        return Work(self.flops * number, self.operations * number, self.map_bytes, self.weights)


class _Watch(TorchDispatchMode):
    """Counts operations, and the most bytes of their results that are alive at one moment."""

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


def work_of(network: torch.nn.Module, call: Callable) -> Work:
    """The work of `call()`, which calls the network; both on torch's meta device."""
    network.eval()
    with FlopCounterMode(display=False) as counter, _Watch() as watch:
        call()
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    return Work(counter.get_total_flops(), watch.operations, watch.peak_bytes, {type(network).__name__: size})


@torch.inference_mode()
def calls(weights: str, dtype: torch.dtype) -> dict[str, Work]:
    """The work of one call of each network that an experiment's `parts` can name.

    weights: "demo", or "random" and "published", which have the same size.
    """
    folder, demo = DEMO_STABLE_DIFFUSION, weights == "demo"
    with torch.device("meta"):
        text = CLIPTextModel(
            CLIPTextConfig.from_pretrained(folder / "text_encoder") if demo else CLIPTextConfig(**stable_diffusion.TEXT_CONFIG))
        unet = UNet2DConditionModel.from_config(
            UNet2DConditionModel.load_config(folder / "unet") if demo else stable_diffusion.UNET_CONFIG)
        autoencoder = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae") if demo else vae.V1_CONFIG)
        generator = stylegan2.Generator.from_config(
            stylegan2.Generator.load_config(DEMO_STYLEGAN2) if demo else stylegan2.config(512))
        for network in text, unet, autoencoder:
            torch.nn.Module.to(network, dtype)  # diffusers' own `to` warns of layers for float32, even if there are none
        size, width, empty = unet.config.sample_size, unet.config.cross_attention_dim, partial(torch.empty, dtype=dtype)
        return {
            "text_encoder": work_of(text, lambda: text(torch.empty(1, 77, dtype=torch.long))),
            "unet": work_of(unet, lambda: unet(empty(2, 4, size, size), torch.tensor(1), empty(2, 77, width))),  # 2: guidance
            "encoder": work_of(autoencoder, lambda: autoencoder.encode(empty(1, 3, 8 * size, 8 * size))),
            "decoder": work_of(autoencoder, lambda: autoencoder.decode(empty(1, 4, size, size))),
            "generator": work_of(generator, lambda: generator(torch.empty(1, generator.z_dim)))}


def of_image(entry: Experiment, calls: Mapping[str, Work], steps: int = STEPS) -> Work:
    """The work of an image of the experiment, whose entry must have `parts`.

    Raises ValueError when a part is none of the networks in `calls`.
    """
    parts = entry.parts(steps)
    if unknown := [name for name in parts if name not in calls]:
        raise ValueError(f"{entry.slug} has a part {unknown[0]!r} in genlib/experiments.py: the doctor can count {', '.join(calls)}; "
                         "add the network to genlib/commands/forecast.py, or leave `parts` out")
    return sum((calls[name].times(number) for name, number in parts.items()), Work())


def operation_s(dtype: torch.dtype) -> float:
    """Seconds that one of torch's operations takes here however small it is.

    Measured on a block of a UNet that has hardly any arithmetic to do.
    """
    block = ResnetBlock2D(in_channels=16, temb_channels=16, groups=4).to(device.pick(), dtype).eval()
    x, temb = (torch.zeros(shape, device=device.pick(), dtype=dtype) for shape in ([2, 16, 8, 8], [2, 16]))
    with torch.inference_mode():
        with _Watch() as watch:
            block(x, temb)
        return median(seconds(block, x, temb) for _ in range(30)) / watch.operations


def time_s(amount: Work, flops_per_s: float, each_s: float, kind: str) -> float:
    """Forecast of the time. A CPU does arithmetic and starts operations in turn, a GPU does both at once."""
    arithmetic, starting = amount.flops / (flops_per_s * SHARE_REACHED[kind]), amount.operations * each_s
    return arithmetic + starting if kind == "cpu" else max(arithmetic, starting)


def memory_bytes(amount: Work, kind: str) -> int:
    """Forecast of the peak: weights, results and what the process takes without them.

    On a CPU that is the size of this process, which has loaded the libraries of a notebook but no model.
    """
    return amount.weights_bytes + amount.map_bytes + (GPU_CONTEXT_BYTES if kind != "cpu" else psutil.Process().memory_info().rss)
