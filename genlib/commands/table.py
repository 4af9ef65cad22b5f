"""genlib table: Table 1 of saved runs on the screen; it, the full table and the audit as files."""
import argparse
from pathlib import Path

from genlib.commands import short


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("table", help="print Table 1 of saved runs; write it, the full table and the audit as files")
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="folders or .zip files of runs")
    for name in "machine", "weights", "profile":
        parser.add_argument(f"--{name}", default="", help=f"{name} of the runs (default: as in the newest run)")
    parser.add_argument("--language", choices=["en", "uk"], default="en", help="of tables and sentences (default: %(default)s)")
    parser.add_argument("--format", type=_formats, default=["csv", "md", "tex", "docx"], metavar="LIST",
                        help="formats of the files, as in docx,tex (default: csv,md,tex,docx)")
    parser.add_argument("--number", default="1",
                        help="Table 1's number in its caption; the others count on from it (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results/tables"), metavar="DIR",
                        help="folder of the files (default: %(default)s)")
    return parser


def run(options) -> int:
    """Print Table 1 of the newest runs; write it, the full table and the audit in the chosen formats."""
    from genlib import runs
    from genlib.report import conclusions, summary, tables, thesis, words

    if missing := [path for path in options.results if not path.exists()]:
        raise ValueError(f"{missing[0]} is not here: give folders or .zip files of results")
    everything, language = runs.load(*options.results), options.language
    df = tables.pick(everything, options.machine, options.weights, options.profile)
    related = tables.companions(everything, df)
    first, second, third = (tables.number_after(options.number, places) for places in range(3))
    caption, note, table = tables.caption(first, language), tables.note(df, language), tables.table1(df, language)
    options.out.mkdir(parents=True, exist_ok=True)
    full_caption = tables.full_caption(second, language)
    paths = tables.save(table, options.out / "table1", caption, note, language, options.format)
    paths += tables.save(tables.full(df, language), options.out / "full", full_caption, note, language, options.format)
    audit = thesis.audit(related, language)
    paths += tables.save(audit, options.out / "audit", words.say("audit_caption", language, number=third), note, language, options.format)
    print(tables.markdown(table, caption, note))
    doubts = summary.warnings_in_brief(related, language)
    doubts = [words.say("doubtful", language), *doubts] if doubts else [words.say("no_warnings", language)]
    print("\n".join([*conclusions.conclude(df, language, related), "", *doubts, "", *map(short, paths)]))
    if others := tables.other_groups(everything, df):
        print(f"left out, for --machine, --weights, --profile: {'; '.join(others)}")
    return 0


def _formats(text: str) -> list[str]:
    from genlib.report.tables import FORMATS

    formats = [part.strip() for part in text.split(",")]
    if wrong := [part for part in formats if part not in FORMATS]:
        raise argparse.ArgumentTypeError(f"there is no format {wrong[0]!r}: use some of {', '.join(FORMATS)}")
    return formats
