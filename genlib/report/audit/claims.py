"""The claims: what the published comparison concludes, and which run or published figure carries it."""
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from genlib.experiments import FLOPS, PARAMETERS, STABLE_DIFFUSION, STEPS, STYLEGAN2_ADA, VAE_AS_IN_THESIS, VAE_ROUND_TRIP, Experiment, find
from genlib.locale import N_
from genlib.locale.numbers import is_missing, span
from genlib.record import MB, MEGABYTES, SAME_DB, SECONDS
from genlib.report import cells, notes, survey
from genlib.report.audit.arithmetic import HALF, PIPELINE, diffusion_share, steps_s
from genlib.report.statistics import ALPHA, is_less
from genlib.report.summary import by_session, readings
from genlib.report.uses import REAL_TIME_S, WEAK_BYTES, held_by_device
from genlib.report.warnings import NOISY
from genlib.runs import Run

SUPPORTED, CONTRADICTED, NOT_TESTED = N_("supported", "verdict"), N_("contradicted", "verdict"), N_("not tested", "verdict")
METHOD, COMPARISON, CONCLUSIONS = N_("method", "section"), N_("comparison", "section"), N_("conclusions", "section")


class Claim(NamedTuple):
    """A claim, in other words than the publication's, and its judges.

    published(report) returns a verdict and a sentence, of the publication or of people. runs(report, rows)
    does so, or returns None, of the rows of `models`, all of which it needs.
    """
    text: str
    section: str
    published: Callable
    models: tuple[Experiment, ...] = ()
    runs: Callable = lambda report, rows: None
    about: str = "time"  # which takes the published number of steps; "memory" takes any; "pictures" the published weights


def claims(report) -> tuple[pd.DataFrame, str]:
    """A row for each claim: its section, the verdict, and the run or the published figures that carry it.

    Runs judge before the publication does, for their machine only: at full size, of the published model and
    number of steps, and with the published weights where the claim is about pictures.
    """
    rows = [{report.say(N_("Claim", "column")): _text(report, claim), report.say(N_("Section", "column")): report.say(claim.section),
             **_judged(report, claim)} for claim in CLAIMS]
    limits = report.say(
        "A weak machine has {gb} GB of memory for the model; real time means {per_second} images a second; a stable time varies by at most "
        "{percent} %; a picture is less detailed below a PSNR of {db} dB; a time is shorter if Welch’s test says so (p < {p}).",
        gb=WEAK_BYTES // 1024**3, per_second=round(1 / REAL_TIME_S), percent=report.rounded(100 * NOISY, 0), db=SAME_DB,
        p=report.rounded(ALPHA, 2))
    where = report.say("The claims are paraphrased; the section is where each stands {reproduced}. What runs show holds for their machine "
                       "only.", reproduced=report.reproduced)
    return pd.DataFrame(rows), " ".join(filter(None, [where, limits, report.say("1 MB = 1024² bytes."),
                                                      notes.note(report, report.rows, notes.ONLY_MEANS, memory=False)]))


def _text(report, claim: Claim) -> str:
    labels = dict(diffusion=STABLE_DIFFUSION, gan=STYLEGAN2_ADA, model=claim.models[0] if claim.models else STABLE_DIFFUSION)
    return report.say(claim.text, **{name: report.text(entry.label) for name, entry in labels.items()})


def _judged(report, claim: Claim) -> dict[str, str]:
    reason = _unlike(report, claim)
    rows = report.rows.loc[[entry.slug for entry in claim.models if entry.slug in report.rows.index]]
    verdict, sentence = claim.published(report)
    said = f"{report.say(verdict)} ({reason})" if reason and verdict == NOT_TESTED else report.say(verdict)
    found, figures = (not reason and claim.runs(report, rows)) or (None, "")
    if found:
        device = rows["device"].iloc[0] + cells.mark(rows)
        measured = report.say("{device}, n = {n}: {figures}", device=device, n=cells.counts(rows), figures=figures)
        if found == NOT_TESTED != verdict:  # what runs leave open stays with the publication
            sentence = f"{sentence} {measured}"
        else:
            said = report.say(found) if found == NOT_TESTED else report.say("{verdict} on this machine", verdict=report.say(found))
            sentence = measured
    return {report.say(N_("Verdict", "column")): said, report.say(N_("Evidence", "column")): sentence}


def _unlike(report, claim: Claim) -> str:
    """Why the runs do not judge the claim; "" where they do, or none is asked."""
    slugs = [entry.slug for entry in claim.models]
    if not slugs:
        return ""
    if not set(slugs) <= set(report.rows.index):
        return report.say("no such run")
    rows = report.rows.loc[slugs]
    if (weights := rows["weights"].iloc[0]) not in ("published", "random")[:1 if claim.about == "pictures" else 2]:
        return report.say(cells.WEIGHTS[weights][0])
    for entry, (_, row) in zip(claim.models, rows.iterrows(), strict=True):
        if entry.is_other_model(row):
            return report.say("another model")
        if claim.about == "time" and not (entry.steps_of_originals or is_missing(row["steps"]) or row["steps"] == STEPS):
            return report.count("{steps} step instead of {published}", "{steps} steps instead of {published}", int(row["steps"]),
                                steps=f"{row['steps']:g}", published=STEPS)
    return ""


# --- what runs say: judge(report, rows) -> a verdict and figures, or None

def _is_fastest(report, rows: pd.DataFrame):
    """Whether the first row's times are told to be below those of all others, or above those of one."""
    own, *rivals = (by_session(runs, "time_s") for runs in rows["runs"])
    verdict = SUPPORTED if all(is_less(own, rival) for rival in rivals) else \
        CONTRADICTED if any(is_less(rival, own) for rival in rivals) else NOT_TESTED
    return verdict, "; ".join(f"{report.text(find(slug).label)} {cells.interval(report, row)} {report.say(SECONDS)}"
                              for slug, row in rows.iterrows())


def _less_vram(report, rows: pd.DataFrame):
    own, other = rows["vram_peak_bytes"]
    if not own + other > 0:
        return None
    return SUPPORTED if own < other else CONTRADICTED, "; ".join(
        f"{report.text(find(slug).label)} {report.rounded(value / MB, 0)} {report.say(MEGABYTES)}"
        for slug, value in rows["vram_peak_bytes"].items())


def _in_real_time(report, rows: pd.DataFrame):
    row = rows.iloc[0]
    verdict = SUPPORTED if row["time_s_high"] <= REAL_TIME_S else CONTRADICTED if row["time_s_low"] > REAL_TIME_S else NOT_TESTED
    return verdict, report.say("{interval} s an image", interval=cells.interval(report, row))


def _ram_peak(run: Run) -> float:
    return readings(run.good, "ram_peak_bytes").max()


def _for_weak_machines(suits: bool):
    """A judge: does what the GPU, or without one the process, held at most fit into a weak machine?"""
    def judge(report, rows: pd.DataFrame):
        row = rows.iloc[0]
        held, in_ram = (float(pd.Series(map(most, row["runs"])).max()) for most in (held_by_device, _ram_peak))  # of those that know it
        said, peak = (N_("the device held at most {mb} MB"), held) if held == held else \
            (N_("the process held at most {mb} MB"), in_ram)
        if not peak > 0 or (held != held and row["vram_peak_bytes"] > 0):  # RAM says nothing of what a GPU holds
            return None
        return SUPPORTED if (peak <= WEAK_BYTES) == suits else CONTRADICTED, report.say(said, mb=report.rounded(peak / MB, 0))
    return judge


def _loses_detail(report, rows: pd.DataFrame):
    psnr = rows.iloc[0].get("quality.psnr_db")
    return None if is_missing(psnr) else (
        SUPPORTED if psnr < SAME_DB else CONTRADICTED, report.say("PSNR {db} dB after the round trip", db=report.rounded(psnr, 1)))


def _spread(cv: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a coefficient of variation: that of a normal deviation (scipy.stats.chi2) over the
    mean, whose own error counts little below 0.3 (Vangel 1996)."""
    from scipy.stats import chi2

    low, high = cv * ((n - 1) / chi2.ppf([0.975, 0.025], n - 1)) ** 0.5
    return float(low), float(high)


def _stability(report, cv: float, n: int):
    low, high = _spread(cv, n)
    ends = span([report.significant(100 * end, 2) for end in (low, high)])
    return SUPPORTED if high <= NOISY else CONTRADICTED if low > NOISY else NOT_TESTED, dict(cv=report.significant(100 * cv, 2), ends=ends)


def _is_stable(report, rows: pd.DataFrame):
    row = rows.iloc[0]
    independent = row["n"] if row["sessions"] < 2 else row["sessions"]
    if independent < 2:
        return None
    verdict, figures = _stability(report, row["time_s_cv"], independent)
    return verdict, report.say("times vary by {cv} % (95 % interval {ends} %)", **figures)


# --- what the publication says: judge(report) -> a verdict and a sentence

def _equal(report):
    return CONTRADICTED, report.say(
        "The listings differ in the prompt (empty, a face, no such input), the latent (one for all, a new one each time), the reading of "
        "VRAM (torch’s peak, GPUtil) and the unit of RAM (1024², 1024³).")


def _gan_is_fastest(report):
    time_s, other_s = (entry.published.averages["time_s"] for entry in (STYLEGAN2_ADA, STABLE_DIFFUSION))
    own, *others = (sum(FLOPS[part] * calls / 1e12 for part, calls in entry.parts(STEPS).items())
                    for entry in (STYLEGAN2_ADA, VAE_ROUND_TRIP, STABLE_DIFFUSION))
    own_tflop, vae_tflop, tflop = (report.significant(work, 2) for work in (own, *others))
    return SUPPORTED if time_s < other_s and own < min(others) else CONTRADICTED, report.say(
        "Published: {time_s} s, read without waiting for the GPU, against {other_s} s. An image takes it {own_tflop} TFLOP, the VAE alone "
        "{vae_tflop}, {diffusion} {tflop}.", time_s=report.rounded(time_s, 2), other_s=report.rounded(other_s, 2), own_tflop=own_tflop,
        vae_tflop=vae_tflop, diffusion=report.text(STABLE_DIFFUSION.label), tflop=tflop)


def _gan_in_real_time(report):
    time = STYLEGAN2_ADA.published.averages["time_s"]
    return SUPPORTED if time <= REAL_TIME_S else CONTRADICTED, report.say(
        "Published: {time_s} s, or {per_second} images a second, in a figure that the audit leaves open.",
        time_s=report.rounded(time, 2), per_second=report.rounded(1 / time, 1))


def _gan_is_small(report):
    vram = STYLEGAN2_ADA.published.averages["vram_peak_bytes"]
    return SUPPORTED if vram <= WEAK_BYTES else CONTRADICTED, report.say(
        "Published: {mb} MB of VRAM, a peak that was never reset, so that an image takes no more.", mb=report.rounded(vram / MB, 0))


def _diffusion_is_large(report):
    """The published VRAM is too much, but its precision is not named."""
    vram = STABLE_DIFFUSION.published.averages["vram_peak_bytes"]
    return NOT_TESTED if vram > WEAK_BYTES else CONTRADICTED, report.say(
        "Published: {mb} MB of VRAM, in a precision that is not named. In half precision the weights take {weights_mb} MB, so that it may "
        "fit.", mb=report.rounded(vram / MB, 0), weights_mb=report.rounded(HALF * PIPELINE / MB, 0))


def _vae_is_quick(report):
    published = VAE_AS_IN_THESIS.published
    shares, whole = diffusion_share(published), (min(published.times_s), max(published.times_s))
    left = sorted(time - steps for time, steps in zip(whole, steps_s(published), strict=True))
    return SUPPORTED if min(shares) > 0.5 else CONTRADICTED, report.say(
        "Of the published {whole} s only {left} s are not diffusion.", whole=span([report.rounded(time, 2) for time in whole]),
        left=span([report.rounded(time, 1) for time in left]))


def _vae_is_small(report):
    return NOT_TESTED, report.say(
        "The published VRAM cannot be what it says. The weights take {vae_mb} MB of the pipeline’s {mb} MB.",
        vae_mb=report.rounded(HALF * PARAMETERS["vae"] / MB, 0), mb=report.rounded(HALF * PIPELINE / MB, 0))


def _published_stability(entry: Experiment):
    def judge(report):
        times = pd.Series(entry.published.times_s, dtype=float)
        if times.empty:
            return NOT_TESTED, report.say("Only an average is published.")
        verdict, figures = _stability(report, times.std() / times.mean(), len(times))
        return verdict, report.say("The published times of one session vary by {cv} % (95 % interval {ends} %).", **figures)
    return judge


def _untested(sentence: str):
    return lambda report: (NOT_TESTED, report.say(sentence))


def _hard_to_tell_from_photographs(report):
    """By the answers of people who have seen pictures by the published weights."""
    apart = survey.differences(report.answers).get(STYLEGAN2_ADA.slug)
    if apart is None:
        return NOT_TESTED, report.say(PEOPLE)
    return SUPPORTED if apart.hard else CONTRADICTED if apart.told_apart else NOT_TESTED, \
        f"{survey.figures(report, STYLEGAN2_ADA.slug, apart)}."


def _of_high_quality(report):
    """What people gave its pictures; no limit is published from which on quality is high."""
    quality = report.answers.groupby("truth")["quality"].mean()
    if not {STABLE_DIFFUSION.slug, survey.PHOTOGRAPH} <= set(quality.index):
        return NOT_TESTED, report.say(PEOPLE)
    made, real = (report.rounded(quality[truth], 1) for truth in (STABLE_DIFFUSION.slug, survey.PHOTOGRAPH))
    return NOT_TESTED, report.say("People gave them {made} of 5 on average, and the photographs {real}; what is high is not published.",
                                  made=made, real=real)


PEOPLE = N_("Only people can judge this: see “genlib survey”.")  # five pictures and a formula cannot
STEADY = N_("The time of {model} is stable")
CLAIMS = [
    Claim(N_("All three models were compared under equal conditions"), METHOD, _equal),
    Claim(N_("{gan} is the fastest"), CONCLUSIONS, _gan_is_fastest, (STYLEGAN2_ADA, STABLE_DIFFUSION, VAE_ROUND_TRIP), _is_fastest),
    Claim(N_("{gan} is fast enough for real time"), CONCLUSIONS, _gan_in_real_time, (STYLEGAN2_ADA,), _in_real_time),
    Claim(N_("{gan} suits weak machines"), CONCLUSIONS, _gan_is_small, (STYLEGAN2_ADA,), _for_weak_machines(suits=True), about="memory"),
    Claim(N_("Faces by {gan} are hard to tell from photographs"), CONCLUSIONS, _hard_to_tell_from_photographs),
    Claim(N_("{diffusion} draws images of high quality"), COMPARISON, _of_high_quality),
    Claim(N_("A text controls the images of {diffusion}"), CONCLUSIONS, _untested(
        N_("The published images were made without a prompt; whether images follow one is not measured."))),
    Claim(N_("{diffusion} draws faces without a prompt"), METHOD, _untested(
        N_("An empty prompt asks for no face, and one latent gives one picture: look at it in notebook 1 with published weights."))),
    Claim(N_("{diffusion} is not for weak machines"), COMPARISON, _diffusion_is_large, (STABLE_DIFFUSION,),
          _for_weak_machines(suits=False), about="memory"),
    Claim(N_("The VAE is light in time"), CONCLUSIONS, _vae_is_quick, (VAE_ROUND_TRIP, STABLE_DIFFUSION), _is_fastest),
    Claim(N_("The VAE is light in memory"), CONCLUSIONS, _vae_is_small, (VAE_ROUND_TRIP, STABLE_DIFFUSION), _less_vram,
          about="memory"),
    Claim(N_("The VAE’s images are less detailed"), COMPARISON, _untested(N_("The publication measures no quality.")), (VAE_ROUND_TRIP,),
          _loses_detail, about="pictures"),
    *(Claim(STEADY, COMPARISON, _published_stability(entry), (entry,), _is_stable)
      for entry in (STABLE_DIFFUSION, VAE_AS_IN_THESIS, STYLEGAN2_ADA)),
]
