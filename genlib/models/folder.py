"""A model's folder in diffusers' layout: which files are read, and whether they are what they claim to be.

All is checked before a library opens a file. Only safetensors files are read as weights, and code that lies
in a folder is never run.
"""
import json
import re
import stat
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open

from genlib.files import read_regular

INDEX = "model_index.json"
CONFIG_LIMIT = 100_000_000  # bytes; a tokenizer.json may have 30 million
HEADER_LIMIT = 100_000_000  # of a safetensors file, as the library has it
CODE_KEYS = ("auto_map", "custom_pipeline", "custom_pipelines", "trust_remote_code", "transformers_weights")
NO_CODE = "a model's own code could do anything on this machine and is never run; use a model of diffusers' and transformers' classes"


def read_index(folder: Path) -> dict:
    """A pipeline's model_index.json.

    Raises FileNotFoundError if there is none, ValueError if it is damaged or names code.
    """
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {INDEX}{_dangling(path)}, so it is no pipeline of diffusers: give the folder that has "
                                "one, or a model of the Hub in diffusers' layout")
    index = read_config(path)
    if not isinstance(index.get("_class_name"), str):
        raise ValueError(f"{path} names {index.get('_class_name')!r} as the pipeline's class, not a class of diffusers: {NO_CODE}")
    return index


def components(index: dict, pipeline: type) -> dict[str, type | None]:
    """The classes of a pipeline's components that its model_index.json names.

    None stands for a class that has another name today. What the pipeline does not take is passed over, as
    diffusers does. Raises ValueError for a class that diffusers and transformers do not have.
    """
    found = {}
    for name in pipeline._get_signature_keys(pipeline)[0]:
        value = index.get(name)
        if not isinstance(value, list) or value == [None, None]:
            continue
        library, kind = value if len(value) == 2 else (None, None)
        module = {"diffusers": diffusers, "transformers": transformers}.get(str(library))
        if module is None and isinstance(library, str) and library.isidentifier():
            module = getattr(diffusers.pipelines, library, None)  # as of the safety checker
            moved = getattr(diffusers.pipelines.deprecated, library, None)
            if module is None and isinstance(moved, ModuleType):  # as unCLIP's, whose published index still has the former place
                setattr(diffusers.pipelines, library, module := moved)  # for diffusers itself, which does not find it either
        if not isinstance(module, ModuleType) or not isinstance(kind, str):
            raise ValueError(f"{INDEX} says that {name} is {value!r}, a class of neither diffusers nor transformers: {NO_CODE}")
        cls = getattr(module, kind, None)
        if packages := getattr(cls, "_backends", None):  # the libraries' stand-in for a class that cannot work here
            raise ValueError(f"{INDEX} says that {name} is a {kind}, which needs {' and '.join(packages)}: install what is missing, or use "
                             "another model")
        if not isinstance(cls, type) and not (cls is None and kind.endswith("FeatureExtractor")):  # today called image processors
            raise ValueError(f"{INDEX} says that {name} is a {kind}, which the installed {library} does not have: update it, or use "
                             "another model")
        found[name] = cls
    return found


def is_network(cls: type | None) -> bool:
    """Whether a component has weights."""
    return cls is not None and issubclass(cls, torch.nn.Module)


def variant(name: str, cls: type, names: set[str], dtype: torch.dtype) -> str | None:
    """The variant of a component's weights to read: "fp16", "" or, without safetensors files, None."""
    suffixes = [""] if dtype == torch.float32 else ["fp16", ""]
    return next((suffix for suffix in suffixes if _weights(name, cls, suffix) & names), None)


def _weights(name: str, cls: type, suffix: str) -> set[str]:
    """The names that the libraries try: one file, or the index of several."""
    stem, dot = _stem(cls), f".{suffix}" if suffix else ""
    return {f"{name}/{stem}{dot}.safetensors", f"{name}/{stem}.safetensors.index{dot}.json"}


def _stem(cls: type) -> str:
    return "model" if issubclass(cls, transformers.PreTrainedModel) else "diffusion_pytorch_model"


def choose(parts: dict[str, type | None], names: set[str], dtype: torch.dtype, weights: bool = True) -> tuple[set[str], list[str]]:
    """Which of a model's files are read for these components, and which are lacking.

    names: the files that are there, as in "unet/config.json".
    dtype: float32 takes no fp16 files; others take them where a component has them.
    weights: False to read the configurations and tokenizers alone.
    """
    chosen, lacking = set(), []
    for name, cls in parts.items():
        mine = {file for file in names if file.startswith(f"{name}/")}
        if is_network(cls) and weights:
            suffix = variant(name, cls, names, dtype)
            if suffix is None:
                lacking.append(f"{name}/{_stem(cls)}.safetensors")
            else:
                dot = rf"\.{suffix}" if suffix else ""  # after the number in files by older versions
                shard = re.compile(rf"{name}/{_stem(cls)}({dot}-\d+-of-\d+|-\d+-of-\d+{dot})\.safetensors")
                chosen |= _weights(name, cls, suffix) & names | {file for file in mine if shard.fullmatch(file)}
        needed = _needed(name, cls, names)
        lacking += [file for file in needed if file not in names]
        if is_network(cls) or hasattr(cls, "config_name"):  # they read nothing else
            chosen |= mine.intersection(needed)
        else:
            chosen |= {file for file in mine if file.endswith((".json", ".txt", ".model"))}
    return chosen, lacking


def _needed(name: str, cls: type | None, names: set[str]) -> list[str]:
    """The files that a component cannot be made without, beside its weights."""
    if cls and issubclass(cls, transformers.PreTrainedTokenizerBase):
        whole = any(f"{name}/{file}" in names for file in ("tokenizer.json", "spiece.model", "tokenizer.model"))
        return [] if whole else [f"{name}/vocab.json", f"{name}/merges.txt"]
    config = "config.json" if is_network(cls) else getattr(cls, "config_name", None) or "preprocessor_config.json"
    return [f"{name}/{config}"]


def look(folder: Path, parts: dict[str, type | None], dtype: torch.dtype, weights: bool = True) -> tuple[set[str], list[str]]:
    """As `choose`, for a folder, and with the files that the index of a network in several files names."""
    chosen, lacking = choose(parts, names_in(folder, parts), dtype, weights)
    for index in [name for name in chosen if ".index." in name]:
        named = shards(folder / index)
        lacking += sorted(file.relative_to(folder).as_posix() for file in named if not file.is_file())
        chosen |= {file.relative_to(folder).as_posix() for file in named}
    return chosen, lacking


def names_in(folder: Path, parts) -> set[str]:
    """The names of the files of these components; a link counts if what it points to is there.

    Hidden files are passed over: macOS leaves one beside each file on foreign disks.
    """
    return {f"{name}/{file.name}" for name in parts if (folder / name).is_dir() for file in (folder / name).iterdir()
            if file.is_file() and not file.name.startswith(".")}


def check(folder: Path, parts: dict[str, type | None], dtype: torch.dtype, weights: bool = True) -> list[Path]:
    """The files that will be read for these components, each looked at.

    Raises FileNotFoundError for one that is missing, ValueError for one that is not what its name claims or
    that would run code.
    """
    names, (chosen, lacking) = names_in(folder, parts), look(folder, parts, dtype, weights)
    if lacking:
        raise FileNotFoundError(_missing(folder, lacking, names, dtype))
    for name in sorted(names):
        if name.endswith((".py", "/adapter_config.json")):
            raise ValueError(f"{folder / name} lies among the files of {name.partition('/')[0]}: {NO_CODE}")
    files = sorted(folder / name for name in chosen)
    for file in files:
        _check_file(file)
    return files


def _missing(folder: Path, lacking: list[str], names: set[str], dtype: torch.dtype) -> str:
    part = lacking[0].partition("/")[0]
    mine = sorted(name.partition("/")[2] for name in names if name.startswith(f"{part}/"))
    if lacking[0].endswith("model.safetensors") and not _dangling(folder / lacking[0]):
        if any(name.endswith((".fp16.safetensors", ".index.fp16.json")) for name in mine):
            return f"{folder} has no safetensors files for {dtype} in {part} but fp16 ones: use dtype='float16', or another model"
        if any(name.lower().endswith((".bin", ".ckpt", ".pt", ".msgpack")) for name in mine):
            return no_safetensors(f"{folder}", f" in {part}", dtype)
    there = f"; in {part} there is {', '.join(mine[:4])}" if mine else "" if (folder / part).is_dir() else f"; there is no folder {part}"
    return (f"{folder} lacks {and_more(lacking)}{_dangling(folder / lacking[0])}{there}: "
            "the model was not downloaded or copied whole, so download it again")


def no_safetensors(model: str, where: str, dtype: torch.dtype) -> str:
    """The sentence for a model whose weights cannot be read safely."""
    return (f"{model} has no safetensors files for {dtype}{where}: files of the older .bin kind can run code when they are opened, and "
            "are refused; convert them, or use another model or dtype")


def and_more(names: list[str]) -> str:
    """The first name, and how many more there are."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _dangling(path: Path) -> str:
    return " (a link is there, whose target is missing)" if path.is_symlink() and not path.exists() else ""


def _check_file(path: Path) -> None:
    if path.suffix == ".safetensors":
        header(path)
    elif path.suffix == ".json":
        read_config(path)
    else:
        with open(path, "rb") as file:
            if (said := what_is(file.read(512))) and not said.startswith("a text"):
                raise ValueError(f"{path} is {said}: {_again(path)}")


def read_config(path: Path) -> dict:
    """A JSON file of a model. Raises ValueError unless it is whole, an object, and names no code."""
    data = read_regular(path.resolve(), CONFIG_LIMIT)  # in the Hub's cache, each file is a link
    try:
        config = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is {what_is(data[:512]) or f'no JSON ({error})'}: {_again(path)}") from None
    if not isinstance(config, dict) or not config and path.name in ("config.json", "scheduler_config.json"):
        raise ValueError(f"{path} holds {config!r:.40}, not the settings of a model: {_again(path)}")
    for key in CODE_KEYS:
        if config.get(key):
            raise ValueError(f"{path} has {key!r}, which names code or files of the model's own: {NO_CODE}")
    return config


def shards(index: Path) -> set[Path]:
    """The files that the index of a network in several files names. Raises ValueError for other files."""
    named = read_config(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise ValueError(f"{index} names no files (weight_map): {_again(index)}")
    for name in sorted(set(map(str, named.values()))):
        if not re.fullmatch(r"[\w.-]+\.safetensors", name):
            raise ValueError(f"{index} names {name!r} as a file of weights: only safetensors files beside it are read, since others can "
                             "run code when they are opened; use another model")
    return {index.parent / name for name in named.values()}


def header(path: Path) -> dict[str, dict]:
    """The header of a safetensors file: a dict for each tensor's name. The tensors themselves are not read.

    Raises ValueError for a file that is none, is cut off, or has no tensors.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is no regular file: put the file itself there")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        data = file.read(length if length <= HEADER_LIMIT else 512)
    try:
        tensors = {name: tensor for name, tensor in json.loads(data).items() if name != "__metadata__"}
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        begins = length.to_bytes(8, "little")[: status.st_size] + data[:512]
        cut = data.startswith(b"{") and 8 + length > status.st_size
        said = "a safetensors file that is cut off in its header" if cut else what_is(begins) or "no safetensors file, or a damaged one"
        raise ValueError(f"{path} is {said}: {_again(path)}") from None
    if not tensors:
        raise ValueError(f"{path} is a safetensors file without a single tensor: {_again(path)}")
    if end != status.st_size:
        state = "was not downloaded or copied whole" if status.st_size < end else "is damaged"
        raise ValueError(f"{path} has {status.st_size:,} bytes of {end:,}, so it {state}: {_again(path)}")
    try:
        with safe_open(path, "pt"):  # checks types, shapes and places of all tensors
            return tensors
    except (SafetensorError, UnicodeError) as error:
        raise ValueError(f"{path} is a damaged safetensors file ({error}): {_again(path)}") from None


def what_is(begins: bytes) -> str | None:
    """What a file is instead, as its first bytes tell."""
    text = begins.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not begins:
        return "empty"
    if text.startswith(b"version https://git-lfs"):
        return "a pointer of git-lfs, which stands for the file (`git lfs pull` in its folder brings the file itself)"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")):
        return "a web page, the answer of a server that did not give the file"
    if not any(begins):
        return "filled with zeros, as a download that was never finished"
    if begins.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "a file of torch.save or an archive under another name, which can run code when it is opened"
    with suppress(UnicodeDecodeError):
        if begins[:60].decode().isprintable():
            return f"a text that begins with {begins[:60].decode()!r}"
    return None


def _again(path: Path) -> str:
    """What to do about a damaged file. In the Hub's cache, the file is what the link points to."""
    return f"delete {path.resolve() if path.is_symlink() else 'it'} and download it again"
