"""Models side by side: what each that notebook 1 tried takes for one image, beside its own."""
import pandas as pd

from genlib import escape, licences
from genlib.experiments import STABLE_DIFFUSION
from genlib.locale import N_
from genlib.locale.numbers import MISSING
from genlib.record import ONCE
from genlib.report import cells, notes
from genlib.runs import variant_of


def models(report) -> tuple[pd.DataFrame, str]:
    """A row for each model tried on this machine in this profile, with any weights; the own first."""
    rows = _tried(report)
    if rows.empty:
        return pd.DataFrame(), report.say("no other model was tried; {setting} in {notebook} names them",
                                          setting="MODEL_IDS_TRIED",
                                          notebook=STABLE_DIFFUSION.notebook)
    return pd.DataFrame([_line(report, row) for _, row in rows.iterrows()]), _note(report, rows)


def _tried(report) -> pd.DataFrame:
    """The newest run of each model, precision and kind of weights; none where no other was tried."""
    own, every = report.summary.iloc[0], report.everything
    place = ["machine", "reference", "profile"]
    every = every[(every[place] == own[place]).all(axis=1) & (every["method"] == "genlib")
                  & (every["experiment"] == STABLE_DIFFUSION.slug)].sort_values("when", kind="stable").assign(unlike="")
    tried = every[every["variant"].str.startswith(variant_of("model"))]
    beside = every[(every["variant"] == STABLE_DIFFUSION.prompted_variant) & (every["weights"] == own["weights"])]
    return pd.concat([beside.tail(1), tried.drop_duplicates(["model", "dtype", "weights"], keep="last")]) if len(tried) else tried


def _line(report, row: pd.Series) -> dict[str, str]:
    licence = licences.of(row["run"].model)
    once = {cells.head(report, ONCE[name]): cells.figure(report, row[name], ONCE[name]) for name in ("parameters", "weights_bytes")}
    time, *memory = [(cells.short_head(report, name), cells.mean(report, row, name)) for name in ("time_s", "vram_peak_bytes", "ram_bytes")]
    return {report.say(cells.MODEL): escape.plain(row["model"]) + cells.mark(row.to_frame().T),
            report.say(N_("Weights", "column")): report.say(cells.WEIGHTS[row["weights"]][0]),
            **once, report.say(N_("Precision", "column")): row["dtype"],
            report.say(N_("Steps", "column")): report.rounded(row["steps"], 0), "n": cells.iterations(row),
            time[0]: time[1] if row["n"] else cells.failure(report, row["run"]), **dict(memory),
            report.say(N_("Licence", "column")): licence.name if licence else MISSING}


def _note(report, rows: pd.DataFrame) -> str:
    good = rows[rows["n"] > 0]
    return " ".join(filter(None, [
        f"{rows['device'].iloc[0]}; {cells.profile(report, rows['profile'].iloc[0])}.",
        report.say("Each model draws from one prompt, at its own size and with its own number of steps, or fewer where the notebook has "
                   "fewer: a time is that of an image, not of a step."),
        report.say("A dash for the licence: it is not known here."),
        report.say("Random weights have the licence of the published ones for which they stand.") if "random" in set(rows["weights"])
        else "",
        "" if good.empty else report.say("A single iteration, so that no deviation is known.") if good["n"].max() == 1 else
        report.say("{figures}, n = {n}.", figures=report.say(notes.MEANS), n=cells.counts(good)),
        report.say("1 MB = 1024² bytes."), *notes.of_loaded_before(report, good), notes.of_resumed(report, rows),
        *(report.say(said) for weights in dict.fromkeys(rows["weights"]) if (said := cells.WEIGHTS[weights][1]))]))
