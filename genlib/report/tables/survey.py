"""People's verdict: how often pictures are taken for photographs, and how good they look."""
import pandas as pd

from genlib.experiments import find
from genlib.locale import N_
from genlib.locale.numbers import MISSING, is_missing
from genlib.report import survey as people
from genlib.report.cells import WEIGHTS
from genlib.report.survey import DEMO, LEAST, MARGIN, PHOTOGRAPH, Difference

PHOTOGRAPHS, NOBODY = N_("photographs", "row"), N_("Nobody has answered a survey of these pictures.")
TAKEN, QUALITY = N_("Taken for a photograph (%)"), N_("Quality (1 to 5)")
TOLD_APART, HARD, OPEN = N_("told apart", "verdict"), N_("hard to tell", "verdict"), N_("open", "verdict")
SAID = {
    TOLD_APART: N_("{model}: people tell the pictures from photographs. {figures}."),
    HARD: N_("{model}: the pictures are hard to tell from photographs (taken for photographs at most {margin} percentage points less "
             "often). {figures}."),
    OPEN: N_("{model}: whether people tell the pictures from photographs stays open; ask more people, with more pictures. {figures}.")}


def label(report, truth: str) -> str:
    """What pictures are called that truly are this."""
    slug = truth.removesuffix(DEMO)
    named = report.say(PHOTOGRAPHS if truth == PHOTOGRAPH else find(slug).label)
    return named if slug == truth else f"{named} ({report.say(WEIGHTS['demo'][0])})"


def survey(report) -> tuple[pd.DataFrame, str]:
    """A row for each kind of picture; how the answers were judged, and by how many people, in the note."""
    if report.answers.empty:
        return pd.DataFrame(), report.say(NOBODY)
    apart, kinds = people.differences(report.answers), people.kinds(report.answers)
    return pd.DataFrame([_row(report, truth, rows, apart.get(truth)) for truth, rows in kinds.items()]), _note(report)


def _row(report, truth: str, rows: pd.DataFrame, apart: Difference | None) -> dict[str, str]:
    taken, low, high = (report.rounded(100 * value, 0) for value in people.share(rows))
    quality, spread = (report.rounded(value, 1) for value in (rows["quality"].mean(), rows["quality"].std()))
    return {
        report.say(N_("Pictures", "column")): label(report, truth), report.say("How many"): str(rows["picture"].nunique()),
        report.say(N_("Answers", "column")): str(len(rows)),
        report.say(TAKEN): f"{taken} ({low} … {high})",
        report.say("Difference (points)"): people.points(report, apart) if apart else MISSING,
        report.say(QUALITY): quality if spread == MISSING else f"{quality} ± {spread}",
        report.say(N_("Verdict", "column")): report.say(_verdict(apart)) if apart else MISSING}


def _verdict(apart: Difference) -> str:
    return HARD if apart.hard else TOLD_APART if apart.told_apart else OPEN


def _note(report) -> str:
    answers = report.answers
    kappa, judges, pictures = people.agreement(answers)
    alike = report.say("Agreement: Fleiss’ κ = {kappa} of {judges} people over {pictures} pictures (1: they always agree; 0: as by "
                       "chance).", kappa=report.rounded(kappa, 2), judges=judges, pictures=pictures) if not is_missing(kappa) else \
        report.say("Agreement is not known: it takes two people who judged the same pictures and did not always give the same answer.")
    return " ".join([
        report.count("{n} person judged pictures, one at a time: a photograph or made; quality from 1 (very bad) to 5 (very good), as "
                     "mean ± standard deviation.",
                     "{n} people judged pictures, one at a time: a photograph or made; quality from 1 (very bad) to 5 (very good), as "
                     "mean ± standard deviation.", answers["person"].nunique()),
        report.say("In brackets: 95 % intervals. Those of shares are Wilson’s; they take all answers for independent and are rather too "
                   "narrow, since one person’s answers are alike."),
        report.say("Differences from photographs are means over people, in percentage points; their intervals span Student’s over people "
                   "and Newcombe’s over answers, and fewer than {least} people have none.", least=LEAST),
        report.say("Hard to tell: the interval lies above −{margin}. Told apart: it lies below 0 and reaches down to −{margin}. Else the "
                   "verdict is open.", margin=report.rounded(100 * MARGIN, 0)),
        alike, report.say("The median answer took {seconds} s.", seconds=report.rounded(answers["seconds"].median(), 0)),
        report.say("The result holds for these pictures and for people like these; it says nothing of other subjects, sizes of picture or "
                   "observers.")])


def verdicts(report) -> list[str]:
    """A sentence on each kind of made pictures; none without answers."""
    return [report.say(SAID[_verdict(apart)], model=label(report, truth), figures=people.figures(report, truth, apart),
                       margin=report.rounded(100 * MARGIN, 0)) for truth, apart in people.differences(report.answers).items()]
