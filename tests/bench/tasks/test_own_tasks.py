from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from user_files import write_csv, write_folders

from bench import cli
from bench.config.plan import RunRequest, make_plan
from bench.datasets.base import load_dataset
from bench.errors import UsageError
from bench.records import store
from bench.tasks.own_classification import OwnClassification
from bench.tasks.own_retrieval import OwnRetrieval, ranks

SHORT = ("train.epochs=1", "train.head_factor=1", "train.views=1")


@pytest.fixture(scope="module")
def things(tmp_path_factory) -> Path:
    """A folder with a CSV, its media, and a suite for each task."""
    folder = tmp_path_factory.mktemp("things")
    path = write_csv(folder / "data")
    for task in ("classification", "retrieval"):
        assert not cli.main(["init-suite", str(folder / f"{task}.toml"), "--csv", str(path), "--task", task, "--quiet"])
    return folder


def run(suite: Path, methods: str, task: str, results: Path, *options: str) -> int:
    arguments = ["--suite", str(suite), "--methods", methods, "--tasks", task, "--results", str(results), "--quiet"]
    return cli.main(["run", *arguments, "--set", *SHORT, *options])


def test_a_csv_is_a_classification_task_without_code(things, tmp_path, capsys):
    assert run(things / "classification.toml", "lora,cola", "own-classification", tmp_path) == 0
    table = capsys.readouterr().out
    assert "suite things, the user's own data (things.csv), not a benchmark's" in table
    for page in ("leaderboard.md", "leaderboard.html"):
        assert "the user's own data (things.csv), not a benchmark's" in (tmp_path / page).read_text().replace(
            "&#x27;", "'"
        )
    for record in store.read_all(tmp_path):
        assert {*record.scores.test} == {"accuracy", "macro_accuracy"} and record.data.source == "own"
        assert sum(record.data.counts.values()) == 30
        assert cli.main(["show", "--run", record.id, "--results", str(tmp_path), "--n", "1"]) == 0


def test_verify_reads_every_file_and_the_floor_is_the_most_frequent_label(things, tmp_path, capsys):
    copy = shutil.copytree(things / "data", tmp_path / "copy")
    arguments = ["data", "verify", "own-classification", "--root", str(copy / "things.csv"), "--quiet"]
    assert cli.main(arguments) == 0 and "60 files checked" in capsys.readouterr().out
    content = (copy / "images/3.png").read_bytes()
    (copy / "images/3.png").write_bytes(content[: len(content) // 2])
    assert cli.main([*arguments, "--quick"]) == 0
    assert cli.main(arguments) == 1 and "sample line 5: image" in capsys.readouterr().out
    rows = "a.png,red,train\nb.png,red,train\nc.png,blue,train\nd.png,blue,val\ne.png,red,test\nf.png,blue,test\n"
    (copy / "b.csv").write_text("image,label,split\n" + rows)
    assert load_dataset("own").floors(copy / "b.csv") == {"most frequent label": 50}
    (copy / "c.csv").write_text("image,split\nimages/0.png,train\nimages/1.png,val\n../2.png,test\n")
    assert cli.main([*arguments[:4], str(copy / "c.csv"), "--quiet"]) == 1
    report = capsys.readouterr().out
    assert "2 files checked" in report and "c.csv, line 4: expected image" in report
    assert "c.csv: the test split has no valid samples" in report


def test_a_run_is_done_again_only_if_the_data_has_changed(things, tmp_path, capsys):
    copy = shutil.copytree(things / "data", tmp_path / "copy")
    suite, results = things / "classification.toml", tmp_path / "results"
    options = ("--data-root", str(copy / "things.csv"))
    assert run(suite, "head", "own-classification", results) == 0
    (first,) = store.read_all(results)
    assert run(suite, "head", "own-classification", results, *options) == 0
    assert store.read_all(results) == [first]
    shutil.copy(copy / "images/0.png", copy / "images/1.png")
    assert run(suite, "head", "own-classification", results, *options) == 0
    (second,) = store.read_all(results)
    assert second.id == first.id and second.data.fingerprint != first.data.fingerprint


def test_folders_of_images_are_a_task_of_one_stream(things, tmp_path, capsys):
    folder = write_folders(things / "data/things.csv", tmp_path / "classes")
    suite = tmp_path / "classes.toml"
    assert cli.main(["init-suite", str(suite), "--images", str(folder)]) == 0
    assert "--methods head,lora,dora --tasks own-classification" in capsys.readouterr().out
    assert run(suite, "lora", "own-classification", tmp_path / "results") == 0
    assert run(suite, "lora,cola", "own-classification", tmp_path / "results") == 2
    assert "has only one here, vision" in capsys.readouterr().err


def test_a_csv_is_a_retrieval_task_without_code(things, tmp_path):
    assert run(things / "retrieval.toml", "lora", "own-retrieval", tmp_path, "--save-adapters") == 0
    (record,) = store.read_all(tmp_path)
    assert {*record.scores.test} == {"recall@1", "recall@5", "recall@10", "median_rank"}
    assert cli.main(["eval", str(tmp_path / record.adapter)]) == 0
    assert cli.main(["show", "--run", record.id, "--results", str(tmp_path), "--n", "1"]) == 0


def test_streams_that_read_each_other_are_refused_in_retrieval(things, tmp_path, capsys, monkeypatch):
    assert run(things / "retrieval.toml", "cola", "own-retrieval", tmp_path) == 2
    assert "has read its partner knows the answer" in capsys.readouterr().err
    monkeypatch.setattr("bench.methods.cola.CrossModal.reads_partners", False)  # as of another package's method
    assert run(things / "retrieval.toml", "cola", "own-retrieval", tmp_path) == 1
    (record,) = store.read_all(tmp_path)
    assert "has read its partner knows the answer" in record.reason


def test_missing_media_and_invalid_rows_are_all_reported_before_any_run(things, tmp_path, capsys):
    copy = shutil.copytree(things / "data", tmp_path / "copy")
    (copy / "images/3.png").unlink()
    (copy / "sounds/4.wav").unlink()
    with (copy / "things.csv").open("a") as file:
        file.write("images/5.png,,a text,red\n")
    options = ("--data-root", str(copy / "things.csv"))
    assert run(things / "classification.toml", "head", "own-classification", tmp_path / "results", *options) == 2
    message = capsys.readouterr().err
    assert "3 mistakes" in message and "line 32: audio is empty" in message
    assert "images/3.png does not exist" in message and "sounds/4.wav does not exist" in message


@pytest.mark.parametrize(
    ("task", "override", "message"),
    [
        ("own-classification", "data.source=official", "path is for source = "),
        ("own-retrieval", "own-retrieval.temperature=0", "temperature must be above 0"),
        ("own-classification", "own-classification.windows=0", "windows must be from 1 to 100"),
    ],
)
def test_settings_that_the_task_cannot_use_are_refused(things, task, override, message):
    suite = things / f"{task.removeprefix('own-')}.toml"
    with pytest.raises(UsageError, match=message):
        make_plan(RunRequest(str(suite), ["lora"], [task], overrides=[override]))


def test_own_tasks_read_own_data_only(things, tmp_path):
    text = (things / "retrieval.toml").read_text().replace('path = "data/things.csv"', "")
    (tmp_path / "a.toml").write_text(text)
    for source in ("official", "generated"):
        with pytest.raises(UsageError, match=f"own-retrieval reads data.source=own only, not {source}"):
            request = RunRequest(str(tmp_path / "a.toml"), ["lora"], ["own-retrieval"])
            make_plan(replace(request, overrides=[f"data.source={source}"]))


def test_retrieval_is_between_two_streams(things, tmp_path):
    text = (things / "retrieval.toml").read_text().replace('streams = ["vision", "text"]', 'streams = ["vision"]')
    (tmp_path / "a.toml").write_text(text.replace("data/things.csv", str(things / "data/things.csv")))
    with pytest.raises(UsageError, match="retrieval is between two streams, not 1: vision"):
        make_plan(RunRequest(str(tmp_path / "a.toml"), ["lora"], ["own-retrieval"]))


def test_the_path_is_no_part_of_the_id(things):
    request = RunRequest(str(things / "classification.toml"), ["lora"], ["own-classification"])
    (spec,) = make_plan(request)
    (moved,) = make_plan(RunRequest(request.suite, ["lora"], ["own-classification"], overrides=["data.path=/x.csv"]))
    assert spec.id == moved.id and spec.data["path"] == str(things / "data/things.csv")
    assert moved.data == {"source": "own", "path": "/x.csv"}


def test_an_unknown_task_of_a_built_in_suite_names_the_command_that_helps():
    with pytest.raises(UsageError, match="`bench init-suite` writes a suite for your data"):
        make_plan(RunRequest("mini", ["lora"], ["own-classification"]))


def test_macro_accuracy_is_the_mean_over_classes():
    output = torch.eye(3)[[0, 0, 0, 1]]
    batch = {"label": torch.tensor([[0], [0], [2], [1]])}
    scores = OwnClassification().summarize(OwnClassification().score(output, batch))
    assert scores == pytest.approx({"accuracy": 75, "macro_accuracy": 200 / 3})


def naive_rank(similarity: torch.Tensor, index: int, queries: list[int], candidates: list[int]) -> int:
    """The rank by definition, from the similarity of the samples."""
    partners = {c for q, c in zip(queries, candidates, strict=True) if q == queries[index]}
    by_item = {candidate: similarity[index, candidates.index(candidate)] for candidate in candidates}
    best = max(by_item[partner] for partner in partners)
    return 1 + sum(value >= best for candidate, value in by_item.items() if candidate not in partners)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12), st.integers(0, 100))
def test_ranks_are_those_of_the_definition(pairs, seed):
    first, second = map(list, zip(*pairs, strict=True))
    draws = torch.Generator().manual_seed(seed)
    items = torch.randint(-2, 3, (2, 6, 2), generator=draws).double()  # with ties
    x, y = items[0][first], items[1][second]
    expected = [naive_rank(x @ y.T, index, first, second) for index in range(len(pairs))]
    assert ranks(x, y, torch.tensor(first), torch.tensor(second)).tolist() == expected


def test_vectors_that_are_all_equal_or_not_finite_rank_last():
    for value in (1.0, math.nan):
        vectors = torch.full((4, 2), value)
        assert ranks(vectors, vectors, torch.arange(4), torch.arange(4)).tolist() == [4] * 4


def test_equal_items_are_no_negatives():
    task = OwnRetrieval(temperature=1.0)
    output = {"vision": torch.eye(2)[[0, 0, 1]], "text": torch.eye(2)[[0, 0, 1]]}
    numbers = {"item of vision": torch.tensor([[0], [0], [1]]), "item of text": torch.tensor([[0], [2], [1]])}
    pair = {name: values[1:] for name, values in numbers.items()}
    two = task.loss({name: values[1:] for name, values in output.items()}, pair)
    # Each of the first two samples has only the third as a negative; the third has both.
    third = math.log(1 + 2 * math.exp(-1))
    assert task.loss(output, numbers).item() == pytest.approx((2 * two.item() + third) / 3)
