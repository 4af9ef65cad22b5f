"""Stand-ins for processors, for NVML with one GPU or several, and a call that is measured once."""
import sys
from types import SimpleNamespace

import psutil
import torch

from genlib import device, measure, nvml

MIB = 1024**2
PROCESSORS = {  # kind, and whether it computes in bfloat16
    "Tesla T4": ("cuda", False), "NVIDIA H100 80GB HBM3": ("cuda", True), "Apple M1 GPU": ("mps", True),
    "Apple M1 GPU, macOS 13": ("mps", False), "AMD EPYC 7B12": ("cpu", False), "Intel Xeon Platinum 8481C": ("cpu", True)}


class NVMLError(Exception):
    pass


class Card:
    """A stand-in for NVML with one GPU; `faults` maps a function's name to what it raises or does instead."""
    NVMLError = NVMLError

    def __init__(self, faults=None, name="GPU-abc"):
        self.faults, self.name, self.calls = faults or {}, name, 0
        self.processes = [SimpleNamespace(pid=psutil.Process().pid, usedGpuMemory=300 * MIB)]
        self.energy_mj, self.used, self.bits = 5000, 700 * MIB, 0

    def __getattr__(self, function):
        answers = {
            "nvmlInit": lambda: None, "nvmlDeviceGetHandleByUUID": self.find, "nvmlSystemGetDriverVersion": lambda: b"580.1",
            "nvmlDeviceGetMemoryInfo": self.memory,
            "nvmlDeviceGetComputeRunningProcesses": lambda _: self.processes, "nvmlDeviceGetTemperature": lambda _, sensor: 61,
            "nvmlDeviceGetTotalEnergyConsumption": lambda _: self.energy_mj, "nvmlDeviceGetClockInfo": lambda _, kind: 1590,
            "nvmlDeviceGetCurrentClocksEventReasons": lambda _: self.bits, "nvmlDeviceGetEnforcedPowerLimit": lambda _: 70_000,
        }
        if function not in answers:
            raise AttributeError(function)

        def answer(*arguments):
            self.calls += 1
            if function in self.faults:
                return self.faults[function]()
            return answers[function](*arguments)

        return answer

    def memory(self, handle, version=None):
        """The first version of the answer counts what the driver keeps for itself as used."""
        kept = 200 * MIB if version is None else 0
        return SimpleNamespace(used=self.used + kept, total=16 * 1024 * MIB)

    def find(self, uuid):
        if uuid != self.name:
            raise NVMLError("Not Found")
        return "handle"


class Cards:
    """A stand-in for NVML with several GPUs, in nvidia-smi's order; the handle of each is its Card."""
    NVMLError = NVMLError

    def __init__(self, *cards):
        self.cards = cards

    def __getattr__(self, function):
        if function == "nvmlDeviceGetHandleByUUID":
            return self.find
        if function in ("nvmlInit", "nvmlSystemGetDriverVersion"):
            return getattr(self.cards[0], function)
        return lambda card, *arguments: getattr(card, function)(card, *arguments)

    def find(self, uuid):
        for card in self.cards:
            if uuid == card.name:
                return card
        raise NVMLError("Not Found")


def install(monkeypatch, card):
    monkeypatch.setitem(sys.modules, "pynvml", card)
    nvml._asker.cache_clear()
    return card


def processor(monkeypatch, name):
    """Let one of PROCESSORS be the one that models run on."""
    kind, has_bfloat16 = PROCESSORS[name]
    monkeypatch.setattr(device, "pick", lambda: torch.device(kind))
    monkeypatch.setattr(device, "processor", lambda: name)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16 and not including_emulation)
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: has_bfloat16)
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: has_bfloat16)


def fail(message):
    def raises():
        raise NVMLError(message)
    return raises


def measured(tmp_path, call=lambda: None):
    return measure.repeat(call, experiment="e", iterations=1, warmup=0, results=tmp_path)
