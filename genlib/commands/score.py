"""genlib score: how good the pictures in folders are."""
import os

from genlib import scores
from genlib.commands import a_path, short
from genlib.commands.generate import prompts
from genlib.lines import printable
from genlib.locale import Language


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("score", help="judge the pictures in folders, and leave scores.json beside them")
    parser.add_argument("folders", nargs="+", type=a_path, metavar="FOLDER",
                        help="of a run, of `genlib generate`, or any with JPEG, PNG or WebP files in it or below")
    parser.add_argument("--against", type=a_path, metavar="FOLDER",
                        help="pictures that they should be like: for Fréchet distance, KID, precision and recall")
    parser.add_argument("--training", type=a_path, metavar="FOLDER",
                        help="pictures that the model was trained on: are any near copies? leaves closest.png")
    parser.add_argument("--prompts", type=prompts, metavar="FILE", help="a prompt a line, as for `genlib generate`: for CLIP score")
    parser.add_argument("--pairs", type=a_path, metavar="FOLDER",
                        help="the same pictures made in another way, by the same names: for PSNR, SSIM and LPIPS")
    parser.add_argument("--networks", type=_names, metavar="NAMES",
                        help=f"between whose features distances are taken: some of {','.join(scores.NETWORKS)} (default: reader, which "
                             "knows drawn faces, for pictures of 64 x 64; for others dinov2,clip and, where it is installed, inception)")
    return parser


def run(options) -> int:
    """Score each folder, and print its figures."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads beside torch's take longer for matrices of this size
    from genlib import quality

    for folder in options.folders:
        found = quality.score(folder, options.against, training=options.training, prompts=options.prompts, pairs=options.pairs,
                              networks=options.networks)
        print(f"{printable(found.folder)}: {found.pictures} pictures{_beside(found)}")
        for line in _lines(found):
            print(f"  {printable(line)}")
        print(f"  kept in {short(folder / scores.FILE)}")
    return 0


def _names(text: str) -> list[str]:
    return text.split(",")


def _beside(found: scores.Scores) -> str:
    return f", against {found.against.pictures} of {printable(found.against.folder)}" if found.against else ""


def _lines(found: scores.Scores):
    say = Language("en").say
    for name, figure in found.figures.items():
        reading, network = scores.reading(name), scores.split(name)[1]
        value, low, high = (f"{part / reading.scale:.3g}" for part in (figure.value, figure.low, figure.high))
        by = f" ({say(scores.NETWORKS[network])})" if network else ""
        yield f"{say(reading.label)}{by}: {value}{reading.unit and f' {reading.unit}'} ({low} to {high}; n = {figure.n})"
    if near := found.memorised:
        yield (f"nearest training picture: {near.nearest_median:.3g} away in the median, where training pictures are "
               f"{near.training_nearest_median:.3g} from each other; {near.closer_than_training:.1%} are nearer than the nearest 1 % of "
               "those; see closest.png")
    yield from (f"left out {name}: {why}" for name, why in found.left_out.items())
