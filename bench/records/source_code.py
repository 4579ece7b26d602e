"""Checksums of modules without their comments and docstrings, and of the modules that they import."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

DISTRIBUTION = "crossmodal-bench"
_OWN_PARTS = (("bench.methods",), ("bench.tasks", "bench.datasets"))
"""Within this package: the modules that count as code of a method, and those that count as code of a task."""

# `Environment.versions` records the versions of these; many classes have bases in them.
_LIBRARIES = frozenset(("torch", "transformers", "peft", "accelerate", "safetensors", "numpy"))


def is_followed(module: str) -> bool:
    """Return whether a module can count as code of a method or task: not the standard library, torch and the like."""
    top = _top(module)
    return top != "__main__" and top not in _LIBRARIES and top not in sys.stdlib_module_names


def modules(name: str) -> dict[str, str]:
    """Return the checksums of a module and of all that it imports, directly or not, by name.

    Imports are followed within the same distribution, and into modules of no distribution, such as files beside a
    script. Other distributions count by their version. Within this package, only methods are followed from a method,
    and only tasks and datasets from a task.

    Args:
        name: Name of the module.

    Returns:
        Checksums by name of module; empty if there is no source.
    """
    parts = next((parts for parts in _OWN_PARTS if _is_part_of(name, parts)), None)
    home = distribution(name)[0]
    checksums: dict[str, str] = {}
    queue = [name]
    while queue:
        module = queue.pop()
        if (
            module in checksums
            or not is_followed(module)
            or (_top(module) == "bench" and not _is_part_of(module, parts))
        ):
            continue
        owner, version = distribution(module)
        if owner not in (None, home):
            checksums[f"distribution {owner}"] = version or ""
        elif path := source_of(module):
            checksums[module], imported = _read(path, path.stat().st_mtime_ns, module)
            queue += imported
    return checksums


def distribution(module: str) -> tuple[str | None, str | None]:
    """Return the name and version of the installed distribution that contains a module; None for both without one."""
    top = _top(module)
    names = [DISTRIBUTION] if top == "bench" else _distributions().get(top)
    return (names[0], _version(names[0])) if names else (None, None)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_part_of(module: str, parts: Iterable[str] | None) -> bool:
    return any(module == part or module.startswith(part + ".") for part in parts or ())


@lru_cache(maxsize=1024)
def _version(name: str) -> str:
    return metadata.version(name)


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, list[str]]:
    """Return what `metadata.packages_distributions` does, in about a third of the time.

    That function makes a path object of each of the 30,000 files that are installed with torch and transformers.
    """
    result: dict[str, list[str]] = {}
    for installed in metadata.distributions():
        for package in _packages(installed):
            result.setdefault(package, []).append(installed.metadata["Name"])
    return result


def _packages(installed: metadata.Distribution) -> set[str]:
    """Return the names of the modules and packages of a distribution that are not within others."""
    if declared := (installed.read_text("top_level.txt") or "").split():
        return set(declared)
    record = installed.read_text("RECORD")
    if record is None:  # not installed from a wheel
        paths = [str(path) for path in installed.files or ()]
    else:  # lines such as torch/nn/__init__.py,sha256=...,123
        paths = [line.strip('"').partition(",")[0] for line in record.splitlines()]
    return {path.partition("/")[0].removesuffix(".py") for path in paths if path.endswith(".py")}


def source_of(module: str) -> Path | None:
    """Return the file of a module without importing the module or its parents; None if it has no source file."""
    parts = [part for parts in _OWN_PARTS for part in parts if _is_part_of(module, (part,))]
    package = parts[0] if parts else _top(module)
    origin, folders = _located(package, tuple(sys.path))
    inner = module.removeprefix(package).strip(".").replace(".", "/")
    if inner:
        places = [path for folder in folders for path in (folder / f"{inner}.py", folder / inner / "__init__.py")]
    else:
        places = [origin] if origin else []
    return next((path for path in places if path.suffix == ".py" and path.is_file()), None)


@lru_cache(maxsize=1024)
def _located(package: str, path: tuple[str, ...]) -> tuple[Path | None, tuple[Path, ...]]:
    """Return the file and the folders of a package, or of a module without one; `path` is sys.path, for the cache."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None, ()
    return Path(spec.origin) if spec.origin else None, tuple(map(Path, spec.submodule_search_locations or ()))


@lru_cache(maxsize=4096)
def _read(path: Path, changed: int, module: str) -> tuple[str, tuple[str, ...]]:
    """Return the checksum of a source file without its comments and docstrings, and the names that it imports.

    Args:
        path: The file.
        changed: Time of its last change, in nanoseconds; for the cache.
        module: Name of the module, which relative imports start from.
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
        del node.body[0]
        node.body = node.body or [ast.Pass()]
