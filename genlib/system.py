"""What each operating system tells or does in a way of its own, as Linux by /proc; None if it does not."""
import ctypes
import mmap
import multiprocessing
import os
import pickle
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

PAGES = Path("/proc/self/pagemap")
PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>
LOOKS_EVERY_S = 0.5  # for an interrupt, while forked processes work
ENDS_WITHIN_S = 10  # after a forked process is asked to, or it is killed


def is_linux() -> bool:
    """Whether this is Linux: elsewhere libraries do not bear a fork, and OpenMP comes in other ways."""
    return sys.platform == "linux"


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


def user() -> int:
    """The number of this process's user; on Linux and macOS."""
    return os.getuid()


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


def fork_each(work: Callable[[int, list], None], parts: list[list]) -> None:
    """Call `work` with each part and its number, each in a process forked from this one, and wait for all.

    Raises the first error that one of them raises, after the others have stopped; ChildProcessError if one is
    killed. They stop also when this process is interrupted or killed. Linux only.
    """
    fork, processes = multiprocessing.get_context("fork"), {}
    with _interrupts() as seen:
        try:
            for number, part in enumerate(parts):
                errors, end = fork.Pipe(duplex=False)
                process = fork.Process(target=_forked, args=(work, number, part, end, os.getpid()), daemon=True)
                process.start()
                end.close()
                processes[errors] = process
            left = dict(processes)
            while left:
                for errors in wait(list(left), LOOKS_EVERY_S):
                    _raise_what(errors, left.pop(errors))
                if seen:
                    raise KeyboardInterrupt
        finally:
            _end(processes.values())


@contextmanager
def _interrupts():
    """A list that is empty until somebody interrupts: an exception would be passed over during a fork.

    Of another thread than the main one an interrupt is none of its business, and a script's job in the
    background (cmd &) was started to ignore it.
    """
    seen = []
    if threading.current_thread() is not threading.main_thread() or not callable(signal.getsignal(signal.SIGINT)):
        yield seen
        return
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interrupts() -> None:
    """From now on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(processes) -> None:
    """Ask them to end, which leaves no half-written files; kill those that do not."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(ENDS_WITHIN_S)
        if process.is_alive():
            process.kill()
            process.join()


def _raise_what(errors, process) -> None:
    """Raise the error that a process sent before it ended, if it did not end well."""
    try:
        raise errors.recv()
    except EOFError:
        process.join()
    if process.exitcode:
        raise ChildProcessError(f"a forked process ended with {process.exitcode}")


def _forked(work, number: int, part: list, end, parent: int) -> None:
    """What a forked process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too, and ends this one
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _stop)  # a terminal that is closed
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was killed before the line above
        return
    try:
        work(number, part)
    except Exception as error:
        end.send(_picklable(error))


def _stop(*_) -> None:
    """End this process, once: it may be asked to by several, and is to put away what it was writing."""
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda *_: None)  # with SIG_IGN, Python would complain of one that has come already
    sys.exit(1)


def _picklable(error: Exception) -> Exception:
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
