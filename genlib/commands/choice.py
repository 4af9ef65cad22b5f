"""The options by which commands choose the runs that they are of."""
from collections.abc import Iterable
from pathlib import Path

from genlib.commands import a_path, a_price, not_negative
from genlib.locale import ENGLISH, languages


def add_choice(parser) -> None:
    """Declare them."""
    parser.add_argument("results", type=a_path, nargs="+", metavar="RESULTS", help="folders or .zip files of runs")
    parser.add_argument("--reference", type=a_path, metavar="DIR", help="folder of runs to compare with (default: none)")
    add_group(parser)
    parser.add_argument("--price-per-hour", type=a_price, default=0, metavar="PRICE",
                        help="of the device, by which the table of costs says what many images cost; or a CSV file with the columns "
                             "device,price_per_hour, the device being any part of its name; 0 is no price (default: %(default)s)")
    for name, unit in ("s", "seconds that one image may take"), ("gb", "GB of memory that a model may hold"):
        parser.add_argument(f"--limit-{name}", type=not_negative, default=0, metavar="LIMIT",
                            help=f"{unit}, against which the table of decisions holds each model; 0 is no limit (default: %(default)s)")
    parser.add_argument("--needs-text", action="store_true", help="a model has to take a text prompt")
    parser.add_argument("--commercial", action="store_true", help="a model's licence has to allow commercial use")
    parser.add_argument("--reproduced", default="", metavar="PHRASE",
                        help="where the published figures are given (default: in the reproduced thesis)")


def add_group(parser) -> None:
    """Declare those that name one group of runs, and the language."""
    parser.add_argument("--machine", default="", help="any part of a device's name, or several with commas (default: as in the newest run)")
    for name in "weights", "profile":
        parser.add_argument(f"--{name}", default="", help=f"{name} of the runs (default: as in the newest run)")
    parser.add_argument("--language", choices=languages(), default=ENGLISH, help="of tables and sentences (default: %(default)s)")


def chosen(options, number: str = ""):
    """The report of the runs that the options choose. Raises ValueError for folders that are not there."""
    from genlib.report import Limits, Report

    check_there(filter(None, [*options.results, options.reference]))
    return Report(options.results, reference=options.reference, machine=options.machine, weights=options.weights, profile=options.profile,
                  language=options.language, number=number, reproduced=options.reproduced,
                  price_per_hour=options.price_per_hour,
                  limits=Limits(options.limit_s, options.limit_gb, options.needs_text, options.commercial))


def check_there(paths: Iterable[Path]) -> None:
    """Raise ValueError, naming it, for the first path at which nothing is."""
    if missing := [path for path in paths if not path.exists()]:
        raise ValueError(f"{missing[0]} is not here: give folders or files that are there")
