"""Mean, spread and interval of each run: one row a run from one row an iteration."""
import numpy as np
import pandas as pd

from genlib.runs import KEY

READINGS = ["time_s", "cpu_time_s", "vram_peak_bytes", "vram_reserved_bytes", "vram_device_bytes", "ram_bytes", "ram_peak_bytes",
            "ram_private_bytes", "energy_j"]
ONCE = ["device", "started", "first_image_s", "flops_per_image", "parameters", "weights_bytes", "load_time_s"]


def summarize(df: pd.DataFrame) -> pd.DataFrame:
    """One row a run, of runs.load's table.

    Columns: KEY; what a run has once (ONCE, quality.*); n, failed; `<reading>` (mean) and `<reading>_sd` (sample standard deviation,
    ddof=1, NaN for n = 1) of each of READINGS; time_s_median, time_s_low, time_s_high (95 % interval of the mean, Student's t) and
    time_s_cv (standard deviation over mean). Iterations that failed are counted and not averaged.
    """
    rows = [_one_run(dict(zip(KEY, key, strict=True)), group) for key, group in df.groupby(KEY, dropna=False, sort=False)]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*KEY, *ONCE, "n", "failed", *READINGS])


def _one_run(row: dict, group: pd.DataFrame) -> dict:
    good = group[group["error"].isna()]
    first = group.iloc[0]
    row |= {name: first[name] for name in group.columns if name in ONCE or name.startswith("quality.")}
    row |= {"n": len(good), "failed": len(group) - len(good)}
    for name in READINGS:
        values = pd.to_numeric(good[name]).dropna()
        row[name], row[f"{name}_sd"] = values.mean(), values.std()
    times = pd.to_numeric(good["time_s"])
    half = _student_95(len(times)) * times.std() / np.sqrt(len(times)) if len(times) > 1 else np.nan
    return row | {"time_s_median": times.median(), "time_s_low": times.mean() - half, "time_s_high": times.mean() + half,
                  "time_s_cv": times.std() / times.mean() if len(times) else np.nan}


def _student_95(n: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, n - 1))
