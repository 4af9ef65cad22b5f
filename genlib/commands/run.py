"""genlib run: the notebooks in order, each executed in a fresh kernel."""
import argparse
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from genlib import notebook
from genlib.commands import ask_for_huge_pages, at_least_one, short
from genlib.experiments import EXPERIMENTS, STEPS
from genlib.files import explain_storage, write_atomically
from genlib.locale import ENGLISH, languages
from genlib.models import switches

COMPARISON = "4_comparison"  # last, since it reads what the others have measured


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("run", help="execute the notebooks in order; leave runs, tables, figures in the results folder",
                                 formatter_class=argparse.RawDescriptionHelpFormatter,
                                 epilog=f"switches of the tuned profile, where the machine has it (compile and "
                                        f"vae_compile: `genlib generate` of 500 images or more):\n{switches.as_text()}")
    parser.add_argument("--weights", choices=["auto", "demo", "random", "published"], default="auto",
                        help="of the models (default: %(default)s)")
    parser.add_argument("--profile", choices=["thesis", "tuned"], help="how the models are run (default: thesis)")
    parser.add_argument("--iterations", type=at_least_one, help="repetitions of each measurement (default: 5)", metavar="N")
    parser.add_argument("--steps", type=at_least_one, help=f"denoising steps of Stable Diffusion (default: {STEPS})", metavar="N")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR",
                        help="the folder of runs, tables and figures (default: %(default)s)")
    parser.add_argument("--only", type=_numbers, default=list(notebooks()), metavar="LIST",
                        help="numbers of the notebooks to execute, as in 1,3 (default: all)")
    parser.add_argument("--language", choices=languages(), default=ENGLISH, help="of tables and figures (default: %(default)s)")
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
    if options.profile == "tuned":
        ask_for_huge_pages()  # the kernels inherit it
    names, folder = [notebooks()[number] for number in options.only], _folder()
    for option in "iterations", "steps":
        if getattr(options, option) and not any(option.upper() in notebook.parameters(name) for name in names):
            raise ValueError(f"--{option} is given, but none of the notebooks {', '.join(map(str, options.only))} takes it: leave it out")
    if lacking := [package for package in ("papermill", "nbconvert") if not find_spec(package)]:
        raise ImportError(f"{' and '.join(lacking)} must be there to execute notebooks: pip install {' '.join(lacking)}")
    results = notebook.results_folder(options.results).resolve()
    (results / "notebooks").mkdir(exist_ok=True)
    for name in names:
        start = time.perf_counter()
        print(f"{name} ...", end=" ", flush=True)
        _execute(folder / f"{name}.ipynb", results, _parameters(options, name, results))
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
    if COMPARISON in names:
        print(f"\n{(results / 'tables' / 'table1.md').read_text(encoding='utf-8')}")
        print(f"tables     {short(results / 'tables')}/\nfigures    {short(results / 'figures')}/")
    print(f"notebooks  {short(results / 'notebooks')}/\nruns       {short(results)}/<machine>/<experiment>/")
    return 0


def _numbers(text: str) -> list[int]:
    there, numbers = list(notebooks()), [part.strip() for part in text.split(",")]
    if wrong := [part for part in numbers if part not in map(str, there)]:
        raise argparse.ArgumentTypeError(f"there is no notebook {wrong[0]!r}: use numbers from {min(there)} to {max(there)}, as in 1,3")
    return [number for number in there if str(number) in numbers]


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


def _parameters(options, name: str, results: Path) -> dict:
    """The values to put into a notebook's parameters, of those that it has."""
    asked = {"RESULTS": str(results), "WEIGHTS": options.weights, "PROFILE": options.profile or "thesis",
             "ITERATIONS": options.iterations, "STEPS": options.steps, "LANGUAGE": options.language}
    if name == COMPARISON:  # it takes the newest of all runs there, unless one kind is asked for
        asked |= {"WEIGHTS": options.weights.replace("auto", ""), "PROFILE": options.profile or ""}
    there = notebook.parameters(name)
    return {parameter: value for parameter, value in asked.items() if value is not None and parameter in there}


def _execute(source: Path, results: Path, parameters: dict) -> None:
    """Leave a notebook's executed copy, .ipynb and .html. ValueError if a cell fails or the kernel dies."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from nbconvert import HTMLExporter
    from papermill.exceptions import PapermillExecutionError

    name, copy = source.stem, results / "notebooks" / source.name
    try:
        with explain_storage(results):
            papermill.execute_notebook(
                source, copy, parameters=parameters, cwd=source.parent, kernel_name="python3",
                progress_bar=dict(leave=False, disable=None),  # None: a bar on a terminal only
                extra_arguments=["--log-level=CRITICAL"])  # of the kernel, which warns that it talks over a local port
    except PapermillExecutionError as error:
        print("failed")
        raise ValueError(f"{name} stopped in its cell {error.exec_count} with {error.ename}: {error.evalue}\nThe executed copy is "
                         f"{short(copy)}; what was measured before it is kept in {short(results)}") from None
    except DeadKernelError:
        print("failed")
        raise ValueError(f"{name} was killed, which mostly happens when the machine's memory is used up: free some or take smaller "
                         f"weights; what was measured is kept in {short(results)}, and the same command goes on there") from None
    body, _ = HTMLExporter().from_filename(str(copy))
    write_atomically(copy.with_suffix(".html"), body.encode())
