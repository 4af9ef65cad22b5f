"""genlib run: the notebooks in order, each executed in a fresh kernel."""
import argparse
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from genlib import notebook
from genlib.commands import (
    a_path,
    a_price,
    a_table_number,
    ask_for_huge_pages,
    at_least_one,
    execute,
    let_idle_threads_wait,
    short,
    turns,
    usual_results,
    whole,
)
from genlib.commands.progress import Progress
from genlib.experiments import EXPERIMENTS, STEPS
from genlib.files import make_folder
from genlib.locale import ENGLISH, languages
from genlib.models import PROFILES, WEIGHTS

COMPARISON = "4_comparison"  # last, since it reads what the others have measured
PARAMETERS = {  # of notebooks, by the options that only some of them take
    "iterations": "ITERATIONS", "steps": "STEPS", "machine": "MACHINE", "number": "TABLE_NUMBER", "price_per_hour": "PRICE_PER_HOUR"}


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("run", help="execute the notebooks in order; leave runs, tables, figures in the results folder",
                                 epilog="`genlib doctor --list` names the switches of the tuned profile, with what each does and where.")
    parser.add_argument("--weights", choices=list(WEIGHTS), default="auto",
                        help="of the models (default: %(default)s)")
    parser.add_argument("--profile", choices=list(PROFILES), help="how the models are run (default: thesis)")
    parser.add_argument("--iterations", type=at_least_one, help="repetitions of each measurement (default: 5)", metavar="N")
    parser.add_argument("--steps", type=at_least_one, help=f"denoising steps of Stable Diffusion (default: {STEPS})", metavar="N")
    parser.add_argument("--results", type=a_path, metavar="DIR",
                        help="the folder of runs, tables and figures (default: GENLIB_RESULTS, else results)")
    parser.add_argument("--only", type=_numbers, default=list(notebooks()), metavar="LIST",
                        help="numbers of the notebooks to execute, as in 1-3 or 1,3 (default: all)")
    parser.add_argument("--sessions", type=at_least_one, metavar="N",
                        help="measure N times over before notebook 4, each time beginning with another notebook; the executed copies "
                             "are kept apart. The same command again goes on with the notebook at which it was stopped (runs that "
                             "this notebook had finished stay, as sessions more), or else measures N sessions more (default: one "
                             "session, whose copies have no number)")
    parser.add_argument("--language", choices=languages(), default=ENGLISH, help="of tables and figures (default: %(default)s)")
    parser.add_argument("--machine", help="whose runs notebook 4 shows: any part of a device's name, or several with commas (default: that "
                                          "of the newest run)")
    parser.add_argument("--number", type=a_table_number, help="Table 1's number in its caption; the others count on from it (default: 1)")
    parser.add_argument("--price-per-hour", type=a_price, metavar="PRICE",
                        help="of the device, by which notebook 4 says what many images cost, or a CSV file of prices, as for `genlib "
                             "table`; 0 is no price (default: 0)")
    return parser


def notebooks() -> dict[int, str]:
    """The names of the notebooks by their numbers, in the order in which they are executed."""
    names = [*dict.fromkeys(entry.notebook for entry in EXPERIMENTS if entry.notebook), COMPARISON]
    numbered = {notebook.number(name): name for name in names}
    if len(numbered) < len(names):
        raise ValueError(f"two of the notebooks {', '.join(names)} have one number: begin the name of a new one with a free number")
    return numbered


def run(options) -> int:
    """Execute the notebooks and keep the executed copies as .ipynb and .html."""
    let_idle_threads_wait(options.weights)  # the kernels inherit it
    if options.profile == "tuned":
        ask_for_huge_pages()
    names, folder = [notebooks()[number] for number in options.only], _folder()
    for option, parameter in PARAMETERS.items():
        if getattr(options, option) is not None and not any(parameter in notebook.parameters(name) for name in names):
            raise ValueError(f"--{option.replace('_', '-')} is given, but none of the notebooks {', '.join(map(str, options.only))} takes "
                             "it: leave it out")
    if options.sessions and names == [COMPARISON]:
        raise ValueError(f"--sessions is {options.sessions}, but notebook {options.only[0]} measures nothing: leave it out, or name others "
                         "in --only")
    if lacking := [package for package in ("nbclient", "nbconvert", "ipykernel") if not find_spec(package)]:
        raise ImportError(f"{' and '.join(lacking)} must be there to execute notebooks: pip install {' '.join(lacking)}")
    results = make_folder(options.results or usual_results())
    values = {name: notebook.parameters(name) | _parameters(options, name) for name in names}
    with Progress(options.weights, values if names != [COMPARISON] else {}) as progress:
        for name, copy, title, later in _in_turn(options, names, make_folder(results / "notebooks")):
            progress.begin(name, title, later)
            execute.execute(folder / f"{name}.ipynb", results / "notebooks" / f"{copy}.ipynb", results, _parameters(options, name),
                            progress)
            progress.end()
    if COMPARISON in names:
        print(f"\n{(results / 'tables' / 'table1.md').read_text(encoding='utf-8')}")
        print(f"tables     {short(results / 'tables')}/\nfigures    {short(results / 'figures')}/")
    print(f"notebooks  {short(results / 'notebooks')}/\nruns       {short(results)}/<machine>/<experiment>/")
    return 0


def _in_turn(options, names: list[str], folder: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    """The notebooks in the order of their turns, each with the name of its executed copy, what it is called
    on the display, and the notebooks that follow."""
    once, at_the_end = [name for name in names if name != COMPARISON], [COMPARISON] * (COMPARISON in names)
    if options.sessions:
        asked = {name: getattr(options, name) for name in ("sessions", "only", "weights", "profile", "iterations", "steps")}
        for turn in turns.of(folder, once, asked):
            yield turn.notebook, turn.copy, f"session {turn.session} of {turn.last}: {turn.notebook}", [*turn.later, *at_the_end]
        once = []
    once += at_the_end
    yield from ((name, name, name, once[place:]) for place, name in enumerate(once, 1))
    if options.sessions:
        turns.end(folder)


def _numbers(text: str) -> list[int]:
    there, wanted = list(notebooks()), set()
    for part in map(str.strip, text.split(",")):
        first, dash, last = part.partition("-")
        ends = [number for end in (first, last if dash else first) if (number := whole(end.strip())) in there]
        if len(ends) < 2 or ends[0] > ends[1]:
            raise argparse.ArgumentTypeError(f"there is no notebook {part!r}: use numbers from {min(there)} to {max(there)}, as in 1-3 or "
                                             "1,3")
        wanted.update(range(ends[0], ends[1] + 1))
    return [number for number in there if number in wanted]


def _folder() -> Path:
    """The folder of the notebooks. Raises ValueError, saying where they are to be had, if there is none."""
    folder = notebook.PROJECT / "notebooks"
    if (folder / f"{COMPARISON}.ipynb").exists():
        return folder
    try:
        addresses = metadata.metadata("genlib").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # a copy of the folder genlib, not installed
        addresses = []
    where = f" from {addresses[0].rpartition(', ')[2]}" if addresses else ""
    raise ValueError("the notebooks are not part of the installed package: clone or download the project"
                     f"{where}, and run `python -m genlib run` in its folder")


def _parameters(options, name: str) -> dict:
    """The values to put into a notebook's parameters, of those that it has."""
    asked = {"WEIGHTS": options.weights, "PROFILE": options.profile or "thesis", "LANGUAGE": options.language,
             **{parameter: getattr(options, option) for option, parameter in PARAMETERS.items()}}
    if name == COMPARISON:  # it takes the newest of all runs there, unless one kind is asked for
        asked |= {"WEIGHTS": options.weights.replace("auto", ""), "PROFILE": options.profile or ""}
    there = notebook.parameters(name)
    return {parameter: value for parameter, value in asked.items() if value is not None and parameter in there}
