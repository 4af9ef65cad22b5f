"""Many images: the same from any number of processes and after a kill; names, manifest, prompts, errors."""
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from accelerate import PartialState
from PIL import Image

from genlib import __main__ as commands
from genlib.models import generate, images, stable_diffusion, stylegan2, tuned

PROJECT = Path(__file__).resolve().parents[2]
ALONE = [sys.executable, "-m"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]  # at a port that is free
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"]


def start(launcher, out, seeds="0-39"):
    command = [*launcher, "genlib", "generate", "--model", "stylegan2", "--weights", "demo", "--batch", "4", "--seeds", seeds, "--out", out]
    return subprocess.Popen(list(map(str, command)), cwd=PROJECT, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process):
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed
    return printed


def lines(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


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
    assert sorted(path.name for path in alone.iterdir()) == ["00000", "manifest.jsonl", "settings.json"]
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
    assert lines(tmp_path) == lines(alone)


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


# --- in this process, with a quick model

@pytest.fixture
def quick(monkeypatch):
    """A model that draws a seed's number as a grey level. Gives the list of batches that it is asked for."""
    asked = []

    def draw(seeds):
        asked.append(list(seeds))
        return torch.tensor(seeds).to(torch.uint8)[:, None, None, None].expand(-1, 4, 4, 3).contiguous()

    settings = dict(model="quick", weights="demo", dtype="float32")
    monkeypatch.setattr(generate, "_drawer",
                        lambda model, weights, prompts, batch, steps, psi, compiled: (draw, settings | dict(steps=steps)))
    yield asked
    PartialState._reset_state()


def level(out, seed):
    return Image.open(out / f"{seed // 1000:05}" / f"seed{seed:08}.png").getpixel((0, 0))[0]


def test_networks_are_compiled_for_many_pictures_and_a_longer_range_is_drawn_as_the_first_was(tmp_path):
    assert not generate._compiled(tmp_path, 10) and generate._compiled(tmp_path, tuned.COMPILE_PAYS_FROM)
    (tmp_path / "settings.json").write_text('{"compile": false}')
    assert generate._compiled(tmp_path, 10**6), "no picture was drawn so"
    (tmp_path / "manifest.jsonl").write_text('{"seed": 0, "file": "a", "sha256": "b"}')
    assert not generate._compiled(tmp_path, 10**6)


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
    generate.generate("stylegan2", "demo", range(2), tmp_path, steps=50)
    with pytest.raises(ValueError, match="holds pictures with steps 50, not 20: choose another --out"):
        generate.generate("stylegan2", "demo", range(2), tmp_path, steps=20)
    with pytest.raises(ValueError, match="holds pictures with batch 1, not 2"):
        generate.generate("stylegan2", "demo", range(2), tmp_path, batch=2)


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_while_saving_stops_the_drawing_and_is_raised(quick, tmp_path, monkeypatch, threads):
    monkeypatch.setattr(generate, "_threads", lambda: threads)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generate.os, "replace", full)
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


def test_processes_wait_for_each_other_as_long_as_it_takes(quick, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(generate, "PartialState", lambda timeout=None, **options: waits.append(timeout) or PartialState(**options))
    generate.generate("stylegan2", "demo", range(2), tmp_path)
    assert waits[0].days >= 7, "by default GPUs' processes are stopped when the first has waited 10 minutes for the last"


@pytest.mark.parametrize("processes", [2, 3])
def test_no_two_processes_draw_the_same_batch_even_if_there_are_fewer_batches(quick, tmp_path, monkeypatch, processes):
    monkeypatch.setattr(generate, "broadcast_object_list", lambda missing: [[[0, 1], [2, 3]]])  # what the first process found to be missing
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


def test_a_batch_that_does_not_fit_is_refused_in_a_sentence_and_a_smaller_one_may_use_the_same_folder(quick, tmp_path, monkeypatch, capsys):
    drawer = generate._drawer

    def full(seeds):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(generate, "_drawer", lambda *arguments: (full, drawer(*arguments)[1]))
    call = ["generate", "--model", "stylegan2", "--weights", "demo", "--seeds", "0-3", "--out", str(tmp_path), "--batch"]
    assert commands.main([*call, "4"]) == 1
    assert "a batch of 4 does not fit into the memory: choose a smaller --batch" in capsys.readouterr().err
    monkeypatch.setattr(generate, "_drawer", drawer)
    assert commands.main([*call, "2"]) == 0 and len(lines(tmp_path)) == 4


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
    assert asked == [dict(model_id=None, profile="tuned", without=["cudnn_attention"], expected_batch=1,
                          expected_images=1)], "no timing decides it"
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["prompts"] == 2 and len(settings["prompts_sha256"]) == 64
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
