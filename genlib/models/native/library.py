"""Compile kernels.c for this processor when it is first needed, and keep the result.

Nothing needs it: without a C compiler, or where it fails, `library()` is None, and torch does the work. The
kernels share torch's threads: they are linked to no OpenMP of their own, and find the one that torch has
loaded.
"""
import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

from genlib import progress, system

SOURCE = Path(__file__).with_name("kernels.c")
COMPILERS = "cc", "gcc", "clang"
FLAGS = ["-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fPIC", "-w"]
COMPILES_AT_MOST_S = 120


@cache
def library() -> ctypes.CDLL | None:
    """The kernels, compiled now or earlier; None where that cannot be done, which is said once.

    The file lies in the folder "genlib" beside torch's downloads, named after all that it depends on.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None or platform.system() != "Linux":
        return None
    folder = Path(torch.hub.get_dir()) / "genlib"
    path = folder / f"kernels-{_fingerprint(compiler)}.so"
    try:
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with progress.Task("compiling kernels for this processor, once"):
                _compile(compiler, path)
        return _declared(ctypes.CDLL(str(path)))
    except (OSError, subprocess.SubprocessError) as error:
        progress.write(f"{SOURCE.name} is not used, and the tuned profile is slower: {_reason(error)}")
        return None


def _fingerprint(compiler: str) -> str:
    """Of source, flags, compiler and processor: a home folder may be shared by unlike machines."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, errors="replace").stdout
    parts = SOURCE.read_text(encoding="utf-8"), *FLAGS, version, system.instructions()
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _compile(compiler: str, path: Path) -> None:
    """Compile, and rename what is whole: another process may look for it at the same time."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        objects, whole = Path(folder, "kernels.o"), Path(folder, "kernels.so")
        for command in ([compiler, *FLAGS, "-c", str(SOURCE), "-o", str(objects)], [compiler, "-shared", str(objects), "-o", str(whole)]):
            subprocess.run(command, check=True, capture_output=True, text=True, errors="replace", timeout=COMPILES_AT_MOST_S)
        os.replace(whole, path)


def _reason(error: Exception) -> str:
    said = (getattr(error, "stderr", "") or "").strip() or str(error)
    return said.splitlines()[0]


def _declared(kernels: ctypes.CDLL) -> ctypes.CDLL:
    for count in (kernels.winograd_floats, kernels.norm_doubles):
        count.restype = ctypes.c_ssize_t
    return kernels
