"""genlib record: pictures of one's own, as of a closed service, with their times, as a run "by-hand"."""
import csv
import hashlib
import io
from pathlib import Path

from genlib import pictures, runs
from genlib.checks import ITERATIONS, RANGES
from genlib.commands import a_path, short, usual_results
from genlib.experiments import OTHER_METHODS
from genlib.files import decimal, read_csv
from genlib.lines import say

COLUMNS, TIMES_BYTES = ("file", "time_s"), 10**6
SERVICES = [entry.slug for entry in OTHER_METHODS if not entry.notebook]


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "record", help="take pictures of a closed service, with the times that you clocked, into a run",
        description="Keeps the pictures as PNGs beside a run of the method by-hand, which the table of methods shows beside the models, "
                    "with a dash for memory, and which `genlib score` can judge. Each command adds a run.")
    parser.add_argument("folder", type=a_path, metavar="FOLDER", help=f"the pictures: {', '.join(pictures.FORMATS)}")
    parser.add_argument("--experiment", required=True, metavar="NAME",
                        help=f"what made them, in tables and names of folders; known are {', '.join(SERVICES)}")
    parser.add_argument("--times", type=a_path, required=True, metavar="CSV",
                        help="file with the columns file and time_s: a picture's name, and the seconds that it took; of several at once "
                             "each takes its share")
    parser.add_argument("--results", type=a_path, metavar="DIR", help="folder of the runs (default: GENLIB_RESULTS, else results)")
    return parser


def run(options) -> int:
    """Check everything, then keep a picture an iteration; print the times and where the run lies.

    Raises ValueError, before anything is kept, for a file or a picture that will not do, and for a picture
    that a run of this name has already.
    """
    if not options.folder.is_dir():
        raise ValueError(f"{options.folder} is no folder: give the folder that the pictures are in")
    times, results = _times(options.times), options.results or usual_results()
    made = runs.Run(_slug(options.experiment), runs.Machine("unknown"), method="by-hand")
    _check(options.folder, times, options.times, results.joinpath(*runs.group_of(made)))
    kept = runs.begin(made, results, iterations=0)  # not to go on with pictures of a command that was interrupted
    for number, (name, time_s) in enumerate(times.items(), 1):
        images = kept.save_images([pictures.foreign(options.folder / name)], f"iteration_{number}")
        kept.iterations.append(runs.Iteration(time_s=time_s, images=images))
        kept.save()
    kept.finish()
    print(kept.table(), f"\n{short(kept.folder)}", sep="\n")
    return 0


def _slug(name: str) -> str:
    """The slug of a service that is known, however its name is written; another name as it is."""
    return slug if (slug := runs.slug(name)) in SERVICES else name


def _times(path: Path) -> dict[str, float]:
    """The seconds of each picture, by its file. Raises ValueError, naming the line, for any other file."""
    rows, found = read_csv(path, TIMES_BYTES), {}
    try:
        if missing := [column for column in COLUMNS if column not in rows.fieldnames]:
            raise ValueError(f"{path} has no column {missing[0]!r}: its first line must be {','.join(COLUMNS)}")
        for row in rows:
            name, written = (row[column].strip() for column in COLUMNS)
            if not pictures.is_plain(name) or name in found:
                raise ValueError(f"{path}, line {rows.line_num}, has the file {name[:80]!r}: write a picture's name, each once")
            found[name] = _seconds(written, rows, f"{path}, line {rows.line_num},")
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}, cannot be read ({error}): save it as CSV") from None
    if not 0 < len(found) <= ITERATIONS:
        raise ValueError(f"{path} has {len(found)} times: a run has at least one and at most {ITERATIONS}")
    return found


def _seconds(written: str, rows: csv.DictReader, where: str) -> float:
    low, high = RANGES["time_s"]
    try:
        time_s = decimal(written, rows)
    except ValueError:
        time_s = 0.0
    if not low <= time_s <= high:
        raise ValueError(f"{where} has the time {written[:40]!r}: write seconds above 0, as in 35.5")
    return time_s


def _check(folder: Path, times: dict[str, float], path: Path, group: Path) -> None:
    """Raise ValueError for a picture that is not there, cannot be read, or is there twice or in a run."""
    if missing := [name for name in times if not (folder / name).is_file()]:
        raise ValueError(f"{path} has a time of {missing[0]!r}, which is not in {folder}: put the picture there, or take the line out")
    if untimed := sorted({file.name for file in folder.iterdir() if file.is_file()} - {*times, path.name}):
        say(f"left out {', '.join(untimed[:5])}{' …' if len(untimed) > 5 else ''} in {folder}: {path.name} has no time of it")
    earlier = {picture.sha256: run.folder / picture.file
               for run in runs.finished(group) for iteration in run.iterations for picture in iteration.images}
    for name in times:
        data = io.BytesIO()
        pictures.foreign(folder / name).save(data, format="PNG")
        there = earlier.setdefault(hashlib.sha256(data.getvalue()).hexdigest(), folder / name)
        if there != folder / name:
            raise ValueError(f"{name} is the picture {short(there)}, and would count twice: take its line out of {path.name}")
