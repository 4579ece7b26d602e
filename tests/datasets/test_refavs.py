from __future__ import annotations

import csv
import io
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from official import write_official

from bench.datasets.base import describe, load_dataset
from bench.datasets.refavs import COLUMNS, SECONDS, SPLITS, Expression, Release
from bench.errors import DataError

GOOD = "a_0_10000,a_0_10000_cat_1,train,0,The cat."


@pytest.fixture(scope="session")
def release_folder(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("refavs"), "refavs")


def table(root, *rows):
    (root / "metadata.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return root


def test_reads_generated_expressions(release_folder):
    counts = {split: len(Release(release_folder, split).expressions) for split in SPLITS}
    assert counts == {"train": 9, "val": 4, "test_s": 3, "test_u": 3, "test_n": 3}
    release = Release(release_folder, "test_s")
    for expression in release.expressions:
        assert release.frames(expression, 56).shape == (SECONDS, 3, 56, 56)
        masks = release.masks(expression)
        assert masks.shape == (SECONDS, 256, 256) and masks.any(axis=(1, 2)).all() and not expression.absent
        assert release.waves(expression, 16_000).shape == (SECONDS, 16_000)
    files = list(release.files())
    assert len(files) == len(set(files)) == 1 + SECONDS + 3 * SECONDS + 1 and all(path.is_file() for path in files)


def test_what_is_absent_has_its_own_media_and_black_masks(release_folder):
    """`vid` names the video that is counted; the folder comes from `uid`."""
    for split in ("train", "val", "test_n"):
        release = Release(release_folder, split)
        absent = [expression for expression in release.expressions if expression.absent]
        assert len(absent) == {"train": 1, "val": 1, "test_n": 3}[split]
        for expression in absent:
            assert expression.category == "null" and expression.folder == f"null_c-{expression.video}"
            assert release.sound_path(expression).is_file() and not release.masks(expression).any()


def test_texts_with_commas_quotes_and_other_letters_are_read(release_folder):
    texts = [expression.text for expression in Release(release_folder, "train").expressions]
    assert texts[0] == 'The thing, not the "other" one, that sounds'
    assert texts[1] == "The thing in a man\u2019s arm \u9519\u8bef"


def test_rows_of_no_split_are_left_out_and_their_lines_known(release_folder):
    release = Release(release_folder, "val")
    assert release.unassigned[0] == 4 and len(release.unassigned) == 2
    assert not any(expression.video == "x1_0_10000" for s in SPLITS for expression in _expressions(release_folder, s))


def _expressions(root, split):
    return Release(root, split).expressions


def test_a_line_break_within_a_text_does_not_shift_the_lines(tmp_path):
    root = table(tmp_path, GOOD, 'b,b_dog_1,train,0,"a\nb"', "c,c_dog_1,train,x,The dog.")
    Release(root, "train", problems := [])
    assert ["line 4: exp" in str(problems[0]), "line 5: fid" in str(problems[1])] == [True, True]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,../a_cat_1,train,0,The cat.", "uid: expected <folder>_<category>_<number> without slashes"),
        ("a,.._cat_1,train,0,The cat.", "uid"),
        ("a,_cat_1,train,0,The cat.", "uid"),
        ("a,cat_1,train,0,The cat.", "uid"),
        ("a,C:_cat_1,train,0,The cat.", "uid"),
        ("a,a\\b_cat_1,train,0,The cat.", "uid"),
        ("../a,a_cat_1,train,0,The cat.", "vid: expected the id of a video"),
        (",a_cat_1,train,0,The cat.", "vid"),
        ("a,a_cat_1,trainn,0,The cat.", "split: expected one of train, val, test_s, test_u, test_n, found 'trainn'"),
        ("a,a_cat_1,train,one,The cat.", "fid: expected the number of an object, an integer from 0, found 'one'"),
        ("a,a_cat_1,train,-1,The cat.", "fid"),
        ("a,a_cat_1,train,1.0,The cat.", "fid"),
        ("a,a_cat_1,train,\u0661,The cat.", "fid"),
        ("a,a_cat_1,train,../0,The cat.", "fid"),
        ("a,a_cat_1,train,0,", "exp: expected an expression"),
        ("a,a_cat_1,train,0," + "a" * 1001, "exp"),
        ("a,a_cat_1,train,0,a\x1b[2Jb", "exp"),
        ("a,a_cat_1,train,0,The cat, sitting.", "expected 5 columns, found 6: a text that contains commas must be in"),
        ("a,a_cat_1,train", "expected 5 columns, found 3"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, message):
    root = table(tmp_path, GOOD, row)
    with pytest.raises(DataError, match=rf"metadata\.csv, line 3: {re.escape(message)}"):
        Release(root, "train")
    release = Release(root, "train", problems := [])
    assert len(release.expressions) == 1 and len(problems) == 1
    assert str(problems[0]).isprintable()


def test_columns_in_any_order_and_others_are_read(tmp_path):
    (tmp_path / "metadata.csv").write_text("exp,more,fid,split, uid ,vid\n The cat. ,,2,val, a_b_cat_1 ,a\n\n,,,,,\n")
    assert Release(tmp_path, "val").expressions == [Expression("a_b_cat_1", "a", 2, "The cat.")]
    with pytest.raises(DataError, match=r"metadata\.csv: no row has the split train"):
        Release(tmp_path, "train")


def test_a_short_row_is_not_taken_for_one_without_the_columns_between(tmp_path):
    (tmp_path / "metadata.csv").write_text(f"more,{','.join(COLUMNS)}\n,{GOOD}\n{GOOD}\n")
    with pytest.raises(DataError, match="line 3: expected 6 columns, found 5"):
        Release(tmp_path, "train")


def test_a_table_that_is_none_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no metadata\.csv in .*REFAVS"):
        Release(tmp_path, "train")
    (tmp_path / "metadata.csv").write_text("uid,vid,split\na,b,train\n")
    with pytest.raises(DataError, match="column fid, exp is missing: the first line has uid, vid, split"):
        Release(tmp_path, "train")
    with pytest.raises(DataError, match="contains no expressions"):
        Release(table(tmp_path), "train")
    (tmp_path / "metadata.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as CSV in UTF-8"):
        Release(tmp_path, "train")


def test_a_missing_frame_is_named_with_its_sample(release_folder, tmp_path):
    root = write_official(tmp_path, "refavs")
    release = Release(root, "val")
    expression = release.expressions[0]
    release.frame_paths(expression)[7].unlink()
    with pytest.raises(DataError, match=rf"sample {expression.uid}: image .*frames/7\.jpg is missing"):
        release.frames(expression, 56)


def test_frames_masks_and_sound_are_of_the_same_second(tmp_path):
    """Each second is a shot of its own: where the mask is, the picture differs from that of the next second."""
    root = write_official(tmp_path, "refavs")
    release = Release(root, "test_u")
    expression = release.expressions[0]
    assert [path.name for path in release.frame_paths(expression)] == [f"{second}.jpg" for second in range(10)]
    assert [path.name for path in release.mask_paths(expression)] == [f"{second:05d}.png" for second in range(10)]
    waves = release.waves(expression, 16_000)
    assert all(np.abs(first - second).max() > 1e-3 for first, second in itertools.pairwise(waves))


NAME = st.text(st.characters(blacklist_categories=["C", "Z"], blacklist_characters="/\\:"), min_size=1, max_size=20)


@given(
    stem=NAME.filter(lambda name: name.strip(". ")),
    category=NAME.filter(lambda name: "_" not in name),
    number=st.integers(0, 99),
    object_id=st.integers(0, 999_999),
    split=st.sampled_from(SPLITS),
    text=st.text(st.characters(blacklist_categories=["C", "Zl", "Zp", "Zs"]), min_size=1, max_size=50),
)
def test_every_row_that_is_written_is_read(tmp_path_factory, stem, category, number, object_id, split, text):
    """For any names and texts; what is read leads into the folders of the release."""
    root = tmp_path_factory.getbasetemp() / "rows"
    root.mkdir(exist_ok=True)
    buffer = io.StringIO()
    csv.writer(buffer).writerows([COLUMNS, ("v", f"{stem}_{category}_{number}", split, object_id, text)])
    (root / "metadata.csv").write_text(buffer.getvalue(), encoding="utf-8", newline="")
    release = Release(root, split)
    (expression,) = release.expressions
    assert (expression.folder, expression.category, expression.object_id) == (stem, category, object_id)
    assert expression.text == text and expression.absent == (category == "null")
    for path in release.files():
        assert path.resolve().is_relative_to(root.resolve())


def test_a_description_lists_every_column_and_folder_that_is_read(release_folder):
    text = describe(load_dataset("refavs"))
    (line,) = [line for line in text.splitlines() if "metadata.csv" in line]
    assert all(re.search(rf"\b{name}\b", line) for name in (*COLUMNS, *SPLITS))
    release = Release(release_folder, "train")
    for path in (release.frame_paths, release.mask_paths):
        assert path(release.expressions[0])[0].name in text
