"""The commands, a file each: `add` declares the arguments, `run` does the work and returns the exit status.

Heavy libraries are imported inside the functions, so that `--help` answers at once.
"""
import argparse
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from genlib import places
from genlib.record import WAITING


def whole(text: str) -> int | None:
    """The number that one to nine digits write; None for any other text."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def at_least_one(text: str) -> int:
    """The type of an argument that counts something."""
    if not (number := whole(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1: write one such as 5")
    return number


def a_number(text: str) -> float:
    """The type of an argument that may be any number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no number: write one such as 0.7")
    return number


def not_negative(text: str) -> float:
    """The type of an argument that is a price or a limit."""
    if (number := a_number(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below 0: write a number such as 0.7")
    return number


def a_price(text: str) -> float | str:
    """The type of an argument that is the price of an hour, or the path of a file of such prices."""
    if (path := a_path(text)).is_file():
        return str(path)
    try:
        return not_negative(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or name a file of prices that is here") from None


def a_table_number(text: str) -> str:
    """The type of an argument from which tables are counted; "" for none."""
    from genlib.report.report import number_after

    try:
        return number_after(text.strip(), 0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def a_path(text: str) -> Path:
    """The type of an argument that names a file or a folder; see `places.resolve`."""
    try:
        return places.resolve(text, Path.cwd())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def usual_results() -> Path:
    """The folder of results where none is named."""
    return places.resolve(os.environ.get("GENLIB_RESULTS", "").strip() or "results", Path.cwd())


def as_typed() -> str:
    """How this program was called, in as far as it can be typed again."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{typed(Path(sys.executable))} -m genlib"
    if shutil.which(program.name) == str(program):
        return program.name
    return typed(Path.cwd() / program) if (Path.cwd() / program).parent != Path.cwd() else os.path.join(".", program.name)


def typed(path: Path) -> str:
    """A path as it is typed: as `short`, in quotes where a shell needs them."""
    return shlex.quote(short(path)) if os.name == "posix" else subprocess.list2cmdline([short(path)])


def short(path: Path) -> str:
    """A path as it is printed: relative to the working folder if it lies in it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def let_idle_threads_wait(weights: str) -> None:
    """Let OpenMP's threads wait soon instead of spinning, which takes the core that another program needs.

    GNU's library, torch's on Linux, spins 300,000 times where nothing is set. Not for the demo, whose small
    networks wait so often that on a quiet machine it costs them a fifth; "auto" is the demo without a GPU,
    and with one the processor's threads have little to do. To be called before torch is imported.
    """
    if weights == "auto":
        weights = os.environ.get("GENLIB_WEIGHTS") or "demo"
    if weights != "demo" and not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = "1000"


def ask_for_huge_pages() -> None:
    """Let torch put large buffers on huge pages on CPUs; to be called before torch is imported."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
