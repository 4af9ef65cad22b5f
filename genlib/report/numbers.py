"""How each language writes a number."""
from math import floor, inf, log10

LANGUAGES = ("en", "uk")
MISSING = "—"


def check(language: str) -> None:
    """Raises ValueError unless the language is one of LANGUAGES."""
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}: use one of {', '.join(LANGUAGES)}")


def number(value, digits: int, language: str) -> str:
    """A number with this many decimals, a comma for a point in Ukrainian; a dash for what is missing."""
    check(language)
    if value is None or value != value:  # NaN
        return MISSING
    return f"{value:.{digits}f}".replace(".", "." if language == "en" else ",")


def significant(value, digits: int, language: str) -> str:
    """A number with this many significant digits, never in powers of ten: times and ratios span from milliseconds to minutes."""
    if value == inf:  # dB between two pictures that are one and the same
        return "∞"
    if value is None or value != value or value == 0:
        return number(value, 0, language)
    return number(value, max(0, digits - 1 - floor(log10(abs(value)))), language)


def span(numbers: list[int]) -> str:
    """The first and the last of sorted numbers, once if they are one."""
    return " … ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
