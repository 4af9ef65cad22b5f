"""Mean, spread and interval of each run, and what makes its figures doubtful: one row a run from one row an iteration."""
from collections.abc import Iterator

import numpy as np
import pandas as pd

from genlib.report.words import WORDS, number, say, significant
from genlib.runs import KEY

READINGS = ["time_s", "cpu_time_s", "vram_peak_bytes", "vram_reserved_bytes", "vram_device_bytes", "ram_bytes", "ram_peak_bytes",
            "ram_private_bytes", "energy_j"]
ONCE = ["device", "started", "first_image_s", "flops_per_image", "parameters", "weights_bytes", "load_time_s", "matmul_flops_per_s",
        "bandwidth_bytes_per_s"]
ONE_RATE = ["reference", "machine", "profile", "dtype"]  # a profile sets how exact a product is
MB = 1024**2
DRIFT, DRIFT_P = 0.03, 0.01  # share of the mean from the first iteration to the last; chance of such a slope without any drift
OUTLIER, OUTLIER_P = 0.1, 0.01  # share of the median; chance that Grubbs's test finds one among normal times
NOISY = 0.1  # coefficient of variation
BUSY_CORES = 0.15  # share of the processor that others may have
OTHERS_BYTES, SWAPPED_BYTES = 200 * MB, 16 * MB
ENERGY_WINDOW_S = 1


def summarize(df: pd.DataFrame) -> pd.DataFrame:
    """One row a run, of runs.load's table.

    Columns: KEY; what a run has once (ONCE, quality.*); n, failed; `<reading>` (mean) and `<reading>_sd` (sample standard deviation,
    ddof=1, NaN for n = 1) of each of READINGS; time_s_median, time_s_low, time_s_high (95 % interval of the mean, Student's t),
    time_s_cv (standard deviation over mean); flops_per_s (reached, at the mean time) and machine_share (of the best
    matmul_flops_per_s that runs in df of one machine, profile and dtype have: the rate is measured in each process, and some are slowed).
    Energy and work are those of a call: for a batch divide by its size. Iterations that failed are counted and not averaged; a
    reading that some iterations lack is averaged over the others, and `warnings` says so.
    """
    rows = [_one_run(dict(zip(KEY, key, strict=True)), group) for key, group in df.groupby(KEY, dropna=False, sort=False)]
    runs = pd.DataFrame(rows or [_one_run(dict.fromkeys(KEY), df.reindex([0]))])
    runs["matmul_flops_per_s"] = runs["matmul_flops_per_s"].astype(float)
    best = runs.groupby(ONE_RATE, dropna=False)["matmul_flops_per_s"].transform("max")
    return runs.assign(machine_share=runs["flops_per_s"] / best).iloc[:len(rows)]


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
    flops_per_s = float(row["flops_per_image"] or np.nan) / times.mean() if len(times) else np.nan
    return row | {"time_s_median": times.median(), "time_s_low": times.mean() - half, "time_s_high": times.mean() + half,
                  "time_s_cv": times.std() / times.mean() if len(times) else np.nan,
                  "flops_per_s": flops_per_s}


def _student_95(n: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, n - 1))


def warnings(df: pd.DataFrame, language: str = "en") -> list[str]:
    """What makes the figures of runs.load's table doubtful, a sentence each: the run, what was seen, what helps."""
    return [f"{_with(name, where)}: {text}" for name, where, texts in _warned(df, language) for text in texts]


def warnings_in_brief(df: pd.DataFrame, language: str = "en") -> list[str]:
    """The same of many runs: a line each, or one for those runs of an experiment of which the very same is said.

    Of tables.companions it names every run that notebook 4's tables and the audit may draw on.
    """
    alike = {}  # what is said of which runs
    for name, where, texts in filter(lambda run: run[2], _warned(df, language)):
        alike.setdefault((name, bool(where), "; ".join(texts)), []).append(where)
    return [f"{_with(name, ', '.join(runs) if named else '')}: {text}" for (name, named, text), runs in alike.items()]


def _with(name: str, where: str) -> str:
    return f"{name} ({where})" if where else name


def _warned(df: pd.DataFrame, language: str) -> Iterator[tuple[str, str, list[str]]]:
    """Of each run the experiment, what tells it apart from the others of that, and its warnings."""
    firsts = df.drop_duplicates(KEY)
    namesakes = set(firsts[firsts.duplicated(["experiment", "variant", "machine"], keep=False)]["folder"])
    for _, group in df.groupby(KEY, dropna=False, sort=False):
        first = group.iloc[0]
        name = say(first["experiment"], language) if first["experiment"] in WORDS else first["experiment"]
        where = ", ".join(filter(None, [first["variant"], first["machine"] if df["machine"].nunique() > 1 else "",
                                        first["started"][:19] if first["folder"] in namesakes else ""]))
        good = group[group["error"].isna()]
        seen = [say("failed_warning", language, failed=len(group) - len(good), n=len(group))] if len(good) < len(group) else []
        if len(good):
            seen += [*_unsteady(good, language), *_incomplete(good, language), *_disturbed(good, language)]
        yield name, where, [*seen, *filter(None, [first["warnings"]])]


def _unsteady(good: pd.DataFrame, language: str) -> list[str]:
    """Too few times; their drift, outliers, spread."""
    times = pd.to_numeric(good.set_index("iteration")["time_s"]).dropna()
    if len(times) < 5:
        return [say("few", language, n=len(times))]
    return _drift(times, language) or _outliers(times, language) or _noise(times, language)


def _drift(times: pd.Series, language: str) -> list[str]:
    """A straight line's slope. At n = 5 only a drift that stands well above the noise is found: its chance of a false alarm is 1 %."""
    from scipy.stats import linregress

    if not np.ptp(times):
        return []
    slope = linregress(np.arange(len(times)), times)
    drift = slope.slope * (len(times) - 1) / times.mean()
    if abs(drift) < DRIFT or slope.pvalue > DRIFT_P:
        return []
    return [say("drift_up" if drift > 0 else "drift_down", language, percent=number(abs(100 * drift), 0, language))]


def _outliers(times: pd.Series, language: str) -> list[str]:
    """Grubbs's test of the farthest, then of the farthest of the rest (1969; critical values after Student's t)."""
    from scipy.stats import t

    seen, median = [], times.median()
    while (n := len(times)) > 3 and times.std() > 0:
        far = (times - times.mean()).abs().idxmax()
        limit = t.isf(OUTLIER_P / (2 * n), n - 2) ** 2
        critical = (n - 1) / np.sqrt(n) * np.sqrt(limit / (n - 2 + limit))
        if abs(times[far] - times.mean()) / times.std() < critical or abs(times[far] - median) < OUTLIER * median:
            break
        seen.append(say("outlier_first" if far == 1 else "outlier", language, iteration=far, time=significant(times[far], 3, language),
                        median=significant(median, 3, language)))
        times = times.drop(far)
    return seen


def _noise(times: pd.Series, language: str) -> list[str]:
    share = times.std() / times.mean()
    return [say("noisy", language, percent=number(100 * share, 0, language))] if share > NOISY else []


def _incomplete(good: pd.DataFrame, language: str) -> list[str]:
    """Readings that some iterations have and others lack."""
    counts = {name: good[name].notna().sum() for name in READINGS}
    missing = [f"{name} ({count})" for name, count in counts.items() if 0 < count < len(good)]
    return [say("incomplete", language, readings=", ".join(missing), n=len(good))] if missing else []


def _disturbed(good: pd.DataFrame, language: str) -> list[str]:
    """What else the machine was doing, where it can tell."""
    seen = []
    reasons = sorted({reason for reasons in good["throttled"] if isinstance(reasons, list) for reason in reasons})
    if reasons:
        names = [say(f"reason: {reason}", language) for reason in reasons]
        seen.append(say("throttled", language, reasons=", ".join(names)))
    if (others := pd.to_numeric(good["vram_others_bytes"]).max()) > OTHERS_BYTES:
        seen.append(say("gpu_others", language, mb=number(others / MB, 0, language)))
    known = good[good["other_cpu_s"].notna()]
    if len(known) and (busy := known["other_cpu_s"].sum() / known["time_s"].sum()) > BUSY_CORES * (good["cores"].iloc[0] or 1):
        seen.append(say("cpu_others", language, cores=number(busy, 1, language)))
    if (swapped := pd.to_numeric(good["swapped_bytes"]).sum()) > SWAPPED_BYTES:
        seen.append(say("swapped", language, mb=number(swapped / MB, 0, language)))
    if good["energy_j"].notna().any() and good["time_s"].median() < ENERGY_WINDOW_S:
        seen.append(say("energy_window", language))
    return seen
