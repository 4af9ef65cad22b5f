"""What fits into which card: of each memory mode the smallest card that held it, and what it took there."""
import pandas as pd

from genlib.locale import N_
from genlib.record import READINGS
from genlib.report import cells, notes
from genlib.report.summary import as_number, settings_but
from genlib.runs import variant_of


def cards(report) -> tuple[pd.DataFrame, str]:
    """A row for each memory mode that was tried on this machine with these weights, in any profile."""
    found = _tried(report)
    if found.empty:
        return pd.DataFrame(), report.say("no memory mode was tried on smaller cards; `genlib cards` does that on an NVIDIA GPU")
    modes = found.groupby(["model", "dtype", "profile", "mode"], sort=False)
    decided = pd.DataFrame([_decides(tries) for _, tries in modes])
    return pd.DataFrame([_line(report, row) for _, row in decided.iterrows()]), _note(report, found, decided)


def _tried(report) -> pd.DataFrame:
    """The runs of modes on cards, newest last: their mode as text, the card's bytes, whether it `held`."""
    own, every = report.summary.iloc[0], report.everything
    place = ["machine", "reference", "weights"]
    rows = every[(every[place] == own[place]).all(axis=1) & (every["method"] == "genlib")
                 & every["variant"].str.startswith(variant_of("card"))].sort_values("when", kind="stable")
    rows = rows.assign(unlike="", card=[as_number(run.settings.get("card_bytes")) for run in rows["run"]],
                       mode=[settings_but(run, "card_bytes") for run in rows["run"]],
                       held=[not any(i.out_of_memory for run in runs for i in run.iterations) for runs in rows["runs"]])
    return rows[rows["card"] > 0]


def _decides(tries: pd.DataFrame) -> pd.Series:
    """The newest run on the smallest card that held a mode; where none did, on the largest."""
    newest = tries.sort_values("card", kind="stable").drop_duplicates("card", keep="last")
    held = newest[newest["held"]]
    return held.iloc[0] if len(held) else newest.iloc[-1]


def _line(report, row: pd.Series) -> dict[str, str]:
    batch, card = as_number(row["run"].settings.get("batch_size", 1)), cells.card_gb(report, row["run"])
    time = report.significant(row["time_s"] / batch if batch >= 1 else None, 3)
    return {report.say(N_("Memory mode", "column")): cells.memory_mode(report, row["run"]) + cells.mark(row.to_frame().T),
            report.say(N_("Precision", "column")): row["dtype"],
            report.say(N_("Steps", "column")): report.rounded(row["steps"], 0),
            report.say("Smallest card (GB)"): card if row["held"] else report.say("more than {gb}", gb=card),
            cells.short_head(report, "vram_peak_bytes"): cells.figure(report, row["vram_peak_bytes"], READINGS["vram_peak_bytes"]),
            report.say("Time an image (s)"): time if row["held"] and row["n"] else cells.failure(report, row["run"])}


def _note(report, found: pd.DataFrame, decided: pd.DataFrame) -> str:
    weights, doubt = cells.WEIGHTS[decided["weights"].iloc[0]]
    sizes = dict.fromkeys(report.significant(size / cells.GB, 1) for size in (found["card"].min(), found["card"].max()))
    held = decided[decided["n"] > 0]
    return " ".join(filter(None, [
        f"{decided['device'].iloc[0]}; {report.say(weights)}.",
        report.say("Cards of {sizes} GB were imitated, the smallest first: PyTorch got as much of this device’s memory as such a card "
                   "would leave it. The times are this device’s and compare the modes, not the cards.", sizes=" … ".join(sizes)),
        report.say("Times of unlike numbers of steps do not compare.") if held["steps"].nunique() > 1 else "",
        report.say("{figures}, n = {n}.", figures=report.say(notes.ONLY_MEANS), n=cells.counts(held)) if len(held) else "",
        report.say("1 MB = 1024² bytes."), report.say("VRAM is the allocator’s peak."), notes.of_resumed(report, decided),
        doubt and report.say(doubt)]))
