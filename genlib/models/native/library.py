"""Compile the C files beside this one for this processor when it is first needed, and keep the result.

Nothing needs it: without a C compiler, or where it fails, `library()` is None, and torch does the work. The
kernels share torch's threads: they are linked to no OpenMP of their own, and find the one that torch has
loaded.
"""
import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch

from genlib import progress, system
from genlib.files import belongs_to_another, write_atomically

FOLDER = Path(__file__).parent
SOURCES = sorted(FOLDER.glob("*.c"))
COMPILERS = "cc", "gcc", "clang"
DIGEST_BYTES = hashlib.sha256().digest_size
FLAGS = ["-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fPIC", "-w"]
COMPILES_AT_MOST_S, ANSWERS_WITHIN_S = 120, 20


@cache
def library():
    """The kernels, compiled now or earlier; None where that cannot be done, which is said once.

    The file lies in the folder "genlib" beside torch's downloads, named after all that it depends on.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None or not system.is_linux():
        return None
    folder = Path(torch.hub.get_dir()) / "genlib"
    try:
        path = folder / f"kernels-{_fingerprint(compiler)}-{system.user()}.so"  # the folder may be shared
        if not _is_good(path):
            folder.mkdir(parents=True, exist_ok=True)
            with progress.Task("compiling kernels for this processor, once"):
                _compile(compiler, path)
        return _declared(np.ctypeslib.load_library(path.name, path.parent))
    except (OSError, subprocess.SubprocessError) as error:
        progress.write(f"the kernels in C are not used, and the tuned profile is slower: {_reason(error)}")
        return None


def _fingerprint(compiler: str) -> str:
    """Of source, flags, compiler and processor: a home folder may be shared by unlike machines."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, encoding="utf-8", errors="replace",
                             timeout=ANSWERS_WITHIN_S).stdout
    sources = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.[ch]"))]
    parts = *sources, *FLAGS, version, system.instructions()
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _is_good(path: Path) -> bool:
    """Whether the file is there, our own, and as it was written: to load half of one ends the process."""
    if not path.is_file() or belongs_to_another(path):
        return False
    data = path.read_bytes()
    return data[-DIGEST_BYTES:] == hashlib.sha256(data[:-DIGEST_BYTES]).digest()


def _compile(compiler: str, path: Path) -> None:
    """Compile, and write at once what is whole: another process may look for it at the same time.

    A digest is appended; loaders ignore what follows a library.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        objects = [f"{source.stem}.o" for source in SOURCES]
        for command in [*FLAGS, "-c", *map(str, SOURCES)], ["-shared", *objects, "-o", "kernels.so"]:
            subprocess.run([compiler, *command], cwd=folder, check=True, capture_output=True, text=True, encoding="utf-8", errors="replace",
                           timeout=COMPILES_AT_MOST_S)
        data = Path(folder, "kernels.so").read_bytes()
        write_atomically(path, data + hashlib.sha256(data).digest())


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", None) or ""
    said = said.decode(errors="replace") if isinstance(said, bytes) else said  # of a compiler that hung
    said = said.strip() or str(error)
    return said.splitlines()[0]


def _declared(kernels):
    for count in (kernels.winograd_floats, kernels.norm_doubles):
        count.restype = np.ctypeslib.as_ctypes_type(np.intp)
    return kernels
