"""The thesis's own way of reading."""
import os
import time
from types import SimpleNamespace

import pytest
import torch
from card import MIB, Card, install

from genlib import measure, runs
from genlib.measure import as_in_thesis


def test_the_thesiss_reading_has_no_warm_up_and_its_own_method(tmp_path):
    calls = []
    run = measure.repeat_as_in_thesis(lambda: calls.append(1), experiment="e", iterations=3, results=tmp_path)
    assert len(calls) == 3 and run.warmup == [] and run.method == "thesis"
    assert runs.load(tmp_path)["method"].unique().tolist() == ["thesis"]


def test_the_thesiss_reading_refuses_a_source_that_it_did_not_use(tmp_path):
    with pytest.raises(ValueError, match="'allocator' or 'gputil'"):
        measure.repeat_as_in_thesis(lambda: None, experiment="e", vram="nvml", results=tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are scripts of a shell")
@pytest.mark.parametrize("script, expected", [
    ("", None), ("echo 'NVIDIA-SMI has failed'", None), ("echo 'No devices were found'", None), ("sleep 60", None),
    ("echo '0, GPU-1, 5, 1000, 1136, 400, 535.1, Tesla T4, 123, Disabled, Disabled, 60'", 1136 * MIB),
    ("echo '0, GPU-1, 5, 1000, 1136, 400, 535.1, NVIDIA A100, of a name with a comma, 123, Disabled, Disabled, 60'", 1136 * MIB),
    (r"printf '0, GPU-1, 5, 1000, 1136, 400, 535.1, \377, 123, Disabled, Disabled, 60\n'", None),
    ("echo '0, GPU-1, 5, 1000, [Insufficient Permissions], 400, 535.1, NVIDIA A100, 123, Disabled, Disabled, 60'", None),
    ("echo '0, GPU-1, 5, [N/A], [N/A], [N/A], 535.1, Tesla T4, 123, Disabled, Disabled, 60'", None),
    ("echo '0, GPU-1, 5, 0, 0, 0, 535.1, Tesla T4, 123, Disabled, Disabled, 60'", None),
])
def test_every_fault_of_gputil_is_a_reading_that_is_missing(tmp_path, monkeypatch, cuda, script, expected):
    cuda["uuids"] = ["1"]
    program = tmp_path / "nvidia-smi"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(as_in_thesis, "TIMEOUT_S", 3)
    assert as_in_thesis.gputil_memory_used() == expected


def test_the_thesiss_reading_of_the_allocator_is_its_peak_without_reset_between_or_synchronising(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card())
    run = measure.repeat_as_in_thesis(lambda: None, experiment="e", iterations=2, results=tmp_path)
    assert [i.vram_peak_bytes for i in run.iterations] == [500 * MIB] * 2
    assert (cuda["resets"], cuda["synchronized"]) == (1, 0), "before the first iteration only; never"
    assert run.iterations[0].ram_bytes > 0 and run.iterations[0].ram_peak_bytes is None


def test_the_thesiss_peak_is_not_that_of_what_ran_here_before(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card())
    cuda["peak"] = 9000 * MIB  # of a larger batch
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: cuda.update(peak=100 * MIB))
    run = measure.repeat_as_in_thesis(lambda index: cuda.update(peak=max(cuda["peak"], [700 * MIB, 300 * MIB][index])), experiment="e",
                                      iterations=2, results=tmp_path)
    assert [i.vram_peak_bytes for i in run.iterations] == [700 * MIB] * 2, "the second keeps the first's, since nothing is reset between"


def test_out_of_memory_in_the_thesiss_reading_is_a_row_too(tmp_path):
    def too_large():
        raise MemoryError

    run = measure.repeat_as_in_thesis(too_large, experiment="e", iterations=3, results=tmp_path)
    assert run.finished and [i.error for i in run.iterations] == ["out of memory"]


@pytest.mark.parametrize("iterations", [0, -3, 2.5])
def test_the_thesiss_reading_refuses_iterations_below_one_before_anything_is_made(tmp_path, iterations):
    with pytest.raises(ValueError, match="at least 1"):
        measure.repeat_as_in_thesis(lambda: None, experiment="e", iterations=iterations, results=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_clock_that_is_set_meanwhile_costs_no_iteration_and_is_said(tmp_path, monkeypatch):
    """The thesis reads the wall clock; a time of -3600 s would cost the whole record."""
    hours = iter([7200.0, 3600.0, 3600.0, 3600.25, 3600.0, 7200.0])
    monkeypatch.setattr(as_in_thesis, "time", SimpleNamespace(time=lambda: next(hours), perf_counter=time.perf_counter))
    run = measure.repeat_as_in_thesis(lambda: None, experiment="e", iterations=3, results=tmp_path)
    assert 0 <= run.iterations[0].time_s < 0.2 and run.iterations[1].time_s == 0.25 and 0 <= run.iterations[2].time_s < 0.2
    assert [warning.partition(":")[0] for warning in run.warnings] == [
        "the clock was set by -3600 s during iteration 1", "the clock was set by +3600 s during iteration 3"]


def test_a_clock_too_coarse_to_see_an_iteration_costs_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(as_in_thesis, "time", SimpleNamespace(time=lambda: 1.0, perf_counter=time.perf_counter))
    measure.repeat_as_in_thesis(lambda: None, experiment="e", iterations=2, results=tmp_path)
    assert (runs.load(tmp_path)["time_s"] > 0).all()
