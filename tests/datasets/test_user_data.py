from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from user_files import write_csv, write_folders

from bench.datasets.user_data import read_user_data
from bench.datasets.user_samples import SPLITS, UserData
from bench.errors import DataError


def table(folder: Path, text: str) -> Path:
    path = folder / "a.csv"
    path.write_text(text)
    return path


def by_split(data: UserData) -> dict[str, list[str]]:
    names = defaultdict(list)
    for sample in data.samples:
        names[sample.split].append(sample.name)
    return dict(names)


SPLIT_ROWS = "a.png,red,train\nb.png,blue,train\nc.png,red,val\nd.png,blue,test\n"


def test_a_csv_is_read_with_its_splits_and_synonyms(tmp_path):
    text = "image, Label ,split\n" + SPLIT_ROWS.replace("val", "validation").replace("test", "Testing")
    data = read_user_data(table(tmp_path, text), ["image", "label"])
    assert by_split(data) == {"train": ["line 2", "line 3"], "val": ["line 4"], "test": ["line 5"]}
    assert data.classes == ("blue", "red") and not data.problems
    assert [*data.files("val")] == [tmp_path / "a.csv", tmp_path / "c.png"]


def test_lines_are_counted_across_blank_ones_and_texts_of_several_lines(tmp_path):
    rows = '\n"two\nlines",a,train\n\nx,b,train\ny,a,val\nz,b,test\n'
    data = read_user_data(table(tmp_path, "text,label,split\n" + rows), ["text", "label"])
    assert [sample.name for sample in data.samples] == ["line 3", "line 6", "line 7", "line 8"]
    assert data.samples[0].text == "two\nlines"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected column names among image, audio"),
        ("image;label\na.png;red\n", "must be separated by commas"),
        ("image,lable\na.png,red\n", "unknown column 'lable': did you mean label?"),
        ("image,image,label\n", "column image occurs 2 times"),
        ("image,split\na.png,train\n", "there is no column label, which the task needs; there are image, split"),
        ("image,label,split\n", "has no rows below its header"),
        (
            "image,label,split\n" + SPLIT_ROWS.replace("d.png,blue,test\n", ""),
            "the test split has no samples: name the split of some rows test",
        ),
        ("image,label,split\n" + SPLIT_ROWS.replace("d.png,blue", "d.png,green"), "'green' of test (line 5)"),
        ("image,label,split\n" + SPLIT_ROWS.replace("blue", "red"), "two or more labels in train, found 'red'"),
        (
            "image,label,split\n" + SPLIT_ROWS.replace("d.png", "a.png"),
            "the same sample is in train (line 2) and in test (line 5)",
        ),
        (
            "image,label\na.png,red\nb.png,blue\n",
            "cannot be drawn from 2 rows: val and test would be empty; add more, or give the splits by a column",
        ),
    ],
)
def test_a_csv_that_is_no_task_is_refused(tmp_path, text, message):
    with pytest.raises(DataError) as raised:
        read_user_data(table(tmp_path, text), ["image", "label"])
    assert message in str(raised.value) and str(tmp_path / "a.csv") in str(raised.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("e.png,red", "expected 3 values, found 2"),
        ("e.png,red,train,x", "a text with a comma must be in double quotes"),
        (",red,train", "image is empty"),
        (",,train", "image and label are empty"),
        ("e.png,red,", "expected split train, val or test, found ''"),
        ("/etc/passwd,red,train", "a path below the folder of the CSV"),
        ("x/../../e.png,red,train", "a path below the folder of the CSV"),
        ("x\\e.png,red,train", "a path below the folder of the CSV"),
        ("e.png,re\x07d,train", "printable"),
    ],
)
def test_an_invalid_row_is_a_problem_with_its_line(tmp_path, row, message):
    data = read_user_data(table(tmp_path, f"image,label,split\n{SPLIT_ROWS}{row}\n"), ["image", "label"])
    assert [problem for problem in map(str, data.problems) if message in problem and "a.csv, line 6: " in problem]
    assert len(data.samples) == 4 and len(data.problems) == 1


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (
            'a.png,"red,test\n',
            "line 6: cannot be read as CSV: unexpected end of data; each double quote must be closed",
        ),
        ('a.png,"red,test\nb.png,blue,test\n', "line 6: cannot be read as CSV: unexpected end of data in line 7; each"),
        (
            'a.png,"red,test\nb.png,"blue",test\n',
            "line 6: cannot be read as CSV: ',' expected after '\"' in line 7; each",
        ),
        ('a.png,"a "red" one",test\n', "line 6: cannot be read as CSV: ',' expected after '\"'; each"),
    ],
)
def test_wrong_quotes_are_named_with_their_line_and_join_no_rows(tmp_path, rows, line):
    data = read_user_data(table(tmp_path, f"image,label,split\n{SPLIT_ROWS}{rows}"), ["image", "label"])
    (problem,) = map(str, data.problems)
    assert line in problem and len(data.samples) == 4


def test_all_mistakes_are_reported_at_once(tmp_path):
    text = "image,label,split,group\na.png,red,train,x\nb.png,blue,train,\n,red,val,\nc.png,red,test,x\n"
    text += "d.png,green,test,\ne.png,grey,test,\nf.png,red,tset,\ng.png,green,test,\nh.png,red,test,x\n"
    path = table(tmp_path, text + 'i.png,red,"val\n')
    with pytest.raises(DataError) as raised:
        read_user_data(path, ["image", "label"])
    expected = [
        ", line 4: image is empty",
        ", line 8: expected split train, val or test, found 'tset'",
        ", line 11: cannot be read as CSV",
        ": the val split has no valid samples",
        ": group 'x' is in train (line 2) and in test (line 5)",
        ": label 'green' of test (line 6)",
        ": label 'grey' of test (line 7)",
    ]
    for problem, start in zip(raised.value.problems, expected, strict=True):
        assert problem.startswith(f"{path}{start}")


def test_mistakes_in_the_header_and_in_rows_are_reported_at_once(tmp_path):
    path = table(tmp_path, "image,image,lable,spilt\na.png,a.png,red,train\nb.png,../b.png,red,train\n")
    with pytest.raises(DataError) as raised:
        read_user_data(path, ["image", "label"])
    expected = ("1: column image occurs", "1: unknown column 'lable'", "1: unknown column 'spilt'", "3: expected image")
    for problem, start in zip(raised.value.problems, expected, strict=True):
        assert problem.startswith(f"{path}, line {start}")


def test_of_very_many_mistakes_the_first_are_reported(tmp_path):
    path = table(tmp_path, "image,label\n" + "a.png\n" * 11_000)
    with pytest.raises(DataError) as raised:
        read_user_data(path, [])
    assert len(raised.value.problems) == 51 and ", line 2: " in raised.value.problems[0]
    assert "there may be more" in raised.value.problems[-1]


def test_samples_of_one_group_stay_in_one_split(tmp_path):
    text = "image,group,split\na.png,x,train\nb.png,y,val\nc.png,x,test\n"
    with pytest.raises(DataError, match=r"group 'x' is in train .* and in test"):
        read_user_data(table(tmp_path, text), ["image"])


def test_images_that_splits_share_are_reported(tmp_path):
    text = "image,text,split\na.png,one,train\na.png,two,test\nb.png,three,val\n"
    assert read_user_data(table(tmp_path, text), ["image", "text"]).shared_media() == {"a.png": ("train", "test")}


def test_columns_that_are_not_read_are_reported(tmp_path):
    text = "image,label,split,url,\n" + SPLIT_ROWS.replace("\n", ",http,\n")
    assert read_user_data(table(tmp_path, text), ["image", "label"]).ignored == ("url",)


def test_validation_is_drawn_from_train_if_only_it_is_missing(tmp_path):
    rows = [f"{number}.png,{'ab'[number % 2]},{'test' if number < 5 else 'train'}" for number in range(60)]
    data = read_user_data(table(tmp_path, "\n".join(["image,label,split", *rows])), ["image", "label"])
    counts = {split: len(names) for split, names in by_split(data).items()}
    assert counts["test"] == 5 and 2 <= counts["val"] <= 20 and sum(counts.values()) == 60


names = st.text("abcdefghij", min_size=1, max_size=2)
tables = st.lists(st.tuples(names, st.sampled_from("xyz"), st.sampled_from(["", *"pqrs"])), min_size=12, max_size=60)


@given(tables)
def test_drawn_splits_keep_groups_together_and_cover_every_class(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("drawn") / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "group"), *((f"{image}.png", *row) for image, *row in rows)])
    try:
        data = read_user_data(path, ["image", "label"])
    except DataError as error:
        assert any(text in str(error) for text in ("cannot be drawn", "two or more labels", "the same sample"))
        return
    splits_of_groups = defaultdict(set)
    for sample in data.samples:
        splits_of_groups[sample.group].add(sample.split)
    assert len(data.samples) == len(rows) and {sample.split for sample in data.samples} == {*SPLITS}
    assert all(len(splits) == 1 for splits in splits_of_groups.values())
    assert {*data.classes} == {label for _, label, _ in rows}


@given(st.integers(40, 80))
def test_more_samples_change_no_split(tmp_path_factory, samples):
    folder = tmp_path_factory.mktemp("more")
    rows = [f"{number}.png,{'ab'[number % 2]}" for number in range(80)]
    all_data, first_data = (
        read_user_data(table(folder, "\n".join(["image,label", *rows[:count]])), ["image", "label"])
        for count in (80, samples)
    )
    assert first_data.samples == all_data.samples[:samples]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1), min_size=20, unique=True))
def test_texts_are_read_as_they_were_written(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("texts") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [
            (text, "ab"[number % 2], ("train", "train", "val", "test")[number % 4]) for number, text in enumerate(texts)
        ]
        csv.writer(file).writerows([("text", "label", "split"), *rows])
    try:
        data = read_user_data(path, ["text", "label"])
    except DataError as error:  # such as texts that differ in spaces around them only
        assert "the same sample" in str(error) or "has no samples" in str(error)
        return
    assert [s.text for s in data.samples] == [text.strip() for text in texts if text.strip()]


def test_folders_of_classes_are_read_with_and_without_splits(tmp_path):
    folder = write_folders(write_csv(tmp_path / "csv"), tmp_path / "classes")
    data = read_user_data(folder, ["image", "label"])
    assert data.classes == ("blue", "green", "red") and len(data.samples) == 30 and {*by_split(data)} == {*SPLITS}
    for split in ("train", "valid", "test"):
        write_folders(tmp_path / "csv/things.csv", tmp_path / f"splits/{split}")
    data = read_user_data(tmp_path / "splits", ["image", "label"])
    assert {split: len(samples) for split, samples in by_split(data).items()} == {"train": 30, "val": 30, "test": 30}
    assert "valid/blue/11.png" in by_split(data)["val"]
    assert all(path.is_file() for split in SPLITS for path in data.files(split))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "expected one folder per class"),
        (["a.csv"], "to read its CSV, name the file"),
        (["train/x/a.jpg", "cats/a.jpg"], "contains train, which is a split, beside cats, which is not"),
        (["val/x/a.jpg", "valid/x/a.jpg"], "several folders for one split: val, valid"),
        (["cats/a.gif", "dogs/a.jpg"], "cats: contains no images"),
        (["train/x/a.jpg", "train/y/a.jpg", "test/z/a.jpg", "val/x/b.jpg"], "label 'z' of test"),
    ],
)
def test_folders_that_are_no_task_are_refused(tmp_path, files, message):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=message):
        read_user_data(tmp_path, ["image", "label"])


def test_all_folders_without_images_are_reported_at_once(tmp_path):
    for name in ("train/x", "train/y", "val", "test/y"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "train/x/a.jpg").touch()
    with pytest.raises(DataError) as raised:
        read_user_data(tmp_path, ["image", "label"])
    test, train, val = raised.value.problems
    assert test.startswith(f"{tmp_path}/test/y: contains no images")
    assert train.startswith(f"{tmp_path}/train/y: contains no images")
    assert val.startswith(f"{tmp_path}/val: expected one folder per class")


def test_too_few_images_to_draw_from_are_refused_with_the_folders_of_splits(tmp_path):
    for name in ("x/a.jpg", "y/b.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"cannot be drawn from 2 images: .* splits by folders train, val and test"):
        read_user_data(tmp_path, ["image", "label"])


@pytest.mark.parametrize(("name", "message"), [("a.csv", "does not exist"), ("a.tsv", "does not exist")])
def test_missing_data_is_refused(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        read_user_data(tmp_path / name, [])
    (tmp_path / "b.tsv").touch()
    with pytest.raises(DataError, match=r"is neither a CSV file \(.csv\) nor a folder"):
        read_user_data(tmp_path / "b.tsv", [])


def test_a_changed_csv_is_read_again(tmp_path):
    path = table(tmp_path, "image,label,split\n" + SPLIT_ROWS)
    read_user_data(path, ["image", "label"])
    path.write_text("image,label,split\n" + SPLIT_ROWS + "e.png,red,test\n")
    assert len(read_user_data(path, ["image", "label"]).samples) == 5
