"""Quality as a figure: every scored set of pictures beside the others; what quality costs, in a sentence."""
import re

import pandas as pd

from genlib import escape, experiments, scores
from genlib.locale import N_
from genlib.locale.numbers import MISSING, decimals_of, span
from genlib.record import PERCENT, READINGS
from genlib.report import cells
from genlib.report.scores import VARIED, cost, frontier

COMPARED, SETTINGS = N_("Compared with", "column"), N_("Settings", "column")
SIGNS = {"guidance_scale": N_("g: guidance scale."), "truncation_psi": N_("ψ: truncation.")}
HASH = 8  # characters of a sha256 that tell two folders of one name apart


def quality(report) -> tuple[pd.DataFrame, str]:
    """A row for each scored set; what all rows have in common stands in the note instead of a column.

    A figure has a column for each network and revision whose features it is of.
    """
    if report.scores.empty:
        return pd.DataFrame(), report.say("No pictures have been scored: `genlib score` leaves {file} beside them.", file=scores.FILE)
    rows = pd.DataFrame([_row(report, row) for _, row in report.scores.iterrows()]).fillna(MISSING)
    common = {head: rows[head].iloc[0] for head in _facts(report, report.scores.iloc[0]) if rows[head].nunique() == 1}
    sentences = [*(f"{head}: {value}." for head, value in common.items() if value != MISSING),
                 report.say("Features: {networks}.", networks="; ".join(networks)) if (networks := _networks(report)) else "",
                 *_signs(report),
                 report.say("In brackets: 95 % intervals over n pictures, by bootstrap; of the share with a face by Wilson’s score. "
                            "Figures compare within a column, between rows with the same n and the same pictures compared with: the fewer "
                            "the pictures, the larger the Fréchet distance."),
                 report.say("Of distances less is better. A dash: the figure was not taken, or needs more pictures."),
                 report.say("Times of different machines are no comparison.") if report.scores["machine"].nunique() > 1 else "",
                 *(report.say(cells.WEIGHTS[weights][1]) for weights in report.scores["weights"].unique() if weights in cells.WEIGHTS)]
    return cells.without_empty_columns(rows.drop(columns=list(common))), " ".join(filter(None, sentences))


def _signs(report) -> list[str]:
    """What the signs of `settings` mean, of those that are there."""
    there = {name for settings in report.scores["settings"] for name in settings}
    return [report.say(said) for name, said in SIGNS.items() if name in there]


def _row(report, row: pd.Series) -> dict[str, str]:
    found = row["scores"]
    figures = {_head(report, found, name): with_interval(report, figure, scores.reading(name)) for name, figure in found.figures.items()}
    return {report.say(cells.MODEL): label(report, row), report.say(SETTINGS): settings(report, row), **_facts(report, row),
            cells.short_head(report, "time_s"): report.significant(row["time_s"], READINGS["time_s"].digits), **figures}


def _facts(report, row: pd.Series) -> dict[str, str]:
    weights, found = cells.WEIGHTS.get(row["weights"], (row["weights"],))[0], row["scores"]
    counts = sorted({figure.n for figure in found.figures.values()})
    return {report.say(COMPARED): against(report, row) or MISSING, report.say(N_("Machine", "column")): row["device"] or MISSING,
            report.say(N_("Weights", "column")): report.text(weights), report.say(N_("Numerical precision")): row["dtype"] or MISSING,
            "n": span(counts) if counts else str(found.pictures)}


def against(report, row: pd.Series) -> str:
    """The pictures that a set was compared with; "" without any."""
    if (own := row["scores"].against) is None:
        return ""
    namesakes = {other.sha256 for found in report.scores["scores"] if (other := found.against) and other.folder == own.folder}
    name = escape.plain(own.folder) + (f", {escape.plain(own.sha256[:HASH])}" if len(namesakes) > 1 else "")
    return report.count("{name} ({n} picture)", "{name} ({n} pictures)", own.pictures, name=name)


def _networks(report) -> list[str]:
    """The networks whose features the figures are of, each with its revision."""
    return [f"{report.text(scores.NETWORKS[network])} ({revision})" for network, revision in _revisions(report)]


def _revisions(report) -> list[tuple[str, str]]:
    """The networks and revisions of all scored sets."""
    pairs = {(network, _revision(found, network)) for found in report.scores["scores"]
             for network in {scores.split(name)[1] for name in found.figures} - {""}}
    return sorted(pairs)


def _revision(found: scores.Scores, network: str) -> str:
    """Of which revision a set's network was, with the beginnings of long hashes."""
    return re.sub("[0-9a-f]{40,}", lambda long: long[0][:HASH], escape.plain(found.features.get(network, "")))


def _head(report, found: scores.Scores, name: str) -> str:
    """A figure's name with its unit; with its network and revision if the figures are of several."""
    head, (_, network) = cells.head(report, scores.reading(name)), scores.split(name)
    revisions = _revisions(report)
    if not network or len(revisions) == 1:
        return head
    several = sum(network == other for other, _ in revisions) > 1
    return ", ".join([head, report.text(scores.NETWORKS[network])] + [_revision(found, network)] * several)


def label(report, row: pd.Series) -> str:
    """A set's model, as its experiment is called; by its own name where an experiment has several."""
    models = set(report.scores.loc[report.scores["experiment"] == row["experiment"], "model"])
    known = experiments.find(row["experiment"]).label if row["experiment"] and len(models) == 1 else row["model"]
    return report.text(known or row["experiment"] or row["folder"])


def settings(report, row: pd.Series, but: str = "") -> str:
    """A set's settings of VARIED, but for one, and its variant; a dash without any."""
    values = {name: value for name in VARIED if name != but and type(value := row["settings"].get(name)) in (int, float)}
    texts = [cells.steps_text(report, [value]) if name == "steps" else symbol(report, name, value) for name, value in values.items()]
    variant = row["variant"] and report.text(experiments.find(row["experiment"]).variants.get(row["variant"], f"“{row['variant']}”"))
    return "; ".join(filter(None, [*texts, variant])) or MISSING


def symbol(report, setting: str, value: float) -> str:
    """A value of one of VARIED as it stands beside a point."""
    return VARIED[setting][1].format(f"{value:g}".replace(".", report.decimal_sign).replace("-", "−"))


def with_interval(report, figure: scores.Figure, reading) -> str:
    """A figure with its interval, both with as many decimals: by the reading's digits; a share has one."""
    value, *ends = (None if part is None else part / reading.scale for part in (figure.value, figure.low, figure.high))
    decimals = 1 if reading.unit == PERCENT else decimals_of(value, reading.digits or 3)
    text, *limits = (MISSING if part is None else report.rounded(part, decimals) for part in (value, *ends))
    return text if MISSING in limits else f"{text} ({' … '.join(limits)})"


def cost_of_quality(report) -> list[str]:
    """Of each model, which set comes nearest to the pictures compared with, and the quickest as near."""
    if (found := cost(report)) is None:
        return []
    return [said for _, rows in found.rows.groupby(["experiment", "model"], sort=False) if len(rows) > 1
            for said in _nearest(report, rows, found.distances[0])]


def _nearest(report, rows: pd.DataFrame, distance: str) -> list[str]:
    best = frontier(rows, distance).iloc[-1]
    limit = best[distance].high
    reaching = rows[[limit is not None and figure.low is not None and figure.low <= limit for figure in rows[distance]]]
    reaching = reaching[[_but_psi(settings) != _but_psi(best["settings"]) for settings in reaching["settings"]]]
    first = best if reaching.empty else reaching.sort_values("time_s").iloc[0]
    said = [report.say("{model} comes nearest to the pictures of {against} with {set}: {figures} on {device}.", model=label(report, best),
                       against=against(report, best), set=settings(report, best), device=best["device"],
                       figures=_figures(report, best, distance))]
    quicker = report.say("The quickest set whose 95 % interval overlaps that one’s has {set}: {figures}.", set=settings(report, first),
                         figures=_figures(report, first, distance))
    return said + [quicker] * bool(first["time_s"] < best["time_s"])


def _but_psi(settings: dict) -> dict:
    """What of a set's settings can change its time, which truncation does not."""
    return {name: value for name, value in settings.items() if name != "truncation_psi"}


def _figures(report, row: pd.Series, distance: str) -> str:
    reading = scores.BY_NETWORK[distance]
    return report.say("{figure} {value}, {time} s an image", figure=report.text(reading.label), time=report.significant(row["time_s"], 3),
                      value=with_interval(report, row[distance], reading))
