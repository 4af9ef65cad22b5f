"""Pictures of runs: PNGs of plain names beside a record, whatever the record says; and people's own."""
import io
import os
import re
import stat
import struct
import warnings
from pathlib import Path
from zlib import error as ZlibError

from genlib.escape import plain
from genlib.files import read_regular

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = 4096 * 4096
PICTURE_BYTES = 64 * 1024**2
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # of people's own; never EPS, for which Pillow starts Ghostscript
NAME = re.compile(r"[^/\\:*?\"<>|]{0,254}[^/\\:*?\"<>| .]")  # Windows drops spaces and dots at the end
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\..*)?", re.IGNORECASE)  # which Windows opens instead of a file of that name


def is_plain(name: str) -> bool:
    """Whether it names a file in one folder on every system: no path, drive, stream or device."""
    return bool(NAME.fullmatch(name)) and plain(name) == name and not DEVICES.fullmatch(name)


def beside(folder: Path, name: str) -> Path | None:
    """The picture of that name in a run's folder; None without a regular file there or a plain name."""
    if not is_plain(name) or not name.lower().endswith(".png"):
        return None
    try:
        return folder / name if stat.S_ISREG(os.lstat(folder / name).st_mode) else None
    except OSError:  # it is missing, or its name is too long for this disk
        return None


def read(path: Path):
    """A PNG as a PIL image in memory, RGB.

    Raises ValueError, naming the file, for another kind of file or picture, a damaged one, and one of more
    than 4096 x 4096 pixels or 64 MB; OSError if it cannot be read.
    """
    from PIL import Image

    data = read_regular(path, PICTURE_BYTES)
    if not data.startswith(SIGNATURE):
        raise ValueError(f"{path} is no PNG: pictures of runs are PNG and nothing else")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # said below, by a lower limit
            picture = Image.open(io.BytesIO(data), formats=["PNG"])
        if picture.width * picture.height > PIXELS:
            raise ValueError(f"it has {picture.width} x {picture.height} pixels, and at most {PIXELS} are shown")
        return picture.convert("RGB")
    except (ValueError, OSError, SyntaxError, EOFError, IndexError, struct.error, ZlibError, Image.DecompressionBombError) as error:
        reason = "its head is damaged" if isinstance(error, Image.UnidentifiedImageError) else str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be shown ({reason}): draw it again") from None


def foreign(path: Path, pixels: int = PIXELS):
    """A person's own picture as a PIL image, RGB, upright, without metadata; of several frames the first.

    Raises ValueError, naming the file, for none of FORMATS, a damaged one, more than `pixels` or 64 MB, and
    greys of more than 8 bits; OSError if it cannot be read.
    """
    from PIL import Image, ImageOps

    data = read_regular(path, PICTURE_BYTES)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, which are refused below, and of odd metadata, which go
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            if picture.width * picture.height > pixels:
                raise ValueError(f"it has {picture.width} x {picture.height} pixels, and at most {pixels:,} are taken: make it smaller")
            if picture.mode[0] in "IF":
                raise ValueError("its greys have more than 8 bits, which would turn white: save it with 8")
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        return Image.frombytes("RGB", upright.size, upright.tobytes())
    except Exception as error:  # of a damaged file: Pillow's decoders raise many kinds
        reason = str(error) or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}: save it as one"
        raise ValueError(f"{path}: {reason}") from None
