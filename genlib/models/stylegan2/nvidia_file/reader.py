"""Read NVIDIA's StyleGAN2-ADA network files (.pkl) without running anything that is in them.

A network file is a pickle, and unpickling it would rebuild the networks by executing source text that is
stored with them. Here a `Machine` interprets it instead: a call of a name in GLOBALS becomes one of the plain
records below, and any other call is refused. G and D, the networks beside G_ema, are never read into memory.
"""
import io
import struct
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path

import torch

from genlib.models.stylegan2.nvidia_file.generator import check_attributes, layout, pytorch_config, table, tensorflow_config
from genlib.models.stylegan2.nvidia_file.machine import AGAIN, Global, Machine, NetworkFileError, Payload, check, show

PARTS = 1000  # the most of a generator; the largest published one has about 70


@dataclass
class NetworkFile:
    """A generator, as a file describes it."""
    config: dict  # every keyword of network.Generator, in plain values
    state_dict: dict[str, torch.Tensor]  # complete, with the Generator's names and shapes; float32, contiguous
    generation: str  # which code wrote the file: "pytorch" or "tensorflow"


def read(path) -> NetworkFile:
    """The generator in one of NVIDIA's network files: G_ema (PyTorch code) or Gs (TensorFlow code).

    Reads pickle protocols 2 to 5; memory peaks at little more than the generator's own size. Raises
    NetworkFileError for anything but a complete and consistent StyleGAN2 generator, OSError where the file
    cannot be read.
    """
    path = Path(path)
    with open(path, "rb") as file:
        try:
            root = Machine(file, GLOBALS, _call, _build).run()
            size = file.tell()
            check(not file.read(1), f"its network ends at byte {size}, but more follows: {AGAIN}")
            match root:
                case {"G_ema": _Module() as generator}:
                    return NetworkFile(*_from_pytorch(generator, size), "pytorch")
                case (_, _, _Network() as generator):
                    return NetworkFile(*_from_tensorflow(generator, size), "tensorflow")
            raise NetworkFileError("holds neither a network named 'G_ema' nor TensorFlow's three networks: use a file of StyleGAN2-ADA")
        except NetworkFileError as error:
            raise NetworkFileError(f"{path.name}: {error}") from None


# ---- The records that the machine makes, beside numbers, texts, tuples, lists and dicts. Sets become lists,
# since only texts are hashed.

@dataclass(slots=True, eq=False)
class _Tensor:
    """A view of the values in a payload, which has torch's format: five small pickles, a count, values."""
    payload: Payload
    offset: int
    shape: tuple
    stride: tuple

    def read(self) -> torch.Tensor:
        """The tensor, contiguous."""
        values, reach = self.read_storage(), 1
        for stride, size in sorted(zip(self.stride, self.shape, strict=True)):
            check(size <= 1 or stride >= reach, f"strides {self.stride} let values of shape {self.shape} overlap: {AGAIN}")
            reach += stride * (size - 1)
        if self.offset + reach > len(values):
            raise NetworkFileError(f"shape {self.shape} reaches beyond the {len(values)} values that are stored: {AGAIN}")
        view = values.as_strided(self.shape, self.stride, self.offset)
        return view if view.is_contiguous() and reach == len(values) else view.clone(memory_format=torch.contiguous_format)

    def read_storage(self) -> torch.Tensor:
        chunks = self.payload.chunks()
        first = next(chunks, b"")
        head = io.BytesIO(first[:4096])
        try:
            parts = [Machine(head, {("torch", "FloatStorage")}, persistent_ids=True).run() for _ in range(5)]
        except NetworkFileError as error:
            raise NetworkFileError(f"the storage at byte {self.payload.offset}: {error}") from None
        count = first[head.tell():][:8]
        match parts:  # a magic number, a version, the system, what is stored, its key
            case (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True},
                  ("storage", Global(name="FloatStorage"), str() as key, str(), int() as numel, None), [str() as same_key]
                  ) if key == same_key and _naturals((numel,)) and count == struct.pack("<q", numel):
                return self.payload.floats(numel, chain([first[head.tell() + 8:]], chunks))
        raise NetworkFileError(f"the storage at byte {self.payload.offset} does not hold float32 values as torch writes them: {AGAIN}")


@dataclass(slots=True, eq=False)
class _Module:
    """A module of a network, in place of an object whose class the file holds as source text."""
    class_name: str
    state: dict


@dataclass(slots=True, eq=False)
class _Network:
    """A network from the TensorFlow code."""
    state: dict | None = None


@dataclass(slots=True, eq=False)
class _Dtype:
    """A numpy dtype: "f4" and "<" mean little-endian float32."""
    code: str
    order: str | None = None


@dataclass(slots=True, eq=False)
class _Array:
    """A numpy array."""
    shape: tuple | None = None
    dtype: _Dtype | None = None
    is_fortran: bool = False
    payload: Payload | None = None

    def read(self) -> torch.Tensor:
        """The array as a tensor."""
        if self.payload is None or (self.dtype.code, self.dtype.order) != ("f4", "<"):
            raise NetworkFileError(f"is no array of little-endian float32 values: {AGAIN}")
        values = self.payload.floats(prod(self.shape), self.payload.chunks())
        return values.reshape(self.shape[::-1]).permute(*range(len(self.shape))[::-1]) if self.is_fortran else values.reshape(self.shape)


def _naturals(values: tuple) -> bool:
    return len(values) <= 8 and all(type(value) is int and 0 <= value < 2**48 for value in values)


GLOBALS = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"), ("dnnlib.util", "EasyDict"), ("dnnlib.tflib.network", "Network"),
    ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_tensor_v2"), ("torch.storage", "_load_from_bytes"),
    ("collections", "OrderedDict"), ("_codecs", "encode"), ("builtins", "set"), ("__builtin__", "set"),  # the last in protocol 2
    ("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),  # numpy 1; 2
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"),  # arrays in protocol 5
}


def _call(function, args):
    """What a call in the file stands for; nothing is called."""
    match function, args:
        case Global(name="OrderedDict" | "EasyDict"), ():
            return {}
        case Global(name="set"), () | (list(),):
            return args[0] if args else []
        case Global(name="_load_from_bytes"), (Payload() as payload,):
            return payload
        case Global(name="_rebuild_tensor_v2"), (Payload() as payload, offset, tuple() as shape, tuple() as stride, _, _, *_):
            if len(shape) == len(stride) and all(map(_naturals, [(offset,), shape, stride])):
                return _Tensor(payload, offset, shape, stride)
        case Global(name="_rebuild_parameter"), (_Tensor() as tensor, _, _):
            return tensor
        case Global(name="_reconstruct_persistent_obj"), (
                {"type": "class", "version": 6, "module_src": str() | Payload(), "class_name": str() as name, "state": dict() as state},):
            return _Module(name, state)
        case Global(name="encode"), (Payload(is_text=True) as text, "latin1"):
            return text
        case Global(name="encode"), (str() as text, "latin1"):
            data = text.encode("utf-8", "surrogatepass")
            return Payload(io.BytesIO(data), 0, len(data), True)
        case Global(name="dtype"), (str() as code, _, _):
            return _Dtype(code)
        case Global(name="scalar"), (_Dtype(code=code, order="<" | "|"), Payload() as payload) if payload.length <= 16:
            layout, data = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "b1": "<?"}.get(code, ""), b"".join(payload.chunks())
            if layout and len(data) == struct.calcsize(layout):
                return struct.unpack(layout, data)[0]
        case Global(name="_reconstruct"), (Global(name="ndarray"), (0,), _):
            return _Array()
        case Global(name="_frombuffer"), (Payload() as payload, _Dtype() as dtype, tuple() as shape, "C" | "F" as order):
            if _naturals(shape):
                return _Array(shape, dtype, order == "F", payload)
        case Global(name="Network"), ():
            return _Network()
    what = f"{function.module}.{function.name}" if type(function) is Global else "what is no function"
    raise NetworkFileError(f"calls {what} as StyleGAN2-ADA's files do not (format version 6): {AGAIN}")


def _build(target, state) -> None:
    """Complete a record of one of three kinds, once; other objects take no state."""
    match target, state:
        case _Network(state=None), dict():
            target.state = state
        case _Dtype(order=None), (3, "<" | ">" | "|" | "=" as order, *_):
            target.order = order
        case _Array(payload=None), (1, tuple() as shape, _Dtype() as dtype, int() as is_fortran, Payload() as payload) if _naturals(shape):
            target.shape, target.dtype, target.is_fortran, target.payload = shape, dtype, bool(is_fortran), payload
        case _:
            raise NetworkFileError(f"changes an object as StyleGAN2-ADA's files do not: {AGAIN}")


# ---- From the records of a file to a generator. Modules and networks have .state; tensors and arrays have
# .shape and .read().

def _from_pytorch(generator, size: int) -> tuple[dict, dict[str, torch.Tensor]]:
    """Configuration and state dict of a generator from its record in a file of `size` bytes."""
    modules, tensors = _parts(generator, "_modules", "."), {}
    if any(path.startswith(("synthesis.input", "synthesis.L")) for path in modules):
        raise NetworkFileError("holds a StyleGAN3 generator, whose layers are others: use a file of StyleGAN2-ADA")
    if generator.class_name != "Generator" or "synthesis.b4" not in modules:
        raise NetworkFileError(f"its G_ema is a {show(generator.class_name)}, not a StyleGAN2 generator: use a file of StyleGAN2-ADA")
    config = pytorch_config(modules)
    entries, says = layout(config)
    check_attributes(modules, says)
    for path, state in modules.items():
        for leaf, tensor in [*table(state, "_parameters").items(), *table(state, "_buffers").items()]:
            name = f"{path}.{leaf}"
            if tensor is not None:
                if name not in entries or name in tensors:
                    raise NetworkFileError(f"a StyleGAN2 generator with its settings has no {show(name)}, or not twice: use another file")
                tensors[name] = tensor
    state_dict = _read_all({name: entry.shape for name, entry in entries.items()}, tensors, size)
    for name, entry in entries.items():
        if entry.value is not None and not name.endswith("conv1.resample_filter"):  # conv1 resamples nothing
            if not torch.allclose(state_dict[name], entry.value, rtol=1e-5, atol=1e-7):
                raise NetworkFileError(f"{name} is not what the network's settings make it: the file was changed by hand, use another")
    return config, state_dict


def _from_tensorflow(generator, size: int) -> tuple[dict, dict[str, torch.Tensor]]:
    """The same for the TensorFlow code's Gs."""
    networks, variables = _parts(generator, "components", "/"), {}
    version = networks[""].get("version")
    if type(version) is int and version < 4:
        raise NetworkFileError("holds networks of the first StyleGAN, whose layers are others: use a file of StyleGAN2 or StyleGAN2-ADA")
    if version not in (4, 5):
        raise NetworkFileError(f"is of version {show(version)}, and StyleGAN2's are 4 and 5: use a file of StyleGAN2-ADA")
    config = tensorflow_config(table(networks[""], "static_kwargs"))
    entries, _ = layout(config)
    wanted = {entry.variable: entry.variable_shape for entry in entries.values() if entry.value is None}  # the others are for training
    for path, state in networks.items():
        for pair in state["variables"] if type(state.get("variables")) in (list, tuple) else ():
            match pair:
                case (str() as leaf, value) if (name := f"{path}/{leaf}".lstrip("/")) in wanted:
                    check(name not in variables, f"{name} is there twice: {AGAIN}")
                    variables[name] = value
    values = _read_all(wanted, variables, size)
    return config, {name: (entry.convert(values.pop(entry.variable)) if entry.value is None else entry.value.clone()).contiguous()
                    for name, entry in entries.items()}


def _parts(root, children: str, joint: str) -> dict[str, dict]:
    """The states of a network and of all its parts: {path: state}."""
    states, todo = {}, [("", root)]
    while todo:
        path, part = todo.pop()
        if type(part) is not type(root) or type(part.state) is not dict or path in states or len(path) > 200:
            raise NetworkFileError(f"its part {show(path)} is {show(part)}, or is there twice: {AGAIN}")
        states[path], below = part.state, table(part.state, children)
        check(len(states) + len(todo) + len(below) <= PARTS, f"its generator has more than {PARTS} parts: {AGAIN}")
        todo += [(f"{path}{joint}{name}".lstrip(joint), child) for name, child in below.items() if child is not None]
    return states


def _read_all(shapes: dict[str, tuple], stored: dict, size: int) -> dict[str, torch.Tensor]:
    """Read all values, after checking that all are there and of the right shape."""
    for name, shape in shapes.items():
        check(name in stored, f"{name} is missing: use a file of StyleGAN2-ADA, or of StyleGAN2's configuration E or F")
        found = () if type(stored[name]) is float else getattr(stored[name], "shape", None)
        check(found == shape, f"{name} has shape {found}, but the network's settings make it {shape}: use another file")
    if 4 * sum(prod(shape) for shape in shapes.values()) > size:  # the same few bytes, named often, could fill any memory
        raise NetworkFileError(f"its tensors take more bytes than the file has: {AGAIN}")
    values = {}
    for name in shapes:
        try:
            values[name] = torch.tensor(stored[name]) if type(stored[name]) is float else stored[name].read()
        except NetworkFileError as error:
            raise NetworkFileError(f"{name}: {error}") from None
    return values
