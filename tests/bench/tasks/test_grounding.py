from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from bench.tasks.augment import jitter, mirror_with_text, shrink
from bench.tasks.grounding import Grounding
from bench.tasks.grounding_head import GroundingDecoder, near_places
from bench.tasks.grounding_samples import mirror_words, unpack
from bench.tasks.refcoco import RefCOCO, task_class
from bench.tasks.square import Square

Joined = task_class("refcoco+refcoco_plus+refcocog")
RefCOCOBox = task_class("refcoco:box")
RefCOCOMask = task_class("refcoco:mask")


@pytest.mark.parametrize(
    ("text", "mirrored", "can_mirror"),
    [
        ("the ring on the left", "the ring on the right", True),
        ("Left of the right one", "right of the left one", True),
        ("left-hand ring", "right-hand ring", True),
        ("the red ring", "the red ring", True),
        ("the leftmost ring", "the leftmost ring", False),
        ("an upright star", "an upright star", False),
        ("the left star, upright", "the left star, upright", False),
    ],
)
def test_words_of_a_mirrored_picture(text, mirrored, can_mirror):
    assert mirror_words(text) == (mirrored, can_mirror)


@given(st.text("left righ,-.", max_size=40))
def test_mirrored_twice_is_the_text_in_lower_case_sides(text):
    mirrored_text, can_mirror = mirror_words(text)
    reloaded, _ = mirror_words(mirrored_text)
    assert reloaded == text or not can_mirror


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31 - 1))
def test_bits_come_back(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    bits = torch.from_numpy(np.pad(np.packbits(mask), (0, 3)))
    assert torch.equal(unpack(bits, height, width), torch.from_numpy(mask))


def scored(task: Grounding, logits: np.ndarray, masks: list[np.ndarray]) -> dict[str, torch.Tensor]:
    length = max(len(np.packbits(mask)) for mask in masks)
    truth = [np.pad(np.packbits(mask), (0, length - len(np.packbits(mask)))) for mask in masks]
    batch = {
        "truth": torch.from_numpy(np.stack(truth))[:, None],
        "size": torch.tensor([mask.shape for mask in masks])[:, None],
    }
    return task.score({"mask": torch.from_numpy(logits)[:, None]}, batch)


def test_masks_are_compared_at_the_pictures_own_resolution():
    """A 2 x 4 picture in a 4 x 4 square: of the logits the two middle rows count."""
    logits = -np.ones((1, 4, 4), np.float32)
    logits[0, 1, :2] = 1
    logits[0, 0] = 1  # beside the picture
    truth = np.array([[True, True, True, False], [False] * 4])
    actual = scored(RefCOCOMask(), logits, [truth])
    assert (actual["intersection"].item(), actual["union"].item()) == (2, 3)


@given(st.integers(0, 2**31 - 1))
def test_mask_iou_is_that_of_coco(seed):
    rng = np.random.default_rng(seed)
    guess, truth = rng.random((2, 8, 8)) < 0.4
    truth[0, 0] = True
    actual = scored(RefCOCOMask(), np.where(guess, 1.0, -1.0).astype(np.float32)[None], [truth])
    codes = [coco.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in (guess, truth)]
    expected = coco.iou([codes[0]], [codes[1]], [0])[0, 0]
    assert RefCOCOMask().summarize(actual)["miou"] == pytest.approx(100 * expected)


@pytest.mark.parametrize(
    ("keep_aspect", "actual", "expected"),
    [
        # The picture of 2 x 4 pixels takes the rows from 0.25 to 0.75 of its square; its left half is meant.
        (True, [0.25, 0.5, 0.5, 1.0], 1.0),
        (True, [0.2, 0.4, 0.6, 0.9], 1.0),  # over the square's left edge too
        (True, [0.25, 0.4, 0.4, 0.3], 0.48),  # within the picture: as it is
        (True, [0.25, 0.1, 0.5, 0.2], 0.0),  # beside the picture
        (False, [0.2, 0.4, 0.6, 1.2], 1.0),  # stretched, the picture fills the square
        (False, [0.25, 0.5, 0.5, 0.5], 0.5),
    ],
)
def test_predicted_boxes_are_clamped_to_the_picture(keep_aspect, actual, expected):
    task = RefCOCOBox(keep_aspect=keep_aspect)
    true = Square(2, 4, keep_aspect).box((0, 0, 2, 2))
    batch = {"box": torch.from_numpy(true)[None, None], "size": torch.tensor([[[2, 4]]])}
    measured = task.score({"box": torch.tensor([[actual]])}, batch)
    assert measured["box_iou"].tolist() == pytest.approx([expected], abs=1e-6)


def test_clamping_is_of_each_picture_by_itself():
    boxes = torch.tensor([[[0.25, 0.5, 0.5, 1.0]], [[0.5, 0.25, 1.0, 0.5]]])
    sizes = torch.tensor([[[2, 4]], [[4, 2]]])
    true = torch.stack([torch.from_numpy(Square(*size).box((0, 0, 2, 2)))[None] for size in sizes[:, 0].tolist()])
    assert RefCOCOBox().score({"box": boxes}, {"box": true, "size": sizes})["box_iou"].tolist() == pytest.approx([1, 1])


def test_metrics_by_hand():
    measured = {
        "box_iou": torch.tensor([0.5, 0.49, 0.9, 0.0]),
        "intersection": torch.tensor([10.0, 0.0, 65.0, 9.0]),
        "union": torch.tensor([10.0, 5.0, 100.0, 10.0]),
    }
    actual = RefCOCO().summarize(measured)
    assert actual["accuracy@0.5"] == 50
    assert actual["miou"] == pytest.approx(100 * (1 + 0 + 0.65 + 0.9) / 4)
    assert actual["oiou"] == pytest.approx(100 * 84 / 125)
    assert [actual[f"precision@{t}"] for t in (0.5, 0.6, 0.7, 0.8, 0.9)] == [75, 75, 50, 50, 50]
    assert set(actual) == set(RefCOCO.metrics)
    assert set(RefCOCOBox().summarize(measured)) == {"accuracy@0.5"} == set(RefCOCOBox.metrics)
    assert "accuracy@0.5" not in RefCOCOMask().summarize(measured)


def test_losses_add_up():
    torch.manual_seed(0)
    output = {"box": torch.rand(2, 1, 4), "mask": torch.randn(2, 1, 8, 8)}
    batch = {"box": torch.rand(2, 1, 4), "mask": torch.randint(0, 2, (2, 1, 16, 16), dtype=torch.uint8) * 255}
    box, mask, combined = (task().loss(output, batch) for task in (RefCOCOBox, RefCOCOMask, RefCOCO))
    assert combined.item() == pytest.approx((box + mask).item())
    perfect = {"box": batch["box"], "mask": output["mask"]}
    assert RefCOCOBox().loss(perfect, batch).item() == pytest.approx(0, abs=1e-6)


def batch_of(count: int = 6) -> dict[str, torch.Tensor]:
    vision = torch.zeros(count, 1, 3, 20, 20, dtype=torch.uint8)
    mask = torch.zeros(count, 1, 20, 20, dtype=torch.uint8)
    vision[..., 4:8, 2:8] = 255
    mask[..., 4:8, 2:8] = 255
    return {
        "vision": vision,
        "mask": mask,
        "box": torch.tensor([5 / 20, 6 / 20, 6 / 20, 4 / 20]).expand(count, 1, 4).clone(),
        "text": torch.ones(count, 1, 3, dtype=torch.long),
        "mirrored": torch.full((count, 1, 3), 2),
        "mirrors": torch.tensor([[True], [False]] * (count // 2)),
    }


def bounds(mask: torch.Tensor) -> list[float]:
    rows, columns = torch.where(mask > 127)
    left, right = columns.min().item() / 20, (columns.max().item() + 1) / 20
    top, bottom = rows.min().item() / 20, (rows.max().item() + 1) / 20
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def test_mirroring_takes_picture_mask_box_and_text_along():
    batch = batch_of(40)
    actual = mirror_with_text(batch, torch.Generator().manual_seed(0))
    mirrored = actual["text"][:, 0, 0] == 2
    assert mirrored.any() and not mirrored[~batch["mirrors"][:, 0]].any() and not mirrored.all()
    for row in range(40):
        assert actual["box"][row, 0].tolist() == pytest.approx(bounds(actual["mask"][row, 0]), abs=1e-6)
        assert torch.equal(actual["vision"][row, 0, 0], actual["mask"][row, 0])
        assert (actual["box"][row, 0, 0] > 0.5) == mirrored[row]


def test_shrinking_takes_mask_and_box_along():
    batch = batch_of()
    actual = shrink(batch, 0.6, torch.Generator().manual_seed(1))
    for row in range(6):
        assert actual["box"][row, 0].tolist() == pytest.approx(bounds(actual["mask"][row, 0]), abs=0.05)
        assert 0.6 <= actual["box"][row, 0, 2].item() / batch["box"][row, 0, 2].item() <= 1
    assert actual["vision"].dtype == torch.uint8
    assert shrink(batch, 1, torch.Generator()) is batch


def test_jitter_keeps_the_range_and_can_be_off():
    images = torch.randint(0, 256, (3, 1, 3, 8, 8), dtype=torch.uint8)
    changed = jitter(images, 1.0, torch.Generator().manual_seed(0))
    assert changed.min() >= 0 and changed.max() <= 1 and changed.std() > 0
    torch.testing.assert_close(jitter(images, 0.0, torch.Generator()), images.float() / 255)


def test_the_head_reads_no_padding():
    torch.manual_seed(0)
    head = GroundingDecoder(vision=12, text=10, hidden=16, layers=2, targets=("box", "mask")).eval()
    states = {"vision": torch.randn(2, 1 + 9, 12), "text": torch.randn(2, 5, 10)}
    mask = torch.tensor([[True, True, True, False, False]] * 2)
    first = head(states, {"text": mask})
    states["text"][:, 3:] = 100.0
    second = head(states, {"text": mask})
    for name in ("box", "mask"):
        torch.testing.assert_close(first[name], second[name])
    assert first["box"].shape == (2, 4) and first["mask"].shape == (2, 12, 12)
    assert ((first["box"] > 0) & (first["box"] < 1)).all()
    states["text"][:, 0] += 1.0
    assert not torch.allclose(head(states, {"text": mask})["box"], first["box"])


@pytest.mark.parametrize(("reads", "special"), [("cls", 1), ("cls", 0), ("mean", 1)])
def test_without_words_the_head_reads_one_vector_alone(reads, special):
    torch.manual_seed(0)
    head = GroundingDecoder(vision=12, text=10, hidden=16, layers=1, targets=("box",), reads=reads).eval()
    head.special = {"vision": 1, "text": special}
    states = {"vision": torch.randn(2, 1 + 9, 12), "text": torch.randn(2, 5, 10)}
    masks = {"text": torch.tensor([[True, True, True, False, False]] * 2)}
    first = head(states, masks)["box"]
    states["text"][:, 3:] = 100.0  # padding
    torch.testing.assert_close(head(states, masks)["box"], first)
    states["text"][:, :3] = states["text"][:, [0, 2, 1]]  # words in another order have the same mean
    torch.testing.assert_close(head(states, masks)["box"], first)
    states["text"][:, 1] += torch.randn(10)
    assert torch.allclose(head(states, masks)["box"], first) == (reads == "cls" and special == 1)
    states["text"][:, 0] += torch.randn(10)
    assert not torch.allclose(head(states, masks)["box"], first)


def test_joined_splits_name_their_data_set():
    assert Joined.test_splits[-1] == "refcocog.test"
    assert set(Joined.datasets) == {split.partition(".")[0] for split in Joined.test_splits}


@pytest.mark.parametrize("values", [{"hidden": 6}, {"layers": 0}, {"jitter": -1.0}, {"shrink": 0.0}])
def test_impossible_settings(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        RefCOCO(**values)


def test_scoring_takes_one_of_two_objects_and_training_the_mean():
    """Two places far apart are looked at alike: no box may lie between them in scoring."""
    torch.manual_seed(0)
    head = GroundingDecoder(vision=12, text=10, hidden=16, layers=1, targets=("box",))
    with torch.no_grad():
        head.look.bias.zero_()
        head.look.weight.copy_(torch.eye(16))
        for parameter in head.box[-1].parameters():
            parameter.zero_()  # no offset: the centre is the reference point
    query_BD = torch.zeros(1, 16)
    query_BD[0, 0] = 40.0
    x_BND = torch.zeros(1, 81, 16)
    x_BND[0, 1 * 9 + 2, 0] = 5.02  # row 1, column 2
    x_BND[0, 7 * 9 + 6, 0] = 5.0
    mean = head.train()._box(query_BD, x_BND, 9, 9)[0, :2]
    torch.testing.assert_close(mean, torch.tensor([4.5 / 9, 4.5 / 9]), atol=0.15, rtol=0)
    best = head.eval()._box(query_BD, x_BND, 9, 9)[0, :2]
    torch.testing.assert_close(best, torch.tensor([2.5 / 9, 1.5 / 9]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("rows", "columns", "down", "across"), [(8, 8, 1, 1), (28, 28, 4, 4), (2, 40, 1, 5)])
def test_places_around_one(rows, columns, down, across):
    place = torch.tensor([(rows // 2) * columns + columns // 2, 0])
    middle, corner = near_places(place, rows, columns).unflatten(1, (rows, columns)).int()
    assert middle.any(1).sum() == min(2 * down + 1, rows) and middle.any(0).sum() == 2 * across + 1
    assert corner[: down + 1, : across + 1].all() and corner.sum() == (down + 1) * (across + 1)
