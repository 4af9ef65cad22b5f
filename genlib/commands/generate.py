"""genlib generate: the arguments of genlib.models.generate, which draws many images on many processes."""
import argparse
import codecs
import re

from genlib.commands import a_number, a_path, ask_for_huge_pages, at_least_one, let_idle_threads_wait, whole
from genlib.experiments import STEPS
from genlib.files import read_regular
from genlib.models import MODELS, SEEDS, STABLE_DIFFUSION, STYLEGAN2
from genlib.record import MB

ONLY_FOR = {  # options that one model takes
    "truncation_psi": STYLEGAN2, "labels": STYLEGAN2, "prompts": STABLE_DIFFUSION, "steps": STABLE_DIFFUSION,
    "guidance_scale": STABLE_DIFFUSION}
PROMPTS_BYTES = 64 * MB
UTF_32, UTF_16 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # how such a file begins


def add(commands):
    """Declare the command's arguments."""
    parser = commands.add_parser("generate", help="draw many images, in one process or in many under torchrun or accelerate launch")
    parser.add_argument("--model", choices=list(MODELS), required=True)
    parser.add_argument("--weights", default="auto",
                        help="demo, random, published or auto; or a network, a file or a model of the Hub (default: %(default)s)")
    parser.add_argument("--seeds", type=_seeds, required=True, metavar="FIRST-LAST", help="an image for each: 0-49999")
    parser.add_argument("--labels", help="labels of a StyleGAN2 with classes: one (3), several that seeds take in turn (0,3,5 or 0-4), "
                                         "or all (default: none, for a network without classes)")
    parser.add_argument("--prompts", type=prompts, metavar="FILE",
                        help="prompts for Stable Diffusion, one on a line: seed 0 takes the first, seed 1 the next, and so on; a blank "
                             "line is an empty prompt (default: an empty prompt)")
    parser.add_argument("--batch", type=at_least_one, default=1, metavar="N", help="images drawn at once (default: %(default)s)")
    parser.add_argument("--steps", type=at_least_one, metavar="N", help=f"denoising steps of Stable Diffusion (default: {STEPS})")
    parser.add_argument("--guidance-scale", type=a_number, metavar="SCALE",
                        help="how closely Stable Diffusion follows its prompts; 1 is without guidance, in half the time (default: the "
                             "model's own, v1-4: 7.5)")
    parser.add_argument("--truncation-psi", type=a_number, metavar="PSI", help="truncation of StyleGAN2 (default: 0.7)")
    parser.add_argument("--dtype", default="auto", help="float32, bfloat16, float16 (Stable Diffusion), mixed (StyleGAN2) or auto, half "
                                                        "precision on GPUs alone (default: %(default)s)")
    parser.add_argument("--out", type=a_path, required=True, metavar="DIR",
                        help="folder of the pictures; the ones it has already are kept")
    return parser


def run(options) -> int:
    """Draw the images into the folder; every process of a launch runs this."""
    let_idle_threads_wait(options.weights)
    ask_for_huge_pages()
    from genlib.models.generate import generate

    given = {name: value for name in ONLY_FOR if (value := getattr(options, name)) is not None}
    for name in given:
        if ONLY_FOR[name] != options.model:
            raise ValueError(f"--{name.replace('_', '-')} is given, but {options.model} takes none: leave it out, or use "
                             f"--model {ONLY_FOR[name]}")
    generate(options.model, options.weights, options.seeds, options.out, batch=options.batch, dtype=options.dtype, **given)
    return 0


def _seeds(text: str) -> range:
    first, dash, last = text.partition("-")
    ends = whole(first), whole(last if dash else first)
    if None in ends or not ends[0] <= ends[1] < SEEDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds: write the first and the last, below {SEEDS}, as in 0-49999")
    return range(ends[0], ends[1] + 1)


def prompts(text: str) -> list[str]:
    """The lines of a file, as an editor numbers them: those that \\n, \\r\\n or \\r ends, with blank ones."""
    try:
        data = read_regular(a_path(text), PROMPTS_BYTES)
        encoding = "utf-32" if data.startswith(UTF_32) else "utf-16" if data.startswith(UTF_16) else "utf-8-sig"
        lines = re.split("\r\n|\r|\n", data.decode(encoding))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be read ({error}): give a text file in UTF-8, a prompt a line") from None
    if number := next((number for number, line in enumerate(lines, 1) if "\0" in line), None):
        raise argparse.ArgumentTypeError(f"{text} has a character NUL in line {number}, so it is no text file in UTF-8: save it as one")
    if not lines[-1]:
        lines.pop()  # the last line's end begins no further line
    if not any(map(str.strip, lines)):
        raise argparse.ArgumentTypeError(f"{text} is empty: write a prompt a line")
    return lines
