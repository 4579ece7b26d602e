from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from bench.datasets.coco_mask import decode

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def run_lengths(mask) -> list[int]:
    """Lengths of the runs of False and True by turns, down the columns, beginning with False."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel == value:
            counts[-1] += 1
        else:
            counts.append(1)
            value = pixel
    return counts


@st.composite
def masks(draw):
    height, width = draw(sizes)
    pixels = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(pixels).reshape(height, width)


@settings(deadline=None)
@given(masks())
def test_run_lengths_as_numbers_and_as_text_give_the_mask_back(mask):
    size = list(mask.shape)
    text = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    for counts in (run_lengths(mask), text):
        read = decode({"size": size, "counts": counts}, mask.shape)
        assert read.dtype == bool and read.flags.c_contiguous and np.array_equal(read, mask)


def test_polygons_cover_what_any_of_them_covers():
    left, right = [2, 1, 6, 1, 6, 5, 2, 5], [8.0, 3.0, 10.0, 3.0, 10.0, 9.0, 8.0, 9.0]
    expected = np.zeros((10, 12), dtype=bool)
    expected[1:5, 2:6] = True
    assert np.array_equal(decode([left], (10, 12)), expected)
    expected[3:9, 8:10] = True
    assert np.array_equal(decode([left, right], (10, 12)), expected)
    assert np.array_equal(decode([left, [0, 0, 12, 10], right, [1, 1]], (10, 12)), expected)


def test_a_polygon_may_reach_over_the_edge():
    assert decode([[-0.4, -0.4, 4.6, -0.4, 4.6, 3.7, -0.4, 3.7]], (3, 4)).all()


def test_several_run_lengths_in_a_list_add_up():
    parts = [{"size": [2, 3], "counts": [1, 1, 4]}, {"size": [2, 3], "counts": [4, 2]}]
    assert decode(parts, (2, 3)).tolist() == [[False, False, True], [True, False, True]]


@pytest.mark.parametrize(
    ("segmentation", "what"),
    [
        (None, "neither a polygon nor counts"),
        ("text", "neither a polygon nor counts"),
        ([], "no polygon"),
        ([[]], "no polygon"),
        ([[0, 0, 3, 3]], "no polygon"),
        ([1, 2, 3, 4, 5, 6], "neither a polygon"),
        ([[0, 0, 3, 0, 3, 3, 1]], "not x, y"),
        ([[0, 0, 3, 0, 3, "3"]], "not x, y"),
        ([[0, 0, 3, 0, 3, None]], "not x, y"),
        ([[0, 0, 3, 0, 3, True]], "not x, y"),
        ([[0, 0, 3, 0, 3, float("nan")]], "outside the picture"),
        ([[0, 0, 3, 0, float("inf"), 3]], "outside the picture"),
        ([[0, 0, 3, 0, 1e9, 3]], "outside the picture"),
        ([[0, 0, 3, 0, 10**400, 3]], "outside the picture"),
        ([[0, -99, 3, 0, 3, 3]], "outside the picture"),
        ({"counts": [20]}, "picture's size"),
        ({"size": [4, 5]}, "neither a polygon"),
        ({"size": [5, 4], "counts": [20]}, "picture's size"),
        ({"size": "4,5", "counts": [20]}, "picture's size"),
        ({"size": [4, 5], "counts": [3, 4]}, "do not add up to the picture's 20"),
        ({"size": [4, 5], "counts": [3, 4, 14]}, "do not add up"),
        ({"size": [4, 5], "counts": [-1, 1, 20]}, "do not add up"),
        ({"size": [4, 5], "counts": [2.0, 18]}, "do not add up"),
        ({"size": [4, 5], "counts": [2**40]}, "do not add up"),
        ({"size": [4, 5], "counts": None}, "neither numbers nor"),
        ({"size": [4, 5], "counts": ""}, "neither numbers nor"),
        ({"size": [4, 5], "counts": "3\x00"}, "neither numbers nor"),
        ({"size": [4, 5], "counts": "3é"}, "neither numbers nor"),
        ({"size": [4, 5], "counts": "PPP"}, "neither numbers nor"),  # goes on after its end
        ({"size": [4, 5], "counts": "o" * 40 + "0"}, "neither numbers nor"),  # more bits than a number has
        ({"size": [4, 5], "counts": "39"}, "as COCO writes them"),  # too few pixels
        ({"size": [4, 5], "counts": "oooo0"}, "Invalid RLE"),  # too many
    ],
)
def test_anything_else_is_refused(segmentation, what):
    with pytest.raises(ValueError, match=what):
        decode(segmentation, (4, 5))


@settings(deadline=None)
@given(sizes, st.text(st.sampled_from([chr(code) for code in range(48, 112)]), max_size=12))
def test_any_compressed_text_is_a_mask_or_refused(size, counts):
    try:
        read = decode({"size": list(size), "counts": counts}, size)
    except ValueError:
        return
    assert coco.encode(np.asfortranarray(read, dtype=np.uint8))["counts"].decode() == counts


@settings(deadline=None)
@given(sizes, st.lists(st.floats() | st.integers(), min_size=6, max_size=12))
def test_any_polygon_is_a_mask_or_refused(size, points):
    with suppress(ValueError):
        assert decode([points], size).shape == size


def test_a_coordinate_far_off_costs_nothing():
    started = time.perf_counter()
    with pytest.raises(ValueError, match="outside"):
        decode([[0, 0, 1e300, 0, 3, 3]], (480, 640))
    assert time.perf_counter() - started < 1
