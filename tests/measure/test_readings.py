"""What is read around a call: with stand-ins for NVML and torch's allocator, and on a card if one is here."""
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from card import MIB, Card, NVMLError, fail, install, measured

from genlib import device, measure, nvml, runs, system
from genlib.measure import readings
from genlib.models import forward
from genlib.report import warnings


def test_every_reading_of_a_card_that_answers(tmp_path, monkeypatch, cuda):
    card = install(monkeypatch, Card())

    def call():
        card.energy_mj += 2500
        card.bits = 0x04 | 0x40 | 0x01  # power cap, temperature, and idle, which is no reason
        card.used = 900 * MIB
        time.sleep(0.15)  # two samples
        card.used, card.bits = 800 * MIB, 0

    run = measured(tmp_path, call)
    [iteration] = run.iterations
    assert (iteration.vram_peak_bytes, iteration.vram_reserved_bytes) == (500 * MIB, 600 * MIB)
    assert (iteration.vram_device_bytes, iteration.vram_source) == (900 * MIB, "nvml")
    assert (iteration.vram_process_bytes, iteration.vram_others_bytes) == (300 * MIB, 400 * MIB)
    assert (iteration.energy_j, iteration.temperature_c, iteration.temperature_start_c) == (2.5, 61, 61)
    assert (iteration.clock_hz, iteration.clock_start_hz) == (1.59e9, 1.59e9)
    assert iteration.throttled == ["power cap", "temperature (hardware)"]
    assert cuda["resets"] == 1 and cuda["synchronized"] >= 2
    assert (run.machine.slug, run.machine.power_limit_w, run.machine.driver) == ("tesla-t4", 70, "580.1") and run.warnings == []


def test_what_a_cuda_graph_keeps_counts_though_the_allocator_calls_it_free(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card())
    cuda["segments"] = [dict(total_size=80 * MIB, allocated_size=10 * MIB, segment_pool_id=(0, 1)),
                        dict(total_size=300 * MIB, allocated_size=0, segment_pool_id=(0, 0))]  # the second is the ordinary cache
    assert measured(tmp_path).iterations[0].vram_peak_bytes == 570 * MIB
    cuda["segments"][0]["total_size"] = 900 * MIB
    assert measured(tmp_path).iterations[0].vram_peak_bytes == 600 * MIB, "never more than was reserved"


@pytest.mark.gpu
def test_the_peak_of_a_replayed_graph_has_the_maps_that_it_writes(tmp_path):
    x = torch.ones(1, device="cuda")
    replay, _ = forward.record(lambda: (x * torch.ones(64 * MIB // 4, device="cuda")).sum(), torch.cuda.graph_pool_handle())
    base = torch.cuda.memory_allocated()
    [iteration] = measured(tmp_path, lambda: replay()).iterations
    assert iteration.vram_peak_bytes - base >= 64 * MIB


def test_the_peak_is_reset_after_the_device_has_finished_and_before_the_call(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card())
    events = []
    for name in ("synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: events.append(name))
    measured(tmp_path, lambda: events.append("call"))
    call = events.index("call")
    assert events.index("synchronize") < events.index("reset_peak_memory_stats") < call and "synchronize" in events[call:]
    assert events[call - 1] == events[call + 1] == "synchronize", "the clock starts and stops with the device at rest"


@pytest.mark.parametrize("name", ["abc", "GPU-abc", "MIG-abc"])
def test_a_card_is_found_by_its_uuid_whatever_stands_before_it(monkeypatch, cuda, name):
    install(monkeypatch, Card(name=name))
    assert nvml.ask("nvmlDeviceGetTemperature", 0) == 61


@pytest.mark.parametrize("fault", [
    dict(nvmlInit=fail("Driver Not Loaded")), dict(nvmlInit=fail("Insufficient Permissions")),
    dict(nvmlDeviceGetHandleByUUID=fail("GPU is lost"))])
def test_without_nvml_the_readings_that_torch_can_give_remain(tmp_path, monkeypatch, cuda, fault):
    install(monkeypatch, Card(fault))
    [iteration] = measured(tmp_path).iterations
    assert (iteration.vram_device_bytes, iteration.vram_source) == (2000 * MIB, "torch")
    assert iteration.vram_peak_bytes == 500 * MIB
    for name in ("vram_process_bytes", "vram_others_bytes", "energy_j", "temperature_c", "clock_hz", "throttled"):
        assert getattr(iteration, name) is None, name


def test_without_the_module_the_readings_that_torch_can_give_remain(tmp_path, monkeypatch, cuda):
    install(monkeypatch, None)  # an import of it fails
    [iteration] = measured(tmp_path).iterations
    assert (iteration.vram_source, iteration.energy_j) == ("torch", None)


@pytest.mark.parametrize("function, lost", [
    ("nvmlDeviceGetTotalEnergyConsumption", "energy_j"), ("nvmlDeviceGetTemperature", "temperature_c"),
    ("nvmlDeviceGetClockInfo", "clock_hz"), ("nvmlDeviceGetCurrentClocksEventReasons", "throttled"),
    ("nvmlDeviceGetComputeRunningProcesses", "vram_process_bytes")])
@pytest.mark.parametrize("how", ["Not Supported", "Insufficient Permissions", "no such function"])
def test_what_one_function_cannot_tell_costs_that_reading_only(tmp_path, monkeypatch, cuda, function, lost, how):
    def no_such_function():
        raise AttributeError(function)

    card = install(monkeypatch, Card({function: no_such_function if how == "no such function" else fail(how)}))

    def work():
        card.energy_mj += 100

    [iteration] = measured(tmp_path, work).iterations
    told = {name: getattr(iteration, name) is not None
            for name in ("energy_j", "temperature_c", "clock_hz", "throttled", "vram_process_bytes", "vram_device_bytes")}
    assert [name for name, is_told in told.items() if not is_told] == [lost]


@pytest.mark.parametrize("processes", [
    [], [SimpleNamespace(pid=1, usedGpuMemory=5)], [SimpleNamespace(pid=psutil.Process().pid, usedGpuMemory=None)]])
def test_a_process_that_is_not_listed_or_has_no_figure_is_null_and_no_zero(tmp_path, monkeypatch, cuda, processes):
    install(monkeypatch, Card()).processes = processes
    [iteration] = measured(tmp_path).iterations
    assert iteration.vram_process_bytes is None and iteration.vram_others_bytes is None


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetTemperature", "nvmlDeviceGetCurrentClocksEventReasons"])
def test_a_driver_that_hangs_costs_one_time_out_and_a_warning(tmp_path, monkeypatch, cuda, function):
    monkeypatch.setattr(nvml, "TIMEOUT_S", 0.3)
    released = threading.Event()
    install(monkeypatch, Card({function: lambda: released.wait(60)}))
    start = time.perf_counter()
    run = measure.repeat(lambda: None, experiment="e", iterations=3, results=tmp_path)
    assert time.perf_counter() - start < 10
    released.set()
    assert len(run.iterations) == 3 and run.iterations[-1].vram_source == "torch" and "gave no answer" in run.warnings[0]


def test_a_mistake_of_ours_in_a_question_is_raised_and_not_taken_for_a_card_that_cannot_tell(monkeypatch, cuda):
    install(monkeypatch, Card())
    with pytest.raises(TypeError):
        nvml.ask("nvmlDeviceGetTemperature")


def test_nvml_is_not_touched_on_a_machine_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    card = install(monkeypatch, Card())
    assert measured(tmp_path).iterations[0].energy_j is None and card.calls == 0


def test_out_of_memory_keeps_the_peak_that_was_reached_and_frees_the_cache(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card())
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))

    def too_large():
        emptied.clear()
        cuda.update(peak=14_000 * MIB, reserved=14_200 * MIB)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    [iteration] = measured(tmp_path, too_large).iterations
    assert iteration.vram_peak_bytes == 14_000 * MIB and iteration.error.startswith("out of memory") and emptied


def test_out_of_the_machines_own_memory_is_a_row_too(tmp_path):
    [iteration] = measured(tmp_path, lambda: torch.empty(2**60)).iterations
    assert iteration.error.startswith("out of memory") and iteration.ram_peak_bytes > 0


def test_where_the_kernel_cannot_reset_its_high_water_mark_the_peak_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(system, "reset_peak_rss", lambda: False)

    def allocate():
        block = bytearray(256 * MIB)
        block[::4096] = b"1" * len(block[::4096])
        time.sleep(0.2)

    [iteration] = measured(tmp_path, allocate).iterations
    assert iteration.ram_peak_bytes - iteration.ram_bytes == pytest.approx(256 * MIB, rel=0.03)


BUSY = "import time\nend = time.time() + 5\nwhile time.time() < end: pass"


def test_other_processes_are_seen_and_this_one_is_not_taken_for_another(tmp_path):
    def call():
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            pass

    other = subprocess.Popen([sys.executable, "-c", BUSY])
    time.sleep(0.3)
    disturbed = measured(tmp_path, call).iterations[0].other_cpu_s
    other.kill()
    other.wait()
    assert disturbed > 0.4, "another process was busy for the whole second"
    assert measured(tmp_path, lambda: None).iterations[0].other_cpu_s is None, "too short to tell"


def test_this_processes_own_cpu_time_is_not_counted_as_others():
    begun, ended = (readings._Counters() for _ in range(2))
    ended.time_s, ended.own_cpu_s, ended.busy_cpu_s = begun.time_s + 1, begun.own_cpu_s + 2, begun.busy_cpu_s + 3
    assert ended.other_cpu_since(begun) == pytest.approx(1)
    ended.own_cpu_s = begun.own_cpu_s + 4  # the kernel's two counts differ by a tick or so
    assert ended.other_cpu_since(begun) == 0


def test_swapping_is_what_the_kernel_counts_while_the_call_runs(tmp_path, monkeypatch):
    counts = iter([10, 10 + 5 * MIB])
    monkeypatch.setattr(system, "swapped_bytes", lambda: next(counts))
    assert measured(tmp_path).iterations[0].swapped_bytes == 5 * MIB


def test_a_killed_process_leaves_every_finished_iteration_on_disk(tmp_path):
    code = ("import sys, time, torch\nfrom genlib import measure\n"
            f"torch.set_num_threads({torch.get_num_threads()})\n"
            "measure.repeat(lambda i: time.sleep(60 if i == 2 else 0), experiment='e', results=sys.argv[1])")
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("iteration 2/5"):
            break
    process.kill()
    process.communicate()
    [path] = tmp_path.rglob("run.json")
    assert len(runs.read(path).iterations) == 2 and runs.read(path).finished is None
    assert measure.repeat(lambda i: None, experiment="e", results=tmp_path).resumed


@pytest.mark.gpu
def test_nvml_knows_the_card_that_torch_uses(tmp_path):
    [iteration] = measured(tmp_path, lambda: torch.ones(64 * MIB, device="cuda").sum().item() and None).iterations
    assert iteration.vram_source in ("nvml", "torch") and iteration.vram_device_bytes >= iteration.vram_reserved_bytes
    if iteration.vram_source == "nvml":
        assert 10 < iteration.temperature_c < 110 and device.describe().driver


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_polls_on_after_a_call_that_was_interrupted(tmp_path, monkeypatch, error):
    monkeypatch.setattr(system, "reset_peak_rss", lambda: False)  # so that there is a poller
    polling = []

    def interrupted():
        polling.append(threading.active_count())
        raise error

    before = threading.active_count()
    with pytest.raises(error):
        measured(tmp_path, interrupted)
    assert polling == [before + 2] and threading.active_count() == before, "one polls, and one shows the progress"


def test_what_is_drawn_only_later_is_refused(tmp_path):
    with pytest.raises(TypeError, match="returned a generator: return a list"):
        measured(tmp_path, lambda: (image for image in []))


def test_out_of_memory_without_a_message_is_a_row_too(tmp_path):
    def too_large():
        raise MemoryError

    assert measured(tmp_path, too_large).iterations[0].error == "out of memory: MemoryError"


def test_garbage_of_before_is_gone_when_the_call_begins(tmp_path):
    class Garbage:
        pass

    seen = []
    leftover = Garbage()
    leftover.itself, gone = leftover, weakref.ref(leftover)
    del leftover
    measured(tmp_path, lambda: seen.append(gone()))
    assert seen == [None]


def test_out_of_memory_half_way_ends_the_run_with_what_was_measured(tmp_path):
    def too_large_at_last(index):
        if index == 1:
            raise MemoryError("no more")

    run = measure.repeat(too_large_at_last, experiment="e", iterations=4, results=tmp_path)
    assert [i.error for i in run.iterations] == [None, "out of memory: no more"] and run.finished


def test_apples_gpu_has_the_highest_sample_for_a_peak_and_no_nvml(tmp_path, monkeypatch):
    allocated = [100 * MIB]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name, value in dict(synchronize=lambda: None, current_allocated_memory=lambda: allocated[0],
                            driver_allocated_memory=lambda: 900 * MIB, recommended_max_memory=lambda: 8192 * MIB).items():
        monkeypatch.setattr(torch.mps, name, value)

    def call():
        allocated[0] = 700 * MIB
        time.sleep(0.15)
        allocated[0] = 200 * MIB

    run = measured(tmp_path, call)
    [iteration] = run.iterations
    assert (iteration.vram_peak_bytes, iteration.vram_reserved_bytes, iteration.vram_source) == (700 * MIB, 900 * MIB, None)
    assert iteration.vram_device_bytes is iteration.energy_j is iteration.throttled is None
    assert run.machine.vram_bytes == 8192 * MIB and run.machine.slug.endswith("-gpu")


def test_a_default_of_a_loops_closure_is_not_taken_for_the_index(tmp_path):
    seen = []
    measure.repeat(lambda steps=50: seen.append(steps), experiment="e", iterations=2, results=tmp_path)
    assert seen == [50, 50, 50]


def test_energy_that_the_counter_has_not_shown_yet_is_null_and_not_zero(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card())
    assert measured(tmp_path).iterations[0].energy_j is None


@pytest.mark.parametrize("message", ["CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
                                     "unable to mmap 8 bytes: Cannot allocate memory (12)", "DefaultCPUAllocator: can't allocate memory"])
def test_memory_that_a_library_cannot_get_is_out_of_memory(message):
    assert device.is_out_of_memory(RuntimeError(message)) and not device.is_out_of_memory(RuntimeError("CUDA error: misaligned address"))


def old(handle, version=None):
    if version is not None:
        raise NVMLError("Function Not Found")
    return SimpleNamespace(used=900 * MIB)


def test_an_old_driver_without_the_second_memory_answer_gives_the_first(tmp_path, monkeypatch, cuda):
    card = install(monkeypatch, Card())
    monkeypatch.setattr(card, "memory", old)
    iteration = measured(tmp_path).iterations[0]
    assert (iteration.vram_device_bytes, iteration.vram_others_bytes) == (900 * MIB, 600 * MIB)


def test_an_old_driver_tells_its_clocks_reasons_by_their_old_name(tmp_path, monkeypatch, cuda):
    def absent():
        raise NVMLError("Function Not Found")

    card = install(monkeypatch, Card({"nvmlDeviceGetCurrentClocksEventReasons": absent}))
    card.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: 0x02 | 0x80
    assert measured(tmp_path).iterations[0].throttled == ["clocks set by hand", "power brake"]


def test_the_devices_use_is_one_sources_even_if_it_falls_silent_meanwhile(tmp_path, monkeypatch, cuda):
    """torch's figure holds what the driver keeps for itself: the highest of both would be nobody's."""
    card = install(monkeypatch, Card())
    monkeypatch.setattr(readings, "POLL_S", 0.01)

    def call():
        time.sleep(0.05)
        card.faults = {"nvmlDeviceGetMemoryInfo": fail("Unknown Error")}
        time.sleep(0.05)

    [iteration] = measured(tmp_path, call).iterations
    assert (iteration.vram_device_bytes, iteration.vram_source) == (700 * MIB, "nvml")


def test_a_device_that_tells_nothing_of_its_memory_has_no_source(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card({"nvmlInit": fail("Driver Not Loaded")}))

    def lost():
        raise RuntimeError("CUDA error: invalid argument")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    [iteration] = measured(tmp_path).iterations
    assert iteration.vram_device_bytes is iteration.vram_source is None and iteration.vram_peak_bytes == 500 * MIB


def test_a_poller_that_comes_to_grief_is_told_and_never_silent(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card())
    monkeypatch.setattr(readings, "POLL_S", 0.01)
    samples = []

    def used():
        samples.append(1)
        if len(samples) > 4:
            raise TypeError("a mistake of ours")
        return 700 * MIB

    monkeypatch.setattr(nvml, "memory_used", used)
    with pytest.raises(TypeError, match="a mistake of ours"):
        measured(tmp_path, lambda: time.sleep(0.1))


def test_the_calls_own_error_is_raised_and_not_one_of_the_readings_after_it(tmp_path, monkeypatch, cuda):
    install(monkeypatch, Card())

    def call():
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", fail("the device is lost"))
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="device-side assert") as caught:
        measured(tmp_path, call)
    assert caught.value.__context__ is None


def test_a_measurement_within_a_measurement_is_refused_and_the_next_one_works(tmp_path):
    with pytest.raises(RuntimeError, match="already under way"):
        measured(tmp_path / "outer", lambda: measured(tmp_path / "inner"))
    assert measured(tmp_path / "next").finished


def test_after_an_interrupt_in_the_readings_themselves_the_next_measurement_works(tmp_path, monkeypatch):
    for method in ("start", "stop"):
        with monkeypatch.context() as patch:
            patch.setattr(*(readings, "_difference") if method == "stop" else (system, "reset_peak_rss"), interrupt)
            with pytest.raises(KeyboardInterrupt):
                measured(tmp_path / method)
        assert measured(tmp_path / f"{method}-again").finished


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_forked_child_reads_itself_and_not_its_parent(tmp_path):
    """Its private memory, since a child shares the parent's pages: 64 MiB are written by it alone."""
    code = f"""
import os, sys, torch
from genlib import measure
kept = bytearray(512 * 2**20)
kept[::4096] = bytes([1]) * len(kept[::4096])


def hold(): pass
measure.repeat(hold, experiment="parent", iterations=1, results={str(tmp_path)!r})
if os.fork() == 0:
    del kept
    measure.repeat(hold, experiment="child", iterations=1, results={str(tmp_path)!r})
    os._exit(0)
assert os.wait()[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    df = runs.load(tmp_path).set_index("experiment")
    assert df.loc["child", "ram_bytes"] < df.loc["parent", "ram_bytes"] - 400 * MIB


def test_cpu_time_of_a_child_that_the_call_starts_and_awaits_is_the_calls_own(tmp_path, monkeypatch):
    def only_ours():  # a machine on which nothing else runs, whatever does on this one
        times = os.times()
        return SimpleNamespace(user=times.user + times.children_user, system=times.system + times.children_system)

    monkeypatch.setattr(psutil, "cpu_times", only_ours)

    def call():
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 1.5: pass"], check=True)

    iteration = measured(tmp_path, call).iterations[0]
    assert iteration.other_cpu_s < 0.75, "the child took 1.5 s of it"


def test_every_reason_of_a_slow_clock_has_a_name_for_readers():
    assert set(warnings.REASONS) == set(readings.REASONS.values())


def unreadable(monkeypatch, folder, error):
    """Let every reading of the files below a folder fail."""
    read = Path.read_text

    def fails(path, *arguments, **keywords):
        if str(path).startswith(folder):
            raise error
        return read(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "read_text", fails)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file"), PermissionError(13, "Permission denied"),
                                   UnicodeDecodeError("ascii", b"\xff", 0, 1, "not in range")])
def test_a_container_that_hides_proc_costs_what_is_read_there(tmp_path, monkeypatch, error):
    monkeypatch.setattr(system, "reset_peak_rss", lambda: True)
    unreadable(monkeypatch, "/proc/self/status", error)
    unreadable(monkeypatch, "/proc/vmstat", error)
    [iteration] = measured(tmp_path).iterations
    assert iteration.swapped_bytes is None and iteration.ram_peak_bytes >= iteration.ram_bytes / 2 > 0


@pytest.mark.parametrize("status", ["", "VmHWM:", "VmHWM: unknown kB", "no figures"])
@pytest.mark.parametrize("counts", ["", "pswpin 1", "pswpin a\npswpout b", "three words here"])
def test_figures_of_the_kernel_that_are_odd_are_null(monkeypatch, status, counts):
    monkeypatch.setattr(Path, "read_text", lambda path, **keywords: status if path.name == "status" else counts)
    assert system.of_status("VmHWM") is system.swapped_bytes() is None


@pytest.mark.parametrize("error", [psutil.AccessDenied(1), PermissionError(13, "/proc/stat"), NotImplementedError("not on this system")])
@pytest.mark.parametrize("owner, function, lost", [
    (psutil.Process, "memory_info", "ram_bytes"), (psutil.Process, "cpu_times", "other_cpu_s"), (psutil, "cpu_times", "other_cpu_s"),
    (psutil, "cpu_count", None)])
def test_what_psutil_may_not_read_costs_that_reading_only(tmp_path, monkeypatch, error, owner, function, lost):
    def denied(*_, **__):
        raise error

    monkeypatch.setattr(readings, "SHORTEST_S", 0)
    monkeypatch.setattr(owner, function, denied)
    run = measured(tmp_path)
    assert run.finished and runs.read(run.folder / "run.json") == run
    assert [name for name in ("ram_bytes", "other_cpu_s", "time_s") if getattr(run.iterations[0], name) is None] == [lost] * bool(lost)
