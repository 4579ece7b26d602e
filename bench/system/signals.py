"""Signals that ask this process to end: raised as exceptions, or deferred while it must finish what it has begun."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from bench.errors import Terminated

ASKING_TO_END = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

# Seconds. A scheduler signals both a process and its group, so signals this close together count as one.
_DUPLICATE_WINDOW = 2.0
_RESEND_DELAY = 0.05  # seconds until a signal whose exception was lost is sent again

_Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def raised(kind: type[BaseException] = Terminated) -> Iterator[None]:
    """Raise the first signal that asks this process to end as an exception; a much later one ends it at once.

    Signals that are ignored from the start, as with `nohup`, stay ignored.

    Args:
        kind: Type of exception for all signals but ^C, which is always a KeyboardInterrupt.
    """
    handler = _ExceptionRaiser(kind)
    unraisable_hook = sys.unraisablehook
    with _handled_by(handler):
        sys.unraisablehook = handler.on_lost_exception
        try:
            yield
        finally:
            sys.unraisablehook = unraisable_hook


@contextmanager
def held_back() -> Iterator[None]:
    """Let no signal interrupt the block; deliver the first one that arrived after it.

    If the block raises an error, the signal is dropped: the error ends the work anyway and must not be hidden.
    """
    arrived: list[int] = []
    with _handled_by(lambda number, _: arrived.append(number)):
        yield
    if arrived:
        signal.raise_signal(arrived[0])


class _ExceptionRaiser:
    """A handler that turns the first signal into an exception."""

    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind
        self._number = 0
        self._first_at: float | None = None
        self._unraisable_hook = sys.unraisablehook

    def __call__(self, number: int, frame: FrameType | None) -> None:
        time_s = time.monotonic()
        if self._first_at is None:
            self._first_at, self._number = time_s, number
            name = f"signal {number}, {signal.strsignal(number)}"
            raise KeyboardInterrupt if number == signal.SIGINT else self._kind(name)
        if time_s - self._first_at > _DUPLICATE_WINDOW:
            os.write(2, b"bench: stopped at once\n")
            os._exit(1)

    def on_lost_exception(self, unraisable: Any) -> None:
        """Resend a signal that arrived where Python drops exceptions, as in `__del__`; report other exceptions."""
        if isinstance(unraisable.exc_value, KeyboardInterrupt | Terminated) and self._first_at is not None:
            self._first_at = None
            threading.Timer(_RESEND_DELAY, os.kill, (os.getpid(), self._number)).start()
        else:
            self._unraisable_hook(unraisable)


@contextmanager
def _handled_by(handler: _Handler) -> Iterator[None]:
    """Handle the signals that ask to end, except ignored ones; outside the main thread, which alone may, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    replaced: dict[int, Any] = {}
    try:
        for number in ASKING_TO_END:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                replaced[number] = signal.signal(number, handler)
        yield
    finally:
        for number, earlier_handler in replaced.items():
            signal.signal(number, earlier_handler)
