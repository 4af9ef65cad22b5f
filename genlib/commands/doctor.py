"""genlib doctor: what this machine can do, and what each notebook will take on it."""
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.request import getproxies

from genlib import notebook, runs
from genlib.commands import as_typed, typed, usual_results
from genlib.experiments import EXPERIMENTS, STEPS, Experiment
from genlib.files import nearest
from genlib.progress import duration

AROUND_S = 15  # of a notebook, beside its images: the kernel, loading, tables
PUBLISHED_BYTES = 4.3e9  # of v1-4 in float32
CAN_BE_HAD = ("is in the cache", "can be downloaded")  # the published weights
UNKNOWN = "–"


class _Image(NamedTuple):
    """The forecast for one image of an experiment."""
    time_s: Callable[[str], float]  # by precision
    memory_bytes: int  # in the precision of this machine: what needs more is left out where it does not fit


def add(commands):
    """Declare the command's argument."""
    parser = commands.add_parser("doctor", help="say what this machine has, what will work, what each notebook will take, and what to type "
                                                "next; list the names that options and calls take")
    parser.add_argument("--list", action="store_true", help="list these names instead: weights, experiments, switches, tables ...")
    return parser


def run(options) -> int:
    """Print the lines."""
    from genlib.commands import names

    print(*names.lines() if options.list else examine(), sep="\n")
    return 0


def examine() -> list[str]:
    """The lines that the command prints."""
    import psutil
    import torch

    from genlib import device
    from genlib.measure import machine_rates
    from genlib.models import stable_diffusion

    machine, where, dtype = device.describe(), device.pick(), device.pick_dtype()
    name = str(dtype).removeprefix("torch.")
    flops_per_s, bytes_per_s = machine_rates(name)
    free, kind = (torch.cuda.mem_get_info()[0], "VRAM") if where.type == "cuda" else (psutil.virtual_memory().available, "memory")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") if where.type == "cpu" else None
    published = _published()
    tuned = [switch for switch, good in stable_diffusion.switches(dtype, own=True, expected_images=1).items() if good]
    return [
        f"machine    {machine.device}: {free / 1024**3:.1f} GiB of {kind} free, {machine.threads} threads, Python {machine.python}"
        + (f" · no GPU is visible with CUDA_VISIBLE_DEVICES={hidden!r}" if hidden is not None else ""),
        f"rates      {flops_per_s / 1e9:.0f} GFLOP/s in {name} matrix products, {bytes_per_s / 1e9:.0f} GB/s copied",
        f"weights    demo and random need no download · published {published}",
        _precision(name),
        f"profile    thesis · tuned: {', '.join(tuned)}", "", *_forecasts(dtype, free),
        f"missing    {notebook.missing() or 'nothing'}", "",
        f"next       {_next(machine.slug, where.type != 'cpu' and published not in CAN_BE_HAD)}"]


def _next(slug: str, only_random: bool) -> str:
    """The line to type next. only_random: whether "auto" would not find the published models, for which there
    is a GPU."""
    if packages := notebook.missing():
        return f"{typed(Path(sys.executable))} -m {packages.partition(': ')[2]}"  # a pip that is found first may be another's
    if not (notebook.PROJECT / "notebooks").is_dir():
        return f"{as_typed()} generate --model stylegan2 --seeds 0-15 --out faces"
    results = usual_results()
    done = [one for one in runs.read_all(results) if one.machine.slug == slug] if results.is_dir() else []
    if done and not (left := notebook.unmeasured(done)):
        return f"{as_typed()} {'report' if find_spec('pypandoc') else 'table'} {typed(results)}"  # a chapter needs pandoc
    only = f" --only {','.join(map(str, left))},4" if done else ""
    return f"{as_typed()} run{only}{' --weights random' * (only_random and not os.environ.get('GENLIB_WEIGHTS'))}"


def _precision(own: str) -> str:
    """The line that says what the models run in, and what else the notebooks try."""
    from genlib import device

    parts = [f"precision  {own}", *[f"the notebooks also try {name}" for name in [" and ".join(device.precisions("auto", own))] if name]]
    parts += ["float16 is for GPUs"] * (device.pick().type == "cpu")
    return " · ".join(parts + [f"{name} when asked, without instructions for it: many times slower"
                               for name in device.TRIED_BY_ITSELF if not device.computes_in(name)])


def _published() -> str:
    """Whether the published weights can be had, or what stands in their way."""
    from huggingface_hub import constants

    from genlib.models import trouble, weights

    if weights.in_cache():
        return CAN_BE_HAD[0]
    if constants.is_offline_mode():
        return "cannot be had now: HF_HUB_OFFLINE is on"
    if not weights.hub_answers():
        through = " through the proxy that the environment names" if getproxies() else ""
        return f"cannot be had now: {trouble.wrong_proxy() or f'the model hub does not answer{through}'}"
    there = nearest(Path(constants.HF_HUB_CACHE))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return f"cannot be downloaded: {there} cannot be written; set HF_HOME to a folder of yours"
    if (free := shutil.disk_usage(there).free) < PUBLISHED_BYTES:
        return (f"may not be downloaded whole: {there} has {free / 1e9:.1f} GB free, and they take up to {PUBLISHED_BYTES / 1e9:.1f}; "
                "free some space, or set HF_HOME to a folder on another disk")
    return CAN_BE_HAD[1]


def _forecasts(dtype, free: int) -> list[str]:
    """A line for each experiment, between a head and a note."""
    from genlib.commands import forecast

    own, each_s, columns = str(dtype).removeprefix("torch."), forecast.operation_s(dtype), []
    for size in "demo", "random":
        calls, column = forecast.calls(size, dtype), {}
        for entry in filter(lambda entry: entry.parts, EXPERIMENTS):
            work = forecast.of_image(entry, calls, notebook.parameters(entry.notebook).get("STEPS", STEPS))
            column[entry.slug] = _image(work, each_s)
        columns.append(column)
    lines = [f"{'':24}{'demo weights':>30}{'random or published weights':>34}"]
    for entry in EXPERIMENTS:
        number = notebook.number(entry.notebook) if entry.notebook else UNKNOWN
        demo, full = (_cell(entry, column, own, free) for column in columns)
        lines.append(f"{number} {entry.slug:20}  {demo:>30}{full:>36}")
    whole = "the whole notebook, " if any(notebook.parameters(entry.notebook) for entry in EXPERIMENTS) else ""
    return [*lines, "", f"An image, {whole}memory at the peak; a forecast, on a quiet machine mostly within a factor of two."]


def _image(work, each_s: float, measured: str = "") -> _Image:
    """The forecast for an image that takes this work, at this machine's rates in any precision, or for all in
    the one that is `measured`."""
    from genlib import device
    from genlib.commands import forecast
    from genlib.measure import machine_rates

    kind = device.pick().type
    return _Image(lambda precision: forecast.time_s(work, machine_rates(measured or precision)[0], each_s, kind),
                  forecast.memory_bytes(work, kind))


def _cell(entry: Experiment, column: Mapping[str, _Image], own: str, free: int) -> str:
    """An image of the experiment; then its whole notebook, with the memory of the largest model in it."""
    if entry.slug not in column:
        return UNKNOWN
    in_notebook = [other for other in EXPERIMENTS if other.notebook == entry.notebook] if entry.notebook else [entry]
    needed = max(column[other.slug].memory_bytes for other in in_notebook if other.slug in column)
    whole_s = _whole_s(in_notebook, column, own, notebook.parameters(entry.notebook))
    return (f"{duration(column[entry.slug].time_s(own))} an image, {f'{duration(whole_s)}, ' if whole_s else ''}{needed / 1024**3:.1f} GiB"
            f"{'' if needed < free else ', does not fit'}")


def _whole_s(in_notebook: list[Experiment], column: Mapping[str, _Image], own: str, parameters: dict) -> float | None:
    """Forecast of a notebook's time, by the images of all its experiments; None where they cannot be counted.

    That is so in an installed package, which has no notebooks, and for an experiment without a forecast.
    Images in other precisions than `own`, that of this machine, are counted by the rates in these.
    """
    from genlib import device

    if not parameters or not all(entry.images and entry.slug in column for entry in in_notebook):
        return None
    whole_s = AROUND_S
    try:
        tried = device.precisions(parameters.get("PRECISIONS_TRIED", []), own)
        for entry in in_notebook:
            time_s, plain = column[entry.slug].time_s, entry.images(parameters | dict(PRECISIONS_TRIED=[]))
            whole_s += plain * time_s(own)
            whole_s += sum((entry.images(parameters | dict(PRECISIONS_TRIED=[name])) - plain) * time_s(name) for name in tried)
        return whole_s
    except TypeError:  # a parameter that is no literal: nothing can be counted
        return None
    except KeyError as error:
        raise ValueError(f"notebooks/{in_notebook[0].notebook}.ipynb has no parameter {error}, by which its images are counted: "
                         "put it back into the cell of parameters") from None


def notebooks_s(weights: str, parameters: Mapping[str, dict]) -> dict[str, float]:
    """Forecast of each notebook's time in seconds, by its parameters; without those whose images nobody can
    count. weights: a word of `models.weights`. Images in other precisions count like those in this machine's
    own, since to measure its rates in them would take longer than the forecast is worth.
    """
    from genlib import device
    from genlib.commands import forecast
    from genlib.models.weights import resolve

    dtype, found = device.pick_dtype(), {}
    own = str(dtype).removeprefix("torch.")
    calls, each_s = forecast.calls(resolve(weights), dtype), forecast.operation_s(dtype)
    for name, values in parameters.items():
        entries = [entry for entry in EXPERIMENTS if entry.notebook == name]
        column = {entry.slug: _image(forecast.of_image(entry, calls, values.get("STEPS", STEPS)), each_s, own)
                  for entry in entries if entry.parts}
        found[name] = _whole_s(entries, column, own, values) if entries else AROUND_S
    return {name: seconds for name, seconds in found.items() if seconds is not None}
