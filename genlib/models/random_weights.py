"""A pipeline at its full size with random weights, made from its configurations alone."""
from functools import partial
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from transformers import CLIPTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from genlib import progress
from genlib.models import folder, hub
from genlib.models import weights as weights_module
from genlib.runs import ModelInfo


def byte_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that needs no download: two tokens a byte (one ends a word) and two special tokens."""
    letters = list(bytes_to_unicode().values())  # a printable one for each byte (Radford et al. 2019)
    words = letters + [f"{letter}</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def load_pipeline(cls: type[DiffusionPipeline], model: hub.Model, parts: dict[str, type | None], info: ModelInfo, dtype: torch.dtype,
                  **options) -> DiffusionPipeline:
    """A pipeline of the class whose networks have random values, from its configurations and tokenizers.

    A tokenizer that is not there is replaced by `byte_tokenizer`. The networks' sizes are counted before they
    are made, into `info`. Raises MemoryError if they do not fit, and what `hub.Model.fetch` raises.
    """
    replaced = {name: byte_tokenizer() for name, part in parts.items() if _is_tokenizer(part) and not _is_there(model, name, part, dtype)}
    found = model.fetch({name: part for name, part in parts.items() if name not in replaced}, dtype, weights=False)
    networks = {name: part for name, part in parts.items() if folder.is_network(part)}
    # On torch's meta device a network takes no memory.
    weights_module.count(info, **{name: build(part, found / name, dtype, "meta") for name, part in networks.items()})
    if sum(info.bytes.values()) > weights_module.free_bytes():  # Linux would kill the process
        raise MemoryError
    made = {}
    with progress.Task("byte", sum(info.bytes.values())) as task:
        for name, part in networks.items():
            task.part = name
            made[name] = build(part, found / name, dtype)
            task.update(info.bytes[name])
    with hub.explained(found, cls):
        return cls.from_pretrained(str(found), local_files_only=True, **made, **replaced, **options)


def _is_tokenizer(part: type | None) -> bool:
    return part is not None and issubclass(part, PreTrainedTokenizerBase)


def _is_there(model: hub.Model, name: str, part: type, dtype: torch.dtype) -> bool:
    try:
        return bool(model.fetch({name: part}, dtype, weights=False))
    except (FileNotFoundError, ConnectionError):
        return False


def build(cls: type, settings: Path, dtype: torch.dtype, place=None) -> torch.nn.Module:
    """A network with random values from its folder's config.json, on the device or `place`.

    Raises ValueError for settings of which the library makes no network.
    """
    with hub.explained(settings, cls):
        return weights_module.seeded(partial(_network, cls, settings, dtype), dtype, place)


def _network(cls: type, settings: Path, dtype: torch.dtype) -> torch.nn.Module:
    """A network as its config.json says, its initial values drawn by its library."""
    if not issubclass(cls, PreTrainedModel):
        return cls.from_config(cls.load_config(str(settings), local_files_only=True))
    network = cls(cls.config_class.from_pretrained(str(settings), local_files_only=True))
    kept = network._keep_in_fp32_modules if dtype == torch.float16 else None
    for name, part in network.named_modules():
        if name.rpartition(".")[2] in (kept or ()):  # as the library loads it: T5's `wo` overflows in half precision
            part.float()
    return network
