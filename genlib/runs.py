"""Runs on disk: begin one or go on with it, read them, choose those that count, load them as one table.

A run is `<results>/<machine>/<experiment>/<weights>-<profile>[-<variant>]/<start time>/run.json`, with its
pictures beside it. Folders are only ever added. record.py says what a record holds.
"""
import json
import os
import re
import warnings as python_warnings
from datetime import UTC, datetime
from pathlib import Path

from genlib.archives import run_files
from genlib.files import explain_storage, hold
from genlib.record import KEY, SCHEMA, Iteration, Machine, ModelInfo, Picture, Run

__all__ = ["KEY", "Iteration", "Machine", "ModelInfo", "Picture", "Run", "begin", "facts", "load", "parse", "read", "read_all", "slug",
           "variant_of", "when", "winners"]


def slug(text: str) -> str:
    """"Tesla T4" -> "tesla-t4": lower-case latin letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def variant_of(setting: str, condition="") -> str:
    """A run's variant in a loop over one setting, fit for a folder's name: "batch_size", 4 -> "batch-4"."""
    return re.sub(r"\.\.+|[^\w.,+-]+", "-", f"{setting.removesuffix('_size')}-{condition}")


_used: set[Path] = set()  # results folders that this process has written to


def begin(run: Run, results, iterations: int | None = None) -> Run:
    """Go on with the newest unfinished run of the same machine, versions and settings, or begin a new one.

    A run that is continued keeps its iterations, and `resumed` says so. It is left alone if it has more than
    `iterations` of them already, or if another process is at work on it. Raises OSError if the results folder
    has disappeared since this process used it, as an unmounted drive does.
    """
    results = Path(results)
    with explain_storage(results):
        if results.absolute() in _used:
            os.stat(results)  # making it again would leave an empty folder where the drive belongs
        results.mkdir(parents=True, exist_ok=True)
    _used.add(results.absolute())
    group = results / run.machine.slug / run.experiment / "-".join(filter(None, (run.weights, run.profile, run.variant)))
    if earlier := _unfinished(run, group, iterations):
        return earlier
    run.started = datetime.now(UTC).isoformat(timespec="microseconds")
    stem = run.started[:19].replace(":", "-")
    for number in range(1, 1000):
        run.folder = group / (stem if number == 1 else f"{stem}_{number:03}")
        try:
            run.folder.mkdir(parents=True)
            hold(run.folder)
            break
        except FileExistsError:
            continue
    run.save()
    return run


def _unfinished(run: Run, group: Path, iterations: int | None) -> Run | None:
    for path in sorted(group.glob("*/run.json"), reverse=True):
        try:
            earlier = read(path)
        except (ValueError, OSError):
            continue  # load() names it; here it only matters that it cannot be continued
        too_many = iterations is not None and len(earlier.iterations) > iterations
        if earlier.finished is None and not too_many and _same(earlier, run) and hold(earlier.folder):
            earlier.resumed, earlier.warmup = True, []
            return earlier
    return None


def _same(a: Run, b: Run) -> bool:
    def identity(run):
        model = run.model and (run.model.name, run.model.source, run.model.revision, run.model.sha256, run.model.dtype, run.model.switches)
        m = run.machine
        speed = (m.threads, m.precision, m.cuda, m.power_limit_w, m.cpu_limit)  # a user may change these between runs
        return (run.method, run.settings, model, m.device, m.driver, m.python, m.packages, m.commit, speed)
    return identity(_plain(a)) == identity(_plain(b))


def _plain(run: Run) -> Run:
    return parse(run.to_json())  # so that tuples are lists, as in a run that was read from disk


def parse(text: str | bytes) -> Run:
    """The run in the text of a run.json.

    Raises ValueError, in one sentence, if it is broken, incomplete, or of an older or newer genlib.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not valid JSON ({error}); it was cut off or edited: delete it or restore it") from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        remedy = "update genlib" if isinstance(schema, int) and schema > SCHEMA else "measure again with this genlib"
        raise ValueError(f"its schema is {schema!r}, and this genlib reads {SCHEMA}: {remedy}")
    try:
        return TypeAdapter(Run).validate_python(record)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"its {'.'.join(map(str, first['loc']))} is wrong ({first['msg']}): delete it or measure again") from None


def read(path) -> Run:
    """The run in a run.json. Raises ValueError, naming the file, as `parse` does."""
    path = Path(path)
    try:
        run = parse(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    run.folder = path.parent
    return run


def read_all(*folders, reference=None) -> list[Run]:
    """The finished runs that count (see `winners`) among those below the folders, by experiment and machine.

    A .zip of results, given or lying in a folder, is unpacked beside itself and read too. Runs below
    `reference` are there to compare with, and never stand in for others. What cannot be read is skipped with
    a warning.
    """
    found, sources = [], [(folder, False) for folder in folders] + [(reference, True)] * (reference is not None)
    files = {path.resolve(): (path, archive, flag) for source, flag in reversed(sources) for path, archive in run_files(Path(source))}
    for path, archive, is_reference in files.values():  # each once, though its folder may be given twice
        try:
            run = read(path)
        except (ValueError, OSError) as error:
            python_warnings.warn(f"skipped {error}", stacklevel=2)
            continue
        run.reference, run.archive = is_reference, archive
        if run.finished is not None and run.iterations:
            found.append(run)
    return sorted(winners(found), key=lambda run: (run.experiment, run.machine.slug, *run.key))


def winners(found: list[Run]) -> list[Run]:
    """For each key the run that counts: one's own rather than an archive's, and of several the one started
    last.

    If two started at the same time, or one in the future, the time of its run.json decides, and a warning
    says so. Reference runs have keys of their own.
    """
    best: dict[tuple, tuple[tuple, Run]] = {}
    for run in found:
        if run.start > datetime.now(UTC):
            python_warnings.warn(f"{run.folder} claims to have started in the future ({run.started}): the time of its file counts",
                                 stacklevel=3)
        rank = run.archive is None, when(run), _written(run)
        other_rank, other = best.setdefault(run.key, (rank, run))
        if rank[:2] == other_rank[:2] and run.to_json() != other.to_json():
            python_warnings.warn(f"{run.folder} and {other.folder} started at the same time: the file that was written last counts",
                                 stacklevel=3)
        if rank > other_rank:
            best[run.key] = rank, run
    return [run for _, run in best.values()]


def when(run: Run) -> float:
    """When a run started (seconds since 1970): by its file if it claims the future, 0 without a date."""
    if run.start > datetime.now(UTC):
        return _written(run)
    return max(0.0, run.start.timestamp()) if run.start.year >= 1970 else 0.0


def _written(run: Run) -> float:
    return (run.folder / "run.json").stat().st_mtime if run.folder else 0.0


def load(*folders, reference=None):
    """The runs of `read_all` as one long table with a row for each iteration.

    Columns: those of `facts`; iteration (from 1); the fields of Iteration, with its pictures as `images`
    (their paths) and `image` (the first). Missing values are NaN. Without runs there are no rows.
    """
    import pandas as pd

    rows = [row for run in read_all(*folders, reference=reference) for row in _rows(run)]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(next(_rows(Run("", Machine(""), iterations=[Iteration()])))))


def facts(run: Run) -> dict:
    """What is the same for all iterations of a run.

    KEY; device, cores and the machine's rates; start and folder; the instrument's warnings; first_image_s
    (the first warm-up's time); flops_per_image, parameters, weights_bytes, load_time_s; `quality.<name>`.
    """
    model, machine = run.model, run.machine
    return dict(zip(KEY, run.key, strict=True)) | {
        "device": machine.device or machine.slug, "cores": machine.cores or machine.threads,
        "matmul_flops_per_s": machine.matmul_flops_per_s, "bandwidth_bytes_per_s": machine.bandwidth_bytes_per_s,
        "started": run.started, "folder": str(run.folder),
        "warnings": "; ".join(run.warnings), "first_image_s": run.warmup[0].time_s if run.warmup and not run.warmup[0].error else None,
        "flops_per_image": run.flops_per_image, "parameters": model and sum(model.parameters.values()),
        "weights_bytes": model and sum(model.bytes.values()), "load_time_s": model and model.load_time_s,
    } | {f"quality.{name}": value for name, value in run.quality.items()}


def _rows(run: Run):
    shared = facts(run)
    for number, iteration in enumerate(run.iterations, 1):
        values = {name: getattr(iteration, name) for name in Iteration.__dataclass_fields__ if name != "images"}
        files = [str(run.folder / picture.file) for picture in iteration.images]
        yield shared | {"iteration": number} | values | {"image": files[0] if files else None, "images": files}
