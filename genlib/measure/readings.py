"""Memory, energy and clocks around one call: each source as it answers, None where it does not.

    start()  garbage collected, peaks reset, sampling begins, energy counter read
    ...      the call
    stop()   sampling ends, everything read once more

While the call runs one thread polls, at 50 ms: the use of the whole GPU (12 us a reading) and, only where the kernel cannot
reset its own high-water mark, RSS (7 us). Nothing spawns a process.
"""
import gc
import threading
from pathlib import Path

import psutil
import torch

from genlib import device
from genlib.runs import Iteration

POLL_S = 0.05
REASONS = {  # bits of nvmlDeviceGetCurrentClocksEventReasons that slow the work down
    0x04: "power cap", 0x08: "hardware slowdown", 0x20: "temperature (software)", 0x40: "temperature (hardware)", 0x80: "power brake"}
_process = psutil.Process()


class Readings:
    """The readings of one iteration. A new object each iteration: `start()`, the call, then `stop()`."""

    def start(self) -> None:
        """Collect garbage, reset the peaks, begin to poll. Ends with the device synchronised."""
        gc.collect()
        device.synchronize()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._kernel_knows_peak = _reset_peak_rss()
        self._rss_peak_bytes = _process.memory_info().rss
        self._device_peak_bytes, self._allocated_peak_bytes, self._reasons = None, None, set()
        self._throttling_known = False
        self._poll()
        self._energy_mj = device.ask_nvml("nvmlDeviceGetTotalEnergyConsumption")
        self._done = threading.Event()
        self._poller = None
        if device.pick().type != "cpu" or not self._kernel_knows_peak:
            self._poller = threading.Thread(target=self._keep_polling, daemon=True)
            self._poller.start()

    def stop(self) -> Iteration:
        """End polling; an Iteration with every reading but the times."""
        energy_mj = device.ask_nvml("nvmlDeviceGetTotalEnergyConsumption")
        self._done.set()
        if self._poller:
            self._poller.join()
        self._poll()
        memory = _process.memory_info()
        iteration = Iteration(
            vram_device_bytes=self._device_peak_bytes, vram_process_bytes=_gpu_share(), ram_bytes=memory.rss,
            ram_peak_bytes=max(self._rss_peak_bytes, _kernel_peak_rss() if self._kernel_knows_peak else 0),
            ram_private_bytes=_private(memory), temperature_c=device.ask_nvml("nvmlDeviceGetTemperature", 0),
            throttled=sorted(self._reasons) if self._throttling_known else None)
        if energy_mj is not None and self._energy_mj is not None:
            iteration.energy_j = (energy_mj - self._energy_mj) / 1000
        clock_mhz = device.ask_nvml("nvmlDeviceGetClockInfo", 1)  # 1: the multiprocessors' clock
        iteration.clock_hz = None if clock_mhz is None else clock_mhz * 1e6
        if torch.cuda.is_available():
            iteration.vram_peak_bytes = torch.cuda.max_memory_allocated()
            iteration.vram_reserved_bytes = torch.cuda.max_memory_reserved()
            iteration.vram_source = "nvml" if device.nvml_handle() is not None else "torch"
        elif device.pick().type == "mps":  # keeps no peak: the highest sample stands for it
            iteration.vram_peak_bytes = self._allocated_peak_bytes
            iteration.vram_reserved_bytes, iteration.vram_source = torch.mps.driver_allocated_memory(), "torch"
        return iteration

    def _keep_polling(self) -> None:
        while not self._done.wait(POLL_S):
            self._poll()

    def _poll(self) -> None:
        kind = device.pick().type
        if not self._kernel_knows_peak:
            self._rss_peak_bytes = max(self._rss_peak_bytes, _process.memory_info().rss)
        if kind == "cuda":
            self._device_peak_bytes = max(self._device_peak_bytes or 0, _device_used())
            bits = device.ask_nvml("nvmlDeviceGetCurrentClocksEventReasons")
            if bits is not None:
                self._throttling_known = True
                self._reasons |= {reason for bit, reason in REASONS.items() if bits & bit}
        elif kind == "mps":
            self._allocated_peak_bytes = max(self._allocated_peak_bytes or 0, device.allocated_bytes())


def _device_used() -> int:
    memory = device.ask_nvml("nvmlDeviceGetMemoryInfo")
    if memory is not None:
        return memory.used
    free, total = torch.cuda.mem_get_info()
    return total - free


def _gpu_share() -> int | None:
    """What this process holds on the GPU; None where the process is not found (in a container it has another number)."""
    for process in device.ask_nvml("nvmlDeviceGetComputeRunningProcesses") or []:
        if process.pid == _process.pid:
            return process.usedGpuMemory
    return None


def _reset_peak_rss() -> bool:
    """Ask Linux to reset this process's high-water mark of RSS (proc(5), clear_refs); whether it did."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    peak = _kernel_peak_rss()
    return peak is not None and peak < _process.memory_info().rss * 1.02 + 2**20  # some sandboxes take the request and ignore it


def _kernel_peak_rss() -> int | None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _private(memory) -> int | None:
    """RSS without what a file backs or others share: read from counters, since a walk of the pages takes 27 ms at 4 GB."""
    return memory.rss - memory.shared if hasattr(memory, "shared") else None
