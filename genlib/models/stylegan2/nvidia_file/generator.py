"""The settings and tensors of a StyleGAN2 generator, as NVIDIA's PyTorch code and TensorFlow code name them.

Plain values in, plain values out: reader.py finds them in a file. Sources: Karras et al. 2020
(arXiv:1912.04958 and arXiv:2006.06676), and the names in the files themselves.
"""
from collections.abc import Callable
from math import isclose, sqrt
from typing import NamedTuple

from torch import Tensor

from genlib.models.stylegan2.layers import ACTIVATIONS
from genlib.models.stylegan2.low_pass import TAPS, low_pass
from genlib.models.stylegan2.network import MAPPING_DEFAULTS, SYNTHESIS_DEFAULTS
from genlib.models.stylegan2.nvidia_file.machine import NetworkFileError, Payload, check, show

# ---- Settings: keyword -> what its value must be. The bounds keep nonsense from taking time or memory.

class Rule(NamedTuple):
    """What a value must be."""
    fits: Callable
    says: str


def _one_of(*choices) -> Rule:
    says = f"one of {', '.join(map(str, choices))}"
    return Rule(lambda value: any(type(value) is type(choice) and value == choice for choice in choices), says)


def _whole(low: int, high: int = 2**16) -> Rule:
    return Rule(lambda value: type(value) is int and low <= value <= high, f"a whole number from {low} to {high}")


def _or_none(rule: Rule) -> Rule:
    return Rule(lambda value: value is None or rule.fits(value), f"None or {rule.says}")


def _is_number(value) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9  # false for NaN


def _are_taps(value) -> bool:
    taps = value if type(value) in (list, tuple) else [value]
    return 1 <= len(taps) <= 64 and all(map(_is_number, taps)) and sum(taps) != 0


NUMBER = Rule(_is_number, "a number below 1e9")
GENERATOR = {
    "z_dim": _whole(0), "c_dim": _whole(0), "w_dim": _whole(1), "img_channels": _whole(1),
    "img_resolution": _one_of(*[2**level for level in range(2, 15)]),
}
MAPPING = {
    "num_layers": _whole(1, 100), "embed_features": _or_none(_whole(0)), "layer_features": _or_none(_whole(1)),
    "activation": _one_of(*ACTIVATIONS), "lr_multiplier": NUMBER, "w_avg_beta": _or_none(NUMBER),
}
SYNTHESIS = {
    "channel_base": _whole(1, 2**24), "channel_max": _whole(1), "num_fp16_res": _whole(0, 100),
    "architecture": _one_of("skip", "resnet", "orig"), "resample_filter": _or_none(Rule(_are_taps, "1 to 64 numbers with a sum")),
    "conv_clamp": _or_none(Rule(lambda value: _is_number(value) and value >= 0, "a number from 0 to 1e9")),
    "fp16_channels_last": _one_of(True, False), "kernel_size": _one_of(*range(1, 32, 2)), "use_noise": _one_of(True, False),
    "activation": _one_of(*ACTIVATIONS),
}
NOT_FOR_INFERENCE = ("fused_modconv_default",)  # decides how, not what, is computed


def table(state: dict, name: str) -> dict:
    """The dict of that name; an empty one if there is none."""
    table = state.get(name)
    if table is not None and type(table) is not dict:
        raise NetworkFileError(f"its {name} is {show(table)}, and no dict of Python: use a file that StyleGAN2-ADA's code wrote")
    return table or {}


def _is_off(value) -> bool:
    """Whether a setting with this value can only mean that what it is for is not used."""
    if type(value) is Payload:
        return value.length == 0
    if type(value) in (bool, int, float, str, list, tuple, dict):
        return not value
    return value is None or 0 in (getattr(value, "shape", None) or ())


def _unknown(given: dict, known) -> dict:
    """The settings that NVIDIA's code does not have: forks write their own.

    Raises NetworkFileError unless all are off, for others may change the pictures.
    """
    found = {name: value for name, value in given.items() if name not in known}
    for name, value in found.items():
        if not (name.isidentifier() and _is_off(value)):
            raise NetworkFileError(f"its unknown setting {show(name)} is {show(value)} and may change the pictures: use a file of "
                                   "StyleGAN2 or StyleGAN2-ADA")
    return found


def _complete(given: dict, rules: dict[str, Rule], defaults: dict) -> dict:
    """All keywords that have rules, as given or by default, checked."""
    complete = {name: given.get(name, defaults.get(name)) for name in rules}
    for name, value in complete.items():
        if not rules[name].fits(value):
            raise NetworkFileError(f"its setting {name} is {show(value)}, and genlib takes {rules[name].says}: use a file of StyleGAN2-ADA")
    return complete


def checked(generator: dict, mapping: dict, synthesis: dict) -> dict:
    """The configuration of a generator: every keyword that NVIDIA's code has, with values within bounds.

    Raises NetworkFileError for a value that no StyleGAN2 generator has.
    """
    generator, mapping = _complete(generator, GENERATOR, {}), _complete(mapping, MAPPING, MAPPING_DEFAULTS)
    synthesis = _complete(synthesis, SYNTHESIS, SYNTHESIS_DEFAULTS)
    if type(synthesis["resample_filter"]) is tuple:
        synthesis["resample_filter"] = list(synthesis["resample_filter"])
    check(generator["z_dim"] + generator["c_dim"] > 0, "its z_dim and c_dim are both 0, so it has no input: use a file of StyleGAN2-ADA")
    config = generator | {"mapping_kwargs": mapping, "synthesis_kwargs": synthesis}
    base, R = synthesis["channel_base"], generator["img_resolution"]
    check(base >= R, f"its channel_base {base} leaves no channels at {R} px: use a file of StyleGAN2-ADA")
    return config


def pytorch_config(modules: dict[str, dict]) -> tuple[dict, dict]:
    """The configuration of a generator from what its modules hold, and the settings that were passed over.

    modules: {path: {attribute: value}}.

    A keyword that the file does not give is taken from the modules, and only where they say nothing from the
    defaults: NVIDIA's later code has other defaults. It also puts the synthesis keywords beside the
    generator's.
    """
    given = modules[""].get("_init_kwargs")
    if type(given) is not dict or modules[""].get("_init_args", ()) != ():
        raise NetworkFileError("G_ema has no table of the keywords that it was made with: use a file that StyleGAN2-ADA's code wrote")
    mapping, synthesis = table(given, "mapping_kwargs"), table(given, "synthesis_kwargs")
    elsewhere = (*GENERATOR, "mapping_kwargs", "synthesis_kwargs", *NOT_FOR_INFERENCE)
    synthesis = {name: value for name, value in (given | synthesis).items() if name not in elsewhere}

    def said(**where) -> dict:
        return {name: modules[path][attribute] for name, (path, attribute) in where.items() if attribute in modules.get(path, {})}

    passed_over = _unknown(mapping, MAPPING) | _unknown(synthesis, SYNTHESIS)
    halves = [state["use_fp16"] for path, state in modules.items() if "use_fp16" in state]
    return checked(
        {name: value for name, value in given.items() if name in GENERATOR},
        said(num_layers=("mapping", "num_layers"), w_avg_beta=("mapping", "w_avg_beta"),
             activation=("mapping.fc0", "activation"), lr_multiplier=("mapping.fc0", "bias_gain")) | mapping,
        said(architecture=("synthesis.b4", "architecture"), conv_clamp=("synthesis.b4.conv1", "conv_clamp"),
             use_noise=("synthesis.b4.conv1", "use_noise"), activation=("synthesis.b4.conv1", "activation"),
             ) | ({"num_fp16_res": sum(half is True for half in halves)} if halves else {}) | synthesis), passed_over


TENSORFLOW = {  # our table: {our name: key of static_kwargs}
    "generator": {"z_dim": "latent_size", "c_dim": "label_size", "w_dim": "dlatent_size", "img_resolution": "resolution",
                  "img_channels": "num_channels"},
    "mapping": {"num_layers": "mapping_layers", "layer_features": "mapping_fmaps", "activation": "mapping_nonlinearity",
                "lr_multiplier": "mapping_lrmul", "embed_features": "label_fmaps"},
    "synthesis": {"channel_base": "fmap_base", "channel_max": "fmap_max", "num_fp16_res": "num_fp16_res", "conv_clamp": "conv_clamp",
                  "architecture": "architecture", "activation": "nonlinearity", "resample_filter": "resample_kernel",
                  "use_noise": "use_noise"},
}
TENSORFLOW_DEFAULTS = {"latent_size": 512, "label_size": 0, "dlatent_size": 512, "resolution": 1024, "num_channels": 3, "fmap_base": 16384}
TENSORFLOW_IGNORED = ("truncation_psi", "truncation_cutoff", "style_mixing_prob", "structure", "dlatent_avg_beta", "w_avg_beta",
                      "randomize_noise", "fused_modconv", "dtype")  # for training, or they decide how, not what, is computed


def tensorflow_config(static_kwargs: dict) -> tuple[dict, dict]:
    """The same from the settings that the TensorFlow code stores."""
    kwargs = TENSORFLOW_DEFAULTS | static_kwargs
    tables = {part: {ours: kwargs[key] for ours, key in names.items() if key in kwargs} for part, names in TENSORFLOW.items()}
    if type(kwargs["fmap_base"]) is int:
        tables["synthesis"]["channel_base"] *= 2
    if tables["generator"]["c_dim"] != 0:
        tables["mapping"].setdefault("embed_features", tables["generator"]["z_dim"])
    config = checked(**tables)
    lowest = min(_widths(config).values())
    only = {"resolution_w": [kwargs["resolution"]], "resolution_h": [kwargs["resolution"]], "fmap_decay": [1],
            "normalize_latents": [True], "fmap_min": range(lowest + 1)}
    for name, choices in only.items():
        value = static_kwargs.get(name, choices[0])
        if type(value) not in (int, float, bool) or value not in choices:
            rectangular = ", so its pictures are rectangular" * name.startswith("resolution")
            raise NetworkFileError(f"its setting {name} is {show(value)}, which StyleGAN2-ADA does not have{rectangular}: use another file")
    return config, _unknown(static_kwargs, {*only, *TENSORFLOW_IGNORED}.union(*(names.values() for names in TENSORFLOW.values())))


# ---- Tensors

class Entry(NamedTuple):
    """A tensor of the generator, and its counterpart in the TensorFlow code."""
    shape: tuple
    variable: str | None  # its name in TensorFlow; None: no variable, since the value is fixed
    variable_shape: tuple
    convert: Callable[[Tensor], Tensor]  # from the variable to the tensor
    value: Tensor | None = None  # where the settings fix it


def _widths(config: dict) -> dict[int, int]:
    """The channels of the feature maps, by resolution, from 4 up to the image's."""
    base, limit = (config["synthesis_kwargs"][name] for name in ("channel_base", "channel_max"))
    return {2**level: min(base >> level, limit) for level in range(2, config["img_resolution"].bit_length())}


def layout(config: dict) -> tuple[dict[str, Entry], dict[str, dict]]:
    """The generator's tensors, by name, and the attributes of its modules: {path: {attribute: value}}."""
    z, c, w, R, channels = (config[name] for name in ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"))
    m, s, widths = config["mapping_kwargs"], config["synthesis_kwargs"], _widths(config)
    K, clamp, lowest_fp16 = s["kernel_size"], s["conv_clamp"], max(2 * R >> s["num_fp16_res"], 8)
    taps, num_ws = low_pass(s["resample_filter"]), 2 * len(widths)
    entries, says = {}, {}

    def vector(name, variable, size):
        entries[name] = Entry((size,), variable, (size,), lambda x: x)

    def fixed(name, value):
        entries[f"{name}.resample_filter"] = Entry(tuple(value.shape), None, (), lambda x: x, value)

    def dense(path, variable, after, before, activation="linear", m=1.0, bias="bias", weight="weight", offset=0):
        entries[f"{path}.weight"] = Entry((after, before), f"{variable}/{weight}", (before, after), lambda x: x.T)
        entries[f"{path}.bias"] = Entry((after,), f"{variable}/{bias}", (after,), lambda x: x + offset)
        says[path] = {"activation": activation, "bias_gain": m, "weight_gain": m / sqrt(max(before, 1))}

    def kernel(path, variable, after, before, K, rotated=False):  # [K, K, in, out] -> [out, in, K, K]
        entries[f"{path}.weight"] = Entry((after, before, K, K), f"{variable}/weight", (K, K, before, after),
                                          lambda x: x.permute(3, 2, 0, 1).flip(2, 3) if rotated else x.permute(3, 2, 0, 1))

    def styled(path, variable, after, before, K, rotated=False):
        kernel(path, variable, after, before, K, rotated)
        vector(f"{path}.bias", f"{variable}/bias", after)
        dense(f"{path}.affine", variable, before, w, bias="mod_bias", weight="mod_weight", offset=1)
        says[path] = {"conv_clamp": clamp}

    def convolution(path, variable, after, before, r, up):
        styled(path, variable, after, before, K, rotated=up)
        says[path] |= {"resolution": r, "up": 1 + up, "use_noise": s["use_noise"], "activation": s["activation"], "padding": K // 2,
                       "act_gain": ACTIVATIONS[s["activation"]][1]}
        if s["use_noise"]:
            number = 2 * r.bit_length() - (7 if up else 6)  # 0 at 4 px; 1, 2 at 8 px; ...
            entries[f"{path}.noise_const"] = Entry((r, r), f"synthesis/noise{number}", (1, 1, r, r), lambda x: x[0, 0])
            entries[f"{path}.noise_strength"] = Entry((), f"{variable}/noise_strength", (), lambda x: x)
        fixed(path, taps if up else low_pass(TAPS))  # conv1 holds the default, unused

    says[""] = {"z_dim": z, "c_dim": c, "w_dim": w, "img_resolution": R, "img_channels": channels, "num_ws": num_ws}
    says["mapping"] = {"z_dim": z, "c_dim": c, "w_dim": w, "num_ws": num_ws, "num_layers": m["num_layers"], "w_avg_beta": m["w_avg_beta"]}
    embedded, hidden = (w if m[name] is None else m[name] for name in ("embed_features", "layer_features"))
    if m["w_avg_beta"] is not None:
        vector("mapping.w_avg", "dlatent_avg", w)
    if c > 0:
        dense("mapping.embed", "mapping/LabelEmbed", embedded, c)
    features = [z + embedded * (c > 0), *[hidden] * (m["num_layers"] - 1), w]
    for i in range(m["num_layers"]):
        dense(f"mapping.fc{i}", f"mapping/Dense{i}", features[i + 1], features[i], m["activation"], m["lr_multiplier"])

    says["synthesis"] = {"w_dim": w, "img_resolution": R, "img_channels": channels, "num_ws": num_ws, "block_resolutions": list(widths)}
    for r, after in widths.items():
        path, variable, before = f"synthesis.b{r}", f"synthesis/{r}x{r}", widths.get(r // 2, 0)
        says[path] = {"in_channels": before, "w_dim": w, "resolution": r, "img_channels": channels, "is_last": r == R,
                      "architecture": s["architecture"], "use_fp16": r >= lowest_fp16}
        fixed(path, taps)
        if r == 4:
            entries[f"{path}.const"] = Entry((after, 4, 4), f"{variable}/Const/const", (1, after, 4, 4), lambda x: x[0])
        else:
            convolution(f"{path}.conv0", f"{variable}/Conv0_up", after, before, r, up=True)
        convolution(f"{path}.conv1", f"{variable}/Conv" if r == 4 else f"{variable}/Conv1", after, after, r, up=False)
        if s["architecture"] == "skip" or r == R:
            styled(f"{path}.torgb", f"{variable}/ToRGB", channels, after, 1)
            says[f"{path}.torgb"]["weight_gain"] = 1 / sqrt(after)
        if s["architecture"] == "resnet" and r > 4:
            kernel(f"{path}.skip", f"{variable}/Skip", after, before, 1, rotated=True)
            says[f"{path}.skip"] = {"up": 2, "conv_clamp": None, "activation": "linear", "weight_gain": 1 / sqrt(before)}
            fixed(f"{path}.skip", taps)
    return entries, says


def check_attributes(modules: dict[str, dict], says: dict[str, dict]) -> None:
    """Raises NetworkFileError if an attribute contradicts the configuration; attributes may be missing."""
    for path, attributes in says.items():
        for name, value in attributes.items():
            found = modules.get(path, {}).get(name, value)
            close = _is_number(found) and _is_number(value) and isclose(found, value, rel_tol=1e-12)
            if not close and (type(found) is not type(value) or found != value):
                raise NetworkFileError(f"{name} of {path or 'G_ema'} is {show(found)}, but the network's settings make it {show(value)}: "
                                       "the file was changed by hand, use another")
