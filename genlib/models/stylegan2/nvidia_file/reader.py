"""Read NVIDIA's StyleGAN2-ADA network files (.pkl) without running anything that is in them.

A network file is a pickle, and unpickling it would rebuild the networks by executing source text that is
stored with them. Here a `Machine` interprets it instead, and its calls become plain records. G and D, the
networks beside G_ema, are never read into memory.
"""
import stat
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from genlib.models.stylegan2.nvidia_file.generator import check_attributes, layout, pytorch_config, table, tensorflow_config
from genlib.models.stylegan2.nvidia_file.machine import AGAIN, Machine, NetworkFileError, check, show
from genlib.models.stylegan2.nvidia_file.records import Module, Network, build, call
from genlib.models.stylegan2.nvidia_file.unlike import check_generator, check_square, explain_beginning, explain_root

PARTS = 1000  # the most of a generator; the largest published one has about 70


@dataclass
class NetworkFile:
    """A generator, as a file describes it."""
    config: dict  # every keyword of network.Generator, in plain values
    state_dict: dict[str, torch.Tensor]  # complete, with the Generator's names and shapes; float32, contiguous
    generation: str  # which code wrote the file: "pytorch" or "tensorflow"
    passed_over: dict  # settings that NVIDIA's code does not have, with values that mean that they are off


def read(path) -> NetworkFile:
    """The generator in one of NVIDIA's network files: G_ema (PyTorch code) or Gs (TensorFlow code).

    Reads pickle protocols 2 to 5; memory peaks at little more than the generator's own size. Raises
    NetworkFileError for anything but a complete and consistent StyleGAN2 generator, OSError where the file
    cannot be read.
    """
    path = Path(path)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
        raise NetworkFileError(f"{path.name}: is a folder or a device, and no file: give a .pkl file")
    with open(path, "rb") as file:
        try:
            explain_beginning(file.read(1024))
            file.seek(0)
            root = Machine(file, call, build).run()
            size = file.tell()
            match root:
                case {"G_ema": Module() as generator}:
                    found = _from_pytorch
                case (_, _, Network() as generator):
                    found = _from_tensorflow
                case _:
                    raise explain_root(root)
            check(not file.read(1), f"its network ends at byte {size}, but more follows: {AGAIN}")
            return found(generator, size)
        except NetworkFileError as error:
            raise NetworkFileError(f"{path.name}: {error}") from None


# ---- From the records of a file to a generator. Modules and networks have .state; tensors and arrays have
# .shape and .read().

def _from_pytorch(generator: Module, size: int) -> NetworkFile:
    """The generator from its record in a file of `size` bytes."""
    check_generator(generator)
    modules, tensors = _parts(generator, "_modules", "."), {}
    check_square(table(modules[""], "_init_kwargs"), table(modules["synthesis.b4"], "_parameters").get("const"))
    config, passed_over = pytorch_config(modules)
    entries, says = layout(config)
    check_attributes(modules, says)
    for path, state in modules.items():
        for leaf, tensor in [*table(state, "_parameters").items(), *table(state, "_buffers").items()]:
            name = f"{path}.{leaf}".lstrip(".")
            if tensor is not None:
                if name not in entries or name in tensors:
                    raise NetworkFileError(f"its tensor {show(name)} is one that a StyleGAN2 generator of its settings lacks or has once: "
                                           "use another file")
                tensors[name] = tensor
    state_dict = _read_all({name: entry.shape for name, entry in entries.items()}, tensors, size)
    for name, entry in entries.items():
        if entry.value is not None and not name.endswith("conv1.resample_filter"):  # conv1 resamples nothing
            if not torch.allclose(state_dict[name], entry.value, rtol=1e-5, atol=1e-7):
                raise NetworkFileError(f"{name} is not what the network's settings make it: the file was changed by hand, use another")
    return NetworkFile(config, state_dict, "pytorch", passed_over)


def _from_tensorflow(generator: Network, size: int) -> NetworkFile:
    """The same for the TensorFlow code's Gs."""
    networks, variables = _parts(generator, "components", "/"), {}
    version = networks[""].get("version")
    if type(version) is int and version < 4:
        raise NetworkFileError("holds networks of the first StyleGAN, whose layers are others: use a file of StyleGAN2 or StyleGAN2-ADA")
    if version not in (4, 5):
        raise NetworkFileError(f"is of version {show(version)}, and StyleGAN2's are 4 and 5: use a file of StyleGAN2-ADA")
    config, passed_over = tensorflow_config(table(networks[""], "static_kwargs"))
    entries, _ = layout(config)
    wanted = {entry.variable: entry.variable_shape for entry in entries.values() if entry.value is None}  # the others are for training
    for path, state in networks.items():
        for pair in state["variables"] if type(state.get("variables")) in (list, tuple) else ():
            match pair:
                case (str() as leaf, value) if (name := f"{path}/{leaf}".lstrip("/")) in wanted:
                    check(name not in variables, f"{name} is there twice: {AGAIN}")
                    variables[name] = value
    values = _read_all(wanted, variables, size)
    state_dict = {name: (entry.convert(values.pop(entry.variable)) if entry.value is None else entry.value.clone()).contiguous()
                  for name, entry in entries.items()}
    return NetworkFile(config, state_dict, "tensorflow", passed_over)


def _parts(root, children: str, joint: str) -> dict[str, dict]:
    """The states of a network and of all its parts: {path: state}."""
    states, todo = {}, [("", root)]
    while todo:
        path, part = todo.pop()
        if type(part) is not type(root):
            raise NetworkFileError(f"its part {show(path)} is {show(part)}, which no StyleGAN2 generator has: use another file")
        if type(part.state) is not dict or path in states or len(path) > 200:
            raise NetworkFileError(f"its part {show(path)} has no state, or is there twice: {AGAIN}")
        states[path], below = part.state, table(part.state, children)
        check(len(states) + len(todo) + len(below) <= PARTS, f"its generator has more than {PARTS} parts: {AGAIN}")
        todo += [(f"{path}{joint}{name}".lstrip(joint), child) for name, child in below.items() if child is not None]
    return states


def _read_all(shapes: dict[str, tuple], stored: dict, size: int) -> dict[str, torch.Tensor]:
    """Read all values, after checking that all are there and of the right shape."""
    for name, shape in shapes.items():
        check(name in stored, f"{name} is missing: use a file of StyleGAN2-ADA, or of StyleGAN2's configuration E or F")
        found = () if type(stored[name]) is float else getattr(stored[name], "shape", None)
        check(found is not None, f"{name} is {show(stored[name])}, and no tensor: use another file")
        check(found == shape, f"{name} has shape {found}, but the network's settings make it {shape}: use another file")
    if (wanted := 2 * sum(prod(shape) for shape in shapes.values())) > size:  # the same few bytes, named often, could fill any memory
        raise NetworkFileError(f"its tensors would take {wanted / 1e6:.1f} MB in float16, but the file has {size / 1e6:.1f} MB: {AGAIN}")
    values = {}
    for name in shapes:
        try:
            values[name] = torch.tensor(stored[name]) if type(stored[name]) is float else stored[name].read()
        except NetworkFileError as error:
            raise NetworkFileError(f"{name}: {error}") from None
    return values
