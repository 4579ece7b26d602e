from __future__ import annotations

import os
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco
from refer_files import annotation, image, ref, write_release

from bench.datasets import coco_instances, refcoco, refer_entries
from bench.datasets.refcoco import DATASETS, Release
from bench.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def _nothing_remembered():
    refer_entries._read.cache_clear()


@pytest.mark.parametrize("protocol", [0, 1, 2])
@pytest.mark.parametrize("pictures", refcoco.PICTURES)
def test_reads_a_release(tmp_path, protocol, pictures):
    refs = [ref(2, "val", (b"caf\xc3\xa9 left", b"na\xefve")), ref(1, "train"), ref(3, "val")]
    write_release(tmp_path, refs, protocol=protocol, pictures=pictures)
    release = Release(tmp_path, "refcoco", "val")
    first, second, third = release.expressions
    assert (first.dataset, first.ref_id, first.ann_id, first.image_id, first.category_id) == ("refcoco", 2, 20, 2, 3)
    assert (first.sent_id, first.text) == (200, "café left")
    assert (second.sent_id, second.text) == (201, "naïve")
    assert (third.sent_id, third.text) == (300, "the red one")
    assert first.file_name == "COCO_train2014_000000000002.jpg"
    assert first.box == (10.0, 5.0, 10.0, 15.0) and first.size == (30, 40)
    assert release.image(first).shape == (30, 40, 3) and release.image(first).dtype == np.uint8
    assert abs(release.image(first).astype(int) - 100).max() <= 2
    expected = np.zeros((30, 40), dtype=bool)
    expected[5:20, 10:20] = True
    assert np.array_equal(release.mask(first), expected)


@pytest.mark.parametrize(
    ("name", "folder", "refs_name", "splits"),
    [
        ("refcoco", "refcoco", "refs(unc).p", ["train", "val", "testA", "testB"]),
        ("refcoco_plus", "refcoco+", "refs(unc).p", ["train", "val", "testA", "testB"]),
        ("refcocog", "refcocog", "refs(umd).p", ["train", "val", "test"]),
    ],
)
def test_each_data_set_has_its_folder_and_splits(tmp_path, name, folder, refs_name, splits):
    refs = [ref(1 + place % 3, split) for place, split in enumerate(splits)]
    write_release(tmp_path, refs, folder, refs_name)
    for place, split in enumerate(splits):
        assert [expression.ref_id for expression in Release(tmp_path, name, split).expressions] == [1 + place % 3]
    assert next(iter(DATASETS[name].splits.values())) == tuple(splits)


def test_another_split_file_can_be_chosen(tmp_path):
    write_release(tmp_path, [ref(1), ref(2, "val")], "refcocog", "refs(umd).p")
    write_release(tmp_path, [ref(2), ref(1, "val")], "refcocog", "refs(google).p")
    assert Release(tmp_path, "refcocog", "train").expressions[0].ref_id == 1
    assert Release(tmp_path, "refcocog", "train", "google").expressions[0].ref_id == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("refclef", "train"), "choose one of refcoco, refcoco_plus, refcocog"),
        (("refcoco", "test"), "split by unc has no split 'test': choose one of train, val, testA, testB"),
        (("refcocog", "test", "google"), "split by google has no split 'test': choose one of train, val"),
        (("refcoco_plus", "train", "google"), "choose one of unc"),
    ],
)
def test_an_unknown_name_is_reported_with_the_known_ones(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        Release(tmp_path, *arguments)


@pytest.mark.parametrize("gone", ["refcoco/instances.json", "refcoco/refs(unc).p", "images/train2014"])
def test_missing_files_are_named_with_the_layout(tmp_path, gone):
    write_release(tmp_path, [ref(1)])
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError) as caught:
        Release(tmp_path, "refcoco", "train")
    message, layout = str(caught.value).split("--data-root")
    assert f"missing: {tmp_path / gone}." in message and "refcoco/instances.json, refcoco/refs(unc).p" in layout
    assert "images/mscoco/images/train2014" in layout


def test_a_split_without_expressions_is_an_error(tmp_path):
    write_release(tmp_path, [ref(1)])
    with pytest.raises(DataError, match=r"refs\(unc\)\.p: contains no expressions of split testB"):
        Release(tmp_path, "refcoco", "testB")


def test_the_raw_sentence_stands_in(tmp_path):
    sentences = [{b"sent_id": 1, b"raw": b"The Dog"}, {b"sent_id": 2, b"sent": b"", b"raw": b"?"}]
    sentences.append({b"sent_id": 3, b"sent": b"", b"raw": b""})
    write_release(tmp_path, [ref(1, sentences=sentences)])
    assert [expression.text for expression in Release(tmp_path, "refcoco", "train").expressions] == ["The Dog", "?", ""]


@settings(deadline=None, max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_read_as_python_2_wrote_it(tmp_path_factory, text):
    root = tmp_path_factory.mktemp("text")
    write_release(root, [ref(1, sentences=[{b"sent_id": 1, b"sent": text}])])
    assert Release(root, "refcoco", "train").expressions[0].text == text


def test_half_a_character_does_not_get_through(tmp_path):
    write_release(tmp_path, [])
    entry = {key.decode(): value for key, value in ref(1, split=None, sentences=None).items() if key != b"file_name"}
    entry |= {"split": "train", "sentences": [{"sent_id": 1, "sent": "a\ud800b"}]}
    (tmp_path / "refcoco/refs(unc).p").write_bytes(pickle.dumps([entry], 2))
    assert Release(tmp_path, "refcoco", "train").expressions[0].text == "a\ufffdb"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ref_id": None}, r"ref number 1: ref_id should be a whole number, found nothing"),
        ({"ref_id": b"2"}, r"ref number 1: ref_id should be a whole number, found '2'"),
        ({"ref_id": True}, r"ref number 1: ref_id should be a whole number, found True"),
        ({"ann_id": None}, r"ref 2: ann_id should be a whole number, found nothing"),
        ({"ann_id": 77}, r"ref 2: ann_id 77 is not in .*instances\.json"),
        ({"image_id": 77}, r"ref 2: image_id 77 is not in .*instances\.json"),
        ({"image_id": 1}, r"ref 2: its image_id is 1, but that of annotation 20 in .*instances\.json is 2"),
        ({"split": 3}, r"ref 2: split should be text, found 3"),
        ({"sentences": None}, r"ref 2: sentences should be a list, found nothing"),
        ({"sentences": b"a dog"}, r"ref 2: sentences should be a list, found 'a dog'"),
        ({"sentences": [b"a dog"]}, r"ref 2: sentence 0: should be a dict, found 'a dog'"),
        ({"sentences": [{b"sent": b"a"}]}, r"ref 2: sentence 0: sent_id should be a whole number, found nothing"),
        ({"sentences": [{b"sent_id": 1}]}, r"ref 2: sentence 0: raw should be text, found nothing"),
        ({"sentences": [{b"sent_id": 1, b"sent": 5}]}, r"ref 2: sentence 0: sent should be text, found 5"),
    ],
)
def test_a_wrong_ref_is_named_with_its_key(tmp_path, keys, message):
    write_release(tmp_path, [ref(1), ref(2, **keys)])
    with pytest.raises(DataError, match=r"refs\(unc\)\.p: " + message):
        Release(tmp_path, "refcoco", "train")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"height": None}, r"image 1: height should be a whole number, found None"),
        ({"width": 0}, r"image 1: height and width should be 1 to 10000 pixels, found 30 and 0"),
        ({"width": 10**9}, r"found 30 and 1000000000"),
        ({"file_name": 5}, r"image 1: file_name should be text, found 5"),
        ({"file_name": "../secret.jpg"}, r"image 1: file_name is not a plain file name: '\.\./secret\.jpg'"),
        ({"file_name": "/etc/passwd"}, r"not a plain file name"),
        ({"file_name": ".."}, r"not a plain file name"),
        ({"file_name": ""}, r"not a plain file name"),
        ({"file_name": "a\\b.jpg"}, r"not a plain file name"),
        ({"file_name": "a\0.jpg"}, r"not a plain file name"),
        ({"file_name": "a.jpg\n"}, r"not a plain file name"),
        ({"file_name": "\ud800.jpg"}, r"cannot be read as JSON"),
        ({"id": "1"}, r"images, entry 0: id should be a whole number, found '1'"),
    ],
)
def test_a_wrong_image_entry_is_named(tmp_path, keys, message):
    write_release(tmp_path, [ref(1)], images=[image(1, **keys)])
    with pytest.raises(DataError, match=r"instances\.json: " + ("(image 1: .*)?" + message)):
        Release(tmp_path, "refcoco", "train")


@pytest.mark.parametrize(
    "bbox",
    [
        None,
        "10,5,10,15",
        [10, 5, 10],
        [10, 5, 10, 15, 1],
        [10, 5, 10, "15"],
        [10, 5, 0, 15],
        [10, 5, 10, -15],
        [10, 5, 10, True],
        [60, 5, 10, 15],
        [10, 5, 60, 15],
        [-20, 5, 10, 15],
        [10, 5, 10, 60],
        [10, 5, 10, 10**400],
    ],
)
def test_a_wrong_box_is_named(tmp_path, bbox):
    write_release(tmp_path, [ref(1)], annotations=[annotation(1, bbox=bbox)])
    with pytest.raises(DataError, match=r"instances\.json: annotation 10: bbox .*should"):
        Release(tmp_path, "refcoco", "train")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_json_are_reported(tmp_path, number):
    write_release(tmp_path, [ref(1)], annotations=[annotation(1, bbox=[number, 5, 10, 15])])
    with pytest.raises(DataError, match=r"instances\.json: cannot be read as JSON of COCO's format"):
        Release(tmp_path, "refcoco", "train")


def test_a_box_may_reach_a_little_over_the_edge(tmp_path):
    write_release(tmp_path, [ref(1)], annotations=[annotation(1, bbox=[-0.5, 0, 41, 30.01])])
    assert Release(tmp_path, "refcoco", "train").expressions[0].box == (-0.5, 0.0, 41.0, 30.01)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '{"images": []}', '{"images": {}, "annotations": []}', "[" * 100_000, "\xff\xfe\x00"),
        '{"images": [1], "annotations": []}',
        '{"images": [], "annotations": [{"id": ' + "9" * 5000 + "}]}",
    ],
)
def test_malformed_json_is_named(tmp_path, text):
    write_release(tmp_path, [ref(1)])
    (tmp_path / "refcoco/instances.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"instances\.json: ") as caught:
        Release(tmp_path, "refcoco", "train")
    assert len(str(caught.value)) < 500


def test_a_pickle_that_asks_for_more_is_refused(tmp_path):
    write_release(tmp_path, [ref(1)])
    (tmp_path / "refcoco/refs(unc).p").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataError, match=r"refs\(unc\)\.p: refers to os\.system"):
        Release(tmp_path, "refcoco", "train")


def test_masks_from_polygons_and_run_lengths_are_the_same(tmp_path):
    square = np.zeros((30, 40), dtype=np.uint8, order="F")
    square[5:20, 10:20] = 1
    numbers = [30 * 10 + 5, *[15, 15] * 9, 15, 30 * 20 + 10]
    segmentations = [
        {"size": [30, 40], "counts": numbers},
        {"size": [30, 40], "counts": coco.encode(square)["counts"].decode()},
        [[10.0, 5.0, 20.0, 5.0, 20.0, 12.0, 10.0, 12.0], [10, 12, 20, 12, 20, 20, 10, 20]],
    ]
    annotations = [annotation(ann, segmentation=mask, iscrowd=1) for ann, mask in enumerate(segmentations, start=1)]
    write_release(tmp_path, [ref(1), ref(2), ref(3)], annotations=annotations)
    release = Release(tmp_path, "refcoco", "train")
    for expression in release.expressions:
        assert np.array_equal(release.mask(expression), square.astype(bool))


def test_a_wrong_segmentation_is_named(tmp_path):
    wrong = [annotation(1, segmentation={"size": [30, 40], "counts": [7]}), annotation(2)]
    del wrong[1]["segmentation"]
    write_release(tmp_path, [ref(1), ref(2)], annotations=wrong)
    release = Release(tmp_path, "refcoco", "train")
    for expression in release.expressions:
        with pytest.raises(DataError, match=rf"instances\.json: annotation {expression.ann_id}: segmentation has "):
            release.mask(expression)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB", "1", "P"])
def test_pictures_of_any_mode_become_rgb(tmp_path, mode):
    write_release(tmp_path, [ref(1)])
    path = tmp_path / "images/train2014/COCO_train2014_000000000001.jpg"
    Image.new("RGB", (40, 30), (255, 255, 255)).convert(mode).save(path, "PNG" if mode in "1P" else "JPEG")
    release = Release(tmp_path, "refcoco", "train")
    pixels = release.image(release.expressions[0])
    assert pixels.shape == (30, 40, 3) and pixels.dtype == np.uint8 and pixels.min() > 250 and pixels.flags.writeable


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"no picture"), "cannot be read"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "cannot be read"),
        (lambda path: Image.new("RGB", (30, 40)).save(path), r"has 40 x 30 pixels .*instances\.json says 30 x 40"),
    ],
)
def test_a_wrong_picture_is_named_with_its_sample(tmp_path, harm, message):
    write_release(tmp_path, [ref(1)])
    harm(tmp_path / "images/train2014/COCO_train2014_000000000001.jpg")
    release = Release(tmp_path, "refcoco", "train")
    with pytest.raises(DataError, match=rf"sample 100 of refcoco: image .*000000000001\.jpg {message}"):
        release.image(release.expressions[0])


def test_files_are_read_once_for_all_splits_and_again_when_they_change(tmp_path, monkeypatch):
    write_release(tmp_path, [ref(1), ref(2, "val")])
    reads = []
    real = refer_entries.read_instances
    monkeypatch.setattr(refer_entries, "read_instances", lambda *arguments: reads.append(1) or real(*arguments))
    train = Release(tmp_path, "refcoco", "train")
    train.expressions.clear()
    assert Release(tmp_path, "refcoco", "train").expressions and Release(tmp_path, "refcoco", "val").expressions
    assert len(reads) == 1
    write_release(tmp_path, [ref(1), ref(2, "val"), ref(3, "val")])
    assert len(Release(tmp_path, "refcoco", "val").expressions) == 2 and len(reads) == 2


def test_unused_entries_take_no_memory(tmp_path):
    """A list of Python takes twenty times the bytes of its JSON, so only the wanted entries become lists."""
    write_release(tmp_path, [ref(1)])
    path = tmp_path / "refcoco/instances.json"
    text = path.read_text()
    nested = "[" + "[]," * 300_000 + "[]]"
    for key, more in (("segmentation", nested), ("unknown", nested), ("licenses", nested)):
        unused = f'{{"id": 77, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "{key}": {more}}}'
        path.write_text(text.replace('"annotations": [', f'"{key}": {more}, "annotations": [{unused}, '))
        refer_entries._read.cache_clear()
        tracemalloc.start()
        try:
            assert len(Release(tmp_path, "refcoco", "train").expressions) == 1
            assert tracemalloc.get_traced_memory()[1] < 3 * path.stat().st_size
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            {"bbox": [[]] * 400},
            r"instances\.json: annotations, entry 0: bbox cannot be read: [\d,]+ bytes, more than 1,000",
        ),
        ({"image_id": "x" * 2000}, r"entry 0: image_id cannot be read: [\d,]+ bytes, more than"),
    ],
)
def test_a_value_that_is_too_long_is_reported(tmp_path, harm, message):
    write_release(tmp_path, [ref(1)], annotations=[annotation(1, **harm)])
    with pytest.raises(DataError, match=message):
        Release(tmp_path, "refcoco", "train")


def test_more_entries_or_sentences_than_a_data_set_can_have_are_refused(tmp_path, monkeypatch):
    write_release(tmp_path, [ref(1), ref(2)])
    for module, limit, message in (
        (coco_instances, "MAX_ENTRIES", "it has 8 tables, more than 6"),
        (refer_entries, "MAX_EXPRESSIONS", "4 refs and sentences, more than 3"),
    ):
        refer_entries._read.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, {"MAX_ENTRIES": 6, "MAX_EXPRESSIONS": 3}[limit])
            with pytest.raises(DataError, match=message):
                Release(tmp_path, "refcoco", "train")
    write_release(tmp_path, [ref(1, sents=(b"a" * 10_001,))])
    with pytest.raises(DataError, match="sentence 0: 10,001 characters, more than 10,000"):
        Release(tmp_path, "refcoco", "train")


def test_only_entries_named_by_refs_are_kept(tmp_path):
    write_release(tmp_path, [ref(2)])
    assert list(Release(tmp_path, "refcoco", "train")._segmentations) == [20]
