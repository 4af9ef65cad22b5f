"""Labels of conditional networks, which draw classes (cifar10, for example): which label a seed takes."""
import re
from collections.abc import Iterable

import torch

ALL = "all"


def parse(text: str) -> list[int] | None:
    """The labels in "3", "0,3,5" or "0-4,7"; None for "all". Raises ValueError for anything else."""
    if text == ALL:
        return None
    labels = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip(), re.ASCII)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise ValueError(f"labels are {text!r}: write one from 0 up (3), several (0,3,5 or 0-4) or {ALL}")
        labels += range(first, last + 1)
    return labels


def choose(G, text: str = "") -> list[int]:
    """The labels that seeds take in turn: seed s takes number s of them, starting over after the last.

    G: a Generator. text: as `parse` reads it; "" means all of a conditional network's, and none of another's.
    Returns [] for a network without labels. Raises ValueError for labels that the network does not have.
    """
    wanted = parse(text or ALL)
    if not G.c_dim:
        if text:
            raise ValueError(f"labels are {text!r}, but {G.info.name} was trained without any: leave them out")
        return []
    wanted = list(range(G.c_dim)) if wanted is None else wanted
    if max(wanted) >= G.c_dim:
        raise ValueError(f"label {max(wanted)} is none of {G.info.name}'s, which are 0 to {G.c_dim - 1}")
    return wanted


def one_hot(G, labels: list[int], seeds: Iterable[int]) -> torch.Tensor | None:
    """c [N, c_dim] for `G(z, c)`: a 1 at each seed's label, zeros beside it; None without labels."""
    if not labels:
        return None
    wanted = torch.tensor([labels[seed % len(labels)] for seed in seeds])
    return torch.nn.functional.one_hot(wanted, G.c_dim).to(G.device, torch.float32, non_blocking=True)
