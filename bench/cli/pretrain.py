"""`bench pretrain`: pretrain an embedded encoder on generated media of one modality, without labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli.printing import print
from bench.cli.shared_arguments import check_target
from bench.config.quantities import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench pretrain`."""
    parser.add_argument("modality", choices=("vision", "audio", "text"), help="encoder to pretrain")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="output folder, for streams.MODALITY.model in a suite (default: MODALITY-encoder)",
    )
    parser.add_argument(
        "--steps", type=lambda text: whole(text, "--steps"), metavar="N", help="optimizer steps (default: the recipe's)"
    )


def main(args: argparse.Namespace) -> int:
    """Pretrain an encoder, which takes about ten minutes on two cores."""
    from dataclasses import replace

    from bench.pretraining.pretrain import RECIPES, pretrain

    recipe = RECIPES[args.modality]
    if args.steps is not None:
        recipe = replace(recipe, steps=args.steps)
    folder = args.out or Path(f"{args.modality}-encoder")
    check_target(folder, "--out")
    folder.mkdir(exist_ok=True)
    print(pretrain(recipe, folder))
    return 0
