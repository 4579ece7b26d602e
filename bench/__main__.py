"""`python -m bench` and the console script `bench`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Runs the command line of this process and returns its exit code."""
    try:
        return _main()
    except KeyboardInterrupt:  # while modules are imported
        return 1


def _main() -> int:
    # `python -m` puts the working folder first, and a checkout's `datasets/` would shadow Hugging Face's package.
    if sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]
    from bench.cli.entry import main as run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
