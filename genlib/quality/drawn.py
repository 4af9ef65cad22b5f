"""What drew the pictures in a folder: by the run.json beside them, or by what `genlib generate` left."""
import json
from pathlib import Path

from genlib import runs
from genlib.experiments import STABLE_DIFFUSION, STYLEGAN2_ADA
from genlib.files import read_regular
from genlib.record import MB, Run
from genlib.scores import Drawn

EXPERIMENTS = {"steps": STABLE_DIFFUSION.slug, "truncation_psi": STYLEGAN2_ADA.slug}  # by the setting that only one model has
OF_MODEL = ("model", "weights", "profile", "dtype")


def by(folder: Path) -> Drawn | None:
    """None where nothing says it. Raises ValueError, naming the file, for one that is damaged."""
    if (folder / "run.json").is_file():
        return _by_run(runs.read(folder / "run.json"))
    settings = _json(folder / "settings.json", MB)
    if settings is None:
        return None
    machine = _json(folder / "machine.json", MB) or {}
    times = [line["time_s"] for line in _lines(folder / "manifest.jsonl")  # another machine may have drawn the first of them
             if isinstance(line.get("time_s"), float) and line.get("machine") == machine.get("slug")]
    return Drawn(next((experiment for setting, experiment in EXPERIMENTS.items() if setting in settings), None), method="genlib",
                 **{name: settings.pop(name, None) for name in OF_MODEL}, machine=machine.get("slug"), device=machine.get("device"),
                 settings=settings, time_s=sum(times) / len(times) if times else None, timed=len(times) or None)


def _by_run(run: Run) -> Drawn:
    timed = [i for i in run.good if i.time_s and i.images]
    images = sum(len(i.images) for i in timed)
    model = run.model
    return Drawn(run.experiment, run.variant, run.method, model and model.name, run.weights, run.profile, model and model.dtype,
                 run.machine.slug, run.machine.device, run.settings, sum(i.time_s for i in timed) / images if images else None,
                 images or None)


def _json(file: Path, limit_bytes: int) -> dict | None:
    if not file.is_file():
        return None
    try:
        found = json.loads(read_regular(file, limit_bytes))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{file} is damaged, which should say how the pictures beside it were drawn: delete it or restore it")
    return found


def _lines(file: Path):
    """The lines of a manifest that can be read; a kill may have cut one off."""
    for line in read_regular(file, 256 * MB).splitlines() if file.is_file() else []:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found
