from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.tasks.square import Square

squares = st.builds(Square, st.integers(4, 60), st.integers(4, 60), st.booleans())


@given(squares, st.tuples(*[st.floats(0, 1)] * 4))
def test_a_box_comes_back(square, shares):
    left, right = sorted(shares[:2])
    top, bottom = sorted(shares[2:])
    width, height = square.width, square.height
    position = square.box((left * width, top * height, (right - left) * width, (bottom - top) * height))
    assert square.image_fractions(position) == pytest.approx((left, top, right, bottom), abs=1e-4)


@given(squares)
def test_the_edges_are_those_of_the_box_of_the_whole_picture(square):
    centre_x, centre_y, width, height = square.box((0, 0, square.width, square.height)).tolist()
    expected = centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2
    assert square.edges == pytest.approx(expected, abs=1e-6)


def test_a_box_is_cut_off_at_the_pictures_edges_not_at_the_squares():
    """A 2 x 4 picture takes the middle half of a 4 x 4 square."""
    assert Square(2, 4).image_fractions(np.array([0.5, 0.5, 2.0, 0.8])) == (0, 0, 1, 1)
    assert Square(2, 4).image_fractions(np.array([0.25, 0.4, 0.5, 0.4])) == pytest.approx((0, 0, 0.5, 0.7))
    assert Square(2, 4).image_fractions(np.array([0.5, 0.1, 0.5, 0.2])) == (0.25, 0, 0.75, 0), (
        "it lies above the picture"
    )
    assert Square(2, 4, keep_aspect=False).image_fractions(np.array([0.5, 0.1, 0.5, 0.2])) == pytest.approx(
        (0.25, 0, 0.75, 0.2)
    )


def test_a_wide_picture_lies_in_the_middle():
    square = Square(2, 4)
    picture = square.picture(np.full((2, 4, 3), 200, np.uint8), 4, (10, 20, 30))
    assert picture.shape == (3, 4, 4)
    assert picture[:, 0, 0].tolist() == [10, 20, 30] and picture[:, 3, 3].tolist() == [10, 20, 30]
    assert (picture[:, 1:3] == 200).all()
    assert square.box((0, 0, 4, 2)).tolist() == [0.5, 0.5, 1.0, 0.5]
    mask = square.mask(np.array([[True, False, False, False], [False] * 4]), 4)
    assert mask[1, 0] == 255 and mask.sum() == 255


def test_a_stretched_picture_fills_the_square():
    square = Square(2, 4, keep_aspect=False)
    assert (square.picture(np.full((2, 4, 3), 200, np.uint8), 6, (0, 0, 0)) == 200).all()
    assert square.box((0, 0, 2, 2)).tolist() == [0.25, 0.5, 0.5, 1.0]


@given(squares, st.data())
def test_a_mask_comes_back_at_the_pictures_resolution(square, data):
    """A rectangle is found again, but for its border, from logits of a coarse square."""
    top, left = data.draw(st.integers(0, square.height - 2)), data.draw(st.integers(0, square.width - 2))
    bottom = data.draw(st.integers(top + 1, square.height))
    right = data.draw(st.integers(left + 1, square.width))
    mask = np.zeros((square.height, square.width), bool)
    mask[top:bottom, left:right] = True
    size = 240
    actual = square.logits(torch.from_numpy(square.mask(mask, size) / 255.0).float() - 0.5) >= 0
    assert actual.shape == mask.shape
    assert np.array_equal(actual.numpy(), mask)
