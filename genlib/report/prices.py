"""What an hour of a device costs, from a file of the reader's own."""
import csv
import math
import re

from genlib.files import decimal, read_csv
from genlib.lines import printable

COLUMNS = ("device", "price_per_hour")
FILE_BYTES, MOST = 100_000, 1e6  # that are read; and the highest price


def read(path) -> dict[str, float]:
    """The price of an hour by a part of a device's name, from a CSV file with COLUMNS.

    Raises ValueError or OSError, naming the file and the line, if it is no such file.
    """
    rows, prices = read_csv(path, FILE_BYTES), {}
    try:
        if missing := [name for name in COLUMNS if name not in rows.fieldnames]:
            raise ValueError(f"it has no column {missing[0]!r}: its first line must be {','.join(COLUMNS)}")
        for row in rows:
            if any(row.values()):  # a spreadsheet leaves empty lines
                _add(prices, row, rows)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from None
    return prices


def _add(prices: dict[str, float], row: dict[str, str], rows: csv.DictReader) -> None:
    (device, text), line = (" ".join(row[name].split()) for name in COLUMNS), rows.line_num
    try:
        price = decimal(text, rows)
    except ValueError:
        price = math.nan
    if not device or device.lower() in prices:
        raise ValueError(f"line {line} names {printable(device, 60) or 'no device'}{' again' * bool(device)}: give each device one line")
    if not 0 <= price <= MOST:
        raise ValueError(f"line {line} has {printable(text, 40)!r} as a price: write a number from 0 to {MOST:,.0f}, such as 0.35")
    prices[device.lower()] = price


def name_of(prices: dict[str, float], device: str) -> str | None:
    """The longest of the names whose words are a part of a device's own; None without any."""
    own = " ".join(device.lower().split())
    fitting = [name for name in prices if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", own)]  # A10 is no A100
    return max(fitting, key=len, default=None)
