"""The audit: each published figure held against runs read in the published way and in ours."""
from collections.abc import Callable
from math import isnan, nan
from typing import NamedTuple

import pandas as pd

from genlib.experiments import STABLE_DIFFUSION, STEPS, STYLEGAN2_ADA, VAE_AS_IN_THESIS, VAE_ROUND_TRIP, Experiment
from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.record import MB
from genlib.report import cells

SAME, SAME_VRAM = 0.1, 0.01  # how far a reproduced figure may be off: memory depends little on the card, a time does wholly
PUBLICATION = N_("as published")  # the publication itself shows it, so that it is judged on any machine
CLOCK = N_("wall clock around the call, first image counted")
LAUNCH = N_("wall clock until the call returns, without synchronising")
ALLOCATOR = N_("torch’s peak, never reset")
GPUTIL = N_("GPUtil, whole device, once after the iteration")
RSS = N_("RSS at the end")
DESIGN = N_("how the experiment is set up")
NO_GPU = N_("no GPU")
UNKNOWN = N_("unknown, since the first image counts in it or the processor was busy")
REPRODUCED, NOT_REPRODUCED = N_("reproduced", "verdict"), N_("not reproduced")
SOUND, UNSOUND = N_("the method is sound"), N_("the method leaves out a part")
DISTURBED = N_("cannot be judged here (the first image or other programs disturbed the times)")
IMPOSSIBLE, NOT_SHOWN = N_("cannot be what it says"), N_("nothing speaks against it")
CONTRADICTS, CONFIRMED, REFUTED = N_("contradicts itself"), N_("confirmed", "verdict"), N_("refuted", "verdict")
TIMES = (N_("Published: {published_s} s."), N_("By the published method: {theirs_s} s."),
         N_("By the synchronised clock, the finished image: {ours_s} s."))
NO_CARD = N_("The publication names no GPU, and times of GPUs differ: the figure itself is not judged.")
PUBLISHED_MB = N_("Published: {published_mb} MB.")
BOTH_MEMORY = (PUBLISHED_MB, N_("By the published method: {theirs_mb} MB."), N_("By our method: {ours_mb} MB."))


def audit(report) -> tuple[pd.DataFrame, str]:
    """A row for each published figure: how it was read, a verdict, and the measurement that supports it.

    What the publication shows by itself is judged anywhere. Everything else needs runs at full size with the
    published number of steps, and all but a count of calls needs a GPU. Without them the verdict is "cannot
    be judged here", with the reasons and with what was measured all the same.

    No time is called reproduced or not, since the published card is unknown: the way of reading is judged,
    and the share of a part in its whole. An allocator's peak is comparable over cards, what a process holds
    depends little on them, and a reading of the whole device is held against what weights need anywhere.
    """
    here, rows, used = _Here(report), [], []
    for suspect in SUSPECTS:
        here.other_steps, here.lacks_run, here.used = set(), False, []
        verdict, values = suspect.judge(here)
        reasons = [] if suspect.read == PUBLICATION else here.reasons_for(verdict, suspect.needs_gpu)
        verdict = report.say("cannot be judged here ({reason})", reason="; ".join(reasons)) if reasons else report.say(verdict)
        rows.append({
            report.say("Published figure"): report.say(suspect.figure, **_labels(report, suspect.model))
            + (cells.mark(report, pd.concat(here.used)) if here.used else ""),
            report.say("How it was read"): report.say(suspect.read), report.say(N_("Verdict", "column")): verdict,
            report.say("What shows it"): _evidence(report, suspect, values, here)})
        used += here.used
    rows_of_note = pd.concat(used) if used else report.rows if len(report.rows) else report.summary
    note = cells.note(report, rows_of_note, cells.ONLY_MEANS)
    return pd.DataFrame(rows), f"{cells.given(report)} {note}"


def _labels(report, model: Experiment | None) -> dict[str, str]:
    entries = dict(model=model, diffusion=STABLE_DIFFUSION, vae=VAE_AS_IN_THESIS, alone=VAE_ROUND_TRIP)
    return {name: report.text(entry.label) for name, entry in entries.items() if entry} | {
        "thesis_name": report.text(VAE_AS_IN_THESIS.name_in_table1)}


def _evidence(report, suspect: "Suspect", values: dict, here: "_Here") -> str:
    """The sentences whose figures were measured; one that says so where none was."""
    shown = {key: _shown(report, value, key) for key, value in values.items()}
    places = _labels(report, suspect.model) | shown
    sentences = [said for sentence in suspect.evidence if MISSING not in (said := report.say(sentence, **places))]
    if suspect.read != PUBLICATION and all(text == MISSING for key, text in shown.items() if not key.startswith("published")):
        sentences.append(report.say("Not measured with {steps}.", steps=cells.steps_text(report, [STEPS])) if here.other_steps else
                         report.say("Not measured."))
    return " ".join(sentences)


def _shown(report, value, key: str) -> str:
    if isinstance(value, str):
        return value
    if key.endswith("_mb"):
        return report.rounded(value / MB, 0)
    if key.startswith("published"):
        return report.rounded(value, 2)
    decimals = {"levels": 0, "calls": 0, "different": 0, "percent": 1}
    return report.rounded(value, decimals[key]) if key in decimals else report.significant(value, 3)


class _Here:
    """The runs that can be held against the published ones: of that model and number of steps.

    other_steps: the numbers of steps of runs that were asked for, but are there only with those.
    lacks_run: whether one that was asked for is not there at all. used: the runs that gave a figure.
    precision: of each experiment's newest run of its own, with which only its like are compared.
    """

    def __init__(self, report):
        self.report, runs = report, report.summary.sort_values("when", kind="stable")  # the newest of a kind is asked
        published = STABLE_DIFFUSION.published
        runs = runs[(runs["experiment"] != STABLE_DIFFUSION.slug) | (runs["model"] == published.model)]  # others prove nothing
        steps = runs["steps"].fillna(STEPS)
        loops = runs["variant"].str.match("(steps|batch)-")  # which vary the steps on purpose
        self.runs, self.left_out = runs[steps == STEPS], runs[(steps != STEPS) & ~loops]
        self.other_steps, self.lacks_run, self.used = set(), False, []
        own = self.runs[(self.runs["method"] == "genlib") & (self.runs["variant"] == "")]
        self.precision = dict(zip(own["experiment"], own["dtype"], strict=True))
        weights, profile = report.summary["weights"].iloc[0], report.summary["profile"].iloc[0]
        found = {N_("demonstration weights"): weights not in ("published", "random"), NO_GPU: runs["vram_peak_bytes"].isna().all(),
                 N_("other settings than the published ones"): profile != "thesis"}
        self.reasons = [reason for reason, is_so in found.items() if is_so and len(runs)]  # without runs, nothing can be blamed

    def of(self, entry: Experiment, **same: str) -> pd.DataFrame:
        """The runs of an experiment, of the `method` and the `variant` if they are named."""
        wanted = pd.Series({"experiment": entry.slug} | same)
        found, left_out = (runs[(runs[wanted.index] == wanted).all(axis=1)] for runs in (self.runs, self.left_out))
        if found.empty:
            self.other_steps |= set(left_out["steps"].astype(int))
        self.lacks_run |= found.empty
        return found

    def mean(self, entry: Experiment, reading: str, method: str = "genlib", variant: str = "", like: Experiment | None = None) -> float:
        """The mean of the run with the precision of its experiment's own, or of `like`'s; NaN without one."""
        runs = self.of(entry, method=method, variant="as-in-thesis" if method == "thesis" else variant)
        runs = runs[runs["dtype"] == self.precision.get((like or entry).slug, runs["dtype"])].tail(1)
        self.lacks_run |= runs.empty
        if runs.empty or reading not in runs or runs[reading].isna().all():
            return nan
        self.used.append(runs)
        return float(runs[reading].iloc[0])

    def reasons_for(self, verdict: str | None, needs_gpu: bool) -> list[str]:
        """Why there is no such verdict; empty where there is one."""
        reasons = [self.report.say(reason) for reason in self.reasons if needs_gpu or reason != NO_GPU]
        if verdict is not None and not reasons:
            return []
        if given := sorted(self.other_steps):
            return [*reasons, self.report.count("{steps} step instead of {published}", "{steps} steps instead of {published}", given[-1],
                                                steps=", ".join(map(str, given)), published=STEPS)]
        return reasons or [self.report.say("no such run") if self.lacks_run else self.report.say("no such reading")]


def _reproduces(entry: Experiment, reading: str):
    """A judge: does the published way of reading memory give the figure? Our reading stands beside it."""
    published = entry.published.averages[reading]

    def judge(here: _Here):
        theirs, ours = here.mean(entry, reading, "thesis"), here.mean(entry, reading)
        verdict = None if isnan(theirs) else REPRODUCED if abs(theirs / published - 1) <= SAME else NOT_REPRODUCED
        return verdict, dict(published_mb=published, theirs_mb=theirs, ours_mb=ours)
    return judge


def _clock(entry: Experiment, waits: bool):
    """A judge: does the published way time the finished image? A clock that `waits` for it leaves nothing
    out; of a time beyond that of the finished image it is unknown how much another one leaves out. One slow
    first image can make a mean that looks like that of finished images: the median has to agree."""
    def judge(here: _Here):
        theirs, ours = here.mean(entry, "time_s", "thesis"), here.mean(entry, "time_s")
        left_out, of_median = 1 - theirs / ours, 1 - here.mean(entry, "time_s_median", "thesis") / ours
        verdict = None if isnan(left_out) else SOUND if max(abs(left_out), abs(of_median)) <= SAME else \
            DISTURBED if waits or left_out <= SAME else UNSOUND
        share = nan if isnan(left_out) else here.report.say(UNKNOWN) if left_out < 0 or verdict == DISTURBED else \
            f"{here.report.rounded(100 * left_out, 1)} %"
        return verdict, dict(published_s=entry.published.averages["time_s"], theirs_s=theirs, ours_s=ours, share=share)
    return judge


def _vram_of_stable_diffusion(here: _Here):
    """By the nearest run with guidance, since the thesis states neither precision nor safety checker."""
    published, runs = STABLE_DIFFUSION.published.averages["vram_peak_bytes"], here.of(STABLE_DIFFUSION)
    runs = runs[runs["vram_peak_bytes"].notna() & ~runs["variant"].str.match("batch-|guidance-1")]
    if runs.empty:
        return None, dict(published_mb=published, nearest_mb=nan, conditions=MISSING)
    nearest = runs.loc[(runs["vram_peak_bytes"] - published).abs().idxmin()]
    here.used.append(nearest.to_frame().T)
    verdict = REPRODUCED if abs(nearest["vram_peak_bytes"] / published - 1) <= SAME_VRAM else NOT_REPRODUCED
    conditions = ", ".join(dict.fromkeys(filter(None, (nearest["dtype"], cells.variant(here.report, nearest["run"])))))
    return verdict, dict(published_mb=published, nearest_mb=float(nearest["vram_peak_bytes"]), conditions=conditions)


def _vae_time(here: _Here):
    whole, alone = here.mean(VAE_AS_IN_THESIS, "time_s"), here.mean(VAE_ROUND_TRIP, "time_s", like=VAE_AS_IN_THESIS)
    share = alone / whole  # of the work, which is alike on all cards
    verdict = None if isnan(share) else IMPOSSIBLE if share < 0.5 else NOT_SHOWN if share < 1 else DISTURBED
    return verdict, dict(published_s=VAE_AS_IN_THESIS.published.averages["time_s"], whole_s=whole, alone_s=alone,
                         percent=100 * share if share < 1 else nan)


def _vae_vram(here: _Here):
    published = VAE_AS_IN_THESIS.published.averages["vram_peak_bytes"]
    weights, gputil = here.mean(VAE_AS_IN_THESIS, "weights_bytes"), here.mean(VAE_AS_IN_THESIS, "vram_device_bytes", "thesis")
    if here.precision.get(VAE_AS_IN_THESIS.slug) == "float32":
        weights /= 2  # the published precision may have been half
    verdict = None if isnan(gputil + weights) else IMPOSSIBLE if min(weights, gputil) > published else NOT_SHOWN
    return verdict, dict(published_mb=published, weights_mb=weights, gputil_mb=gputil,
                         allocator_mb=here.mean(VAE_AS_IN_THESIS, "vram_peak_bytes"))


def _gan_ram(here: _Here):
    published, runs = STYLEGAN2_ADA.published.averages["ram_bytes"], here.runs.dropna(subset=["ram_bytes"]).nsmallest(1, "ram_bytes")
    here.used += [runs] * len(runs)
    least = float(runs["ram_bytes"].min())
    verdict = None if isnan(least) else IMPOSSIBLE if least > published else NOT_SHOWN
    return verdict, dict(published_mb=published, least_mb=least, gib=least / 1024**3)


def _contradiction(here: _Here):
    printed, table = STABLE_DIFFUSION.published.ram_bytes, STABLE_DIFFUSION.published.averages["ram_bytes"]
    return CONTRADICTS if round(printed / MB) != round(table / MB) else NOT_SHOWN, dict(printed_mb=printed, table_mb=table)


def _warm_up(here: _Here):
    first, *rest = STABLE_DIFFUSION.published.times_s
    return CONFIRMED if first > max(rest) else REFUTED, dict(
        first_s=first, rest_s=sum(rest) / len(rest), mean_s=here.mean(STABLE_DIFFUSION, "time_s"),
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
    verdict = None if isnan(levels + with_it + without) else REFUTED if levels > 1 else \
        CONFIRMED if without < (1 - SAME) * with_it else DISTURBED
    return verdict, dict(levels=levels, with_s=with_it, without_s=without)


def _unet_calls(here: _Here):
    calls = here.mean(STABLE_DIFFUSION, "quality.unet_calls")
    return None if isnan(calls) else CONFIRMED if calls == STEPS + 1 else REFUTED, dict(calls=calls)


def _identical(here: _Here):
    different = here.mean(STABLE_DIFFUSION, "quality.different_pictures") if here.mean(STABLE_DIFFUSION, "n") > 1 else nan
    return None if isnan(different) else CONFIRMED if different == 1 else REFUTED, dict(different=different)


class Suspect(NamedTuple):
    """A published figure or a question that it raises, with its judge and the sentences of its evidence."""
    figure: str
    model: Experiment | None
    read: str
    judge: Callable
    evidence: tuple[str, ...]
    needs_gpu: bool = True


TIME, VRAM, RAM = N_("{model}: time"), N_("{model}: VRAM"), N_("{model}: RAM")
SUSPECTS = [
    Suspect(TIME, STABLE_DIFFUSION, CLOCK, _clock(STABLE_DIFFUSION, waits=True), (*TIMES, NO_CARD)),
    Suspect(VRAM, STABLE_DIFFUSION, ALLOCATOR, _vram_of_stable_diffusion,
            (PUBLISHED_MB, N_("The nearest run has {nearest_mb} MB ({conditions})."))),
    Suspect(RAM, STABLE_DIFFUSION, PUBLICATION, _contradiction,
            (N_("Every iteration is printed with {printed_mb} MB, their average with {table_mb} MB."),)),
    Suspect(TIME, VAE_AS_IN_THESIS, CLOCK, _vae_time,
            (N_("Published: {published_s} s, as the time of {thesis_name}."), N_("The whole cycle takes {whole_s} s."),
             N_("{alone} takes {alone_s} s."), N_("That is {percent} % of it: the rest is the generation of the face."))),
    Suspect(VRAM, VAE_AS_IN_THESIS, GPUTIL, _vae_vram,
            (PUBLISHED_MB, N_("The pipeline’s weights alone are {weights_mb} MB in half precision."),
             N_("By GPUtil: {gputil_mb} MB."), N_("By the allocator’s peak: {allocator_mb} MB."))),
    Suspect(RAM, VAE_AS_IN_THESIS, RSS, _reproduces(VAE_AS_IN_THESIS, "ram_bytes"), BOTH_MEMORY),
    Suspect(TIME, STYLEGAN2_ADA, LAUNCH, _clock(STYLEGAN2_ADA, waits=False),
            (*TIMES, N_("What the published method leaves out: {share}."), NO_CARD)),
    Suspect(VRAM, STYLEGAN2_ADA, ALLOCATOR, _reproduces(STYLEGAN2_ADA, "vram_peak_bytes"), BOTH_MEMORY),
    Suspect(RAM, STYLEGAN2_ADA, RSS, _gan_ram,
            (N_("Published: {published_mb} MB, divided by 1024³ and printed as MB."),
             N_("The least RSS of any run: {least_mb} MB ({gib} × 1024³ bytes)."))),
    Suspect(N_("A slow first image raises the published mean time of {diffusion}?"), None, PUBLICATION, _warm_up,
            (N_("Published: the first image took {first_s} s, the other four {rest_s} s on average."),
             N_("Measured: the first image {here_s} s, the mean without it {mean_s} s."))),
    Suspect(N_("{diffusion} and {vae} cannot be told apart in time?"), None, PUBLICATION, _spread,
            (N_("The published iterations vary by {sd_percent} % and {vae_percent} %; Welch’s test of their means: p = {p}."),)),
    Suspect(N_("Guidance is paid for and changes nothing?"), None, DESIGN, _guidance,
            (N_("The prompt is empty."), N_("Without guidance the picture differs by at most {levels} of 255 levels."),
             N_("Without guidance an image takes {without_s} s instead of {with_s} s."))),
    Suspect(N_("50 steps are 51 UNet calls?"), None, DESIGN, _unet_calls,
            (N_("UNet calls counted for an image: {calls}."),), needs_gpu=False),
    Suspect(N_("The five pictures are one?"), None, DESIGN, _identical,
            (N_("One latent, no prompt."), N_("Different pictures among the iterations: {different}."))),
]
