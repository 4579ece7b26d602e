"""Checksums of compiled code: for classes without a source file, as in a notebook, and to detect edited files."""

from __future__ import annotations

import dis
import hashlib
import inspect
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib.machinery import SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

from bench.records.source_code import source_of

_log = logging.getLogger(__name__)

_PLAIN = (str, bytes, int, float, complex, type(None), type(Ellipsis))
_NOT_CODE = ("__module__", "__doc__", "__firstlineno__", "__static_attributes__", "__dict__", "__weakref__")


def compiled_class(cls: type) -> tuple[str, set[str]]:
    """Return the checksum of a class, including the functions, classes and values of its script that it uses.

    Docstrings and comments do not count. Of values, only numbers, texts and containers of these count.

    Returns:
        The checksum, and the names of the modules used besides the script.
    """
    walk = _Walk(cls.__module__)
    digest = hashlib.sha256()
    for part in walk.parts(cls):
        digest.update(f"{part}\n".encode())
    return digest.hexdigest(), walk.modules


class _Walk:
    """A walk through all that a class of a script consists of, visiting each object once.

    Attributes:
        modules: Names of the other modules met so far.
    """

    def __init__(self, script: str) -> None:
        self.modules: set[str] = set()
        self._script = script
        self._visited: set[int] = set()

    def parts(self, value: Any) -> Iterator[str]:
        """Yield the content of a value as texts that are the same in every process."""
        if isinstance(value, _PLAIN):
            yield repr(value)
            return
        if isinstance(value, ModuleType):
            self.modules.add(value.__name__)
            yield value.__name__
            return
        if id(value) in self._visited:
            return
        if isinstance(value, CodeType):
            yield from self._code(value, {})
        elif isinstance(value, set | frozenset):
            yield from sorted("|".join(self.parts(item)) for item in value)
        elif isinstance(value, tuple | list):
            # A list can contain itself. A tuple may be temporary, and its id be reused for another value.
            if isinstance(value, list):
                self._visited.add(id(value))
            for item in value:
                yield from self.parts(item)
        elif isinstance(value, partial):
            yield from self.parts((value.func, value.args, value.keywords))
        elif isinstance(value, Mapping):
            self._visited.add(id(value))
            yield from sorted("|".join((*self.parts(key), *self.parts(item))) for key, item in value.items())
        elif isinstance(value, property):
            yield from self.parts((value.fget, value.fset, value.fdel))
        elif inner := getattr(value, "__wrapped__", getattr(value, "__func__", None)):  # decorated, class and static
            yield from self.parts(inner)
        elif isinstance(value, FunctionType | type):
            self._visited.add(id(value))
            yield value.__qualname__
            if value.__module__ != self._script:
                self.modules.add(value.__module__)
            elif isinstance(value, type):
                for name, item in sorted(vars(value).items()):
                    if name not in _NOT_CODE:
                        yield name
                        yield from self.parts(item)
            else:
                yield from self._code(value.__code__, value.__globals__, value.__doc__)
                cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
                yield from self.parts((value.__defaults__, value.__kwdefaults__, tuple(cells)))

    def _code(self, code: CodeType, scope: Mapping[str, Any], docstring: str | None = None) -> Iterator[str]:
        """Yield the instructions of code, with the constants, global values and modules that they name."""
        for instruction in dis.get_instructions(code):
            name, argument = instruction.opname, instruction.argval
            yield name
            if name == "IMPORT_NAME":
                self.modules.add(argument)
            if name == "LOAD_CONST" and argument == docstring and docstring is not None:
                continue
            yield from self._code(argument, scope) if isinstance(argument, CodeType) else self.parts(argument)
            if name in ("LOAD_GLOBAL", "LOAD_NAME") and argument in scope:
                yield from self.parts(scope[argument])


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


def edited_since(names: Iterable[str]) -> bool:
    """Return whether one of these modules was edited after its import, and warn: the code that runs is an older one.

    Its functions are compared with the compiled content of its file. This package's own modules are left out.

    Args:
        names: Names of modules.
    """
    for name in names:
        if name.startswith("bench."):
            continue
        module, path = sys.modules.get(name), source_of(name)
        # Other loaders may compile changed code, as pytest's does for tests.
        if path is None or type(getattr(module, "__loader__", None)) is not SourceFileLoader:
            continue
        try:
            written = _functions(compile(path.read_bytes(), str(path), "exec", dont_inherit=True))
        except (OSError, ValueError, SyntaxError):
            written = {}
        for function in _functions_of(vars(module), name):
            codes = written.get(function.__qualname__, [])
            if codes and not any(_equal(item, function.__code__) for item in codes):
                _log.warning("%s was edited after it was imported: the code from before the edit runs", path)
                return True
    return False


def _functions(code: CodeType, prefix: str = "") -> dict[str, list[CodeType]]:
    """Return the compiled functions of a module or class, by qualified name.

    Several may share one name, such as a property's getter and setter.
    """
    functions: dict[str, list[CodeType]] = {}
    for item in code.co_consts:
        if isinstance(item, CodeType):
            name = f"{prefix}{item.co_name}"
            functions.setdefault(name, []).append(item)
            if not item.co_flags & inspect.CO_OPTIMIZED:  # the body of a class
                for inner, codes in _functions(item, f"{name}.").items():
                    functions.setdefault(inner, []).extend(codes)
    return functions


def _functions_of(scope: Mapping[str, Any], module: str) -> Iterator[FunctionType]:
    """Yield the functions that a module defines, including those of its classes."""
    for value in scope.values():
        if isinstance(value, type) and value.__module__ == module:
            yield from _functions_of(vars(value), module)
            continue
        plain = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))
        if isinstance(plain, FunctionType) and plain.__module__ == module:
            yield plain


def _equal(a: CodeType, b: CodeType) -> bool:
    """Return whether two functions compile to the same code, regardless of their position in a file."""
    if (a.co_code, a.co_names, len(a.co_consts)) != (b.co_code, b.co_names, len(b.co_consts)):
        return False
    pairs = zip(a.co_consts, b.co_consts, strict=True)
    return all(
        _equal(item_a, item_b) if isinstance(item_a, CodeType) and isinstance(item_b, CodeType) else item_a == item_b
        for item_a, item_b in pairs
    )
