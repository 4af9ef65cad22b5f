"""What stands in cells, heads and notes of tables: figures with their spread, names with their steps."""
import pandas as pd

from genlib import escape, experiments
from genlib.locale import N_
from genlib.locale.numbers import MISSING, decimals_of, is_missing, span
from genlib.record import MB, ONCE, QUALITIES, READINGS, Reading, Run
from genlib.runs import variant_of

MODEL, READING = N_("Model", "column"), N_("Reading", "column")
PUBLISHED, RATIO = N_("published", "column"), N_("ratio", "column")
MEANS, ONLY_MEANS = N_("Mean ± standard deviation"), N_("Means", "of iterations")
RESUMED = "*"  # behind the name of what was interrupted and taken up again
FLOOR_MB = 8  # no difference: from process to process the libraries take 1 MB more or less, RAM above them 4
NAMED = 5  # models that were loaded before another
UNLIKE = "†"  # and of what was measured under other conditions than most rows of Table 1
PROFILES = {"thesis": N_("without optimisations"), "tuned": N_("optimised (the same pictures)"), "none": ""}
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
    return with_steps(report, experiment, in_table1) + mark(report, report.rows.loc[report.rows.index == experiment])


def mark(report, rows: pd.DataFrame) -> str:
    """RESUMED if one of the runs was taken up again, UNLIKE if a row has other conditions than most."""
    resumed = any(run.resumed for runs in rows["runs"] for run in runs)
    return RESUMED * resumed + UNLIKE * any(folder in report.unlike for folder in rows["folder"])


def iterations(row: pd.Series) -> str:
    """How many iterations a row is of: "5", or sessions by iterations, "3 × 5"."""
    counts = sorted({len(run.good) for run in row["runs"]} - {0})
    return str(row["n"]) if row["sessions"] < 2 else f"{row['sessions']} × {span(counts)}"


def in_sessions(rows: pd.DataFrame) -> bool:
    """Whether a row is of several sessions."""
    return bool((rows["sessions"] > 1).any())


def counts(rows: pd.DataFrame) -> str:
    """How many iterations rows are of: the least and the most of a single session, then those of several."""
    single, several = sorted(set(rows[rows["sessions"] < 2]["n"])), rows[rows["sessions"] > 1]
    return ", ".join([*([span(single)] if single else []), *sorted({iterations(row) for _, row in several.iterrows()})])


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
    if run.variant in entry.variants:
        return report.say(entry.variants[run.variant])
    if run.model and run.variant.startswith(variant_of("precision")):
        return escape.plain(run.model.dtype)
    loop = next((loop for loop in entry.loops if run.variant.startswith(variant_of(loop.setting))), None)
    value = loop and run.settings.get(loop.setting)
    if not isinstance(value, int):
        return run.variant and f"“{escape.plain(run.variant)}”"
    if loop.setting == "steps":
        return steps_text(report, [value])
    return report.say("{side} px", side=value) if loop.is_side else report.count("batch of {n} image", "batch of {n} images", value)


def profile(report, name: str) -> str:
    """What a profile is called."""
    return report.say(PROFILES[name]) if name in PROFILES else report.say("profile “{profile}”", profile=name)


def without_empty_columns(data: pd.DataFrame) -> pd.DataFrame:
    """A table's columns with something in them."""
    return data.loc[:, [column for column in data if set(data[column]) != {MISSING}]]


def given(report) -> str:
    """The sentence that says whose the published figures are."""
    return report.say("Published figures are those given {reproduced}.", reproduced=report.reproduced)


def note(report, rows: pd.DataFrame, figures: str = MEANS, *, memory: bool = True) -> str:
    """What a reader has to know of a table of these runs.

    Machine, weights, profile, precision and steps; what the figures are, and of how many iterations; with
    `memory` the unit and what is read of it; and what the figures cannot tell. "" without runs.
    """
    if rows.empty:
        return ""
    devices, precisions = (", ".join(map(str, dict.fromkeys(rows[column]))) for column in ("device", "dtype"))
    weights, doubt = WEIGHTS[rows["weights"].iloc[0]]
    steps, several = sorted(set(rows["steps"].dropna())), in_sessions(rows)
    conditions = [devices, report.say(weights), profile(report, rows["profile"].iloc[0]), precisions,
                  steps_text(report, steps) if steps else ""]
    alone = figures in (MEANS, ONLY_MEANS) and rows["n"].max() == 1
    figures = report.say(N_("Mean over the sessions ± standard deviation of an iteration") if several and figures == MEANS else figures)
    return " ".join(filter(None, [
        f"{'; '.join(filter(None, conditions))}.",
        report.say("A single iteration, so that no deviation is known.") if alone else
        report.say(N_("{figures}, n = {n} (sessions × iterations).") if several else N_("{figures}, n = {n}."), figures=figures,
                   n=counts(rows)),
        *_of_other_models(report, rows), memory and _of_memory(report, rows),
        RESUMED in mark(report, rows) and report.say("{mark} The run was interrupted and taken up again.", mark=RESUMED),
        _of_unlike(report, rows), doubt and report.say(doubt)]))


def _of_unlike(report, rows: pd.DataFrame) -> str:
    """What was otherwise in the rows that are marked so."""
    found: dict[str, list[str]] = {}
    for _, row in rows[rows["folder"].isin(report.unlike)].iterrows():
        found.setdefault(report.unlike[row["folder"]], []).append(_label(report, row))
    runs = "; ".join(f"{', '.join(dict.fromkeys(names))} ({said})" for said, names in found.items())
    said = report.say("{mark} Measured under other conditions than most rows of the main table: {runs}.", mark=UNLIKE, runs=runs)
    return said if runs else ""


def _of_other_models(report, rows: pd.DataFrame) -> list[str]:
    """A sentence for each row whose model is not the thesis's, but for those of a loop over models."""
    pairs = {}
    for _, row in rows.iterrows():
        entry = experiments.find(row["experiment"])
        loops = tuple(variant_of(loop.setting) for loop in entry.loops if loop.renames_model)
        if entry.is_other_model(row) and not (loops and row["variant"].startswith(loops)):
            pairs[entry.slug, row["model"]] = report.say(
                "The row of {experiment} is of the model {model}.", experiment=report.text(entry.label), model=row["model"])
    return list(pairs.values())


def own_ram(row: pd.Series) -> bool:
    """Whether no other model that its process had loaded before may count in the RAM of a row."""
    entry = experiments.find(row["experiment"])
    return all(entry.own_ram if run.loaded_before is None else not run.loaded_before for run in row["runs"])


def ram_above(report, row: pd.Series) -> str:
    """RAM above that before the model; a dash where it may use again what other models before it left."""
    return figure(report, row["ram_above_bytes"], ONCE["ram_above_bytes"]) if own_ram(row) else MISSING


def _of_memory(report, rows: pd.DataFrame) -> str:
    shared = dict.fromkeys(report.text(experiments.find(row["experiment"]).label) for _, row in rows.iterrows()
                           if not own_ram(row) and any(run.loaded_before is None for run in row["runs"]))
    ram = report.say("RAM is what the process holds at the end of an iteration ({models}: with what ran in it before), unless a row says "
                     "otherwise.", models=", ".join(shared)) if shared else \
        report.say("RAM is what the process holds at the end of an iteration, unless a row says otherwise.")
    vram = report.say("This machine has no GPU, hence no VRAM.") if report.summary["vram_peak_bytes"].isna().all() else \
        report.say("VRAM is the allocator’s peak, unless a row says otherwise.")
    return " ".join([report.say("1 MB = 1024² bytes."), ram, *_of_libraries(report, rows), *_of_loaded_before(report, rows), vram])


def _of_libraries(report, rows: pd.DataFrame) -> list[str]:
    """How much of the RAM the libraries took before any model was loaded, as far as records tell."""
    sizes = {_label(report, row): row["ram_before_bytes"] / MB for _, row in rows.iterrows()
             if own_ram(row) and not is_missing(row["ram_before_bytes"])}
    texts = {label: report.rounded(size, 0) for label, size in sorted(sizes.items(), key=lambda pair: pair[1])}
    if not sizes:
        return []
    if max(sizes.values()) - min(sizes.values()) <= FLOOR_MB:
        return [report.say("Of this, the libraries take {mb} MB before any model is loaded.", mb=span(list(dict.fromkeys(texts.values()))))]
    return [report.say("Of this, the libraries take before any model is loaded, in MB: {figures}.",
                       figures="; ".join(f"{label} {texts[label]}" for label in sizes))]


def _of_loaded_before(report, rows: pd.DataFrame) -> list[str]:
    """Which rows were measured after other models in one process, and which those were."""
    found: dict[str, dict[str, None]] = {}
    for _, row in rows.iterrows():
        others = dict.fromkeys(escape.plain(name) for run in row["runs"] for name in run.loaded_before or [])
        if others:
            found.setdefault("; ".join(list(others)[:NAMED]), {})[_label(report, row)] = None
    return [report.say("{models}: measured in a process that had loaded other models before ({others}), whose memory may still count in "
                       "its RAM.", models="; ".join(models), others=others) for others, models in found.items()]


def _label(report, row: pd.Series) -> str:
    """A row's experiment, and what tells it from the experiment's own run."""
    return ", ".join(filter(None, (report.text(experiments.find(row["experiment"]).label), variant(report, row["run"]))))


def of_originals(report, rows: pd.DataFrame) -> list[str]:
    """A sentence for each row whose quality is that of an original: of which, and how it is of others."""
    said = []
    for slug, row in rows.iterrows():
        alike = (report.summary[["experiment", "method", "model", "dtype"]] == row[["experiment", "method", "model", "dtype"]]).all(axis=1)
        others = report.summary[alike].sort_values("when", ascending=False, kind="stable")
        figures = {}
        for _, other in [(slug, row), *others.iterrows()]:
            psnr, ssim = (figure(report, other.get(f"quality.{name}"), QUALITIES[name]) for name in ("psnr_db", "ssim"))
            if (original := _original(other["run"])) and MISSING not in (psnr, ssim):
                figures.setdefault(original, report.say("{original} {psnr} dB and {ssim}", original=report.say(original), psnr=psnr,
                                                        ssim=ssim))
        if _original(row["run"]) in figures:
            said.append(report.say("PSNR and SSIM of {model}: {figures}.", model=report.text(experiments.find(slug).label),
                                   figures="; ".join(figures.values())))
    return said


def _original(run: Run) -> str:
    """What came back is held against, in words; earlier records tell it by their variant, or had faces."""
    told = run.settings.get("original", run.variant or ("faces" if "steps" in run.settings else ""))
    return experiments.find(run.experiment).variants.get(told, "") if isinstance(told, str) else ""
