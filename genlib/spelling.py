"""What a message says of a name that nobody knows."""
from collections.abc import Iterable
from difflib import get_close_matches


def meant(name, known: Iterable[str]) -> str:
    """The question that names the known name which `name` resembles, in capitals or not; "" if none does."""
    names = {other.lower(): other for other in reversed(list(known))}  # of those alike but for capitals the first
    near = get_close_matches(str(name).lower(), names, n=1)
    return f" (did you mean {names[near[0]]!r}?)" if near else ""
