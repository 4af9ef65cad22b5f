"""The tables of a report, in the order of their numbers."""
from collections.abc import Callable
from typing import NamedTuple

from genlib.locale import N_
from genlib.report import audit
from genlib.report.tables import comparison, growth
from genlib.report.tables.table import Table as Table


class Kind(NamedTuple):
    """A table that a report can make; `make(report)` returns its cells, as text, and its note."""
    name: str
    title: str
    make: Callable
    file: str = ""  # the name of its files where that is another one


TABLES = [
    Kind("results", N_("Comparison of the results"), comparison.results, file="table1"),
    Kind("beside_thesis", N_("These runs beside the published figures"), comparison.beside_thesis),
    Kind("readings", N_("All readings"), comparison.readings, file="full"),
    Kind("growth", N_("How time grows"), growth.growth),
    Kind("precisions", N_("What precision costs"), growth.precisions),
    Kind("audit", N_("The published figures under audit"), audit.audit),
    Kind("cost", N_("Cost of many images"), comparison.cost),
]
