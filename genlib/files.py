"""Write files whole or not at all, never through a link; read regular files of bounded size; lock a folder.

A disk that is full, or a folder that has gone or cannot be written, becomes a sentence that says what to do.
"""
import csv
import errno
import io
import os
import secrets
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path

NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has no such flag, and its links need an administrator
WAITS_S = [0.02, 0.1, 0.5, 1] if os.name == "nt" else []  # its virus scanner and its search hold a file that is new for a moment


def make_folder(path) -> Path:
    """Make a folder to write into, with those above it. Raises OSError, naming it, if that cannot be done."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the folder {path} cannot be made ({error.strerror}): choose another") from None
    return Path(path)


def nearest(path: Path) -> Path:
    """The path itself or, where nothing is there, the closest above it: a folder, a file or a link."""
    return next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))


@contextmanager
def replacing(path):
    """A binary file to write, which takes the place of `path` once the block has ended without an error.

    A reader sees the old file or the new one, never half of it, even after a crash. The new one is written
    under a name that nobody can guess; a link at `path` is replaced, and what it points to is left alone.
    """
    with replacing_unsynced(path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing_unsynced(path):
    """As `replacing`, without waiting for the disk, which takes four times as long as writing a small file.

    For many files: after a power cut, though not after a kill, the newest may be empty.
    """
    path = Path(path)
    with explain_storage(path.parent):
        temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")
        try:
            with open(temporary, "xb") as file:  # x: only if nothing is there, not even a link
                yield file
            _put(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def _put(temporary: Path, path: Path) -> None:
    """Rename a file, over the one that has the name; wait where another program has either open."""
    for wait_s in WAITS_S:
        with suppress(PermissionError):
            return os.replace(temporary, path)
        time.sleep(wait_s)
    os.replace(temporary, path)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


def open_to_append(path: Path):
    """A text file, line by line, at whose end is written; made if it is not there.

    Raises OSError, saying what to do, if it is a link.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_LINK, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(f"{path} is a link, and writing to it would change another file: delete it") from None
    return open(number, "a", buffering=1, encoding="utf-8", newline="\n")


def open_regular(path: Path):
    """A regular file, open for reading bytes: no link, pipe or device.

    Raises ValueError, naming the file, for another kind; OSError if it cannot be read.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):  # before it is opened: a device may act on that
        raise ValueError(f"{path} is no regular file: put the file itself there")
    number = os.open(path, os.O_RDONLY | NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(number).st_mode):  # it was replaced meanwhile
        os.close(number)
        raise ValueError(f"{path} is no regular file: put the file itself there")
    return open(number, "rb")


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """The bytes of a regular file.

    Raises ValueError, naming the file, for another kind and for more than `limit_bytes`; OSError if it cannot
    be read.
    """
    with open_regular(path) as file:
        size, data = os.fstat(file.fileno()).st_size, file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ValueError(f"{path} has {size / 1e6:.1f} MB, and at most {limit_bytes / 1e6:.1f} MB are read: see what is in it")
    return data


def belongs_to_another(path: Path) -> bool:
    """Whether another user owns a file, as may be in a folder open to all. The administrator is no other."""
    return hasattr(os, "getuid") and path.stat().st_uid not in (0, os.getuid())


def read_csv(path, limit_bytes: int) -> csv.DictReader:
    """The rows of a CSV file as spreadsheets save it: with commas, or with semicolons where numbers have
    decimal commas (see `decimal`). Names of columns are in small letters.

    Raises as `read_regular`; csv.Error, at the row, for one that is cut off.
    """
    text = read_regular(Path(path), limit_bytes).decode("utf-8-sig", errors="replace")
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="", strict=True)
    rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
    return rows


def decimal(text: str, rows: csv.DictReader) -> float:
    """The number that a cell of `read_csv` writes. Raises ValueError for another text."""
    return float(text.replace(",", ".") if rows.reader.dialect.delimiter == ";" else text)


_held: dict[Path, int] = {}  # the folders that this process has locked, each with the file descriptor of its lock


def hold(folder: Path) -> bool:
    """Lock a folder for this process until `release` or its end; False if another process has locked it.

    Where there are no such locks (Windows, some network drives) it is always True, for every process.
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
    except OSError as error:
        os.close(file)
        return not isinstance(error, BlockingIOError)
    _held[folder] = file
    return True


def release(folder: Path) -> None:
    """Unlock a folder."""
    if (file := _held.pop(folder.resolve(), None)) is not None:
        os.close(file)


@contextmanager
def explain_storage(folder: Path):
    """Make an error of the disk or of a folder's permissions say what to do; other errors pass."""
    try:
        yield
    except OSError as error:
        if said := _explained(error, Path(folder)):
            raise OSError(error.errno, said, str(folder)) from None
        raise


def _explained(error: OSError, folder: Path) -> str | None:
    kept = "what was written before is where it was"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = "the disk is full" if error.errno == errno.ENOSPC else "your share of the disk (quota) is used up"
        with suppress(OSError):
            full += f" ({shutil.disk_usage(folder).free / 1e6:.1f} MB free)"
        return f"{full}: free some space and run again; what was measured so far is kept and will be continued"
    if error.errno == errno.EROFS:
        return f"this disk can only be read: choose another folder; {kept}"
    if error.errno in (errno.EACCES, errno.EPERM) and folder.is_dir():
        in_use = "close the program that has the file open, " * (os.name == "nt")  # as Word and Excel keep others from it
        return f"you may not write here ({error.strerror}): {in_use}choose another folder or change its permissions; {kept}"
    if error.errno == errno.EISDIR and error.filename2:
        return f"a folder has the name of the file {Path(error.filename2).name}: rename it, or choose another folder"
    if not folder.is_dir():
        if not (there := nearest(folder)).is_dir():
            what = "a link to a folder that is not there: mount the drive" if there.is_symlink() else "a file and no folder: move it"
            return f"{there} is {what}, or choose another RESULTS"
        return (f"the folder is no longer there ({error.strerror}): mount the drive again, or choose another RESULTS, and run again; "
                f"{kept}")
    return None
