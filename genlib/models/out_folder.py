"""The folder that `generate` fills. What lies in it already may have been put there by anybody.

    <out>/settings.json               what all its pictures have in common
    <out>/00042/seed00042017.png      a thousand to a folder
    <out>/machine.json                what the newest launch that drew ran on, as a run's record describes it
    <out>/manifest.jsonl              a line a picture: seed, file, sha256, the label that a conditional
                                      network drew, and the seconds that an image of its batch took, with
                                      the machine (while it runs, a part a process)
"""
import hashlib
import io
import json
import re
import stat
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from pathlib import Path, PureWindowsPath

from PIL import Image

from genlib.files import explain_storage, hold, nearest, read_regular, replacing_unsynced, write_atomically
from genlib.models import SEEDS
from genlib.models.trouble import without_secrets
from genlib.record import BLACKENED, DOUBT, MB, NOT_FINITE, Machine

PNG_LEVEL = 1  # of zlib's 9: takes a third of the default's time, for files a tenth larger
SETTINGS_BYTES, MANIFEST_BYTES, LINE_BYTES = 1 * MB, 256 * MB, 1000  # the most that is read: two million pictures
TIME_S = 1e9  # no image takes as long
KINDS = dict(label=int, blackened=bool, time_s=float, machine=str)  # what a line may have beside seed, file and sha256


def claim(out: Path, make: bool) -> bool:
    """Lock the folder for this launch; if it is not there, make it first or, without `make`, do nothing.

    Returns whether it is locked. Raises ValueError if another launch has locked it or it is no folder,
    OSError if it cannot be made.
    """
    if not out.is_dir():
        there = nearest(out)
        if not there.is_dir():
            raise ValueError(f"--out {there} is no folder: choose another one")
        if not make:
            return False
        with explain_storage(there):
            out.mkdir(parents=True, exist_ok=True)
    if not hold(out):
        raise ValueError(f"{out} is being filled by another launch: wait until it has ended, or choose another --out")
    return True


def name(seed: int) -> str:
    """A picture's file, relative to the folder."""
    return f"{seed // 1000:05}/seed{seed:08}.png"


def drawn(out: Path) -> dict[int, dict]:
    """The lines of the manifest and of its parts, by seed; how many lines name no picture is said."""
    lines, others = _lines(out)
    if others:
        print(f"{out}: {others} line{'s' * (others > 1)} of the manifest passed over, which name no picture (a kill may cut one off)")
    return lines


def _lines(out: Path) -> tuple[dict[int, dict], int]:
    lines, others = {}, 0
    for file in _manifests(out):
        for text in read_regular(file, MANIFEST_BYTES).split(b"\n"):
            if line := _line(text):
                lines[line["seed"]] = line
            else:
                others += bool(text.strip())
    return lines, others


def _manifests(out: Path) -> list[Path]:
    return sorted(file for file in out.glob("manifest*.jsonl") if re.fullmatch(r"manifest(-\d+)?\.jsonl", file.name))


def _line(text: bytes) -> dict | None:
    """A line of a manifest, checked; None if it is none."""
    try:
        line = json.loads(text) if len(text) < LINE_BYTES else None
    except (ValueError, RecursionError):
        return None
    seed = line.get("seed") if isinstance(line, dict) else None
    if type(seed) is not int or not 0 <= seed < SEEDS or line.get("file") != name(seed):
        return None
    more = {key: line[key] for key in KINDS if key in line}
    if not re.fullmatch("[0-9a-f]{64}", str(line.get("sha256"))) or any(type(value) is not KINDS[key] for key, value in more.items()):
        return None
    if not 0 < more.get("time_s", 1) < TIME_S or not re.fullmatch("[a-z0-9-]{1,200}", more.get("machine", "-")):
        return None
    return dict(seed=seed, file=line["file"], sha256=line["sha256"]) | more


def missing(seeds: range, batch: int, out: Path, there: dict[int, dict]) -> list[list[int]]:
    """The seeds whose pictures are missing, grouped by batch. there: the manifest's lines, from `drawn`.

    Raises ValueError where a folder for them is a link, which would lead them elsewhere, or a file.
    """
    for number in sorted({seed // 1000 for seed in seeds}):
        folder = out / f"{number:05}"
        if folder.is_symlink() or folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is no folder of its own but a link or a file: delete it, or choose another --out")
    left = (seed for seed in seeds if seed not in there or not _is_file(out / there[seed]["file"]))
    return [list(group) for _, group in groupby(left, lambda seed: seed // batch)]


def _is_file(path: Path) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def settings(out: Path) -> dict | None:
    """What settings.json holds; None if it is not there. Raises ValueError if it is damaged."""
    file = out / "settings.json"
    if not file.exists() and not file.is_symlink():
        return None
    text, found = read_regular(file, SETTINGS_BYTES), None
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
    if not (isinstance(found, dict) and _are_shapes(found.get("convolutions", []))):
        raise ValueError(f"{file} is damaged, which should say how the pictures beside it were drawn: choose another --out")
    return found


def _are_shapes(found) -> bool:
    """Whether these may be the convolutions that settings.json keeps."""
    return isinstance(found, list) and all(isinstance(shape, list) and len(shape) == 4 and {*map(type, shape)} == {int} for shape in found)


def keep_settings(out: Path, now: dict, there: dict[int, dict]) -> None:
    """Write settings.json; where pictures are there already, only compare.

    Raises ValueError, naming the first setting that differs.
    """
    before = settings(out) if there else None
    if before is None:  # nothing was drawn so: for example, the first batch did not fit
        return write_atomically(out / "settings.json", json.dumps(now, indent=1).encode())
    before = _as_now(before, now)
    for key in {**now, **before}:
        one, other = before.get(key), now.get(key)
        if one != other:
            raise ValueError(f"{out} holds pictures with {key if key in now else _short(key)} {_short(one)}, not {_short(other)}: "
                             "choose another --out")


def keep_machine(out: Path, machine: Machine) -> None:
    """Write machine.json: pictures do not depend on the machine, so another one may go on with a folder."""
    write_atomically(out / "machine.json", json.dumps(asdict(machine), indent=1).encode())


def _short(value) -> str:
    return text if len(text := repr(value)) <= 70 else f"{text[:67]}..."


def _as_now(before: dict, now: dict) -> dict:
    """Earlier settings as this version writes them: names for whole paths and addresses, a folder's hash."""
    source = str(before.get("source"))
    if now.get("source") in (source, without_secrets(source), PureWindowsPath(source).name):  # which splits at / too
        return before | dict(source=now.get("source"), sha256=before.get("sha256") or now.get("sha256"))
    return before


def save(picture: Image.Image, seed: int, out: Path, manifest, more: dict) -> None:
    """Write a picture, whole or not at all; then its line, with what is `more` to say of it.

    One whose values are not finite is left out.
    """
    doubt = picture.info.get(DOUBT)
    if doubt == NOT_FINITE:
        return
    file, data = out / name(seed), io.BytesIO()
    picture.save(data, "png", compress_level=PNG_LEVEL)
    file.parent.mkdir(exist_ok=True)
    with replacing_unsynced(file) as written:
        written.write(data.getvalue())
    line = dict(seed=seed, file=name(seed), sha256=hashlib.sha256(data.getvalue()).hexdigest()) | more
    manifest.write(json.dumps(line | dict(blackened=True) if doubt == BLACKENED else line) + "\n")


def join(out: Path) -> dict[int, dict]:
    """Make one manifest of its parts, by seed; return its lines.

    Raises ValueError if manifest-0.jsonl, which every launch makes, is gone.
    """
    if not _is_file(out / "manifest-0.jsonl"):
        raise ValueError(f"files of {out} were deleted while it was filled: the same command draws what is missing")
    lines, _ = _lines(out)
    write_atomically(out / "manifest.jsonl", "".join(json.dumps(lines[seed]) + "\n" for seed in sorted(lines)).encode())
    for part in _manifests(out):
        if part.name != "manifest.jsonl":
            part.unlink()
    return lines
