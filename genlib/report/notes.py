"""What stands in the notes of tables: of which runs the figures are, and what they cannot tell."""
import pandas as pd

from genlib import escape, experiments
from genlib.locale import N_
from genlib.locale.numbers import MISSING, is_missing, span
from genlib.record import MB, ONCE, QUALITIES, Run
from genlib.report import cells
from genlib.runs import variant_of

MEANS, ONLY_MEANS = N_("Mean ± standard deviation"), N_("Means", "of iterations")
FLOOR_MB = 8  # no difference: from process to process the libraries take 1 MB more or less, RAM above them 4
NAMED = 5  # models that were loaded before another


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
    weights, doubt = cells.WEIGHTS[rows["weights"].iloc[0]]
    steps, several = sorted(set(rows["steps"].dropna())), cells.in_sessions(rows)
    profiles = filter(None, (cells.profile(report, profile) for profile in dict.fromkeys(rows["profile"])))
    conditions = [devices, report.say(weights), ", ".join(profiles), precisions,
                  cells.steps_text(report, steps) if steps else ""]
    alone = figures in (MEANS, ONLY_MEANS) and rows["n"].max() == 1
    figures = report.say(N_("Mean over the sessions ± standard deviation of an iteration") if several and figures == MEANS else figures)
    return " ".join(filter(None, [
        f"{'; '.join(filter(None, conditions))}.",
        report.say("A single iteration, so that no deviation is known.") if alone else
        report.say(N_("{figures}, n = {n} (sessions × iterations).") if several else N_("{figures}, n = {n}."), figures=figures,
                   n=cells.counts(rows)),
        *_of_other_models(report, rows), memory and _of_memory(report, rows),
        of_resumed(report, rows), of_unlike(report, rows, cells.UNLIKE), set_aside(report, rows), doubt and report.say(doubt)]))


def of_resumed(report, rows: pd.DataFrame) -> str:
    """What the mark of runs that were taken up again means; "" without any."""
    return report.say("{mark} The run was interrupted and taken up again.", mark=cells.RESUMED) if cells.resumed(rows) else ""


def of_unlike(report, rows: pd.DataFrame, sign: str = "") -> str:
    """What was otherwise in the rows that are marked so; "" without any."""
    found: dict[str, dict[str, None]] = {}
    for _, row in rows[rows["unlike"] != ""].iterrows():
        found.setdefault(row["unlike"], {})[_label(report, row)] = None
    if not found:
        return ""
    runs = "; ".join(f"{', '.join(names)} ({said})" for said, names in found.items())
    slug, most = report.standard
    return report.say("{mark} Measured under other conditions than most rows of the main table: {runs}.", mark=sign, runs=runs).strip() \
        if most else report.say("{mark} Measured under other conditions than {model} in the main table: {runs}.", mark=sign, runs=runs,
                                model=report.text(experiments.find(slug).label)).strip()


def set_aside(report, rows: pd.DataFrame, *, any_variant: bool = False) -> str:
    """The sentence that names the runs like these that were set aside, with the reason for each; "" without.

    Alike are those of one machine, weights, profile and method and, but for `any_variant`, of the experiment
    and the loop of a row; or an experiment's own, where it has no row in Table 1.
    """
    kinds = {_kind(run) for run in rows["run"]}
    groups = {kind[:5] for kind in kinds}
    found = [run for run in report.set_aside if _kind(run) in kinds or _kind(run)[:5] in groups and (
        any_variant or not run.variant and run.experiment not in report.rows.index)]
    several = len({run.machine.slug for run in rows["run"]}) > 1
    alike: dict[str, list[str]] = {}
    for run in found:
        alike.setdefault(run.set_aside, []).append(", ".join(filter(None, [
            several and (run.machine.device or run.machine.slug), report.text(experiments.find(run.experiment).label),
            cells.variant(report, run), (run.started or "")[:19].replace("T", " ")])))
    said = [report.say("{run} ({why})", run="; ".join(names), why=why) for why, names in alike.items()]
    return report.say("Set aside and not counted: {runs}.", runs=escape.plain("; ".join(said))) if said else ""


def _kind(run: Run) -> tuple:
    return run.reference, run.machine.slug, run.weights, run.profile, run.method, run.experiment, run.variant.partition("-")[0]


def _of_other_models(report, rows: pd.DataFrame) -> list[str]:
    """A sentence for each row whose model is not the thesis's, but for those that are set side by side."""
    said = {}
    for _, row in rows.iterrows():
        entry = experiments.find(row["experiment"])
        over_models = variant_of("model"), *(variant_of(loop.setting) for loop in entry.loops if loop.renames_model)
        if entry.is_other_model(row) and not row["variant"].startswith(over_models):
            said[report.say("The row of {experiment} is of the model {model}.", experiment=report.text(entry.label),
                            model=row["model"])] = None
    return list(said)


def own_ram(row: pd.Series) -> bool:
    """Whether no model that its process had loaded before may count in the RAM of a row."""
    return all(map(_was_first, row["runs"]))


def _was_first(run: Run) -> bool:
    """Whether its model was the first in its process; of earlier records, as the notebooks had it then."""
    if run.loaded_before is None:
        return experiments.find(run.experiment).own_ram and not run.variant.startswith(variant_of("precision"))
    return not run.loaded_before


def ram_above(report, row: pd.Series) -> str:
    """RAM above that before the model; a dash where it may use again what other models before it left."""
    return cells.figure(report, row["ram_above_bytes"], ONCE["ram_above_bytes"]) if own_ram(row) else MISSING


def _of_memory(report, rows: pd.DataFrame) -> str:
    shared = dict.fromkeys(_label(report, row) for _, row in rows.iterrows()
                           if any(run.loaded_before is None and not _was_first(run) for run in row["runs"]))
    ram = report.say("RAM is what the process holds at the end of an iteration ({models}: with what ran in it before).",
                     models="; ".join(shared)) if shared else \
        report.say("RAM is what the process holds at the end of an iteration.")
    vram = report.say("This machine has no GPU, hence no VRAM.") if report.summary["vram_peak_bytes"].isna().all() else \
        report.say("VRAM is the allocator’s peak.")
    return " ".join([report.say("1 MB = 1024² bytes."), ram, *_of_libraries(report, rows), *of_loaded_before(report, rows), vram])


def _of_libraries(report, rows: pd.DataFrame) -> list[str]:
    """How much of the RAM the libraries took before any model was loaded: by row where not all tell it."""
    sizes = {_label(report, row): row["ram_before_bytes"] / MB for _, row in rows.iterrows()
             if own_ram(row) and not is_missing(row["ram_above_bytes"])}
    texts = {label: report.rounded(size, 0) for label, size in sorted(sizes.items(), key=lambda pair: pair[1])}
    if not sizes:
        return []
    if rows["ram_above_bytes"].notna().all() and max(sizes.values()) - min(sizes.values()) <= FLOOR_MB:
        return [report.say("Of this, the libraries take {mb} MB before any model is loaded.", mb=span(list(dict.fromkeys(texts.values()))))]
    return [report.say("Of this, the libraries take before any model is loaded, in MB: {figures}.",
                       figures="; ".join(f"{label} {texts[label]}" for label in sizes))]


def of_loaded_before(report, rows: pd.DataFrame) -> list[str]:
    """A sentence on the rows that were measured after other models in one process, which it names."""
    before: dict[str, dict[str, None]] = {}
    for _, row in rows.iterrows():
        others = dict.fromkeys(escape.plain(name) for run in row["runs"] for name in run.loaded_before or [])
        before.setdefault(_label(report, row), {}).update(others)
    rows_after: dict[str, list[str]] = {}
    for label, others in before.items():
        if others:
            rows_after.setdefault(_in_short(list(others)[:NAMED]), []).append(label)
    said = "; ".join(f"{', '.join(labels)} ({others})" for others, labels in rows_after.items())
    return [report.say("This RAM may include models that the process had loaded before: {rows}.", rows=said)] if said else []


def _in_short(models: list[str]) -> str:
    """Models by name, each once, followed by its precisions, which stand behind the last comma."""
    precisions: dict[str, list[str]] = {}
    for model in models:
        name, _, precision = model.rpartition(", ")
        precisions.setdefault(name, []).append(precision)
    return "; ".join(", ".join(filter(None, [name, *found])) for name, found in precisions.items())


def _label(report, row: pd.Series) -> str:
    """A row's experiment, and what tells it from the experiment's own run."""
    return ", ".join(filter(None, (report.text(experiments.find(row["experiment"]).label), cells.variant(report, row["run"]))))


def of_originals(report, rows: pd.DataFrame) -> list[str]:
    """A sentence for each row whose quality is that of an original: of which, and how it is of others."""
    said = []
    for slug, row in rows.iterrows():
        alike = (report.summary[["experiment", "method", "model", "dtype"]] == row[["experiment", "method", "model", "dtype"]]).all(axis=1)
        others = report.summary[alike].sort_values("when", ascending=False, kind="stable")
        figures = {}
        for _, other in [(slug, row), *others.iterrows()]:
            psnr, ssim = (cells.figure(report, other.get(f"quality.{name}"), QUALITIES[name]) for name in ("psnr_db", "ssim"))
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
