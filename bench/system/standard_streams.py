"""Standard output and error of a process whose work goes on where nobody reads them any more."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Tolerant(io.FileIO):
    """A file that takes whatever it is given, also where it cannot be written; `error` is the first reason."""

    error: OSError | None = None

    def write(self, data: Buffer, /) -> int | None:  # type: ignore[override]  # as its superclass has it
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            return memoryview(data).nbytes


def tolerate() -> None:
    """Let what is printed never stop this process.

    A reader that is gone, a full disk and a stream that was closed lose the output only. What the encoding of the
    streams does not have is replaced.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        _open_if_closed(descriptor)
        stream = getattr(sys, name)
        if name != "stdin" and not isinstance(_raw(stream), _Tolerant):
            setattr(sys, name, _tolerant(stream, descriptor))


def write_error() -> OSError | None:
    """Return why standard output could not be written; None where it was, or where its reader wanted no more."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    raw = _raw(sys.stdout)
    error = raw.error if isinstance(raw, _Tolerant) else None
    return None if isinstance(error, BrokenPipeError) else error


def _open_if_closed(descriptor: int) -> None:
    """Otherwise the next file that is opened would take its place, and what is printed would end up in there."""
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        os.set_inheritable(descriptor, True)


def _raw(stream: TextIO | None) -> object:
    return getattr(getattr(stream, "buffer", None), "raw", None)


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO | None:
    """The stream, tolerant; as it is where it is another's, as in a notebook."""
    if stream is None:
        encoding, errors, lines, through = "utf-8", "replace", False, False
    elif type(stream) is io.TextIOWrapper and stream.fileno() == descriptor:
        encoding, errors = stream.encoding, stream.errors or "strict"
        lines, through = stream.line_buffering, stream.write_through
        stream.flush()
    else:
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Tolerant(descriptor, "w", closefd=False)),
        encoding=encoding,
        errors="replace" if errors == "strict" else errors,
        line_buffering=lines,
        write_through=through,
    )
