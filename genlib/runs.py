"""The record of a run: what was measured, on which machine, of which model; saved after every iteration, loaded as one table.

A run lies in `<results>/<machine>/<experiment>/<weights>-<profile>[-<variant>]/<start time>/run.json`, its pictures beside it.
Folders are only ever added. SI units; raw values; what a machine cannot tell is null, never 0.
"""
import hashlib
import json
import os
import re
import warnings as python_warnings
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from genlib.files import explain_full_disk, hold, release, run_files, write_atomically

SCHEMA = 1
# Runs that differ in one of these are never averaged.
KEY = ["reference", "machine", "experiment", "variant", "weights", "profile", "method", "settings", "model", "dtype"]


@dataclass
class ModelInfo:
    """What was loaded: every loader leaves one as `.info` on the model."""
    name: str  # as tables print it
    weights: Literal["demo", "random", "published"]
    profile: str  # thesis or tuned
    source: str  # Hub name, address, folder, or the seed of random weights
    revision: str | None = None
    sha256: str | None = None
    dtype: str = "float32"
    parameters: dict[str, int] = field(default_factory=dict)  # by component
    bytes: dict[str, int] = field(default_factory=dict)  # of the weights, by component
    load_time_s: float | None = None
    load_ram_bytes: int | None = None  # growth of RSS: mapped weights come in later, at the first image
    switches: dict[str, bool] = field(default_factory=dict)


@dataclass
class Picture:
    """A PNG beside the run.json."""
    file: str
    sha256: str


@dataclass
class Iteration:
    """One repetition of the call that is measured."""
    time_s: float | None = None
    cpu_time_s: float | None = None  # of the whole process, all threads
    vram_peak_bytes: int | None = None  # the allocator's peak since the start, with what CUDA graphs keep; on Apple's GPU a sample's
    vram_reserved_bytes: int | None = None  # what the allocator held from the driver, at its peak
    vram_device_bytes: int | None = None  # in use on the whole device, all processes, highest sample
    vram_process_start_bytes: int | None = None  # this process's share, read before the call
    vram_process_bytes: int | None = None  # the same, read after it
    vram_source: str | None = None  # who told vram_device_bytes: nvml, GPUtil, torch
    ram_bytes: int | None = None  # RSS at the end
    ram_peak_bytes: int | None = None  # highest RSS while it ran
    ram_private_bytes: int | None = None  # RSS that no file backs and nobody shares: without mapped weights
    vram_others_bytes: int | None = None  # in use on the device beyond this process's share when the call began
    energy_j: float | None = None  # of the whole GPU; its counter moves every 20 to 100 ms
    temperature_start_c: float | None = None
    temperature_c: float | None = None  # of the GPU after the call
    clock_start_hz: float | None = None
    clock_hz: float | None = None  # of the GPU's multiprocessors after the call
    throttled: list[str] | None = None  # reasons, empty if it was not
    other_cpu_s: float | None = None  # CPU time that other processes took meanwhile; None for less than 0.2 s
    swapped_bytes: int | None = None  # moved between memory and swap meanwhile, by the whole machine
    images: list[Picture] = field(default_factory=list)
    error: str | None = None  # why there is no picture: out of memory ...


@dataclass
class Machine:
    """The machine, described well enough to explain a difference."""
    slug: str
    device: str | None = None
    driver: str | None = None
    cuda: str | None = None
    vram_bytes: int | None = None
    power_limit_w: float | None = None
    cpu: str | None = None
    cores: int | None = None
    threads: int | None = None  # that torch uses
    ram_bytes: int | None = None
    ram_limit_bytes: int | None = None  # a container's
    cpu_limit: float | None = None  # a container's, in processor cores
    os: str | None = None
    container: str | None = None
    python: str | None = None
    packages: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    precision: dict[str, bool | str] = field(default_factory=dict)  # flags such as allow_tf32
    matmul_flops_per_s: float | None = None  # of a large matrix product in the model's dtype, in the same process
    bandwidth_bytes_per_s: float | None = None  # of a large copy, reading and writing counted


@dataclass
class Run:
    """One experiment: the warm-up, then the iterations that count."""
    experiment: str
    machine: Machine
    model: ModelInfo | None = None
    settings: dict = field(default_factory=dict)
    variant: str = ""
    method: str = "genlib"
    started: str | None = None
    finished: str | None = None
    resumed: bool = False
    warmup: list[Iteration] = field(default_factory=list)
    iterations: list[Iteration] = field(default_factory=list)
    flops_per_image: float | None = None
    quality: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    weights: Literal["none", "demo", "random", "published"] = "none"  # of the model, repeated here because folders and tables go by it
    profile: str = "none"
    schema: int = SCHEMA
    folder: Path | None = None  # where it lies; not written
    reference: bool = False  # whether it was loaded as one to compare with; not written

    def __post_init__(self):
        if self.model is not None:
            self.weights, self.profile = self.model.weights, self.model.profile

    def table(self):
        """DataFrame in the tables' units: a row an iteration, then mean and standard deviation (ddof=1; n/a for one iteration)."""
        import pandas as pd

        rows = pd.DataFrame({
            "time (s)": [i.time_s for i in self.iterations],
            "VRAM (MB)": [_mb(i.vram_peak_bytes) for i in self.iterations],
            "RAM (MB)": [_mb(i.ram_bytes) for i in self.iterations],
        }, index=pd.Index(range(1, len(self.iterations) + 1), name="iteration"), dtype=float)
        good = rows[[i.error is None for i in self.iterations]]
        summary = pd.DataFrame({"mean": good.mean(), "standard deviation": good.std()}).T
        return pd.concat([rows, summary]).rename_axis("iteration").dropna(axis="columns", how="all").round(3)

    def to_json(self) -> str:
        """The text of run.json."""
        record = asdict(self)
        del record["folder"], record["reference"]
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"

    def save(self) -> None:
        """Write run.json atomically: a kill at any moment leaves the previous one or this one, whole.

        Raises OSError, saying what helps, when the disk is full.
        """
        write_atomically(self.folder / "run.json", self.to_json().encode())

    def finish(self) -> None:
        """Save the run as finished, and let other processes have its folder. Raises OSError as `save`."""
        self.finished = datetime.now(UTC).isoformat(timespec="seconds")
        self.save()
        release(self.folder)

    def save_images(self, images, stem: str) -> list[Picture]:
        """Save PIL images as PNGs named after `stem` beside run.json; nothing for None."""
        pictures = []
        for i, image in enumerate(images or []):
            file = f"{stem}.png" if len(images) == 1 else f"{stem}_{i}.png"
            temporary = self.folder / f".{file}.part"
            with explain_full_disk(self.folder):
                image.save(temporary, format="PNG")
                os.replace(temporary, self.folder / file)
            pictures.append(Picture(file, hashlib.sha256((self.folder / file).read_bytes()).hexdigest()))
        return pictures

    def image_files(self) -> list[Path]:
        """The pictures of the iterations that count, in order. Raises ValueError, saying why, if every iteration failed."""
        if self.iterations and all(i.error for i in self.iterations):
            raise ValueError(f"there are no pictures, since no iteration succeeded ({self.iterations[0].error}): take a smaller batch, "
                             "fewer pixels, or dtype='float16'")
        return [self.folder / p.file for i in self.iterations for p in i.images]


def _mb(number):
    return None if number is None else number / 1024**2


def slug(text: str) -> str:
    """"Tesla T4" -> "tesla-t4": lower-case latin letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def variant_of(setting: str, condition="") -> str:
    """The variant of a run that differs from its experiment's own in one setting: "batch_size", 4 -> "batch-4"."""
    return f"{setting.removesuffix('_size')}-{condition}"


_used: set[Path] = set()  # results folders that this process has written to


def begin(run: Run, results, iterations: int | None = None) -> Run:
    """Give the run its folder: the newest unfinished run of the same machine, versions and settings, else a new one.

    A run that is taken up again keeps its iterations; `resumed` says so. One that has more than `iterations` of them, or that another
    process is at work on, is left alone. Raises OSError if the results folder, used before, has gone: an unmounted drive, mostly.
    """
    results = Path(results)
    with explain_full_disk(results):
        if results.absolute() in _used:
            os.stat(results)  # made anew, an empty folder would stand where the drive has to be mounted again
        results.mkdir(parents=True, exist_ok=True)
    _used.add(results.absolute())
    group = results / run.machine.slug / run.experiment / "-".join(filter(None, (run.weights, run.profile, run.variant)))
    for path in sorted(group.glob("*/run.json"), reverse=True):
        try:
            earlier = read(path)
        except (ValueError, OSError):
            continue  # load() names it; here a run that cannot be read is one that cannot be continued
        too_many = iterations is not None and len(earlier.iterations) > iterations
        if earlier.finished is None and not too_many and _same(earlier, run) and hold(earlier.folder):
            earlier.resumed = True
            earlier.warmup = []
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


def _same(a: Run, b: Run) -> bool:
    def identity(run):
        model = run.model and (run.model.name, run.model.source, run.model.revision, run.model.sha256, run.model.dtype, run.model.switches)
        m = run.machine
        speed = (m.threads, m.precision, m.cuda, m.power_limit_w, m.cpu_limit)  # may be set anew in a kernel that goes on
        return (run.method, run.settings, model, m.device, m.driver, m.python, m.packages, m.commit, speed)
    return identity(_plain(a)) == identity(_plain(b))


def _plain(run: Run) -> Run:
    return parse(run.to_json())  # tuples become lists and so on, as in what was read from disk


def parse(text: str | bytes) -> Run:
    """The run in a run.json's text. Raises ValueError in one sentence: broken, incomplete, of an older or a newer genlib."""
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
    """Every finished run below the folders, the newest of each key (see KEY), in order of experiment and machine.

    A .zip of results, given or lying in a folder, is unpacked beside itself and read too. Those below `reference` are runs to compare
    with: they stay apart from others of the same key. What cannot be read is named in a warning and skipped.
    """
    newest = {}
    sources = [(folder, False) for folder in folders] + [(reference, True)] * (reference is not None)
    for path, is_reference in [(path, flag) for source, flag in sources for path in run_files(Path(source))]:
        try:
            run = read(path)
        except (ValueError, OSError) as error:
            python_warnings.warn(f"skipped {error}", stacklevel=2)
            continue
        if run.finished is None:
            continue
        run.reference = is_reference
        key = _key(run)
        if key not in newest or (run.started or "") >= (newest[key].started or ""):
            newest[key] = run
    return [newest[key] for key in sorted(newest, key=lambda k: (k[2], k[1], *k))]


def _key(run: Run) -> tuple:
    settings = json.dumps(run.settings, sort_keys=True, ensure_ascii=False)
    model = (run.model.name, run.model.dtype) if run.model else ("", "")
    return (run.reference, run.machine.slug, run.experiment, run.variant, run.weights, run.profile, run.method, settings, *model)


def load(*folders, reference=None):
    """One long table of `read_all(*folders, reference=reference)`: a row an iteration.

    Columns: those of KEY; device, cores, matmul_flops_per_s, bandwidth_bytes_per_s; started, folder, warnings (of the instrument);
    first_image_s (the first warm-up's time); flops_per_image, parameters, weights_bytes, load_time_s; `quality.<name>`; iteration (from
    1); the fields of Iteration, for its pictures `images` (their paths) and `image` (the first). Missing values are NaN. No rows if
    there are no runs.
    """
    import pandas as pd

    rows = [row for run in read_all(*folders, reference=reference) for row in _rows(run)]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(next(_rows(Run("", Machine(""), iterations=[Iteration()])))))


def _rows(run: Run):
    model, machine = run.model, run.machine
    shared = dict(zip(KEY, _key(run), strict=True)) | {
        "device": machine.device, "cores": machine.cores or machine.threads, "matmul_flops_per_s": machine.matmul_flops_per_s,
        "bandwidth_bytes_per_s": machine.bandwidth_bytes_per_s, "started": run.started, "folder": str(run.folder),
        "warnings": "; ".join(run.warnings), "first_image_s": run.warmup[0].time_s if run.warmup and not run.warmup[0].error else None,
        "flops_per_image": run.flops_per_image, "parameters": model and sum(model.parameters.values()),
        "weights_bytes": model and sum(model.bytes.values()), "load_time_s": model and model.load_time_s,
    } | {f"quality.{name}": value for name, value in run.quality.items()}
    for number, iteration in enumerate(run.iterations, 1):
        values = {name: getattr(iteration, name) for name in Iteration.__dataclass_fields__ if name != "images"}
        files = [str(run.folder / picture.file) for picture in iteration.images]
        yield shared | {"iteration": number} | values | {"image": files[0] if files else None, "images": files}
