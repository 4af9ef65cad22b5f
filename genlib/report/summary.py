"""Mean, spread and interval of each figure, over its sessions."""
import json
from collections.abc import Iterable

import numpy as np
import pandas as pd

from genlib.record import SHOWN, Iteration, Machine
from genlib.report.statistics import estimate
from genlib.runs import Run, facts
from genlib.sessions import newest, pools, when

ONE_RATE = ["reference", "machine", "profile", "dtype"]  # a profile sets how exact a product is


def summarize(runs: Iterable[Run]) -> pd.DataFrame:
    """A row for each key and environment, whose runs are its sessions: what `runs.facts` says of the newest
    that knows it, and

    - runs (the sessions, oldest first), run (the newest), when (it started, seconds since 1970), newest
      (whether no other environment of this key has a newer run), steps (of denoising, or NaN);
    - sessions (those in which an iteration succeeded), n and failed (iterations of all sessions);
    - the mean over sessions `<reading>` of each reading, and its standard deviations (see
      `statistics.estimate`): `<reading>_within` a session, `<reading>_between` sessions, NaN for one, and
      `<reading>_sd`, that of an iteration in any session, NaN for n = 1;
    - ram_above_bytes, how far RAM lies above ram_before_bytes, that before the model; NaN if unknown;
    - time_s_median; time_s_low and time_s_high, the 95 % interval of the mean; time_s_cv, the deviation over
      the mean;
    - flops_per_s, reached at the mean time, and machine_share, what it is of the best matmul_flops_per_s
      among runs of the same machine, profile and dtype (every process measures that rate, and some are slowed
      down); NaN above 1, where all were slowed down, or the clock rose after the rate was measured.

    Energy and work are those of a call: divide by the batch size for an image. Failed iterations are counted,
    not averaged; a reading that some iterations lack is averaged over the others.
    """
    runs = list(runs)
    rows, in_newest = [_row(pool) for pool in pools(runs)], set(map(id, newest(runs)))
    frame = pd.DataFrame(rows or [_row([Run("", Machine(""))])])
    frame["matmul_flops_per_s"] = frame["matmul_flops_per_s"].astype(float)
    best = frame.groupby(ONE_RATE, dropna=False)["matmul_flops_per_s"].transform("max")
    share = frame["flops_per_s"] / best
    return frame.assign(machine_share=share.where(share <= 1), newest=[id(run) in in_newest for run in frame["run"]]).iloc[:len(rows)]


def _row(pool: list[Run]) -> dict:
    run, row, good = pool[-1], {}, [iteration for run in pool for iteration in run.good]
    for told in map(facts, pool):
        row |= {name: value for name, value in told.items() if value is not None or name not in row}
    if not row.get("quality.diversity", 0) > 0:  # of one picture, as older records give it
        row.pop("quality.diversity", None)
    row |= {"runs": pool, "run": run, "when": when(run), "steps": as_number(run.settings.get("steps")),
            "sessions": sum(bool(run.good) for run in pool), "n": len(good), "failed": sum(len(run.iterations) for run in pool) - len(good)}
    for name in SHOWN:
        found = estimate(by_session(pool, name))
        row[name], row[f"{name}_within"], row[f"{name}_between"] = found.mean, found.within, found.between
        row[f"{name}_sd"] = readings(good, name).std() if np.isnan(found.between) else np.hypot(found.within, found.between)
        if name == "time_s":
            row |= {"time_s_low": found.low, "time_s_high": found.high}
    work = np.nan if row["flops_per_image"] is None else row["flops_per_image"]
    return row | {"time_s_median": readings(good, "time_s").median(), "time_s_cv": row["time_s_sd"] / row["time_s"],
                  "flops_per_s": work / row["time_s"],
                  "ram_above_bytes": float(pd.Series(map(ram_above, pool)).mean()),
                  **{name: _mean_of(pool, name) for name in ("first_image_s", "load_time_s", "download_time_s", "ram_before_bytes")}}


def by_session(pool: list[Run], name: str) -> list[np.ndarray]:
    """One reading of the iterations that succeeded, an array a session; none of a session that lacks it."""
    found = (readings(run.good, name).dropna().to_numpy() for run in pool)
    return [values for values in found if len(values)]


def _mean_of(pool: list[Run], name: str) -> float:
    """The mean over sessions of what `facts` says of each; NaN where none says it."""
    return float(pd.Series([facts(run)[name] for run in pool], dtype=float).mean())


def ram_above(run: Run) -> float:
    """How far the mean RSS of a run's iterations lies above that before its model was loaded, in bytes.

    NaN where that was not kept, or what was there before was swapped out since.
    """
    before = run.model and run.model.ram_before_bytes
    above = np.nan if before is None else readings(run.good, "ram_bytes").mean() - before
    return above if above >= 0 else np.nan


def readings(iterations: list[Iteration], name: str) -> pd.Series:
    """One reading of iterations, NaN where it is missing."""
    return pd.Series([getattr(iteration, name) for iteration in iterations], dtype=float)


def as_number(setting) -> float:
    """A setting's value; NaN if it is missing or no number."""
    return float(setting) if isinstance(setting, (int, float)) and not isinstance(setting, bool) else np.nan


def settings_but(run: Run, *settings: str) -> str:
    """The run's settings, as text, without some of them."""
    return json.dumps({name: value for name, value in run.settings.items() if name not in settings}, sort_keys=True)
