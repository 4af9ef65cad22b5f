"""genlib cards: which card holds Stable Diffusion in which mode, tried on cards imitated on this GPU."""
import argparse
from collections.abc import Iterator
from contextlib import nullcontext

from genlib.commands import a_path, at_least_one, short, usual_results, whole
from genlib.experiments import STABLE_DIFFUSION, STEPS
from genlib.files import make_folder
from genlib.models import WEIGHTS
from genlib.runs import Run, variant_of

CARDS_GB = 4, 6, 8, 12, 15  # the last is what a Tesla T4 has


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("cards", help="try Stable Diffusion in the memory of smaller cards, imitated on this GPU; leave a run of "
                                               "each try")
    parser.add_argument("--weights", choices=list(WEIGHTS), default="random",
                        help="of the model; random ones take the time and memory of the published (default: %(default)s)")
    parser.add_argument("--steps", type=at_least_one, default=STEPS, metavar="N", help="denoising steps (default: %(default)s)")
    parser.add_argument("--cards", type=_sizes, default=CARDS_GB, metavar="LIST",
                        help=f"memory of each card in GB (default: {','.join(map(str, CARDS_GB))})")
    parser.add_argument("--results", type=a_path, metavar="DIR", help="the folder of runs (default: GENLIB_RESULTS, else results)")
    return parser


def run(options) -> int:
    """Try every mode, and print which card holds it."""
    from genlib.models import weights

    results, word = make_folder(options.results or usual_results()), weights.resolve(options.weights)
    tried = list(tries(word, options.steps, options.cards, results))
    print(f"\n{table([one.folder for one in tried])}\n\nruns  {short(results / tried[0].machine.slug / STABLE_DIFFUSION.slug)}/")
    return 0


def table(folders: list):
    """What these runs say."""
    from genlib.report import Report

    return Report(folders).table("cards")


def tries(word: str, steps: int, cards_gb: tuple[int, ...], results) -> Iterator[Run]:
    """Each mode on the smallest card first, until one holds it; a run for each try.

    Raises ValueError where no card can be imitated, or none of these.
    """
    from genlib import device, progress
    from genlib.measure import card
    from genlib.models.modes import MODES

    largest = card.largest_gb()
    there = [size for size in sorted(set(cards_gb)) if size <= largest]
    if not there:
        raise ValueError(f"a card of {min(cards_gb)} GB is larger than this GPU, which has {largest} GB: give smaller ones in --cards")
    for size in sorted(set(cards_gb) - set(there)):
        progress.write(f"{size} GB: left out, this GPU has {largest} GB")
    with progress.Task("mode", len(MODES)) as task:
        for mode in MODES:
            if device.computes_in(mode.dtype):
                for size in there:
                    yield (done := try_on(size, mode, word, steps, results))
                    if not any(iteration.out_of_memory for iteration in done.iterations):
                        break
            else:
                progress.write(f"{mode.name}: left out, {device.processor()} has no instructions for {mode.dtype}")
            task.update()


def try_on(card_gb: int, mode, word: str, steps: int, results) -> Run:
    """The run of a mode on one card, where the model is loaded too if it is to lie there whole."""
    from genlib import device, measure
    from genlib.measure import card
    from genlib.models import modes

    device.free_memory()
    with nullcontext() if mode.offload else card.limited_to(card_gb):
        info, draw, settings = modes.prepare(mode, word, steps)
    device.free_memory()
    with card.limited_to(card_gb):
        return measure.repeat(draw, experiment=STABLE_DIFFUSION.slug, model=info, variant=variant_of("card", f"{card_gb}-gb-{mode.name}"),
                              settings=settings | dict(card_bytes=card_gb * card.GB), iterations=2, warmup=1, results=results)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(whole(part.strip()) for part in text.split(","))
    if not all(sizes):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of cards: write their memory in whole GB, as in 4,6,8")
    return sizes
