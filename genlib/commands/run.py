"""genlib run: the notebooks in order, each executed in a fresh kernel."""
import argparse
import os
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from genlib import notebook, places
from genlib.commands import a_path, ask_for_huge_pages, at_least_one, page, short, turns
from genlib.experiments import EXPERIMENTS, STEPS
from genlib.files import explain_storage, make_folder, write_atomically
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
    parser.add_argument("--results", type=a_path, metavar="DIR",
                        help="the folder of runs, tables and figures (default: GENLIB_RESULTS, else results)")
    parser.add_argument("--only", type=_numbers, default=list(notebooks()), metavar="LIST",
                        help="numbers of the notebooks to execute, as in 1,3 (default: all)")
    parser.add_argument("--sessions", type=at_least_one, metavar="N",
                        help="measure N times over before notebook 4, each time beginning with another notebook; the executed copies "
                             "are kept apart. The same command again goes on with the notebook at which it was stopped (runs that "
                             "this notebook had finished stay, as sessions more), or else measures N sessions more (default: one "
                             "session, whose copies have no number)")
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
    if options.sessions and names == [COMPARISON]:
        raise ValueError(f"--sessions is {options.sessions}, but notebook {options.only[0]} measures nothing: leave it out, or name others "
                         "in --only")
    if lacking := [package for package in ("nbclient", "nbconvert", "ipykernel") if not find_spec(package)]:
        raise ImportError(f"{' and '.join(lacking)} must be there to execute notebooks: pip install {' '.join(lacking)}")
    results = make_folder(options.results or places.resolve(os.environ.get("GENLIB_RESULTS", "").strip() or "results", Path.cwd()))
    for name, copy, session in _in_turn(options, names, make_folder(results / "notebooks")):
        start = time.perf_counter()
        print(f"{session}{name} ...", end=" ", flush=True)
        _execute(folder / f"{name}.ipynb", results / "notebooks" / f"{copy}.ipynb", results, _parameters(options, name))
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
    if COMPARISON in names:
        print(f"\n{(results / 'tables' / 'table1.md').read_text(encoding='utf-8')}")
        print(f"tables     {short(results / 'tables')}/\nfigures    {short(results / 'figures')}/")
    print(f"notebooks  {short(results / 'notebooks')}/\nruns       {short(results)}/<machine>/<experiment>/")
    return 0


def _in_turn(options, names: list[str], folder: Path) -> Iterator[tuple[str, str, str]]:
    """The notebooks in the order of their turns, each with the name of its executed copy and its session, in
    words; "" for what is executed once."""
    measuring = [name for name in names if name != COMPARISON]
    if options.sessions:
        asked = {name: getattr(options, name) for name in ("sessions", "only", "weights", "profile", "iterations", "steps")}
        for turn in turns.of(folder, measuring, asked):
            yield turn.notebook, turn.copy, f"session {turn.session} of {turn.last}: "
        measuring = []
    yield from ((name, name, "") for name in [*measuring, *[COMPARISON] * (COMPARISON in names)])
    if options.sessions:
        turns.end(folder)


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


def _parameters(options, name: str) -> dict:
    """The values to put into a notebook's parameters, of those that it has."""
    asked = {"WEIGHTS": options.weights, "PROFILE": options.profile or "thesis",
             "ITERATIONS": options.iterations, "STEPS": options.steps, "LANGUAGE": options.language}
    if name == COMPARISON:  # it takes the newest of all runs there, unless one kind is asked for
        asked |= {"WEIGHTS": options.weights.replace("auto", ""), "PROFILE": options.profile or ""}
    there = notebook.parameters(name)
    return {parameter: value for parameter, value in asked.items() if value is not None and parameter in there}


def _execute(source: Path, copy: Path, results: Path, parameters: dict) -> None:
    """Leave a notebook's executed copy, .ipynb and .html. ValueError if a cell fails or the kernel dies."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from tqdm import tqdm

    name, book = source.stem, _prepared(source, parameters)
    client = NotebookClient(book, km=_own_kernel(), resources={"metadata": {"path": str(source.parent)}}, record_timing=False,
                            iopub_timeout=60,  # seconds that an output may be late, as on a machine that is measured
                            extra_arguments=["--log-level=CRITICAL"])  # of the kernel, which warns that it talks over a local port
    environment = os.environ | {"GENLIB_RESULTS": str(results), "JPY_SESSION_NAME": str(source)}
    with explain_storage(results):
        copy.with_suffix(".html").unlink(missing_ok=True)  # of an earlier run
    _save(book, copy, results)
    try:
        with client.setup_kernel(env=environment, cleanup_kc=True):
            for index, cell in enumerate(tqdm(book.cells, "Executing", unit="cell", leave=False, disable=None)):  # None: on terminals only
                try:
                    client.execute_cell(cell, index)
                finally:
                    _save(book, copy, results)
    except CellExecutionError as error:
        print("failed")
        raise ValueError(f"{name} stopped in its cell {cell.execution_count} with {error.ename}: {error.evalue}\nThe executed copy is "
                         f"{short(copy)}; what was measured before it is kept in {short(results)}") from None
    except DeadKernelError:
        print("failed")
        raise ValueError(f"{name} was killed, which mostly happens when the machine's memory is used up: free some or take smaller "
                         f"weights; what was measured is kept in {short(results)}, and the same command goes on there") from None
    except RuntimeError as error:
        print("failed")
        raise ValueError(f"{name} has no kernel ({error}): see what `{sys.executable} -m ipykernel_launcher` says") from None
    page.save(_public(book, results), copy.with_suffix(".html"))


def _prepared(source: Path, parameters: dict):
    """The notebook as it is to be executed: the parameters after its own, and no outputs.

    Of the metadata only the cells' tags stay: Jupyter, VS Code and Colab keep people's names, times and the
    state of widgets there, the last in a form that stops the making of the page.
    """
    import nbformat

    book = nbformat.v4.upgrade(nbformat.read(source, as_version=4))
    book.metadata = nbformat.from_dict({"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    for cell in book.cells:
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.get("tags", [])})
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    lines = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    place = next((place for place, cell in enumerate(book.cells, 1) if "parameters" in cell.metadata.tags), 0)
    book.cells.insert(place, nbformat.v4.new_code_cell(f"# Parameters of genlib run\n{lines}", metadata={"tags": ["injected-parameters"]}))
    return book


def _own_kernel():
    """A manager of a kernel of this Python, whatever kernel the user has installed under the name python3."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    return AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))


def _save(book, copy: Path, results: Path) -> None:
    """Write a notebook as far as it has been executed."""
    import nbformat

    write_atomically(copy, nbformat.writes(_public(book, results)).encode())


def _public(book, results: Path):
    """A copy of a notebook without this machine's paths."""
    return _without_paths(book, {results: results.name, notebook.PROJECT: notebook.PROJECT.name})


def _without_paths(value, names: dict[Path, str]):
    """Apply `places.without_paths` to each text of a notebook or a part of one, but not to pictures."""
    import nbformat

    if isinstance(value, str):
        return places.without_paths(value, names)
    if isinstance(value, list):
        return [_without_paths(part, names) for part in value]
    if isinstance(value, dict):
        parts = {key: part if key.startswith("image/") else _without_paths(part, names) for key, part in value.items()}
        return nbformat.from_dict(parts)
    return value
