from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from bench.tasks.boxes import corners, giou, iou


def box(left, top, right, bottom) -> torch.Tensor:
    return torch.tensor([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], dtype=torch.float64)


def test_corners():
    assert corners(torch.tensor([0.5, 0.4, 0.2, 0.6])).tolist() == pytest.approx([0.4, 0.1, 0.6, 0.7])


@pytest.mark.parametrize(
    ("first", "second", "expected_iou", "expected_giou"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1, 1),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3, 1 / 3),  # the hull is the union
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7, 1 / 7 - 2 / 9),
        ((0, 0, 1, 1), (3, 0, 4, 1), 0, -0.5),
        ((0, 0, 4, 4), (1, 1, 2, 3), 2 / 16, 2 / 16),
    ],
)
def test_by_hand(first, second, expected_iou, expected_giou):
    assert iou(box(*first), box(*second)).item() == pytest.approx(expected_iou)
    assert giou(box(*first), box(*second)).item() == pytest.approx(expected_giou)


sides = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda pair: pair[1] - pair[0] > 0.01)
boxes = st.tuples(sides, sides).map(lambda pair: (pair[0][0], pair[1][0], pair[0][1], pair[1][1]))


@given(boxes, boxes)
def test_iou_is_that_of_coco(first, second):
    def xywh(b):
        return [b[0], b[1], b[2] - b[0], b[3] - b[1]]

    expected = coco.iou(np.array([xywh(first)]), np.array([xywh(second)]), [0])[0, 0]
    assert iou(box(*first), box(*second)).item() == pytest.approx(expected, abs=1e-9)


@given(boxes, boxes)
def test_giou_is_never_more_than_iou_and_symmetric(first, second):
    a, b = box(*first), box(*second)
    assert -1 <= giou(a, b).item() <= iou(a, b).item() + 1e-9
    assert giou(a, b).item() == pytest.approx(giou(b, a).item())


def test_empty_boxes_have_gradients():
    actual = torch.tensor([[0.5, 0.5, 0.0, 0.0]], requires_grad=True)
    giou(actual, torch.tensor([[0.2, 0.2, 0.1, 0.1]])).sum().backward()
    assert actual.grad.isfinite().all()
    assert iou(actual, actual).item() == 0


def test_only_what_lies_within_counts_of_the_first_box():
    """By hand: of a box twice as high as the true one, the half that lies within is the true one."""
    bounds = torch.tensor([0.0, 1.0, 4.0, 3.0], dtype=torch.float64)
    true = box(0, 1, 2, 3)
    assert iou(box(0, 0, 2, 4), true).item() == pytest.approx(0.5)
    assert iou(box(-1, 0, 2, 5), true, bounds).item() == pytest.approx(1)
    assert iou(box(1, 0, 5, 2), true, bounds).item() == pytest.approx(1 / 6)
    assert iou(box(0, -3, 2, 1), true, bounds).item() == 0, "nothing of it lies within"


@given(boxes, boxes)
def test_a_box_within_scores_the_same_to_the_bit(first, second):
    bounds = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    a = box(*first)
    low, high = corners(a).split(2)
    if (low >= 0).all() and (high <= 1).all():
        assert iou(a, box(*second), bounds).item() == iou(a, box(*second)).item()


def test_boxes_turned_inside_out_are_empty():
    """With both sides below 0 its area would be one above."""
    inside_out = torch.tensor([0.5, 0.5, -0.4, -0.4])
    assert iou(inside_out, torch.tensor([0.5, 0.5, 0.4, 0.4])).item() == 0
    assert iou(torch.tensor([0.5, 0.5, 0.2, 0.2]), inside_out).item() == 0
    assert giou(inside_out, torch.tensor([0.5, 0.5, 0.4, 0.4])).item() <= 0
