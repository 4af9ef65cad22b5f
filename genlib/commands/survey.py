"""genlib survey: a page on which people tell pictures from photographs, and what their answers say."""
from pathlib import Path
from types import SimpleNamespace

from genlib.commands import a_path, short
from genlib.commands.choice import add_group, check_there
from genlib.files import make_folder, write_atomically
from genlib.lines import say

EACH = 5  # pictures of a model, at most
SIDE = 512  # pixels, at most: a phone shows no more


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "survey", help="make a page on which people tell pictures from photographs; read their answers",
        description="Makes one page, which needs no network: pictures of all models and your own photographs, shuffled, one at a time. "
                    "Send it to people; what they send back goes into the folder `survey` of the results, from which every table and "
                    "chapter takes it, or to --read.")
    parser.add_argument("results", type=a_path, nargs="*", metavar="RESULTS", help="folders or .zip files of runs, for a page")
    parser.add_argument("--photos", type=a_path, metavar="FOLDER",
                        help="photographs, JPEG, PNG or WebP, in which the middle shows what the models draw, such as faces filling the "
                             "picture; best as many as there are made pictures, and only of people who agreed that others see them "
                             "(default: none; a page needs them)")
    parser.add_argument("--read", type=a_path, nargs="+", metavar="CSV",
                        help="files of answers, or folders of them, instead of a page (default: none)")
    add_group(parser)
    parser.add_argument("--out", type=a_path, metavar="FOLDER",
                        help="folder of the page (default: results/survey), or of tables/ and figures/ with --read (default: results)")
    return parser


def run(options) -> int:
    """Make the page, or print what the answers say; print the files."""
    if bool(options.read) == bool(options.results):
        raise ValueError("a survey is made or read: give RESULTS and --photos for a page, or --read with the answers")
    if options.read:
        return _read(options.read, options.language, options.out or Path("results"))
    if not options.photos:
        raise ValueError("there are no photographs to tell the pictures from: give --photos with a folder of your own")
    if options.photos.is_file():
        raise ValueError(f"{options.photos} is no folder: give the folder that your photographs are in")
    return _make(options, options.out or Path("results/survey"))


def _make(options, folder: Path) -> int:
    from genlib.locale import Language
    from genlib.quality import survey
    from genlib.report import Report
    from genlib.report.survey import PHOTOGRAPH

    check_there([*options.results, options.photos])
    report = Report(options.results, machine=options.machine, weights=options.weights, profile=options.profile)
    made = _made(report)
    side = min([SIDE, *(min(picture.size) for pictures in made.values() for picture in pictures)])
    kinds = {kind: list(dict.fromkeys(survey.alike(picture, side) for picture in pictures)) for kind, pictures in made.items()}
    few, number = [kind for kind, pictures in kinds.items() if len(pictures) < EACH], sum(map(len, kinds.values()))
    photographs: dict[bytes, None] = {}  # each once
    for picture in survey.photographs(options.photos, side):
        photographs[survey.alike(picture, side)] = None
        if len(photographs) == number:
            break
    if not photographs:
        raise ValueError(f"{options.photos} has no photograph that can be shown: put JPEG, PNG or WebP files of at least {side} x {side} "
                         "pixels there")
    kinds[PHOTOGRAPH] = list(photographs)
    html = survey.page(kinds, Language(options.language).say, options.language).encode()
    write_atomically(make_folder(folder) / "survey.html", html)
    print(f"pictures: {', '.join(f'{kind} {len(pictures)}' for kind, pictures in kinds.items())}")
    if "demo" in set(report.rows["weights"]):
        print("demonstration weights: the page shows how a survey goes, and tells nothing of the published models")
    if len(photographs) < number:
        print(f"more photographs would help: with {number}, as many as made pictures, nobody gains by always guessing the same")
    if few:
        print(f"there are fewer than {EACH} pictures of {', '.join(few)}: notebooks with more ITERATIONS draw more")
    print(f"{short(folder / 'survey.html')} ({len(html) / 1e6:.1f} MB)")
    return 0


def _made(report) -> dict[str, list]:
    """Pictures of each kind of model: those from a prompt, where it takes one.

    Models that are given the same prompts and seeds draw the same faces, by which whoever sees one twice
    would know that it is made: of these they take turns. Raises ValueError if there are none.
    """
    from genlib.experiments import find
    from genlib.report.survey import DEMO
    from genlib.report.tables import key

    if set(report.rows["weights"]) == {"random"}:
        raise ValueError("these runs are of random weights, which draw nothing: choose others with --weights")
    runs = {}
    for slug, run in report.rows["run"].items():
        if variant := find(slug).prompted_variant:
            of_prompt = report.summary.query("experiment == @slug and method == 'genlib' and variant == @variant")
            if of_prompt.empty:
                say(f"{slug} has no run {variant!r}: without a prompt its pictures may show anything, and are known by that")
            else:
                run = of_prompt.sort_values("when")["run"].iloc[-1]
        if any(map(run.pictures_of, run.iterations)):
            runs.setdefault(find(slug).family or slug, (slug, run))
    drawn = {}
    alike = [(run.settings["prompt"], run.settings.get("seed")) if "prompt" in run.settings else slug for slug, run in runs.values()]
    for place, (slug, run) in enumerate(runs.values()):
        turn, turns = alike[:place].count(alike[place]), alike.count(alike[place])
        pictures = [picture for iteration in run.iterations[turn::turns] for picture in run.shown(iteration, 1)]
        drawn |= {key(slug) + DEMO * (run.weights == "demo"): pictures[:EACH]} if pictures else {}
    if not drawn:
        raise ValueError("there are no pictures in these runs: run notebooks 1 to 3, and keep the .png files beside the records")
    return drawn


def _read(paths: list[Path], language: str, folder: Path) -> int:
    from genlib.locale import Language
    from genlib.report import survey
    from genlib.report.figures import FIGURES
    from genlib.report.tables import TABLES, Table
    from genlib.report.tables.survey import verdicts

    check_there(paths)
    answers = survey.read(file for path in paths for file in (sorted(path.glob("*.csv")) if path.is_dir() else [path]))
    if answers.empty:
        raise ValueError("there are no answers in what was given: give the .csv files that the page saved, or their folder")
    words = Language(language)
    report = SimpleNamespace(answers=answers, say=words.say, count=words.count, rounded=words.rounded, significant=words.significant,
                             decimal_sign=words.decimal_sign, title=lambda kind: words.say(kind.title))
    [of_table], [of_figure] = ([kind for kind in kinds if kind.name == "survey"] for kinds in (TABLES, FIGURES))
    data, note = of_table.make(report)
    title = report.title(of_table)
    table = Table("survey", data, title, title, note, "survey", report.decimal_sign)
    paths = table.save(folder / "tables") + of_figure.draw(report).save(folder / "figures")
    print(table, *verdicts(report), "", *map(short, paths), sep="\n")
    return 0
