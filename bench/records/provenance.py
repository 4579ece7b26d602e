"""Provenance of a run: the code of its method and task, and its encoders, which the specification does not cover.

A run counts as finished only while these are the same as recorded. Code is compared without comments and docstrings.
The version of this package is not compared, so that a new version alone does not invalidate records.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from bench import registry
from bench.config.spec import Spec
from bench.records.compiled_code import compiled_class, edited_since
from bench.records.schema import Code, Provenance
from bench.records.source_code import DISTRIBUTION, distribution, is_followed, modules
from bench.streams.sources import encoder_checksum
from bench.system.checksums import combined


def provenance_of(spec: Spec) -> Provenance:
    """Return the current code and encoders of a run.

    Raises:
        UsageError: The method, the task or an encoder does not exist.
        BenchError: The module of the method or the task cannot be imported.
    """
    task = registry.load("tasks", spec.task)
    return Provenance(
        method=code_of(registry.load("methods", spec.method)),
        task=code_of(task),
        encoders={name: encoder_checksum(source["model"]) for name, source in spec.streams.items()},
        scoring=max(1, len(getattr(task, "scoring_rules", ()))),
    )


def differences(recorded: Provenance | None, today: Provenance) -> list[str]:
    """Return what has changed since a run was recorded, for messages, e.g. "the code of its method".

    Args:
        recorded: Provenance of the record. Without one, only the scoring rule is compared: such records are older than
            the second scoring rule of any task.
        today: The current provenance.
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
    """Return the version of the scoring rule that a recorded run used, from 1."""
    return recorded.scoring if recorded else 1


def _equal(old: Code, new: Code) -> bool:
    if old.checksum != new.checksum:
        return False
    same_place = (old.distribution, old.version) == (new.distribution, new.version)
    return same_place or old.distribution == new.distribution == DISTRIBUTION


def code_of(cls: type) -> Code:
    """Return the code of a method or task.

    It is computed once per process, since later edits do not affect the code that runs. It covers the modules that
    define the class and its bases, and the modules of the same distribution, or of none, that these import. Other
    distributions count by their version. A class defined in a script or a notebook counts by its compiled functions,
    and by the functions, values and modules that they use.
    """
    if cls not in _CODE:
        _CODE[cls] = _code_of(cls)
    return _CODE[cls]


_CODE: WeakKeyDictionary[type, Code] = WeakKeyDictionary()


def _code_of(cls: type) -> Code:
    parts: dict[str, str] = {}
    bases = [base for base in cls.__mro__ if base.__module__ == "__main__" or is_followed(base.__module__)]
    for base in bases:
        sources = {} if base.__module__ == "__main__" else modules(base.__module__)
        if sources and not edited_since(sources):
            parts |= sources
            continue
        parts[base.__qualname__], used = compiled_class(base)
        for module in used:
            parts |= modules(module)
    # A class composed of others, such as cola+<name>, belongs to the first distribution that is not this one.
    names = [base.__module__ for base in bases if not base.__module__.startswith("bench.")]
    name, version = distribution(names[0] if names else "bench")
    return Code(combined(parts.items()), name, version)
