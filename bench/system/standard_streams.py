"""Standard output and error that may fail without stopping the process."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Tolerant(io.FileIO):
    """A file that accepts every write even if it fails; `error` is the first failure."""

    error: OSError | None = None

    def write(self, data: Buffer, /) -> int | None:  # type: ignore[override]  # the superclass's signature
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            return memoryview(data).nbytes


def tolerate() -> None:
    """Make sure that printing never stops this process.

    If the reader is gone, the disk is full or a stream was closed, only the output is lost. Characters that the
    streams' encoding lacks are replaced.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        _open_if_closed(descriptor)
        stream = getattr(sys, name)
        if name != "stdin" and not isinstance(_raw(stream), _Tolerant):
            setattr(sys, name, _tolerant(stream, descriptor))


def write_error() -> OSError | None:
    """Return why writing to standard output failed; None if it did not, or if the reader closed the pipe."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    raw = _raw(sys.stdout)
    error = raw.error if isinstance(raw, _Tolerant) else None
    return None if isinstance(error, BrokenPipeError) else error


def _open_if_closed(descriptor: int) -> None:
    """Open a closed descriptor to the null device.

    Otherwise the next file that is opened would get this descriptor, and printed output would end up in it.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor)
            os.close(null)
        os.set_inheritable(descriptor, True)


def _raw(stream: TextIO | None) -> object:
    return getattr(getattr(stream, "buffer", None), "raw", None)


def _tolerant(stream: TextIO | None, descriptor: int) -> TextIO | None:
    """Return a tolerant replacement for a stream; the stream itself if it was replaced already, as in a notebook."""
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
