"""`bench eval`: score a saved adapter."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import add_list
from bench.config.suite import parse_value
from bench.errors import Mistakes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench eval`."""
    parser.add_argument("adapter", type=Path, metavar="ADAPTER", help="folder of the saved adapter")
    parser.add_argument("--task", metavar="NAME", help="the task it was trained for (default: the task in its record)")
    parser.add_argument("--split", help="a single split, e.g. train or val (default: the test splits)")
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder of the official releases, of media to compose data from, or of generated data",
    )
    add_list(parser, "--set", "STREAM.model=DIR", "folder of an encoder that has moved since training")
    parser.add_argument(
        "--other-encoders", action="store_true", help="allow encoders other than those it was trained on"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="device to compute on (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the scores as JSON, unrounded")


def main(args: argparse.Namespace) -> int:
    """Print the scores beside those of the record.

    Raises:
        BenchError: The scores differ from those of the record; raised after they are printed.
    """
    from bench.config.run_options import RunOptions
    from bench.report.formatting import number
    from bench.report.text_table import text_table
    from bench.saved_adapters.opening import open_adapter

    encoders = _encoders(args.set)
    open_adapter(args.adapter, encoders, other_encoders=args.other_encoders)  # mistakes show before torch is imported
    from bench.saved_adapters.evaluate import evaluate

    options = RunOptions(args.data_root, args.device)
    evaluation = evaluate(args.adapter, options, args.task, args.split, encoders, other_encoders=args.other_encoders)
    if args.json:
        print(json.dumps(evaluation.scores, indent=2), flush=True)
        evaluation.check()
        return 0
    rows = [
        [
            split,
            metric,
            number(value, ".2f"),
            number(evaluation.recorded(split).get(metric), ".2f"),
        ]
        for split, scores in evaluation.scores.items()
        for metric, value in scores.items()
    ]
    header = ["split", "metric", "score", "recorded"]
    print(f"{evaluation.record.label}, suite {evaluation.record.spec.suite}\n")
    print(text_table(header, rows, "llr"), flush=True)
    evaluation.check()
    return 0


def _encoders(changes: Sequence[str]) -> dict[str, str]:
    """Return the folders of encoders, by stream.

    Raises:
        UsageError: A change is not of an encoder's folder.
    """
    mistakes = Mistakes()
    encoders = {}
    for change in changes:
        key, equals, text = change.partition("=")
        stream, _, name = key.strip().rpartition(".")
        if stream and name == "model" and equals and text.strip():
            encoders[stream] = str(parse_value(text.strip()))
        else:
            mistakes.add(
                f"--set {change}: an adapter is scored as it was trained, and only an encoder's folder can be set: "
                "--set STREAM.model=DIR"
            )
    mistakes.raise_if_any()
    return encoders
