"""Archives of runs: pack a results folder into a .zip, unpack one, find records in folders and archives."""
import glob
import hashlib
import os
import shutil
import warnings
import zipfile
from pathlib import Path
from zlib import error as ZlibError

from genlib.files import explain_storage, replacing

UNPACKED_BYTES = 4 * 1024**3  # the most that an archive of runs may hold


def pack(results: Path) -> Path:
    """Pack the records and pictures of all runs in a results folder into a .zip beside it, for `unpack`."""
    archive = Path(results).resolve().with_suffix(".zip")
    with replacing(archive) as whole, zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        for record in sorted(Path(results).rglob("run.json")):
            for member in (record, *sorted(record.parent.glob("*.png"))):
                file.write(member, member.relative_to(results))
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
        with zipfile.ZipFile(archive) as file, explain_storage(archive.parent):
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
