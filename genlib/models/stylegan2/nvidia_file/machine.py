"""A stack machine that interprets a pickle without importing or calling anything.

A pickle is a program whose instructions may import any module and call any function, so Python's unpickler is
not used here. `Machine` knows the instructions that network files have. A global remains a name (`Global`).
What a call or a change to an object stands for is decided by the reader of a file, and for most names it is
an `Inert`. Long texts and bytes stay in the file, as a `Payload`, until they are wanted. A budget limits
everything else that the machine makes.
"""
import codecs
import io
import pickle as op  # only for the names of the instructions
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

AGAIN = "the file is damaged or not one of NVIDIA's: download it again"
SHORT = 1024  # bytes; longer texts stay in the file
BUDGET = 32 * 2**20  # bytes that the machine may make, roughly: six times what the largest network needs
DEPTH = 200  # how deep objects may be nested; in networks, about 20
CHUNK = 2**20  # bytes read at a time


class NetworkFileError(ValueError):
    """The file is refused. The message says what is wrong, where, and what to do."""


def check(condition: bool, message: str) -> None:
    """Raises NetworkFileError with the message unless the condition holds."""
    if not condition:
        raise NetworkFileError(message)


def show(value) -> str:
    """A value for a message: short, and without following whatever a file has nested."""
    plain, items = (str, int, float, bool, type(None)), value if type(value) in (list, tuple) else [value]
    if value == {} or len(items) <= 8 and all(type(item) in plain for item in items):
        return repr(value)[:200]
    if type(value) is Inert:
        return f"what {value.name[:200]!r} would make"
    if type(value) is Global:
        return repr(f"{value.module}.{value.name}"[:200])
    kind = type(value).__name__.lower()
    return {"payload": "a long text or bytes", "array": "an array"}.get(kind, f"a {kind}")


@dataclass(slots=True, eq=False)
class Global:
    """The name of a function or class."""
    module: str
    name: str


@dataclass(slots=True, eq=False)
class Inert:
    """In place of what a call would have made: an object that no StyleGAN2 generator has. It stays empty."""
    name: str  # the module and name of what would have been called


def inert(function) -> Inert:
    """What a call stands for where nothing is known of its function."""
    check(type(function) in (Global, Inert), f"calls {show(function)}, which is no function: {AGAIN}")
    return function if type(function) is Inert else Inert(f"{function.module}.{function.name}")


@dataclass(slots=True, eq=False)
class Payload:
    """Bytes or text that stay in the file."""
    file: io.BufferedIOBase
    offset: int
    length: int
    is_text: bool  # protocol 2 writes bytes as text: a character, of one or two bytes in the file, for each

    def chunks(self) -> Iterator[bytes]:
        """The bytes, about a MiB at a time."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, self.length, CHUNK):
            self.file.seek(self.offset + start)
            chunk = self.file.read(min(CHUNK, self.length - start))
            try:
                yield decoder.decode(chunk, start + CHUNK >= self.length).encode("latin1") if self.is_text else chunk
            except UnicodeError:
                raise NetworkFileError(f"the text at byte {self.offset} does not stand for bytes: {AGAIN}") from None

    def floats(self, count: int, chunks: Iterator[bytes], dtype=torch.float32) -> torch.Tensor:
        """float32 [count] from chunks of `dtype`. Raises NetworkFileError for fewer or more values."""
        if dtype.itemsize * count <= self.length:  # so that no memory is taken for values that the file does not hold
            values, filled = torch.empty(count, dtype=dtype), 0
            memory = values.view(torch.uint8).numpy()  # little-endian, like the file and every machine that torch runs on
            for chunk in chunks:
                if filled + len(chunk) > len(memory):
                    break
                memory[filled:filled + len(chunk)] = memoryview(chunk)
                filled += len(chunk)
            else:
                if filled == len(memory):
                    return values.float()
        raise NetworkFileError(f"the data at byte {self.offset} are not {count} values of {dtype}: {AGAIN}")


def refuse(*_) -> None:
    """The `call` and `build` for a pickle that may neither call nor change anything."""
    raise NetworkFileError(f"calls a function or changes an object: {AGAIN}")


class Machine:
    """Interprets one pickle of protocol 2 to 5, from the file's current position."""

    def __init__(self, file, call: Callable = refuse, build: Callable = refuse, persistent_ids: bool = False):
        """call: `call(function, args)` returns what a call stands for; args is a tuple.
        build: `build(target, state)` completes an object.
        persistent_ids: whether it may have them, as torch's storages do; the id then is the object.
        """
        self.file, self.call, self.build, self.persistent_ids = file, call, build, persistent_ids
        start = file.tell()
        self.end = file.seek(0, io.SEEK_END)
        file.seek(start)
        self.stack, self.marks, self.memo, self.budget = [], [], {}, BUDGET  # a mark sets the stack aside and starts a new one

    def run(self):
        """The object that the pickle describes."""
        try:
            check(self.take(1) == op.PROTO and self.take(1) in (b"\2", b"\3", b"\4", b"\5"), f"is no pickle of protocol 2 to 5: {AGAIN}")
            while (instruction := self.take(1)) != op.STOP:
                self.spend(100)  # more than most instructions leave behind
                if instruction not in INSTRUCTIONS:
                    raise NetworkFileError(f"instruction {instruction!r} does not occur in network files: {AGAIN}")
                INSTRUCTIONS[instruction](self)
            check(not self.marks and len(self.stack) == 1, f"stops before its end: {AGAIN}")
            return self.stack[0]
        except (IndexError, KeyError):  # an empty stack, no mark, or no such object in the memo
            raise NetworkFileError(f"uses an object that is not there, before byte {self.file.tell()}: {AGAIN}") from None
        except EOFError:
            raise NetworkFileError(f"is cut off at byte {self.file.tell()}: {AGAIN}") from None
        except NetworkFileError as error:
            raise NetworkFileError(f"{error} (before byte {self.file.tell()})") from None

    def spend(self, size: int) -> None:
        self.budget -= size
        if self.budget < 0:
            raise NetworkFileError(f"describes more objects than fit into {BUDGET / 2**20:.0f} MiB, six times what the largest network "
                                   f"needs: {AGAIN}")

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
        """What lies above the last mark, which is removed."""
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
        self.push(Payload(self.file, offset, length, is_text))

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
        check(type(module) is str and type(name) is str, f"names a function by what is no short text: {AGAIN}")
        self.push(Global(module, name))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def mark(self) -> None:
        check(len(self.marks) < DEPTH, f"objects lie more than {DEPTH} deep in each other: {AGAIN}")
        self.marks.append(self.stack)
        self.stack = []

    def extend(self, items: list) -> None:
        if type(target := self.stack[-1]) is not Inert:
            check(type(target) is list, f"appends to what is no list: {AGAIN}")
            target.extend(items)

    def set_items(self, items: list) -> None:
        if type(target := self.stack[-1]) is Inert:
            return
        check(type(target) is dict and len(items) % 2 == 0, f"sets items of what is no dict: {AGAIN}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is str:  # generators have no other keys, and hashing what a file has nested may take any time
                check(key not in target, f"a dict has the key {show(key)} twice: {AGAIN}")
                target[key] = value

    def reduce(self) -> None:
        self.spend(1000)  # at most a record and a copy of a short text
        at = self.file.tell()
        function, args = self.popped(2)
        check(type(args) is tuple, f"calls a function with what is no tuple: {AGAIN}")
        self.push(self.call(function, args))
        self.file.seek(at)  # numpy's numbers are read from elsewhere in the file

    def new_with_keywords(self) -> None:
        self.spend(1000)
        function, _, _ = self.popped(3)  # nothing in a generator is made so
        self.push(inert(function))

    def change(self) -> None:
        state = self.stack.pop()
        self.build(self.stack[-1], state)

    def persistent_id(self) -> None:
        # Where it is allowed, the id stays on the stack: a tuple that describes the values.
        check(self.persistent_ids, f"has a persistent id: {AGAIN}")


INSTRUCTIONS = {
    op.NONE: lambda m: m.push(None), op.NEWTRUE: lambda m: m.push(True), op.NEWFALSE: lambda m: m.push(False),
    op.BININT: lambda m: m.push(m.whole(4, signed=True)), op.BININT1: lambda m: m.push(m.whole(1)),
    op.BININT2: lambda m: m.push(m.whole(2)), op.LONG1: lambda m: m.push(m.whole(m.whole(1), signed=True)),
    op.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    op.SHORT_BINUNICODE: lambda m: m.text(m.whole(1)), op.BINUNICODE: lambda m: m.text(m.whole(4)),
    op.BINUNICODE8: lambda m: m.text(m.whole(8)), op.SHORT_BINBYTES: lambda m: m.payload(m.whole(1)),
    op.BINBYTES: lambda m: m.payload(m.whole(4)), op.BINBYTES8: lambda m: m.payload(m.whole(8)),
    op.BYTEARRAY8: lambda m: m.payload(m.whole(8)), op.LONG4: lambda m: m.payload(m.whole(4)),  # too long for any setting
    op.EMPTY_TUPLE: lambda m: m.push(()), op.TUPLE1: lambda m: m.push(tuple(m.popped(1))), op.TUPLE2: lambda m: m.push(tuple(m.popped(2))),
    op.TUPLE3: lambda m: m.push(tuple(m.popped(3))), op.MARK: Machine.mark, op.TUPLE: lambda m: m.push(tuple(m.closed())),
    op.EMPTY_LIST: lambda m: m.push([]), op.APPEND: lambda m: m.extend(m.popped(1)), op.APPENDS: lambda m: m.extend(m.closed()),
    op.EMPTY_SET: lambda m: m.push([]), op.ADDITEMS: lambda m: m.extend(m.closed()), op.FROZENSET: lambda m: m.push(m.closed()),
    op.POP: lambda m: m.stack.pop(), op.POP_MARK: Machine.closed,  # after an object that is a part of its own arguments
    op.EMPTY_DICT: lambda m: m.push({}), op.SETITEM: lambda m: m.set_items(m.popped(2)), op.SETITEMS: lambda m: m.set_items(m.closed()),
    op.MEMOIZE: lambda m: m.put(len(m.memo)), op.BINPUT: lambda m: m.put(m.whole(1)), op.LONG_BINPUT: lambda m: m.put(m.whole(4)),
    op.BINGET: lambda m: m.push(m.memo[m.whole(1)]), op.LONG_BINGET: lambda m: m.push(m.memo[m.whole(4)]),
    op.GLOBAL: lambda m: m.find(m.line(), m.line()), op.STACK_GLOBAL: lambda m: m.find(*m.popped(2)),
    op.REDUCE: Machine.reduce, op.NEWOBJ: Machine.reduce, op.NEWOBJ_EX: Machine.new_with_keywords, op.BUILD: Machine.change,
    op.BINPERSID: Machine.persistent_id, op.FRAME: lambda m: m.take(8),  # frames only help readers that fetch ahead
}
