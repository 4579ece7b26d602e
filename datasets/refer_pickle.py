"""Reads the pickles of the RefCOCO family, `refs(*).p`, without running anything that they ask for.

A pickle is a program, and these come from the internet. The machine that reads them here knows only the instructions
that Python 2 and 3 write for lists, tuples, dicts with text as keys, text, numbers, None and booleans. Every other one
is refused by its name, and no instruction that is left can make or call anything else.

It builds on the Python form of the standard library's unpickler: the C form makes room for whatever length or place in
its memory a file names, and looks up extension codes without asking.
"""

from __future__ import annotations

import pickle
import pickletools
import reprlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

from bench.errors import DataError
from bench.files import MEBIBYTE, read_bytes

MAX_BYTES = 64 * MEBIBYTE  # bytes; one as large as the releases' has 40 million
MAX_MEMORY = 900_000_000  # bytes of memory that reading may take; one as large as the releases' takes a third
MAX_DEPTH = 16  # containers within containers; the releases' go 5 deep: list, ref, sentences, sentence, tokens

# What Python writes for plain data, and the three that name a class or function: those are read to tell which.
_KNOWN = (
    *("PROTO", "FRAME", "STOP", "MARK", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("GLOBAL", "STACK_GLOBAL", "INST"),
)

# Bytes of memory that an instruction takes at most, besides those of a text: the object, and its place on the stack, in
# a list, and while the whole is checked. A dict and a list are counted as they are once they hold something.
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
_BYTES_OF_TEXT = 5  # for each byte of the file: itself, and four of a text with a character beyond 16 bits


def load(path: Path) -> list[dict[str, Any]]:
    """Return the refs of a `refs(*).p` file, which Python 2 or 3 may have written.

    Args:
        path: the file.

    Returns:
        the refs in the order of the file. A byte string of Python 2 is read as UTF-8, or as Latin-1 where it is none.
        What is returned is a tree: it holds no container twice over to any size that matters, and never itself.

    Raises:
        DataError: the file is missing, broken or too large, or holds anything but plain data.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    try:
        file = BytesIO(content)
        refs = _PlainUnpickler(file).load_within(MAX_MEMORY - _BYTES_OF_TEXT * len(content))
        if file.read(1):
            raise pickle.UnpicklingError("something follows its end")
        _check_tree(refs, len(content))
    except EOFError:
        raise DataError(
            f"{path}: ends too early, at byte {len(content):,}: fetch it anew from the official release"
        ) from None
    except Exception as error:  # a broken file can make any instruction fail, each in its own way
        raise DataError(
            f"{path}: {str(error)[:200] or type(error).__name__}. A pickle of refs holds lists, dicts, text and "
            "numbers, and nothing else is read from it: fetch it anew from the official release"
        ) from error
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise DataError(f"{path}: expected a list of dicts, one a ref, found {reprlib.repr(refs)}")
    return refs


class _Instructions(dict[int, Callable[[Any], None]]):
    """What to do for each instruction; for one that is not known, to refuse it."""

    def __missing__(self, code: int) -> NoReturn:
        name = {ord(known.code): known.name for known in pickletools.opcodes}.get(code, f"0x{code:02x}")
        raise pickle.UnpicklingError(f"uses the pickle instruction {name}, which was not run")


class _PlainUnpickler(pickle._Unpickler):
    """The unpickler with only the instructions for plain data."""

    dispatch = _Instructions(
        {
            ord(known.code): pickle._Unpickler.dispatch[ord(known.code)]
            for known in pickletools.opcodes
            if known.name in _KNOWN
        }
    )
    costs = [_BYTES_OF_OTHERS] * 256
    for known in pickletools.opcodes:
        costs[ord(known.code)] = _BYTES.get(known.name, _BYTES_OF_OTHERS)
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

    def load_within(self, room: int) -> Any:
        """Return what the file holds, or refuse it once its instructions may have taken more memory than `room`.

        The loop of the standard library's `load`; frames, which only cut a file into pieces for reading, are passed
        over.

        Raises:
            EOFError: the file ends too early.
            UnpicklingError: it would take more memory, or has an instruction that is not known.
        """
        dispatch, costs, read = self.dispatch, self.costs, self.read
        try:
            while key := read(1):
                room -= costs[key[0]]
                if room < 0:
                    raise pickle.UnpicklingError("holds more values than there is memory for")
                dispatch[key[0]](self)
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            return stop.value
        raise EOFError

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuse: plain data needs no class and no function."""
        raise pickle.UnpicklingError(f"asks for {_shown(module)}.{_shown(name)}, which was not run")

    def _decode_string(self, value: bytes) -> str:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")

    def _load_frame(self) -> None:
        """Pass over a frame's length: frames only cut a file into pieces for reading, and this one is in memory."""
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
        """Put keys and values, which come by turns, into the dict on top of the stack.

        Only text may be a key: to hash tuples within tuples, Python recurses in C, and crashes where they are deep.
        """
        target = self.stack[-1]
        for place in range(0, len(items), 2):
            if type(items[place]) is not str:
                raise pickle.UnpicklingError("holds a dict with a key that is not text")
            target[items[place]] = items[place + 1]

    dispatch[pickle.FRAME[0]] = _load_frame
    dispatch[pickle.DICT[0]] = _load_dict
    dispatch[pickle.SETITEMS[0]] = _load_setitems
    dispatch[pickle.SETITEM[0]] = _load_setitem


def _shown(name: str) -> str:
    """Return a name as a terminal can show it."""
    return name[:80].encode("unicode_escape").decode("ascii")


def _check_tree(refs: object, most: int) -> None:
    """Refuse what cannot be walked in a time that the file's size bounds: cycles, and lists that double by reference.

    Each value takes up a byte or more of the file unless it is referred to again; so an honest file has, counted
    through every reference, at most as many values as bytes, but for the few containers that Python shares.

    Args:
        refs: what was read.
        most: how many values it may have, counted once for each reference.
    """
    level, count = [refs], 1
    for _ in range(MAX_DEPTH + 1):
        if any(type(value) is int and value.bit_length() > 64 for value in level):
            raise pickle.UnpicklingError("holds a number of more than 64 bits")
        containers = [value for value in level if isinstance(value, (list, tuple, dict))]
        if not containers:
            return
        count += sum(map(len, containers))
        if count > most:
            raise pickle.UnpicklingError("refers to the same lists over and over")
        level = [part for each in containers for part in (each.values() if isinstance(each, dict) else each)]
    raise pickle.UnpicklingError(f"nests lists or dicts more than {MAX_DEPTH} deep")
