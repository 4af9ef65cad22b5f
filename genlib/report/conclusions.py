"""What the figures say, in sentences, and what many images would cost; both of the iterations of one group (tables.pick)."""
import json
from math import ceil, floor, log10

import numpy as np
import pandas as pd

from genlib.report import summary, tables
from genlib.report.steps import row_name, steps_of
from genlib.report.words import MISSING, number, say, significant, span

FAMILIES = ["stable-diffusion", "vae-round-trip", "stylegan2-ada"]  # the VAE alone: in the thesis's own row a diffusion run is inside
TAKES_TEXT = ["stable-diffusion"]
AFTER_OTHERS = ["vae-round-trip"]  # a record does not say what its process ran before: this one may have had the whole pipeline in it
REAL_TIME_S = 1 / 25  # an image of film; slower is seen as single pictures
WEAK_BYTES = 4 * 1024**3  # memory of a small graphics card
LEAST = 3  # times for a test of spread: two are always equally far from their median
SPREAD_P = 0.05  # chance that the test finds a difference among spreads that are equal
PRECISE = 0.01  # half the 95 % interval over the mean, up to which three digits of what follows from it are worth printing
QUALITY = ["psnr_db", "ssim", "sharpness", "diversity"]  # more is better, or at least more of it


def conclude(df: pd.DataFrame, language: str = "en", related: pd.DataFrame | None = None) -> list[str]:
    """Sentences with their figures: fastest, smallest, more stable, best of each quality measure, which model for which use.

    related: the runs of every variant of the group (tables.companions), for the time with a prompt. Two models whose 95 % intervals
    overlap are not ranked in time, those whose spreads no test tells apart not in stability, and runs of unlike numbers of steps not at
    all. A figure that no run has gives no sentence. The last one says what the figures cannot tell.
    """
    runs = summary.summarize(df).set_index("experiment")
    runs = runs.reindex([name for name in FAMILIES if name in runs.index]).dropna(subset=["time_s"])
    if runs.empty:
        return [say("nothing_to_conclude", language)]
    df = df[df["experiment"].isin(runs.index)]
    names = [row_name(df, name, language, ".short") for name in runs.index]
    unlike = [name for name, short in zip(names, runs.index, strict=True) if name != _name(short, language)]  # in steps
    if unlike:
        sentences = [say("unlike_steps", language, models="; ".join(unlike))]
    else:
        sentences = [*_fastest(runs, language), *_smallest(runs, language), *_more_stable(df, runs, language)]
    sentences += [*_best(runs, language, ranked=not unlike), *_uses(runs, language),
                  *_by_text(runs, df if related is None else related, language)]
    doubt = say(f"{df['weights'].iloc[0]}_doubt", language)
    return sentences + [say("conclusions_are_of", language, device=df["device"].iloc[0], n=runs["n"].min(), doubt=doubt)]


def _name(experiment: str, language: str) -> str:
    return say(f"{experiment}.short", language)


def _names(experiments, language: str) -> str:
    return ", ".join(_name(experiment, language) for experiment in experiments)


def _fastest(runs: pd.DataFrame, language: str) -> list[str]:
    ranked = runs.sort_values("time_s")
    if len(ranked) < 2:
        return []
    first, second, last = ranked.iloc[0], ranked.iloc[1], ranked.iloc[-1]
    if not first["time_s_high"] < second["time_s_low"]:  # so too where n = 1 leaves no interval
        return [say("tied_in_time", language, first=_name(first.name, language), second=_name(second.name, language),
                    first_s=_interval(first, language), second_s=_interval(second, language))]
    return [say("fastest", language, model=_name(first.name, language), time=significant(first["time_s"], 3, language),
                times=significant(last["time_s"] / first["time_s"], 2, language), slowest=_name(last.name, language),
                slowest_s=significant(last["time_s"], 3, language))]


def _interval(run: pd.Series, language: str) -> str:
    if pd.isna(run["time_s_low"]):
        return significant(run["time_s"], 3, language)
    return "{} … {}".format(*(significant(run[end], 3, language) for end in ("time_s_low", "time_s_high")))


def _memory(runs: pd.DataFrame, ram: str) -> pd.Series:
    """VRAM where all have it, else this reading of RAM, of those whose process ran nothing before."""
    if runs["vram_peak_bytes"].notna().all():
        return runs["vram_peak_bytes"]
    return runs[ram].drop(AFTER_OTHERS, errors="ignore").dropna()


def _smallest(runs: pd.DataFrame, language: str) -> list[str]:
    """By Table 1's readings: VRAM's peak, or RAM at the end."""
    sizes = _memory(runs, "ram_bytes").sort_values()
    if len(sizes) < 2:
        return []
    smallest, largest = _name(sizes.index[0], language), _name(sizes.index[-1], language)
    return [say("smallest", language, model=smallest, mb=_mb(sizes.iloc[0], language), memory=say(f"{sizes.name}.of", language),
                largest=largest, largest_mb=_mb(sizes.iloc[-1], language))]


def _mb(size: float, language: str) -> str:
    return number(size / tables.MB, 0, language)


def _more_stable(df: pd.DataFrame, runs: pd.DataFrame, language: str) -> list[str]:
    spread = runs["time_s_cv"].dropna().sort_values()
    if len(spread) < 2:
        return []
    p = _p_of_equal_spreads(df[df["error"].isna()], spread.index)
    shares = {name: number(100 * share, 1, language) for name, share in spread.items()}
    if p < SPREAD_P:
        least, most = spread.index[0], spread.index[-1]
        return [say("more_stable", language, model=_name(least, language), percent=shares[least], other=_name(most, language),
                    other_percent=shares[most], p=number(SPREAD_P, 2, language))]
    figures = "; ".join(f"{_name(name, language)} {shares[name]} %" for name in runs.index if name in shares)
    return [say("tied_in_spread", language, n=span(sorted(runs.loc[spread.index, "n"])), figures=figures)]


def _p_of_equal_spreads(good: pd.DataFrame, experiments) -> float:
    """Brown and Forsythe's test (1974) of the times over their median, which bears times that are not normal; NaN for too few."""
    from scipy.stats import levene

    times = [good.loc[good["experiment"] == name, "time_s"].astype(float) for name in experiments]
    relative = [values / values.median() for values in times]
    if min(map(len, relative)) < LEAST or max(map(np.ptp, relative)) == 0:
        return float("nan")
    return float(levene(*relative, center="median").pvalue)


def _best(runs: pd.DataFrame, language: str, ranked: bool = True) -> list[str]:
    sentences = []
    for measure in QUALITY:
        values = runs[f"quality.{measure}"].dropna() if f"quality.{measure}" in runs else pd.Series(dtype=float)
        values = values.sort_values(ascending=False)
        figures = "; ".join(f"{_name(name, language)} {significant(value, 3, language)}" for name, value in values.items())
        if len(values):
            best = say("more_is", language, model=_name(values.index[0], language)) if ranked and len(values) > 1 else ""
            sentences.append(say("quality_of", language, measure=say(f"quality.{measure}", language), figures=figures, best=best))
    return sentences + [say("quality_limits", language)] * bool(sentences)


def _uses(runs: pd.DataFrame, language: str) -> list[str]:
    """Two of the thesis's uses: real time, a weak machine. Whether a model fits is judged by its peak."""
    quick, peaks = runs[runs["time_s"] <= REAL_TIME_S], _memory(runs, "ram_peak_bytes")
    light = peaks[peaks <= WEAK_BYTES]
    per_second = "; ".join(f"{_name(name, language)} {significant(1 / run['time_s'], 2, language)}" for name, run in runs.iterrows())
    sizes = "; ".join(f"{_name(name, language)} {_mb(peak, language)}" for name, peak in peaks.items())
    sentences = [say("use_real_time" if len(quick) else "use_real_time_none", language, models=_names(quick.index, language),
                     figures=per_second)]
    if sizes:
        sentences.append(say("use_weak" if len(light) else "use_weak_none", language, models=_names(light.index, language), figures=sizes,
                             memory=say(f"{peaks.name}.of", language)))
    left_out = [name for name in AFTER_OTHERS if name in runs.index and name not in peaks]
    return sentences + [say("ram_left_out", language, models=_names(left_out, language))] * bool(left_out)


def _by_text(runs: pd.DataFrame, related: pd.DataFrame, language: str) -> list[str]:
    """The thesis's third use: what takes a prompt, at its time with one where there is such a run."""
    sentences = []
    for name in filter(runs.index.__contains__, TAKES_TEXT):
        with_prompt = _times_with_prompt(runs.loc[name], related)
        time = with_prompt.iloc[-1] if len(with_prompt) else runs.loc[name, "time_s"]
        sentences.append(say("use_text" if len(with_prompt) else "use_text_without", language, models=_name(name, language),
                             time=significant(time, 3, language)))
    return sentences


def _times_with_prompt(run: pd.Series, related: pd.DataFrame) -> pd.Series:
    """Mean times, the newest last, of the runs with a prompt that are otherwise as `run`: the model, the precision, the steps."""
    related = related[(related["experiment"] == run.name) & (related["method"] == "genlib") & related["variant"].isin(["", "face-prompt"])
                      & (related["model"] == run["model"]) & (related["dtype"] == run["dtype"])]
    steps = steps_of(run["settings"])
    prompted = [bool(json.loads(text).get("prompt")) and steps_of(text) == steps for text in related["settings"]]
    return summary.summarize(related[prompted]).sort_values("started")["time_s"].dropna()


def cost_at_scale(df: pd.DataFrame, *, counts=(10**3, 10**6, 10**9), price_per_hour: float = 0.0, price_per_kwh: float = 0.0,
                  deadline_h: float = 24.0, language: str = "en") -> pd.DataFrame:
    """What many images take at the measured mean time: a row a model and count.

    Columns: images an hour on one device, device hours, kWh (a dash without a reading of energy), money (hours and kWh at their prices;
    a dash without a price, or where a priced energy was not read), devices for the deadline; in two or three digits. It is
    assumed that every image takes as long as those measured and that devices share the work without loss. Raises ValueError for a
    negative price or no deadline.
    """
    if not (deadline_h > 0 and price_per_hour >= 0 and price_per_kwh >= 0):
        raise ValueError(f"deadline_h is {deadline_h}, the prices {price_per_hour} and {price_per_kwh}: "
                         "use a deadline above 0, prices from 0 up")
    runs = summary.summarize(df).set_index("experiment").dropna(subset=["time_s"])
    rows = []
    for experiment in filter(runs.index.__contains__, tables.EXPERIMENTS):
        run = runs.loc[experiment]
        digits = 3 if run["time_s_high"] - run["time_s"] <= PRECISE * run["time_s"] else 2  # 2 too where no interval is known
        for count in counts:
            hours, kwh = count * run["time_s"] / 3600, count * run["energy_j"] / 3.6e6
            money = hours * price_per_hour + (kwh * price_per_kwh if price_per_kwh else 0)
            rows.append({
                say("model", language): row_name(df, experiment, language, ".short"), say("images", language): _grouped(count),
                say("images_per_hour", language): _plain(3600 / run["time_s"], digits, language),
                say("device_hours", language): _plain(hours, digits, language), say("kwh", language): _plain(kwh, digits, language),
                say("devices", language, hours=f"{deadline_h:g}"): _grouped(_rounded_up(ceil(hours / deadline_h), digits)),
                say("money", language): _plain(money, digits, language) if price_per_hour or price_per_kwh else MISSING})
    return pd.DataFrame(rows)


def _grouped(count: float) -> str:
    """Thousands apart by a thin space that does not break."""
    return f"{count:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _plain(value: float, digits: int, language: str) -> str:
    """In so many significant digits, of which the rest are zeros."""
    if value > 0:
        value = round(value, digits - 1 - floor(log10(value)))
    return _grouped(value) if value >= 1000 else significant(value, digits, language)


def _rounded_up(count: int, digits: int) -> int:
    """A count to so many significant digits, never fewer than are needed."""
    place = 10 ** max(0, len(str(count)) - digits)
    return ceil(count / place) * place
