"""What the figures say, in sentences: only what the runs at hand bear."""
import numpy as np
import pandas as pd

from genlib.experiments import find
from genlib.locale import N_
from genlib.record import MB, ONCE, QUALITIES, READINGS
from genlib.report import cells, notes, offers, statistics
from genlib.report.summary import by_session
from genlib.report.tables import decision
from genlib.report.tables.scores import cost_of_quality
from genlib.report.tables.sessions import another_day

LEAST_TIMES, LEAST_DISTANCES = 3, 4  # for a test of spread: of a session, and from the medians of all sessions
OF_ITS_OWN = N_("PSNR and SSIM compare a picture with its own original only")
QUALITIES_TOLD = {  # and what each cannot tell
    "psnr_db": OF_ITS_OWN, "ssim": OF_ITS_OWN,
    "sharpness": N_("sharpness does not say whether a picture shows a face"),
    "diversity": N_("diversity is that of a few pictures and says little of a model’s range")}


def conclude(report) -> list[str]:
    """Sentences with their figures: the fastest, smallest and most stable model, quality, and which model
    stays within the reader's limits.

    Models that no test can tell apart are not ranked in time or stability, and with unlike numbers of steps
    nothing is. A figure that no run has gives no sentence. The last sentence says what the figures cannot
    tell. An experiment that contains another is left out beside it, and a sentence says so. Quality is not
    ranked, and of random weights not told.
    """
    runs = report.rows.dropna(subset=["time_s"])
    if runs.empty:
        return [report.say("No run for the table of results succeeded, so there is nothing to conclude.")]
    wholes = [slug for slug in runs.index if find(slug).contains in runs.index]
    left_out = [report.say("{whole} contains a whole run of {part} and is left out of these comparisons.", whole=_name(report, slug),
                           part=_name(report, find(slug).contains)) for slug in wholes]
    failed = report.rows[report.rows["n"] == 0]
    if len(failed):
        models = ", ".join(f"{_name(report, slug)} ({cells.failure(report, run)})" for slug, run in failed["run"].items())
        left_out.append(report.say("Not compared, since no iteration succeeded: {models}.", models=models))
    runs = runs.drop(wholes)
    denoised = runs["steps"].dropna()
    if denoised.nunique() > 1:
        names = "; ".join(cells.with_steps(report, slug) for slug in denoised.index)
        ranked = [report.say("The runs differ in their number of steps, so that nothing is ranked: {models}.", models=names)]
    else:
        ranked = [*_fastest(report, runs), *_smallest(report, runs), *_more_stable(report, runs)]
    return [*left_out, *_without_ram_of_its_own(report, runs), *ranked, *_quality(report, runs), *cost_of_quality(report),
            *_for_limits(report, runs), *_by_text(report, runs), _limits(report, runs)]


def _limits(report, runs: pd.DataFrame) -> str:
    sentence = report.say("These conclusions hold for {device}, with n = {n}.", device=runs["device"].iloc[0],
                          n=cells.counts(runs))
    doubt = report.say(cells.WEIGHTS[runs["weights"].iloc[0]][1])
    return " ".join(filter(None, [sentence, notes.of_unlike(report, runs), another_day(report), doubt]))


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
    times = {slug: by_session(row["runs"], "time_s") for slug, row in ranked.iterrows()}
    first, last, rivals, p = ranked.iloc[0], ranked.iloc[-1], rivals_of_first(times), report.rounded(statistics.ALPHA, 2)
    if rivals is None:
        seconds = _listed(report, {slug: report.significant(time, 3) for slug, time in ranked["time_s"].items()})
        return [report.say("Of one iteration no interval is known, so that times are not ranked. Seconds an image: {figures}.",
                           figures=seconds)]
    if rivals:
        intervals = {slug: report.say("({interval} s)", interval=cells.interval(report, row)) for slug, row in ranked.iterrows()}
        return [report.say("Which model is fastest is not known: {model} {interval} cannot be told apart in time from {others} (Welch’s "
                           "test, p ≥ {p}).", model=_name(report, first.name), interval=intervals[first.name],
                           others=_listed(report, {slug: intervals[slug] for slug in rivals}), p=p),
                _how_many(report, [times[slug] for slug in (first.name, *rivals)])]
    return [report.say("Fastest is {model}: {time} s an image; {slowest} takes {slowest_s} s, {longer} (Welch’s test against every other "
                       "model, p < {p}).", model=_name(report, first.name), time=report.significant(first["time_s"], 3),
                       slowest=_name(report, last.name), slowest_s=report.significant(last["time_s"], 3),
                       longer=_longer(report, last["time_s"] / first["time_s"]), p=p)]


def _longer(report, ratio: float) -> str:
    if ratio < 1.1:
        return report.say("{percent} % longer", percent=report.significant(100 * (ratio - 1), 2))
    if ratio < 9.95:
        return report.say(N_("{times} times as long", "fraction"), times=report.rounded(ratio, 1))
    return report.count("{n} times as long", "{n} times as long", round(ratio))


def rivals_of_first(times: dict[str, list[np.ndarray]]) -> list[str] | None:
    """Of models and their sessions, fastest first: those that may be as fast as the first; None if not known.

    The first is the fastest only without rivals, told apart from every other one: such an intersection-union
    test needs no correction for their number (Berger 1982). Of equal models one is called the fastest in at
    most 5 % of cases.
    """
    first, *others = times.values()
    if any(np.isnan(statistics.p_equal(first, other)) for other in others):
        return None
    return [slug for slug in list(times)[1:] if not statistics.is_less(first, times[slug])]


def _how_many(report, times: list[list[np.ndarray]]) -> str:
    """How many would tell the first model apart from each of the others: sessions, if one has several."""
    first, *others = times
    several = max(map(len, times)) > 1
    found = [statistics.enough(first, other) for other in others if not several or max(len(first), len(other)) > 1]
    if None in found:
        return report.say(N_("They differ so little that even {n} sessions of each would not tell them apart.") if several else
                          N_("They differ so little that even {n} iterations of each would not tell them apart."), n=statistics.MOST)
    return report.say(N_("Telling them apart would take about {n} sessions of each, with as many iterations as now, if they really differ "
                         "as much as measured (power {percent} %).") if several else
                      N_("Telling them apart would take about {n} iterations of each, if they really differ as much as measured (power "
                         "{percent} %)."), n=max(found), percent=report.rounded(100 * statistics.POWER, 0))


def _smallest(report, runs: pd.DataFrame) -> list[str]:
    """By VRAM's peak; without a GPU by RAM above that before the model, where all that have RAM of their own
    tell it. Those that differ by no more than two processes with the same libraries do stand together."""
    in_vram = runs["vram_peak_bytes"].notna().all()
    sizes = runs["vram_peak_bytes"] if in_vram else runs["ram_above_bytes"][_own_ram(runs)]
    if not in_vram and len(unknown := sizes.index[sizes.isna()]):
        return [report.say("RAM is not ranked: it includes the libraries, and how much they took before the model was loaded is not known "
                           "of {models}.", models=_names(report, unknown))]
    sizes = sizes.sort_values()
    shown = {slug: report.rounded(size / MB, 0) for slug, size in sizes.items()}
    error = 0 if in_vram else notes.FLOOR_MB * MB
    least = [slug for slug in sizes.index if shown[slug] == shown[sizes.index[0]] or sizes[slug] - sizes.iloc[0] <= error]
    said = N_("Smallest is {models}. MB {memory}: {figures}.") if len(least) < 2 else \
        N_("Smallest are {models}. MB {memory}: {figures}.")
    return [report.say(said, models=_names(report, least), memory=report.say((READINGS | ONCE)[sizes.name].phrase),
                       figures=_listed(report, shown))] * (len(least) < len(sizes))


def _without_ram_of_its_own(report, runs: pd.DataFrame) -> list[str]:
    """Whose RAM is not told, where no VRAM is told instead."""
    shared = runs.index[[not own for own in _own_ram(runs)]] if runs["vram_peak_bytes"].isna().any() else []
    return [report.say("The RAM of {models} is left out: its process may hold what ran in it before.",
                       models=_names(report, shared))] * bool(len(shared))


def _own_ram(runs: pd.DataFrame) -> list[bool]:
    return [notes.own_ram(row) for _, row in runs.iterrows()]


def _more_stable(report, runs: pd.DataFrame) -> list[str]:
    spread = (runs["time_s_within"] / runs["time_s"]).dropna().sort_values()
    if len(spread) < 2:
        return []
    shares = {slug: report.significant(100 * share, 2) for slug, share in spread.items()}
    least, most, pairs = spread.index[0], spread.index[-1], len(spread) * (len(spread) - 1) / 2
    p = p_of_equal_spreads(*(by_session(runs.loc[slug, "runs"], "time_s") for slug in (least, most)))
    if pairs * p < statistics.ALPHA:  # Bonferroni: the pair was chosen among all
        return [report.say("{model} is more stable than {other}: within a session its time varies by {percent} %, that of {other} by "
                           "{other_percent} % (Brown–Forsythe test with Bonferroni’s correction, p < {p}).",
                           model=_name(report, least), other=_name(report, most),
                           percent=shares[least], other_percent=shares[most], p=report.rounded(statistics.ALPHA, 2))]
    figures = _listed(report, {slug: f"{shares[slug]} %" for slug in runs.index if slug in shares})
    return [report.say("Within a session the spreads of the times cannot be told apart at n = {n}: {figures}.",
                       n=cells.counts(runs.loc[spread.index]), figures=figures)]


def p_of_equal_spreads(less: list[np.ndarray], more: list[np.ndarray]) -> float:
    """Brown and Forsythe's test (1974) of times over their session's median; NaN for too few, or no spread,
    or where those of `less` lie farther off: a single outlier makes the larger standard deviation.

    It is an analysis of variance of the distances from the median (scipy.stats.f_oneway). The smallest of
    each session is left out, which is 0 or stands twice whatever the spread: with it, ten sessions of three
    and one of thirty were told apart in 21 % of cases of equal spreads (Hines & Hines 2000).
    """
    from scipy.stats import f_oneway

    rows = [[np.sort(np.abs(times / np.median(times) - 1))[1:] for times in row if len(times) >= LEAST_TIMES] for row in (less, more)]
    far = [np.concatenate([[], *distances]) for distances in rows]
    if min(map(len, far)) < LEAST_DISTANCES or max(map(np.ptp, far)) == 0 or far[0].mean() > far[1].mean():
        return float("nan")
    return float(f_oneway(*far).pvalue)


def _quality(report, runs: pd.DataFrame) -> list[str]:
    """The figures, unranked, and what they cannot tell."""
    if runs["weights"].iloc[0] == "random":  # whose pictures are noise
        return []
    sentences, limits = notes.of_originals(report, runs), {}
    told = {"psnr_db", "ssim"} if sentences else set()
    for name, limit in QUALITIES_TOLD.items():
        values = runs[f"quality.{name}"].dropna() if f"quality.{name}" in runs else []
        if len(values):
            figures = {slug: cells.figure(report, value, QUALITIES[name]) for slug, value in values.items()}
            sentences += [] if name in told else [f"{cells.head(report, QUALITIES[name])}: {_listed(report, figures)}."]
            limits[report.say(limit)] = None  # once
    return sentences + [report.say("What these figures cannot tell: {limits}.", limits="; ".join(limits))] * bool(limits)


def _for_limits(report, runs: pd.DataFrame) -> list[str]:
    """Which models stay within the reader's limits, and by which figure others do not."""
    if not report.limits:
        return [report.say("Which model serves a use depends on its limits of time, memory, text and licence; none were given.")]
    found = decision.judged(report, runs.index)
    by_verdict = {verdict: [one for one in found if one.met is verdict] for verdict in (True, False, None)}
    names = "; ".join(one.name(report) for one in by_verdict[True])
    said = N_("Within all limits ({limits}): {models}.") if names else N_("No model is shown to stay within all limits ({limits}).")
    return [report.say(said, limits=decision.told(report), models=names)] + [
        report.say(sentence, models="; ".join(_why(report, one, verdict) for one in by_verdict[verdict]))
        for verdict, sentence in {False: N_("Beyond a limit: {models}."), None: N_("Not known from these runs: {models}.")}.items()
        if by_verdict[verdict]]


def _why(report, one: decision.Judged, verdict: bool | None) -> str:
    """A model with the limits on which its verdict rests."""
    limits = (" ".join(filter(None, [report.say(limit).lower(), figure])) for limit, (met, figure) in one.limits.items() if met is verdict)
    return f"{one.name(report)} – {', '.join(limits)}"


def _by_text(report, runs: pd.DataFrame) -> list[str]:
    """What takes a prompt, at its time with one where there is such a run."""
    sentences = []
    for slug, run in runs[[find(slug).takes_text for slug in runs.index]].iterrows():
        prompted = offers.with_prompt(report, run)
        said = N_("Control by text: of these models {model} takes a prompt; with one it takes {time} s an image (n = {n}).") \
            if len(prompted) else N_("Control by text: of these models {model} takes a prompt; the {time} s an image are without one.")
        shown = prompted.iloc[-1] if len(prompted) else run
        sentences.append(report.say(said, model=_name(report, slug), time=report.significant(shown["time_s"], 3),
                                    n=cells.iterations(shown)))
    return sentences
