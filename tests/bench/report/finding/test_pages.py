"""What the scripts beside results write, and what they say if they cannot."""

from __future__ import annotations

import made_standings
import mocks
import pytest

from bench.errors import UsageError
from bench.report.finding.measured import Measured
from bench.report.finding.pages import renew


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Renews a page of the one record of an experiment."""
    spec = made_standings.spec("lora")
    measured = Measured([mocks.record(spec)], {"main": {("ave", "lora"): {0: spec}}})
    monkeypatch.setattr(Measured, "of_experiment", lambda experiment: measured)

    def begin(*arguments, pages=lambda measured: {tmp_path / "page.md": "text"}, draw=lambda measured: None):
        return renew("What it writes.", tmp_path / "experiment.toml", pages, draw, arguments)

    return begin


def test_pages_are_written_after_the_picture_or_named(script, tmp_path):
    page, drawn = tmp_path / "page.md", []
    assert script() == f"{page} is not what the records say; --write writes it anew" and not page.exists()
    assert script("--write", draw=lambda measured: drawn.append(page.exists())) is None
    assert page.read_text() == "text" and drawn == [False]
    assert script(draw=pytest.fail) is None


@pytest.mark.parametrize("error", [UsageError("no matplotlib"), ValueError("no marks"), OSError("full")], ids=repr)
def test_what_fails_is_a_message_and_nothing_is_written(script, tmp_path, monkeypatch, error):
    def fail(_):
        raise error

    message = f"nothing was written: {error}"
    assert script("--write", draw=fail) == script("--write", pages=fail) == message
    monkeypatch.setattr(Measured, "of_experiment", fail)
    assert script("--write") == message and not (tmp_path / "page.md").exists()


def test_without_records_there_is_nothing_to_write(script, tmp_path, monkeypatch):
    monkeypatch.setattr(Measured, "of_experiment", lambda experiment: Measured([], {"main": {}}))
    assert script("--write", draw=pytest.fail) == f"{tmp_path} has no records of its experiment yet: nothing to write"
