"""What a run was made with besides its specification: the code of its method and task, and its encoders.

A run counts as finished only while these are as recorded. Code is compared as it reads without comments and docstrings,
and of this package without its version, so that a new version alone makes nothing stale.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from bench import registry
from bench.checksums import combined
from bench.plan import Spec
from bench.schema import Code, Provenance
from bench.streams.sources import encoder_checksum

DISTRIBUTION = "crossmodal-bench"
_PARTS = {"bench.methods": ("bench.methods",), "bench.tasks": ("bench.tasks", "bench.datasets")}
"""Within this package: whose modules are the code of a class that lies there."""

# Of these an environment has the versions; their classes are bases of many.
_LIBRARIES = frozenset(("torch", "transformers", "peft", "accelerate", "safetensors", "numpy"))

_PLAIN = (str, bytes, int, float, complex, type(None))
_NOT_CODE = ("__module__", "__doc__", "__firstlineno__", "__static_attributes__")  # of a class


def provenance_of(spec: Spec) -> Provenance:
    """Return today's code and encoders of a run.

    Raises:
        UsageError: the method or the task is not there, or an encoder is not.
        BenchError: its module cannot be imported.
    """
    task = registry.load("tasks", spec.task)
    return Provenance(
        method=code_of(registry.load("methods", spec.method)),
        task=code_of(task),
        encoders={name: encoder_checksum(source["model"]) for name, source in spec.streams.items()},
        scoring=max(1, len(getattr(task, "scoring_rules", ()))),
    )


def differences(recorded: Provenance | None, today: Provenance) -> list[str]:
    """Return what has changed since a run was recorded, in words, as far as the record says it.

    Records without any provenance are older than the second scoring rule of any task.
    """
    rule = ["the scoring rule of its task"] if today.scoring != scoring(recorded) else []
    if recorded is None:
        return rule
    pairs = (("method", recorded.method, today.method), ("task", recorded.task, today.task))
    changed = [f"the code of its {kind}" for kind, old, new in pairs if not _equal(old, new)]
    changed += [
        f"the encoder of {name}"
        for name, checksum in recorded.encoders.items()
        if today.encoders.get(name, checksum) != checksum
    ]
    return changed + rule


def scoring(recorded: Provenance | None) -> int:
    """Return the number of the scoring rule of a recorded run."""
    return recorded.scoring if recorded else 1


def _equal(old: Code, new: Code) -> bool:
    if old.checksum != new.checksum:
        return False
    same_place = (old.distribution, old.version) == (new.distribution, new.version)
    return same_place or old.distribution == new.distribution == DISTRIBUTION


def code_of(cls: type) -> Code:
    """Return where a method or task comes from, as it was when this was first asked: what is edited later did not run.

    Its code is that of the modules which hold the class and its bases, and of what they import of the same package. Of
    a class that was made in a script or a notebook it is what its functions compile to, and the functions and plain
    values of that script that they use.
    """
    if cls not in _CODE:
        _CODE[cls] = _code_of(cls)
    return _CODE[cls]


_CODE: WeakKeyDictionary[type, Code] = WeakKeyDictionary()


def _code_of(cls: type) -> Code:
    parts: dict[str, str] = {}
    for base in cls.__mro__:
        top = base.__module__.partition(".")[0]
        if top in _LIBRARIES or (top in sys.stdlib_module_names and top != "__main__"):
            continue
        if top != "__main__" and (modules := _modules(base.__module__)):
            parts |= modules
        else:
            parts[base.__qualname__] = _compiled_class(base)
    name, version = _distribution(cls)
    return Code(combined(parts.items()), name, version)


def _modules(name: str) -> dict[str, str]:
    """Return the checksums of a module's source and of what it imports of its package; nothing without a source."""
    top = name.partition(".")[0]
    within = next((parts for part, parts in _PARTS.items() if name.startswith(part)), (top,))
    checksums: dict[str, str] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        path = _source(module, within)
        if module in checksums or path is None:
            continue
        checksums[module], imported = _read(path, path.stat().st_mtime_ns, module)
        waiting += [each for each in imported if any(each == part or each.startswith(part + ".") for part in within)]
    return checksums


def _source(module: str, within: Sequence[str]) -> Path | None:
    """Return the file of a module of one of these packages, without importing it; None where it has none."""
    part = max((each for each in within if module == each or module.startswith(each + ".")), key=len, default=None)
    spec = find_spec(part) if part else None  # imports what is above a package, and the package itself is imported
    if spec is None:
        return None
    inner = module.removeprefix(part or "").strip(".").replace(".", "/")
    if not inner:
        places = [Path(spec.origin)] if spec.origin else []
    else:
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        places = [path for each in folders for path in (each / f"{inner}.py", each / inner / "__init__.py")]
    return next((path for path in places if path.suffix == ".py" and path.is_file()), None)


@lru_cache(maxsize=4096)
def _read(path: Path, changed: int, module: str) -> tuple[str, tuple[str, ...]]:
    """Return the checksum of a source without its comments and docstrings, and what it imports.

    Args:
        path: the file.
        changed: when; for the cache.
        module: its name, which relative imports start from.
    """
    tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imported: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = parents[: len(parents) - node.level + 1] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            imported |= dict.fromkeys([origin, *(f"{origin}.{alias.name}" for alias in node.names)])
        _drop_docstring(node)
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest(), tuple(imported)


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body[0] = ast.copy_location(ast.Pass(), first)


def _compiled_class(cls: type) -> str:
    """Return the checksum of a class of which there is no module to read, as in a notebook."""
    digest = hashlib.sha256()
    for part in _compiled(cls, cls.__module__, set()):
        digest.update(f"{part!r}\n".encode())
    return digest.hexdigest()


def _compiled(value: Any, script: str, seen: set[int]) -> Iterator[object]:
    """Yield what a function, a class or a plain value of a script is made of, and what they use of the script."""
    if isinstance(value, property):
        value = (value.fget, value.fset)
    elif isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if isinstance(value, _PLAIN):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _compiled(each, script, seen)
    elif isinstance(value, FunctionType | type) and id(value) not in seen:
        seen.add(id(value))
        yield value.__qualname__
        if value.__module__ != script:  # of a library
            return
        if isinstance(value, type):
            used = {name: each for name, each in vars(value).items() if name not in _NOT_CODE}
        else:
            yield from _compiled_code(value.__code__, value.__doc__)
            keywords = tuple((value.__kwdefaults__ or {}).items())
            yield from _compiled((value.__defaults__, keywords), script, seen)
            used = {n: value.__globals__[n] for n in _names(value.__code__) if n in value.__globals__}
        for name, each in sorted(used.items(), key=lambda item: item[0]):
            yield name
            yield from _compiled(each, script, seen)


def _compiled_code(code: CodeType, docstring: str | None) -> Iterator[object]:
    yield code.co_code, code.co_names, code.co_varnames
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _compiled_code(constant, None)
        elif constant != docstring:
            yield constant


def _names(code: CodeType) -> list[str]:
    """Return the names that code uses, also code within it: global ones and those of attributes."""
    inner = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return [*code.co_names, *inner]


def _distribution(cls: type) -> tuple[str | None, str | None]:
    """Return the name and the version of the installed distribution that holds a class."""
    for base in cls.__mro__:  # a class made of others, as of cola+<name>, is of the first that is not this package's
        top = base.__module__.partition(".")[0]
        if top in ("bench", "__main__", *_LIBRARIES) or top in sys.stdlib_module_names:
            continue
        if names := _distributions().get(top):
            return names[0], metadata.version(names[0])
        return None, None
    if any(base.__module__ == "__main__" for base in cls.__mro__):
        return None, None
    return DISTRIBUTION, metadata.version(DISTRIBUTION)


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
