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
from genlib.files import write_atomically

FOLDER = Path(__file__).parent
SOURCES = sorted(FOLDER.glob("*.c"))
COMPILERS = "cc", "gcc", "clang"
FLAGS = ["-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fPIC", "-w"]
COMPILES_AT_MOST_S = 120


@cache
def library():
    """The kernels, compiled now or earlier; None where that cannot be done, which is said once.

    The file lies in the folder "genlib" beside torch's downloads, named after all that it depends on.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None or not system.is_linux():
        return None
    folder = Path(torch.hub.get_dir()) / "genlib"
    path = folder / f"kernels-{_fingerprint(compiler)}.so"
    try:
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with progress.Task("compiling kernels for this processor, once"):
                _compile(compiler, path)
        return _declared(np.ctypeslib.load_library(path.name, path.parent))
    except (OSError, subprocess.SubprocessError) as error:
        progress.write(f"the kernels in C are not used, and the tuned profile is slower: {_reason(error)}")
        return None


def _fingerprint(compiler: str) -> str:
    """Of source, flags, compiler and processor: a home folder may be shared by unlike machines."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, encoding="utf-8", errors="replace").stdout
    sources = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.[ch]"))]
    parts = *sources, *FLAGS, version, system.instructions()
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, path: Path) -> None:
    """Compile, and write at once what is whole: another process may look for it at the same time."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole, objects = Path(folder, "kernels.so"), [f"{source.stem}.o" for source in SOURCES]
        for command in [*FLAGS, "-c", *map(str, SOURCES)], ["-shared", *objects, "-o", str(whole)]:
            subprocess.run([compiler, *command], cwd=folder, check=True, capture_output=True, text=True, encoding="utf-8", errors="replace",
                           timeout=COMPILES_AT_MOST_S)
        write_atomically(path, whole.read_bytes())


def _reason(error: Exception) -> str:
    said = (getattr(error, "stderr", "") or "").strip() or str(error)
    return said.splitlines()[0]


def _declared(kernels):
    for count in (kernels.winograd_floats, kernels.norm_doubles):
        count.restype = np.ctypeslib.as_ctypes_type(np.intp)
    return kernels
