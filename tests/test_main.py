"""Reading the arguments: --help, exit statuses, what is said on stderr, what is not loaded."""
import argparse
import inspect
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from saved_runs import save_run

from genlib import notebook
from genlib.__main__ import COMMANDS, main, parser
from genlib.commands import doctor, let_idle_threads_wait, run
from genlib.experiments import Experiment
from genlib.models.generate import generate
from genlib.record import WAITING


def help_of(command=None, capsys=None):
    with pytest.raises(SystemExit) as exit:
        main([*[command] * bool(command), "--help"])
    assert exit.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def parsers():
    """The parser of each command, by its name."""
    [commands] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return commands.choices


def test_help_lists_each_command_with_what_it_does(capsys):
    assert list(parsers()) == [command.__name__.rpartition(".")[2] for command in COMMANDS]
    text = help_of(capsys=capsys)
    for name in parsers():
        assert f" {name} " in text and help_of(name, capsys)


@pytest.mark.parametrize("name", sorted(parsers()))
def test_each_commands_help_names_the_default_of_every_option(name):
    """But for flags, which are off."""
    for action in parsers()[name]._actions:
        if not action.option_strings or action.required or action.nargs == 0:
            continue
        said = action.help.replace("%(default)s", str(action.default))
        assert "(default: " in said, action.dest
        if isinstance(action.default, (int, str, Path)) and action.default != "":
            assert f"(default: {action.default})" in said, action.dest


def test_defaults_that_stand_elsewhere_are_said_as_they_stand_there(capsys):
    text, drawn = help_of("run", capsys), help_of("generate", capsys)
    for measuring in "1_stable_diffusion", "2_vae_round_trip":
        given = notebook.parameters(measuring)
        assert f"denoising steps of Stable Diffusion (default: {given['STEPS']})" in text
        assert f"repetitions of each measurement (default: {given['ITERATIONS']})" in text
    for name, parameter in inspect.signature(generate).parameters.items():
        if parameter.default not in (parameter.empty, None):
            assert f"(default: {parameter.default})" in drawn.rpartition(f" --{name.replace('_', '-')} ")[2].partition(" --")[0], name


@pytest.mark.parametrize("wrong, said", [
    (["tabel"], "the command is 'tabel' (did you mean 'table'?): use one of run, table, "),
    (["run", "--wieghts", "demo"], "genlib: run has no option '--wieghts' (did you mean '--weights'?) (see genlib run --help)"),
    (["--hlep", "run"], "genlib: genlib has no option '--hlep' (did you mean '--help'?) (see genlib --help)"),
    (["run", "-iterations=3"], "has no option '-iterations' (did you mean '--iterations'?)"),
    (["generate", "--modle", "stylegan2"], "has no option '--modle' (did you mean '--model'?)"),  # though --model is missing
    (["run", "--weights", "rondom"], "--weights is 'rondom' (did you mean 'random'?): use one of "),
    (["run", "--profile", "tunde"], "--profile is 'tunde' (did you mean 'tuned'?)"),
    (["generate", "--model", "stylegan"], "--model is 'stylegan' (did you mean 'stylegan2'?)"),
    (["table", "x", "--language", "ukr"], "--language is 'ukr' (did you mean 'uk'?)"),
    (["table", "x", "--format", "doc"], "there is no format 'doc' (did you mean 'docx'?)"),
    (["report", "x", "--page", "lef_mm=3"], "a page has no 'lef_mm' (did you mean 'left_mm'?)"),
    (["generate", "--seeds", "1"], "the following arguments are required: --model, --out"),
    (["table", "x", "--re", "y"], "ambiguous option: --re"), (["doctor", "me\nand you"], "unrecognized arguments: me and you"),
    (["run", "--steps"], "argument --steps: expected one argument")])
def test_wrong_arguments_are_one_sentence_with_the_nearest_right_one(capsys, monkeypatch, wrong, said):
    monkeypatch.setattr(sys, "argv", ["/bin/genlib"])
    with pytest.raises(SystemExit) as exit:
        main(wrong)
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.startswith("genlib: ") and said in error and error.count("\n") == 1
    assert re.search(r" \(see genlib (\w+ )?--help\)$", error)


def test_what_begins_as_an_option_may_be_shortened_and_after_two_dashes_be_a_name():
    assert parser().parse_args(["run", "--iter", "3"]).iterations == 3
    assert [path.name for path in parser().parse_args(["table", "--", "-odd", "--stranger"]).results] == ["-odd", "--stranger"]


@pytest.mark.parametrize("called, prog", [("/bin/genlib", "genlib"), ("/x/genlib/__main__.py", "python -m genlib")])
def test_usage_names_the_command_as_it_was_called(monkeypatch, capsys, called, prog):
    monkeypatch.setattr(sys, "argv", [called])
    assert help_of(capsys=capsys).startswith(f"usage: {prog} [-h]")
    assert help_of("run", capsys).startswith(f"usage: {prog} run ")


def test_an_interrupt_is_one_sentence_and_a_status_of_its_own(capsys, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", interrupted)
    assert main(["doctor"]) == 130 and "what was measured is kept" in capsys.readouterr().err


INTERRUPTED = """
import atexit, os, signal, sys
from genlib import __main__ as commands
def interrupted(options):
    raise KeyboardInterrupt
commands.doctor.run = interrupted
@atexit.register
def end():
    os.kill(os.getpid(), signal.SIGINT)
    return list(map(str, range(1000)))  # time to hear it
sys.exit(commands.main(["doctor"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_a_second_interrupt_while_the_program_ends_changes_nothing():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=notebook.PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130 and "interrupted" in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("error, sentence", [
    (ValueError("x is 3: use 4"), "genlib: x is 3: use 4"), (MemoryError("too large"), "genlib: too large"),
    (OSError(13, "Permission denied", "a/file"), "genlib: Permission denied: a/file"), (ValueError(), "genlib: ValueError"),
    (MemoryError(), "genlib: the memory is used up: close other programs, or take smaller weights or a smaller batch")])
def test_a_failure_is_one_sentence_and_status_1(capsys, monkeypatch, error, sentence):
    def fails(options):
        raise error

    monkeypatch.setattr(doctor, "run", fails)
    assert main(["doctor"]) == 1 and capsys.readouterr().err == f"{sentence}\n"


def test_a_warning_is_a_line_without_source_while_a_command_runs_and_as_usual_afterwards(capsys, monkeypatch):
    usual = warnings.formatwarning

    def warns(options):
        print(warnings.formatwarning("skipped run.json: it is broken", UserWarning, "runs.py", 1), end="", file=sys.stderr)
        return 0

    monkeypatch.setattr(doctor, "run", warns)
    assert main(["doctor"]) == 0 and capsys.readouterr().err == "genlib: skipped run.json: it is broken\n"
    assert warnings.formatwarning is usual


PRINTS = """
import sys
from genlib import __main__
__main__.doctor.run = lambda options: print("Таблиця 1 ± 2 \\udcff")
sys.exit(__main__.main(["doctor"]))
"""


@pytest.mark.parametrize("encoding, printed", [
    ("ascii", b"??????? 1 ? 2 ?"), ("iso8859-1", b"??????? 1 \xb1 2 ?"), ("utf-8", "Таблиця 1 ± 2 ?".encode())])
def test_letters_that_the_terminal_lacks_end_no_command_and_a_line_says_what_to_set(encoding, printed):
    done = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding})
    assert done.stdout.splitlines() == [printed] and not done.returncode
    said = done.stderr.decode()  # the encoding under one of its names
    assert re.fullmatch(r"genlib: this terminal's encoding, \S+, lacks letters, .*: set PYTHONIOENCODING=utf-8\n", said)


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe that nobody reads is another error there")
@pytest.mark.parametrize("lines", [1, 10_000])
def test_a_reader_that_stops_ends_a_command_without_a_word(lines):
    code = PRINTS.replace('"Таблиця 1 ± 2 \\udcff"', f"'a line' * {lines}")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=notebook.PROJECT) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 1


LOADED = """
import sys
from genlib.__main__ import main
try:
    status = main(sys.argv[1:])
except SystemExit as exit:
    status = exit.code
print(*{name.partition(".")[0] for name in sys.modules})
sys.exit(status)
"""


def loaded(*arguments):
    """The packages that a process has loaded once a command has run."""
    done = subprocess.run([sys.executable, "-c", LOADED, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("given", [{}, {"GOMP_SPINCOUNT": "5"}, {"OMP_WAIT_POLICY": "active"}, {"KMP_BLOCKTIME": "200"}])
def test_idle_threads_wait_soon_unless_the_user_has_said_how(given, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(given))
    let_idle_threads_wait("random")
    assert os.environ == (given or {"GOMP_SPINCOUNT": "1000"})


@pytest.mark.parametrize("weights, variable, waits", [("demo", "random", False), ("auto", "", False), ("auto", "demo", False),
                                                      ("auto", "random", True), ("published", "", True), ("a/folder", "", True)])
def test_the_demos_threads_spin_since_waiting_would_slow_its_small_networks(weights, variable, waits, monkeypatch):
    monkeypatch.setattr(os, "environ", {"GENLIB_WEIGHTS": variable})
    let_idle_threads_wait(weights)
    assert ("GOMP_SPINCOUNT" in os.environ) == waits


WAITS = """
import os, sys
from genlib import __main__
from genlib.commands import generate, run
def at_import(*_, **__):
    print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
    raise ValueError("enough")
generate.ask_for_huge_pages = run.make_folder = at_import
__main__.main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", [["run", "--results", "x"], ["generate", "--model", "stylegan2", "--seeds", "1", "--out", "x"]])
def test_run_and_generate_say_how_threads_wait_before_torch_starts(command, tmp_path):
    there = {name: value for name, value in os.environ.items() if name not in WAITING}
    done = subprocess.run([sys.executable, "-c", WAITS, *command, "--weights", "random"], capture_output=True, text=True, cwd=tmp_path,
                          env=there | {"PYTHONPATH": str(notebook.PROJECT)})
    assert done.stdout == "1000 False\n", done.stderr


def test_help_loads_nothing_heavy():
    for arguments in ["--help"], ["generate", "--help"]:
        assert not loaded(*arguments) & {"torch", "diffusers", "transformers", "numpy", "pandas", "matplotlib"}


def test_table_loads_no_torch(tmp_path):
    save_run(tmp_path / "results", "stable-diffusion", [1.0, 2.0])
    there = loaded("table", tmp_path / "results", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "table1.docx").exists() and not there & {"torch", "diffusers", "transformers"}


def test_an_entry_whose_notebook_has_no_number_or_a_taken_one_is_a_sentence(monkeypatch, capsys):
    for name, said in ("my_model", "begins with no number: name it as in 5_my_model"), ("4_mine", "have one number"):
        monkeypatch.setattr(run, "EXPERIMENTS", [*run.EXPERIMENTS[:4], Experiment("m", "M", notebook=name)])
        assert main(["doctor"]) == 1 and said in capsys.readouterr().err


def test_what_is_printed_of_others_files_moves_no_cursor_and_begins_no_line(capsys, monkeypatch):
    def says(options):
        print(warnings.formatwarning("skipped a\x1b[2J\ngenlib: done", UserWarning, "runs.py", 1), end="", file=sys.stderr)
        raise ValueError("it is \x9b31m\u202e\nthe copy is there")

    monkeypatch.setattr(doctor, "run", says)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "genlib: skipped a\\x1b[2J genlib: done\ngenlib: it is \\x9b31m\\u202e\nthe copy is there\n"
