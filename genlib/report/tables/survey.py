"""People's verdict: how often pictures are taken for photographs, and how good they look."""
import pandas as pd

from genlib.experiments import EXPERIMENTS, find
from genlib.locale import N_
from genlib.locale.numbers import MISSING, is_missing
from genlib.report import survey as people
from genlib.report.survey import LEAST, MARGIN, PHOTOGRAPH, Difference

PHOTOGRAPHS = N_("photographs", "row")
TOLD_APART, HARD, OPEN = N_("told apart", "verdict"), N_("hard to tell", "verdict"), N_("open", "verdict")
SAID = {
    TOLD_APART: N_("{model}: people tell the pictures from photographs. {figures}."),
    HARD: N_("{model}: the pictures are hard to tell from photographs (taken for photographs at most {margin} percentage points less "
             "often). {figures}."),
    OPEN: N_("{model}: whether people tell the pictures from photographs stays open; ask more people, with more pictures. {figures}.")}


def kinds(report) -> dict[str, pd.DataFrame]:
    """The answers by kind of picture, under its name: photographs, then each model's."""
    known = [PHOTOGRAPH, *(entry.slug for entry in EXPERIMENTS)]
    found = {truth: rows for truth, rows in report.answers.groupby("truth")}
    order = sorted(found, key=lambda truth: (known.index(truth) if truth in known else len(known), truth))
    return {report.say(PHOTOGRAPHS if truth == PHOTOGRAPH else find(truth).label): found[truth] for truth in order}


def survey(report) -> tuple[pd.DataFrame, str]:
    """A row for each kind of picture; how the answers were judged, and by how many people, in the note."""
    answers = report.answers
    if answers.empty:
        return pd.DataFrame(), report.say("Nobody has answered a survey of these pictures.")
    apart = dict(_apart(report))
    return pd.DataFrame([_row(report, name, rows, apart.get(name)) for name, rows in kinds(report).items()]), _note(report)


def _row(report, name: str, rows: pd.DataFrame, apart: Difference | None) -> dict[str, str]:
    taken, low, high = (report.rounded(100 * value, 0) for value in people.share(rows))
    quality, spread = (report.rounded(value, 1) for value in (rows["quality"].mean(), rows["quality"].std()))
    return {
        report.say(N_("Pictures", "column")): name, report.say("How many"): str(rows["picture"].nunique()),
        report.say(N_("Answers", "column")): str(len(rows)),
        report.say("Taken for a photograph (%)"): f"{taken} ({low} … {high})",
        report.say("Difference from photographs (percentage points)"): _points(report, apart) if apart else MISSING,
        report.say("Quality (1 to 5)"): quality if spread == MISSING else f"{quality} ± {spread}",
        report.say(N_("Verdict", "column")): report.say(_verdict(apart)) if apart else MISSING}


def _apart(report) -> list[tuple[str, Difference]]:
    """How each kind of made pictures differs from photographs; nothing without answers on photographs."""
    photographs = report.answers[report.answers["truth"] == PHOTOGRAPH]
    return [(name, people.difference(rows, photographs)) for name, rows in kinds(report).items()
            if len(photographs) and PHOTOGRAPH not in set(rows["truth"])]


def _points(report, apart: Difference) -> str:
    mean, low, high = (report.rounded(100 * value, 0) for value in apart)
    return mean if is_missing(apart.low) else f"{mean} ({low} … {high})"


def _verdict(apart: Difference) -> str:
    return HARD if apart.hard else TOLD_APART if apart.told_apart else OPEN


def _note(report) -> str:
    answers = report.answers
    number = answers["person"].nunique()
    kappa, judges, pictures = people.agreement(answers)
    alike = report.say("Agreement: Fleiss’ κ = {kappa} of {judges} people over {pictures} pictures (1: they always agree; 0: as by "
                       "chance).", kappa=report.rounded(kappa, 2), judges=judges, pictures=pictures) if not is_missing(kappa) else \
        report.say("Agreement is not known: it takes two people who judged the same pictures and did not always give the same answer.")
    return " ".join([
        report.count("{n} person said of each picture whether it is a photograph, and how good it looks, from 1 (very bad) to 5 (very "
                     "good; mean ± standard deviation).",
                     "{n} people said of each picture whether it is a photograph, and how good it looks, from 1 (very bad) to 5 (very "
                     "good; mean ± standard deviation).", number),
        report.say("In brackets: 95 % intervals. Those of shares are Wilson’s; they take all answers for independent and are rather too "
                   "narrow, since one person’s answers are alike."),
        report.say("Differences are means over people; their intervals span Student’s over people and Newcombe’s over answers, and fewer "
                   "than {least} people have none.", least=LEAST),
        report.say("Told apart: the interval lies below 0; hard to tell: it lies above −{margin}; else the verdict is open.",
                   margin=report.rounded(100 * MARGIN, 0)),
        alike, report.say("The median answer took {seconds} s.", seconds=report.rounded(answers["seconds"].median(), 0)),
        report.say("The result holds for these pictures and for people like these; it says nothing of other subjects, sizes of picture or "
                   "observers.")])


def verdicts(report) -> list[str]:
    """A sentence on each kind of made pictures; none without answers."""
    taken, said = kinds(report), []
    for name, apart in _apart(report):
        figures = report.say(
            "Taken for photographs: {made} % of them and {real} % of the photographs; difference {difference} percentage points",
            made=report.rounded(100 * taken[name]["real"].mean(), 0), difference=_points(report, apart),
            real=report.rounded(100 * taken[report.say(PHOTOGRAPHS)]["real"].mean(), 0))
        said.append(report.say(SAID[_verdict(apart)], model=name, figures=figures, margin=report.rounded(100 * MARGIN, 0)))
    return said
