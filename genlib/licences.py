"""Under which licence a model's weights are, and whether it lets them earn money. Loads no torch."""
import re
from typing import NamedTuple

from genlib.locale import N_
from genlib.record import ModelInfo


class Licence(NamedTuple):
    """A licence of weights, as its model's page on the Hub or its authors name it."""
    name: str
    commercial: bool | None  # whether it allows commercial use; None where that depends on who uses it
    terms: str  # the same in words, as a message to translate


ALLOWED, RESTRICTED = N_("commercial use allowed"), N_("commercial use allowed, with restrictions of use")
RESEARCH, NON_COMMERCIAL = N_("research or evaluation only"), N_("non-commercial use only")
SMALL_FIRMS = N_("commercial use free up to a yearly revenue of 1 million US dollars")
OPEN_RAIL, OPEN_RAIL_PLUS = (Licence(name, True, RESTRICTED) for name in ("CreativeML Open RAIL-M", "CreativeML Open RAIL++-M"))
MIT, APACHE = Licence("MIT License", True, ALLOWED), Licence("Apache License 2.0", True, ALLOWED)
NVIDIA = Licence("NVIDIA Source Code License", False, RESEARCH)
MODELS = [  # by a pattern of the source, or of the name where random weights stand for a published model's
    (r"(VAE of )?Stable Diffusion v1-4|CompVis/stable-diffusion-v1-[1-4]", OPEN_RAIL),
    (r"(stable-diffusion-v1-5|runwayml)/stable-diffusion-v1-5|segmind/tiny-sd|kakaobrain/karlo-v1-alpha(-image-variations)?", OPEN_RAIL),
    (r"stabilityai/stable-diffusion-(2|2-base|2-1|2-1-base|xl-base-1\.0)|PixArt-alpha/PixArt-(XL-2|Sigma-XL-2)-.+", OPEN_RAIL_PLUS),
    (r"stabilityai/stable-diffusion-3(\.5)?-(medium|large|large-turbo)(-diffusers)?",
     Licence("Stability AI Community License", None, SMALL_FIRMS)),
    (r"black-forest-labs/FLUX\.1-schnell|Qwen/Qwen-Image", APACHE),
    (r"black-forest-labs/FLUX\.1-dev", Licence("FLUX.1 [dev] Non-Commercial License", False, NON_COMMERCIAL)),
    (r"StyleGAN2-ADA \d+ px|https://nvlabs-fi-cdn\.nvidia\.com/.+", NVIDIA),
]


def of(model: ModelInfo | None) -> Licence | None:
    """The licence of what was loaded; None if it is not known.

    Random weights learned from nothing: theirs is that of the published weights whose place they take.
    """
    if model is None:
        return None
    if model.weights == "demo":
        return MIT
    names = (model.source, model.name) if model.weights == "random" else (model.source,)
    return next((licence for pattern, licence in MODELS if any(re.fullmatch(pattern, name) for name in names)), None)
