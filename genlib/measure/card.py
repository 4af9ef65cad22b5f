"""A smaller card imitated on this GPU: torch gets as much memory as such a card would leave it."""
import math
from contextlib import contextmanager

import torch

from genlib import device

GB = 1024**3  # as cards are sold


def largest_gb() -> int:
    """The memory of this GPU in GB, as it is sold: the largest card that it can imitate.

    Raises ValueError where models do not run on a GPU whose memory torch can limit.
    """
    if device.pick().type != "cuda":
        raise ValueError(f"models run on {device.processor()} here, and smaller cards are imitated on an NVIDIA GPU only: use a machine "
                         "that has one")
    return math.ceil(torch.cuda.mem_get_info()[1] / GB)


@contextmanager
def limited_to(card_gb: int):
    """Let torch have, for a while, what a card of `card_gb` GB would leave it.

    The card has to hold CUDA's context too, and whatever else is on this GPU beside torch's tensors.
    """
    torch.zeros(1, device=device.pick())  # CUDA is set up by the first tensor
    unused, whole = torch.cuda.mem_get_info()
    beside = whole - unused - torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(min(1.0, max(0, card_gb * GB - beside) / whole))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
