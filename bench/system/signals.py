"""Signals that ask this process to end: raised where it can stop, held back where it must finish what it has begun."""

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

_SAME = 2.0  # seconds in which several signals count as one: a scheduler sends them to a process and to its group
_AGAIN = 0.05  # seconds until a signal whose exception was lost is sent again

_Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def raised(kind: type[BaseException] = Terminated) -> Iterator[None]:
    """Raise the first signal that asks this process to end as an exception; a much later one ends it at once.

    What the process ignores when it is started, as below `nohup`, it goes on ignoring.

    Args:
        kind: of exception for other signals than ^C, which is always a KeyboardInterrupt.
    """
    ending = _Ending(kind)
    reported = sys.unraisablehook
    with _handled_by(ending):
        sys.unraisablehook = ending.on_lost_exception
        try:
            yield
        finally:
            sys.unraisablehook = reported


@contextmanager
def held_back() -> Iterator[None]:
    """Let no signal interrupt the block: the first one that came is delivered after it.

    Where the block raises an error that is dropped: the error ends the work, and is not to be hidden.
    """
    arrived: list[int] = []
    with _handled_by(lambda number, _: arrived.append(number)):
        yield
    if arrived:
        signal.raise_signal(arrived[0])


class _Ending:
    """Handles signals that ask the process to end."""

    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind
        self._number = 0
        self._since: float | None = None
        self._reported = sys.unraisablehook

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since, self._number = now, number
            name = f"signal {number}, {signal.strsignal(number)}"
            raise KeyboardInterrupt if number == signal.SIGINT else self._kind(name)
        if now - self._since > _SAME:
            os.write(2, b"bench: stopped at once\n")
            os._exit(1)

    def on_lost_exception(self, lost: Any) -> None:
        """Send a signal again that came where Python drops exceptions, as in `__del__`; others are reported as ever."""
        if isinstance(lost.exc_value, KeyboardInterrupt | Terminated) and self._since is not None:
            self._since = None
            threading.Timer(_AGAIN, os.kill, (os.getpid(), self._number)).start()
        else:
            self._reported(lost)


@contextmanager
def _handled_by(handler: _Handler) -> Iterator[None]:
    """Handle signals that ask to end, unless they are ignored; only the main thread may say how."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}
    try:
        for number in ASKING_TO_END:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
