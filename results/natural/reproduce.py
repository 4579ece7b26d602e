"""Do the runs of results/natural: `.venv/bin/python results/natural/reproduce.py --media DIR --encoders DIR`.

It is to be called from the checkout's root. Finished runs are skipped, so the same command continues after an
interruption. Further arguments are those of `bench run`: `--stage main` does one stage, `--dry-run` shows the runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cli import main
from bench.config.suite import read_toml
from bench.datasets.natural.media import located
from bench.errors import UsageError

FOLDER = Path(os.path.relpath(Path(__file__).parent))  # relative, since records name the folders of their encoders
EXPERIMENT = FOLDER / "experiment.toml"
ENCODERS = FOLDER / "encoders"
DOCUMENT = "docs/how-to/natural.md"


def missing(media: Path | None, encoders: Path | None) -> list[str]:
    """Return what is not there, in a message each.

    Args:
        media: The folder of the media; None for the installed packages.
        encoders: The folder that contains those of the experiment; None for that which an earlier call linked.
    """
    problems = []
    try:
        located(media)
    except UsageError as error:
        problems += [f"MEDIA={media or ''}: {problem}" for problem in error.problems]
    place = encoders or ENCODERS
    models = [Path(values["model"]).name for values in read_toml(EXPERIMENT)["set"].values()]
    if absent := [name for name in models if not (place / name / "config.json").is_file()]:
        problems.append(
            f"ENCODERS={encoders or ''}: {', '.join(absent)} missing in {place}: pass the folder that has them; "
            f"{DOCUMENT} describes them"
        )
    return problems


def reproduce(arguments: Sequence[str]) -> int:
    """Do the runs, and return the exit code: 2 if media or encoders are missing, which one message tells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, help="folder of the media; by default the installed packages")
    parser.add_argument("--encoders", type=Path, help="folder of the encoders, which is linked from here")
    args, further = parser.parse_known_args(arguments)
    if problems := missing(args.media, args.encoders):
        print("\n".join(("natural:", *problems)), file=sys.stderr)
        return 2
    if args.encoders and args.encoders.resolve() != ENCODERS.resolve():
        ENCODERS.unlink(missing_ok=True)
        ENCODERS.symlink_to(args.encoders.resolve(), target_is_directory=True)
    root = ["--data-root", str(args.media)] if args.media else []
    return main(["run", str(EXPERIMENT), "--results", str(FOLDER), *root, *further])


if __name__ == "__main__":
    sys.exit(reproduce(sys.argv[1:]))
