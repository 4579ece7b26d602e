"""`bench eval`: scores a saved adapter."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds which adapter, and on what."""
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="folder of the saved adapter")
    parser.add_argument("--task", metavar="NAME", help="the task it was trained for (default: its record says)")
    parser.add_argument("--split", help="one split, as train or val (default: the test splits)")
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where official releases lie, or generated data is to be kept"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON, with all their digits")


def main(args: argparse.Namespace) -> int:
    """Prints the scores, beside those of the record.

    Raises:
        BenchError: afterwards, where they are not those of the record.
    """
    from tabulate import tabulate

    from bench.evaluate import evaluate  # heavy: brings torch
    from bench.sweep import RunOptions

    found = evaluate(args.adapter, RunOptions(args.data_root, args.device), args.task, args.split)
    if args.json:
        print(json.dumps(found.scores, indent=2), flush=True)
        found.check()
        return 0
    rows = [
        [split, metric, repr(value), repr(recorded[metric]) if metric in (recorded := found.recorded(split)) else ""]
        for split, scores in found.scores.items()
        for metric, value in scores.items()
    ]
    header = ["split", "metric", "score", "recorded"]
    print(f"{found.record.label}, suite {found.record.spec['suite']}\n")
    table = tabulate(
        rows, header, tablefmt="simple", disable_numparse=True, colalign=("left", "left", "right", "right")
    )
    print(table, flush=True)
    found.check()
    return 0
