"""genlib runs: what runs a folder holds, what is doubtful of them, and what is broken."""
import os
import warnings
from pathlib import Path

from genlib.commands import a_path, short
from genlib.escape import plain
from genlib.runs import Run, group_of, odd_pictures, read


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("runs", help="list the runs of a folder with what is doubtful or broken, as before they are sent")
    parser.add_argument("folder", type=a_path, metavar="FOLDER", help="folder or .zip file of runs")
    return parser


def run(options) -> int:
    """List the runs, each with its doubts and faults; 1 if anything is broken, with how much."""
    from genlib.archives import run_files
    from genlib.report import Report
    from genlib.report.warnings import of_run

    if not options.folder.exists():
        raise ValueError(f"{options.folder} is not here: give a folder or .zip file of runs")
    records = sorted(record.path for record in run_files(options.folder))
    if not records:
        raise ValueError(f"{options.folder} has no runs: give the folder of results, in which the machines' folders lie")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is named below
        try:
            report = Report(options.folder)
        except ValueError:  # there is no run that a report can be made of, and so none to doubt
            report = None
    broken = 0
    for path in records:
        try:
            found = read(path)
        except (ValueError, OSError) as error:
            name, doubts, faults = short(path.parent), [], [error]
        else:
            name, faults = _described(found), _faults(found)
            doubts = of_run(report, found) if report and found.method == "genlib" else []
        print(plain(name), *(f"  doubtful: {plain(str(doubt))}" for doubt in doubts),
              *(f"  BROKEN: {plain(str(fault))}" for fault in faults), sep="\n")
        broken += bool(faults)
    if broken:
        raise ValueError(f"{broken} of {len(records)} runs cannot be sent as they are: put what is missing in its place or measure those "
                         "again, and leave out what cannot be mended")
    print(f"\nruns: {len(records)}, none of them broken")
    return 0


def _described(found: Run) -> str:
    parts = [found.machine.device or found.machine.slug, found.experiment, found.variant, found.weights, found.profile,
             "" if found.method == "genlib" else found.method, f"n = {len(found.good)}", (found.started or "")[:19]]
    return " · ".join(filter(None, parts))


def _faults(found: Run) -> list[str]:
    """What is wrong with a run that can be read."""
    faults = list(odd_pictures(found))
    named = {"run.json", *(picture.file for iteration in found.iterations for picture in iteration.images)}
    faults += [f"{name} is not named in its record: leave it out" for name in sorted({*os.listdir(found.folder)} - named)]
    if not found.iterations:
        faults.append("it has no iterations")
    if found.finished is None:
        faults.append("it is unfinished: measure it to the end, with the same command")
    *group, start = Path(found.folder).absolute().parts[-4:]
    if (lies := "/".join(group)) != (belongs := "/".join(group_of(found))):
        faults.append(f"it lies in {lies}, and its record belongs in {belongs}")
    if (stem := (found.started or "")[:19].replace(":", "-")) and found.method == "genlib" and not start.startswith(stem):
        faults.append(f"its folder is {start}, and it started {stem}")
    return faults
