"""What the figures say, in sentences, and what many images would cost; both of the iterations of one group (tables.pick)."""
from math import ceil

import pandas as pd

from genlib.report import summary, tables
from genlib.report.words import MISSING, number, say, significant

FAMILIES = ["stable-diffusion", "vae-round-trip", "stylegan2-ada"]  # the VAE alone: in the thesis's own row a diffusion run is inside
TAKES_TEXT = ["stable-diffusion"]
REAL_TIME_S = 1 / 25  # an image of film; slower is seen as single pictures
WEAK_BYTES = 4 * 1024**3  # memory of a small graphics card
QUALITY = ["psnr_db", "ssim", "sharpness", "diversity"]  # more is better, or at least more of it


def conclude(df: pd.DataFrame, language: str = "en") -> list[str]:
    """Sentences with their figures: fastest, smallest, most stable, best of each quality measure, which model for which use.

    Two models whose 95 % intervals overlap are not ranked. A figure that no run has gives no sentence. The last one says what the
    figures cannot tell.
    """
    runs = summary.summarize(df).set_index("experiment")
    runs = runs.reindex([name for name in FAMILIES if name in runs.index]).dropna(subset=["time_s"])
    if runs.empty:
        return [say("nothing_to_conclude", language)]
    sentences = [*_fastest(runs, language), *_smallest(runs, language), *_most_stable(runs, language), *_best(runs, language),
                 *_uses(runs, language)]
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


def _memory(runs: pd.DataFrame) -> str:
    return "vram_peak_bytes" if runs["vram_peak_bytes"].notna().all() else "ram_peak_bytes"


def _smallest(runs: pd.DataFrame, language: str) -> list[str]:
    reading = _memory(runs)
    sizes = runs[reading].dropna().sort_values()
    if len(sizes) < 2:
        return []
    smallest, largest = _name(sizes.index[0], language), _name(sizes.index[-1], language)
    return [say("smallest", language, model=smallest, mb=_mb(sizes.iloc[0], language), memory=_kind(reading, language), largest=largest,
                largest_mb=_mb(sizes.iloc[-1], language))]


def _kind(reading: str, language: str) -> str:
    return say("of_vram" if reading.startswith("vram") else "of_ram", language)


def _mb(size: float, language: str) -> str:
    return number(size / tables.MB, 0, language)


def _most_stable(runs: pd.DataFrame, language: str) -> list[str]:
    spread = runs["time_s_cv"].dropna().sort_values()
    if len(spread) < 2:
        return []
    shares = [number(100 * spread.iloc[place], 1, language) for place in (0, -1)]
    return [say("most_stable", language, model=_name(spread.index[0], language), percent=shares[0],
                other=_name(spread.index[-1], language), other_percent=shares[1])]


def _best(runs: pd.DataFrame, language: str) -> list[str]:
    sentences = []
    for measure in QUALITY:
        values = runs[f"quality.{measure}"].dropna() if f"quality.{measure}" in runs else pd.Series(dtype=float)
        values = values.sort_values(ascending=False)
        figures = "; ".join(f"{_name(name, language)} {significant(value, 3, language)}" for name, value in values.items())
        if len(values):
            sentences.append(say("quality_of", language, measure=say(f"quality.{measure}", language), figures=figures,
                                 best=say("more_is", language, model=_name(values.index[0], language)) if len(values) > 1 else ""))
    return sentences + [say("quality_limits", language)] * bool(sentences)


def _uses(runs: pd.DataFrame, language: str) -> list[str]:
    """The thesis's uses: real time, a weak machine, control by text."""
    quick, reading = runs[runs["time_s"] <= REAL_TIME_S], _memory(runs)
    light = runs[runs[reading] <= WEAK_BYTES]
    per_second = "; ".join(f"{_name(name, language)} {significant(1 / run['time_s'], 2, language)}" for name, run in runs.iterrows())
    sizes = "; ".join(f"{_name(name, language)} {_mb(run[reading], language)}" for name, run in runs.iterrows() if pd.notna(run[reading]))
    sentences = [say("use_real_time" if len(quick) else "use_real_time_none", language, models=_names(quick.index, language),
                     figures=per_second)]
    if sizes:
        sentences.append(say("use_weak" if len(light) else "use_weak_none", language, models=_names(light.index, language), figures=sizes,
                             memory=_kind(reading, language)))
    text = [name for name in TAKES_TEXT if name in runs.index]
    return sentences + [say("use_text", language, models=_names(text, language), time=significant(runs.loc[name, "time_s"], 3, language))
                        for name in text]


def cost_at_scale(df: pd.DataFrame, *, counts=(10**3, 10**6, 10**9), price_per_hour: float = 0.0, price_per_kwh: float = 0.0,
                  deadline_h: float = 24.0, language: str = "en") -> pd.DataFrame:
    """What many images take at the measured mean time: a row a model and count.

    Columns: images an hour on one device, device hours, kWh (a dash without a reading of energy), money (hours and kWh at their prices;
    a dash without a price, or where a priced energy was not read), devices for the deadline. It is assumed that every image takes as
    long as those measured and that devices share the work without loss. Raises ValueError for a negative price or no deadline.
    """
    if not (deadline_h > 0 and price_per_hour >= 0 and price_per_kwh >= 0):
        raise ValueError(f"deadline_h is {deadline_h}, the prices {price_per_hour} and {price_per_kwh}: "
                         "use a deadline above 0, prices from 0 up")
    runs = summary.summarize(df).set_index("experiment").dropna(subset=["time_s"])
    rows = []
    for experiment in filter(runs.index.__contains__, tables.EXPERIMENTS):
        run = runs.loc[experiment]
        for count in counts:
            hours, kwh = count * run["time_s"] / 3600, count * run["energy_j"] / 3.6e6
            money = hours * price_per_hour + (kwh * price_per_kwh if price_per_kwh else 0)
            rows.append({
                say("model", language): _name(experiment, language), say("images", language): _grouped(count),
                say("images_per_hour", language): _grouped(3600 / run["time_s"]), say("device_hours", language): _plain(hours, language),
                say("kwh", language): _plain(kwh, language),
                say("devices", language, hours=f"{deadline_h:g}"): _grouped(ceil(hours / deadline_h)),
                say("money", language): _plain(money, language) if price_per_hour or price_per_kwh else MISSING})
    return pd.DataFrame(rows)


def _grouped(count: float) -> str:
    """Thousands apart by a thin space that does not break."""
    return f"{count:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _plain(value: float, language: str) -> str:
    return _grouped(value) if value >= 1000 else significant(value, 3, language)
