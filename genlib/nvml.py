"""Ask NVML, NVIDIA's management library, about the GPU that torch uses; None wherever it does not answer.

One thread asks, so that a driver which hangs costs one time-out and not the run. An answer takes 12 us (memory) to 5 ms (processes).
"""
import os
import queue
import threading
from functools import cache

import torch

TIMEOUT_S = 5
MEMORY_V2 = 0x02000028  # nvmlMemory_v2: what the driver keeps for itself does not count as used


def ask(function: str, *arguments):
    """What an NVML function says of the GPU in use, whose handle it gets before the arguments.

    None: no NVIDIA GPU, no driver, no permission, no such function, a board that cannot tell, or no answer in TIMEOUT_S, after which
    nothing is asked any more.
    """
    if not torch.cuda.is_available() or hangs():
        return None
    return _asker(torch.cuda.current_device(), os.getpid()).ask(function, arguments)


def memory_used() -> int | None:
    """Bytes in use on the GPU, by all processes; from drivers before 510 with what the driver keeps for itself."""
    memory = ask("nvmlDeviceGetMemoryInfo", MEMORY_V2) or ask("nvmlDeviceGetMemoryInfo")
    return memory and memory.used


def hangs() -> bool:
    """Whether a question was not answered in time."""
    return torch.cuda.is_available() and _asker(torch.cuda.current_device(), os.getpid()).hangs


class _Asker:
    """A thread that asks one question after the other about one GPU (torch's number of it: a thread has a current GPU of its own)."""

    def __init__(self, gpu: int, process: int):  # by process, since a forked child has no threads of its parent's
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
            except Exception as error:  # a mistake of ours: raised where it was asked
                reply.put(error)


_asker = cache(_Asker)  # one for each GPU and process


def _find_gpu(gpu: int):
    """NVML's handle of the GPU that torch numbers so, found by its UUID, since CUDA_VISIBLE_DEVICES renumbers; None without one."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # not installed, no library, no driver, no permission: each its own class, all mean "cannot tell"
        return None
    uuid = str(torch.cuda.get_device_properties(gpu).uuid)
    for name in (uuid, f"GPU-{uuid}", f"MIG-{uuid}"):
        try:
            return pynvml.nvmlDeviceGetHandleByUUID(name)
        except pynvml.NVMLError:
            continue
    return None


def _call(handle, function: str, arguments: tuple):
    import pynvml

    try:
        if function == "nvmlSystemGetDriverVersion":  # of the system: takes no handle
            return pynvml.nvmlSystemGetDriverVersion()
        return getattr(pynvml, function)(handle, *arguments)
    except (pynvml.NVMLError, AttributeError):
        return None
