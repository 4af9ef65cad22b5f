"""What stands in cells and heads of tables: figures with their spread, names with their steps."""
import pandas as pd

from genlib import escape, experiments
from genlib.locale import N_
from genlib.locale.numbers import MISSING, decimals_of, is_missing, span
from genlib.record import READINGS, Reading, Run
from genlib.report.summary import as_number
from genlib.runs import variant_of

MODEL, READING = N_("Model", "column"), N_("Reading", "column")
PUBLISHED, RATIO = N_("published", "column"), N_("ratio", "column")
GB = 1024**3  # of a card's memory
RESUMED = "*"  # behind the name of what was interrupted and taken up again
UNLIKE = "†"  # and of what was measured under other conditions than most rows of Table 1
PROFILES = {"thesis": N_("without optimisations"), "tuned": N_("optimised (the same pictures)"), "none": ""}
OFFLOADS = {  # where the networks lie while another one works
    "": N_("all on the card"), "model": N_("network by network, the others in RAM"), "sequential": N_("layer by layer, the others in RAM")}
WEIGHTS = {  # what they are called, and what has to be said of their figures
    "demo": (N_("demonstration weights"),
             N_("Models with demonstration weights are small: their figures say nothing of the published ones.")),
    "random": (N_("random weights at full size"), N_("Random weights draw no faces; the time and memory are real.")),
    "published": (N_("published weights"), ""),
    "none": (N_("no model"), ""),
}


def head(report, reading: Reading) -> str:
    """A reading's name with its unit."""
    label = report.text(reading.label)
    return f"{label} ({report.text(reading.unit)})" if reading.unit else label


def short_head(report, name: str) -> str:
    """A reading's short name with its unit, where it is the only one of its kind."""
    return f"{report.say(READINGS[name].short)} ({report.say(READINGS[name].unit)})"


def mean(report, row: pd.Series, name: str) -> str:
    """A reading's mean in a run ± its standard deviation, both to the place where they begin to vary."""
    text, spread = (like_mean(report, row, name, row[column]) for column in (name, f"{name}_sd"))
    return text if MISSING in (text, spread) else f"{text} ± {spread}"


def like_mean(report, row: pd.Series, name: str, value) -> str:
    """A value of a reading in the unit of its mean in a run, and with as many decimals."""
    reading = READINGS[name]
    if is_missing(value):
        return MISSING
    spread = row[f"{name}_sd"] / reading.scale
    decimals = decimals_of(row[name] / reading.scale, reading.digits) if reading.digits else 1 if spread < 0.5 else 0
    return report.rounded(value / reading.scale, decimals)


def figure(report, value, reading: Reading) -> str:
    """One figure in the reading's unit and digits."""
    if is_missing(value):
        return MISSING
    scaled = float(value) / reading.scale
    return report.significant(scaled, reading.digits) if reading.digits else report.rounded(scaled, 0)


def failure(report, run: Run) -> str:
    """Why a run has no figure, in a word or two."""
    return failure_of(report, any(iteration.out_of_memory for iteration in run.iterations))


def failure_of(report, out_of_memory: bool) -> str:
    """Why there is no figure."""
    return report.say("out of memory") if out_of_memory else report.say(N_("failed", "run"))


def interval(report, row: pd.Series) -> str:
    """The 95 % interval of the mean time; a dash where it is not known."""
    ends = [report.significant(row[end], 3) for end in ("time_s_low", "time_s_high")]
    return MISSING if MISSING in ends else " … ".join(ends)


def name(report, experiment: str, *, in_table1: bool = False) -> str:
    """An experiment's name in tables: `with_steps`, and its marks."""
    return with_steps(report, experiment, in_table1) + mark(report.rows.loc[report.rows.index == experiment])


def mark(rows: pd.DataFrame) -> str:
    """RESUMED if one of the runs was taken up again, UNLIKE if a row has other conditions than most."""
    return RESUMED * resumed(rows) + UNLIKE * any(rows["unlike"])


def resumed(rows: pd.DataFrame) -> bool:
    """Whether a run of these rows was interrupted and taken up again."""
    return any(run.resumed for runs in rows["runs"] for run in runs)


def iterations(row: pd.Series) -> str:
    """How many iterations a row is of: "5", or sessions by iterations, "3 × 5"."""
    counts = sorted({len(run.good) for run in row["runs"]} - {0})
    return str(row["n"]) if row["sessions"] < 2 else f"{row['sessions']} × {span(counts)}"


def in_sessions(rows: pd.DataFrame) -> bool:
    """Whether a row is of several sessions."""
    return bool((rows["sessions"] > 1).any())


def counts(rows: pd.DataFrame) -> str:
    """How many iterations rows are of: "5", from the least to the most; by sessions "1 × 5, 2 × 5"."""
    single, several = sorted(set(rows[rows["sessions"] < 2]["n"])), rows[rows["sessions"] > 1]
    of_single = [f"{'1 × ' * bool(len(several))}{span(single)}"] if single else []
    return ", ".join([*of_single, *sorted({iterations(row) for _, row in several.iterrows()})])


def with_steps(report, experiment: str, in_table1: bool = False) -> str:
    """An experiment's label, with its number of steps where the report's rows differ in it."""
    entry, steps = experiments.find(experiment), report.rows["steps"].dropna()
    label = report.text(entry.name_in_table1 if in_table1 else entry.label)
    names = {report.text(name) for known in experiments.EXPERIMENTS for name in (known.label, known.name_in_table1)}
    if entry not in experiments.EXPERIMENTS and label in names | {report.say(MODEL), report.say(READING)}:
        label = f"“{label}”"  # a stranger's, beside what has that name already
    if experiment not in steps.index or steps.nunique() < 2:
        return label
    own = steps_text(report, [steps[experiment]])
    if entry.steps_of_originals:
        return report.say("{model} (faces of {steps})", model=label, steps=own)
    return f"{label} ({own})"


def steps_text(report, steps: list[float]) -> str:
    """A number of denoising steps, or the first and the last of several, in words."""
    return report.count("{steps} step", "{steps} steps", int(steps[-1]), steps=span([f"{number:g}" for number in steps]))


def variant(report, run: Run) -> str:
    """What tells a run from its experiment's own, in words; "" for that one."""
    entry = experiments.find(run.experiment)
    if run.method == "thesis":
        return report.say("by the published method")
    if run.method == "by-hand":
        return report.say("clocked by hand")
    if run.variant in entry.variants:
        return report.say(entry.variants[run.variant])
    if run.model and run.variant.startswith(variant_of("precision")):
        return escape.plain(run.model.dtype)
    if run.model and run.variant.startswith(variant_of("model")):
        return escape.plain(run.model.name)
    if run.variant.startswith(variant_of("card")):
        return report.say("card of {gb} GB: {mode}", gb=card_gb(report, run), mode=memory_mode(report, run))
    loop = next((loop for loop in entry.loops if run.variant.startswith(variant_of(loop.setting))), None)
    value = loop and run.settings.get(loop.setting)
    if not isinstance(value, int):
        return run.variant and f"“{escape.plain(run.variant)}”"
    if loop.setting == "steps":
        return steps_text(report, [value])
    return report.say("{side} px", side=value) if loop.is_side else report.count("batch of {n} image", "batch of {n} images", value)


def card_gb(report, run: Run) -> str:
    """The memory of the card that a run had to do with; a dash where its record does not say it."""
    return report.significant(as_number(run.settings.get("card_bytes")) / GB, 1)


def memory_mode(report, run: Run) -> str:
    """How a model lies in memory and what it draws at once, in words."""
    settings, offload = run.settings, str(run.settings.get("offload", ""))
    batch, side = (as_number(settings.get(name)) for name in ("batch_size", "size"))
    return ", ".join(filter(None, [
        report.say(OFFLOADS[offload]) if offload in OFFLOADS else escape.plain(offload),
        profile(report, run.profile) if run.profile != "thesis" else "",
        report.count("batch of {n} image", "batch of {n} images", int(batch)) if batch > 1 else "",
        report.say("{side} px", side=int(side)) if side > 0 else "",
        report.say("VAE slicing") if settings.get("vae_slicing") is True else "",
        report.say("VAE tiling") if settings.get("vae_tiling") is True else ""]))


def profile(report, name: str) -> str:
    """What a profile is called."""
    return report.say(PROFILES[name]) if name in PROFILES else report.say("profile “{profile}”", profile=name)


def without_empty_columns(data: pd.DataFrame) -> pd.DataFrame:
    """A table's columns with something in them."""
    return data.loc[:, [column for column in data if set(data[column]) != {MISSING}]]
