"""The tuned profile: choose a model's switches (switches.py) for this machine; give back unneeded memory."""
import mmap
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import torch

from genlib import device, system
from genlib.models import forward
from genlib.models.switches import COMPILE_PAYS_FROM, SWITCHES, check
from genlib.runs import ModelInfo

RELEASED_FROM = 100e6  # bytes of a network: a smaller one's memory is not worth the time that the search for its pages takes


@dataclass
class Case:
    """What decides on the switches: the model that is asked for, and this machine."""
    dtype: torch.dtype = torch.float32
    is_v1: bool = True  # False: a pipeline of another class than Stable Diffusion v1's
    expected_images: int = 1

    def __post_init__(self):
        self.device_type, self.can_release = device.pick().type, can_release()  # "cuda", "mps" or "cpu"; see `can_release`

    @property
    def computes_in_float32(self) -> bool:
        return self.dtype == torch.float32

    @property
    def cudnn_attention_wins(self) -> bool:
        """Whether cuDNN's attention is quicker here, which is timed."""
        return forward.cudnn_attention_wins(self.dtype)

    @cached_property
    def compiling_pays(self) -> bool:
        """Whether there are images enough, and torch's compiler works, which is tried once."""
        return self.expected_images >= COMPILE_PAYS_FROM and forward.can_compile()


def good(model: str, case: Case) -> dict[str, bool]:
    """The switches of "stable_diffusion", "vae" or "stylegan2", and whether each is good in this case."""
    return {switch.name: switch.good(case) for switch in SWITCHES if model in switch.models}


def choose(info: ModelInfo, good: dict[str, bool], without=()) -> None:
    """Fill in `info.switches`: in the tuned profile, the good ones that `without` does not name are on.

    `huge_pages` is set for the whole process, so it is reported in either profile. Raises ValueError if
    `without` names something that is no switch of the model.
    """
    check(without, list(good))
    info.switches |= {name: yes and info.profile == "tuned" and name not in without for name, yes in good.items()}
    info.switches["huge_pages"] = system.huge_pages()


def keep_timesteps_on_cpu(scheduler) -> None:
    """Let `set_timesteps` leave its table on the CPU, beside the coefficients: no step waits for a GPU."""
    plain = scheduler.set_timesteps
    scheduler.set_timesteps = lambda num_inference_steps, device=None: plain(num_inference_steps, device="cpu")


def can_release() -> bool:
    """Whether memory that is mapped from files can be given back: on Linux, with the models on the CPU."""
    return device.pick().type == "cpu" and system.PAGES.exists()


def release(network: torch.nn.Module) -> None:
    """Give back the memory of unchanged weights that are mapped from a file: used again, they are read anew.

    Of each stretch of neighbouring weights all are given back or none: see `system.release_pages`. Nobody
    may change weights meanwhile.
    """
    if torch.compiler.is_compiling():
        return
    for begin, end in _stretches(network):
        system.release_pages(begin, end)


def _stretches(network: torch.nn.Module) -> list[tuple[int, int]]:
    """Where the weights lie in memory, neighbours joined: first address, and the one after the last."""
    found = []
    for tensor in chain(network.parameters(), network.buffers()):
        if type(tensor.data) is torch.Tensor and tensor.device.type == "cpu" and tensor.layout == torch.strided and tensor.is_contiguous():
            found.append((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes))
    joined = []
    for begin, end in sorted(found):
        if joined and begin - joined[-1][1] < mmap.PAGESIZE:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined
