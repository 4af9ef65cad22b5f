"""In which order notebooks are executed over several sessions and, after a kill, where to go on.

Each session begins with another notebook, so that none always meets a cold machine, nor always a hot one. The
sessions of a folder are numbered on. What is finished stands in a file until the whole command is.
"""
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from genlib.files import hold, read_regular, write_atomically

FILE = "sessions.json"


class Turn(NamedTuple):
    """A notebook to execute, and of which session."""
    notebook: str
    session: int
    last: int  # session of the command
    later: tuple[str, ...] = ()  # the notebooks of the turns that follow

    @property
    def copy(self) -> str:
        """The name of its executed copy, without an ending."""
        return f"{self.notebook}.session{self.session}"


def of(folder: Path, notebooks: list[str], asked: dict) -> Iterator[Turn]:
    """The turns of so many sessions as `asked` says, but for those that a command that was stopped has taken.

    A turn is taken once the next one is asked for. asked: the command's options. Raises ValueError where
    another command is at work in the folder, or one with other options was stopped.
    """
    if not hold(folder):
        raise ValueError(f"another `genlib run --sessions` is at work in {folder}: wait for its end, or give another folder of results")
    first, taken = _stopped(folder / FILE, asked) or (1 + max(_there(folder), default=0), [])
    _note(folder, asked, first, taken)  # before there is a copy of the first turn, by which the next command would count on
    last = first + asked["sessions"] - 1
    if taken:
        print(f"goes on where it was stopped, after {len(taken)} of {asked['sessions'] * len(notebooks)} notebooks")
    begins = [(session, (session - 1) % len(notebooks)) for session in range(first, last + 1)]
    turns = [Turn(name, session, last) for session, begin in begins for name in notebooks[begin:] + notebooks[:begin]]
    turns = [turn for turn in turns if turn.copy not in taken]
    for place, turn in enumerate(turns, 1):
        yield turn._replace(later=tuple(later.notebook for later in turns[place:]))
        taken.append(turn.copy)
        _note(folder, asked, first, taken)


def end(folder: Path) -> None:
    """Forget the turns: the next command begins sessions of its own."""
    (folder / FILE).unlink(missing_ok=True)


def _note(folder: Path, asked: dict, first: int, taken: list[str]) -> None:
    write_atomically(folder / FILE, json.dumps(dict(asked=asked, first=first, taken=taken), indent=1).encode())


def _there(folder: Path) -> list[int]:
    """The sessions of which there are executed copies."""
    return [int(found[1]) for path in folder.glob("*.ipynb") if (found := re.search(r"\.session([0-9]{1,6})\.ipynb$", path.name))]


def _stopped(file: Path, asked: dict) -> tuple[int, list[str]] | None:
    """The first session of a command that was stopped, and the turns that it has taken; None without one."""
    try:
        said = json.loads(read_regular(file, 100_000))
        before, first, taken = dict(said["asked"]), int(said["first"]), [str(name) for name in said["taken"]]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} does not say what is finished ({type(error).__name__}: {error}): delete it to begin new "
                         "sessions") from None
    if unlike := [f"{name} {before.get(name)}" for name in asked if before.get(name) != asked[name]]:
        raise ValueError(f"{file} is of sessions that were stopped before their end, with {', '.join(unlike)}: give the same options to go "
                         "on with them, or delete it to begin new ones")
    return first, taken
