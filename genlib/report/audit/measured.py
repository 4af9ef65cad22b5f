"""What the runs at hand say of a published figure, and why they may say nothing.

A judge takes the runs and returns a verdict, None where they give none, and figures for its sentences.
"""
from math import isnan, nan

import pandas as pd

from genlib.experiments import STABLE_DIFFUSION, STEPS, VAE_AS_IN_THESIS, VAE_ROUND_TRIP, Experiment, find
from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.record import MB, Run
from genlib.report import cells
from genlib.report.audit.verdicts import CONFIRMED, DISTURBED, NOT_REPRODUCED, REFUTED, REPRODUCED, SOUND, UNSOUND
from genlib.runs import variant_of

SAME, SAME_VRAM = 0.1, 0.01  # how far a reproduced figure may be off: memory depends little on the card, a time does wholly
CASES = {("float16", False), ("float16", True), ("float32", False)}  # precision, safety checker; both together are too much
NO_GPU = N_("no GPU")
UNKNOWN = N_("unknown, since the first image counts in it or the processor was busy")


class Here:
    """The runs that can be held against the published ones: of that model and number of steps.

    other_steps: the numbers of steps of runs that were asked for, but are there only with those.
    lacks_run: whether one that was asked for is not there at all. used: the runs that gave a figure.
    precision: of each experiment's newest run of its own, with which only its like are compared.
    """

    def __init__(self, report):
        self.report, runs = report, report.summary.sort_values("when", kind="stable")  # the newest of a kind is asked
        runs = runs[[not find(row["experiment"]).is_other_model(row) for _, row in runs.iterrows()]]  # others prove nothing
        runs = runs[~runs["variant"].str.startswith(variant_of("card"))]  # nor does what was short of memory
        steps = runs["steps"].fillna(STEPS)
        loops = runs["variant"].str.match("(steps|batch)-")  # which vary the steps on purpose
        self.runs, self.left_out = runs[steps == STEPS], runs[(steps != STEPS) & ~loops]
        self.forget()
        own = self.runs[(self.runs["method"] == "genlib") & (self.runs["variant"] == "")]
        self.precision = dict(zip(own["experiment"], own["dtype"], strict=True))
        weights, profile = report.summary["weights"].iloc[0], report.summary["profile"].iloc[0]
        found = {N_("demonstration weights"): weights not in ("published", "random"), NO_GPU: runs["vram_peak_bytes"].isna().all(),
                 N_("other settings than the published ones"): profile != "thesis"}
        self.reasons = [reason for reason, is_so in found.items() if is_so and len(runs)]  # without runs, nothing can be blamed

    def forget(self) -> None:
        """Begin with another figure."""
        self.other_steps, self.lacks_run, self.used = set(), False, []

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

    def said(self, sentence: str, **values: float | str) -> list[str]:
        """The sentence with its figures; none where one of them was not measured.

        Values whose names end in _s are shown in three digits, those in _mb are bytes, others whole numbers.
        """
        texts = {name: value if isinstance(value, str) else self.report.significant(value, 3) if name.endswith("_s") else
                 self.report.rounded(value / MB if name.endswith("_mb") else value, 0) for name, value in values.items()}
        return [] if MISSING in texts.values() else [self.report.say(sentence, **texts)]

    def unlike(self, needs_gpu: bool) -> list[str]:
        """Why these runs decide nothing, whatever they say."""
        return [self.report.say(reason) for reason in self.reasons if needs_gpu or reason != NO_GPU]

    def reasons_for(self, needs_gpu: bool) -> list[str]:
        """Why there is no verdict of the last judge."""
        reasons = self.unlike(needs_gpu)
        if given := sorted(self.other_steps):
            return [*reasons, self.report.count("{steps} step instead of {published}", "{steps} steps instead of {published}", given[-1],
                                                steps=", ".join(map(str, given)), published=STEPS)]
        return reasons or [self.report.say("no such run") if self.lacks_run else self.report.say("no such reading")]


def reproduces(entry: Experiment, reading: str):
    """A judge: does the published way of reading memory give the figure? Our reading stands beside it."""
    published = entry.published.averages[reading]

    def judge(here: Here):
        theirs, ours = here.mean(entry, reading, "thesis"), here.mean(entry, reading)
        verdict = None if isnan(theirs) else REPRODUCED if abs(theirs / published - 1) <= SAME else NOT_REPRODUCED
        return verdict, here.said(N_("By the published method: {theirs_mb} MB."), theirs_mb=theirs) + \
            here.said(N_("By our method: {ours_mb} MB."), ours_mb=ours)
    return judge


def clock(entry: Experiment, waits: bool):
    """A judge: does the published way time the finished image? A clock that `waits` for it leaves nothing
    out; of a time beyond that of the finished image it is unknown how much another one leaves out. One slow
    first image can make a mean that looks like that of finished images: the median has to agree."""
    def judge(here: Here):
        theirs, ours = here.mean(entry, "time_s", "thesis"), here.mean(entry, "time_s")
        left_out, of_median = 1 - theirs / ours, 1 - here.mean(entry, "time_s_median", "thesis") / ours
        verdict = None if isnan(left_out) else SOUND if max(abs(left_out), abs(of_median)) <= SAME else \
            DISTURBED if waits or left_out <= SAME else UNSOUND
        sentences = here.said(N_("By the published method: {theirs_s} s."), theirs_s=theirs) + \
            here.said(N_("By the synchronised clock, the finished image: {ours_s} s."), ours_s=ours)
        if waits or isnan(left_out) or NO_GPU in here.reasons:  # a processor leaves nothing out, whatever disturbs it
            return verdict, sentences
        share = here.report.say(UNKNOWN) if left_out < 0 or verdict == DISTURBED else f"{here.report.rounded(100 * left_out, 1)} %"
        return verdict, [*sentences, here.report.say("What the published method leaves out: {share}.", share=share)]
    return judge


def _has_checker(run: Run) -> bool:
    return "safety_checker" in (run.model.parameters if run.model else {})


def vram_of_stable_diffusion(here: Here):
    """By the nearest run with guidance, since the thesis states neither precision nor safety checker.

    That none is near is known when all CASES were measured.
    """
    published, runs = STABLE_DIFFUSION.published.averages["vram_peak_bytes"], here.of(STABLE_DIFFUSION)
    runs = runs[runs["vram_peak_bytes"].notna() & ~runs["variant"].str.match("batch-|guidance-1")]
    if runs.empty:
        return None, []
    nearest = runs.loc[(runs["vram_peak_bytes"] - published).abs().idxmin()]
    here.used.append(nearest.to_frame().T)
    tried = {(row["dtype"], _has_checker(row["run"])) for _, row in runs.iterrows()}
    is_near = abs(nearest["vram_peak_bytes"] / published - 1) <= SAME_VRAM
    here.lacks_run = not is_near and not tried >= CASES
    verdict = REPRODUCED if is_near else None if here.lacks_run else NOT_REPRODUCED
    checker = here.report.say("with the safety checker") if _has_checker(nearest["run"]) else ""
    conditions = ", ".join(dict.fromkeys(filter(None, (nearest["dtype"], cells.variant(here.report, nearest["run"]), checker))))
    return verdict, [here.report.say("The nearest run has {nearest_mb} MB ({conditions}).", conditions=conditions,
                                     nearest_mb=here.report.rounded(nearest["vram_peak_bytes"] / MB, 0))]


def time_of_vae(here: Here):
    whole, alone = here.mean(VAE_AS_IN_THESIS, "time_s"), here.mean(VAE_ROUND_TRIP, "time_s", like=VAE_AS_IN_THESIS)
    label = here.report.text(VAE_ROUND_TRIP.label)
    return None, here.said(N_("The whole cycle takes {whole_s} s here."), whole_s=whole) + \
        here.said(N_("{alone} takes {alone_s} s."), alone_s=alone, alone=label)


def vram_of_vae(here: Here):
    return None, here.said(N_("By GPUtil: {gputil_mb} MB."), gputil_mb=here.mean(VAE_AS_IN_THESIS, "vram_device_bytes", "thesis")) + \
        here.said(N_("By the allocator’s peak: {allocator_mb} MB."), allocator_mb=here.mean(VAE_AS_IN_THESIS, "vram_peak_bytes"))


def ram_of_stylegan2(here: Here):
    runs = here.runs.dropna(subset=["ram_bytes"]).nsmallest(1, "ram_bytes")
    here.used += [runs] * len(runs)
    return None, here.said(N_("The least RSS of any run: {least_mb} MB."), least_mb=float(runs["ram_bytes"].min()))


def slow_start(here: Here):
    first, mean = here.mean(STABLE_DIFFUSION, "first_image_s"), here.mean(STABLE_DIFFUSION, "time_s")
    return None, here.said(N_("Measured: the first image {first_s} s, the mean without it {mean_s} s."), first_s=first, mean_s=mean)


def guidance(here: Here):
    levels = here.mean(STABLE_DIFFUSION, "quality.largest_difference", variant="guidance-1")
    with_it, without = here.mean(STABLE_DIFFUSION, "time_s"), here.mean(STABLE_DIFFUSION, "time_s", variant="guidance-1")
    verdict = None if isnan(levels + with_it + without) else REFUTED if levels > 1 else \
        CONFIRMED if without < (1 - SAME) * with_it else DISTURBED
    return verdict, here.said(N_("Without guidance the picture differs by at most {levels} of 255 levels."), levels=levels) + \
        here.said(N_("Without guidance an image takes {without_s} s instead of {with_s} s."), without_s=without, with_s=with_it)


def unet_calls(here: Here):
    calls = here.mean(STABLE_DIFFUSION, "quality.unet_calls")
    return None if isnan(calls) else CONFIRMED if calls == STEPS + 1 else REFUTED, \
        here.said(N_("UNet calls counted for an image: {calls}."), calls=calls)


def one_picture(here: Here):
    different = here.mean(STABLE_DIFFUSION, "quality.different_pictures") if here.mean(STABLE_DIFFUSION, "n") > 1 else nan
    return None if isnan(different) else CONFIRMED if different == 1 else REFUTED, \
        here.said(N_("Different pictures among the iterations: {different}."), different=different)
