"""The commands: python -m genlib run | table | convert | generate | doctor."""
import argparse
import os
import sys
import time
import warnings
from pathlib import Path

NOTEBOOKS = {1: "1_stable_diffusion", 2: "2_vae_round_trip", 3: "3_stylegan2_ada", 4: "4_comparison"}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status: 0; after a sentence on stderr 1 if it failed, 2 if it was called wrongly, 130 if interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except KeyboardInterrupt:
        print("\ngenlib: interrupted; what was measured is kept, and the same command goes on there", file=sys.stderr)
        return 130
    except (ValueError, OSError, MemoryError, ImportError) as error:
        what = f"{error.strerror}: {error.filename}" if getattr(error, "strerror", None) and error.filename else error
        print(f"genlib: {what}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m genlib", description="What it costs to make images with three generative models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="execute the notebooks in order; leave runs, tables, figures in the results folder")
    run.set_defaults(command=run_notebooks)
    run.add_argument("--weights", choices=["auto", "demo", "random", "published"], default="auto")
    run.add_argument("--profile", choices=["thesis", "tuned"], help="(thesis)")
    run.add_argument("--iterations", type=_at_least_one, help="repetitions of each measurement (5)", metavar="N")
    run.add_argument("--steps", type=_at_least_one, help="denoising steps of Stable Diffusion (50)", metavar="N")
    run.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    run.add_argument("--only", type=_notebook_numbers, default=list(NOTEBOOKS), help="numbers of notebooks: 1,3", metavar="LIST")
    run.add_argument("--language", choices=["en", "uk"], default="en", help="of the tables and figures")
    table = commands.add_parser("table", help="print Table 1 of saved runs; write it, the full table and the audit as files")
    table.set_defaults(command=write_table)
    table.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="folders or .zip files")
    for name in "machine", "weights", "profile":
        table.add_argument(f"--{name}", default="", help="of the runs (that of the newest)")
    table.add_argument("--language", choices=["en", "uk"], default="en")
    table.add_argument("--format", type=_formats, default=["csv", "md", "tex", "docx"], help="docx,tex,md,csv (all)", metavar="LIST")
    table.add_argument("--number", default="1", help="of Table 1 in its caption, from which the others count on (1)")
    table.add_argument("--out", type=Path, default=Path("results/tables"), metavar="DIR")
    convert = commands.add_parser("convert", help="turn one of NVIDIA's .pkl files into config.json and safetensors")
    convert.set_defaults(command=convert_network)
    convert.add_argument("file", type=Path, metavar="FILE.pkl")
    convert.add_argument("folder", type=Path, metavar="DIR")
    many = commands.add_parser("generate", help="draw many images, by one process or by many under torchrun or accelerate launch")
    many.set_defaults(command=generate_many)
    many.add_argument("--model", choices=["stylegan2", "stable-diffusion"], required=True)
    many.add_argument("--weights", default="auto", help="demo, random, published (auto), or a network, a file, a model of the Hub")
    many.add_argument("--seeds", type=_seeds, required=True, metavar="FIRST-LAST", help="an image each: 0-49999")
    many.add_argument("--prompts", type=_prompts, metavar="FILE", help="a prompt a line, for Stable Diffusion: seed s takes line s")
    many.add_argument("--batch", type=_at_least_one, default=1, metavar="N", help="images drawn at once (1)")
    many.add_argument("--steps", type=_at_least_one, metavar="N", help="denoising steps of Stable Diffusion (50)")
    many.add_argument("--truncation-psi", type=float, metavar="PSI", help="of StyleGAN2 (0.7)")
    many.add_argument("--out", type=Path, required=True, metavar="DIR", help="what is there already is not drawn again")
    doctor = commands.add_parser("doctor", help="say what this machine has, what will work, and what each notebook will take")
    doctor.set_defaults(command=examine)
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    last = last or first
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < 10**8):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds: write the first and the last, below 100000000, as in 0-49999")
    return range(int(first), int(last) + 1)


def _prompts(text: str) -> list[str]:
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be read ({error}): give a text file in UTF-8, a prompt a line") from None
    if not lines:
        raise argparse.ArgumentTypeError(f"{text} is empty: write a prompt a line")
    return lines


def _notebook_numbers(text: str) -> list[int]:
    numbers = [part.strip() for part in text.split(",")]
    wrong = [part for part in numbers if part not in map(str, NOTEBOOKS)]
    if wrong:
        raise argparse.ArgumentTypeError(f"there is no notebook {wrong[0]!r}: use numbers from 1 to {len(NOTEBOOKS)}, as in 1,3")
    return sorted(set(map(int, numbers)))


def _formats(text: str) -> list[str]:
    from genlib.report.tables import FORMATS

    formats = [part.strip() for part in text.split(",")]
    if wrong := [part for part in formats if part not in FORMATS]:
        raise argparse.ArgumentTypeError(f"there is no format {wrong[0]!r}: use some of {', '.join(FORMATS)}")
    return formats


def run_notebooks(options) -> int:
    """Execute the notebooks, each in a fresh kernel; keep the executed copies as .ipynb and .html."""
    if options.profile == "tuned":
        _ask_for_huge_pages()  # the kernels inherit it
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from genlib.files import explain_full_disk
    from genlib.notebook import results_folder

    for name, numbers in {"iterations": {1, 2, 3}, "steps": {1, 2}}.items():
        if getattr(options, name) and not numbers & set(options.only):
            raise ValueError(f"--{name} is given, but none of the notebooks {_listed(options.only)} takes it: leave it out")
    source, results = _notebooks_folder(), results_folder(options.results).resolve()
    executed = results / "notebooks"
    executed.mkdir(exist_ok=True)
    for number in options.only:
        name = NOTEBOOKS[number]
        copy, start = executed / f"{name}.ipynb", time.perf_counter()
        print(f"{name} ...", end=" ", flush=True)
        try:
            with explain_full_disk(results):
                papermill.execute_notebook(
                    source / f"{name}.ipynb", copy, parameters=_parameters(options, number, results), cwd=source, kernel_name="python3",
                    progress_bar=dict(leave=False, disable=None),  # None: a bar on a terminal only
                    extra_arguments=["--log-level=CRITICAL"])  # of the kernel, which warns that it talks over a local port
        except PapermillExecutionError as error:
            print("failed")
            raise ValueError(f"{name} stopped in its cell {error.exec_count} with {error.ename}: {error.evalue}\nThe executed copy is "
                             f"{_short(copy)}; what was measured before it is kept in {_short(results)}") from None
        except DeadKernelError:
            print("failed")
            raise ValueError(f"{name} was killed, which mostly happens when the machine's memory is used up: free some or take smaller "
                             f"weights; what was measured is kept in {_short(results)}, and the same command goes on there") from None
        _write_html(copy)
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
    _say_where(options, results)
    return 0


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _notebooks_folder() -> Path:
    folder = Path(__file__).resolve().parent.parent / "notebooks"
    if not folder.is_dir():
        raise ValueError(f"there are no notebooks at {folder}: run this in the project's folder, where genlib/ and notebooks/ lie")
    return folder


def _parameters(options, number: int, results: Path) -> dict:
    parameters = {"RESULTS": str(results)}
    if number == 4:  # of all runs there it takes the newest, unless one kind is asked for
        return parameters | {"LANGUAGE": options.language, "WEIGHTS": options.weights.replace("auto", ""), "PROFILE": options.profile or ""}
    parameters |= {"WEIGHTS": options.weights, "PROFILE": options.profile or "thesis"}
    if options.iterations:
        parameters["ITERATIONS"] = options.iterations
    if options.steps and number in (1, 2):
        parameters["STEPS"] = options.steps
    return parameters


def _write_html(notebook: Path) -> None:
    from nbconvert import HTMLExporter

    from genlib.files import write_atomically

    body, _ = HTMLExporter().from_filename(str(notebook))
    write_atomically(notebook.with_suffix(".html"), body.encode())


def _say_where(options, results: Path) -> None:
    table = results / "tables" / "table1.md"
    if 4 in options.only:
        print(f"\n{table.read_text(encoding='utf-8')}")
        print(f"tables     {_short(table.parent)}/\nfigures    {_short(results / 'figures')}/")
    print(f"notebooks  {_short(results / 'notebooks')}/\nruns       {_short(results)}/<machine>/<experiment>/")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def write_table(options) -> int:
    """Print Table 1 of the newest runs and write it, the full table and the audit in the formats asked for."""
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
    print("\n".join([*conclusions.conclude(df, language, related), "", *doubts, "", *map(_short, paths)]))
    if others := tables.other_groups(everything, df):
        print(f"left out, for --machine, --weights, --profile: {'; '.join(others)}")
    return 0


def convert_network(options) -> int:
    """Write a network file as config.json and safetensors, which Generator.from_pretrained reads."""
    from genlib.models import stylegan2, weights

    generator = stylegan2.read(options.file)
    generator.save_pretrained(options.folder)
    print(f"{options.file.name} (sha256 {weights.sha256(options.file)}) -> {_short(options.folder)}/: {generator.img_resolution} px, "
          f"{sum(p.numel() for p in generator.parameters()):,} parameters")
    return 0


def generate_many(options) -> int:
    """Draw the images of many seeds into a folder; every process of a launch runs this."""
    _ask_for_huge_pages()
    from genlib.models.generate import generate

    own = {"stable-diffusion": ("prompts", "steps"), "stylegan2": ("truncation_psi",)}
    for model, names in own.items():
        for name in names:
            if getattr(options, name) is not None and options.model != model:
                raise ValueError(f"--{name.replace('_', '-')} is given, but {options.model} takes none: leave it out, or use "
                                 f"--model {model}")
    given = {name: getattr(options, name) for name in own[options.model] if getattr(options, name) is not None}
    generate(options.model, options.weights, options.seeds, options.out, batch=options.batch, **given)
    return 0


def _ask_for_huge_pages() -> None:
    """Of what is started after this: on CPUs torch then puts large maps on huge pages. torch reads the variable when it starts."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def examine(options) -> int:
    """Print what this machine can do and what a run will take; where a package for that is missing, the command that installs it."""
    from genlib import notebook

    try:
        from genlib.commands import doctor

        print(*doctor.examine(), sep="\n")
    except ModuleNotFoundError:
        if not notebook.missing():
            raise
        raise ImportError(f"missing {notebook.missing()}") from None
    return 0


if __name__ == "__main__":
    warnings.formatwarning = lambda message, *_: f"genlib: {message}\n"  # what is skipped, without lines of source
    sys.exit(main())
