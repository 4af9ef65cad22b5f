"""What Linux, macOS and Windows have each for itself stands in two files; nothing else depends on it.

These tests hold what can be held on Linux; the workflow runs all tests on the three.
"""
import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from genlib import pictures
from genlib.report import formats

PROJECT = Path(__file__).resolve().parent.parent
KNOW_SYSTEMS = {"files.py", "system.py"}
OF_ONE_SYSTEM = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "msvcrt", "winreg", "signal", "ctypes",
                 "select", "selectors", "multiprocessing"}  # the last starts processes in one way on Linux and in another elsewhere
CALLS_OF_ONE_SYSTEM = {"fork", "kill", "killpg", "getuid", "geteuid", "getpgid", "setsid", "sysconf", "uname", "mkfifo", "chmod",
                       "chown", "link", "symlink", "nice", "sched_getaffinity", "sched_setaffinity", "getloadavg", "O_NOFOLLOW"}
METHODS_OF_ONE_SYSTEM = {"chmod", "lchmod", "symlink_to", "hardlink_to", "tzset"}  # of paths and of time
FILES = sorted((PROJECT / "genlib").rglob("*.py"))


def of_one_system(tree: ast.AST):
    """The names of modules, calls and files in a source that not every operating system has."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in OF_ONE_SYSTEM)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OF_ONE_SYSTEM:
            yield node.module
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (f"os.{alias.name}" for alias in node.names if alias.name in CALLS_OF_ONE_SYSTEM)
        elif isinstance(node, ast.keyword) and node.arg in ("shell", "preexec_fn", "start_new_session"):
            yield f"{node.arg}="
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS_OF_ONE_SYSTEM:
            yield f"{node.func.attr}()"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in CALLS_OF_ONE_SYSTEM or (node.value.id, node.attr) == ("sys", "platform"):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"/(proc|sys|dev|etc|tmp|usr)(/|$)", node.value):
            yield node.value


def without_encoding(tree: ast.AST):
    """The lines of calls that read or write text as the system has it: its encoding, its ends of lines."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        named, is_method = {keyword.arg for keyword in call.keywords}, isinstance(call.func, ast.Attribute)
        name = call.func.attr if is_method else getattr(call.func, "id", "")
        modes = [*call.args[0 if is_method else 1:][:1], *[keyword.value for keyword in call.keywords if keyword.arg == "mode"]]
        is_text_mode = all(isinstance(mode, ast.Constant) and "b" not in str(mode.value) for mode in modes)  # a zip's open() takes a name
        as_text = name in ("read_text", "write_text") or name == "open" and is_text_mode
        as_text |= name in ("run", "Popen", "check_output") and bool({"text", "universal_newlines"} & named)
        as_text |= name in ("fdopen", "NamedTemporaryFile", "TemporaryFile")
        writes = name == "write_text" or name == "open" and any(str(getattr(mode, "value", ""))[:1] in ("w", "a", "x") for mode in modes)
        if as_text and ("encoding" not in named or writes and "newline" not in named):
            yield call.lineno


def test_what_only_one_operating_system_has_stands_in_two_files():
    found = {path.name: [*of_one_system(ast.parse(path.read_text(encoding="utf-8")))] for path in FILES}
    assert {name for name, names in found.items() if names} == KNOW_SYSTEMS, found


def test_text_has_an_encoding_that_is_named_and_one_end_of_lines():
    found = {path.name: [*without_encoding(ast.parse(path.read_text(encoding="utf-8")))] for path in FILES}
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize("source, found", [
    ("import fcntl", 1), ("from resource import getrusage", 1), ("os.kill(1, 9)", 1), ("open('/proc/self/status', 'rb')", 1),
    ("from os import getuid", 1), ("run('ls | wc', shell=True)", 1), ("path.chmod(0o600)", 1), ("Path('/proc')", 1), ("os.path", 0)])
def test_a_call_of_one_system_is_seen(source, found):
    assert len([*of_one_system(ast.parse(source))]) == found


@pytest.mark.parametrize("source, found", [
    ("open(path)", 1), ("open(path, 'w')", 1), ("path.open()", 1), ("path.read_text()", 1), ("run(command, text=True)", 1),
    ("check_output(command, text=True)", 1), ("os.fdopen(3, 'w')", 1), ("path.write_text(text, encoding='utf-8')", 1),
    ("open(path, 'w', encoding='utf-8')", 1), ("open(path, 'rb')", 0), ("path.open('wb')", 0), ("open(path, mode='rb')", 0),
    ("path.write_text(text, encoding='utf-8', newline='\\n')", 0), ("open(path, encoding='utf-8')", 0),
    ("run(command, text=True, encoding='utf-8')", 0), ("run(command)", 0)])
def test_text_without_an_encoding_is_seen(source, found):
    assert len([*without_encoding(ast.parse(source))]) == found


def test_a_job_that_installs_no_programs_skips_the_tests_that_need_them():
    """GitHub sets CI to true in every job, by which such a test fails (tests/latex.py)."""
    jobs = yaml.safe_load((PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"].values()
    bare = [job for job in jobs if ".ci/run" not in [step.get("run") for step in job["steps"]]]
    assert bare and [job["env"]["CI"] for job in bare] == [""] * len(bare)


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="this copy of the project is no checkout")
def test_every_checkout_has_the_same_bytes_whatever_git_does_with_the_ends_of_lines_there():
    listed = subprocess.run(["git", "-c", "core.autocrlf=true", "ls-files", "--eol"], cwd=PROJECT, capture_output=True, check=True)
    files = [line.split(None, 3) for line in listed.stdout.decode().splitlines()]
    odd = [line for line in files if line[0] not in ("i/lf", "i/none", "i/-text") or "text=auto eol=lf" not in " ".join(line[2:])]
    assert len(files) > 100 and not odd


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="this copy of the project is no checkout")
def test_every_file_has_a_name_that_each_system_can_store():
    """Windows has 260 characters for a whole path; it and macOS know no case."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True).stdout.decode()
    names = [name for name in listed.split("\0") if name]
    assert max(map(len, names)) <= 150 and len({name.lower() for name in names}) == len(names) > 100
    assert [name for name in names if not all(map(pictures.is_plain, name.split("/")))] == []


def test_files_end_their_lines_in_one_way_where_the_system_has_another(monkeypatch):
    frame = pd.DataFrame({"model": ["VAE"]})
    html = formats.to_html(frame, "t", "Caption", "Note")
    monkeypatch.setattr(os, "linesep", "\r\n")
    assert formats.to_csv(frame, ".") == "\ufeffmodel\nVAE\n".encode() and formats.to_html(frame, "t", "Caption", "Note") == html


AS_ON_WINDOWS = """
import builtins, os, sys
usual = builtins.__import__
def imported(name, globals=None, *rest, **named):
    if name in ("fcntl", "resource", "pwd", "termios") and (globals or {}).get("__name__", "").startswith("genlib"):
        raise ImportError(name)
    return usual(name, globals, *rest, **named)
builtins.__import__ = imported
from genlib.__main__ import main
sys.exit(max(main(command.split("|")) for command in sys.argv[1:]))
"""


def test_commands_work_from_a_folder_with_spaces_and_foreign_letters_on_a_system_of_another_encoding_without_posix(tmp_path):
    """Python's own encoding is ASCII here, and that of what is printed is cp1252, as on a Western Windows."""
    folder = tmp_path / "Мої файли (1)"
    folder.mkdir()
    for part in "genlib", "notebooks/reference/cpu-amd-epyc":
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "cp1252",
                                "PYTHONPATH": "."}
    commands = ["generate|--model|stylegan2|--weights|demo|--seeds|0-1|--out|лиця", "runs|notebooks/reference",
                "table|notebooks/reference|--language|uk|--format|md|--out|таблиці"]
    done = subprocess.run([sys.executable, "-c", AS_ON_WINDOWS, *commands], cwd=folder, env=environment, capture_output=True)
    said = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, said
    assert "Traceback" not in said and b"\r" not in done.stdout
    assert sorted(path.name for path in (folder / "лиця" / "00000").iterdir()) == ["seed00000000.png", "seed00000001.png"]
    assert "Порівняння" in (folder / "таблиці" / "table1.md").read_text(encoding="utf-8")
