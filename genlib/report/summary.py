"""Mean, spread and interval of each run."""
import json
from collections.abc import Iterable

import numpy as np
import pandas as pd

from genlib.record import SHOWN, Iteration, Machine
from genlib.runs import Run, facts, when

ONE_RATE = ["reference", "machine", "profile", "dtype"]  # a profile sets how exact a product is


def summarize(runs: Iterable[Run]) -> pd.DataFrame:
    """A row for each run: what `runs.facts` says of it, and

    - run (the Run itself), when (it started, seconds since 1970), steps (of denoising, or NaN), n, failed;
    - the mean `<reading>` and the sample standard deviation `<reading>_sd` (ddof=1, NaN for n = 1) of each
      reading;
    - time_s_median; time_s_low and time_s_high, the 95 % interval of the mean (Student's t); time_s_cv, the
      deviation over the mean;
    - flops_per_s, reached at the mean time, and machine_share, what it is of the best matmul_flops_per_s
      among runs of the same machine, profile and dtype (every process measures that rate, and some are slowed
      down); NaN above 1, where all were slowed down, or the clock rose after the rate was measured.

    Energy and work are those of a call: divide by the batch size for an image. Failed iterations are counted,
    not averaged; a reading that some iterations lack is averaged over the others.
    """
    rows = [_row(run) for run in runs]
    frame = pd.DataFrame(rows or [_row(Run("", Machine("")))])
    frame["matmul_flops_per_s"] = frame["matmul_flops_per_s"].astype(float)
    best = frame.groupby(ONE_RATE, dropna=False)["matmul_flops_per_s"].transform("max")
    share = frame["flops_per_s"] / best
    return frame.assign(machine_share=share.where(share <= 1)).iloc[:len(rows)]


def _row(run: Run) -> dict:
    row = facts(run)
    if not row.get("quality.diversity", 0) > 0:  # of one picture, as older records give it
        row.pop("quality.diversity", None)
    row |= {"run": run, "when": when(run), "steps": as_number(run.settings.get("steps")), "n": len(run.good),
            "failed": len(run.iterations) - len(run.good)}
    for name in SHOWN:
        values = readings(run.good, name).dropna()
        row[name], row[f"{name}_sd"] = values.mean(), values.std()
    times = readings(run.good, "time_s")
    half = _student_95(len(times)) * times.std() / np.sqrt(len(times)) if len(times) > 1 else np.nan
    work = np.nan if run.flops_per_image is None else run.flops_per_image
    return row | {"time_s_median": times.median(), "time_s_low": times.mean() - half, "time_s_high": times.mean() + half,
                  "time_s_cv": times.std() / times.mean(), "flops_per_s": work / times.mean()}


def readings(iterations: list[Iteration], name: str) -> pd.Series:
    """One reading of iterations, NaN where it is missing."""
    return pd.Series([getattr(iteration, name) for iteration in iterations], dtype=float)


def as_number(setting) -> float:
    """A setting's value; NaN if it is missing or no number."""
    return float(setting) if isinstance(setting, (int, float)) and not isinstance(setting, bool) else np.nan


def settings_but(run: Run, setting: str) -> str:
    """The run's settings, as text, without one of them."""
    return json.dumps({name: value for name, value in run.settings.items() if name != setting}, sort_keys=True)


def _student_95(n: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, n - 1))
