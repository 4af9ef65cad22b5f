"""Write files whole or not at all, lock a folder, pack and unpack archives of runs.

A full disk or a folder that has gone becomes a sentence that says what to do.
"""
import errno
import glob
import hashlib
import os
import shutil
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path
from zlib import error as ZlibError

UNPACKED_BYTES = 4 * 1024**3  # the most that an archive of runs may hold


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it, even after a crash."""
    temporary = path.with_name(f".{path.name}.part")
    with explain_full_disk(path.parent):
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


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
def explain_full_disk(folder: Path):
    """Make the error of a full disk, or of a folder that has gone, say what to do; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(folder).free / 1e6
            raise OSError(error.errno, f"the disk is full ({free:.1f} MB free): free some space and run again; "
                                       "what was measured so far is kept and will be continued", str(folder)) from None
        if not folder.is_dir():
            raise OSError(error.errno, f"the folder is no longer there ({error.strerror}): mount the drive again, or choose another "
                                       "RESULTS, and run again; what was written before is where it was", str(folder)) from None
        raise


def pack(results: Path) -> Path:
    """Pack the records and pictures of all runs in a results folder into a .zip beside it, for `unpack`."""
    archive = Path(results).resolve().with_suffix(".zip")
    temporary = archive.with_name(f".{archive.name}.part")
    with explain_full_disk(archive.parent), zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        for record in sorted(Path(results).rglob("run.json")):
            for member in (record, *sorted(record.parent.glob("*.png"))):
                file.write(member, member.relative_to(results))
    os.replace(temporary, archive)
    return archive


def unpack(archive: Path) -> Path:
    """Unpack a .zip of results into a folder beside it, once for each content of the archive; the folder.

    Only run.json and .png files are taken, and nothing lands outside the folder. Raises ValueError if the
    archive is damaged, too large or without runs, OSError if the folder cannot be written.
    """
    archive = Path(archive)
    name = f"{archive.stem}-{hashlib.sha256(archive.read_bytes()).hexdigest()[:8]}"
    folder, temporary = archive.with_name(name), archive.with_name(f".{name}.part")
    if folder.is_dir():
        return folder
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file, explain_full_disk(archive.parent):
            members = file.infolist()
            for member in members:  # some Windows tools write backslashes
                member.filename = member.filename.replace("\\", "/")
            members = [m for m in members if Path(m.filename).name == "run.json" or m.filename.endswith(".png")]
            if not any(member.filename.endswith("run.json") for member in members):
                raise ValueError(f"{archive}: there is no run.json in it: pack a results folder")
            if (size := sum(member.file_size for member in members)) > UNPACKED_BYTES:
                raise ValueError(f"{archive}: it would unpack to {size / 1024**3:.0f} GiB, and runs have at most "
                                 f"{UNPACKED_BYTES // 1024**3}: see what is in it")
            temporary.mkdir()
            file.extractall(temporary, members)  # which leaves out "..", drives and leading slashes
        os.replace(temporary, folder)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError, NotImplementedError, ZlibError) as error:
        raise ValueError(f"{archive}: it is not a whole .zip ({error}): download it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def run_files(source: Path) -> list[tuple[Path, Path | None]]:
    """The run.json files in a folder and in the .zip files there, each with its .zip or None.

    `source` may itself be a .zip. Folders unpacked from earlier .zips of the same name count as its own.
    An archive that cannot be read is skipped with a warning.
    """
    of_archive = {}
    for archive in [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.suffix.lower() == ".zip"):
        try:
            folders = [unpack(archive)]
        except (ValueError, OSError) as error:
            warnings.warn(f"skipped {error}", stacklevel=4)
            folders = []
        if archive != source:
            folders += archive.parent.glob(f"{glob.escape(archive.stem)}-{'[0-9a-f]' * 8}")
        of_archive |= {path: archive for folder in folders for path in sorted(folder.rglob("run.json"))}
    own = [path for path in sorted(source.rglob("run.json")) if path not in of_archive]
    return [*dict.fromkeys(own, None).items(), *of_archive.items()]
