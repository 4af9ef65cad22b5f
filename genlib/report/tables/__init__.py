"""The tables of a report, in the order of their numbers."""
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from zlib import crc32

from genlib.locale import N_
from genlib.report.audit import claims
from genlib.report.audit import table as audit
from genlib.report.tables import (
    cards,
    common,
    comparison,
    cost,
    decision,
    growth,
    iterations,
    machines,
    methods,
    models,
    scores,
    sessions,
    survey,
)
from genlib.report.tables.table import Table as Table


class Kind(NamedTuple):
    """A table that a report can make; `make(report)` returns its cells, as text, and its note."""
    name: str
    title: str
    make: Callable
    file: str = ""  # the name of its files where that is another one
    model: str = ""  # the experiment that it is of, where there is one for each


def of(kind, experiment: str):
    """A kind of table or figure, of one experiment, which its `make` is given too and its name ends with."""
    return kind._replace(name=f"{kind.name}-{key(experiment)}", make=partial(kind.make, experiment=experiment), model=experiment)


def key(experiment: str) -> str:
    """A slug as the names of files and labels hold it; of a stranger's odd one a number."""
    return experiment if re.fullmatch("[a-z0-9_-]{1,60}", experiment) else f"{crc32(experiment.encode()):08x}"


TABLES = [
    Kind("results", N_("Comparison of the results"), comparison.results, file="table1"),
    Kind("common_precision", common.TITLE, common.common_precision),
    Kind("beside_thesis", N_("These runs beside the published figures"), comparison.beside_thesis),
    Kind("sessions", N_("Spread of the time within and between sessions"), sessions.sessions),
    Kind("readings", N_("All readings"), comparison.readings, file="full"),
    Kind("growth", N_("How time grows"), growth.growth),
    Kind("precisions", N_("What precision costs"), growth.precisions),
    Kind("models", N_("Models side by side"), models.models),
    Kind("cards", N_("What fits into which card"), cards.cards),
    Kind("machines", N_("The machines side by side"), machines.machines),
    Kind("methods", N_("Methods beside each other"), methods.methods),
    Kind("audit", N_("The published figures under audit"), audit.audit),
    Kind("claims", N_("The claims of the published comparison"), claims.claims),
    Kind("scores", N_("Quality as a figure"), scores.quality),
    Kind("survey", N_("People’s verdict on the pictures"), survey.survey),
    Kind("cost", N_("Cost of many images"), cost.cost),
    Kind("service", N_("Latency, cold start and licence"), cost.service),
    Kind("decision", N_("The models within the reader’s limits"), decision.decision),
    Kind("environment", N_("Machine and software"), machines.environment),
]
OF_EACH = [Kind("iterations", N_("Iterations of {model}"), iterations.iterations)]  # one for each experiment of a report
