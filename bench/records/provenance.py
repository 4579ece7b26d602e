"""What a run was made with besides its specification: the code of its method and task, and its encoders.

A run counts as finished only while these are as recorded. Code is compared as it reads without comments and docstrings,
and of this package without its version, so that a new version alone makes nothing stale.
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

    Its code is that of the modules which hold the class and its bases, and of what they import: modules of the same
    distribution, and loose ones; of other distributions the version counts. Of a class that was made in a script or a
    notebook it is what its functions compile to, with the functions, values and modules that they use.
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
    # A class made of others, as of cola+<name>, is of the first distribution that is not this one.
    names = [base.__module__ for base in bases if not base.__module__.startswith("bench.")]
    name, version = distribution(names[0] if names else "bench")
    return Code(combined(parts.items()), name, version)
