"""Printing and logging with terminal control characters escaped, since messages quote untrusted files."""

from __future__ import annotations

import builtins
import logging
from typing import TextIO

from bench.text import escape


def print(*parts: object, sep: str = " ", file: TextIO | None = None, flush: bool = False) -> None:
    """Print as Python does, with the control characters of a terminal escaped."""
    builtins.print(escape.terminal(sep.join(map(str, parts))), file=file, flush=flush)


class LogFormatter(logging.Formatter):
    """A formatter that escapes terminal control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a message, and a traceback if there is one."""
        return escape.terminal(super().format(record))
