"""Samples decoded once into the cache."""

from __future__ import annotations

import json
import os
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.data import decoded_cache, release
from bench.data.loader import Decoded, TensorDataset, batches, load
from bench.datasets.mini import VERSION
from bench.errors import DataError, UsageError
from bench.system.checksums import file_checksum


class Numbers:
    """Samples that say how often they were read, as long as that is in this process."""

    def __init__(self, count: int = 21, broken: int | None = None) -> None:
        self.names = [f"number {n}" for n in range(count)]
        self.broken, self.reads = broken, 0

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        self.reads += 1
        if index == self.broken:
            raise DataError(f"{self.names[index]} is broken: get it again")
        picture = np.full((2, 3), index, dtype=np.uint8).T[::-1].T  # of strides below 0, as a reader may give it
        return {"picture": picture, "sound": np.linspace(0, index, 4, dtype=np.float32)}


def prepare(samples, tmp_path, chosen=None, key=("task",)):
    return decoded_cache.prepare(samples, chosen or range(len(samples)), key, tmp_path, lambda batches: batches)


def test_prepared_samples_are_those_of_the_reader_and_are_read_once(tmp_path):
    samples = Numbers()
    first = prepare(samples, tmp_path)
    read = samples.reads
    again = prepare(samples, tmp_path)
    assert samples.reads == read, "the second time nothing is read"
    for columns in (first, again):
        assert len(columns) == 21
        for index in (0, 20):
            for name, array in samples[index].items():
                np.testing.assert_array_equal(columns[index][name].numpy(), array)
                assert columns[index][name].numpy().dtype == array.dtype


class Labelled(Numbers):
    """Numbers, each with a label that is an array without dimensions, as `np.array(1)` is."""

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {**super().__getitem__(index), "label": np.array(index)}


def test_arrays_without_dimensions_become_one_column(tmp_path):
    samples = Labelled()
    assert torch.equal(prepare(samples, tmp_path).columns["label"], torch.arange(21))
    (batch,) = load(Decoded(samples, range(21)), 21)
    assert torch.equal(batch["label"], torch.arange(21))


def test_changes_in_memory_do_not_reach_the_file(tmp_path):
    columns = prepare(Numbers(), tmp_path)
    columns.columns["picture"].fill_(9)
    assert not (prepare(Numbers(), tmp_path).columns["picture"] == 9).all()


def test_other_samples_and_other_keys_have_files_of_their_own(tmp_path):
    prepare(Numbers(), tmp_path)
    assert len(prepare(Numbers(), tmp_path, chosen=[3, 5])) == 2
    assert prepare(Numbers(), tmp_path, chosen=[3, 5])[1]["picture"][0, 0] == 5
    prepare(Numbers(), tmp_path, key=("another task",))
    assert len([path for path in (tmp_path / "prepared").iterdir() if path.is_dir()]) == 3


def test_a_broken_sample_raises_the_readers_error_and_leaves_no_files(tmp_path):
    with pytest.raises(DataError) as error:
        prepare(Numbers(broken=17), tmp_path)
    assert str(error.value) == "number 17 is broken: get it again"
    assert not [path for path in (tmp_path / "prepared").iterdir() if path.is_dir()]


@pytest.mark.parametrize("way", ["too large", "no folder"])
def test_without_room_there_is_nothing_prepared(tmp_path, monkeypatch, way, caplog):
    if way == "too large":
        monkeypatch.setattr(decoded_cache, "MAX_DISK_SHARE", 0)
    else:
        (tmp_path / "prepared").write_text("a file where the folder is to be")
    assert prepare(Numbers(), tmp_path) is None
    assert ("cannot be cached in" in caplog.text) == (way == "no folder")


@pytest.mark.parametrize("shuffled", [False, True])
def test_both_kinds_of_samples_give_the_same_batches(tmp_path, shuffled):
    samples = Numbers()
    epochs = []
    for dataset in (prepare(samples, tmp_path), Decoded(samples, range(21))):
        order = torch.Generator().manual_seed(0) if shuffled else None
        loader = load(dataset, 8, order)
        epochs.append([batch for _ in range(2) for batch in batches(loader)])
    assert len(epochs[0]) == len(epochs[1]) == 6
    for first, second in zip(*epochs, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    values = torch.cat([batch["picture"][:, 0, 0] for batch in epochs[0][:3]])
    assert (values.tolist() == list(range(21))) != shuffled and sorted(values.tolist()) == list(range(21))


def test_a_batch_of_columns_is_a_copy():
    columns = TensorDataset({"value": torch.arange(4.0)})
    (batch,) = load(columns, 4)
    batch["value"].zero_()
    columns[1]["value"].zero_()
    assert columns.columns["value"].tolist() == [0, 1, 2, 3]


def prepare_in_a_process(folder, reads):
    samples = Numbers()
    prepare(samples, folder)
    reads.put(samples.reads)


def test_of_several_processes_one_decodes(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.data.loader.decoding_workers", lambda: 0)  # so that what is read can be counted
    context = get_context("fork")
    reads = context.Queue()
    processes = [context.Process(target=prepare_in_a_process, args=(tmp_path, reads)) for _ in range(3)]
    for process in processes:
        process.start()
    counts = sorted(reads.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert counts[-1] == 22 and all(count <= 1 for count in counts[:-1]), "the first sample tells the shapes"
    assert len([path for path in (tmp_path / "prepared").iterdir() if path.is_dir()]) == 1


def one_folder(cache):
    (folder,) = (path for path in (cache / "prepared").iterdir() if path.is_dir())
    return folder


def change_number(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_manifest(path, old, new):
    manifest = path.with_name("manifest.json")
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new))


@pytest.mark.parametrize(
    "harm",
    [
        change_number,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: change_manifest(path, "|u1", "|i1"),
        lambda path: change_manifest(path, "[21, 2, 3]", "[21, 3, 2]"),
        lambda path: change_manifest(path, "sha256", "sha"),
        lambda path: path.with_name("manifest.json").write_text("[]"),
        lambda path: change_manifest(path, '"key": "', '"key": "0'),
        lambda path: path.unlink() or path.symlink_to("/dev/zero"),
    ],
)
def test_altered_samples_are_decoded_again(tmp_path, caplog, harm):
    expected = prepare(Numbers(), tmp_path).columns["picture"].clone()
    harm(one_folder(tmp_path) / "picture.npy")
    samples = Numbers()
    assert torch.equal(prepare(samples, tmp_path).columns["picture"], expected)
    assert samples.reads and "damaged or were changed: decoding them again" in caplog.text


def test_a_change_that_preserves_size_and_time_is_detected(tmp_path):
    """A later command knows the checksum from before, by more than the time of change, which anybody can set."""
    expected = prepare(Numbers(), tmp_path).columns["picture"].clone()
    path = one_folder(tmp_path) / "picture.npy"
    before = path.stat()
    prepare(Numbers(), tmp_path)
    change_number(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert torch.equal(prepare(Numbers(), tmp_path).columns["picture"], expected)


@pytest.mark.parametrize("part", ["", "prepared"])
def test_a_cache_that_others_can_write_to_is_not_used(tmp_path, monkeypatch, caplog, part):
    shared, own_cache = tmp_path / "shared", tmp_path / "own"
    monkeypatch.setattr("bench.system.checksums.user_cache", lambda: own_cache)
    prepare(Numbers(), shared)
    assert (shared / "prepared").is_dir() and not own_cache.joinpath("prepared").exists()
    (shared / part).chmod(0o777)
    samples = Numbers()
    assert prepare(samples, shared) is not None
    assert samples.reads and one_folder(own_cache) and f"other users can write to {shared / part}" in caplog.text
    read = samples.reads
    assert prepare(samples, shared) is not None and samples.reads == read, "they are in the user's own cache now"
    own_cache.chmod(0o777)
    assert prepare(samples, shared) is None, "nobody's cache is private: they are read as they are needed"


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to others")
@pytest.mark.parametrize("part", [".", "picture.npy", "manifest.json"])
def test_samples_that_belong_to_another_user_are_not_used(tmp_path, part):
    expected = prepare(Numbers(), tmp_path).columns["picture"].clone()
    change_number(one_folder(tmp_path) / "picture.npy")
    manifest = one_folder(tmp_path) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["arrays"]["picture"]["sha256"] = file_checksum(one_folder(tmp_path) / "picture.npy")
    manifest.write_text(json.dumps(content))
    os.chown(one_folder(tmp_path) / part, 12345, 12345)
    assert torch.equal(prepare(Numbers(), tmp_path).columns["picture"], expected)


def test_data_that_is_not_generated_is_read_from_its_release(tmp_path):
    source = {"source": "generated", "version": VERSION, "seed": 0}
    with pytest.raises(UsageError, match=r"Mine \(layout mine\).*--set data\.source=official --data-root DIR"):
        release.locate(SimpleNamespace(layout="mine", benchmark="Mine"), source, tmp_path)


@pytest.mark.parametrize(
    ("layout", "benchmark", "metric", "expected"),
    [
        ("ave", "AVE", "accuracy", True),
        ("ave", "Mine", "accuracy", False),
        ("refer", "RefCOCO and RefCOCOg", "accuracy@0.5", True),
        ("refer", "RefCOCO, RefCOCO+ and RefCOCOg", "accuracy@0.5", True),
        ("refcocog", "Mine and RefCOCOg", "accuracy@0.5", False),
        ("refcocog", "RefCOCOg", "miou", False),
    ],
)
def test_floors_are_shown_only_for_their_benchmark_and_metric(
    tmp_path, monkeypatch, layout, benchmark, metric, expected
):
    floors = {"constant answer": 44.5}
    monkeypatch.setattr("bench.data.release.build.read_manifest", lambda root: SimpleNamespace(floors=floors))
    task = SimpleNamespace(layout=layout, benchmark=benchmark, metric=metric)
    shown = release.floors(task, {"source": "generated", "version": VERSION, "seed": 0}, tmp_path)
    assert shown == (floors if expected else {})


def test_generated_data_that_others_can_write_to_causes_a_warning(tmp_path, monkeypatch, caplog):
    root = tmp_path / "mini" / "ave"
    root.mkdir(parents=True)
    monkeypatch.setattr("bench.data.release.build.ensure", lambda *_, **__: (root, "manifest"))
    source = {"source": "generated", "version": VERSION, "seed": 0}
    assert release.synthesize(SimpleNamespace(layout="ave", benchmark="AVE"), source, tmp_path) == root
    assert not caplog.text
    root.chmod(0o777)
    release.synthesize(SimpleNamespace(layout="ave", benchmark="AVE"), source, tmp_path)
    assert f"other users can write to {root}" in caplog.text
