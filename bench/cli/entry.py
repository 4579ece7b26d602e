"""A command as a process: `python -m bench` and the console script."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bench import cli
from bench.cli.printing import print
from bench.system.signals import ASKING_TO_END
from bench.system.standard_streams import tolerate, write_error


def main(argv: Sequence[str]) -> int:
    """Run a command, and end well whatever became of its output, and whichever signals come.

    Args:
        argv: the arguments after the program's name.

    Returns:
        The exit code; also 1 where standard output could not be written, but not where its reader wanted no more.
    """
    code = 1
    _handle_signals(lambda *_: os._exit(code))  # before and after the command's work, which sees to them itself
    atexit.register(_handle_signals, signal.SIG_IGN)  # Python lets go of the other handlers before the process ends
    tolerate()
    try:
        code = cli.main(argv)
    except SystemExit as end:  # as after --help
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if error := write_error():
        print(f"bench: standard output cannot be written: {error.strerror}", file=sys.stderr)
        code = code or 1
    return code


def _handle_signals(handler: Callable[..., Any] | signal.Handlers) -> None:
    """Handle signals that ask to end so, but those that are ignored, as below `nohup`."""
    for number in ASKING_TO_END:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
