"""genlib table: Table 1 of saved runs on the screen, with what it says; every table as files."""
import argparse
from pathlib import Path

from genlib.commands import a_path, short
from genlib.locale import ENGLISH, languages


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("table", help="print Table 1 of saved runs and what it says; write every table as files")
    parser.add_argument("results", type=a_path, nargs="+", metavar="RESULTS", help="folders or .zip files of runs")
    for name in "machine", "weights", "profile":
        parser.add_argument(f"--{name}", default="", help=f"{name} of the runs (default: as in the newest run)")
    parser.add_argument("--language", choices=languages(), default=ENGLISH, help="of tables and sentences (default: %(default)s)")
    parser.add_argument("--format", type=_formats, metavar="LIST", help="formats of the files, as in docx,tex (default: all)")
    parser.add_argument("--number", default="1",
                        help="Table 1's number in its caption; the others count on from it (default: %(default)s)")
    parser.add_argument("--reproduced", default="", metavar="PHRASE",
                        help="where the published figures are given, as in 'in the master’s thesis of 2025'")
    parser.add_argument("--out", type=a_path, default=Path("results/tables"), metavar="DIR",
                        help="folder of the files (default: %(default)s)")
    return parser


def run(options) -> int:
    """Print Table 1 of the newest runs; write every table that the runs fill in the chosen formats."""
    from genlib.report import Report, warnings
    from genlib.report.formats import FORMATS

    if missing := [path for path in options.results if not path.exists()]:
        raise ValueError(f"{missing[0]} is not here: give folders or .zip files of results")
    report = Report(options.results, machine=options.machine, weights=options.weights, profile=options.profile,
                    language=options.language, number=options.number, reproduced=options.reproduced)
    paths = [path for name in report.tables for path in report.table(name).save(options.out, options.format or FORMATS)]
    doubts = warnings.doubts(report)
    doubts = [report.say("What makes these figures doubtful:"), *doubts] if doubts else report.doubts()
    print(report.table("results"))
    print("\n".join([*report.conclusions(), "", *doubts, "", *map(short, paths)]))
    if others := report.left_out():
        print(f"left out, for --machine, --weights, --profile: {'; '.join(others)}")
    return 0


def _formats(text: str) -> list[str]:
    from genlib.report.formats import FORMATS

    formats = [part.strip() for part in text.split(",")]
    if wrong := [part for part in formats if part not in FORMATS]:
        raise argparse.ArgumentTypeError(f"there is no format {wrong[0]!r}: use some of {', '.join(FORMATS)}")
    return formats
