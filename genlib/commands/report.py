"""genlib report: the chapter of a thesis on saved runs, for Word, LaTeX and a browser."""
import argparse
from dataclasses import fields
from pathlib import Path

from genlib.commands import a_path, short
from genlib.commands.choice import add_choice, chosen
from genlib.spelling import meant


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("report", help="write the chapter on saved runs, as .docx, .tex and .html")
    add_choice(parser)
    parser.add_argument("--chapter", default="3", metavar="N",
                        help="the chapter's number, from which its tables count (default: %(default)s)")
    parser.add_argument("--only", type=lambda text: [name.strip() for name in text.split(",") if name.strip()], default=[], metavar="LIST",
                        help="tables and figures to write without the text, as in results,bars (default: the whole chapter)")
    parser.add_argument("--template", type=a_path, metavar="FILE",
                        help="the text, in Markdown with Jinja2 (default: genlib/locale/<language>/chapter.md)")
    parser.add_argument("--page", type=_page, metavar="LIST",
                        help="margins, indent and print, as in left_mm=30,indent_mm=15,size_pt=12 (default: the margins that "
                             "DSTU 3008:2015 recommends, Times New Roman of 14 pt)")
    parser.add_argument("--out", type=a_path, default=Path("results/chapter"), metavar="DIR",
                        help="folder of the files (default: %(default)s)")
    return parser


def run(options) -> int:
    """Write the chapter; print its files."""
    paths = chosen(options).save_chapter(options.out, options.chapter, template=options.template, only=options.only, page=options.page)
    print("\n".join(map(short, paths)))
    return 0


def _page(text: str):
    from genlib.report.chapter.styles import Page

    kinds = {field.name: field.type for field in fields(Page)}
    pairs = [part.strip().partition("=")[::2] for part in text.split(",")]
    if unknown := [name for name, _ in pairs if name not in kinds]:
        raise argparse.ArgumentTypeError(f"a page has no {unknown[0]!r}{meant(unknown[0], kinds)}: use some of {', '.join(kinds)}, as in "
                                         "left_mm=30,size_pt=12")
    try:
        return Page(**{name: kinds[name](value) for name, value in pairs})
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} makes no page: {error}") from None
