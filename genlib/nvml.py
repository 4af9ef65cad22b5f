"""Ask NVML, NVIDIA's management library, about the GPU that torch uses; None wherever it does not answer.

A thread asks, so that a driver that hangs costs one time-out and not the run. An answer takes from 12 us
(memory) to 5 ms (processes).
"""
import os
import queue
import threading
from functools import cache

import torch

TIMEOUT_S = 5
MEMORY_V2 = 0x02000028  # nvmlMemory_v2, where memory that the driver reserves does not count as used


def ask(function: str, *arguments):
    """What an NVML function says of the GPU in use; it gets the GPU's handle before the arguments.

    None without an NVIDIA GPU, driver, permission or such a function, and from a board that cannot tell.
    After one question without an answer in TIMEOUT_S every answer is None, and NVML is not asked again.
    """
    if not torch.cuda.is_available() or hangs():
        return None
    return _asker(torch.cuda.current_device(), os.getpid()).ask(function, arguments)


def memory_used() -> int | None:
    """Bytes in use on the GPU by all processes; before driver 510 with what the driver itself reserves."""
    memory = ask("nvmlDeviceGetMemoryInfo", MEMORY_V2) or ask("nvmlDeviceGetMemoryInfo")
    return memory and memory.used


def hangs() -> bool:
    """Whether a question has gone unanswered for TIMEOUT_S."""
    return torch.cuda.is_available() and _asker(torch.cuda.current_device(), os.getpid()).hangs


class _Asker:
    """A thread that asks one question after another about one GPU.

    The GPU is given by torch's number, since each thread has a current GPU of its own.
    """

    def __init__(self, gpu: int, process: int):  # one a process, since a forked child has none of its parent's threads
        self._gpu = gpu
        self.hangs = False
        self._questions = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def ask(self, function: str, arguments: tuple):
        reply = queue.SimpleQueue()
        self._questions.put((function, arguments, reply))
        try:
            answer = reply.get(timeout=TIMEOUT_S)
        except queue.Empty:
            self.hangs = True
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _run(self) -> None:
        handle = _find_gpu(self._gpu)
        while True:
            function, arguments, reply = self._questions.get()
            try:
                reply.put(None if handle is None else _call(handle, function, arguments))
            except Exception as error:  # a mistake in the question: raised to whoever asked it
                reply.put(error)


_asker = cache(_Asker)  # one for each GPU and process


def uuids(gpu: int) -> list[str]:
    """The names under which NVIDIA's tools may know torch's GPU; [] if torch does not tell its UUID.

    A UUID is the same everywhere. Numbers are not: CUDA_VISIBLE_DEVICES renumbers GPUs for torch, and unless
    CUDA_DEVICE_ORDER says otherwise torch begins with the fastest and nvidia-smi with the first slot.
    """
    properties = torch.cuda.get_device_properties(gpu)
    uuid = getattr(properties, "uuid", None)
    if uuid is None:
        return []
    if "MIG" in properties.name.split():  # a slice of a card, whose own figures would be those of all its slices
        return [f"MIG-{uuid}", *(name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[:1] if name.startswith("MIG-"))]
    return [str(uuid), f"GPU-{uuid}", f"MIG-{uuid}"]


def _find_gpu(gpu: int):
    """NVML's handle of torch's GPU, or None."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, library, driver or permission: each raises its own class, and all mean "cannot tell"
        return None
    for name in uuids(gpu):
        try:
            return pynvml.nvmlDeviceGetHandleByUUID(name)
        except pynvml.NVMLError:
            continue
    return None


def _call(handle, function: str, arguments: tuple):
    import pynvml

    try:
        if function == "nvmlSystemGetDriverVersion":  # the system's, so that it takes no handle
            return pynvml.nvmlSystemGetDriverVersion()
        return getattr(pynvml, function)(handle, *arguments)
    except (pynvml.NVMLError, AttributeError):
        return None
