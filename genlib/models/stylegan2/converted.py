"""A generator in a folder, as config.json and safetensors in diffusers' layout: written, and read."""
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from genlib.files import explain_storage, write_atomically
from genlib.models import folder as model_folder
from genlib.models.stylegan2.network import Generator
from genlib.models.stylegan2.nvidia_file import NetworkFileError
from genlib.models.stylegan2.nvidia_file.generator import GENERATOR, MAPPING, SYNTHESIS, checked
from genlib.models.stylegan2.nvidia_file.machine import check

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"  # as diffusers calls them


def check_free(folder: Path) -> None:
    """Raises ValueError unless a network may be written there: a folder that is new or holds nothing."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give the name of a new one for the network's files")
    held = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    if held:
        raise ValueError(f"{folder} holds {model_folder.and_more(held)}: give a new or an empty folder, so that nothing in it is lost")


def write(generator: Generator, folder: Path) -> None:
    """Write a network for `read` and Generator.from_pretrained.

    Raises ValueError unless the folder is new or empty, OSError if it cannot be written.
    """
    check_free(folder)
    with explain_storage(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS, save(generator.state_dict(), metadata={"format": "pt"}))
    write_atomically(folder / CONFIG, generator.to_json_string().encode())


def read(folder: Path) -> Generator:
    """The network in a folder, from safetensors files alone, and complete; in float32, on the CPU.

    Raises NetworkFileError for any other folder.
    """
    try:
        with torch.device("meta"):
            generator = Generator(**_config(folder))
        generator.load_state_dict(_tensors(folder, generator.state_dict()), assign=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise NetworkFileError(f"{folder}: it is no converted network, or a damaged one ({error}): convert the .pkl again") from None
    return generator


def _config(folder: Path) -> dict:
    """The settings, within the bounds that hold for NVIDIA's files too."""
    given = model_folder.read_config(folder / CONFIG)
    cls = given.pop("_class_name", "Generator")
    check(cls == "Generator", f"{CONFIG} is of a {cls!r:.100}")
    given = {name: value for name, value in given.items() if not name.startswith("_")}  # versions and paths
    tables = [given, *(given.pop(name, None) or {} for name in ("mapping_kwargs", "synthesis_kwargs"))]
    for table, rules in zip(tables, (GENERATOR, MAPPING, SYNTHESIS), strict=True):
        check(isinstance(table, dict), f"{CONFIG} has {table!r:.100} for a table of settings")
        unknown = [name for name in table if name not in rules]
        check(not unknown, f"{CONFIG} has the unknown setting {unknown[:1]}")
    return checked(*tables)


def _tensors(folder: Path, wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All tensors, after checking that they are the wanted ones, each of its shape."""
    index = folder / f"{WEIGHTS}.index.json"  # of a network in several files
    files = model_folder.shards(index) if index.is_file() else [folder / WEIGHTS]
    found = {name: tensor for file in files for name, tensor in model_folder.header(file).items()}
    for name in wanted.keys() | found.keys():
        stored, needed = found.get(name, {}), wanted.get(name)
        if needed is None or stored.get("shape") != list(needed.shape) or stored.get("dtype") not in ("F16", "BF16", "F32", "F64"):
            raise NetworkFileError(f"its {CONFIG} and its tensors disagree, as in {name[:200]!r}")
    tensors = {}
    for file in files:
        with safe_open(file, "pt") as opened:
            tensors |= {name: opened.get_tensor(name).float() for name in opened.keys()}  # noqa: SIM118
    return tensors
