"""The audit: each figure that the thesis published, held against runs read in its way and in ours."""
from collections.abc import Callable
from math import isnan, nan
from typing import NamedTuple

import pandas as pd

from genlib.experiments import STABLE_DIFFUSION, STEPS, STYLEGAN2_ADA, VAE_AS_IN_THESIS, VAE_ROUND_TRIP, Experiment
from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.record import MB
from genlib.report import cells

SAME, SAME_VRAM = 0.1, 0.01  # how far a reproduced figure may be off: cards differ in speed, not in the peak
PUBLICATION = N_("as published")  # the publication itself shows it, so that it is judged on any machine
CLOCK = N_("wall clock around the call, first image counted")
LAUNCH = N_("wall clock until the call returns, without synchronising")
ALLOCATOR = N_("torch’s peak, never reset")
GPUTIL = N_("GPUtil, whole device, once after the iteration")
RSS = N_("RSS at the end")
DESIGN = N_("how the experiment is set up")
REPRODUCED, NOT_REPRODUCED = N_("reproduced", "verdict"), N_("not reproduced")
IMPOSSIBLE, NOT_SHOWN = N_("cannot be what it says"), N_("nothing speaks against it here")
CONTRADICTS, CONFIRMED, REFUTED = N_("contradicts itself"), N_("confirmed", "verdict"), N_("refuted", "verdict")
BOTH_MEMORY = (N_("Published: {published_mb} MB."), N_("The thesis’s reading gives {theirs_mb} MB here."),
               N_("Our reading gives {ours_mb} MB here."))


def audit(report) -> tuple[pd.DataFrame, str]:
    """A row for each published figure: how it was read, a verdict, and the measurement that supports the
    verdict.

    What the publication shows by itself is judged anywhere. Everything else needs runs at full size on a GPU,
    with the thesis's number of steps. Without them the verdict is "cannot be judged here", with the reasons
    and with what was measured all the same.
    """
    here, rows = _Here(report), []
    for suspect in SUSPECTS:
        here.other_steps = set()
        verdict, values = suspect.judge(here)
        reasons = [] if suspect.read == PUBLICATION else here.reasons_for(verdict)
        verdict = report.say("cannot be judged here ({reason})", reason="; ".join(reasons)) if reasons else report.say(verdict)
        rows.append({
            report.say("Figure of the thesis"): report.say(suspect.figure, model=suspect.model and report.text(suspect.model.label)),
            report.say("How it was read"): report.say(suspect.read), report.say(N_("Verdict", "column")): verdict,
            report.say("What shows it"): _evidence(report, suspect, values, here)})
    return pd.DataFrame(rows), cells.note(report, report.rows if len(report.rows) else report.summary)


def _evidence(report, suspect: "Suspect", values: dict, here: "_Here") -> str:
    """The sentences whose figures were measured; one that says so where none was."""
    shown = {key: _shown(report, value, key) for key, value in values.items()}
    sentences = [said for sentence in suspect.evidence if MISSING not in (said := report.say(sentence, **shown))]
    if suspect.read != PUBLICATION and all(text == MISSING for key, text in shown.items() if not key.startswith("published")):
        sentences.append(report.say("Not measured here with {steps}.", steps=cells.steps_text(report, [STEPS])) if here.other_steps else
                         report.say("Not measured here."))
    return " ".join(sentences)


def _shown(report, value, key: str) -> str:
    if isinstance(value, str):
        return value
    if key.endswith("_mb"):
        return report.rounded(value / MB, 0)
    if key.startswith("published"):
        return report.rounded(value, 2)
    counts = {"levels": 0, "calls": 0, "different": 0, "percent": 1}
    return report.rounded(value, counts[key]) if key in counts else report.significant(value, 3)


class _Here:
    """The runs that can be held against the thesis's: its model, its number of steps.

    other_steps: the numbers of steps of runs that were asked for, but are there only with those.
    """

    def __init__(self, report):
        self.report, runs = report, report.summary.sort_values("when", kind="stable")  # the newest of a kind is asked
        published = STABLE_DIFFUSION.published
        runs = runs[(runs["experiment"] != STABLE_DIFFUSION.slug) | (runs["model"] == published.model)]  # others prove nothing
        steps = runs["steps"].fillna(STEPS)
        loops = runs["variant"].str.match("(steps|batch)-")  # which vary the steps on purpose
        self.runs, self.left_out = runs[steps == STEPS], runs[(steps != STEPS) & ~loops]
        self.other_steps: set[int] = set()
        weights, profile = report.summary["weights"].iloc[0], report.summary["profile"].iloc[0]
        found = {report.say("demonstration weights"): weights not in ("published", "random"),
                 report.say("no GPU"): runs["vram_peak_bytes"].isna().all(),
                 report.say("another profile than the thesis’s"): profile != "thesis"}
        self.reasons = [reason for reason, is_so in found.items() if is_so and len(runs)]  # without runs, nothing can be blamed

    def of(self, entry: Experiment, method: str = "", variant: str | None = None) -> pd.DataFrame:
        """The runs of an experiment, of one method and one variant if they are named."""
        def matching(runs):
            return runs[(runs["experiment"] == entry.slug) & (runs["method"] == (method or runs["method"]))
                        & (runs["variant"] == (runs["variant"] if variant is None else variant))]

        if (found := matching(self.runs)).empty:
            self.other_steps |= set(matching(self.left_out)["steps"].astype(int))
        return found

    def mean(self, entry: Experiment, reading: str, method: str = "genlib", variant: str = "") -> float:
        """A run's mean, NaN where there is none."""
        runs = self.of(entry, method, "as-in-thesis" if method == "thesis" else variant)
        return float(runs.iloc[-1][reading]) if len(runs) and reading in runs and pd.notna(runs.iloc[-1][reading]) else nan

    def reasons_for(self, verdict: str | None) -> list[str]:
        """Why there is no such verdict; empty where there is one."""
        if verdict is not None and not self.reasons:
            return []
        if self.other_steps:
            given = sorted(self.other_steps)
            reason = self.report.count("{steps} step instead of {published}", "{steps} steps instead of {published}", given[-1],
                                       steps=", ".join(map(str, given)), published=STEPS)
            return [*self.reasons, reason]
        return self.reasons or [self.report.say("no such run")]


def _reproduces(entry: Experiment, reading: str, tolerance: float):
    """A judge: does the thesis's way of reading give its figure here? Our reading stands beside it."""
    published, unit = entry.published.averages[reading], "_s" if reading == "time_s" else "_mb"

    def judge(here: _Here):
        theirs, ours = here.mean(entry, reading, "thesis"), here.mean(entry, reading)
        verdict = None if isnan(theirs) else REPRODUCED if abs(theirs / published - 1) <= tolerance else NOT_REPRODUCED
        return verdict, {f"published{unit}": published, f"theirs{unit}": theirs, f"ours{unit}": ours}
    return judge


def _vram_of_stable_diffusion(here: _Here):
    """By the run that comes nearest, since the thesis states neither precision nor safety checker."""
    published, runs = STABLE_DIFFUSION.published.averages["vram_peak_bytes"], here.of(STABLE_DIFFUSION)
    runs = runs[runs["vram_peak_bytes"].notna() & ~runs["variant"].str.startswith("batch-")]
    if runs.empty:
        return None, dict(published_mb=published, nearest_mb=nan, conditions=MISSING)
    nearest = runs.loc[(runs["vram_peak_bytes"] - published).abs().idxmin()]
    verdict = REPRODUCED if abs(nearest["vram_peak_bytes"] / published - 1) <= SAME_VRAM else NOT_REPRODUCED
    conditions = ", ".join(filter(None, (nearest["dtype"], nearest["variant"], nearest["method"])))
    return verdict, dict(published_mb=published, nearest_mb=float(nearest["vram_peak_bytes"]), conditions=conditions)


def _vae_time(here: _Here):
    whole, alone = here.mean(VAE_AS_IN_THESIS, "time_s"), here.mean(VAE_ROUND_TRIP, "time_s")
    share = alone / whole
    return None if isnan(share) else IMPOSSIBLE if share < 0.5 else NOT_SHOWN, dict(whole_s=whole, alone_s=alone, percent=100 * share)


def _vae_vram(here: _Here):
    published = VAE_AS_IN_THESIS.published.averages["vram_peak_bytes"]
    weights, gputil = here.mean(VAE_AS_IN_THESIS, "weights_bytes"), here.mean(VAE_AS_IN_THESIS, "vram_device_bytes", "thesis")
    verdict = None if isnan(gputil) else IMPOSSIBLE if min(weights, gputil) > published else NOT_SHOWN
    return verdict, dict(published_mb=published, weights_mb=weights, gputil_mb=gputil,
                         allocator_mb=here.mean(VAE_AS_IN_THESIS, "vram_peak_bytes"))


def _gan_time(here: _Here):
    verdict, values = _reproduces(STYLEGAN2_ADA, "time_s", SAME)(here)
    left_out = 1 - values["theirs_s"] / values["ours_s"]
    return IMPOSSIBLE if left_out > SAME else verdict, values | dict(percent=100 * left_out)


def _gan_ram(here: _Here):
    published, least = STYLEGAN2_ADA.published.averages["ram_bytes"], here.runs["ram_bytes"].min() if len(here.runs) else nan
    verdict = None if isnan(least) else IMPOSSIBLE if least > published else NOT_SHOWN
    return verdict, dict(published_mb=published, least_mb=least, gib=least / 1024**3)


def _contradiction(here: _Here):
    printed, table = STABLE_DIFFUSION.published.ram_bytes, STABLE_DIFFUSION.published.averages["ram_bytes"]
    return CONTRADICTS if round(printed / MB) != round(table / MB) else NOT_SHOWN, dict(printed_mb=printed, table_mb=table)


def _warm_up(here: _Here):
    first, *rest = STABLE_DIFFUSION.published.times_s
    mean = here.mean(STABLE_DIFFUSION, "time_s")
    return CONFIRMED if first > max(rest) else REFUTED, dict(first_s=first, rest_s=sum(rest) / len(rest), mean_s=mean,
                                                             here_s=here.mean(STABLE_DIFFUSION, "first_image_s"))


def _spread(here: _Here):
    from scipy.stats import ttest_ind

    times = [pd.Series(entry.published.times_s) for entry in (STABLE_DIFFUSION, VAE_AS_IN_THESIS)]
    p = float(ttest_ind(*times, equal_var=False).pvalue)
    sd, vae = (100 * values.std() / values.mean() for values in times)
    return CONFIRMED if p > 0.05 else REFUTED, dict(sd_percent=sd, vae_percent=vae, p=p)


def _guidance(here: _Here):
    levels = here.mean(STABLE_DIFFUSION, "quality.largest_difference", variant="guidance-1")
    with_it, without = here.mean(STABLE_DIFFUSION, "time_s"), here.mean(STABLE_DIFFUSION, "time_s", variant="guidance-1")
    verdict = None if isnan(levels) else CONFIRMED if levels <= 1 else REFUTED
    return verdict, dict(levels=levels, with_s=with_it, without_s=without)


def _unet_calls(here: _Here):
    calls = here.mean(STABLE_DIFFUSION, "quality.unet_calls")
    return None if isnan(calls) else CONFIRMED if calls == STEPS + 1 else REFUTED, dict(calls=calls)


def _identical(here: _Here):
    different = here.mean(STABLE_DIFFUSION, "quality.different_pictures")
    return None if isnan(different) else CONFIRMED if different == 1 else REFUTED, dict(different=different)


class Suspect(NamedTuple):
    """A published figure or a question that it raises, with its judge and the sentences of its evidence."""
    figure: str
    model: Experiment | None
    read: str
    judge: Callable
    evidence: tuple[str, ...]


TIME, VRAM, RAM = N_("{model}: time"), N_("{model}: VRAM"), N_("{model}: RAM")
SUSPECTS = [
    Suspect(TIME, STABLE_DIFFUSION, CLOCK, _reproduces(STABLE_DIFFUSION, "time_s", SAME),
            (N_("Published: {published_s} s."), N_("The thesis’s reading gives {theirs_s} s here."),
             N_("The synchronised reading gives {ours_s} s here."))),
    Suspect(VRAM, STABLE_DIFFUSION, ALLOCATOR, _vram_of_stable_diffusion,
            (N_("Published: {published_mb} MB."), N_("Of the runs here the nearest has {nearest_mb} MB: {conditions}."))),
    Suspect(RAM, STABLE_DIFFUSION, PUBLICATION, _contradiction,
            (N_("Every iteration is printed with {printed_mb} MB, their average with {table_mb} MB."),)),
    Suspect(TIME, VAE_AS_IN_THESIS, CLOCK, _vae_time,
            (N_("The row takes {whole_s} s here."), N_("The autoencoder alone takes {alone_s} s here."),
             N_("That is {percent} %: the rest is the drawing of the face."))),
    Suspect(VRAM, VAE_AS_IN_THESIS, GPUTIL, _vae_vram,
            (N_("Published: {published_mb} MB."), N_("The pipeline’s weights alone are {weights_mb} MB."),
             N_("GPUtil reads {gputil_mb} MB here."), N_("The allocator’s peak is {allocator_mb} MB here."))),
    Suspect(RAM, VAE_AS_IN_THESIS, RSS, _reproduces(VAE_AS_IN_THESIS, "ram_bytes", SAME), BOTH_MEMORY),
    Suspect(TIME, STYLEGAN2_ADA, LAUNCH, _gan_time,
            (N_("Published: {published_s} s."), N_("The thesis’s reading gives {theirs_s} s here."),
             N_("The finished image takes {ours_s} s here."), N_("The difference is {percent} % of that."))),
    Suspect(VRAM, STYLEGAN2_ADA, ALLOCATOR, _reproduces(STYLEGAN2_ADA, "vram_peak_bytes", SAME), BOTH_MEMORY),
    Suspect(RAM, STYLEGAN2_ADA, RSS, _gan_ram,
            (N_("Published: {published_mb} MB, divided by 1024³ and printed as MB."),
             N_("The least RSS of any run here is {least_mb} MB ({gib} GiB)."))),
    Suspect(N_("A slow first image raises Stable Diffusion’s mean time?"), None, PUBLICATION, _warm_up,
            (N_("Published: the first image took {first_s} s, the other four {rest_s} s on average."),
             N_("The first image took {here_s} s here."), N_("The mean here is {mean_s} s."))),
    Suspect(N_("Stable Diffusion and the VAE cannot be told apart in time?"), None, PUBLICATION, _spread,
            (N_("The published iterations vary by {sd_percent} % and {vae_percent} %; Welch’s test of their means: p = {p}."),)),
    Suspect(N_("Guidance is paid for and changes nothing?"), None, DESIGN, _guidance,
            (N_("The prompt is empty."), N_("With guidance_scale 1 the picture differs by at most {levels} of 255 levels."),
             N_("With guidance_scale 1 it takes {without_s} s instead of {with_s} s."))),
    Suspect(N_("50 steps are 51 UNet calls?"), None, DESIGN, _unet_calls, (N_("Counted here: {calls} UNet calls an image."),)),
    Suspect(N_("The five pictures are one?"), None, DESIGN, _identical,
            (N_("One latent, no prompt."), N_("Different pictures among the iterations here: {different}."))),
]
