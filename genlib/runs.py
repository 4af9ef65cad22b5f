"""Runs on disk: begin one or go on with it, read them, choose those that count, load them as one table.

A run is `<results>/<machine>/<experiment>/<weights>-<profile>[-<variant>]/<start time>/run.json`, with its
pictures beside it. Folders are only ever added. record.py says what a record holds.
"""
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath

from genlib import pictures, sessions
from genlib.archives import run_files
from genlib.checks import ITERATIONS, RECORD_BYTES, parse
from genlib.files import explain_storage, hold, read_regular
from genlib.lines import say
from genlib.record import KEY, Iteration, Machine, ModelInfo, Picture, Run
from genlib.remarks import CLOCK_SET_BACK

__all__ = ["KEY", "Iteration", "Machine", "ModelInfo", "Picture", "Run", "begin", "counted", "facts", "finished", "group_of", "load",
           "odd_pictures", "parse", "read", "read_all", "set_aside", "slug", "variant_of"]


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
    `iterations` of them already, if its pictures are not all there, or if another process is at work on it.
    A new run starts after all earlier ones in its folder: where the clock was set back since, a warning of
    the run says so. Raises ValueError for names that are no folders' names and for what could not be read
    back, such as too many iterations, OSError if the results folder has disappeared since this process used
    it, as an unmounted drive does.
    """
    results = Path(results)
    names = group_of(run)
    if odd := [name for name in names if not pictures.is_plain(name)]:
        raise ValueError(f"{odd[0]!r} is to be a folder's name: use letters, digits, dots and dashes, and fewer than 256")
    if iterations is not None and iterations > ITERATIONS:
        raise ValueError(f"iterations is {iterations}: a run has at most {ITERATIONS}")
    as_read = _as_read_back(run)
    with explain_storage(results):
        if results.absolute() in _used:
            os.stat(results)  # making it again would leave an empty folder where the drive belongs
        group = results.joinpath(*names)
        group.mkdir(parents=True, exist_ok=True)
    _used.add(results.absolute())
    before = _read_group(group)
    if earlier := _unfinished(as_read, before, iterations):
        return earlier
    _start(run, before)
    stem = run.started[:19].replace(":", "-")
    for number in range(1, 1000):
        run.folder = group / (stem if number == 1 else f"{stem}_{number:03}")
        try:
            with explain_storage(results):
                run.folder.mkdir()
            hold(run.folder)
            break
        except FileExistsError:
            continue
    run.save()
    return run


def group_of(run: Run) -> tuple[str, str, str]:
    """The names of the folders, below the results, in which the runs of its kind lie."""
    return run.machine.slug, run.experiment, "-".join(filter(None, (run.weights, run.profile, run.variant)))


def _read_group(group: Path) -> list[Run]:
    """The runs in a folder of runs of one kind, newest first; what is a link or cannot be read is no run."""
    found = []
    for path in sorted(group.glob("*/run.json"), reverse=True):
        try:
            if not path.parent.is_symlink():  # going on there would write elsewhere
                found.append(read(path))
        except (ValueError, OSError):
            continue  # load() names it; here it only matters that it cannot be continued
    return found


def _start(run: Run, before: list[Run]) -> None:
    """Start a run now, or just after the newest of those before it where the clock was set back since."""
    now = datetime.now(UTC)
    run.started = now.isoformat(timespec="microseconds")
    newest = max(map(sessions.when, before), default=0.0)
    if newest >= now.timestamp():
        run.started = datetime.fromtimestamp(newest + 2, UTC).isoformat(timespec="microseconds")  # some disks' times are even seconds
        run.warnings.append(CLOCK_SET_BACK.format(now=f"{now:%Y-%m-%d %H:%M}"))


def _unfinished(run: Run, before: list[Run], iterations: int | None) -> Run | None:
    for earlier in before:
        too_many = iterations is not None and len(earlier.iterations) > iterations
        if earlier.finished is None and not too_many and _same(earlier, run) and not any(odd_pictures(earlier)) and hold(earlier.folder):
            earlier.resumed, earlier.warmup = True, []
            known = None not in (earlier.loaded_before, run.loaded_before)
            earlier.loaded_before = list(dict.fromkeys(earlier.loaded_before + run.loaded_before)) if known else None
            if run.model:  # the name of a folder, where an earlier version wrote its whole path
                earlier.model.source, earlier.model.sha256 = run.model.source, run.model.sha256
            return earlier
    return None


def odd_pictures(run: Run) -> Iterator[str]:
    """What is wrong with each picture that the record names: it is missing, or is not as it was drawn."""
    for picture in (picture for iteration in run.iterations for picture in iteration.images):
        path = pictures.beside(run.folder, picture.file)
        try:
            data = path and read_regular(path, pictures.PICTURE_BYTES)
        except (ValueError, OSError):
            data = b""
        if data is None:
            yield f"{picture.file} is not there, or is no plain .png file"
        elif not data.startswith(pictures.SIGNATURE) or hashlib.sha256(data).hexdigest() != picture.sha256:
            yield f"{picture.file} is not the picture that was drawn: its bytes have changed"


def _same(earlier: Run, run: Run) -> bool:
    def identity(run):
        model = run.model and (run.model.name, run.model.revision, run.model.dtype, run.model.switches)
        m = run.machine
        speed = (m.threads, m.waiting, m.precision, m.cuda, m.power_limit_w, m.cpu_limit)  # a user may change these between runs
        return (run.method, run.settings, model, m.device, m.driver, m.python, m.packages, m.commit, speed)
    return identity(earlier) == identity(run) and (run.model is None or _same_weights(earlier.model, run.model))


def _same_weights(earlier: ModelInfo, model: ModelInfo) -> bool:
    """Whether two models are of one source; earlier versions wrote a folder's whole path, and no sha256."""
    if (earlier.source, earlier.sha256) == (model.source, model.sha256):
        return True
    path = next((path for path in map(lambda kind: kind(earlier.source), (PurePosixPath, PureWindowsPath)) if path.is_absolute()), None)
    return path is not None and path.name == PurePosixPath(model.source).name and earlier.sha256 in (None, model.sha256)


def _as_read_back(run: Run) -> Run:
    """The run as its record will be read, with lists for tuples. Raises ValueError if that cannot be."""
    try:
        return parse(run.to_json(), remedy="change it")
    except TypeError as error:  # of what JSON does not know
        raise ValueError(f"a setting is no number, text or list of them ({error}): convert it with int(), float() or str()") from None
    except ValueError as error:
        raise ValueError(f"the record of this run could not be read back: {error}") from None


def read(path) -> Run:
    """The run in a run.json of at most 16 MB. Raises ValueError, naming the file, as `parse` does."""
    path = Path(path)
    data = read_regular(path, RECORD_BYTES)
    try:
        run = parse(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    run.folder = path.parent
    return run


def read_all(*folders, reference=None) -> list[Run]:
    """The runs that count (see `counted`) among the finished ones below the folders (see `finished`)."""
    return counted(finished(*folders, reference=reference))


def counted(found: list[Run]) -> list[Run]:
    """Of finished runs those that count (see `sessions.counting`), by experiment and machine.

    A warning names pictures that do not lie beside their record.
    """
    those = sorted(sessions.counting(found), key=lambda run: (run.experiment, run.machine.slug, *run.key))
    _say_missing_pictures(those)
    return those


def finished(*folders, reference=None) -> list[Run]:
    """All finished runs with iterations below the folders, those that were set aside among them.

    A .zip of results, given or lying in a folder, is unpacked and read too. Runs below `reference` are there
    to compare with, and never stand in for others. What cannot be read is skipped with a warning.
    """
    found, sources = [], [(folder, False) for folder in folders] + [(reference, True)] * (reference is not None)
    files = {record.path.resolve(): (record, Path(source), is_reference) for source, is_reference in reversed(sources)
             for record in run_files(Path(source))}
    for record, source, is_reference in files.values():  # each once, though its folder may be given twice
        try:
            run = read(record.path)
        except (ValueError, OSError) as error:
            say(f"skipped {error if str(record.path) in str(error) else f'{record.path}: {error}'}")
            continue
        run.reference, run.archive, run.origin = is_reference, record.archive, record.origin or _origin(run, source)
        if run.finished is not None and run.iterations:
            found.append(run)
    own = {(run.key[1:], run.started) for run in found if not run.reference}
    return [run for run in found if not run.reference or (run.key[1:], run.started) not in own]  # no copy of one's own


def _origin(run: Run, source: Path) -> str:
    """The results folder that a run lies in: its way from `source`, or its name if it is that or above."""
    folder = run.folder.absolute()
    if len(folder.parts) > 4 and folder.parts[-4:-2] == (run.machine.slug, run.experiment):
        folder = folder.parents[3]
    above = source.absolute()
    return folder.relative_to(above).as_posix() if folder.is_relative_to(above) and folder != above else folder.resolve().name


def _say_missing_pictures(counted: list[Run]) -> None:
    missing = [(run, picture.file) for run in counted for iteration in run.iterations for picture in iteration.images
               if not pictures.beside(run.folder, picture.file)]
    if missing:
        run, file = missing[0]
        say(f"left out pictures that records name ({len(missing)}), such as {file!r:.60} of {run.folder}: they are not there, or are no "
            "plain .png files beside the record; put them there if you have them")


def set_aside(folder, why: str | None) -> Run:
    """Let the run in a folder count no more, for a reason that reports then state; None takes it back.

    What was measured stays as it is. Raises ValueError for a reason without a letter, one too long to be read
    back, a folder without a run, or what there is nothing of to take back.
    """
    folder = Path(folder)
    if why is not None and not why.strip():
        raise ValueError("why is empty: say why the run is set aside, since reports state it")
    if not (folder / "run.json").is_file():
        raise ValueError(f"{folder} has no run.json: give the folder of one run, as `genlib runs` lists them")
    run = read(folder / "run.json")
    if run.set_aside is why is None:
        raise ValueError(f"{folder} is not set aside: it counts already")
    run.set_aside = why and why.strip()
    _as_read_back(run)
    run.save()
    return run


def load(*folders, reference=None):
    """The runs of `read_all` in the newest environment of each key, as one long table of iterations.

    Columns: those of `facts`; session and iteration (both from 1); the fields of Iteration, with its pictures
    as `images` (their paths) and `image` (the first). Missing values are NaN. Without runs there are no rows.
    """
    import pandas as pd

    rows = [row for pool in sessions.pools(sessions.newest(read_all(*folders, reference=reference)))
            for number, run in enumerate(pool, 1) for row in _rows(run, number)]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(next(_rows(Run("", Machine(""), iterations=[Iteration()]), 1))))


def _as_text(path) -> str:
    """A path as UTF-8 can hold it: pandas may keep its texts in pyarrow, which takes no others."""
    return str(path).encode(errors="backslashreplace").decode()


def facts(run: Run) -> dict:
    """What is the same for all iterations of a run.

    KEY; device, cores and the machine's rates; start ("" for what is no date) and folder; origin, the results
    folder or archive that it is from; the instrument's warnings; first_image_s (the first warm-up's time);
    flops_per_image, parameters, weights_bytes, load_time_s, download_time_s, ram_before_bytes;
    `quality.<name>`.
    """
    model, machine = run.model, run.machine
    return dict(zip(KEY, run.key, strict=True)) | {
        "device": machine.device or machine.slug, "cores": machine.cores or machine.threads,
        "matmul_flops_per_s": machine.matmul_flops_per_s, "bandwidth_bytes_per_s": machine.bandwidth_bytes_per_s,
        "started": run.started if run.start.year >= 1970 else "", "folder": _as_text(run.folder), "origin": _as_text(run.origin),
        "warnings": "; ".join(run.warnings), "first_image_s": run.warmup[0].time_s if run.warmup and not run.warmup[0].error else None,
        "flops_per_image": run.flops_per_image, "parameters": model and sum(model.parameters.values()) or None,
        "weights_bytes": model and sum(model.bytes.values()) or None, "load_time_s": model and model.load_time_s,
        "download_time_s": model and model.download_time_s,
        "ram_before_bytes": model and model.ram_before_bytes,
    } | {f"quality.{name}": value for name, value in run.quality.items()}


def _rows(run: Run, session: int):
    shared = facts(run) | {"session": session}
    for number, iteration in enumerate(run.iterations, 1):
        values = {name: getattr(iteration, name) for name in Iteration.__dataclass_fields__ if name != "images"}
        files = list(map(str, run.pictures_of(iteration)))
        yield shared | {"iteration": number} | values | {"image": files[0] if files else None, "images": files}
