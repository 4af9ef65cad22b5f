"""Share drawing on a CPU among forked processes of a thread each, which go on with the network in memory.

The rule is `how_many`; its figures are images/s on two cores (AMD EPYC, AVX512, float32, batch 1):

| | a process of 2 threads | of 1 | two processes of 1 |
| --- | ---: | ---: | ---: |
| the demo's StyleGAN2 | 129 | 129 | 250 |
| the demo's Stable Diffusion | 1.47 | 1.66 | 3.05 |
| StyleGAN2, 512 px | 1.53 | 0.93 | 1.71 |
| v1-4's UNet (steps/s) | 0.195 | 0.108 | 0.204 |

The last gains 4 % for twice the wait until a picture is there, so large networks keep one process.
"""
import os
from collections.abc import Callable

import torch

from genlib import device, system
from genlib.models.weights import free_bytes

SMALL = 500e6  # bytes of a network's weights: StyleGAN2 at 512 px has 120 MB, v1-4 3.4 GB
BATCHES = 5  # for each process: from here on the last round, which may leave cores idle, costs less than is gained
TIMED, TIMED_OF = 20, 50  # one batch of 50, up to 20, is drawn before the fork and timed, with the machine to itself


def take_threads() -> None:
    """Let torch use this process's share of the cores, of which a container may have fewer than it shows.

    What OMP_NUM_THREADS says stays; torchrun sets it for its processes, accelerate launch does not.
    """
    if device.pick().type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        cores = min(torch.get_num_threads(), int(system.limit("cpu.max") or torch.get_num_threads()))
        torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def how_many(batches: int, network_bytes: int) -> int:
    """How many processes are to draw: one for each of torch's threads where that is quicker, else 1.

    It is without a GPU, for a small network and enough batches, where no launcher (torchrun, accelerate
    launch) has decided already; and on Linux alone, since elsewhere libraries do not bear a fork.
    """
    good = system.is_linux() and device.pick().type == "cpu" and "WORLD_SIZE" not in os.environ
    threads = torch.get_num_threads()
    return threads if good and network_bytes <= SMALL and batches >= BATCHES * threads else 1


def drawn_before(batches: int) -> int:
    """How many batches are drawn before the fork, with all threads: one to warm up, the others timed."""
    return 1 + min(TIMED, batches // TIMED_OF)


def fit(processes: int, grown_bytes: int) -> bool:
    """Whether there is memory for as many processes, of which each grows as this one did when it drew."""
    return processes * grown_bytes <= free_bytes()


def share(work: Callable[[int, list], None], parts: list[list]) -> None:
    """Call `work` with each part and its number, in a process of one thread each, and wait for all.

    Raises what `system.fork_each` does; MemoryError if one is killed.
    """
    def alone(number: int, part: list) -> None:
        torch.set_num_threads(1)  # OpenMP's other threads are the parent's, and are not there after a fork
        # What a launcher would set, by which the line of progress finds its row.
        os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE=str(len(parts)))
        work(number, part)

    try:
        system.fork_each(alone, parts)
    except ChildProcessError:
        raise MemoryError("a process that drew was killed, which mostly happens when the machine's memory is used up: close other "
                          "programs, or set OMP_NUM_THREADS=1; the same command draws what is missing") from None
