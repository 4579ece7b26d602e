"""What commands print and log, made harmless for a terminal: it quotes names and reasons from files of others."""

from __future__ import annotations

import builtins
import logging
from typing import TextIO

from bench.text import escape


def print(*parts: object, sep: str = " ", file: TextIO | None = None, flush: bool = False) -> None:
    """Prints as Python does, with what a terminal would obey written as escapes."""
    builtins.print(escape.terminal(sep.join(map(str, parts))), file=file, flush=flush)


class LogFormatter(logging.Formatter):
    """Formats messages likewise."""

    def format(self, record: logging.LogRecord) -> str:
        """Formats a message, and a traceback if there is one."""
        return escape.terminal(super().format(record))
