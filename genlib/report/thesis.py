"""The figures that the thesis published, as it printed them, and the audit of them against runs.

Colab, the GPU not named; 50 steps at 6.5 to 6.9 UNet calls a second. MB are 1024² bytes. What it did not print is None.
"""
import json
import re
from math import isnan, nan
from pathlib import Path

import pandas as pd

from genlib.report import summary
from genlib.report.words import MISSING, WORDS, number, say, significant
from genlib.runs import Iteration, Machine, ModelInfo, Run

MB = 1024**2
STEPS = 50
MODEL = "Stable Diffusion v1-4"
PUBLISHED = {  # experiment: reading -> the average in Table 1, in SI units
    "stable-diffusion": dict(time_s=7.93, vram_peak_bytes=5619 * MB, ram_bytes=4271 * MB),
    "vae-as-in-thesis": dict(time_s=7.96, vram_peak_bytes=1136 * MB, ram_bytes=3917 * MB),  # VRAM: GPUtil, the whole device, read once
    "stylegan2-ada": dict(time_s=0.15, vram_peak_bytes=400 * MB, ram_bytes=260 * MB),
}
OTHER_READINGS = {("vae-as-in-thesis", "vram_peak_bytes")}  # the whole device's use: not to be divided into an allocator's peak
ITERATION_TIMES_S = {  # of StyleGAN2-ADA it prints the averages only
    "stable-diffusion": [7.79, 7.83, 7.94, 8.06, 8.05],
    "vae-as-in-thesis": [7.86, 7.88, 8.07, 8.09, 7.94],
}
ITERATION_VRAM_BYTES = {"stable-diffusion": round(5619.66 * MB)}  # printed for each iteration
ITERATION_RAM_BYTES = {"stable-diffusion": round(4278.79 * MB)}  # so printed, though its table says 4271


def as_run(experiment: str) -> Run:
    """The published iterations of an experiment as the record of a run, of method "thesis"."""
    vram, ram = ITERATION_VRAM_BYTES.get(experiment), ITERATION_RAM_BYTES.get(experiment)
    iterations = [Iteration(time_s=time, vram_peak_bytes=vram, ram_bytes=ram) for time in ITERATION_TIMES_S[experiment]]
    return Run(experiment, Machine("thesis", device="Colab GPU, model not named"), method="thesis", iterations=iterations,
               model=ModelInfo("Stable Diffusion v1-4", "published", "thesis", "CompVis/stable-diffusion-v1-4", dtype="not stated"),
               settings=dict(steps=STEPS), started="published", finished="published")


def write_reference(folder: Path) -> None:
    """Write the published iterations as run.json files, as `notebooks/reference/thesis` holds them."""
    for experiment in ITERATION_TIMES_S:
        run = as_run(experiment)
        run.folder = Path(folder) / "thesis" / experiment / "published-thesis" / "published"
        run.folder.mkdir(parents=True, exist_ok=True)
        run.save()


# --- the audit: each published figure held against runs of both methods

def audit(df: pd.DataFrame, language: str = "en") -> pd.DataFrame:
    """What to think of each published figure: how it was read, a verdict, the measurement that shows it; a row a figure, as text.

    df: runs of one machine, weights and profile, of every method and variant (tables.companions). What the publication shows by itself
    is judged anywhere. All else needs runs at full size on a GPU, of the thesis's number of steps: elsewhere the verdict is "cannot be
    judged here" with the reasons, and what was measured nevertheless.
    """
    here = _Here(df)
    rows = []
    for name, (read, judge) in SUSPECTS.items():
        here.other_steps = set()
        verdict, values = judge(here)
        reasons = [] if read == "published" else here.reasons_for(verdict, language)
        verdict = say("not_judged", language, reason="; ".join(reasons)) if reasons else say(f"verdict.{verdict}", language)
        rows.append({say("figure", language): say(f"audit.{name}", language), say("how_read", language): say(f"read.{read}", language),
                     say("verdict", language): verdict, say("evidence", language): _evidence(name, read, values, here, language)})
    return pd.DataFrame(rows)


def _evidence(name: str, read: str, values: dict, here: "_Here", language: str) -> str:
    """The sentences that show it, without those whose figures were not measured; where no figure was measured here, it says so."""
    shown = {key: _shown(value, key, language) for key, value in values.items()}
    key = f"evidence.{name}" if f"evidence.{name}" in WORDS else "evidence.both_readings"
    sentences = re.split(r"(?<=\.) (?=[A-ZА-ЯІЇЄ])", say(key, language, **shown))
    sentences = [sentence for sentence in sentences if MISSING not in sentence]
    if read != "published" and all(text == MISSING for key, text in shown.items() if not key.startswith("published")):
        sentences.append(say("not_measured_with_steps" if here.other_steps else "not_measured_here", language, published=STEPS))
    return " ".join(sentences)


class _Here:
    """The runs at hand of the thesis's model and number of steps, asked for by experiment, method and variant.

    other_steps: of runs that were asked for, and are there with other numbers of steps only.
    """

    def __init__(self, df: pd.DataFrame):
        df = df[(df["experiment"] != "stable-diffusion") | (df["model"] == MODEL)]  # another MODEL_ID says nothing of its figures
        runs = summary.summarize(df).sort_values("started")  # of several the newest is asked
        steps = pd.Series([json.loads(settings).get("steps", STEPS) for settings in runs["settings"]], runs.index, dtype=float)
        loops = runs["variant"].str.match("(steps|batch)-")  # their numbers of steps are no choice of the user's
        self.runs, self.left_out = runs[steps == STEPS], runs.assign(steps=steps)[(steps != STEPS) & ~loops]
        self.other_steps: set[int] = set()
        found = {"demo": ~df["weights"].isin(["published", "random"]).all(), "no_gpu": df["vram_peak_bytes"].isna().all(),
                 "profile": ~(df["profile"] == "thesis").all()}
        self.reasons = [reason for reason, is_so in found.items() if is_so and len(df)]

    def of(self, experiment: str, method: str = "", variant: str | None = None) -> pd.DataFrame:
        """The runs of an experiment, of one method and one variant if they are named."""
        def matching(runs):
            return runs[(runs["experiment"] == experiment) & (runs["method"] == (method or runs["method"]))
                        & (runs["variant"] == (runs["variant"] if variant is None else variant))]

        if (found := matching(self.runs)).empty:
            self.other_steps |= set(matching(self.left_out)["steps"].astype(int))
        return found

    def mean(self, experiment: str, reading: str, method: str = "genlib", variant: str = "") -> float:
        """A run's mean, NaN where there is none."""
        runs = self.of(experiment, method, "as-in-thesis" if method == "thesis" else variant)
        return float(runs.iloc[-1][reading]) if len(runs) and reading in runs and pd.notna(runs.iloc[-1][reading]) else nan

    def reasons_for(self, verdict: str | None, language: str) -> list[str]:
        """Why there is no such verdict; empty where there is one."""
        if verdict is not None and not self.reasons:
            return []
        missing = "steps" if self.other_steps else "" if self.reasons else "no_run"
        steps = ", ".join(map(str, sorted(self.other_steps)))
        return [say(f"reason_{reason}", language, steps=steps, published=STEPS) for reason in [*self.reasons, missing] if reason]


def _shown(value, key: str, language: str) -> str:
    if isinstance(value, str):
        return value
    if key.endswith("_mb"):
        return number(value / MB, 0, language)
    if key.startswith("published"):
        return number(value, 2, language)
    counts = {"levels": 0, "calls": 0, "different": 0, "percent": 1}
    return number(value, counts[key], language) if key in counts else significant(value, 3, language)


def _reproduces(experiment: str, reading: str, tolerance: float):
    """A judge: does the thesis's way of reading give its figure here? Our reading stands beside it."""
    published, unit = PUBLISHED[experiment][reading], "_s" if reading == "time_s" else "_mb"

    def judge(here: _Here):
        theirs, ours = here.mean(experiment, reading, "thesis"), here.mean(experiment, reading)
        verdict = None if isnan(theirs) else "reproduced" if abs(theirs / published - 1) <= tolerance else "not_reproduced"
        return verdict, {f"published{unit}": published, f"theirs{unit}": theirs, f"ours{unit}": ours}
    return judge


def _vram_of_stable_diffusion(here: _Here):
    """By whichever of the runs at hand comes nearest: the thesis does not say its precision, nor whether its checker was there."""
    published, runs = PUBLISHED["stable-diffusion"]["vram_peak_bytes"], here.of("stable-diffusion")
    runs = runs[runs["vram_peak_bytes"].notna() & ~runs["variant"].str.startswith("batch-")]
    if runs.empty:
        return None, dict(published_mb=published, nearest_mb=nan, conditions=MISSING)
    nearest = runs.loc[(runs["vram_peak_bytes"] - published).abs().idxmin()]
    verdict = "reproduced" if abs(nearest["vram_peak_bytes"] / published - 1) <= SAME_VRAM else "not_reproduced"
    conditions = ", ".join(filter(None, (nearest["dtype"], nearest["variant"], nearest["method"])))
    return verdict, dict(published_mb=published, nearest_mb=float(nearest["vram_peak_bytes"]), conditions=conditions)


def _vae_time(here: _Here):
    whole, alone = here.mean("vae-as-in-thesis", "time_s"), here.mean("vae-round-trip", "time_s")
    share = alone / whole
    return None if isnan(share) else "impossible" if share < 0.5 else "not_shown", dict(whole_s=whole, alone_s=alone, percent=100 * share)


def _vae_vram(here: _Here):
    published = PUBLISHED["vae-as-in-thesis"]["vram_peak_bytes"]
    weights, gputil = here.mean("vae-as-in-thesis", "weights_bytes"), here.mean("vae-as-in-thesis", "vram_device_bytes", "thesis")
    verdict = None if isnan(gputil) else "impossible" if min(weights, gputil) > published else "not_shown"
    return verdict, dict(published_mb=published, weights_mb=weights, gputil_mb=gputil,
                         allocator_mb=here.mean("vae-as-in-thesis", "vram_peak_bytes"))


def _gan_time(here: _Here):
    verdict, values = _reproduces("stylegan2-ada", "time_s", SAME)(here)
    left_out = 1 - values["theirs_s"] / values["ours_s"]
    return "impossible" if left_out > SAME else verdict, values | dict(percent=100 * left_out)


def _gan_ram(here: _Here):
    published, least = PUBLISHED["stylegan2-ada"]["ram_bytes"], here.runs["ram_bytes"].min() if len(here.runs) else nan
    verdict = None if isnan(least) else "impossible" if least > published else "not_shown"
    return verdict, dict(published_mb=published, least_mb=least, gib=least / 1024**3)


def _contradiction(here: _Here):
    printed, table = ITERATION_RAM_BYTES["stable-diffusion"], PUBLISHED["stable-diffusion"]["ram_bytes"]
    return "contradicts" if round(printed / MB) != round(table / MB) else "not_shown", dict(printed_mb=printed, table_mb=table)


def _warm_up(here: _Here):
    first, *rest = ITERATION_TIMES_S["stable-diffusion"]
    mean = here.mean("stable-diffusion", "time_s")
    return "confirmed" if first > max(rest) else "refuted", dict(first_s=first, rest_s=sum(rest) / len(rest), mean_s=mean,
                                                                 here_s=here.mean("stable-diffusion", "first_image_s"))


def _spread(here: _Here):
    from scipy.stats import ttest_ind

    p = float(ttest_ind(*ITERATION_TIMES_S.values(), equal_var=False).pvalue)
    cv = {name: 100 * pd.Series(times).std() / pd.Series(times).mean() for name, times in ITERATION_TIMES_S.items()}
    return "confirmed" if p > 0.05 else "refuted", dict(sd_percent=cv["stable-diffusion"], vae_percent=cv["vae-as-in-thesis"], p=p)


def _guidance(here: _Here):
    levels = here.mean("stable-diffusion", "quality.largest_difference", variant="guidance-1")
    with_it, without = here.mean("stable-diffusion", "time_s"), here.mean("stable-diffusion", "time_s", variant="guidance-1")
    verdict = None if isnan(levels) else "confirmed" if levels <= 1 else "refuted"
    return verdict, dict(levels=levels, with_s=with_it, without_s=without)


def _unet_calls(here: _Here):
    calls = here.mean("stable-diffusion", "quality.unet_calls")
    return None if isnan(calls) else "confirmed" if calls == STEPS + 1 else "refuted", dict(calls=calls)


def _identical(here: _Here):
    different = here.mean("stable-diffusion", "quality.different_pictures")
    return None if isnan(different) else "confirmed" if different == 1 else "refuted", dict(different=different)


SAME, SAME_VRAM = 0.1, 0.01  # within which a figure counts as reproduced: another card is slower, but a peak is the same on all
SUSPECTS = {  # name: how it was read ("published": the publication itself shows it), who judges
    "sd_time": ("clock", _reproduces("stable-diffusion", "time_s", SAME)),
    "sd_vram": ("allocator", _vram_of_stable_diffusion),
    "sd_ram": ("published", _contradiction),
    "vae_time": ("clock", _vae_time),
    "vae_vram": ("gputil", _vae_vram),
    "vae_ram": ("rss", _reproduces("vae-as-in-thesis", "ram_bytes", SAME)),
    "gan_time": ("launch", _gan_time),
    "gan_vram": ("allocator", _reproduces("stylegan2-ada", "vram_peak_bytes", SAME)),
    "gan_ram": ("rss", _gan_ram),
    "warm_up": ("published", _warm_up),
    "spread": ("published", _spread),
    "guidance": ("design", _guidance),
    "unet_calls": ("design", _unet_calls),
    "identical": ("design", _identical),
}
