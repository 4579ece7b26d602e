from __future__ import annotations

import numpy as np
import pytest

from bench.measurement.spread import Spread


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [5.0, 1.0, 2.0], [4.0, 1.0, 9.0, 2.0, 2.5]])
def test_quartiles_are_those_of_numpy(values):
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    assert Spread.from_values(values) == Spread(median=median, low=low, high=high)
