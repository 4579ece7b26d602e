"""Signals that ask to end: raised, held back, and not lost where Python drops exceptions."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from bench.errors import BenchError, Terminated
from bench.system.signals import held_back, raised

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a signal ends a process there")


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated)]
    if hasattr(signal, "SIGHUP")
    else [],
)
def test_a_signal_that_comes_while_something_is_written_comes_after_it(number, kind):
    done = []
    handlers = signal.getsignal(number)
    with pytest.raises(kind), raised():
        with held_back():
            signal.raise_signal(number)
            with held_back():
                signal.raise_signal(number)
                done.append("inner")
            done.append("outer")
        done.append("after")
    assert done == ["inner", "outer"]
    assert signal.getsignal(number) == handlers


def test_an_error_is_not_hidden_by_a_signal():
    with pytest.raises(BenchError, match="the record, printed"), raised(), held_back():
        signal.raise_signal(signal.SIGTERM)
        raise BenchError("the record, printed")


def test_other_threads_leave_signals_alone():
    handler = signal.getsignal(signal.SIGTERM)

    def work():
        with raised(), held_back():
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [handler]


def test_a_signal_is_not_lost_where_exceptions_are_dropped(capfd):
    class Held:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0)  # where the handler is called at the latest

    reported = sys.unraisablehook
    with pytest.raises(Terminated, match="signal 15"), raised():
        Held()
        for _ in range(500):
            time.sleep(0.01)
    assert sys.unraisablehook is reported
    assert "Exception ignored" not in capfd.readouterr().err
