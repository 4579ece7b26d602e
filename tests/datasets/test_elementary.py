"""Sine and exponentials as the generator computes them."""

from __future__ import annotations

import numpy as np
import pytest

from bench.datasets.mini import elementary

KNOWN = {
    "sin": ["-0x1.d18f6ep-1", "-0x1.88fb76p-1", "0x1.faaeeep-3", "0x1.f6379ep-1", "0x1.326af2p-1"],
    "exp": ["0x1.152aaap-3", "0x1.aadde0p-2", "0x1.48b5e6p+0", "0x1.fa3ff4p+1", "0x1.85d6fcp+3"],
    "exp2": ["0x1.000000p-2", "0x1.172b84p-1", "0x1.306fe0p+0", "0x1.4bfdaep+1", "0x1.6a09e6p+2"],
}


@pytest.mark.parametrize("name", KNOWN)
def test_values_are_right_to_rounding_and_the_same_to_the_bit(name):
    x = np.random.default_rng(0).uniform(-6, 6, 100_000).astype(np.float32)
    outputs = getattr(elementary, name)(x)
    assert outputs.dtype == np.float32
    expected = getattr(np, name)(x.astype(np.float64))
    np.testing.assert_allclose(outputs, expected, rtol=4e-7, atol=1e-7)
    few = getattr(elementary, name)(np.linspace(-2, 2.5, 5, dtype=np.float32))
    assert [float(value).hex() for value in few] == [float.fromhex(value).hex() for value in KNOWN[name]]
