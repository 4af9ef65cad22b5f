"""What the publication and the models' configurations decide by themselves, on any machine and without a run.

Each function returns a verdict, None where the sums leave it open, and the sentences that show the sums.
"""
from statistics import fmean, stdev

from genlib.experiments import DECODED_VALUES, FLOPS, PARAMETERS, STABLE_DIFFUSION, STEPS, STYLEGAN2_ADA, VAE_AS_IN_THESIS, Published
from genlib.locale import N_
from genlib.locale.numbers import span
from genlib.record import MB
from genlib.report.audit.verdicts import CONFIRMED, CONTRADICTS, IMPOSSIBLE, NOTHING_AGAINST, REFUTED, SOUND

DIFFUSION, VAE, GAN = STABLE_DIFFUSION.published, VAE_AS_IN_THESIS.published, STYLEGAN2_ADA.published
PIPELINE = sum(PARAMETERS[part] for part in ("unet", "vae", "text_encoder"))  # without the safety checker
HALF, FULL = 2, 4  # bytes of a value
T4_FLOPS_PER_S = 8.1e12  # in float32, the peak: NVIDIA T4 data sheet, 2019
PUBLISHED_S, PUBLISHED_MB = N_("Published: {published_s} s."), N_("Published: {published_mb} MB.")


def published(report, figures: Published, reading: str) -> str:
    """The sentence with a figure of the published table."""
    value = figures.averages[reading]
    return report.say(PUBLISHED_S, published_s=report.rounded(value, 2)) if reading == "time_s" else \
        report.say(PUBLISHED_MB, published_mb=report.rounded(value / MB, 0))


def steps_s(figures: Published) -> list[float]:
    """How long the denoising steps took in the fastest and in the slowest image, by the progress bar."""
    return [STEPS / rate for rate in sorted(figures.steps_per_s, reverse=True)]


def rates(figures: Published) -> list[float]:
    """FLOP/s of the UNet, which is called at least once a step."""
    return [FLOPS["unet"] * rate for rate in figures.steps_per_s]


def _span(report, values: list[float], decimals: int) -> str:
    return span([report.rounded(value, decimals) for value in sorted(values)])


def _bar(report, figures: Published) -> dict[str, str]:
    """What the progress bars say beside the printed times."""
    printed = span([report.rounded(rate, len(f"{rate:g}") - 2) for rate in figures.steps_per_s])  # as they are printed
    whole = _span(report, [min(figures.times_s), max(figures.times_s)], 2)
    return dict(steps=STEPS, rates=printed, seconds=_span(report, steps_s(figures), 2), whole=whole)


def diffusion_share(figures: Published) -> list[float]:
    """The steps' share of the whole time, of the fastest and of the slowest image."""
    return [steps / whole for steps, whole in zip(steps_s(figures), (min(figures.times_s), max(figures.times_s)), strict=True)]


def time_of_stable_diffusion(report):
    """The progress bar is a second clock inside the first, which may add only a little."""
    return SOUND if min(shares := diffusion_share(DIFFUSION)) > 0.9 and max(shares) < 1 else CONTRADICTS, [report.say(
        "The call ends with the finished image; by the progress bar, {steps} steps at {rates} a second take {seconds} s of the {whole} s.",
        **_bar(report, DIFFUSION))]


def least_vram() -> dict[str, int]:
    """The weights, and what one convolution takes and gives: no allocator's peak is below it."""
    parts = {"": PIPELINE + DECODED_VALUES, "_checked": PIPELINE + DECODED_VALUES + PARAMETERS["safety_checker"]}
    return {name + checker: size * values for name, size in dict(half=HALF, full=FULL).items() for checker, values in parts.items()}


def vram_of_stable_diffusion(report):
    return None, [report.say("Printed: {printed} MB.", printed=report.rounded(DIFFUSION.vram_bytes / MB, 2)), report.say(
        "The weights and one convolution of the decoder need {half} MB in float16, {half_checked} MB with the safety checker; in float32 "
        "{full} MB, and with the checker {full_checked} MB, more than printed.",
        **{name: report.rounded(size / MB, 0) for name, size in least_vram().items()})]


def ram_of_stable_diffusion(report):
    printed, table = DIFFUSION.ram_bytes / MB, DIFFUSION.averages["ram_bytes"] / MB
    return CONTRADICTS if abs(printed - table) >= 1 else NOTHING_AGAINST, [report.say(
        "Every iteration is printed with {printed_mb} MB, their average with {table_mb} MB.", printed_mb=report.rounded(printed, 2),
        table_mb=report.rounded(table, 0))]


def time_of_vae(report):
    shares = diffusion_share(VAE)
    return IMPOSSIBLE if min(shares) > 0.5 else NOTHING_AGAINST, [report.say(
        "By the progress bar, {steps} steps at {rates} a second take {seconds} s of the {whole} s: {percent} % are diffusion.",
        percent=_span(report, [100 * share for share in shares], 0), **_bar(report, VAE))]


def vram_of_vae(report):
    weights, given = HALF * PIPELINE, VAE.averages["vram_peak_bytes"]
    return IMPOSSIBLE if weights > given else NOTHING_AGAINST, [published(report, VAE, "vram_peak_bytes"), report.say(
        "The pipeline stays loaded, and its {millions} million parameters are {weights_mb} MB even in half precision.",
        millions=report.rounded(PIPELINE / 1e6, 0), weights_mb=report.rounded(weights / MB, 0))]


def ram_of_vae(report):
    return None, [published(report, VAE, "ram_bytes"), report.say(
        "{diffusion} has {mb} MB with the same pipeline and less to do.", diffusion=report.text(STABLE_DIFFUSION.label),
        mb=report.rounded(DIFFUSION.averages["ram_bytes"] / MB, 0))]


def time_of_stylegan2(report):
    rate = FLOPS["generator"] / GAN.averages["time_s"]
    return None, [published(report, GAN, "time_s"), report.say(
        "{gflop} GFLOP in this time are {rate} TFLOP/s, {times} times less than {diffusion} reaches: the time did not go into arithmetic.",
        gflop=report.rounded(FLOPS["generator"] / 1e9, 0), rate=report.significant(rate / 1e12, 2),
        times=report.rounded(rates(DIFFUSION)[0] / rate, 0), diffusion=report.text(STABLE_DIFFUSION.label))]


def vram_of_stylegan2(report):
    return None, [published(report, GAN, "vram_peak_bytes"), report.say(
        "The weights are {mb} MB of it.", mb=report.rounded(FULL * PARAMETERS["generator"] / MB, 0))]


def ram_of_stylegan2(report):
    given = GAN.averages["ram_bytes"] / MB
    return IMPOSSIBLE if GAN.ram_divided_by != MB else NOTHING_AGAINST, [report.say(
        "The listing divides by 1024³ and prints MB: {given} of these units are {mb} MB.", given=report.rounded(given, 0),
        mb=report.rounded(given * GAN.ram_divided_by / MB, 0))]


def float32_on_a_t4(report):
    """By direct convolutions. With Winograd's F(4×4, 3×3), 49 % of a call would take a quarter, and the whole
    still 81 to 86 % of the peak, which a T4 does not hold at its 70 W.
    """
    flops_per_s = rates(DIFFUSION)
    return REFUTED if flops_per_s[0] > T4_FLOPS_PER_S else NOTHING_AGAINST, [report.say(
        "A UNet call is {call} TFLOP with direct convolutions; {per_s} calls a second are {rates} TFLOP/s, above the {peak} TFLOP/s of a "
        "T4 in float32, of which Winograd’s convolutions would still take over 80 %. Half precision or a faster GPU remains.",
        call=report.significant(FLOPS["unet"] / 1e12, 4), per_s=_bar(report, DIFFUSION)["rates"],
        rates=_span(report, [rate / 1e12 for rate in flops_per_s], 1), peak=report.rounded(T4_FLOPS_PER_S / 1e12, 1))]


def slow_start(report):
    first, *rest = DIFFUSION.times_s
    return CONFIRMED if first > max(rest) else REFUTED, [report.say(
        "Published: the first image took {first_s} s, the other four {rest_s} s on average.", first_s=report.rounded(first, 2),
        rest_s=report.rounded(fmean(rest), 2))]


def alike_in_time(report):
    """Welch's test (1947; scipy.stats.ttest_ind) of the printed iterations."""
    from scipy.stats import ttest_ind

    p = float(ttest_ind(DIFFUSION.times_s, VAE.times_s, equal_var=False).pvalue)
    sd, vae = (report.significant(100 * stdev(times) / fmean(times), 3) for times in (DIFFUSION.times_s, VAE.times_s))
    return CONFIRMED if p > 0.05 else REFUTED, [report.say(
        "The published iterations vary by {sd_percent} % and {vae_percent} %; Welch’s test of their means: p = {p}.",
        sd_percent=sd, vae_percent=vae, p=report.significant(p, 3))]


def averages(report):
    """0.01 s is the last place that is given: an average may be cut off there instead of rounded."""
    pairs = [(fmean(figures.times_s), figures.averages["time_s"]) for figures in (DIFFUSION, VAE)]
    is_so = all(abs(mean - given) < 0.01 for mean, given in pairs)
    (sd, sd_given), (vae, vae_given) = ([report.rounded(mean, 3), report.rounded(given, 2)] for mean, given in pairs)
    return CONFIRMED if is_so else REFUTED, [report.say(
        "The means are {sd} s and {vae} s, given as {sd_given} s and {vae_given} s: cut off, not rounded.",
        sd=sd, vae=vae, sd_given=sd_given, vae_given=vae_given)]


def guidance(report):
    return CONFIRMED, [report.say("The prompt is empty, so that both halves of each batch of two are alike: {formula}.",
                                  formula="u + s(u − u) = u")]  # u + s(c − u), with u for c


def unet_calls(report):
    calls = STABLE_DIFFUSION.parts(STEPS)["unet"]
    return CONFIRMED if calls == STEPS + 1 else REFUTED, [report.say(
        "PNDM takes its second step twice: {calls} calls for {steps} steps.", calls=calls, steps=STEPS)]


def one_picture(report):
    return CONFIRMED, [report.say("One latent, no prompt, and PNDM draws nothing at random.")]
