"""`verify` on a small release of Ref-AVS: each planted fault is named, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from official import write_official
from PIL import Image

from bench.datasets.verify import verify
from bench.datasets.verify.report import Report


def verified(root: Path, **options: bool) -> Report:
    return verify("refavs", root, lambda items, total, unit: items, **{"published": False, **options})


@pytest.fixture(scope="session")
def official_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(tmp_path_factory.mktemp("refavs"), "refavs")


@pytest.fixture
def copied(official_folder, tmp_path) -> Path:
    return Path(shutil.copytree(official_folder, tmp_path / "copy"))


def added(row: str) -> Callable[[Path], None]:
    """Add a row, in which {0} is the uid of the first training row."""

    def plant(root: Path) -> None:
        table = root / "REFAVS/metadata.csv"
        first = table.read_text(encoding="utf-8-sig").splitlines()[1].split(",")
        table.write_bytes(table.read_bytes() + row.format(*first[:2]).encode() + b"\r\n")

    return plant


def gone(pattern: str) -> Callable[[Path], None]:
    return lambda root: sorted(root.glob(f"REFAVS/{pattern}"))[0].unlink()


def painted(pattern: str, value: int, size: int = 64) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        for path in root.glob(f"REFAVS/{pattern}"):
            Image.fromarray(np.full((size, size), value, dtype=np.uint8)).save(path)

    return plant


def cut(pattern: str) -> Callable[[Path], None]:
    def plant(root: Path) -> None:
        path = sorted(root.glob(f"REFAVS/{pattern}"))[0]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return plant


VAL, ABSENT = "val000000_0_10000", "null_c-val000000_0_10000"
PLANTED: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "missing frame": (gone(f"media/{VAL}/frames/3.jpg"), "missing files", "frames/3.jpg"),
    "broken frame": (cut(f"media/{VAL}/frames/3.jpg"), "unreadable files", "frames/3.jpg"),
    "missing sound": (gone(f"media/{VAL}/audio.wav"), "missing files", f"{VAL}/audio.wav"),
    "short sound": (cut(f"media/{VAL}/audio.wav"), "", f"{VAL}/audio.wav"),
    "missing mask": (gone(f"gt_mask/{VAL}/fid_1/00009.png"), "missing files", "fid_1/00009.png"),
    "mask of another size": (
        painted(f"gt_mask/{VAL}/fid_1/00004.png", 255, 32),
        "pictures and masks of the wrong size",
        "fid_1/00004.png: sample val000000_0_10000",
    ),
    "masks that are all black": (painted(f"gt_mask/{VAL}/fid_1/*.png", 0), "empty masks", "fid_1/00000.png"),
    "mask of what is absent": (
        painted(f"gt_mask/{ABSENT}/fid_0/00004.png", 1),
        "masks of objects that are not there",
        ABSENT,
    ),
    "unknown split": (added("{0},{1},test,0,The cat."), "invalid entries", "split: expected one of"),
    "fid that is no number": (added("{0},{1},train,a,The cat."), "invalid entries", "fid: expected the number"),
    "path in a uid": (added("{0},../{1},train,0,The cat."), "invalid entries", "uid: expected"),
    "video in two splits": (added("{0},{1},val,0,The cat."), "duplicate samples", "is in train and val"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_named(copied, planted):
    plant, kind, named = PLANTED[planted]
    plant(copied)
    report = verified(copied)
    assert len(report.faults) == 1, report.text()
    assert kind in ("", report.faults[0].kind) and named in report.faults[0].text, report.text()


@pytest.mark.parametrize(("split", "named"), [("val", "is in val and test_s"), ("test_u", "is in test_s and test_u")])
def test_an_expression_in_two_splits_is_one_fault(copied, split, named):
    """Test splits may share videos, but not expressions."""
    table = copied / "REFAVS/metadata.csv"
    rows = table.read_bytes().splitlines(keepends=True)
    repeated = next(row for row in rows if b",test_s," in row).replace(b",test_s,", f",{split},".encode())
    table.write_bytes(b"".join([*rows, repeated]))
    (fault,) = verified(copied).faults
    assert fault.kind == "duplicate samples" and named in fault.text


def test_rows_of_no_split_and_repeated_rows_are_told(copied):
    """The release has both: they are no faults."""
    assert [remark for remark in verified(copied).remarks if "TODO" in remark] == [
        "2 rows have the split TODO, such as line 4: they belong to no split and are left out"
    ]
    table = copied / "REFAVS/metadata.csv"
    rows = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join([*rows, rows[1]]))
    report = verified(copied)
    assert report.faults == []
    assert f"1 row repeats an earlier one, such as line {len(rows) + 1}; each counts" in report.remarks
    assert report.counts["train"] == {"expressions": 10, "videos": 2}


def test_a_quick_check_reads_headers_and_the_first_masks(copied):
    cut(f"gt_mask/{VAL}/fid_1/00004.png")(copied)
    assert verified(copied, quick=True).faults == []
    gone(f"gt_mask/{VAL}/fid_1/00004.png")(copied)
    assert len(verified(copied, quick=True).faults) == 1
