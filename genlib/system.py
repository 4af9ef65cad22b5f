"""What each operating system tells in a way of its own, as Linux by /proc; None where it does not tell."""
import ctypes
import mmap
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

PAGES = Path("/proc/self/pagemap")


def processor() -> str:
    """The name under which the processor is sold or, where that is not told, its kind."""
    ask = {"darwin": _asked_of_macos, "win32": _asked_of_windows}.get(sys.platform, _asked_of_linux)
    try:
        return ask().strip() or platform.processor() or platform.machine() or "unknown"
    except OSError:
        return platform.processor() or platform.machine() or "unknown"


def _asked_of_linux() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((name for line in lines if line.startswith("model name") and (name := line.partition(":")[2].strip())), "")


def instructions() -> str:
    """What this processor can do, in Linux's words; "" where it is not told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _asked_of_macos() -> str:
    return subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, encoding="utf-8", errors="replace").stdout


def _asked_of_windows() -> str:
    import winreg  # platform.processor() tells only family and model there, as in "Intel64 Family 6 Model 151"

    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
        return str(winreg.QueryValueEx(key, "ProcessorNameString")[0])


def limit(file: str) -> float | None:
    """A container's limit by Linux's control groups (v2), in bytes or cores; None where there is none."""
    try:
        limit, *period = Path("/sys/fs/cgroup", file).read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period[0]) if period else int(limit)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def swapped_bytes() -> int | None:
    """Bytes that the machine has swapped in and out since it started."""
    try:
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        return (int(counts["pswpin"]) + int(counts["pswpout"])) * mmap.PAGESIZE
    except (OSError, ValueError, KeyError):
        return None


def reset_peak_rss() -> bool:
    """Ask Linux to reset this process's high-water mark of RSS (proc(5), clear_refs); whether it did."""
    try:
        Path("/proc/self/clear_refs").write_bytes(b"5")
    except OSError:
        return False
    peak, now = of_status("VmHWM"), of_status("VmRSS")
    return None not in (peak, now) and peak < now + 2**20  # some sandboxes take the request and ignore it


def of_status(name: str) -> int | None:
    """A figure of /proc/self/status, in bytes; None where it is not told."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
    except (OSError, ValueError, IndexError):
        return None


def huge_pages() -> bool:
    """Whether torch puts large CPU tensors on huge pages: the variable is set, and Linux allows them."""
    try:
        allowed = "[never]" not in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return False
    return allowed and os.environ.get("THP_MEM_ALLOC_ENABLE") == "1"


def release_pages(begin: int, end: int) -> None:
    """Give back the memory from one address to before another, all of it mapped from a file; Linux only.

    Only whole pages are given back, and none if any of them is not the file's own: changed, swapped out, or
    of no file.
    """
    first, last = -(-begin // mmap.PAGESIZE), end // mmap.PAGESIZE
    if last > first and _unchanged(first, last):
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first * mmap.PAGESIZE), ctypes.c_size_t((last - first) * mmap.PAGESIZE),
                                  mmap.MADV_DONTNEED)


def _unchanged(first: int, last: int) -> bool:
    """Whether every page in memory from `first` to before `last` is a file's own."""
    try:
        with PAGES.open("rb", buffering=0) as pages:
            pages.seek(8 * first)
            found = np.frombuffer(pages.read(8 * (last - first)), dtype="=u8")  # 64 bits for each page, which say the following
    except OSError:
        return False
    there, swapped, of_a_file = (found >> np.uint64(bit) & np.uint64(1) for bit in (63, 62, 61))
    return len(found) == last - first and not (swapped | there & ~of_a_file).any()
