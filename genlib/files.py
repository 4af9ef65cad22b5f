"""Write files so that nothing is lost: all or nothing, and a full disk said with its remedy."""
import errno
import os
import shutil
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half."""
    temporary = path.with_name(f".{path.name}.part")
    with explain_full_disk(path.parent):
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


class explain_full_disk:
    """Turn "no space left on device" into a sentence with the remedy; other errors pass."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(self.folder).free / 1e6
            raise OSError(error.errno, f"the disk is full ({free:.1f} MB free): free some space and run again; "
                                       "what was measured so far is kept and will be continued", str(self.folder)) from None
