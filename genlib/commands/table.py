"""genlib table: Table 1 of saved runs on the screen, with what it says; every table as files."""
import argparse
from pathlib import Path

from genlib.commands import a_path, a_table_number, short
from genlib.commands.choice import add_choice, chosen
from genlib.spelling import meant


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("table", help="print Table 1 of saved runs and what it says; write every table as files")
    add_choice(parser)
    parser.add_argument("--format", type=_formats, metavar="LIST", help="formats of the files, as in docx,tex (default: all)")
    parser.add_argument("--number", type=a_table_number, default="1",
                        help="Table 1's number in its caption; the others count on from it (default: %(default)s)")
    parser.add_argument("--out", type=a_path, default=Path("results/tables"), metavar="DIR",
                        help="folder of the files (default: %(default)s)")
    return parser


def run(options) -> int:
    """Print Table 1 of the newest runs; write every table that the runs fill in the chosen formats."""
    from genlib.report import warnings
    from genlib.report.formats import FORMATS

    report = chosen(options, options.number)
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
        raise argparse.ArgumentTypeError(f"there is no format {wrong[0]!r}{meant(wrong[0], FORMATS)}: use some of {', '.join(FORMATS)}")
    return formats
