"""The SHA-256 of model files, for the record of a run."""
import hashlib
import re
from contextlib import suppress
from pathlib import Path

import torch

from genlib import progress
from genlib.files import write_atomically


def sha256(path) -> str:
    """The SHA-256 of a file, as 64 hex digits."""
    with open(path, "rb") as file, progress.Task(f"computes the SHA-256 of {Path(path).name}"):
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """The SHA-256 of a file, kept until the file changes, since gigabytes take seconds to hash."""
    status = path.stat()
    state = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    note = Path(torch.hub.get_dir()) / "genlib" / "hashes" / hashlib.sha256(state.encode()).hexdigest()
    with suppress(OSError):
        if re.fullmatch("[0-9a-f]{64}", known := note.read_text(encoding="ascii", errors="replace")):
            return known
    found = sha256(path)
    with suppress(OSError):  # a cache that cannot be written costs the seconds again
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(note, found.encode())
    return found


def sha256_of_all(files: list[Path], folder: Path) -> str:
    """The SHA-256 of a list of files' hashes and names, written as the command sha256sum writes it."""
    lines = "".join(f"{remembered_sha256(file)}  {file.relative_to(folder).as_posix()}\n" for file in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()
