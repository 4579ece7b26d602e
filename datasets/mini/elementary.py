"""Sine and exponentials in float32 that are bit-equal on every machine.

How numpy computes them depends on its version and on the processor's instructions, so the last bits of the generated
sounds would differ. Here they consist of single sums, products and quotients, whose results IEEE 754 defines. The
polynomials and tables are those of numpy 2.4 on processors with AVX-512, where version 3 of the data was made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def _constants(*values: str) -> tuple[float, ...]:
    """Return numbers, exact in float32, from their hexadecimal form."""
    return tuple(map(float.fromhex, values))


# If a constant is split into parts, the product of the first part and a small integer is exact.
_QUARTERS, *_QUARTER = _constants("0x1.45f306p-1", "0x1.921fb0p+0", "0x1.5110b4p-22", "0x1.846988p-48")  # 2/pi, pi/2
_SINE = _constants("0x1.7d3bbcp-19", "-0x1.a06bbap-13", "0x1.11119ap-7", "-0x1.555556p-3", "0x0p+0")
_COSINE = _constants("0x1.98e616p-16", "-0x1.6c06dcp-10", "0x1.55553cp-5", "-0x1p-1", "0x1p+0")
_OCTAVES, *_OCTAVE = _constants("0x1.715476p+0", "0x1.62e400p-1", "0x1.7f7d1cp-20")  # 1/log 2, log 2
_NUMERATOR = _constants("0x1.0a7bb0p-11", "0x1.bae2b2p-8", "0x1.a2fb18p-5", "0x1.fa98b0p-3", "0x1.7397aap-1", "0x1p+0")
_DENOMINATOR = _constants("0x1.61d064p-6", "-0x1.18d0aep-2", "0x1p+0")
_STEPS = 16  # of an octave
_STEP = np.array([2 ** (step / _STEPS) for step in range(_STEPS)], dtype=np.float32)
_RISE = _constants("0x1.d0a994p-5", "0x1.ebe2d6p-3", "0x1.62e444p-1")


def sin(x: Floats) -> Floats:
    """Return the sine of angles in radians, up to some thousands."""
    quarters = np.rint(x * np.float32(_QUARTERS))
    remainder = _remainder(x, quarters, _QUARTER)
    square = remainder * remainder
    sine = _multiply_add(_polynomial(_SINE, square), remainder, remainder)
    quadrant = quarters.astype(np.int32)
    value = np.where(quadrant & 1, _polynomial(_COSINE, square), sine)
    return np.where(quadrant & 2, -value, value)


def exp(x: Floats) -> Floats:
    """Return the exponential of numbers from -80 to 80."""
    octaves = np.rint(x * np.float32(_OCTAVES))
    remainder = _remainder(x, octaves, _OCTAVE)
    quotient = _polynomial(_NUMERATOR, remainder) / _polynomial(_DENOMINATOR, remainder)
    return np.ldexp(quotient, octaves.astype(np.int32))


def exp2(x: Floats) -> Floats:
    """Return two to the power of numbers from -120 to 120."""
    steps = np.floor(x * np.float32(_STEPS)).astype(np.int32)
    exact = x.astype(np.float64) - steps / _STEPS
    remainder = exact.astype(np.float32)
    remainder = np.where(remainder > exact, np.nextafter(remainder, np.float32(-1)), remainder)  # rounded down
    octaves, step = np.divmod(steps, _STEPS)
    return np.ldexp(_multiply_add(_polynomial(_RISE, remainder), _STEP[step] * remainder, _STEP[step]), octaves)


def _remainder(x: Floats, count: Floats, parts: list[float]) -> Floats:
    """Return x minus `count` times a number that is given as the sum of `parts`."""
    for part in parts:
        x = _multiply_add(count, -part, x)
    return x


def _polynomial(coefficients: tuple[float, ...], x: Floats) -> Floats:
    """Evaluate a polynomial by Horner's rule; the coefficient of the highest power comes first."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = _multiply_add(value, x, coefficient)
    return value


def _multiply_add(a: Floats, b: Floats | float, c: Floats | float) -> Floats:
    """Return a * b + c, with the product exact in float64 and the sum rounded to float32."""
    return (np.multiply(a, b, dtype=np.float64) + c).astype(np.float32)
