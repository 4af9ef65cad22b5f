"""Read NVIDIA's StyleGAN2-ADA network files (.pkl) without running anything that is in them.

A network file is a pickle: a program for a stack machine that may import any module and call any function, and its networks
are meant to be rebuilt by executing source text stored beside them. Python's unpickler is not used here. `_Machine` knows the
instructions that these files need; it imports nothing and calls nothing: a global stays a name, and a call of one of the names
in GLOBALS becomes one of the plain records below. Long texts and bytes (the source, the weights) stay in the file, as a
`_Payload`, until wanted: G and D, which stand beside G_ema, never enter memory. A budget bounds whatever else the machine makes.
"""
import codecs
import io
import pickle as op  # for the names of its instructions only
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path

import torch

from genlib.models.nvidia_tensorflow import AGAIN, NetworkFileError, from_pytorch, from_tensorflow, show

SHORT = 1024  # bytes: longer texts stay in the file
BUDGET = 32 * 2**20  # bytes, roughly, that the machine may make: six times what the largest network needs
DEPTH = 200  # of objects in each other; networks have about 20
CHUNK = 2**20  # bytes read at a time


@dataclass
class NetworkFile:
    """A generator as a file describes it."""
    config: dict  # every keyword of stylegan2_network.Generator, in plain values
    state_dict: dict[str, torch.Tensor]  # float32, contiguous; the generator's names and shapes, none missing
    generation: str  # "pytorch" or "tensorflow": the code that wrote the file


def read(path) -> NetworkFile:
    """The generator in one of NVIDIA's network files: G_ema of the PyTorch code's, Gs of the TensorFlow code's.

    Reads pickle protocols 2 to 5; memory peaks at little more than the generator's own size. Raises NetworkFileError for
    whatever is not a StyleGAN2 generator, complete and in agreement with itself, and OSError where the file cannot be read.
    """
    path = Path(path)
    with open(path, "rb") as file:
        try:
            root = _Machine(file, GLOBALS).run()
            size = file.tell()
            if file.read(1):
                raise NetworkFileError(f"its network ends at byte {size}, but more follows: {AGAIN}")
            match root:
                case {"G_ema": _Module() as generator}:
                    return NetworkFile(*from_pytorch(generator, size), "pytorch")
                case (_, _, _Network() as generator):
                    return NetworkFile(*from_tensorflow(generator, size), "tensorflow")
            raise NetworkFileError("holds neither a network named 'G_ema' nor TensorFlow's three networks: use a file of StyleGAN2-ADA")
        except NetworkFileError as error:
            raise NetworkFileError(f"{path.name}: {error}") from None


# ---- The records that the machine makes, beside numbers, texts, tuples, lists and dicts. A set becomes a list: only texts are hashed.

@dataclass(slots=True, eq=False)
class _Global:
    """The name of a function or class."""
    module: str
    name: str


@dataclass(slots=True, eq=False)
class _Payload:
    """Bytes or text that stay in the file."""
    file: io.BufferedIOBase
    offset: int
    length: int
    is_text: bool  # protocol 2 writes bytes as text, a character (of one or two bytes in the file) for each

    def chunks(self) -> Iterator[bytes]:
        """The bytes that it stands for, about a MiB at a time."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, self.length, CHUNK):
            self.file.seek(self.offset + start)
            chunk = self.file.read(min(CHUNK, self.length - start))
            try:
                yield decoder.decode(chunk, start + CHUNK >= self.length).encode("latin1") if self.is_text else chunk
            except UnicodeError:
                raise NetworkFileError(f"the text at byte {self.offset} does not stand for bytes: {AGAIN}") from None

    def floats(self, count: int, chunks: Iterator[bytes]) -> torch.Tensor:
        """What the chunks hold, if it is exactly `count` float32 values. [count]"""
        if 4 * count <= self.length:  # or memory would be taken for values that the file does not hold
            values, filled = torch.empty(count), 0
            memory = values.numpy().view("u1")  # little-endian, as the file and the machines that torch runs on
            for chunk in chunks:
                if filled + len(chunk) > len(memory):
                    break
                memory[filled:filled + len(chunk)] = memoryview(chunk)
                filled += len(chunk)
            else:
                if filled == len(memory):
                    return values
        raise NetworkFileError(f"the data at byte {self.offset} are not {count} float32 values: {AGAIN}")


@dataclass(slots=True, eq=False)
class _Tensor:
    """A view of the values in a payload, which is a file of torch's own: five small pickles, a count, the values."""
    payload: _Payload
    offset: int
    shape: tuple
    stride: tuple

    def read(self) -> torch.Tensor:
        """The tensor, contiguous."""
        values, reach = self.read_storage(), 1
        for stride, size in sorted(zip(self.stride, self.shape, strict=True)):
            if size > 1 and stride < reach:
                raise NetworkFileError(f"strides {self.stride} let values of shape {self.shape} overlap: {AGAIN}")
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
            parts = [_Machine(head, {("torch", "FloatStorage")}, persistent_ids=True).run() for _ in range(5)]
        except NetworkFileError as error:
            raise NetworkFileError(f"the storage at byte {self.payload.offset}: {error}") from None
        count = first[head.tell():][:8]
        match parts:  # a magic number, a version, the system, what is stored, its key
            case (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True},
                  ("storage", _Global(name="FloatStorage"), str() as key, str(), int() as numel, None), [str() as same_key]
                  ) if key == same_key and _naturals((numel,)) and count == struct.pack("<q", numel):
                return self.payload.floats(numel, chain([first[head.tell() + 8:]], chunks))
        raise NetworkFileError(f"the storage at byte {self.payload.offset} does not hold float32 values as torch writes them: {AGAIN}")


@dataclass(slots=True, eq=False)
class _Module:
    """A module of a network, in place of an object of the class whose source text the file holds."""
    class_name: str
    state: dict


@dataclass(slots=True, eq=False)
class _Network:
    """A network of the TensorFlow code."""
    state: dict | None = None


@dataclass(slots=True, eq=False)
class _Dtype:
    """A type of numpy's: "f4" and "<" are little-endian float32."""
    code: str
    order: str | None = None


@dataclass(slots=True, eq=False)
class _Array:
    """A numpy array."""
    shape: tuple | None = None
    dtype: _Dtype | None = None
    is_fortran: bool = False
    payload: _Payload | None = None

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
    """What a call in the file stands for: nothing is called."""
    match function, args:
        case _Global(name="OrderedDict" | "EasyDict"), ():
            return {}
        case _Global(name="set"), ():
            return []
        case _Global(name="set"), (list() as members,):
            return members
        case _Global(name="_load_from_bytes"), (_Payload() as payload,):
            return payload
        case _Global(name="_rebuild_tensor_v2"), (_Payload() as payload, offset, tuple() as shape, tuple() as stride, _, _, *_):
            if len(shape) == len(stride) and all(map(_naturals, [(offset,), shape, stride])):
                return _Tensor(payload, offset, shape, stride)
        case _Global(name="_rebuild_parameter"), (_Tensor() as tensor, _, _):
            return tensor
        case _Global(name="_reconstruct_persistent_obj"), (
                {"type": "class", "version": 6, "module_src": str() | _Payload(), "class_name": str() as name, "state": dict() as state},):
            return _Module(name, state)
        case _Global(name="encode"), (_Payload(is_text=True) as text, "latin1"):
            return text
        case _Global(name="encode"), (str() as text, "latin1"):
            data = text.encode("utf-8", "surrogatepass")
            return _Payload(io.BytesIO(data), 0, len(data), True)
        case _Global(name="dtype"), (str() as code, _, _):
            return _Dtype(code)
        case _Global(name="scalar"), (_Dtype(code=code, order="<" | "|"), _Payload() as payload) if payload.length <= 16:
            layout, data = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "b1": "<?"}.get(code, ""), b"".join(payload.chunks())
            if layout and len(data) == struct.calcsize(layout):
                return struct.unpack(layout, data)[0]
        case _Global(name="_reconstruct"), (_Global(name="ndarray"), (0,), _):
            return _Array()
        case _Global(name="_frombuffer"), (_Payload() as payload, _Dtype() as dtype, tuple() as shape, "C" | "F" as order):
            if _naturals(shape):
                return _Array(shape, dtype, order == "F", payload)
        case _Global(name="Network"), ():
            return _Network()
    what = f"{function.module}.{function.name}" if type(function) is _Global else "what is no function"
    raise NetworkFileError(f"calls {what} as StyleGAN2-ADA's files do not (format version 6): {AGAIN}")


def _build(target, state) -> None:
    """Complete one of three records, once: other objects take no state."""
    match target, state:
        case _Network(state=None), dict():
            target.state = state
        case _Dtype(order=None), (3, "<" | ">" | "|" | "=" as order, *_):
            target.order = order
        case _Array(payload=None), (1, tuple() as shape, _Dtype() as dtype, int() as is_fortran, _Payload() as payload) if _naturals(shape):
            target.shape, target.dtype, target.is_fortran, target.payload = shape, dtype, bool(is_fortran), payload
        case _:
            raise NetworkFileError(f"changes an object as StyleGAN2-ADA's files do not: {AGAIN}")


class _Machine:
    """Interprets one pickle of protocol 2 to 5, from where the file stands."""

    def __init__(self, file, names: set, persistent_ids: bool = False):
        self.file, self.names, self.persistent_ids, start = file, names, persistent_ids, file.tell()
        self.end = file.seek(0, io.SEEK_END)
        file.seek(start)
        self.stack, self.marks, self.memo, self.budget = [], [], {}, BUDGET  # a mark puts the stack aside and begins another

    def run(self):
        """The object that the pickle describes."""
        try:
            if self.take(1) != op.PROTO or self.take(1) not in (b"\2", b"\3", b"\4", b"\5"):
                raise NetworkFileError("is no pickle of protocol 2 to 5: use the .pkl file that NVIDIA publishes")
            while (instruction := self.take(1)) != op.STOP:
                self.spend(100)  # more than most leave behind
                step = INSTRUCTIONS.get(instruction)
                if step is None:
                    raise NetworkFileError(f"instruction {instruction!r} does not occur in network files: {AGAIN}")
                step(self)
            if self.marks or len(self.stack) != 1:
                raise NetworkFileError(f"stops before its end: {AGAIN}")
            return self.stack[0]
        except (IndexError, KeyError):  # the stack or the marks are empty; the memo has no such object
            raise NetworkFileError(f"uses an object that is not there, before byte {self.file.tell()}: {AGAIN}") from None
        except EOFError:
            raise NetworkFileError(f"is cut off at byte {self.file.tell()}: {AGAIN}") from None
        except NetworkFileError as error:
            raise NetworkFileError(f"{error} (before byte {self.file.tell()})") from None

    def spend(self, size: int) -> None:
        self.budget -= size
        if self.budget < 0:
            raise NetworkFileError(f"describes many more objects than a network has: {AGAIN}")

    # Parts of an instruction

    def take(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) != count:
            raise EOFError
        return data

    def whole(self, count: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(count), "little", signed=signed)

    def line(self) -> str:
        line = self.file.readline(200)
        if not line.endswith(b"\n"):
            raise EOFError
        return line[:-1].decode("latin1")

    def popped(self, count: int) -> list:
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def closed(self) -> list:
        """What lies above the last mark, which goes."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    # Instructions

    def push(self, value) -> None:
        self.stack.append(value)

    def payload(self, length: int, is_text: bool = False) -> None:
        self.spend(200)
        offset = self.file.tell()
        if length > self.end - offset:
            raise EOFError
        self.file.seek(offset + length)
        self.push(_Payload(self.file, offset, length, is_text))

    def text(self, length: int) -> None:
        if length > SHORT:
            return self.payload(length, is_text=True)
        try:
            text = self.take(length).decode("utf-8", "surrogatepass")  # as pickle does
        except UnicodeDecodeError:
            raise NetworkFileError(f"a text is not UTF-8: {AGAIN}") from None
        self.spend(sys.getsizeof(text))
        self.push(text)

    def find(self, module, name) -> None:
        self.spend(100)
        if type(module) is not str or type(name) is not str or (module, name) not in self.names:
            raise NetworkFileError(f"asks for {show(module)} {show(name)}, which no StyleGAN2 network needs: do not use this file")
        self.push(_Global(module, name))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def mark(self) -> None:
        if len(self.marks) == DEPTH:
            raise NetworkFileError(f"objects lie more than {DEPTH} deep in each other: {AGAIN}")
        self.marks.append(self.stack)
        self.stack = []

    def extend(self, items: list) -> None:
        if type(self.stack[-1]) is not list:
            raise NetworkFileError(f"appends to what is no list: {AGAIN}")
        self.stack[-1].extend(items)

    def set_items(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise NetworkFileError(f"sets items of what is no dict: {AGAIN}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str or key in target:
                raise NetworkFileError(f"a dict has the same key twice, or one that is no short text: {AGAIN}")
            target[key] = value

    def call(self) -> None:
        self.spend(1000)  # a record, and a copy of a short text at most
        at = self.file.tell()
        self.push(_call(*self.popped(2)))
        self.file.seek(at)  # a number of numpy's is read from elsewhere

    def build(self) -> None:
        state = self.stack.pop()
        _build(self.stack[-1], state)

    def persistent_id(self) -> None:
        if not self.persistent_ids:  # in a storage, the id itself is wanted: a tuple that describes the values
            raise NetworkFileError(f"has a persistent id: {AGAIN}")


INSTRUCTIONS = {
    op.NONE: lambda m: m.push(None), op.NEWTRUE: lambda m: m.push(True), op.NEWFALSE: lambda m: m.push(False),
    op.BININT: lambda m: m.push(m.whole(4, signed=True)), op.BININT1: lambda m: m.push(m.whole(1)),
    op.BININT2: lambda m: m.push(m.whole(2)), op.LONG1: lambda m: m.push(m.whole(m.whole(1), signed=True)),
    op.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    op.SHORT_BINUNICODE: lambda m: m.text(m.whole(1)), op.BINUNICODE: lambda m: m.text(m.whole(4)),
    op.BINUNICODE8: lambda m: m.text(m.whole(8)), op.SHORT_BINBYTES: lambda m: m.payload(m.whole(1)),
    op.BINBYTES: lambda m: m.payload(m.whole(4)), op.BINBYTES8: lambda m: m.payload(m.whole(8)),
    op.BYTEARRAY8: lambda m: m.payload(m.whole(8)),
    op.EMPTY_TUPLE: lambda m: m.push(()), op.TUPLE1: lambda m: m.push(tuple(m.popped(1))), op.TUPLE2: lambda m: m.push(tuple(m.popped(2))),
    op.TUPLE3: lambda m: m.push(tuple(m.popped(3))), op.MARK: lambda m: m.mark(), op.TUPLE: lambda m: m.push(tuple(m.closed())),
    op.EMPTY_LIST: lambda m: m.push([]), op.APPEND: lambda m: m.extend(m.popped(1)), op.APPENDS: lambda m: m.extend(m.closed()),
    op.EMPTY_SET: lambda m: m.push([]), op.ADDITEMS: lambda m: m.extend(m.closed()),
    op.EMPTY_DICT: lambda m: m.push({}), op.SETITEM: lambda m: m.set_items(m.popped(2)), op.SETITEMS: lambda m: m.set_items(m.closed()),
    op.MEMOIZE: lambda m: m.put(len(m.memo)), op.BINPUT: lambda m: m.put(m.whole(1)), op.LONG_BINPUT: lambda m: m.put(m.whole(4)),
    op.BINGET: lambda m: m.push(m.memo[m.whole(1)]), op.LONG_BINGET: lambda m: m.push(m.memo[m.whole(4)]),
    op.GLOBAL: lambda m: m.find(m.line(), m.line()), op.STACK_GLOBAL: lambda m: m.find(*m.popped(2)),
    op.REDUCE: lambda m: m.call(), op.NEWOBJ: lambda m: m.call(), op.BUILD: lambda m: m.build(),
    op.BINPERSID: lambda m: m.persistent_id(), op.FRAME: lambda m: m.take(8),  # a frame is for readers that fetch ahead
}
