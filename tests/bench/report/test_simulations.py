"""Small parts of the simulations, and what docs/explain/verdicts.md says of their tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[3] / "simulations")
    import grid
    import over_worlds
    import task_means
    import verdicts

TABLES = 40
MOST_FALSE = scipy.stats.binom.isf(1e-3, TABLES, 0.05) / TABLES  # false verdicts at a rate of 0.05


@pytest.mark.parametrize(
    "cell", [cell for cell in verdicts.cells() if cell.seeds == 3 and "mini" in cell.name], ids=str
)
def test_few_tables_of_equal_methods_have_a_verdict(cell):
    """A small part of the simulation, in the cells that Satterthwaite's approximation fails (0.2 and 0.4 of tables)."""
    measured = verdicts.rates(cell, TABLES)
    assert measured.false_gain <= MOST_FALSE and measured.false_place <= MOST_FALSE
    assert 0.9 < measured.coverage < 0.99


@pytest.mark.parametrize("cell", [cell for cell in over_worlds.cells() if (cell.seeds, cell.worlds) == (3, 5)], ids=str)
def test_intervals_over_worlds_cover_the_gain_over_all_worlds(cell):
    """Those of these worlds only do not, where worlds differ and seeds are not alike in all of them."""
    measured = over_worlds.rates(replace(cell, methods=4), TABLES // 2)
    assert measured.false_gain <= MOST_FALSE and measured.coverage > 0.9
    assert measured.fixed_coverage < 0.9 or cell.factor == 0 or cell.shared


@pytest.mark.parametrize(
    "cell", [cell for cell in task_means.cells() if cell.seeds == 3 and "strong" in cell.name], ids=str
)
def test_intervals_of_means_over_tasks_cover_them(cell):
    measured = task_means.rates(replace(cell, methods=4), TABLES // 2)
    assert measured.false_gain <= MOST_FALSE and min(measured.gains, measured.means) > 0.9


def test_a_simulation_writes_its_table_between_the_marks_of_a_page(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- written by simulations/verdicts.py -->\nold\n<!-- end -->\nafter\n")
    few = verdicts.Cell("few", seeds=3, groups=0, methods=3)
    monkeypatch.setattr("sys.argv", ["verdicts.py", "--tables", "2", "--write"])
    grid.run("verdicts", verdicts.__doc__, verdicts.HEADER, [few], verdicts.line, page)
    before, _, rest = page.read_text().partition("\n\n| seeds |")
    table, _, after = rest.partition("\n\n<!-- end -->")
    assert (before, after) == ("before\n<!-- written by simulations/verdicts.py -->", "\nafter\n")
    assert table.splitlines()[2].startswith("| 3 | few | 0.") and "old" not in table
    (line,) = grid.written("verdicts", page)
    assert line[:2] == ["3", "few"] and len(line) == len(verdicts.HEADER)
    page.write_text("no marks")
    with pytest.raises(ValueError, match="lacks the line <!-- written by"):
        grid.write("table", "verdicts", page)


def test_the_page_of_verdicts_says_of_its_table_what_is_so():
    """The claims below the table: rates of false verdicts, coverage, and power by number of seeds."""
    rows = {(int(seeds), name): [*map(float, rates)] for seeds, name, *rates in grid.written("verdicts")}
    assert [*rows] == [(cell.seeds, cell.name) for cell in verdicts.cells()]
    false_gains, false_places, coverages, powers = zip(*rows.values(), strict=True)
    assert max(*false_gains, *false_places) <= 0.05 + 0.014
    assert min(coverages) >= 0.93 and max(coverages) <= 0.97
    power = {key: share for key, share in zip(rows, powers, strict=True) if "strong" not in key[1]}
    assert max(share for (seeds, _), share in power.items() if seeds == 3) < 0.1
    assert np.mean([share for (seeds, _), share in power.items() if seeds == 5]) == pytest.approx(1 / 3, abs=0.05)
    assert power.pop((10, "interaction as on mini, in 60 groups")) == pytest.approx(2 / 3, abs=0.03)
    assert min(share for (seeds, _), share in power.items() if seeds == 10) > 0.85
    assert max(share for (_, name), share in zip(rows, powers, strict=True) if "strong" in name) < 0.1


def test_the_page_of_verdicts_says_of_worlds_what_is_so():
    lines = grid.written("over_worlds")
    rows = {(int(worlds), int(seeds), name): [*map(float, rates)] for worlds, seeds, name, *rates in lines}
    assert [*rows] == [(cell.worlds, cell.seeds, cell.name) for cell in over_worlds.cells()]
    assert max(false_gain for false_gain, *_ in rows.values()) < 0.05
    assert min(coverage for _, coverage, *_ in rows.values()) >= 0.94
    alike = [coverage for (*_, name), (_, coverage, *_) in rows.items() if name == "worlds alike"]
    assert min(alike) >= 0.98 and max(alike) < 0.995
    for name, low, high in (("as different as seeds", 0.71, 0.92), ("3 times as different", 0.32, 0.77)):
        of_these_worlds = [rates[-1] for key, rates in rows.items() if name in key[-1]]
        assert low <= min(of_these_worlds) < low + 0.01 and high - 0.01 < max(of_these_worlds) <= high
    power = {key: power for key, (_, _, power, _) in rows.items()}
    assert max(share for (worlds, *_), share in power.items() if worlds == 3) < 1 / 6
    assert power[5, 5, "worlds alike"] > 0.75
    assert max(share for (*_, name), share in power.items() if "alike" not in name.partition(",")[0]) < 1 / 3


def test_the_page_of_verdicts_says_of_means_over_tasks_what_is_so():
    rows = {(int(seeds), name): [*map(float, rates)] for seeds, name, *rates in grid.written("task_means")}
    assert [*rows] == [(cell.seeds, cell.name) for cell in task_means.cells()]
    assert max(false_gain for false_gain, *_ in rows.values()) < 0.05
    wide = {(seeds, "a family of three tasks, interaction strong") for seeds in (3, 5, 10)}
    coverages = {key: coverage for key, (_, *coverage, _) in rows.items()}
    assert max(max(coverage) for key, coverage in coverages.items() if key in wide) < 0.985
    usual = [share for key, coverage in coverages.items() if key not in wide for share in coverage]
    assert min(usual) >= 0.93 and max(usual) < 0.975
    power = {key: share for key, (*_, share) in rows.items() if key[0] == 5 and "mini" in key[1]}
    assert min(power.values()) >= 0.8
