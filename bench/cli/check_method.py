"""`bench check-method`: check what every method must satisfy, on tiny models."""

from __future__ import annotations

import argparse

from bench.cli.printing import print
from bench.cli.shared_arguments import add_list
from bench.config import validate
from bench.config.suite import parse_value
from bench.errors import Mistakes, shortened
from bench.report.text_table import text_table
from bench.text import escape


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench check-method`."""
    parser.add_argument("method", metavar="NAME", help="an installed method; see `bench list methods`")
    add_list(parser, "--set", "SETTING=VALUE", "settings that differ from the method's defaults, e.g. r=3")


def main(args: argparse.Namespace) -> int:
    """Print a table of what holds; return 1 if anything does not."""
    from bench import registry

    cls = registry.load("methods", args.method)
    mistakes, settings = Mistakes(), {}
    for override in args.set or ():
        key, equals, text = override.partition("=")
        if not equals:
            mistakes.add(f"--set {shortened(override)}: write <setting>=<value>")
            continue
        settings[key.strip().removeprefix(f"{args.method}.")] = parse_value(text.strip())
    mistakes.raise_if_any()
    validate.build(cls, settings, args.method)
    from bench.conformance.subject import Subject  # imports torch
    from bench.conformance.suite import run_checks

    outcomes = list(run_checks(Subject(args.method, settings)))
    print(text_table(("check", "result", "what holds"), [(o.check, o.result, o.claim) for o in outcomes], "l"))
    for outcome in outcomes:
        if outcome.reason:
            print(f"{outcome.check} {outcome.result}: {escape.line(outcome.reason)}")
    failed = sum(outcome.result == "fails" for outcome in outcomes)
    print(f"{args.method}: {failed or 'none'} of {len(outcomes)} checks fail{'s' * (failed == 1)}")
    return int(failed > 0)
