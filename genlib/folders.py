"""Look through a folder, in which anything may lie, for records and archives of runs."""
import os
from pathlib import Path
from typing import NamedTuple

from genlib.lines import say

FILES = 200_000  # that are looked at in one folder and those below it
RECORDS = 5000  # that are read


class Found(NamedTuple):
    """What may be read below a folder, by name alone."""
    records: list[Path]
    archives: list[Path]


def walk(folder: Path, links: bool = True) -> Found:
    """The run.json and .zip files below a folder, sorted.

    `links`: also in folders that are links, each folder once, whatever ways lead to it. What cannot be read,
    or is too much, is named in a warning. Folders that are being unpacked are passed over.
    """
    found, seen, count = Found([], []), set(), 0
    waiting, linked = [folder], []
    while waiting or linked:
        place = waiting.pop() if waiting else linked.pop()  # links last: a folder goes by its own name
        if (real := os.path.realpath(place)) in seen:
            continue
        seen.add(real)
        try:
            names = os.listdir(place)
        except OSError as error:
            say(f"skipped {place}: {error.strerror}")
            continue
        count += len(names)
        if count > FILES:
            say(f"stopped at {place}: there are more than {FILES} files below {folder}: give the folder of the results alone")
            break
        for path in map(Path(place).joinpath, names):
            if path.name == "run.json":
                found.records.append(path)
            elif os.path.isdir(path):
                if path.name.startswith(".") and path.name.endswith(".part"):
                    continue
                if not path.is_symlink():
                    waiting.append(path)
                elif links:
                    linked.append(path)
                else:
                    say(f"left out {path}: it is a link to another folder")
            elif path.suffix.lower() == ".zip":
                found.archives.append(path)
    if len(found.records) > RECORDS:
        say(f"{folder} has {len(found.records)} runs, and the first {RECORDS} are read: give a part of it")
    return Found(sorted(found.records)[:RECORDS], sorted(found.archives)[:RECORDS])
