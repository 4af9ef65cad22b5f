"""Reads the arguments and runs a command: `python -m genlib COMMAND`, or `genlib COMMAND` once installed."""
import argparse
import atexit
import codecs
import io
import os
import re
import sys
import warnings
from itertools import takewhile
from pathlib import Path

from genlib import escape, notebook
from genlib.commands import cards, convert, doctor, generate, record, report, run, runs, score, survey, table
from genlib.spelling import meant

NAMELESS = {MemoryError: "the memory is used up: close other programs, or take smaller weights or a smaller batch"}  # said by none
COMMANDS = [run, table, report, survey, record, runs, convert, generate, score, cards, doctor]  # in the order of --help


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status.

    0 means success. Otherwise a sentence on stderr says what happened, and the status is 1 for a failure, 2
    for wrong arguments and 130 for an interrupt.
    """
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *_: f"genlib: {escape.plain(str(message))}\n"  # without the line of source that raised it
    codecs.register_error("genlib", _unprintable)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="genlib")
    try:
        options = parser().parse_args(arguments)
        status = options.run(options)
        print(end="", flush=True)  # at the exit its failure could not be caught
        return status
    except BrokenPipeError:  # the reader has enough, as `head`
        sys.stdout = open(os.devnull, "w", encoding="utf-8", newline="\n")  # what is left there cannot be flushed
        return 1
    except KeyboardInterrupt:
        from genlib import system  # not above, since it loads numpy

        atexit.register(system.ignore_interrupts)  # a further one would be a traceback of a library that is ending
        print("\ngenlib: interrupted; what was measured is kept, and the same command goes on there", file=sys.stderr)
        return 130
    except (ValueError, OSError, MemoryError, ImportError) as error:
        what = f"{error.strerror}: {error.filename}" if getattr(error, "strerror", None) and error.filename else error
        if isinstance(error, ModuleNotFoundError) and notebook.missing():
            what = f"missing {notebook.missing()}"
        what = str(what) or NAMELESS.get(type(error), type(error).__name__)
        print("genlib:", "\n".join(map(escape.plain, what.split("\n"))), file=sys.stderr)
        return 1
    finally:
        warnings.formatwarning = usual


def _unprintable(error: UnicodeError) -> tuple[str, int]:
    """A ? for letters that the terminal's encoding lacks; a line says so, and the command goes on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    warnings.warn(f"this terminal's encoding, {sys.stdout.encoding}, lacks letters, which are printed as ?: set PYTHONIOENCODING=utf-8",
                  stacklevel=2)
    return "?" * (error.end - error.start), error.end


class Parser(argparse.ArgumentParser):
    """One whose errors are a sentence each, which names the choice that a wrong one resembles."""

    def error(self, message: str):
        self.exit(2, f"genlib: {escape.plain(message)} (see {self.prog} --help)\n")

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[0] if action.option_strings else f"the {action.metavar or action.dest}".lower()
            self.error(f"{name} is {value!r}{meant(value, action.choices)}: use one of {', '.join(action.choices)}")

    def parse_known_args(self, args=None, namespace=None):
        """An option that is not there is named before any that is missing. `args` is as argparse's."""
        options, its_own = self._option_string_actions, takewhile(self._may_be_its_own, sys.argv[1:] if args is None else args)
        for name in (text.partition("=")[0] for text in its_own if re.match("--?[a-zA-Z]", text)):
            if " " not in name and not any(option.startswith(name) for option in options):  # argparse takes one with a space for a value
                self.error(f"{self.prog.rpartition(' ')[2]} has no option {name!r}{meant(name, options)}")
        return super().parse_known_args(args, namespace)

    def _may_be_its_own(self, text: str) -> bool:
        return text != "--" and (self._subparsers is None or text.startswith("-"))  # behind a command options are the command's


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    as_module = Path(sys.argv[0]).name == "__main__.py"
    whole = Parser(prog="python -m genlib" if as_module else "genlib",
                   description="What it costs to make images with three generative models.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands).set_defaults(run=command.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
