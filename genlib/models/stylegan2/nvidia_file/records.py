"""What the objects in a network file become: plain records of tensors, modules, networks and arrays.

`call` and `build` say what a `Machine` makes of the file's calls and changes. What they do not know becomes
an `Inert`, and the file may still be good: people store loggers, paths and data sets beside their networks.
"""
import io
import struct
from dataclasses import dataclass
from itertools import chain
from math import prod

import torch

from genlib.models.stylegan2.nvidia_file.machine import AGAIN, Global, Inert, Machine, NetworkFileError, Payload, check, inert

TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # the number with which torch begins a storage, and in its old format a file

STORAGES = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
            "DoubleStorage": torch.float64}

# Beside the records there are numbers, texts, tuples, lists and dicts; sets become lists, and dicts lose all
# keys but short texts.

@dataclass(slots=True, eq=False)
class Tensor:
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
            parts = [Machine(head, persistent_ids=True).run() for _ in range(5)]
        except NetworkFileError as error:
            raise NetworkFileError(f"the storage at byte {self.payload.offset}: {error}") from None
        count = int.from_bytes(first[head.tell():][:8], "little")
        match parts:  # a magic number, a version, the system, what is stored, its key
            case (int() as magic, 1001, {"protocol_version": 1001, "little_endian": True},
                  ("storage", Global("torch", str() as kind), str() as key, str(), int() as numel, None), [str() as same_key]
                  ) if (magic, key, numel) == (TORCH_MAGIC, same_key, count) and kind in STORAGES:
                return self.payload.floats(numel, chain([first[head.tell() + 8:]], chunks), STORAGES[kind])
        raise NetworkFileError(f"the storage at byte {self.payload.offset} does not hold floating-point values as torch writes them: "
                               f"{AGAIN}")


@dataclass(slots=True, eq=False)
class Module:
    """A module of a network, in place of an object whose class the file holds as source text."""
    class_name: str
    state: dict


@dataclass(slots=True, eq=False)
class Network:
    """A network from the TensorFlow code."""
    state: dict | None = None


@dataclass(slots=True, eq=False)
class Dtype:
    """A numpy dtype: "f4" and "<" mean little-endian float32."""
    code: str
    order: str | None = None


@dataclass(slots=True, eq=False)
class Array:
    """A numpy array."""
    shape: tuple | None = None
    dtype: Dtype | None = None
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


NUMBERS = {"f8": "<d", "f4": "<f", "f2": "<e", "i8": "<q", "i4": "<i", "i2": "<h", "i1": "<b",  # numpy's code: struct's
           "u8": "<Q", "u4": "<I", "u2": "<H", "u1": "<B", "b1": "<?"}


def call(function, args: tuple):
    """What a call in the file stands for; nothing is called, and nothing is imported."""
    match function, args:  # "__builtin__" is what protocol 2 writes; numpy 1 has numpy.core, and numpy 2 numpy._core
        case Global("collections", "OrderedDict") | Global(_, "EasyDict"), ():  # projects move dnnlib.util elsewhere
            return {}
        case Global("collections", "defaultdict"), () | (_,):
            return {}
        case Global("builtins" | "__builtin__", "set" | "frozenset") | Global("collections", "deque"), () | (list(),):
            return args[0] if args else []
        case Global("builtins" | "__builtin__", "bytes" | "bytearray"), ():
            return Payload(io.BytesIO(), 0, 0, False)
        case Global("torch.storage", "_load_from_bytes"), (Payload() as payload,):
            return payload
        case Global("torch._utils", "_rebuild_tensor_v2"), (Payload() as payload, offset, tuple() as shape, tuple() as stride, _, _, *_):
            if len(shape) == len(stride) and all(map(_naturals, [(offset,), shape, stride])):
                return Tensor(payload, offset, shape, stride)
        case Global("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"), (Tensor() as tensor, _, _, *_):
            return tensor
        case Global("torch._tensor", "_rebuild_from_type_v2"), (
                Global("torch._utils", "_rebuild_tensor_v2") as rebuild, Global("torch", "Tensor"), tuple() as rebuilt, _):
            return call(rebuild, rebuilt)  # a tensor that was given attributes
        case Global("torch._utils" | "torch.storage", "_load_from_bytes" | "_rebuild_tensor_v2" | "_rebuild_parameter"), (
                Inert() as made, *_):  # so that a message names what is in the way
            return made
        case Global("copyreg" | "copy_reg" | "functools" | "builtins" | "__builtin__", "_reconstructor" | "partial" | "getattr"), (
                Global() | Inert() as made, *_):
            return inert(made)
        case Global("torch", "Size"), (tuple() as sizes,):
            return sizes
        case Global(_, "_reconstruct_persistent_obj"), (
                {"type": "class", "version": 6, "module_src": str() | Payload(), "class_name": str() as name, "state": dict() as state},):
            return Module(name, state)
        case Global(_, "_reconstruct_persistent_obj"), _:
            return Inert("_reconstruct_persistent_obj, but not of a class in format version 6,")
        case Global("_codecs", "encode"), (Payload(is_text=True) as text, "latin1"):
            return text
        case Global("_codecs", "encode"), (str() as text, "latin1"):
            data = text.encode("utf-8", "surrogatepass")
            return Payload(io.BytesIO(data), 0, len(data), True)
        case Global("numpy", "dtype"), (str() as code, _, _):
            return Dtype(code)
        case Global("numpy.core.multiarray" | "numpy._core.multiarray", "scalar"), (Dtype(), Payload(length=0)):
            return ""
        case Global("numpy.core.multiarray" | "numpy._core.multiarray", "scalar"), (
                Dtype(code=code, order="<" | "|"), Payload() as payload) if payload.length <= 16:
            data = b"".join(payload.chunks())
            if code in NUMBERS and len(data) == struct.calcsize(NUMBERS[code]):
                return struct.unpack(NUMBERS[code], data)[0]
        case Global("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), _):
            return Array()
        case Global("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer"), (
                Payload() as payload, Dtype() as dtype, tuple() as shape, "C" | "F" as order):  # in protocol 5
            if _naturals(shape):
                return Array(shape, dtype, order == "F", payload)
        case Global("dnnlib.tflib.network", "Network"), ():
            return Network()
    return inert(function)


def build(target, state) -> None:
    """Complete a record of one of three kinds; what else objects have for a state, no generator needs."""
    match target, state:
        case Network(state=None), dict():
            target.state = state
        case Dtype(order=None), (3, "<" | ">" | "|" | "=" as order, *_):
            target.order = order
        case Array(payload=None), (1, tuple() as shape, Dtype() as dtype, int() as is_fortran, Payload() as payload) if _naturals(shape):
            target.shape, target.dtype, target.is_fortran, target.payload = shape, dtype, bool(is_fortran), payload
        case Dtype() | Array() | Inert() | dict(), _:
            pass
        case _:
            raise NetworkFileError(f"changes an object as StyleGAN2-ADA's files do not: {AGAIN}")
