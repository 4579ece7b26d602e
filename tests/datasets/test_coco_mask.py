from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from bench.datasets.coco_mask import decode, decode_json

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def run_lengths(mask) -> list[int]:
    """Return lengths of the runs of False and True by turns, down the columns, beginning with False."""
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


@settings(deadline=None)
@given(sizes, st.data())
def test_parts_cover_the_pixels_that_pycocotools_computes(size, data):
    height, width = size
    points = st.lists(st.tuples(st.floats(0, width), st.floats(0, height)), min_size=3, max_size=6)
    polygon = points.map(lambda corners: [value for corner in corners for value in corner])
    runs = st.lists(st.booleans(), min_size=height * width, max_size=height * width)
    runs = runs.map(lambda pixels: {"size": list(size), "counts": run_lengths(np.array(pixels).reshape(size))})
    parts = data.draw(st.lists(polygon | runs, min_size=1, max_size=6))
    part_runs = [coco.frPyObjects([part], height, width)[0] for part in parts]
    assert np.array_equal(decode(parts, size), coco.decode(coco.merge(part_runs)).astype(bool))


def test_many_full_parts_of_a_large_picture_take_a_moment():
    """Ten thousand of them, by parts times pixels, took an hour."""
    full = {"size": [5000, 5000], "counts": [0, 5000 * 5000]}
    text = {"size": [5000, 5000], "counts": coco.frPyObjects(full, 5000, 5000)["counts"].decode()}
    started = time.process_time()
    assert decode([full, text] * 5000, (5000, 5000)).all()
    assert time.process_time() - started < 5


def test_a_long_segmentation_is_refused_before_it_is_read():
    assert decode_json(b'{"size": [2, 3], "counts": [1, 1, 4]}', (2, 3)).sum() == 1
    for text, message in ((b"[" + b"[]," * 2_000_000 + b"[]]", "6,000,004 bytes"), (b"[" * 100_000, "too deep")):
        with pytest.raises(ValueError, match=message):
            decode_json(text, (2, 3))
    with pytest.raises(ValueError, match="neither a polygon nor counts"):
        decode_json(None, (2, 3))


def test_polygons_cover_the_union_of_their_pixels():
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
    ("segmentation", "message"),
    [
        (None, "neither a polygon nor counts"),
        ("text", "neither a polygon nor counts"),
        ([], "no polygon"),
        ([[]], "no polygon"),
        ([[0, 0, 3, 3]], "no polygon"),
        ([1, 2, 3, 4, 5, 6], "neither a polygon"),
        ([[0, 0, 3, 0, 3, 3, 1]], "not a list of numbers x, y"),
        ([[0, 0, 3, 0, 3, "3"]], "not a list of numbers x, y"),
        ([[0, 0, 3, 0, 3, None]], "not a list of numbers x, y"),
        ([[0, 0, 3, 0, 3, True]], "not a list of numbers x, y"),
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
        ({"size": [4, 5], "counts": "39"}, "in COCO's encoding"),  # too few pixels
        ({"size": [4, 5], "counts": "oooo0"}, "in COCO's encoding"),  # too many
        ({"size": [4, 5], "counts": "5O?"}, "in COCO's encoding"),  # a run of less than nothing
    ],
)
def test_anything_else_is_refused(segmentation, message):
    with pytest.raises(ValueError, match=message):
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
