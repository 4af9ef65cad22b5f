"""Look for records and archives that make their readers do anything but show them or refuse them in a line.

    python tests/fuzz_records.py 100000 [SEED]

It changes good ones (values, types, structure, bytes) and reads folders of many, as a report does. It stops
at the first folder that ends in a traceback, has a line that says nothing or could turn a terminal's text
around, writes outside itself, or takes a minute or a gigabyte.
"""
import copy
import json
import random
import resource
import signal
import sys
import tempfile
import warnings
from pathlib import Path

import hostile

from genlib import runs
from genlib.report import Report
from genlib.report.tables import TABLES

BATCH, SECONDS, BYTES = 250, 60, 2**30  # records in a folder; the most time and memory that they may take
NUMBERS = [0, -1, 1, 0.5, 1e-9, 1e18, 1e30, 1e308, 5e-324, 2**31, 2**63, 10**400, float("nan"), float("inf"), -float("inf"), True, None]
NAMES = ["run.json", "a/run.json", "../run.json", "/run.json", "a\\run.json", "C:run.json", "a/iteration_1.png", "run.json/",
         "run.json/run.json", "x.png/run.json", "\u202e/run.json", "NUL/run.json", "a" * 300 + "/run.json", "genlib/__init__.py",
         "a/../../b/run.json"]


def places(value, place=()):
    """Every place in a record, with its value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*place, key)
        yield from places(item, (*place, key))


def at(made, place):
    for key in place:
        made = made[key]
    return made


def change(made: dict, chance: random.Random) -> None:
    """Change one place of a record."""
    *way, last = chance.choice(list(places(made)))
    inside, other = at(made, way), at(made, chance.choice(list(places(made))))
    kind = chance.randrange(8)
    if kind < 3:
        inside[last] = chance.choice(NUMBERS)
    elif kind == 3:
        inside[last] = chance.choice(list(hostile.TEXTS.values()))
    elif kind == 4:
        inside[last] = copy.deepcopy(other)
    elif kind == 5:
        inside[last] = [inside[last]] * chance.choice([0, 1, 2, 300])
    elif kind == 6:
        del inside[last]
    elif isinstance(inside, dict):
        inside[chance.choice([*hostile.TEXTS.values(), last])] = inside.pop(last)


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bytes with some of them changed, left out or doubled."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(data) + 1)
        end = start + chance.choice([0, 1, 2, 8, 100])
        data = data[:start] + chance.choice([b"", b"\0", b"\xff\xff", b"[", b'"', b"9" * 20, data[start:end] * 2]) + data[end:]
    return data


def a_record(chance: random.Random) -> bytes:
    made = chance.choice([hostile.record, lambda: hostile.with_text(chance.choice(list(hostile.TEXTS.values())))])()
    made["experiment"] = chance.choice([made["experiment"], "stable-diffusion", "stylegan2-ada", "vae-as-in-thesis", "vae-round-trip"])
    made["variant"] = chance.choice(["", "", "batch-2", "steps-5", "precision-bfloat16", made["variant"]])
    made["settings"] |= {chance.choice(["steps", "batch_size", "resolution", "size"]): chance.choice([1, 2, 8, 64])}
    for _ in range(chance.randint(0, 3)):
        change(made, chance)
    data = json.dumps(made).encode()
    return changed_bytes(data, chance) if chance.random() < 0.2 else data


def an_archive(path: Path, chance: random.Random) -> None:
    members = {chance.choice(NAMES): chance.choice([a_record(chance), hostile.png()]) for _ in range(3)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        data = hostile.archive(path, members, chance.choice([0, 8])).read_bytes()
    if chance.random() < 0.7:
        path.write_bytes(changed_bytes(data, chance))


def read(folder: Path, chance: random.Random) -> int:
    """Read a folder as a report does; the number of runs."""
    df = runs.load(folder)
    if df.empty:
        return 0
    report = Report(folder, language=chance.choice(["en", "uk"]))
    group = report.groups.iloc[chance.randrange(len(report.groups))]
    report = Report(folder, **group[["machine", "weights", "profile"]])
    for kind in TABLES:
        report.table(kind.name)._repr_html_()
    report.doubts(), report.conclusions()
    return df["folder"].nunique()


def fuzz(number: int = 100_000, seed: int = 0) -> dict[str, int]:
    """Read so many changed records, a tenth as many archives; how many they were, and the runs shown."""
    counts = {"records": 0, "archives": 0, "runs shown": 0}
    signal.signal(signal.SIGPROF, _too_slow)
    for batch in range(seed, seed + -(-number // BATCH)):
        chance = random.Random(batch)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "in", "results")
            for i in range(BATCH):
                hostile.save(folder / str(i), a_record(chance), hostile.png())
            for i in range(BATCH // 10):
                an_archive(folder / f"{i}.zip", chance)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                with warnings.catch_warnings(record=True) as said:
                    warnings.simplefilter("always")
                    counts["runs shown"] += read(folder, chance)
            except BaseException:
                print(f"batch {batch}: python tests/fuzz_records.py 1 {batch} shows it again", file=sys.stderr)
                raise
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            lines = [str(line.message) for line in said if line.category is UserWarning]
            assert all(20 < len(line) < 1200 and line.isprintable() for line in lines), f"batch {batch}: {lines}"
            assert [path.name for path in Path(place).rglob("*") if folder not in (path, *path.parents)] == ["in"], f"batch {batch}"
            assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES, f"batch {batch}"
        counts["records"] += BATCH
        counts["archives"] += BATCH // 10
        if counts["records"] % 10_000 == 0:
            print(counts, flush=True)
    return counts


def _too_slow(*_):
    raise TimeoutError(f"it takes more than {SECONDS} s of a processor")


if __name__ == "__main__":
    print(fuzz(*[int(argument) for argument in sys.argv[1:3]]))
