"""The garbage collector while modules are imported."""

from __future__ import annotations

import gc

import pytest

from bench.system.garbage import uncollected


def test_it_is_paused_and_continues_after_an_error():
    assert gc.isenabled()
    with pytest.raises(ImportError), uncollected():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_it_stays_off_where_the_program_has_turned_it_off():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
