"""genlib generate: the arguments of genlib.models.generate, which draws many images on many processes."""
import argparse
from pathlib import Path

from genlib.commands import a_path, ask_for_huge_pages, at_least_one
from genlib.experiments import STEPS
from genlib.models import STABLE_DIFFUSION, STYLEGAN2

ONLY_FOR = {"truncation_psi": STYLEGAN2, "prompts": STABLE_DIFFUSION, "steps": STABLE_DIFFUSION}  # options that one model takes


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("generate", help="draw many images, in one process or in many under torchrun or accelerate launch")
    parser.add_argument("--model", choices=[STYLEGAN2, STABLE_DIFFUSION], required=True)
    parser.add_argument("--weights", default="auto",
                        help="demo, random, published or auto; or a network, a file or a model of the Hub (default: %(default)s)")
    parser.add_argument("--seeds", type=_seeds, required=True, metavar="FIRST-LAST", help="an image for each: 0-49999")
    parser.add_argument("--prompts", type=_prompts, metavar="FILE",
                        help="prompts for Stable Diffusion, one on a line: seed s takes line s (default: an empty prompt)")
    parser.add_argument("--batch", type=at_least_one, default=1, metavar="N", help="images drawn at once (default: %(default)s)")
    parser.add_argument("--steps", type=at_least_one, metavar="N", help=f"denoising steps of Stable Diffusion (default: {STEPS})")
    parser.add_argument("--truncation-psi", type=float, metavar="PSI", help="truncation of StyleGAN2 (default: 0.7)")
    parser.add_argument("--out", type=a_path, required=True, metavar="DIR", help="folder of the pictures; the ones it has already are kept")
    return parser


def run(options) -> int:
    """Draw the images into the folder; every process of a launch runs this."""
    ask_for_huge_pages()
    from genlib.models.generate import generate

    given = {name: value for name in ONLY_FOR if (value := getattr(options, name)) is not None}
    for name in given:
        if ONLY_FOR[name] != options.model:
            raise ValueError(f"--{name.replace('_', '-')} is given, but {options.model} takes none: leave it out, or use "
                             f"--model {ONLY_FOR[name]}")
    generate(options.model, options.weights, options.seeds, options.out, batch=options.batch, **given)
    return 0


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
