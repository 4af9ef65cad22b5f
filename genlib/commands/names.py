"""The names that options, parameters and calls take, each from where it is defined."""
from genlib import locale, models
from genlib.experiments import EXPERIMENTS
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

    experiments = {entry.slug: " · ".join(filter(None, [entry.label, entry.notebook])) for entry in EXPERIMENTS}
    variants = {f"{entry.slug}/{name}": said for entry in EXPERIMENTS for name, said in
                [*entry.variants.items(), *((variant_of(loop.setting, "N"), f"with another {loop.setting}") for loop in entry.loops),
                 (variant_of("precision", "DTYPE"), "in another precision")]}
    kinds = {
        "weights": models.WEIGHTS, "profiles": models.PROFILES, "networks of StyleGAN2-ADA, beside the weights": presets.PRESETS,
        "experiments": experiments, "variants, by their experiments": variants,
        "switches of the tuned profile": {switch.name: f"{switch.help} ({switch.where})" for switch in switches.SWITCHES},
        "tables": titles(tables.TABLES, tables.OF_EACH), "figures": titles(figures.FIGURES, figures.OF_EACH),
        "formats": {name: "of tables" for name in FORMATS} | {name: "of figures" for name in UNDATED},
        "languages": dict.fromkeys(locale.languages(), "of tables, figures and the chapter")}
    width = max(len(name) for names in kinds.values() for name in names)
    return [line for kind, names in kinds.items()
            for line in [f"{kind}:", *(f"  {name:{width}}  {said}" for name, said in names.items()), ""]][:-1]
