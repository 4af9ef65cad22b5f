"""The pictures of a folder: those of a run's finished iterations, or all that lie in it and below."""
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from genlib import pictures, runs
from genlib.files import read_regular
from genlib.scores import CLOSEST

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
PIXELS = 120_000_000  # that are read


@dataclass(frozen=True)
class Folder:
    """What was found."""
    path: Path
    files: tuple[str, ...]  # relative to it, in the order of their names or of the run
    sha256: str  # of the sorted sha256 of the files, a line each

    def __len__(self):
        return len(self.files)

    def pictures(self, start: int = 0, end: int | None = None) -> list[Image.Image]:
        """Some of them, as `pictures.foreign` reads them."""
        return [pictures.foreign(self.path / file, PIXELS) for file in self.files[start:end]]

    @property
    def seeds(self) -> list[int]:
        """The seed that each file's name ends in, as `genlib generate` names them; else its number here."""
        found = [re.search(r"seed(\d+)\.\w+$", file) for file in self.files]
        return [int(match[1]) if match else number for number, match in enumerate(found)]


def find(path) -> Folder:
    """Look for pictures. Raises ValueError, naming the folder, if it is none or has no pictures."""
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} is no folder: give one with pictures")
    files = _of_run(path) if (path / "run.json").is_file() else _below(path)
    if not files:
        raise ValueError(f"{path} has no pictures: give a folder with files of the kinds {', '.join(SUFFIXES)}")
    sums = sorted(hashlib.sha256(read_regular(path / file, pictures.PICTURE_BYTES)).hexdigest() for file in files)
    return Folder(path, tuple(files), hashlib.sha256("\n".join(sums).encode()).hexdigest())


def _of_run(path: Path) -> list[str]:
    run = runs.read(path / "run.json")
    return [file.name for iteration in run.good for file in run.pictures_of(iteration)]


def _below(path: Path) -> list[str]:
    """Links are not followed; what begins with a dot is no picture of the user's."""
    found = []
    for place, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [(Path(place) / name).relative_to(path).as_posix() for name in names
                  if name.lower().endswith(SUFFIXES) and not name.startswith(".") and name != CLOSEST]
    return sorted(file for file in found if not (path / file).is_symlink())

