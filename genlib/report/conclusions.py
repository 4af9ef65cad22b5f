"""What the figures say, in sentences: only what the runs at hand bear."""
import numpy as np
import pandas as pd

from genlib.experiments import find
from genlib.locale import N_
from genlib.locale.numbers import span
from genlib.record import MB, QUALITIES, READINGS
from genlib.report import cells
from genlib.report.summary import readings
from genlib.runs import Run

REAL_TIME_S = 1 / 25  # an image of film; slower is seen as single pictures
WEAK_BYTES = 4 * 1024**3  # memory of a small graphics card
LEAST = 3  # times for a test of spread: two are always equally far from their median
SPREAD_P = 0.05  # chance that the test finds a difference among spreads that are equal


def conclude(report) -> list[str]:
    """Sentences with their figures: the fastest, smallest and most stable model, quality, which model for
    which use.

    Models whose 95 % intervals overlap or are unknown are not ranked in time, nor those in stability whose
    spreads no test can tell apart; with unlike numbers of steps nothing is ranked. A figure that no run has
    gives no sentence. The last sentence says what the figures cannot tell. An experiment that contains
    another is left out beside it, and a sentence says so. Of random weights no quality is told.
    """
    runs = report.rows.dropna(subset=["time_s"])
    if runs.empty:
        return [report.say("No run for the table of results succeeded, so there is nothing to conclude.")]
    wholes = [slug for slug in runs.index if find(slug).contains in runs.index]
    left_out = [report.say("{whole} contains {part}, beside which it is left out here.", whole=_name(report, slug),
                           part=_name(report, find(slug).contains)) for slug in wholes]
    runs = runs.drop(wholes)
    denoised = runs["steps"].dropna()
    if unlike := denoised.nunique() > 1:
        names = "; ".join(cells.with_steps(report, slug) for slug in denoised.index)
        ranked = [report.say("The runs differ in their number of steps, so that nothing is ranked: {models}.", models=names)]
    else:
        ranked = [*_fastest(report, runs), *_smallest(report, runs), *_more_stable(report, runs)]
    return [*left_out, *_without_ram_of_its_own(report, runs), *ranked, *_best(report, runs, ranked=not unlike),
            *_for_real_time(report, runs), *_for_little_memory(report, runs), *_by_text(report, runs), _limits(report, runs)]


def _limits(report, runs: pd.DataFrame) -> str:
    sentence = report.say("These conclusions hold for {device}, with n = {n}.", device=runs["device"].iloc[0],
                          n=cells.counts(runs))
    return f"{sentence} {report.say(cells.WEIGHTS[runs['weights'].iloc[0]][1])}".strip()


def _name(report, slug: str) -> str:
    return report.text(find(slug).label)


def _names(report, slugs) -> str:
    return ", ".join(_name(report, slug) for slug in slugs)


def _listed(report, figures: dict[str, str]) -> str:
    """The figure of each experiment behind its name."""
    return "; ".join(f"{_name(report, slug)} {figure}" for slug, figure in figures.items())


def _fastest(report, runs: pd.DataFrame) -> list[str]:
    ranked = runs.sort_values("time_s")
    if len(ranked) < 2:
        return []
    first, second, last = ranked.iloc[0], ranked.iloc[1], ranked.iloc[-1]
    if ranked["time_s_low"].isna().any():
        times = _listed(report, {slug: report.significant(time, 3) for slug, time in ranked["time_s"].items()})
        return [report.say("Of one iteration no interval is known, so that times are not ranked. Seconds an image: {figures}.",
                           figures=times)]
    if not first["time_s_high"] < second["time_s_low"]:
        return [report.say("{first} ({first_s} s) and {second} ({second_s} s) cannot be told apart in time: the 95 % intervals overlap.",
                           first=_name(report, first.name), second=_name(report, second.name),
                           first_s=cells.interval(report, first), second_s=cells.interval(report, second))]
    times = last["time_s"] / first["time_s"]
    longer = report.say(N_("{times} times as long", "fraction"), times=report.rounded(times, 1)) if times < 10 else \
        report.count("{n} times as long", "{n} times as long", round(times))
    return [report.say("Fastest is {model}: {time} s an image; {slowest} takes {slowest_s} s, {longer}.",
                       model=_name(report, first.name), time=report.significant(first["time_s"], 3), slowest=_name(report, last.name),
                       slowest_s=report.significant(last["time_s"], 3), longer=longer)]


def _smallest(report, runs: pd.DataFrame) -> list[str]:
    """By Table 1's readings: VRAM's peak, or RAM at the end where it is the experiment's own."""
    in_vram = runs["vram_peak_bytes"].notna().all()
    sizes = (runs["vram_peak_bytes"] if in_vram else runs["ram_bytes"][_own_ram(runs)].dropna()).sort_values()
    shown = [report.rounded(size / MB, 0) for size in sizes]
    if len(set(shown)) < 2:
        return []
    return [report.say("Smallest is {model}, with {mb} MB {memory}; most takes {largest}: {largest_mb} MB.",
                       model=_name(report, sizes.index[0]), mb=shown[0], memory=report.say(READINGS[sizes.name].phrase),
                       largest=_name(report, sizes.index[-1]), largest_mb=shown[-1])]


def _without_ram_of_its_own(report, runs: pd.DataFrame) -> list[str]:
    """Whose RAM is not told, where no VRAM is told instead."""
    shared = [slug for slug in runs.index if not find(slug).own_ram and runs["vram_peak_bytes"].isna().any()]
    return [report.say("The RAM of {models} is left out: its process may hold what ran in it before.",
                       models=_names(report, shared))] * bool(shared)


def _own_ram(runs: pd.DataFrame) -> list[bool]:
    return [find(slug).own_ram for slug in runs.index]


def _more_stable(report, runs: pd.DataFrame) -> list[str]:
    spread = runs["time_s_cv"].dropna().sort_values()
    if len(spread) < 2:
        return []
    shares = {slug: report.rounded(100 * share, 1) for slug, share in spread.items()}
    least, most, pairs = spread.index[0], spread.index[-1], len(spread) * (len(spread) - 1) / 2
    if pairs * _p_of_equal_spreads(runs.loc[[least, most]]) < SPREAD_P:  # Bonferroni: the pair was chosen among all
        return [report.say("{model} is more stable than {other}: its time varies by {percent} %, that of {other} by {other_percent} % "
                           "(Brown–Forsythe test with Bonferroni’s correction, p < {p}).",
                           model=_name(report, least), other=_name(report, most),
                           percent=shares[least], other_percent=shares[most], p=report.rounded(SPREAD_P, 2))]
    figures = _listed(report, {slug: f"{shares[slug]} %" for slug in runs.index if slug in shares})
    return [report.say("The spreads of the times cannot be told apart at n = {n}: {figures}.",
                       n=span(sorted(runs.loc[spread.index, "n"])), figures=figures)]


def _p_of_equal_spreads(runs: pd.DataFrame) -> float:
    """Brown and Forsythe's test (1974) of times over their median, normal or not; NaN for too few."""
    from scipy.stats import levene

    relative = [times / times.median() for times in (readings(run.good, "time_s") for run in runs["run"])]
    if min(map(len, relative)) < LEAST or max(map(np.ptp, relative)) == 0:
        return float("nan")
    return float(levene(*relative, center="median").pvalue)


def _best(report, runs: pd.DataFrame, ranked: bool) -> list[str]:
    if runs["weights"].iloc[0] == "random":  # whose pictures are noise
        return []
    sentences, shown = [], set()
    for name, reading in QUALITIES.items():
        values = runs[f"quality.{name}"].dropna().sort_values(ascending=False) if f"quality.{name}" in runs else []
        if not reading.ranked or not len(values):
            continue
        shown.add(name)
        texts = [cells.figure(report, value, reading) for value in values]
        figures, measure = _listed(report, dict(zip(values.index, texts, strict=True))), cells.head(report, reading)
        if ranked and len(texts) > 1 and texts[0] != texts[1]:
            sentences.append(report.say("{measure}: {figures}; the highest is that of {model}.", measure=measure, figures=figures,
                                        model=_name(report, values.index[0])))
        else:
            sentences.append(f"{measure}: {figures}.")
    limits = {"sharpness": N_("sharpness does not say whether a picture shows a face"),
              "diversity": N_("diversity is that of a few pictures and says little of a model’s range"),
              "psnr_db": N_("PSNR and SSIM compare a picture with its own original only")}
    said = "; ".join(report.say(limit) for name, limit in limits.items() if name in shown)
    return sentences + [report.say("What these figures cannot tell: {limits}.", limits=said)] * bool(said)


def _for_real_time(report, runs: pd.DataFrame) -> list[str]:
    quick = runs.index[runs["time_s"] <= REAL_TIME_S]
    per_second = _listed(report, {slug: report.significant(1 / time, 2) for slug, time in runs["time_s"].items()})
    said = N_("For real time (25 images a second) these serve: {models}. Images a second: {figures}.") if len(quick) else \
        N_("For real time (25 images a second) none serves here. Images a second: {figures}.")
    return [report.say(said, models=_names(report, quick), figures=per_second)]


def _for_little_memory(report, runs: pd.DataFrame) -> list[str]:
    """On a GPU by what the device held, which is more than the allocator's; else by the process's peak."""
    if runs["vram_peak_bytes"].notna().any():
        peaks = pd.Series({slug: _held_by_device(run) for slug, run in runs["run"].items()})
        fits = N_("For weak machines (4 GB of VRAM) these serve: {models}. The device held at most, in MB: {figures}.")
        none = N_("For weak machines (4 GB of VRAM) none serves. The device held at most, in MB: {figures}.")
        unknown = peaks.index[peaks.isna()]
    else:
        peaks = runs["ram_peak_bytes"][_own_ram(runs)]
        fits = N_("For weak machines (4 GB of RAM) these serve: {models}. The process held at most, in MB: {figures}.")
        none = N_("For weak machines (4 GB of RAM) none serves. The process held at most, in MB: {figures}.")
        unknown = []
    peaks = peaks.dropna()
    light = peaks.index[peaks <= WEAK_BYTES]
    figures = _listed(report, {slug: report.rounded(peak / MB, 0) for slug, peak in peaks.items()})
    return [report.say(fits if len(light) else none, models=_names(report, light), figures=figures)] * bool(figures) + \
        [report.say("Whether 4 GB of VRAM are enough is not known of {models}: what the device held was not read.",
                    models=_names(report, unknown))] * bool(len(unknown))


def _held_by_device(run: Run) -> float:
    """The most that the GPU held during an iteration, without what other processes held; NaN if unknown."""
    return (readings(run.good, "vram_device_bytes") - readings(run.good, "vram_others_bytes").fillna(0)).max()


def _by_text(report, runs: pd.DataFrame) -> list[str]:
    """What takes a prompt, at its time with one where there is such a run."""
    sentences = []
    for slug, run in runs[[find(slug).takes_text for slug in runs.index]].iterrows():
        prompted = _with_prompt(report, run)
        said = N_("Control by text: of these models {model} takes a prompt; with one it takes {time} s an image (n = {n}).") \
            if len(prompted) else N_("Control by text: of these models {model} takes a prompt; the {time} s an image are without one.")
        shown = prompted.iloc[-1] if len(prompted) else run
        sentences.append(report.say(said, model=_name(report, slug), time=report.significant(shown["time_s"], 3),
                                    n=cells.iterations(shown)))
    return sentences


def _with_prompt(report, run: pd.Series) -> pd.DataFrame:
    """Runs that succeeded, newest last, with a prompt and the same model, precision and steps as `run`."""
    rows, same = report.summary.sort_values("when", kind="stable"), ["experiment", "method", "model", "dtype"]
    rows = rows[(rows[same] == run[same]).all(axis=1) & rows["variant"].isin(["", find(run["experiment"]).prompted_variant])
                & ((rows["steps"] == run["steps"]) | (rows["steps"].isna() & pd.isna(run["steps"])))]
    return rows[[bool(one.settings.get("prompt")) for one in rows["run"]]].dropna(subset=["time_s"])
