"""Of several GPUs every source reads the one that torch uses, though each has an order of its own."""
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from card import MIB, Card, Cards, fail, install, measured

from genlib import device, measure, nvml
from genlib.measure import as_in_thesis, readings


def card(name, number):
    """A card whose every figure is its own."""
    made = Card(dict(nvmlDeviceGetTemperature=lambda: 60 + number, nvmlDeviceGetClockInfo=lambda: 1000 + number,
                     nvmlDeviceGetEnforcedPowerLimit=lambda: 1000 * (70 + number)), name=name)
    made.used, made.bits = (700 + number) * MIB, 0x04 if number == 1 else 0
    made.processes = [SimpleNamespace(pid=process.pid, usedGpuMemory=(300 + number) * MIB) for process in made.processes]
    return made


@pytest.fixture
def three(monkeypatch, cuda):
    """Three cards; nvidia-smi and GPUtil list them in this order."""
    cards = [card(f"GPU-{name}", number) for number, name in enumerate(["first", "second", "third"])]
    install(monkeypatch, Cards(*cards))
    listed = [SimpleNamespace(uuid=one.name, memoryUsed=700.0 + number) for number, one in enumerate(cards)]
    monkeypatch.setitem(sys.modules, "GPUtil", SimpleNamespace(getGPUs=lambda: listed))
    monkeypatch.setattr(readings, "POLL_S", 0.01)
    return cards


def read(tmp_path, cards, call=lambda: None):
    """What each source says of a call: the iteration, the machine and GPUtil's reading."""
    def work():
        for number, one in enumerate(cards):
            one.energy_mj += 1000 * (number + 1)
        call()
        time.sleep(0.05)  # some samples, by a thread of their own

    run = measured(tmp_path, work)
    audit = measure.repeat_as_in_thesis(lambda: None, experiment="e", iterations=1, vram="gputil", results=tmp_path)
    return run.iterations[0], run.machine, audit.iterations[0]


@pytest.mark.parametrize("visible, chosen, expected", [
    (["first", "second", "third"], 0, 0), (["second"], 0, 1), (["second", "first"], 0, 1), (["second", "first"], 1, 0),
    (["third", "first", "second"], 0, 2), (["third", "first", "second"], 2, 1), (["first", "third"], 1, 2)])
def test_every_source_reads_the_card_that_torch_uses(tmp_path, three, cuda, visible, chosen, expected):
    """CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER decide which cards torch sees in which order."""
    cuda["uuids"] = visible
    torch.cuda.set_device(chosen)
    iteration, machine, audit = read(tmp_path, three)
    assert (iteration.vram_device_bytes, iteration.vram_source) == ((700 + expected) * MIB, "nvml")
    assert (iteration.vram_process_bytes, iteration.vram_others_bytes) == ((300 + expected) * MIB, 400 * MIB)
    assert (iteration.temperature_c, iteration.clock_hz, iteration.energy_j) == (60 + expected, 1e6 * (1000 + expected), expected + 1)
    assert iteration.throttled == ["power cap"] * (expected == 1)
    assert machine.power_limit_w == 70 + expected
    assert (audit.vram_device_bytes, audit.vram_source) == ((700 + expected) * MIB, "GPUtil")


def test_torchs_own_reading_of_the_device_is_of_the_card_that_was_chosen(tmp_path, monkeypatch, three, cuda):
    for one in three:
        one.faults["nvmlDeviceGetMemoryInfo"] = fail("Not Supported")
    cuda["uuids"] = ["first", "second"]
    torch.cuda.set_device(1)
    iteration, *_ = read(tmp_path, three)
    assert (iteration.vram_device_bytes, iteration.vram_source) == (1999 * MIB, "torch"), "not the 2000 MB of the other"


@pytest.mark.parametrize("uuids", [["unknown"], [None]])
def test_a_card_that_nobody_else_knows_has_null_for_readings_and_never_anothers(tmp_path, three, cuda, uuids):
    cuda["uuids"] = uuids
    iteration, machine, audit = read(tmp_path, three)
    assert (iteration.vram_device_bytes, iteration.vram_source) == (2000 * MIB, "torch")
    for name in ("vram_process_bytes", "vram_others_bytes", "energy_j", "temperature_c", "clock_hz", "throttled"):
        assert getattr(iteration, name) is None, name
    assert machine.power_limit_w is audit.vram_device_bytes is audit.vram_source is None and not nvml.hangs()


@pytest.mark.parametrize("uuid", ["slice", "first"], ids=["its own", "the whole card's"])
def test_a_slice_of_a_card_is_read_by_itself_and_never_the_whole_card(tmp_path, monkeypatch, three, cuda, uuid):
    """Whichever UUID torch tells; GPUtil, which lists no slices, has no reading of it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-slice,MIG-another")
    install(monkeypatch, Cards(*three, card("MIG-slice", 3)))
    cuda.update(name="NVIDIA A100-SXM4-40GB MIG 1g.5gb", uuids=[uuid])
    iteration, _, audit = read(tmp_path, [])
    assert iteration.vram_device_bytes == 703 * MIB and audit.vram_device_bytes is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    install(monkeypatch, Cards(*three))
    assert read(tmp_path, [])[0].temperature_c is None


def test_a_model_that_runs_on_the_processor_has_no_cards_reading(three, monkeypatch):
    """As under CUDA_VISIBLE_DEVICES="" or "-1", while nvidia-smi still lists every card."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert as_in_thesis.gputil_memory_used() is None and device.describe().vram_bytes is None


def test_a_call_that_chooses_another_card_is_refused_before_anything_is_mixed(tmp_path, three, cuda):
    cuda["uuids"] = ["first", "second"]
    with pytest.raises(RuntimeError, match="went from cuda:0 to cuda:1: call torch.cuda.set_device before measuring"):
        read(tmp_path, three, lambda: torch.cuda.set_device(1))
    iteration, *_ = read(tmp_path, three)
    assert iteration.temperature_c == 61
