"""The machine is described whatever it is called, whatever it hides, and whose repository genlib lies in."""
import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from card import PROCESSORS, processor

from genlib import device, measure, runs, system
from genlib.record import WAITING


class Event:
    """A stand-in for a CUDA event: the device gets to it a second after it was recorded."""
    now_ms = 0.0

    def __init__(self, enable_timing):
        assert enable_timing, "else it tells no time"

    def record(self):
        Event.now_ms += 1000
        self.ms = Event.now_ms

    def elapsed_time(self, later):
        return later.ms - self.ms


def test_between_two_moments_are_seconds_and_a_gpu_is_not_waited_for(monkeypatch):
    begun = device.moment()
    assert 0 <= device.seconds(begun, device.moment()) < 60
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: pytest.fail("it waited"))
    begun = device.moment()
    assert device.seconds(begun, device.moment()) == 1


def named(monkeypatch, name: bytes):
    """A processor of this name, as the kernel tells it."""
    read = Path.read_text

    def cpuinfo(path, encoding=None, errors="strict"):
        if str(path) == "/proc/cpuinfo":
            return b"processor\t: 0\nmodel name\t: %s\n".replace(b"%s", name).decode(encoding or "utf-8", errors)
        return read(path, encoding, errors)

    monkeypatch.setattr(Path, "read_text", cpuinfo)


@pytest.mark.parametrize("name, slug", [
    (b"AMD EPYC", "cpu-amd-epyc"), (b"Intel(R) Xeon(R) CPU @ 2.20GHz", "cpu-intel-r-xeon-r-cpu-2-20ghz"),
    ("Intel® Core™".encode(), "cpu-intel-core"), ("龙芯 3A5000".encode(), "cpu-3a5000-adeec8ae"), ("Процесор".encode(), "cpu-27f518bc"),
    (b"\xff\xfe Odd", "cpu-odd"), (b"x" * 4000, f"cpu-{80 * 'x'}-91c9568c"), (b"///", "cpu-732c4e97")])
def test_a_processor_of_any_name_has_a_folder_of_its_own_and_its_runs_are_found(tmp_path, monkeypatch, name, slug):
    named(monkeypatch, name)
    run = measure.repeat(lambda: None, experiment="e", iterations=1, warmup=0, results=tmp_path)
    assert run.machine.slug == slug and run.machine.device == name.decode(errors="replace")
    assert [found.folder for found in runs.read_all(tmp_path)] == [run.folder] and run.folder.parents[2].name == slug


@pytest.mark.parametrize("name", ["", "***", "Відеокарта"])
def test_a_gpu_of_any_name_has_a_folder_between_the_results_and_the_experiment(monkeypatch, name):
    properties = SimpleNamespace(name=name, total_memory=1)
    monkeypatch.setattr(device, "pick", lambda: torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: properties)
    assert len(device.describe().slug) == 8


def test_the_record_says_how_idle_threads_wait_and_that_nothing_was_set(monkeypatch):
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    assert device.describe().waiting == {}
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    assert device.describe().waiting == {"GOMP_SPINCOUNT": "1000"}


def test_a_processor_without_a_name_is_called_by_its_kind(monkeypatch):
    named(monkeypatch, b"")
    assert device.describe().device == device.platform.processor() or device.platform.machine()


@pytest.mark.parametrize("text, limit", [("max 100000", None), ("150000 100000", 1.5), ("100000 0", None), ("", None), ("a b", None),
                                         ("?", None)])
def test_an_odd_limit_of_a_container_is_null(monkeypatch, text, limit):
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: text)
    assert system.limit("cpu.max") == limit


def test_a_package_whose_installation_was_broken_off_is_left_out_and_the_record_can_be_read(tmp_path, monkeypatch):
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: None if name == "pillow" else version(name))
    run = measure.repeat(lambda: None, experiment="e", iterations=1, warmup=0, results=tmp_path)
    assert "pillow" not in runs.read(run.folder / "run.json").machine.packages


# --- precisions

@pytest.mark.parametrize("name, own, tried", [
    ("Tesla T4", "float16", ["float32"]), ("Tesla T4", "mixed", ["float32"]), ("NVIDIA H100 80GB HBM3", "float16", ["float32", "bfloat16"]),
    ("NVIDIA H100 80GB HBM3", "mixed", ["float32", "bfloat16"]), ("NVIDIA H100 80GB HBM3", "bfloat16", ["float32"]),
    ("Apple M1 GPU", "float16", ["float32", "bfloat16"]), ("Apple M1 GPU, macOS 13", "float16", ["float32"]),
    ("AMD EPYC 7B12", "float32", []), ("Intel Xeon Platinum 8481C", "float32", ["bfloat16"])])
def test_unasked_what_the_processor_computes_in_is_tried_beside_a_runs_own_and_a_line_says_what_it_lacks(
        monkeypatch, capsys, name, own, tried):
    processor(monkeypatch, name)
    assert device.precisions("auto", own) == tried and capsys.readouterr().out == ""
    assert device.other_precisions("auto", own) == tried
    lacks = f"bfloat16: left out, {name} has no instructions for it"
    out = capsys.readouterr().out
    assert (lacks in out) == (not PROCESSORS[name][1]) and len(out.splitlines()) <= 1, "nothing is said of the run's own"
    assert device.computes_in("float32") and (device.pick().type == "cpu" or device.computes_in("mixed"))


@pytest.mark.parametrize("tried", [None, 16])
def test_what_is_no_list_of_precisions_is_said_with_what_to_write(tried):
    with pytest.raises(ValueError, match=f'PRECISIONS_TRIED is {tried!r}: use "auto" or a list'):
        device.precisions(tried, "float16")


def test_a_list_is_tried_as_it_is_but_for_the_runs_own(monkeypatch, capsys):
    processor(monkeypatch, "AMD EPYC 7B12")
    assert device.other_precisions(["bfloat16", "float32", "float16"], "float32") == ["bfloat16", "float16"]
    assert capsys.readouterr().out == "float32: left out, the run itself has it\n"


# --- the commit

HOSTILE = """
[core]
    repositoryformatversion = 1
    fsmonitor = {program}
    hooksPath = {hooks}
    pager = {program}
    sshCommand = {program}
[alias]
    rev-list = "!{program}"
    ls-tree = "!{program}"
[filter "x"]
    clean = {program}
    smudge = {program}
    process = {program}
[diff]
    external = {program}
[diff "x"]
    textconv = {program}
[log]
    showSignature = true
[gpg]
    program = {program}
[extensions]
    partialClone = origin
[remote "origin"]
    url = "ext::{program} %S"
    promisor = true
[protocol "ext"]
    allow = always
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """The package's folder in a repository, with one file, committed; and a call of git there."""
    package = tmp_path / "repository" / "genlib"
    package.mkdir(parents=True)
    (package / "device.py").write_bytes(b"first = 1\n")

    def git(*arguments):
        return subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false", *arguments], check=True,
                              cwd=package, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "..")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr(device, "__file__", str(package / "device.py"))
    return package, git


def test_the_commit_is_the_last_of_genlibs_files_with_a_plus_once_one_differs(repository):
    package, git = repository
    last = git("rev-parse", "--short=12", "HEAD")
    (package.parent / "notes.txt").write_text("no file of genlib")
    git("add", "..")
    git("commit", "-qm", "second")
    assert device._commit() == last
    (package / "device.py").write_bytes(b"first = 1\r\n")
    assert device._commit() == last, "Windows writes other line ends"
    (package / "device.py").write_bytes(b"first = 2\n")
    assert device._commit() == f"{last}+"
    (package / "device.py").unlink()
    assert device._commit() == f"{last}+"
    git("checkout", "--", ".")
    (package / "new.py").write_text("")
    assert device._commit() == f"{last}+"


def test_without_git_a_repository_or_a_commit_of_genlib_there_is_none(repository, monkeypatch, tmp_path):
    package, git = repository
    (package.parent / "other").mkdir()
    monkeypatch.setattr(device, "__file__", str(package.parent / "other" / "device.py"))
    assert device._commit() is None, "git does not know these files"
    monkeypatch.setattr(device, "__file__", str(tmp_path / "device.py"))
    assert device._commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device._commit() is None


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are scripts of a shell")
@pytest.mark.parametrize("missing", [False, True], ids=["whole", "with objects to fetch"])
def test_a_repository_whose_settings_name_programs_runs_none_of_them(repository, tmp_path, missing):
    package, git = repository
    last, tree = git("rev-parse", "--short=12", "HEAD"), git("rev-parse", "HEAD:genlib")
    program, ran = tmp_path / "program", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\necho $0 $@ >> {ran}\n")
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(program, hooks / "post-index-change")
    folder = package.parent / ".git"
    if missing:
        (folder / "objects" / tree[:2] / tree[2:]).unlink()
    (folder / "config").write_text(HOSTILE.format(program=program, hooks=hooks))
    (folder / "info" / "attributes").write_text("* filter=x diff=x\n")
    (package / "device.py").touch()
    assert device._commit() == (None if missing else last)
    assert not ran.exists(), ran.read_text()
    subprocess.run(["git", "status"], cwd=package, capture_output=True)
    assert ran.exists(), "the settings would have run something"
