from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench import progress


@pytest.fixture
def terminal(monkeypatch):
    """Standard error is taken for a terminal, whatever commands of other tests said of --quiet."""
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr(progress, "_quiet", False)


def test_a_bar_on_a_terminal(terminal, capsys):
    assert list(progress.bar(range(3), "train", unit="step")) == [0, 1, 2]
    assert "train" in capsys.readouterr().err


def test_no_bar_with_quiet(terminal, capsys):
    progress.set_quiet(True)
    assert list(progress.bar(iter(range(3)), "train", total=3)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_no_bar_off_a_terminal(capsys):
    assert list(progress.bar(range(3), "train")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
