"""Which runs count, and which of them are sessions of one figure: runs of one key in one environment."""
import json
from datetime import UTC, datetime
from pathlib import Path

from genlib.lines import say
from genlib.locale import N_
from genlib.record import Machine, Run

NOTHING_SET = N_("as the library has it")


def environment(run: Run) -> dict[str, str]:
    """What runs of one key share where they are sessions of one figure; "" for what is not known.

    The machine's slug and the model's dtype are in the key. The processor beside a GPU is not asked for, nor
    its instructions and idle threads: services such as Colab give another one each time.
    """
    machine, of_processor = run.machine, run.machine.slug.startswith("cpu-")
    flags = {name: value for name, value in sorted(machine.precision.items()) if of_processor or name != "cpu_capability"}
    return {name: "" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for name, value in {
        "torch": machine.packages.get("torch"), "driver": machine.driver, "threads": machine.threads, "cpu_limit": machine.cpu_limit,
        "power_limit_w": machine.power_limit_w, "system": (machine.os or "").partition("-")[0],
        "genlib": machine.commit or machine.packages.get("genlib"), **flags}.items()} | {
            "waiting": of_processor and waiting(machine) or ""}


def waiting(machine: Machine) -> str | None:
    """What lets OpenMP's idle threads wait, as in "GOMP_SPINCOUNT = 1000"; None where it is not known."""
    if machine.waiting is None:
        return None
    return "; ".join(f"{name} = {value}" for name, value in machine.waiting.items()) or NOTHING_SET


def model(run: Run) -> str:
    """What sessions of one figure share of their model beside its name and dtype, which are in the key.

    Where its weights are from, its parts (a safety checker may be one) and its switches.
    """
    info = run.model
    return "" if info is None else json.dumps([info.source, info.revision, info.sha256, info.parameters, info.switches], sort_keys=True)


def counting(found: list[Run]) -> list[Run]:
    """The runs that count: for each key all sessions of one's own or, where there are none, of archives.

    A session that was read twice, as from a folder and its archive, counts once. What was set aside does not
    count. Where a run claims to have started in the future, or two that differ at the same time, the time of
    their run.json decides, and a warning says so. Reference runs have keys of their own.
    """
    sessions: dict[tuple, Run] = {}
    for run in found:
        if run.start > datetime.now(UTC):
            say(f"{run.folder} claims to have started in the future ({run.started}): the time of its file counts")
        other = sessions.setdefault((run.key, run.started), run)
        if run is not other:
            if _rank(run)[:2] == _rank(other)[:2] and run.to_json() != other.to_json():
                say(f"{run.folder} and {other.folder} started at the same time: the file that was written last counts")
            sessions[run.key, run.started] = max(run, other, key=_rank)
    by_key: dict[tuple, list[Run]] = {}
    for run in sorted(sessions.values(), key=when):
        if run.set_aside is None:
            by_key.setdefault(run.key, []).append(run)
    return [run for runs in by_key.values() for run in _of_one_source(runs)]


def _of_one_source(runs: list[Run]) -> list[Run]:
    """One's own sessions of a key, or those of archives; the newest notes whose do not count."""
    own = [run for run in runs if run.archive is None] or runs
    own[-1].displaced = list(dict.fromkeys(run.origin for run in runs if run not in own and run.origin != own[-1].origin))
    return own


def newest(runs: list[Run]) -> list[Run]:
    """The runs of each key that share the environment and model of its newest run."""
    last = {run.key: _shared(run) for run in sorted(runs, key=when)}
    return [run for run in runs if _shared(run) == last[run.key]]


def pools(runs: list[Run]) -> list[list[Run]]:
    """The sessions of each figure, oldest first: runs of one key, environment and model."""
    found: dict[tuple, list[Run]] = {}
    for run in runs:
        found.setdefault((run.key, _shared(run)), []).append(run)
    return [sorted(pool, key=when) for pool in found.values()]


def _shared(run: Run) -> tuple:
    return tuple(environment(run).items()), model(run)


def _rank(run: Run) -> tuple:
    from_archive_itself = run.archive is not None and Path(run.origin).name == run.archive.name  # and no folder unpacked from it earlier
    return run.archive is None, when(run), from_archive_itself, _written(run)


def when(run: Run) -> float:
    """When a run started (seconds since 1970): by its file if it claims the future, 0 without a date."""
    if run.start > datetime.now(UTC):
        return _written(run)
    return max(0.0, run.start.timestamp()) if run.start.year >= 1970 else 0.0


def _written(run: Run) -> float:
    return (run.folder / "run.json").stat().st_mtime if run.folder else 0.0
