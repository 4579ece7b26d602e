"""Reads the pickles of the RefCOCO family, `refs(*).p`, without executing code that they contain.

A pickle is a program, and these come from the internet. The unpickler here accepts only the instructions that Python 2
and 3 write for lists, tuples, dicts with text keys, text, numbers, None and booleans. It refuses every other
instruction by name, and the accepted ones cannot create or call anything else.

It builds on the Python version of the standard library's unpickler: the C version allocates whatever length or memo
index a file claims, and looks up extension codes without asking.
"""

from __future__ import annotations

import pickle
import pickletools
import reprlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

from bench.datasets.layout import unreadable
from bench.errors import DataError
from bench.files import MEBIBYTE, read_bytes

MAX_BYTES = 64 * MEBIBYTE  # the largest file of the releases has 40 million
MAX_MEMORY = 900_000_000  # bytes that reading may take; the largest file of the releases takes a third
MAX_DEPTH = 16  # of nested containers; the releases have 5: list, ref, sentences, sentence, tokens

# The instructions for plain data, and the three that name a class or function, which are read to report the name.
_ACCEPTED = (
    *("PROTO", "FRAME", "STOP", "MARK", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("GLOBAL", "STACK_GLOBAL", "INST"),
)

# The most bytes of memory that an instruction takes, not counting text: the object, and references to it on the stack,
# in a list and during the final check. Dicts and lists are counted with the size that they have when not empty.
_BYTES = {
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), 100),
    **dict.fromkeys(("EMPTY_DICT", "DICT"), 260),
    **dict.fromkeys(("EMPTY_LIST", "LIST"), 120),
    **dict.fromkeys(("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "MARK"), 100),
    **dict.fromkeys(("SETITEM", "SETITEMS"), 60),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"), 100),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"), 60),
}
_BYTES_OF_OTHERS = 24
_BYTES_OF_TEXT = 5  # per byte of the file: the byte, and four in a text with a character beyond 16 bits


def load(path: Path) -> list[dict[str, Any]]:
    """Return the refs of a `refs(*).p` file written by Python 2 or 3.

    Args:
        path: The file.

    Returns:
        The refs in the order of the file. A byte string of Python 2 is decoded as UTF-8, or as Latin-1 if it is not
        valid UTF-8. The data is a tree: no container contains itself, and shared containers do not multiply its size.

    Raises:
        DataError: The file is missing, broken or too large, or contains anything but plain data.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise unreadable(path, "a pickle", error) from error
    try:
        file = BytesIO(content)
        refs = _PlainUnpickler(file).load_within(MAX_MEMORY - _BYTES_OF_TEXT * len(content))
        if file.read(1):
            raise pickle.UnpicklingError("has data after its end")
        _check_tree(refs, len(content))
    except EOFError:
        raise DataError(
            f"{path}: ends too early, at byte {len(content):,}: download it again from the official release"
        ) from None
    except Exception as error:  # a broken file can make any instruction fail, each in its own way
        raise DataError(
            f"{path}: {str(error)[:200] or type(error).__name__}. Only lists, dicts, text and numbers are read from a "
            "pickle of refs: download it again from the official release"
        ) from error
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise DataError(f"{path}: expected a list of dicts, one per ref, found {reprlib.repr(refs)}")
    return refs


class _Instructions(dict[int, Callable[[Any], None]]):
    """The handlers of the accepted instructions; any other instruction is refused."""

    def __missing__(self, code: int) -> NoReturn:
        name = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}.get(code, f"0x{code:02x}")
        raise pickle.UnpicklingError(f"uses the pickle instruction {name}, which was not run")


class _PlainUnpickler(pickle._Unpickler):
    """An unpickler that accepts only the instructions for plain data."""

    dispatch = _Instructions(
        {
            ord(opcode.code): pickle._Unpickler.dispatch[ord(opcode.code)]
            for opcode in pickletools.opcodes
            if opcode.name in _ACCEPTED
        }
    )
    costs = [_BYTES_OF_OTHERS] * 256
    for opcode in pickletools.opcodes:
        costs[ord(opcode.code)] = _BYTES.get(opcode.name, _BYTES_OF_OTHERS)
    stack: list[Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file)
        self.read, self.readline = file.read, file.readline
        self.metastack: list[list[Any]] = []
        self.stack = []
        self.append = self.stack.append
        self.proto = 0

    def load_within(self, budget: int) -> Any:
        """Return the file's content, as the standard library's `load` does, within a budget of memory.

        Frames, which only divide a file into pieces for reading, are skipped.

        Args:
            budget: Bytes of memory that the instructions may take.

        Raises:
            EOFError: The file ends too early.
            UnpicklingError: It would take more memory, or has an instruction that is not accepted.
        """
        dispatch, costs, read = self.dispatch, self.costs, self.read
        try:
            while key := read(1):
                budget -= costs[key[0]]
                if budget < 0:
                    raise pickle.UnpicklingError("has more values than fit in the memory allowed")
                dispatch[key[0]](self)
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            return stop.value
        raise EOFError

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse every class and function: plain data needs none."""
        raise pickle.UnpicklingError(f"refers to {_printable(module)}.{_printable(name)}, which was not run")

    def _decode_string(self, value: bytes) -> str:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")

    def _load_frame(self) -> None:
        """Skip a frame's length: frames divide a file into pieces for reading, and this file is in memory already."""
        self.read(8)

    def _load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._store(items)

    def _load_setitems(self) -> None:
        self._store(self.pop_mark())

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._store((key, value))

    def _store(self, items: Sequence[Any]) -> None:
        """Put alternating keys and values into the dict on top of the stack.

        Only text may be a key: hashing deeply nested tuples recurses in C and would crash Python.
        """
        target = self.stack[-1]
        for index in range(0, len(items), 2):
            if type(items[index]) is not str:
                raise pickle.UnpicklingError("has a dict with a key that is not text")
            target[items[index]] = items[index + 1]

    dispatch[pickle.FRAME[0]] = _load_frame
    dispatch[pickle.DICT[0]] = _load_dict
    dispatch[pickle.SETITEMS[0]] = _load_setitems
    dispatch[pickle.SETITEM[0]] = _load_setitem


def _printable(name: str) -> str:
    """Return a name, cut and escaped for a terminal."""
    return name[:80].encode("unicode_escape").decode("ascii")


def _check_tree(refs: object, max_values: int) -> None:
    """Refuse data that cannot be traversed in time proportional to the file's size.

    That excludes cycles, and lists that grow exponentially by references to shared lists. Every value takes at least
    one byte of the file unless it is referenced again. So an honest file has, counting each reference, at most as many
    values as bytes, apart from the few containers that Python shares.

    Args:
        refs: The data.
        max_values: The largest allowed number of values, counting each reference.
    """
    level, count = [refs], 1
    for _ in range(MAX_DEPTH + 1):
        if any(type(value) is int and value.bit_length() > 64 for value in level):
            raise pickle.UnpicklingError("has a number of more than 64 bits")
        containers = [value for value in level if isinstance(value, (list, tuple, dict))]
        if not containers:
            return
        count += sum(map(len, containers))
        if count > max_values:
            raise pickle.UnpicklingError("refers to the same lists over and over")
        parts = (container.values() if isinstance(container, dict) else container for container in containers)
        level = [value for values in parts for value in values]
    raise pickle.UnpicklingError(f"nests lists or dicts more than {MAX_DEPTH} deep")
