"""How numbers are written: the decimals are chosen here, the signs by Babel from Unicode's data.

Left to itself, Babel rounds 2.675 to 2.68 although the float is below it, groups thousands, writes 12345 in
three digits as 12300, prints NaN, and has an ASCII minus in Ukrainian. So it gets an exact decimal and a
pattern.
"""
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from math import inf

MISSING = "—"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)  # enough for any float


def number(value, decimals: int, locale: str) -> str:
    """A number with so many decimals; a dash for None and NaN, ∞ for the PSNR of two identical pictures."""
    from babel.numbers import format_decimal

    if is_missing(value):
        return MISSING
    if abs(value) == inf:
        return "∞" if value > 0 else "−∞"
    exact = Decimal(value if isinstance(value, int) else float(value))
    pattern = f"0.{'0' * decimals}" if decimals else "0"
    with localcontext(EXACT):
        rounded = exact.quantize(Decimal(1).scaleb(-decimals)) + 0  # + 0: no minus before a zero
        return format_decimal(rounded, format=pattern, locale=locale).replace("-", "−")


def significant(value, digits: int, locale: str) -> str:
    """A number with so many significant digits, its whole part never shortened, never in powers of ten."""
    return number(value, decimals_of(value, digits), locale)


def decimals_of(value, digits: int) -> int:
    """How many decimals show so many significant digits of a value."""
    if is_missing(value) or value == 0 or abs(value) == inf:
        return 0
    rounded = Context(prec=digits).create_decimal(value if isinstance(value, int) else float(value))  # 0.0998 has two digits as 0.10
    return max(0, digits - 1 - rounded.adjusted())


def grouped(count: float) -> str:
    """A whole number with its thousands apart by a thin space that does not break."""
    return f"{count:,.0f}".replace(",", THIN_SPACE)


def span(numbers: list) -> str:
    """The first and the last of sorted numbers, once if they are one."""
    return " … ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))


def is_missing(value) -> bool:
    """Whether it is None or NaN."""
    return value is None or value != value
