"""What `bench data verify` finds in a release of RefCOCO."""

from __future__ import annotations

import shutil

import pytest
from refer_files import annotation, image, ref, write_release

from bench.datasets import refer_entries
from bench.datasets.refcoco import Release
from bench.datasets.verify import verify
from bench.errors import DataError


@pytest.fixture(autouse=True)
def _nothing_remembered():
    refer_entries._read.cache_clear()


def verified(root):
    return [fault.text for fault in verify("refcoco", root, lambda items, *_: items, published=False).faults]


@pytest.mark.parametrize("changes", [{}, {"bbox": [0.0, 0.0, 5.0, 5.0]}])
def test_a_duplicate_annotation_is_reported_and_refused_if_used(tmp_path, changes):
    write_release(tmp_path, [ref(1), ref(2)], annotations=[annotation(1), annotation(2), annotation(2, **changes)])
    assert any("annotations: id 20 occurs twice" in fault for fault in verified(tmp_path))
    if not changes:
        assert len(Release(tmp_path, "refcoco", "train").expressions) == 2
        return
    with pytest.raises(DataError, match=r"ref 2: ann_id 20 occurs twice in .*instances.json with different contents"):
        Release(tmp_path, "refcoco", "train")


def test_a_duplicate_ref_or_image_is_reported(tmp_path):
    refs = [ref(1), ref(1, sentences=[{b"sent_id": 7, b"sent": b"it"}])]
    write_release(tmp_path, refs, images=[image(1), image(1), image(2), image(3)])
    faults = verified(tmp_path)
    assert any("ref_id 1 occurs 2 times, expected once" in fault for fault in faults)
    assert any("images: id 1 occurs twice, with the same contents" in fault for fault in faults)


def test_a_sentence_without_a_word_is_reported(tmp_path):
    write_release(tmp_path, [ref(1, sents=(b"the dog", b"?!", b"7")), ref(2, "val"), ref(3, "testA")])
    (wrong,) = [fault for fault in verified(tmp_path) if "no word" in fault]
    assert wrong.endswith("refs(unc).p: ref 1, sent_id 101: no word in its text '?!'")


def test_a_mask_outside_its_box_is_reported_and_refused_by_tasks_that_need_both(tmp_path):
    write_release(tmp_path, [ref(1), ref(2)], annotations=[annotation(1, bbox=[30.0, 22.0, 9.0, 7.0]), annotation(2)])
    assert any("annotation 10: bbox [30.0, 22.0, 9.0, 7.0], expected about" in fault for fault in verified(tmp_path))
    release = Release(tmp_path, "refcoco", "train")
    beside, sound = release.expressions
    release.check_together(sound, release.mask(sound))
    with pytest.raises(DataError, match=r"annotation 10: bbox .* and segmentation do not match: .*\[10\.0, 5"):
        release.check_together(beside, release.mask(beside))


def test_an_invalid_box_only_matters_if_boxes_are_needed(tmp_path):
    write_release(tmp_path, [ref(1), ref(2)], annotations=[annotation(1, bbox=None), annotation(2)])
    with pytest.raises(DataError, match="annotation 10: bbox should be"):
        Release(tmp_path, "refcoco", "train")
    release = Release(tmp_path, "refcoco", "train", boxes=False)
    assert release.mask(release.expressions[0]).any()
    with pytest.raises(DataError, match="annotation 10 has no valid box"):
        release.box(release.expressions[0])
    assert len(Release(tmp_path, "refcoco", "train", problems=[]).expressions) == 1


def bare(*keys):
    """Return a release of which these keys are left out everywhere."""

    def strip(value):
        if isinstance(value, dict):
            return {
                key: strip(item)
                for key, item in value.items()
                if (key.decode() if type(key) is bytes else key) not in keys
            }
        return [strip(item) for item in value] if isinstance(value, list) else value

    return strip


def test_all_missing_files_are_named_at_once(tmp_path):
    """Who lays a release out by hand need not try again for each key."""
    strip = bare("height", "width", "image_id", "split", "sent_id")
    write_release(
        tmp_path,
        strip([ref(1), ref(2)]),
        images=strip([image(1), image(2)]),
        annotations=strip([annotation(1), annotation(2)]),
    )
    named = (
        "instances.json: no entry of images has height, width",
        "instances.json: no entry of annotations has image_id",
        "refs(unc).p: no ref has image_id, split",
        "refs(unc).p: no sentence of a ref has sent_id",
    )
    with pytest.raises(DataError) as caught:
        Release(tmp_path, "refcoco", "train")
    assert all(part in str(caught.value) for part in named)
    shutil.rmtree(tmp_path / "images")
    faults = verified(tmp_path)
    assert len(faults) == 5 and "images/train2014" in faults[0]
    assert all(any(part in fault for fault in faults) for part in named)
    (tmp_path / "refcoco/instances.json").write_text("[]")
    faults = verified(tmp_path)
    assert len(faults) == 4 and "Expected `object`, got `array`" in faults[1]


def test_keys_that_some_score_are_named_once_and_not_for_each_object(tmp_path):
    objects = bare("bbox", "segmentation", "category_id")([annotation(number) for number in (1, 2, 3)])
    write_release(tmp_path, [ref(1), ref(2), ref(3)], annotations=objects)
    faults = verified(tmp_path)
    assert sum("bbox" in fault for fault in faults) == 1 and "no annotation of the file has one" in faults[-2]
    assert "instances.json: no annotation has segmentation, category_id" in faults[-1]
