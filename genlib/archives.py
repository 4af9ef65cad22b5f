"""Archives of runs: pack a results folder into a .zip; unpack one that anybody may have made."""
import atexit
import errno
import hashlib
import os
import re
import secrets
import shutil
import struct
import tempfile
import zipfile
import zlib
from contextlib import ExitStack
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from genlib.checks import RECORD_BYTES, parse
from genlib.files import explain_storage, open_regular, read_regular, replacing
from genlib.folders import RECORDS, walk
from genlib.lines import printable, say
from genlib.pictures import PICTURE_BYTES, beside, is_plain

UNPACKED_BYTES = 4 * 1024**3  # the most that an archive of runs may hold
RATIO, SMALL_BYTES = 100, 64 * 1024**2  # more than the latter may hold at most so many times its own size
MEMBERS, LIST_BYTES = 50_000, 8 * 1024**2  # files in it, and the list of them
DEPTH = 30  # folders in one another
SERIES = re.compile(r"(.+-\d{8}T\d{4,6}Z(?:-\d+)?)-\d{3}(?: ?\(\d+\))?")  # a stem, where Google Drive makes several .zips of a folder
UNPACKED = re.compile(r"(.+)-[0-9a-f]{8}")  # a folder's name
DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, struct.error, UnicodeError)
ENCRYPTED = 1  # a bit of a member's flags
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)

Members = dict[PurePosixPath, tuple[zipfile.ZipFile, zipfile.ZipInfo]]  # by where they belong in the folder


def pack(results: Path) -> Path:
    """Pack the records of all runs in a results folder, with their pictures, into a .zip beside it.

    Regular files only, and of the pictures those that a record names; a warning names what is left out.
    """
    results = Path(results)
    archive = results.resolve().with_suffix(".zip")
    with replacing(archive) as whole, zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        for record in walk(results, links=False).records:
            if data := _read(record, RECORD_BYTES):
                _add(file, record.relative_to(results), data)
                for picture in _pictures_of(data, record.parent):
                    _add(file, picture.relative_to(results), _read(picture, PICTURE_BYTES))
    return archive


def _read(path: Path, most: int) -> bytes:
    """A file to pack; nothing, and a warning, where it cannot be read."""
    try:
        return read_regular(path, most)
    except (ValueError, OSError) as error:
        say(f"left out {error}")
        return b""


def _add(file: zipfile.ZipFile, path: Path, data: bytes) -> None:
    if data:
        file.writestr(zipfile.ZipInfo(path.as_posix()), data, zipfile.ZIP_DEFLATED)  # without the time: a clock may stand before 1980


def _pictures_of(data: bytes, folder: Path) -> list[Path]:
    """The pictures of a record that lie beside it; none of what is no record."""
    try:
        run = parse(data)
    except ValueError:
        return []  # its reader is told why
    names = dict.fromkeys(picture.file for iteration in run.iterations for picture in iteration.images)
    return [path for name in names if (path := beside(folder, name))]


def unpack(archive: Path) -> Path:
    """Unpack a .zip of results, once for each content of it; the folder.

    It lies beside the archive or, where that cannot be written or something else has its name, in a temporary
    folder of this process. The other .zips of the same download from Google Drive are unpacked with it. Only
    run.json and .png files are taken, and nothing lands outside the folder. Raises ValueError if the archive
    is damaged, too large or without runs, OSError if it cannot be read or there is no space.
    """
    archive = Path(archive)
    with ExitStack() as opened:
        members = _members(archive, opened)
        listed = sorted((str(path), member.file_size, member.CRC) for path, (_, member) in members.items())
        stem = _stem(archive).encode(errors="surrogateescape")[:200].decode(errors="ignore")  # a name has at most 255 bytes
        name = f"{stem}-{hashlib.sha256(repr(listed).encode()).hexdigest()[:8]}"
        folder = archive.parent / name
        if _holds(folder, members):
            return folder
        if os.path.lexists(folder):
            say(f"{folder} is not what {archive.name} holds (it was changed or was never unpacked): the archive itself is read")
        elif _extract(archive, members, folder):
            return folder
        folder = _own_folder() / name
        if _holds(folder, members) or _extract(archive, members, folder):
            return folder
    raise OSError(f"{archive}: there is no place to unpack it: unpack it yourself, and give the folder")


def _stem(archive: Path) -> str:
    series = SERIES.fullmatch(archive.stem)
    return series[1] if series else archive.stem


def _members(archive: Path, opened: ExitStack) -> Members:
    """What is to be unpacked of an archive and the others of its series, all opened, within the limits."""
    parts, members, bytes_packed = [archive], {}, 0
    if is_series := _stem(archive) != archive.stem:
        parts = sorted(path for path in archive.parent.iterdir() if path.suffix.lower() == ".zip" and _stem(path) == _stem(archive) and
                       path.is_file())
    for part in parts:
        try:
            raw = opened.enter_context(open_regular(part))
            bytes_packed += os.fstat(raw.fileno()).st_size
            file = opened.enter_context(_as_zip(part, raw))
            members |= {path: (file, member) for path, member in _wanted(part, file).items()}
        except (ValueError, OSError) as error:
            if len(parts) == 1:
                raise
            say(f"skipped {error}")  # the other parts can be read without it
    records = sum(path.name == "run.json" for path in members)
    if not records:
        missing = "put the other .zip files of this download beside it" if is_series else \
            "give a .zip of a results folder, or unpack it if it holds other .zip files"
        raise ValueError(f"{archive}: there is no run.json in it: {missing}")
    size = sum(member.file_size for _, member in members.values())
    most = min(UNPACKED_BYTES, max(SMALL_BYTES, RATIO * bytes_packed))
    if size > most:
        raise ValueError(f"{archive}: it would unpack to {size / 1e6:.0f} MB, and at most {most / 1e6:.0f} MB are unpacked of it: "
                         "see what is in it")
    if records > RECORDS:
        raise ValueError(f"{archive}: it has {records} runs, and at most {RECORDS} are read: pack fewer")
    return members


def _as_zip(archive: Path, file) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(_Bounded(file))
    except (*DAMAGED, ValueError, OSError) as error:  # an offset before the file's begin is either of the last two
        raise _damaged(archive, error) from None


def _damaged(archive: Path, error: Exception) -> ValueError:
    return ValueError(f"{archive}: it is not a whole .zip ({printable(str(error) or type(error).__name__, 200)}): download it again, "
                      "or give the folder of the results")


class _Bounded:
    """An open file of which at most LIST_BYTES are read at once, as zipfile reads the list of files."""

    def __init__(self, file):
        self._file, self.seek, self.tell, self.seekable = file, file.seek, file.tell, file.seekable

    def read(self, size=-1):
        data = self._file.read(LIST_BYTES + 1 if size is None or size < 0 else min(size, LIST_BYTES + 1))
        if len(data) > LIST_BYTES:
            raise zipfile.LargeZipFile(f"its list of files has more than {LIST_BYTES / 1e6:.0f} MB, the most that is read")
        return data


def _wanted(archive: Path, file: zipfile.ZipFile) -> Members:
    """The records and pictures in an archive; a warning names those that are too large or oddly named."""
    wanted, odd = {}, []
    if len(infos := file.infolist()) > MEMBERS:
        raise ValueError(f"{archive}: it has {len(infos)} files, and at most {MEMBERS} are read: pack a results folder alone")
    for member in infos:
        parts = [part for part in member.filename.replace("\\", "/").split("/") if part not in ("", ".", "..")]  # Windows tools write "\\"
        is_record = parts[-1:] == ["run.json"]
        if member.filename.endswith(("/", "\\")) or not (is_record or parts and parts[-1].lower().endswith(".png")):
            continue
        most = RECORD_BYTES if is_record else PICTURE_BYTES
        if member.file_size > most:
            say(f"{archive}: left out {member.filename}: it has {member.file_size / 1e6:.0f} MB, and at most {most / 1e6:.0f} MB are read")
        elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{archive}: it is packed by a method other than deflate, which is not read: pack it anew")
        elif member.flag_bits & ENCRYPTED:
            raise ValueError(f"{archive}: it needs a password, and none is asked for: unpack it yourself, and give the folder")
        elif len(parts) > DEPTH or not all(map(is_plain, parts)):
            odd.append(member.filename)
        else:
            wanted[PurePosixPath(*parts)] = member
    if odd:
        say(f"{archive}: left out what has a name that not every system can store ({len(odd)}), such as {odd[0]!r:.200}: rename it")
    return wanted


def _holds(folder: Path, members: Members) -> bool:
    """Whether a folder has these records and pictures, byte for byte by their checksums, and no others."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    left = dict(members)
    for place, folders, names in os.walk(folder):
        if any(os.path.islink(os.path.join(place, name)) for name in folders):
            return False
        for path in (Path(place, name) for name in names if name == "run.json" or name.lower().endswith(".png")):
            _, member = left.pop(PurePosixPath(path.relative_to(folder).as_posix()), (None, None))
            if member is None or not _is_copy(path, member):
                return False
    return not left


def _is_copy(path: Path, member: zipfile.ZipInfo) -> bool:
    try:
        return zlib.crc32(read_regular(path, member.file_size)) == member.CRC and path.stat().st_size == member.file_size
    except (ValueError, OSError):
        return False


def _extract(archive: Path, members: Members, folder: Path) -> bool:
    """Unpack under a name that nobody knows, then rename; whether `folder` now holds the members."""
    temporary = folder.with_name(f".{folder.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        with explain_storage(folder.parent):
            temporary.mkdir()
            for path, (file, member) in members.items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as source, open(temporary / path, "xb") as copy:
                    shutil.copyfileobj(source, copy)
        try:
            os.rename(temporary, folder)
        except OSError:  # something has that name: another process's copy, or anything else
            return _holds(folder, members)
        return True
    except (*DAMAGED, ValueError) as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        return False
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@cache
def _own_folder() -> Path:
    """A temporary folder of this process that only this user can open, under a name nobody knew."""
    folder = Path(tempfile.mkdtemp(prefix="genlib-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Record(NamedTuple):
    """A run.json to read, and where it is from."""
    path: Path
    archive: Path | None = None  # the .zip that it was unpacked from, now or earlier
    origin: str = ""  # the .zip, as the user knows it; "" for a record that lies in a folder


def run_files(source: Path) -> list[Record]:
    """The run.json files in a folder and in the .zip files there, in a .zip, or that one; each file once.

    What cannot be read is named in a warning. A folder that seems to be unpacked from an earlier .zip of the
    same name counts as from an archive: its runs never count before one's own.
    """
    if source.is_dir():
        records, archives = walk(source)
    else:
        is_record = source.name == "run.json"
        records, archives = [source] * is_record, [source.resolve()] * (source.exists() and not is_record)
    stems, unpacked = {(archive.parent, _stem(archive)): archive for archive in reversed(archives)}, {}
    for archive in reversed(stems.values()):
        try:
            folder = unpack(archive)
        except (ValueError, OSError) as error:
            say(f"skipped {error if str(archive) in str(error) else f'{archive}: {error}'}")
            continue
        name = archive.relative_to(source).as_posix() if source.is_dir() else archive.name
        unpacked |= {path: Record(path, archive, name) for path in walk(folder).records}
    own = (Record(path, _seeming_archive(path, stems)) for path in records if path not in unpacked)
    return [*own, *unpacked.values()]


def _seeming_archive(record: Path, stems: dict) -> Path | None:
    """The archive beside a folder that the record lies in, whose name is as unpacking it would make it."""
    names = ((folder.parent, match[1]) for folder in record.parents if (match := UNPACKED.fullmatch(folder.name)))
    return next((stems[name] for name in names if name in stems), None)
