"""The commands, a file each: `add` declares the arguments, `run` does the work and returns the exit status.

Heavy libraries are imported inside the functions, so that `--help` answers at once.
"""
import argparse
import os
from pathlib import Path

from genlib import places


def at_least_one(text: str) -> int:
    """The type of an argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def a_path(text: str) -> Path:
    """The type of an argument that names a file or a folder; see `places.resolve`."""
    try:
        return places.resolve(text, Path.cwd())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def short(path: Path) -> str:
    """A path as it is printed: relative to the working folder if it lies in it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def ask_for_huge_pages() -> None:
    """Let torch put large buffers on huge pages on CPUs; to be called before torch is imported."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
