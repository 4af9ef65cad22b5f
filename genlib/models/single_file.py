"""A whole Stable Diffusion in one .safetensors file, as AUTOMATIC1111's web UI has them.

Such a file holds the weights alone. The settings and the tokenizer's vocabulary (2 MB) come from the Hub or
its cache: those of v1-4, or of the model that diffusers names for SDXL and others.
"""
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import fetch_diffusers_config

from genlib.models import folder, hub

PARTS = {"a text encoder": ("cond_stage_model.", "conditioner.", "text_encoders."), "a UNet": ("model.diffusion_model.",),
         "an autoencoder": ("first_stage_model.",)}


def header(path: Path) -> dict[str, dict]:
    """The tensors in a single file. Raises FileNotFoundError, or ValueError for a file of another kind."""
    if path.suffix.lower() in hub.REFUSED:
        raise ValueError(f"{path.name} is refused, since a {path.suffix} file can run code when it is opened: use the same model as "
                         ".safetensors, or convert it in AUTOMATIC1111's web UI (Checkpoint Merger, No interpolation, safetensors)")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: see how it is spelt")
    if path.suffix.lower() == ".safetensors" != path.suffix:  # diffusers would hand it to torch.load
        raise ValueError(f"{path.name} has its suffix in capitals, which diffusers does not know: rename it to {path.stem}.safetensors")
    if path.suffix != ".safetensors":
        raise ValueError(f"{path.name} is no model: give a .safetensors file, a folder in diffusers' layout, or a model of the Hub")
    return folder.header(path)


def load_pipeline(path: Path, dtype: torch.dtype, cls_for):
    """The pipeline in a single file.

    cls_for: gives the class to make for the class name in a model_index.json.
    Raises ValueError for a file that is no whole model or is damaged, and what `hub.Model.fetch` raises.
    """
    tensors = header(path)
    if lacking := [part for part, begins in PARTS.items() if not any(name.startswith(begins) for name in tensors)]:
        lora = any("lora" in name for name in tensors)
        raise ValueError(f"{path.name} holds no {lacking[0].split(maxsplit=1)[1]}, so it is no whole Stable Diffusion"
                         f"{' but a LoRA, which changes one' if lora else ''}: give the file of a whole model (checkpoint)")
    with _settings(path, tensors) as model:
        index = model.index()
        cls = cls_for(index["_class_name"])
        parts = {name: part for name, part in folder.components(index, cls).items() if name not in ("safety_checker", "image_encoder")}
        found = model.fetch(parts, dtype, weights=False)
    options = dict(safety_checker=None, requires_safety_checker=False) if "safety_checker" in index else {}
    with hub.explained(path, cls):
        pipe = cls.from_single_file(str(path), config=str(found), local_files_only=True, torch_dtype=dtype, **options)
        if any(t.is_meta for part in pipe.components.values() if isinstance(part, torch.nn.Module) for t in part.parameters()):
            raise ValueError("tensors are missing")
    return pipe


def load_autoencoder(path: Path, dtype: torch.dtype) -> AutoencoderKL:
    """The autoencoder in a single file, of a whole model or alone."""
    tensors = header(path)
    if not any(name.endswith("decoder.conv_in.weight") for name in tensors):
        raise ValueError(f"{path.name} holds no autoencoder: give the file of a whole model (checkpoint) or of a VAE")
    with _settings(path, tensors) as model:
        found = model.fetch({"vae": AutoencoderKL}, dtype, weights=False)
    with hub.explained(path, AutoencoderKL):
        return AutoencoderKL.from_single_file(str(path), config=str(found), subfolder="vae", local_files_only=True, torch_dtype=dtype)


@contextmanager
def _settings(path: Path, tensors: dict[str, dict]):
    """The model whose settings these tensors need; says why it is asked for, should it not be there."""
    shapes = {name: SimpleNamespace(shape=tensor["shape"]) for name, tensor in tensors.items()}
    known = fetch_diffusers_config(shapes)["pretrained_model_name_or_path"]
    try:
        yield hub.Model(hub.V1_4 if "v1-5" in known else known)
    except (ConnectionError, FileNotFoundError, PermissionError) as error:
        if error.errno:  # of the disk
            raise
        raise type(error)(f"{path.name} holds weights alone, its settings and vocabulary (2 MB) are another model's, and {error}") from None
