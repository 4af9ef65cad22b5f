"""What a path means that somebody has written, and what others get to see of the paths of this machine."""
import os
import re
import sys
import tempfile
from functools import cache
from pathlib import Path, PureWindowsPath


def resolve(written: str | Path, base: Path) -> Path:
    """The absolute path that somebody means who writes this; what is relative belongs to the folder `base`.

    ~ and variables such as $HOME take their values; spaces and quotes around the path, which come along when
    it is pasted, are left out; links are followed. Outside Windows a backslash separates folders too. Raises
    ValueError if nothing is left, for an address, and for a drive of Windows on another system.
    """
    text = str(written).strip().strip("\"'").strip()
    if not text:
        raise ValueError(f"{str(written)!r} names no folder: write one, as in ../results")
    if re.match(r"\w{2,}:/", text):
        raise ValueError(f"{text} is an address and no folder: download what is there, and give the folder that it is in")
    if os.name != "nt":
        if PureWindowsPath(text).drive:
            raise ValueError(f"{text} is a folder of Windows, and this machine has another system: give a folder of this machine")
        text = text.replace("\\", "/")
    expanded = os.path.expandvars(os.path.expanduser(text))
    if expanded.startswith("~"):
        raise ValueError(f"{text} begins with the home folder of somebody who is not known here: write the folder's whole path")
    try:
        return Path(base, expanded).resolve()
    except (ValueError, RuntimeError) as error:  # a NUL character, links that go in a circle
        raise ValueError(f"{text!r} is no path ({error}): choose another folder") from None


def without_paths(text: str, names: dict[Path, str]) -> str:
    """`text`, in which each of these folders is replaced by its name.

    The folders of Python, of temporary files and of the user, which often bears a person's name, are replaced
    too, and those of model weights by the variables that name them.
    """
    caches = {os.environ[name]: f"${name}" for name in ("HF_HOME", "HF_HUB_CACHE") if os.path.isabs(os.environ.get(name, ""))}
    usual = caches | {sys.prefix: "python", sys.base_prefix: "python", tempfile.gettempdir(): "tmp", os.path.expanduser("~"): "~"}
    known = {spelling: name for folder, name in (usual | names).items() for spelling in _spellings(Path(folder).absolute())}
    inmost_first = sorted(known, key=len, reverse=True)
    begins = r"(?:(?<![\w.])|(?<=\dm))"  # 31m and the like end a change of colour, as in tracebacks
    pattern = rf"{begins}(?:{'|'.join(map(re.escape, inmost_first))})(?![\w-])"
    return re.sub(pattern, lambda found: known[found[0]], text)


@cache  # it asks the disk for each part of the path, and a notebook has hundreds of texts
def _spellings(folder: Path) -> set[str]:
    """How a folder may be written in a text; none for the root, which is part of every path."""
    if folder == Path(folder.anchor):
        return set()
    spellings = {form(path) for path in (folder, folder.resolve()) for form in (str, Path.as_posix)}
    return spellings | {spelling.replace("\\", "\\\\") for spelling in spellings}  # as repr() and JSON have it
