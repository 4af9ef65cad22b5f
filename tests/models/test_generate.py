"""Many images: the same from any number of processes and after a kill; names, manifest, prompts, errors."""
import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from accelerate import PartialState
from PIL import Image

from genlib import __main__ as commands
from genlib import device, progress, record, system
from genlib.models import convolutions, forks, generate, images, native, out_folder, stable_diffusion, stylegan2, tuned

PROJECT = Path(__file__).resolve().parents[2]
ALONE = [sys.executable, "-m"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]  # at a port that is free
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"]


def start(launcher, out, seeds="0-39", threads=1, **options):
    command = [*launcher, "genlib", "generate", "--model", "stylegan2", "--weights", "demo", "--batch", "4", "--seeds", seeds, "--out", out]
    return subprocess.Popen(list(map(str, command)), cwd=PROJECT, text=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def finish(process):
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    return printed


def lines(out, but=()):
    read = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in but} for line in read]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Forty faces, drawn by one process."""
    out = tmp_path_factory.mktemp("alone")
    assert "1 process of 1 threads" in finish(start(ALONE, out))
    return out


def test_each_seed_has_its_picture_under_its_name_and_its_line(alone):
    assert [line["seed"] for line in lines(alone)] == list(range(40))
    for line in lines(alone):
        assert line["file"] == f"00000/seed{line['seed']:08}.png"
        assert hashlib.sha256((alone / line["file"]).read_bytes()).hexdigest() == line["sha256"]
    assert sorted(path.name for path in alone.iterdir()) == ["00000", "machine.json", "manifest.jsonl", "settings.json"]
    assert len({line["sha256"] for line in lines(alone)}) == 40


def test_a_seeds_picture_is_what_the_model_draws_from_it(alone):
    G = stylegan2.load("demo")
    z = torch.from_numpy(np.random.RandomState(17).randn(1, G.z_dim))
    with torch.inference_mode():
        [face] = images.to_pil(G(z, None, truncation_psi=0.7, noise_mode="const"))
    drawn = np.asarray(Image.open(alone / "00000" / "seed00000017.png")).astype(int)
    assert np.abs(drawn - np.asarray(face)).max() <= 1, "in a batch it may be rounded otherwise"


@pytest.mark.parametrize("launcher", [
    pytest.param(TORCHRUN, id="torchrun"), pytest.param(ACCELERATE, id="accelerate launch", marks=pytest.mark.slow)])
def test_two_processes_share_the_work_and_draw_the_same_pictures(alone, tmp_path, launcher):
    printed = finish(start(launcher, tmp_path))
    assert "2 processes of 1 threads" in printed and "40 pictures in" in printed
    assert lines(tmp_path) == lines(alone, but=("time_s", "machine")), "but no times, since processes that share a CPU slow each other"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_without_a_launcher_a_process_for_each_thread_is_forked_and_they_draw_the_same_pictures(alone, tmp_path):
    printed = finish(start(ALONE, tmp_path, threads=2))
    assert "1 process of 2 threads" in printed and "2 processes of a thread each draw all but the first 1" in printed
    assert "40 pictures in" in printed and lines(tmp_path) == lines(alone, but=("time_s", "machine"))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_an_interrupt_ends_forked_processes_too_and_is_said_once(tmp_path):
    process = start(ALONE, tmp_path, seeds="0-49999", threads=2, start_new_session=True)
    while not (tmp_path / "manifest-1.jsonl").exists():
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()[0]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 130 and printed[-1].startswith("genlib: interrupted") and len(printed) == 4, printed
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not list(tmp_path.rglob(".*.part")), "each had the time to put away what it was writing"


@pytest.mark.slow
def test_accelerates_cpu_launch_that_starts_one_process_says_one(tmp_path):
    launcher = [*ACCELERATE[:3], "--cpu", *ACCELERATE[4:]]
    assert "1 process of" in finish(start(launcher, tmp_path, seeds="0-3"))


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["everything", "a process"])
def test_after_a_kill_only_missing_pictures_are_drawn_and_they_are_the_same(tmp_path, victim):
    process = start(TORCHRUN, tmp_path, seeds="0-3999")
    while not list(tmp_path.rglob("*.png")):
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()[0]
    launcher = psutil.Process(process.pid)
    workers = launcher.children(recursive=True)
    for killed in [launcher, *workers] if victim == "everything" else workers[-1:]:
        killed.kill()
    process.communicate()
    assert process.returncode != 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert 0 < len(before) < 4000, "killed in the middle"
    last = max(int(path.stem[4:]) for path in before)
    finish(start(ALONE, tmp_path, seeds=f"0-{last}"))
    assert [line["seed"] for line in lines(tmp_path) if line["seed"] <= last] == list(range(last + 1))
    for line in lines(tmp_path):
        assert hashlib.sha256((tmp_path / line["file"]).read_bytes()).hexdigest() == line["sha256"]
    kept = [path for path, changed in before.items() if path.stat().st_mtime_ns == changed]
    assert len(kept) >= len(before) - 2, "all but those whose line was not written yet"


def test_all_but_the_first_batch_of_a_process_have_the_time_an_image_and_the_machine_is_described(alone):
    machine, found = json.loads((alone / "machine.json").read_text()), lines(alone)
    assert machine["device"] and machine["threads"] == 1 and machine["packages"]["torch"] == torch.__version__
    assert not any("time_s" in line or "machine" in line for line in found[:4]), "the first one warms up"
    assert {line["machine"] for line in found[4:]} == {machine["slug"]}
    for first in range(4, 40, 4):
        times = {line["time_s"] for line in found[first:first + 4]}
        assert len(times) == 1 and 0 < times.pop() < 60, "of a batch each image has its share"


# --- in this process, with a quick model

@pytest.fixture
def quick(monkeypatch):
    """A model that draws a seed's number as a grey level. Gives the list of batches that it is asked for."""
    asked = []

    def draw(seeds):
        asked.append(list(seeds))
        return [Image.new("RGB", (4, 4), (seed % 256, seed % 256, seed % 256)) for seed in seeds]

    settings = dict(model="quick", weights="demo", dtype="float32")
    monkeypatch.setattr(generate, "_stylegan2", lambda weights, labels, psi, dtype: (draw, settings | dict(truncation_psi=psi), 0))
    yield asked
    PartialState._reset_state()


def level(out, seed):
    return Image.open(out / f"{seed // 1000:05}" / f"seed{seed:08}.png").getpixel((0, 0))[0]


def test_the_line_of_progress_counts_the_pictures_of_this_process(quick, tmp_path, monkeypatch):
    said, save = [], generate._save
    monkeypatch.setattr(generate, "_save", lambda *arguments: said.append(str(progress._board.tasks[0])) or save(*arguments))
    generate.generate("stylegan2", "demo", range(1, 6), tmp_path, batch=2)
    assert [text.partition(" (")[0] for text in said] == ["0 of 5 images", "1 of 5 images", "3 of 5 images"]


def test_networks_are_compiled_for_many_pictures_and_a_longer_range_is_drawn_as_the_first_was():
    assert not generate._compiled(None, 10) and generate._compiled(None, tuned.COMPILE_PAYS_FROM)
    assert generate._compiled(dict(compile=True), 1) and not generate._compiled(dict(compile=False), 10**6)


class Convolutions:
    """Stands in for the module: times anew in each process, and takes what it is told if it can."""
    restored = staticmethod(nullcontext)

    def __init__(self, timed, able=True):
        self.decided, self.able = timed, able

    def chosen(self):
        return self.decided

    def choose(self, decisions):
        self.decided = decisions if self.able else []


def test_convolutions_are_those_of_the_first_launch_also_where_timing_would_choose_others(quick, tmp_path, monkeypatch, capsys):
    for count, timed in (2, [[320, 64, 64, 256]]), (4, [[640, 32, 32, 256]]):
        monkeypatch.setattr(generate, "convolutions", now := Convolutions(timed))
        generate.generate("stylegan2", "demo", range(count), tmp_path)
        assert now.decided == [[320, 64, 64, 256]] == json.loads((tmp_path / "settings.json").read_text())["convolutions"]
    monkeypatch.setattr(generate, "convolutions", Convolutions([], able=False))
    with pytest.raises(ValueError, match="cannot compute in the same way: install a C compiler, such as gcc, or choose another --out"):
        generate.generate("stylegan2", "demo", range(6), tmp_path)
    assert len(lines(tmp_path)) == 4


def test_what_a_folder_decides_of_convolutions_ends_with_it(quick, tmp_path, monkeypatch):
    generate.generate("stylegan2", "demo", range(2), tmp_path)
    monkeypatch.setattr(convolutions, "_is_quicker", lambda *shape: True)
    assert convolutions.wins(320, 64, 64, 256), "timed, for a network that is loaded later, as in a notebook"


@pytest.mark.parametrize("odd", [5, None, "abc", {"a": 1}, [[1, 2]], [[True, 1, 1, 1]], [[[[]]]], [[]]])
def test_settings_with_odd_convolutions_are_damaged(quick, tmp_path, odd):
    generate.generate("stylegan2", "demo", range(2), tmp_path)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | dict(convolutions=odd)))
    with pytest.raises(ValueError, match="settings.json is damaged"):
        generate.generate("stylegan2", "demo", range(4), tmp_path)


def test_convolutions_are_settled_before_the_network_of_a_folder_is_loaded(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "convolutions", Convolutions([]))
    generate.generate("stylegan2", "demo", range(2), tmp_path)
    now, load, at_loading = Convolutions([[320, 64, 64, 256]]), generate._stylegan2, []
    monkeypatch.setattr(generate, "convolutions", now)
    monkeypatch.setattr(generate, "_stylegan2", lambda *given: at_loading.append(now.decided) or load(*given))
    generate.generate("stylegan2", "demo", range(4), tmp_path)
    assert at_loading == [[]]


def test_without_the_kernels_in_c_a_new_folder_takes_the_librarys_convolutions_as_later_launches_do(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "available", lambda: False)
    monkeypatch.setattr(convolutions, "_is_quicker", lambda *shape: True)
    won = []
    monkeypatch.setattr(generate, "_stylegan2", lambda *inputs, load=generate._stylegan2: won.append(convolutions.wins(64, 16, 64, 32))
                        or load(*inputs))
    for seeds in range(2), range(4):
        generate.generate("stylegan2", "demo", seeds, tmp_path)
    assert won == [False, False]


def test_a_folder_of_plain_convolutions_stays_so(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "convolutions", Convolutions([]))
    generate.generate("stylegan2", "demo", range(2), tmp_path)
    monkeypatch.setattr(generate, "convolutions", now := Convolutions([[320, 64, 64, 256]]))
    generate.generate("stylegan2", "demo", range(4), tmp_path)
    assert now.decided == [] and "convolutions" not in json.loads((tmp_path / "settings.json").read_text())


def test_batches_are_the_same_wherever_the_range_begins(quick, tmp_path):
    assert generate.generate("stylegan2", "demo", range(6, 11), tmp_path, batch=4) == 5
    assert quick == [[4, 5, 6, 7], [8, 9, 10, 11]] and [line["seed"] for line in lines(tmp_path)] == [6, 7, 8, 9, 10]
    assert [level(tmp_path, seed) for seed in range(6, 11)] == [6, 7, 8, 9, 10]
    quick.clear()
    assert generate.generate("stylegan2", "demo", range(4, 14), tmp_path, batch=4) == 5
    assert quick == [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]], "again whole, so that none depends on where a range began"
    quick.clear()
    assert generate.generate("stylegan2", "demo", range(4, 14), tmp_path, batch=4) == 0 and quick == []


def test_a_thousand_go_into_a_folder(quick, tmp_path):
    generate.generate("stylegan2", "demo", range(999, 1001), tmp_path)
    assert [line["file"] for line in lines(tmp_path)] == ["00000/seed00000999.png", "00001/seed00001000.png"]


def test_a_deleted_picture_is_drawn_again_and_a_line_that_was_cut_off_is_ignored(quick, tmp_path):
    generate.generate("stylegan2", "demo", range(4), tmp_path)
    (tmp_path / "00000" / "seed00000002.png").unlink()
    (tmp_path / "manifest-0.jsonl").write_text('{"seed": 9, "file": "00000/se')
    quick.clear()
    assert generate.generate("stylegan2", "demo", range(4), tmp_path) == 1 and quick == [[2]]
    assert [line["seed"] for line in lines(tmp_path)] == [0, 1, 2, 3]


def test_pictures_of_other_settings_are_never_mixed(quick, tmp_path):
    generate.generate("stylegan2", "demo", range(2), tmp_path, truncation_psi=0.5)
    with pytest.raises(ValueError, match="holds pictures with truncation_psi 0.5, not 1: choose another --out"):
        generate.generate("stylegan2", "demo", range(2), tmp_path, truncation_psi=1)
    with pytest.raises(ValueError, match="holds pictures with batch 1, not 2"):
        generate.generate("stylegan2", "demo", range(2), tmp_path, truncation_psi=0.5, batch=2)


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_while_saving_stops_the_drawing_and_is_raised(quick, tmp_path, monkeypatch, threads):
    monkeypatch.setattr(generate, "_threads", lambda: threads)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(out_folder, "write_atomically", lambda path, data: path.write_bytes(data))  # of the settings
    with pytest.raises(OSError, match="the disk is full"):
        generate.generate("stylegan2", "demo", range(1000), tmp_path)
    assert len(quick) < 50


@pytest.mark.parametrize("kind, cores, processes, threads", [
    ("cpu", 8, 1, 0), ("cuda", 8, 1, 8), ("cuda", 8, 4, 2), ("cuda", 2, 2, 2), ("cuda", 128, 2, 16), ("mps", None, 1, 2)])
def test_on_a_gpu_each_core_saves_and_on_a_cpu_none(monkeypatch, kind, cores, processes, threads):
    monkeypatch.setattr(generate.os, "cpu_count", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.setattr(generate.device, "pick", lambda: torch.device(kind))
    assert generate._threads() == threads


def test_all_threads_save_at_once_and_a_slow_disk_keeps_few_pictures_in_memory(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "_threads", lambda: 6)
    waiting, most, saving, plain = [], [], [], generate._save

    def slow(*arguments):
        most.append(len(quick) - len(waiting))
        saving.append(1)
        at_once.append(len(saving))
        time.sleep(0.02)
        saving.pop()
        plain(*arguments)
        waiting.append(1)

    at_once = []
    monkeypatch.setattr(generate, "_save", slow)
    generate.generate("stylegan2", "demo", range(60), tmp_path)
    assert max(at_once) == 6, "a device that is quicker than one thread is not held up by it"
    assert 6 < max(most) <= generate.WAITING + 2 * 6 + 1 and len(lines(tmp_path)) == 60


def test_a_full_disk_is_said_once_by_forked_processes(quick, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(forks, "how_many", lambda batches, network_bytes: 2)
    save, parent = out_folder.save, os.getpid()

    def full(*arguments):
        if os.getpid() != parent:
            raise OSError(28, "No space left on device", str(tmp_path))
        save(*arguments)

    monkeypatch.setattr(out_folder, "save", full)
    assert commands.main(["generate", "--model", "stylegan2", "--weights", "demo", "--seeds", "0-99", "--out", str(tmp_path)]) == 1
    [said] = capfd.readouterr().err.splitlines()
    assert said.startswith("genlib: the disk is full") and len(list(tmp_path.rglob("*.png"))) == forks.drawn_before(100)


def test_what_loading_took_does_not_count_as_what_drawing_takes(quick, tmp_path, monkeypatch):
    if not system.reset_peak_rss():
        pytest.skip("this machine does not let a process reset its peak")
    grown = []
    monkeypatch.setattr(forks, "how_many", lambda batches, network_bytes: 2)
    monkeypatch.setattr(forks, "fit", lambda processes, grown_bytes: grown.append(grown_bytes))
    assert np.ones(50_000_000).sum() > 0
    generate.generate("stylegan2", "demo", range(20), tmp_path)
    assert grown[0] < 200e6, "of 400 MB that are free again"


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no file that is open")
def test_files_that_are_deleted_meanwhile_are_not_taken_for_pictures_that_are_not_finite(quick, tmp_path, monkeypatch):
    save = out_folder.save
    monkeypatch.setattr(out_folder, "save", lambda *arguments: save(*arguments) or (tmp_path / "manifest-0.jsonl").unlink(missing_ok=True))
    with pytest.raises(ValueError, match="were deleted while it was filled: the same command draws what is missing"):
        generate.generate("stylegan2", "demo", range(4), tmp_path)


@pytest.mark.parametrize("seeds", [range(0), range(5, 5), range(1, 3000, 1000), range(3, 0, -1)])
def test_a_range_may_be_empty_or_have_gaps_or_run_backwards(quick, tmp_path, seeds):
    assert generate.generate("stylegan2", "demo", seeds, tmp_path) == len(seeds)
    assert [line["seed"] for line in lines(tmp_path)] == sorted(seeds)


def test_memory_does_not_grow_with_the_number_of_pictures(quick, tmp_path, monkeypatch):
    held = []

    def draw(seeds):
        if seeds[0] in (100, 500):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        return [Image.new("RGB", (64, 64))]

    monkeypatch.setattr(generate, "_stylegan2", lambda *arguments: (draw, dict(model="", weights="", dtype=""), 0))
    tracemalloc.start()
    generate.generate("stylegan2", "demo", range(501), tmp_path)
    tracemalloc.stop()
    assert held[1] - held[0] < 400 * 50, "bytes: an object of Python has at least so many"


def test_processes_wait_for_each_other_as_long_as_it_takes(quick, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(generate, "PartialState", lambda timeout=None, **options: waits.append(timeout) or PartialState(**options))
    generate.generate("stylegan2", "demo", range(2), tmp_path)
    assert waits[0].days >= 7, "by default GPUs' processes are stopped when the first has waited 10 minutes for the last"


def test_a_time_is_that_of_drawing_without_saving_divided_among_the_batch(quick, tmp_path, monkeypatch):
    """A clock that counts the seconds that drawing takes, and is put forward while a picture is saved."""
    now, save = [0.0], out_folder.save
    monkeypatch.setattr(device, "moment", lambda: now[0])
    monkeypatch.setattr(out_folder, "save", lambda *arguments: now.append(now.pop() + 100) or save(*arguments))
    drawer = generate._stylegan2

    def slow(seeds):
        now[0] += 3
        return drawer("", None, 1, "auto")[0](seeds)

    monkeypatch.setattr(generate, "_stylegan2", lambda *arguments: (slow, *drawer(*arguments)[1:]))
    generate.generate("stylegan2", "demo", range(5), tmp_path, batch=2)
    assert [line.get("time_s") for line in lines(tmp_path)] == [None, None, 1.5, 1.5, 1.5]


def test_another_machine_may_go_on_with_a_folder_and_each_time_names_its_own(quick, tmp_path, monkeypatch):
    for count, slug in (4, "here"), (8, "there"), (8, "draws nothing"):
        monkeypatch.setattr(device, "describe", lambda slug=slug: record.Machine(slug))
        generate.generate("stylegan2", "demo", range(count), tmp_path)
    assert [line.get("machine") for line in lines(tmp_path)] == [None, *["here"] * 3, None, *["there"] * 3]
    assert json.loads((tmp_path / "machine.json").read_text())["slug"] == "there"


@pytest.mark.parametrize("more", [dict(time_s=0.0), dict(time_s=float("nan")), dict(time_s=1e30), dict(time_s="1"), dict(machine="<b>")])
def test_a_line_of_the_manifest_with_an_odd_time_or_machine_names_no_picture(quick, tmp_path, more, capsys):
    generate.generate("stylegan2", "demo", range(2), tmp_path)
    edited = [line | more if line["seed"] else line for line in lines(tmp_path)]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in edited))
    assert list(out_folder.drawn(tmp_path)) == [0] and "1 line of the manifest passed over" in capsys.readouterr().out


@pytest.mark.parametrize("processes", [2, 3])
def test_no_two_processes_draw_the_same_batch_even_if_there_are_fewer_batches(quick, tmp_path, monkeypatch, processes):
    found = [[0, 1], [2, 3]]  # to be missing, by the first process
    monkeypatch.setattr(generate, "broadcast_object_list", lambda said: said if said == [None] else [found])
    monkeypatch.setattr(generate, "_loaded_alike", lambda state, before, out, load: (load(), {}))
    monkeypatch.setattr(generate, "check_processes", lambda state: None)
    for index in reversed(range(processes)):
        state = PartialState(cpu=True)
        state.num_processes, state.process_index = processes, index
        monkeypatch.setattr(PartialState, "is_main_process", index == 0)
        monkeypatch.setattr(PartialState, "wait_for_everyone", lambda state: None)
        generate.generate("stylegan2", "demo", range(4), tmp_path, batch=2)
    assert sorted(quick) == [[0, 1], [2, 3]]


def test_a_folder_that_another_launch_is_filling_is_refused(quick, tmp_path):
    code = "import sys, pathlib; from genlib import files; files.hold(pathlib.Path(sys.argv[1])); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(ValueError, match="is being filled by another launch: wait until it has ended"):
            generate.generate("stylegan2", "demo", range(4), tmp_path)
        other.communicate(b"\n")
    assert generate.generate("stylegan2", "demo", range(4), tmp_path) == 4


def network(folder, channels=3, labels=0, mapping=None):
    """A converted network of 8 x 8 pixels."""
    torch.manual_seed(0)
    stylegan2.network.Generator(4, labels, 4, 8, channels, dict(num_layers=1) | (mapping or {}), dict(channel_base=64)
                                ).save_pretrained(folder / "network")
    return str(folder / "network")


@pytest.fixture
def call(tmp_path):
    """The command's exit status, for more arguments than --model and --out."""
    yield lambda *more, out="out": commands.main(["generate", "--model", "stylegan2", "--out", str(tmp_path / out), *map(str, more)])
    PartialState._reset_state()


def test_a_conditional_networks_seeds_take_the_labels_in_turn_and_the_manifest_says_which(call, tmp_path):
    weights = network(tmp_path, labels=3)
    assert call("--weights", weights, "--seeds", "2-6", "--batch", 2, "--labels", "all") == 0
    assert [line["label"] for line in lines(tmp_path / "out")] == [2, 0, 1, 2, 0]
    for label in range(3):
        assert call("--weights", weights, "--seeds", "0-6", "--batch", 2, "--labels", label, out=f"only-{label}") == 0
    for line in lines(tmp_path / "out"):
        hashes = [lines(tmp_path / f"only-{label}")[line["seed"]]["sha256"] for label in range(3)]
        assert len(set(hashes)) == 3 and hashes.index(line["sha256"]) == line["label"]
    assert call("--weights", weights, "--seeds", "0-8", "--batch", 2, "--labels", "0-2") == 0, "all, in other words"


@pytest.mark.parametrize("labels, options, complaint", [
    (3, [], "draws 3 classes: say which with --labels, one from 0 to 2, several (0,1,2), or all in turn (all)"),
    (3, ["--labels", "3"], "label 3 is none of StyleGAN2-ADA 8 px's, which are 0 to 2"),
    (3, ["--labels", "cat"], "labels are 'cat': write"),
    (0, ["--labels", "0"], "was trained without any: leave them out"),
    (0, ["--dtype", "float12"], "dtype is 'float12' (did you mean 'float32'?): use one of auto")])
def test_labels_that_do_not_fit_the_network_are_refused_and_nothing_is_left_behind(call, tmp_path, capsys, labels, options, complaint):
    assert call("--weights", network(tmp_path, labels=labels), "--seeds", "0-1", *options) == 1
    assert complaint in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_network_without_an_average_is_drawn_untruncated_and_else_nothing_is_left_behind(call, tmp_path, capsys):
    folder = network(tmp_path, mapping=dict(w_avg_beta=None))
    assert call("--weights", folder, "--seeds", "0-1") == 1
    assert "w_avg): draw with --truncation-psi 1" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert call("--weights", folder, "--seeds", "0", "--truncation-psi", "1") == 0 and "1 picture in" in capsys.readouterr().out


def test_pictures_of_other_labels_are_never_mixed(call, tmp_path, capsys):
    weights = network(tmp_path, labels=3)
    assert call("--weights", weights, "--seeds", "0-1", "--labels", "0") == 0
    assert call("--weights", weights, "--seeds", "0-3", "--labels", "1") == 1
    assert "holds pictures with labels [0], not [1]: choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_grey_networks_and_those_with_transparency_are_drawn(call, tmp_path, channels, mode):
    assert call("--weights", network(tmp_path, channels), "--seeds", "0-1") == 0
    assert Image.open(tmp_path / "out" / lines(tmp_path / "out")[1]["file"]).mode == mode


def test_a_network_of_five_channels_is_refused_and_nothing_is_left_behind(call, tmp_path, capsys):
    assert call("--weights", network(tmp_path, channels=5), "--seeds", "0-1") == 1
    assert "these pictures have 5 channels" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_pictures_that_are_not_finite_are_left_out_counted_and_said_with_what_helps(call, tmp_path, monkeypatch, capsys):
    load = stylegan2.load

    def spoilt(*arguments, **options):
        G = load(*arguments, **options)
        G.info.dtype = dtype
        G.synthesis.register_forward_hook(lambda module, inputs, image: image.index_fill_(0, torch.tensor([1]), float("nan")))
        return G

    monkeypatch.setattr(stylegan2, "load", spoilt)
    for dtype, remedy in dict(mixed="draw into another --out with --dtype float32", float32="see whether the network's file").items():
        assert call("--weights", "demo", "--seeds", "0-5", "--batch", 2, out=dtype) == 1
        printed = capsys.readouterr()
        assert "3 pictures in " in printed.out, "those that are there"
        assert f"3 pictures have values in {dtype} that are NaN or infinite" in printed.err and f"(seeds 1, 3, 5): {remedy}" in printed.err
        assert [line["seed"] for line in lines(tmp_path / dtype)] == [0, 2, 4] and len(list((tmp_path / dtype).rglob("*.png"))) == 3
        PartialState._reset_state()
    monkeypatch.setattr(stylegan2, "load", load)
    assert call("--weights", "demo", "--seeds", "0-5", "--batch", 2, out="float32") == 0 and len(lines(tmp_path / "float32")) == 6


def test_a_picture_that_the_models_own_safety_checker_turned_black_is_said_and_counts(quick, tmp_path, monkeypatch, capsys):
    drawer = generate._stylegan2

    def black(seeds):
        pictures = drawer("", None, 1, "auto")[0](seeds)
        pictures[0].info["doubt"] = record.BLACKENED
        return pictures

    monkeypatch.setattr(generate, "_stylegan2", lambda *arguments: (black, *drawer(*arguments)[1:]))
    assert generate.generate("stylegan2", "demo", range(4), tmp_path, batch=2) == 4
    assert [line.get("blackened") for line in lines(tmp_path)] == [True, None, True, None]
    assert "2 of them were turned black by the model's safety checker" in capsys.readouterr().out


def test_what_cannot_be_loaded_leaves_an_existing_folder_as_it_was(call, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert call("--weights", tmp_path / "no such file.pkl", "--seeds", "0-1") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_folder_that_leads_elsewhere_is_refused_before_anything_is_written(call, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "out" / "00000").symlink_to(tmp_path / "mine")
    assert call("--weights", "demo", "--seeds", "0-1") == 1
    assert "00000 is no folder of its own but a link or a file" in capsys.readouterr().err
    assert not list((tmp_path / "mine").iterdir()) and [path.name for path in (tmp_path / "out").iterdir()] == ["00000"]


def test_blank_lines_of_prompts_are_counted_aloud(tmp_path, monkeypatch, capsys, quick):
    monkeypatch.setattr(generate, "_stable_diffusion", lambda *arguments: generate._stylegan2(*arguments[:4]))
    generate.generate("stable-diffusion", "demo", range(2), tmp_path, prompts=["a", "", " "])
    assert "2 of the 3 lines of prompts are blank, which is an empty prompt" in capsys.readouterr().out


def test_a_launch_that_was_quicker_to_load_is_not_drawn_over(quick, tmp_path, monkeypatch):
    """Both find no folder; this one goes on loading until the other has drawn and ended."""
    drawer, turns = generate._stylegan2, iter([1, 0.5])

    def load(weights, labels, psi, dtype):
        if next(turns) == 1:
            generate.generate("stylegan2", "demo", range(2), tmp_path / "out", truncation_psi=0.5)
            PartialState()
        return drawer(weights, labels, psi, dtype)

    monkeypatch.setattr(generate, "_stylegan2", load)
    with pytest.raises(ValueError, match="holds pictures with truncation_psi 0.5, not 1"):
        generate.generate("stylegan2", "demo", range(2), tmp_path / "out", truncation_psi=1)


def test_a_batch_that_does_not_fit_is_refused_in_a_sentence_and_a_smaller_one_may_use_the_same_folder(quick, tmp_path, monkeypatch, capsys):
    drawer = generate._stylegan2

    def full(seeds):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(generate, "_stylegan2", lambda *arguments: (full, *drawer(*arguments)[1:]))
    call = ["generate", "--model", "stylegan2", "--weights", "demo", "--seeds", "0-3", "--out", str(tmp_path), "--batch"]
    assert commands.main([*call, "4"]) == 1
    assert "a batch of 4 does not fit into the memory: choose a smaller --batch" in capsys.readouterr().err
    monkeypatch.setattr(generate, "_stylegan2", drawer)
    assert commands.main([*call, "2"]) == 0 and len(lines(tmp_path)) == 4


def test_after_an_error_another_process_may_fill_the_folder_at_once(quick, tmp_path):
    generate.generate("stylegan2", "demo", range(2), tmp_path, truncation_psi=0.5)
    with pytest.raises(ValueError, match="choose another --out"):
        generate.generate("stylegan2", "demo", range(2), tmp_path, truncation_psi=1)
    code = "import sys, pathlib; from genlib import files; sys.exit(not files.hold(pathlib.Path(sys.argv[1])))"
    assert subprocess.run([sys.executable, "-c", code, tmp_path], cwd=PROJECT).returncode == 0


def test_fewer_processes_than_the_launcher_started_are_refused(quick, tmp_path, monkeypatch):
    state = PartialState(cpu=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="started 2 processes, but 1 work together"):
        generate.check_processes(state)


def test_seed_s_takes_line_s_of_the_prompts_and_its_own_latent(tmp_path, monkeypatch):
    pipe = stable_diffusion.load("demo")
    asked = []
    monkeypatch.setattr(stable_diffusion, "load", lambda *arguments, **options: asked.append(options) or pipe)
    prompts = ["a man with red hair", "a woman with black hair"]
    generate.generate("stable-diffusion", "demo", range(3), tmp_path, prompts=prompts, steps=2)
    for seed in range(3):
        [expected] = pipe(prompt=prompts[seed % 2], latents=stable_diffusion.random_latents(pipe, seed=seed), guidance_scale=3.0,
                          num_inference_steps=2).images
        drawn = np.asarray(Image.open(tmp_path / "00000" / f"seed{seed:08}.png")).astype(int)
        assert np.abs(drawn - np.asarray(expected)).max() <= 1
    assert asked == [dict(model_id=None, profile="tuned", dtype="auto", without=["cudnn_attention"], expected_batch=1,
                          expected_images=1)], "no timing decides it"
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["prompts"] == 2 and len(settings["prompts_sha256"]) == 64 and settings["guidance_scale"] == 3.0
    PartialState._reset_state()


def test_a_guidance_scale_of_ones_own_is_drawn_with_and_kept_in_the_settings(tmp_path, monkeypatch):
    pipe = stable_diffusion.load("demo")
    monkeypatch.setattr(stable_diffusion, "load", lambda *arguments, **options: pipe)
    generate.generate("stable-diffusion", "demo", range(1), tmp_path, prompts=["a man"], steps=2, guidance_scale=0.0)
    [expected] = pipe(prompt="a man", latents=stable_diffusion.random_latents(pipe), guidance_scale=0.0, num_inference_steps=2).images
    drawn = np.asarray(Image.open(tmp_path / "00000" / "seed00000000.png")).astype(int)
    assert np.abs(drawn - np.asarray(expected)).max() <= 1
    assert json.loads((tmp_path / "settings.json").read_text())["guidance_scale"] == 0
    PartialState._reset_state()


def test_where_the_compiler_would_decide_by_timing_it_is_left_out(monkeypatch):
    from torch._inductor import config

    assert generate._decided_by_timing(compiled=False) == ["cudnn_attention"]
    if hasattr(config, "deterministic"):
        monkeypatch.setattr(config, "deterministic", False)
        assert generate._decided_by_timing(compiled=True) == ["cudnn_attention"] and config.deterministic
    monkeypatch.setitem(sys.modules, "torch._inductor.config", SimpleNamespace())
    monkeypatch.setattr(torch._inductor, "config", SimpleNamespace())
    assert generate._decided_by_timing(compiled=True) == ["cudnn_attention", "compile", "vae_compile"], "a torch before 2.10"
