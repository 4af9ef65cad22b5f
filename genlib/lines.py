"""Lines to the user that name what a stranger sent."""
import warnings


def printable(text: str, length: int = 1000) -> str:
    """A stranger's text for a message: cut, and with escapes for what would move the cursor of a terminal."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:length])
    return shown if len(text) <= length else f"{shown} …"


def say(line: str) -> None:
    """Warn of something that is left out."""
    warnings.warn(printable(line), stacklevel=3)
