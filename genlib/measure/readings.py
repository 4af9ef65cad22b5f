"""What is read around one call: memory, energy, clocks, and what else the machine was doing meanwhile.

    start()  collect garbage, read everything once, reset the peaks, begin to poll, read the counters
    ...      the call
    stop()   read the counters, end polling, read everything once more

During the call one thread polls every 50 ms: the memory in use on the whole GPU (12 us a reading) and, only
where the kernel cannot reset its own high-water mark, RSS (7 us). No process is spawned. A source that does
not answer gives None.
"""
import gc
import os
import threading
import time

import psutil
import torch

from genlib import device, nvml, system
from genlib.runs import Iteration

POLL_S = 0.05
SHORTEST_S = 0.2  # the kernel counts CPU time in ticks of 10 ms, too coarse to tell the others' share in a shorter window
REASONS = {  # bits of nvmlDeviceGetCurrentClocksEventReasons that slow the work down
    0x02: "clocks set by hand", 0x04: "power cap", 0x08: "hardware slowdown", 0x20: "temperature (software)",
    0x40: "temperature (hardware)", 0x80: "power brake"}


class Readings:
    """The readings of one iteration: `start()`, the call, `stop()`, and `end_polling()` whatever happened.

    Only one may be under way in a process: a measurement inside a measured call would reset the peaks of the
    outer one.
    """

    _under_way = None

    def __init__(self):
        self._done, self._poller, self._fault = threading.Event(), None, None

    def start(self) -> None:
        """Collect garbage, reset the peaks, begin to poll. Raises RuntimeError while another is under way."""
        if Readings._under_way is not None:
            raise RuntimeError("a measurement is already under way in this process: take the inner measure.repeat out of the call")
        Readings._under_way = self
        gc.collect()
        device.synchronize()
        self._gpu = device.pick()
        self._kind = self._gpu.type
        self._source = _source_of_device_memory() if self._kind == "cuda" else None
        self._before = self._read_gpu()
        if self._kind == "cuda":
            torch.cuda.reset_peak_memory_stats()
        self._kernel_knows_peak = system.reset_peak_rss()
        self._rss_peak_bytes = rss()
        self._device_peak_bytes, self._allocated_peak_bytes, self._reasons = None, None, None
        self._poll()
        if self._kind != "cpu" or not self._kernel_knows_peak:
            self._poller = threading.Thread(target=self._keep_polling, daemon=True)
            self._poller.start()
        self._energy_mj = nvml.ask("nvmlDeviceGetTotalEnergyConsumption")
        self._counters = _Counters()

    def end_polling(self) -> None:
        """Take no more readings; may be called twice."""
        if Readings._under_way is self:
            Readings._under_way = None
        self._done.set()
        if self._poller:
            self._poller.join(nvml.TIMEOUT_S + 1)  # it may be waiting for a driver that hangs

    def stop(self) -> Iteration:
        """End polling; an Iteration with all readings but times.

        Raises the poller's own fault, if any, and RuntimeError if the call chose another GPU, of which the
        readings before it are not.
        """
        if device.pick() != self._gpu:
            raise RuntimeError(f"the call went from {self._gpu} to {device.pick()}: call torch.cuda.set_device before measuring, "
                               "so that all readings are of one GPU")
        begun, ended = self._counters, _Counters()
        energy_mj = nvml.ask("nvmlDeviceGetTotalEnergyConsumption")
        self.end_polling()
        if self._fault:
            raise self._fault
        self._poll()
        memory, before, after = _memory(), self._before, self._read_gpu()
        iteration = Iteration(
            vram_device_bytes=self._device_peak_bytes, vram_source=self._source,
            vram_process_start_bytes=before["process_bytes"], vram_process_bytes=after["process_bytes"],
            ram_bytes=memory and memory.rss,
            ram_peak_bytes=_larger(self._rss_peak_bytes, system.of_status("VmHWM") if self._kernel_knows_peak else None),
            # Without what files back or others share, by counters: a walk of the pages takes 27 ms at 4 GB.
            ram_private_bytes=memory.rss - memory.shared if hasattr(memory, "shared") else None,
            energy_j=_difference(self._energy_mj, energy_mj, 1e-3) or None,  # 0: too short
            temperature_start_c=before["temperature_c"], temperature_c=after["temperature_c"],
            clock_start_hz=before["clock_hz"], clock_hz=after["clock_hz"],
            throttled=None if self._reasons is None else sorted(self._reasons),
            other_cpu_s=ended.other_cpu_since(begun), swapped_bytes=_difference(begun.swapped_bytes, ended.swapped_bytes))
        if self._source == "nvml" and None not in (before["process_bytes"], before["device_bytes"]):
            iteration.vram_others_bytes = max(0, before["device_bytes"] - before["process_bytes"])
        if self._kind == "cuda":
            iteration.vram_reserved_bytes = torch.cuda.max_memory_reserved()
            iteration.vram_peak_bytes = min(torch.cuda.max_memory_allocated() + _kept_by_graphs(), iteration.vram_reserved_bytes)
        elif self._kind == "mps":  # keeps no peak: the highest sample stands for it
            iteration.vram_peak_bytes, iteration.vram_reserved_bytes = self._allocated_peak_bytes, torch.mps.driver_allocated_memory()
        return iteration

    def _read_gpu(self) -> dict:
        """The readings that take too long, or change too slowly, to be polled."""
        clock_mhz = nvml.ask("nvmlDeviceGetClockInfo", 1)  # 1: the multiprocessors' clock
        return {"device_bytes": nvml.memory_used(), "process_bytes": _gpu_share(os.getpid()),
                "temperature_c": nvml.ask("nvmlDeviceGetTemperature", 0), "clock_hz": None if clock_mhz is None else clock_mhz * 1e6}

    def _keep_polling(self) -> None:
        try:
            if self._kind == "cuda":
                torch.cuda.set_device(self._gpu)  # a new thread's current GPU is the first one, whatever its parent's is
            while not self._done.wait(POLL_S):
                self._poll()
        except Exception as error:  # raised by stop(): a thread that died unnoticed would leave peaks that are too low
            self._fault = error

    def _poll(self) -> None:
        if not self._kernel_knows_peak:
            self._rss_peak_bytes = _larger(self._rss_peak_bytes, rss())
        if self._kind == "cuda":
            used = nvml.memory_used() if self._source == "nvml" else _torchs_memory_used() if self._source else None
            if used is not None:
                self._device_peak_bytes = max(self._device_peak_bytes or 0, used)
            bits = nvml.ask("nvmlDeviceGetCurrentClocksEventReasons")
            if bits is None:  # its name before driver 535
                bits = nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons")
            if bits is not None:
                self._reasons = (self._reasons or set()) | {reason for bit, reason in REASONS.items() if bits & bit}
        elif self._kind == "mps":
            self._allocated_peak_bytes = max(self._allocated_peak_bytes or 0, device.allocated_bytes())


class _Counters:
    """Counters that only grow, read at one moment."""

    def __init__(self):
        self.swapped_bytes = system.swapped_bytes()
        own = device.told(lambda: psutil.Process().cpu_times())  # with the children that have ended
        self.time_s, self.own_cpu_s = time.perf_counter(), own and time.process_time() + own.children_user + own.children_system
        times = device.told(psutil.cpu_times)
        self.busy_cpu_s = times and sum(getattr(times, name, 0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))

    def other_cpu_since(self, begun) -> float | None:
        """CPU seconds of other processes and a virtual machine's host.

        None if the window is too short, or if the system does not tell.
        """
        told = None not in (self.busy_cpu_s, begun.busy_cpu_s, self.own_cpu_s, begun.own_cpu_s)
        if not told or self.time_s - begun.time_s < SHORTEST_S:
            return None
        return max(0.0, self.busy_cpu_s - begun.busy_cpu_s - (self.own_cpu_s - begun.own_cpu_s))


def _memory():
    """What psutil tells of this process's memory; None where it may not look."""
    return device.told(lambda: psutil.Process().memory_info())


def rss() -> int | None:
    """Bytes of RAM that this process holds; None where the system does not tell."""
    memory = _memory()
    return memory and memory.rss


def _larger(a: int | None, b: int | None) -> int | None:
    return max((a, b), key=lambda value: value or 0)


def _difference(begun, ended, scale=1):
    return None if begun is None or ended is None else (ended - begun) * scale


def _source_of_device_memory() -> str | None:
    """Who reports the memory in use on the whole device: "nvml", "torch", or None where neither can.

    It is chosen once an iteration, since the two differ by what the driver keeps for itself.
    """
    if nvml.memory_used() is not None:
        return "nvml"
    return None if _torchs_memory_used() is None else "torch"


def _torchs_memory_used() -> int | None:
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError:  # the device cannot tell, or is lost, which the call itself will show
        return None
    return total - free


def _kept_by_graphs() -> int:
    """Bytes that CUDA graphs keep for their maps: free to the allocator, though a replay writes into them."""
    return sum(segment["total_size"] - segment["allocated_size"] for segment in torch.cuda.memory_snapshot()
               if tuple(segment["segment_pool_id"]) != (0, 0))


def _gpu_share(pid: int) -> int | None:
    """Bytes that this process holds on the GPU; None where it is not found, as in some containers."""
    processes = nvml.ask("nvmlDeviceGetComputeRunningProcesses") or []
    return next((process.usedGpuMemory for process in processes if process.pid == pid), None)
