"""Settings of methods that change nothing on the streams of a task: runs that differ in them compute the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench import registry
from bench.config.describe import assignments
from bench.config.plan import with_values
from bench.config.spec import Spec
from bench.methods.cola import CrossModal

_REASONS = {"paths": "these are all directions there are", "joint": "no stream reads two others there"}


def equal_runs(plan: Iterable[Spec]) -> Iterator[str]:
    """Yield a message for each method and task of a plan whose runs compute what other settings compute too.

    A run is identified by its settings, so it is done and recorded beside the run that it equals.
    """
    specs = {spec.id: spec for spec in plan}
    messages: dict[tuple[str, str, str], bool] = {}
    for spec in specs.values():
        if not issubclass(registry.load("methods", spec.method), CrossModal):
            continue
        if plain := _plain(spec.settings, [*spec.streams]):
            run = f"{spec.method} with {assignments({name: spec.settings[name] for name in plain})} on {spec.task}"
            key = run, assignments(plain), " and ".join(_REASONS[name] for name in plain)
            messages[key] = messages.get(key, False) or with_values(spec, plain).id in specs
    for (run, values, reason), both in messages.items():
        planned = "both are planned, and each is done" if both else "it is done as a run of its own"
        yield f"{run} computes the same as with {values}, since {reason}: {planned}"


def _plain(settings: Mapping[str, Any], streams: Sequence[str]) -> dict[str, Any]:
    """Return those settings of cross-modal paths that could have their defaults instead, with these."""
    directions = {(source, target) for source in streams for target in streams if source != target}
    named = {tuple(part.strip() for part in path.split(">")) for path in settings.get("paths", ())}
    plain: dict[str, Any] = {}
    if named == directions and not settings.get("streams"):
        plain["paths"] = []
    if settings.get("joint") and max(Counter(target for _, target in named or directions).values()) < 2:
        plain["joint"] = False
    return plain
