"""Lines to the user that name what a stranger sent."""
import warnings

from genlib.escape import plain


def printable(text: str, length: int = 1000) -> str:
    """A stranger's text on one line of a message, cut, with escapes for what is not seen."""
    return plain(text[:length]) + (" …" if len(text) > length else "")


def say(line: str) -> None:
    """Warn of something that is left out."""
    warnings.warn(printable(line), stacklevel=3)
