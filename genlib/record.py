"""What the record of a run holds, and how each reading is shown. SI units; raw values; None where unknown."""
import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from genlib import pictures
from genlib.files import release, write_atomically
from genlib.lines import say
from genlib.locale import N_

SCHEMA = 1
# Runs that differ in one of these are never averaged.
KEY = ["reference", "machine", "experiment", "variant", "weights", "profile", "method", "settings", "model", "dtype"]
NOT_WRITTEN = ("folder", "archive", "origin", "displaced", "reference")  # fields that say where a run was read

# What the models say of a picture that shows nothing: the value of DOUBT in the `info` of a PIL picture.
DOUBT = "doubt"
NOT_FINITE = "the picture has values that are NaN or infinite (dtype='float32' helps where those of half precision grow too large)"
BLACKENED = N_("the safety checker turned a picture black, so that it does not show what the model drew: try another prompt or seed")
OUT_OF_MEMORY = "out of memory"

MB = 1024**2
SECONDS, MEGABYTES, J, DB = N_("s", "unit"), N_("MB", "unit"), N_("J", "unit"), N_("dB", "unit")
DEGREES, MHZ, LEVELS = N_("°C", "unit"), N_("MHz", "unit"), N_("levels of 255")
MILLIONS, GFLOP, GFLOP_A_SECOND, PERCENT = N_("millions", "unit"), N_("GFLOP", "unit"), N_("GFLOP/s", "unit"), "%"


@dataclass(frozen=True)
class Reading:
    """How a figure is shown in tables and figures."""
    label: str
    unit: str = ""
    scale: float = 1  # a value of the record divided by it is in `unit`
    digits: int | None = 3  # significant ones; None: whole units
    short: str = ""  # the label where there is no other reading of its kind
    heading: str = ""  # in Table 1, whose columns are the readings that have one
    phrase: str = ""  # in sentences, behind a number of `unit`
    shown: bool = True  # in the table of all readings


def _reading(label: str, unit: str, **how):
    return field(default=None, metadata=vars(Reading(label, unit, **how)))


def _seconds(label: str, **how):
    return _reading(label, SECONDS, **how)


def _megabytes(label: str, **how):
    return _reading(label, MEGABYTES, scale=MB, digits=None, **how)


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
    load_time_s: float | None = None  # without the download
    download_time_s: float | None = None  # of what was not there yet; None where nothing was downloaded, and in earlier records
    ram_before_bytes: int | None = None  # RSS right before it was loaded: of libraries, and of what `Run.loaded_before` left
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
    time_s: float | None = _seconds(N_("Mean time"), short=N_("Time", "reading"), heading=N_("Generation time (s)"))
    cpu_time_s: float | None = _seconds(N_("Processor time"))  # of the whole process, all threads
    # The allocator's peak since the start, with what CUDA graphs keep; on Apple's GPU the highest sample.
    vram_peak_bytes: int | None = _megabytes(
        N_("VRAM, allocator’s peak"), short=N_("VRAM", "reading"), heading=N_("VRAM use (MB)"),
        phrase=N_("of VRAM by the allocator’s peak"))
    vram_reserved_bytes: int | None = _megabytes(N_("VRAM, reserved"))  # the most that the allocator held from the driver
    vram_device_bytes: int | None = _megabytes(N_("VRAM, whole device"))  # by all processes, highest sample
    vram_process_start_bytes: int | None = _megabytes(N_("VRAM, this process, before"), shown=False)
    vram_process_bytes: int | None = _megabytes(N_("VRAM, this process, after"), shown=False)
    vram_source: str | None = None  # who told vram_device_bytes: nvml, GPUtil, torch
    ram_bytes: int | None = _megabytes(  # RSS
        N_("RAM, at the end"), short=N_("RAM", "reading"), heading=N_("RAM use (MB)"))
    ram_peak_bytes: int | None = _megabytes(N_("RAM, peak"))  # highest RSS while it ran
    # RSS that no file backs and nobody shares: without mapped weights.
    ram_private_bytes: int | None = _megabytes(N_("RAM, private"))
    # In use on the device beyond this process's share when the call began.
    vram_others_bytes: int | None = _megabytes(N_("VRAM, other processes"), shown=False)
    energy_j: float | None = _reading(N_("Energy", "reading"), J)  # of the whole GPU; its counter moves every 20 to 100 ms
    temperature_start_c: float | None = _reading(N_("Temperature before"), DEGREES, shown=False)
    temperature_c: float | None = _reading(N_("Temperature after"), DEGREES, shown=False)  # of the GPU
    clock_start_hz: float | None = _reading(N_("Clock before"), MHZ, scale=1e6, shown=False)
    clock_hz: float | None = _reading(N_("Clock after"), MHZ, scale=1e6, shown=False)  # of the GPU's multiprocessors
    throttled: list[str] | None = None  # reasons, empty if it was not
    # CPU time that other processes took meanwhile; None in less than 0.2 s.
    other_cpu_s: float | None = _seconds(N_("Processor time of other processes"), shown=False)
    # Moved between memory and swap meanwhile, by the whole machine.
    swapped_bytes: int | None = _megabytes(N_("Swapped", "reading"), shown=False)
    images: list[Picture] = field(default_factory=list)
    error: str | None = None  # why there is no picture: NOT_FINITE, or OUT_OF_MEMORY and what torch says of it

    @property
    def out_of_memory(self) -> bool:
        """Whether it failed for want of memory."""
        return (self.error or "").startswith(OUT_OF_MEMORY)


WAITING = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY")  # by which OpenMP's libraries, GNU's first, let idle threads wait


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
    waiting: dict[str, str] | None = None  # the variables of WAITING that were set; without any, idle threads spin
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


READINGS: dict[str, Reading] = {f.name: Reading(**f.metadata) for f in fields(Iteration) if f.metadata}
SHOWN = [name for name, reading in READINGS.items() if reading.shown]
TABLE1 = [name for name, reading in READINGS.items() if reading.heading]
ONCE = {  # what `runs.facts` and `summary.summarize` know of a run beside the means of its readings
    "first_image_s": Reading(N_("First image"), SECONDS),
    "ram_above_bytes": Reading(N_("RAM, added with the model"), MEGABYTES, scale=MB, digits=None,
                               phrase=N_("of RAM above that of the libraries")),
    "time_s_median": Reading(N_("Median time"), SECONDS),
    "time_s_cv": Reading(N_("Coefficient of variation"), PERCENT, scale=0.01),
    "flops_per_image": Reading(N_("Work", "reading"), GFLOP, scale=1e9),
    "flops_per_s": Reading(N_("Rate reached"), GFLOP_A_SECOND, scale=1e9),
    "machine_share": Reading(N_("Share of the machine’s rate"), PERCENT, scale=0.01),
    "load_time_s": Reading(N_("Load time"), SECONDS),
    "parameters": Reading(N_("Parameters", "reading"), MILLIONS, scale=1e6),
    "weights_bytes": Reading(N_("Weights", "reading"), MEGABYTES, scale=MB),
}
SAME_DB = 45  # PSNR from which on this project calls two pictures the same
QUALITIES = {  # the figures that `Run.quality` may hold
    "psnr_db": Reading(N_("PSNR", "quality"), DB),
    "ssim": Reading(N_("SSIM", "quality")),
    "sharpness": Reading(N_("Sharpness", "quality")),
    "diversity": Reading(N_("Diversity", "quality")),
    "clip_iqa": Reading(N_("CLIP-IQA", "quality")),
    "different_pictures": Reading(N_("Different pictures"), digits=None),
    "unet_calls": Reading(N_("UNet calls"), digits=None),
    "largest_difference": Reading(N_("Largest difference"), LEVELS, digits=None),
}


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
    set_aside: str | None = None  # why it does not count (see `runs.set_aside`)
    call: str | None = None  # the source text of what was measured
    loaded_before: list[str] | None = None  # other models that its process had loaded, with their dtypes
    weights: Literal["none", "demo", "random", "published"] = "none"  # of the model, repeated here because folders and tables go by it
    profile: str = "none"
    schema: int = SCHEMA
    folder: Path | None = None  # where it lies
    archive: Path | None = None  # the .zip that it was unpacked from
    origin: str = ""  # the results folder or archive that it is from, by its name
    displaced: list[str] = field(default_factory=list)  # origins of runs of its key that do not count beside it
    reference: bool = False  # whether it was loaded as one to compare with

    def __post_init__(self):
        if self.model is not None:
            self.weights, self.profile = self.model.weights, self.model.profile

    @property
    def key(self) -> tuple:
        """What tells it apart from runs that it may not be averaged with: the values of KEY."""
        settings = json.dumps(self.settings, sort_keys=True, ensure_ascii=False)
        model = (self.model.name, self.model.dtype) if self.model else ("", "")
        return (self.reference, self.machine.slug, self.experiment, self.variant, self.weights, self.profile, self.method, settings, *model)

    @property
    def start(self) -> datetime:
        """When it started; the beginning of time for what is no date."""
        try:
            start = datetime.fromisoformat(self.started or "")
        except ValueError:
            return datetime.min.replace(tzinfo=UTC)
        return start if start.tzinfo else start.replace(tzinfo=UTC)

    @property
    def good(self) -> list[Iteration]:
        """The iterations that succeeded."""
        return [iteration for iteration in self.iterations if iteration.error is None]

    def table(self):
        """A row for each iteration, in Table 1's units, then mean and standard deviation (ddof=1)."""
        import pandas as pd

        shown = {f"{reading.short} ({reading.unit})": (name, reading.scale) for name in TABLE1 if (reading := READINGS[name])}
        values = [[getattr(iteration, name) for name, _ in shown.values()] for iteration in self.iterations]
        rows = pd.DataFrame(values, pd.Index(range(1, len(values) + 1), name="iteration"), list(shown), dtype=float)
        rows /= [scale for _, scale in shown.values()]
        good = rows[[i.error is None for i in self.iterations]]
        summary = pd.DataFrame({"mean": good.mean(), "standard deviation": good.std()}).T
        return pd.concat([rows, summary]).rename_axis("iteration").dropna(axis="columns", how="all").round(3)

    def to_json(self) -> str:
        """The text of run.json."""
        record = {name: value for name, value in asdict(self).items() if name not in NOT_WRITTEN}
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"

    def save(self) -> None:
        """Write run.json atomically: a kill at any moment leaves the previous one or this one, whole.

        The file is never older than the start, which lies ahead of a clock that was set back (see
        `runs.begin`). Raises OSError, saying what helps, when the disk is full.
        """
        write_atomically(self.folder / "run.json", self.to_json().encode(errors="replace"))  # a path in a warning may hold no UTF-8
        if self.start > datetime.now(UTC):
            os.utime(self.folder / "run.json", (self.start.timestamp(), self.start.timestamp()))

    def finish(self) -> None:
        """Save the run as finished, and let other processes have its folder. Raises OSError as `save`."""
        self.finished = datetime.now(UTC).isoformat(timespec="seconds")
        self.save()
        release(self.folder)

    def save_images(self, images, stem: str) -> list[Picture]:
        """Save PIL images as PNGs named after `stem` beside run.json; nothing for None."""
        saved = []
        for i, image in enumerate(images or []):
            file = f"{stem}.png" if len(images) == 1 else f"{stem}_{i}.png"
            data = io.BytesIO()
            image.save(data, format="PNG")
            write_atomically(self.folder / file, data.getvalue())
            saved.append(Picture(file, hashlib.sha256(data.getvalue()).hexdigest()))
        return saved

    def pictures_of(self, iteration: Iteration) -> list[Path]:
        """Its pictures that lie beside run.json: regular files of plain names (see `pictures.beside`)."""
        return [path for picture in iteration.images if (path := pictures.beside(self.folder, picture.file))]

    def shown(self, iteration: Iteration, most: int) -> list:
        """The first of its pictures, as RGB images of PIL; a warning names what cannot be shown."""
        images = []
        for path in self.pictures_of(iteration)[:most]:
            try:
                images.append(pictures.read(path))
            except (ValueError, OSError) as error:
                say(f"left out {error}")
        return images

    def image_files(self) -> list[Path]:
        """The pictures of the iterations, in order. Raises ValueError, saying why, if there are none."""
        if self.iterations and all(i.error for i in self.iterations):
            first = self.iterations[0]
            raise ValueError(f"there are no pictures, since no iteration succeeded ({first.error})"
                             + ": take a smaller batch, fewer pixels, or dtype='float16'" * first.out_of_memory)
        return [path for iteration in self.iterations for path in self.pictures_of(iteration)]
