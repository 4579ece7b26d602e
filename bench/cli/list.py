"""`bench list methods|tasks|suites|encoders|executors|peft`: list names, all but those of PEFT with a description."""

from __future__ import annotations

import argparse
from typing import cast

from bench import registry
from bench.cli.printing import print
from bench.config import suite
from bench.errors import UsageError, did_you_mean
from bench.streams.families import describe

_KINDS = ("methods", "tasks", "suites", "encoders", "executors", "peft")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of `bench list`."""
    parser.add_argument("kind", metavar="|".join(_KINDS), help="what to list")


def main(args: argparse.Namespace) -> int:
    """Print one line for each name."""
    if args.kind not in _KINDS:
        raise UsageError(f"cannot list {args.kind}: {did_you_mean(args.kind, _KINDS)}")
    if args.kind == "suites":
        about = {name: suite.suite_summary(name) for name in suite.suite_names()}
    elif args.kind == "encoders":
        about = {name: describe(name) for name in registry.names("encoders")}
    elif args.kind == "peft":
        from bench.methods.peft_types import config_classes  # imports torch

        about = {f"peft:{name}": "" for name in sorted(config_classes())}
    else:
        kind = cast(registry.Kind, args.kind)
        about = {name: registry.summary(kind, name) for name in registry.names(kind)}
    width = max(map(len, about), default=0)
    for name, line in about.items():
        print(f"{name:<{width}}  {line}".rstrip())
    return 0
