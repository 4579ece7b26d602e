"""What an audit makes of records."""

from __future__ import annotations

import pytest

from bench.report.finding.audit import audited, kendall


def test_kendall():
    assert kendall([(1, 1), (-1, -1), (0, 0)]) == 1
    assert kendall([(1, -1), (-1, 1)]) == -1
    assert kendall([(1, 1), (1, 0), (0, 0)]) == pytest.approx(2**-0.5)
    assert kendall([(0, 0)]) == 0


def test_what_is_not_measured_does_not_hold():
    text, all_hold = audited([("title", [(True, "a"), (None, "b")])])
    assert text.splitlines() == ["title", "  holds         a", "  not measured  b"] and not all_hold
    assert audited([("title", [(True, "a")])])[1]
    text, all_hold = audited([("title", [(False, "a"), (True, "b")])])
    assert "DOES NOT HOLD a" in text and not all_hold
