"""genlib runs: what runs a folder holds, what is doubtful or broken, and which are set aside."""
import os
import warnings
from pathlib import Path

from genlib import scores
from genlib.commands import a_path, short
from genlib.escape import plain
from genlib.runs import Run, group_of, odd_pictures, read, set_aside


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("runs", help="list the runs of a folder with what is doubtful or broken, as before they are sent; "
                                              "let one count no more")
    parser.add_argument("folder", type=a_path, metavar="RESULTS", help="folder or .zip file of runs")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--set-aside", type=a_path, metavar="FOLDER",
                        help="the folder of a run that is to count no more; reports state it, with the reason that --why gives (default: "
                             "none)")
    change.add_argument("--take-back", type=a_path, metavar="FOLDER",
                        help="the folder of a run that was set aside and is to count again (default: none)")
    parser.add_argument("--why", help="why a run is set aside, as in --why \"another program ran\" (default: none)")
    return parser


def run(options) -> int:
    """Set a run aside or take it back; else list the runs, each with its doubts and faults.

    1 if anything is broken, with how much.
    """
    if not options.folder.exists():
        raise ValueError(f"{options.folder} is not here: give a folder or .zip file of runs")
    if (options.set_aside is None) != (options.why is None):
        raise ValueError("--set-aside and --why go together: --set-aside FOLDER --why \"another program ran\"")
    if chosen := options.set_aside or options.take_back:
        return _set_aside(options, chosen)
    return _list(options.folder)


def _set_aside(options, chosen: Path) -> int:
    if not chosen.resolve().is_relative_to(options.folder.resolve()):
        raise ValueError(f"{chosen} does not lie in {options.folder}: give the folder of one of its runs; of an archive, unpack it first")
    found = set_aside(chosen, options.why)
    print(plain(f"{short(found.folder)}: {_described(found)}"))
    return 0


def _list(folder: Path) -> int:
    from genlib.archives import run_files
    from genlib.report import Report
    from genlib.report.warnings import of_run, of_sessions

    records = sorted(record.path for record in run_files(folder))
    if not records:
        raise ValueError(f"{folder} has no runs: give the folder of results, in which the machines' folders lie")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is named below
        try:
            report = Report(folder)
        except ValueError:  # there is no run that a report can be made of, and so none to doubt
            report = None
    broken, places, newest = 0, _places(report), {runs[-1].folder.resolve(): runs for runs in report.sessions["runs"]} if report else {}
    for path in records:
        try:
            found = read(path)
        except (ValueError, OSError) as error:
            lines = [short(path.parent), f"  BROKEN: {error}"]
            broken += 1
        else:
            doubts = of_run(report, found) if report and found.method == "genlib" and found.set_aside is None else []
            doubts += of_sessions(report, newest.get(path.parent.resolve(), []))
            faults = _faults(found)
            lines = [" · ".join(filter(None, [_described(found), places.get(path.resolve())])), f"  {short(path.parent)}",
                     *(f"  doubtful: {doubt}" for doubt in doubts), *(f"  BROKEN: {fault}" for fault in faults)]
            broken += bool(faults)
        print(*map(plain, lines), sep="\n")
    if broken:
        raise ValueError(f"{broken} of {len(records)} runs cannot be sent as they are: put what is missing in its place or measure those "
                         "again, and leave out what cannot be mended")
    print(f"\nruns: {len(records)}, none of them broken")
    return 0


def _places(report) -> dict[Path, str]:
    """Which session of how many each run is, by its file; older environments are named."""
    found = {}
    for _, row in report.sessions.iterrows() if report else ():
        older = "" if row["newest"] else "of an older environment"
        for number, one in enumerate(row["runs"], 1):
            session = f"session {number} of {len(row['runs'])}" if len(row["runs"]) > 1 else ""
            found[(one.folder / "run.json").resolve()] = ", ".join(filter(None, [session, older]))
    return found


def _described(found: Run) -> str:
    parts = [found.machine.device or found.machine.slug, found.experiment, found.variant, found.weights, found.profile,
             "" if found.method == "genlib" else found.method, f"n = {len(found.good)}", (found.started or "")[:19],
             "" if found.set_aside is None else f"set aside: {found.set_aside}"]
    return " · ".join(filter(None, parts))


def _faults(found: Run) -> list[str]:
    """What is wrong with a run that can be read."""
    faults = list(odd_pictures(found))
    named = {"run.json", scores.FILE, scores.CLOSEST, *(picture.file for iteration in found.iterations for picture in iteration.images)}
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
