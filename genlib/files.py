"""Write files so that nothing is lost: all or nothing, and a full disk said with its remedy."""
import errno
import os
import shutil
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half."""
    temporary = path.with_name(f".{path.name}.part")
    with explain_full_disk(path.parent):
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


_held: dict[Path, int] = {}  # folders that this process holds, with the open files that hold them


def hold(folder: Path) -> bool:
    """Keep a folder for this process until `release` or its end; False if another process has it.

    Where the system or the file system knows no locks (Windows, some network drives), every process may have it.
    """
    folder = folder.resolve()
    if folder in _held:
        return True
    try:
        import fcntl

        file = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    except OSError:
        os.close(file)
        return True
    _held[folder] = file
    return True


def release(folder: Path) -> None:
    """Let other processes have a folder again."""
    if (file := _held.pop(folder.resolve(), None)) is not None:
        os.close(file)


class explain_full_disk:
    """Turn "no space left on device" into a sentence with the remedy; other errors pass."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(self.folder).free / 1e6
            raise OSError(error.errno, f"the disk is full ({free:.1f} MB free): free some space and run again; "
                                       "what was measured so far is kept and will be continued", str(self.folder)) from None
