"""The names that options, parameters and calls take, each from where it is defined."""
import shutil
import textwrap
from pathlib import PurePosixPath

from genlib import locale, models
from genlib.experiments import EXPERIMENTS, OTHER_METHODS, STABLE_DIFFUSION
from genlib.models import presets, switches
from genlib.runs import variant_of


def lines() -> list[str]:
    """A head for each kind of name, and below it a line for each name with what it is."""
    from genlib.report import figures, tables
    from genlib.report.figures.figure import UNDATED
    from genlib.report.formats import FORMATS

    def titles(alone, of_each):
        return {kind.name: kind.title for kind in alone} | {
            f"{kind.name}-EXPERIMENT": kind.title.format(model="each experiment") for kind in of_each}

    experiments = {entry.slug: " · ".join(filter(None, [entry.label, entry.notebook])) for entry in EXPERIMENTS + OTHER_METHODS}
    variants = {f"{entry.slug}/{name}": said for entry in EXPERIMENTS for name, said in
                [*entry.variants.items(), *((variant_of(loop.setting, "N"), f"with {loop.setting} = N") for loop in entry.loops),
                 (variant_of("precision", "DTYPE"), "in another precision"),
                 *[(variant_of("card", "N-gb-MODE"), "in the memory of a card of N GB")] * (entry is STABLE_DIFFUSION)]}
    kinds = {
        "weights": models.WEIGHTS, "networks of StyleGAN2-ADA, named instead of weights, by NVIDIA's files":
            {name: PurePosixPath(file).name for name, file in presets.PRESETS.items()},
        "profiles": models.PROFILES, "dtypes": models.DTYPES, "models of `genlib generate`": models.MODELS,
        "experiments": experiments, "variants, by their experiments": variants,
        "switches of the tuned profile": {switch.name: f"{switch.help} ({switch.where})" for switch in switches.SWITCHES},
        "tables": titles(tables.TABLES, tables.OF_EACH), "figures": titles(figures.FIGURES, figures.OF_EACH),
        "formats": {name: "of tables" for name in FORMATS} | {name: "of figures" for name in UNDATED},
        "languages": dict.fromkeys(locale.languages(), "of tables, figures and the chapter")}
    return [line for kind, names in kinds.items() for line in [f"{kind}:", *_listed(names), ""]][:-1]


def _listed(names: dict[str, str]) -> list[str]:
    """A line for each name, broken where a terminal ends."""
    width, columns = max(map(len, names)), shutil.get_terminal_size((10_000, 0)).columns  # in a file none is broken
    return [line for name, said in names.items()
            for line in textwrap.wrap(f"  {name:{width}}  {said}", max(columns - 1, width + 30), subsequent_indent=" " * (width + 4),
                                      break_long_words=False, break_on_hyphens=False)]
