"""genlib report: the chapter of a thesis on saved runs, for Word, LaTeX and a browser."""
from pathlib import Path

from genlib.commands import a_path, short
from genlib.commands.choice import add_choice, chosen


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
    parser.add_argument("--out", type=a_path, default=Path("results/chapter"), metavar="DIR",
                        help="folder of the files (default: %(default)s)")
    return parser


def run(options) -> int:
    """Write the chapter; print its files."""
    paths = chosen(options).save_chapter(options.out, options.chapter, template=options.template, only=options.only)
    print("\n".join(map(short, paths)))
    return 0
