"""A command as a process: `python -m bench` and the console scripts."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_STOPPED = b"bench: stopped\n"


def main() -> int:
    """Run the command line of this process, and return its exit code."""
    # `python -m` puts the working folder first, and a checkout's `datasets/` would shadow Hugging Face's package.
    if sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]
    try:
        return run_command(sys.argv[1:])
    except KeyboardInterrupt:  # while modules are imported
        _say_stopped()
        return 1


def run_command(argv: Sequence[str]) -> int:
    """Run a command, with its signals handled and failures to write its output reported.

    Args:
        argv: The arguments after the program's name.

    Returns:
        The exit code; 1 also if standard output could not be written, unless its reader closed it.
    """
    from bench import cli
    from bench.cli.printing import print
    from bench.system.standard_streams import tolerate, write_error

    code: int | None = None

    def end_at_once(*_: object) -> None:
        """End before or after the command's work, which has handlers of its own."""
        if code is None:
            _say_stopped()
        os._exit(1 if code is None else code)

    _handle_signals(end_at_once)
    atexit.register(_handle_signals, signal.SIG_IGN)  # Python drops the other handlers before the process ends
    tolerate()
    try:
        code = cli.main(argv)
    except SystemExit as end:  # as after --help
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if error := write_error():
        print(f"bench: standard output cannot be written: {error.strerror}", file=sys.stderr)
        code = code or 1
    return code


def _say_stopped() -> None:
    with suppress(OSError):  # standard error may be closed
        os.write(2, _STOPPED)


def _handle_signals(handler: Callable[..., Any] | signal.Handlers) -> None:
    """Set the handler of signals that ask to end, except of those that are ignored, as with `nohup`."""
    from bench.system.signals import ASKING_TO_END

    for number in ASKING_TO_END:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
