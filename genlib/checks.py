"""What a record may hold, checked when it is read: types, lengths, ranges, and text that can be written."""
import json
import math
from dataclasses import fields
from functools import cache

from genlib.lines import printable
from genlib.record import NOT_WRITTEN, READINGS, SCHEMA, Run

RECORD_BYTES = 16 * 1024**2
ITERATIONS = 10_000  # in a run, and entries of any other list
NAMES = 200  # of values in a collection, such as settings
NAME, TEXT = 4000, 100_000  # characters of what a run goes by, and of any other text
DEPTH = 20  # of collections in one another
LARGEST = 1e30  # number of any kind
SHORT = {("experiment",), ("variant",), ("method",), ("profile",), ("machine", "slug"), ("model", "name"), ("model", "dtype")}
NEVER_EMPTY = {("experiment",), ("machine", "slug")}
USUAL = (0, 1e19)  # between these lies a number that figures are made of, but for
RANGES = {
    "time_s": (1e-9, 1e9), "temperature_start_c": (-300, 1e4), "temperature_c": (-300, 1e4), "load_ram_bytes": (-1e18, 1e18),
    "flops_per_image": (0, 1e27), "matmul_flops_per_s": (1, 1e27), "bandwidth_bytes_per_s": (1, 1e27)}


def parse(text: str | bytes, remedy: str = "delete it or measure again") -> Run:
    """The run in the text of a run.json.

    Raises ValueError, in one sentence that names the field, if the record is broken, incomplete, implausible,
    or of an older or newer genlib; `remedy` ends it where a field is wrong.
    """
    run = read_as(Run, text, SCHEMA, remedy, NOT_WRITTEN)
    for place, value in _numbers(run):
        low, high = RANGES.get(place[-1], USUAL)
        if value is not None and not low <= value <= high:
            raise wrong(place, f"it is {value:g}, and must lie between {low:g} and {high:g}", remedy)
    return run


def read_as(kind: type, text: str | bytes, schema: int, remedy: str, left_out: tuple[str, ...] = ()):
    """The record of a dataclass in a text in JSON: its types, lengths and sizes checked, without some fields.

    Raises ValueError as `parse`.
    """
    from pydantic import ValidationError

    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = printable(str(error), 200)
        raise ValueError(f"it is not valid JSON ({reason}); it was cut off or edited: delete it or restore it") from None
    found = record.get("schema") if isinstance(record, dict) else None
    if found != schema:
        remedy = "update genlib" if isinstance(found, int) and found > schema else "measure again with this genlib"
        raise ValueError(f"its schema is {printable(repr(found), 40)}, and this genlib reads {schema}: {remedy}")
    record = {name: value for name, value in record.items() if name not in left_out}
    if fault := _fault(record, ()):
        raise wrong(*fault, remedy)
    try:
        return reader(kind).validate_json(json.dumps(record), strict=True)  # strict: neither true nor "1" is a number
    except ValidationError as error:
        first = error.errors()[0]
        raise wrong(first["loc"], f"{first['msg']}, and it is {printable(repr(first['input']), 60)}", remedy) from None


@cache
def reader(kind: type):
    """What reads a dataclass's records; making it takes ten times as long as reading one, and 8 MB."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def wrong(place, why: str, remedy: str) -> ValueError:
    """What is raised for a field that is wrong."""
    return ValueError(f"its {printable('.'.join(map(str, place)), 100)} is wrong ({printable(why, 300)}): {remedy}")


def _fault(value, place: tuple) -> tuple[tuple, str] | None:
    """Where in a record something is too long, too large, too deep or cannot be written, and why."""
    if isinstance(value, str):
        return _fault_of_text(value, place)
    if isinstance(value, (int, float)):
        fits = abs(value) <= LARGEST or _may_be_endless(value, place)
        return None if fits else (place, f"it is {_short(value)}, which is no plausible number")
    if not isinstance(value, (list, dict)):
        return None
    most = ITERATIONS if isinstance(value, list) else NAMES
    if len(value) > most:
        return place, f"it has {len(value)} entries, and at most {most} are read"
    if len(place) > DEPTH:
        return place, f"it is nested more than {DEPTH} deep"
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        inside = (*place, key)
        if fault := isinstance(key, str) and _fault_of_text(key, inside) or _fault(item, inside):
            return fault
    return None


def _fault_of_text(text: str, place: tuple) -> tuple[tuple, str] | None:
    most = NAME if place in SHORT else TEXT
    if len(text) > most:
        return place, f"it has {len(text)} characters, and at most {most} are read"
    if not text and place in NEVER_EMPTY:
        return place, "it is empty"
    try:
        text.encode()
    except UnicodeEncodeError:
        return place, "it has half a character, which cannot be written"
    return None


def _may_be_endless(value, place: tuple) -> bool:
    """Whether it is a quality that may be infinite, as PSNR of two equal pictures, or NaN, of no pictures."""
    return place[0] == "quality" and isinstance(value, float) and not math.isfinite(value)


def _short(value) -> str:
    return f"{value:g}" if isinstance(value, float) else f"a number of {value.bit_length()} bits"


def _numbers(run: Run):
    """Every number that figures are made of, with its place."""
    machine, model = run.machine, run.model
    for kind in "warmup", "iterations":
        for i, iteration in enumerate(getattr(run, kind)):
            yield from (((kind, i, name), getattr(iteration, name)) for name in READINGS)
    yield ("flops_per_image",), run.flops_per_image
    for field in fields(machine):
        if isinstance(value := getattr(machine, field.name), (int, float)):
            yield ("machine", field.name), value
    if model:
        once = "load_time_s", "download_time_s", "ram_before_bytes", "load_ram_bytes"
        yield from ((("model", name), getattr(model, name)) for name in once)
        for kind in "parameters", "bytes":
            yield from ((("model", kind, name), value) for name, value in getattr(model, kind).items())
