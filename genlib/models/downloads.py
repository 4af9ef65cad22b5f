"""How long this process waited for downloads, which a record of what was loaded keeps apart from loading."""
import time
from collections.abc import Iterator
from contextlib import contextmanager

times_s: list[float] = []  # of each download, oldest first


@contextmanager
def timed() -> Iterator[None]:
    """Count what the block takes as a download, also one that fails: whoever loads waits for it too."""
    start = time.perf_counter()
    try:
        yield
    finally:
        times_s.append(time.perf_counter() - start)
