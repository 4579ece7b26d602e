"""The tasks of visual grounding: RefCOCO, RefCOCO+ and RefCOCOg, each for boxes, masks or both; and joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bench.tasks.grounding import BOX, BOX_METRICS, MASK, MASK_METRICS, Grounding


class BoxOnly:
    """Before a task's class: its boxes, without the masks."""

    targets: ClassVar[tuple[str, ...]] = ("box",)
    metrics: ClassVar[Mapping[str, str]] = BOX_METRICS


class MaskOnly:
    """Before a task's class: its masks, without the boxes."""

    targets: ClassVar[tuple[str, ...]] = ("mask",)
    metric: ClassVar[str] = MASK
    metrics: ClassVar[Mapping[str, str]] = MASK_METRICS
    scoring_rules: ClassVar[tuple[str, ...]] = ()


@dataclass
class RefCOCO(Grounding):
    """RefCOCO: the box and the mask of the object that a short expression refers to."""

    benchmark = "RefCOCO"
    layout = "refcoco"
    datasets: ClassVar[tuple[str, ...]] = ("refcoco",)
    metric = BOX
    metrics: ClassVar[Mapping[str, str]] = BOX_METRICS | MASK_METRICS
    test_splits: ClassVar[tuple[str, ...]] = ("testA", "testB")


@dataclass
class RefCOCOBox(BoxOnly, RefCOCO):
    """RefCOCO: the box only (REC)."""


@dataclass
class RefCOCOMask(MaskOnly, RefCOCO):
    """RefCOCO: the mask only (RES)."""


@dataclass
class RefCOCOPlus(RefCOCO):
    """RefCOCO+: the box and the mask of the object that an expression without words of place refers to."""

    benchmark = "RefCOCO+"
    layout = "refcoco_plus"
    datasets = ("refcoco_plus",)


@dataclass
class RefCOCOPlusBox(BoxOnly, RefCOCOPlus):
    """RefCOCO+: the box only (REC)."""


@dataclass
class RefCOCOPlusMask(MaskOnly, RefCOCOPlus):
    """RefCOCO+: the mask only (RES)."""


@dataclass
class RefCOCOg(RefCOCO):
    """RefCOCOg (umd split): the box and the mask of the object that a longer expression refers to."""

    benchmark = "RefCOCOg"
    layout = "refcocog"
    datasets = ("refcocog",)
    test_splits = ("test",)


@dataclass
class RefCOCOgBox(BoxOnly, RefCOCOg):
    """RefCOCOg (umd split): the box only (REC)."""


@dataclass
class RefCOCOgMask(MaskOnly, RefCOCOg):
    """RefCOCOg (umd split): the mask only (RES)."""


@dataclass
class Joined(RefCOCO):
    """RefCOCO, RefCOCO+ and RefCOCOg trained together, scored one by one: box and mask."""

    benchmark = "RefCOCO, RefCOCO+ and RefCOCOg"
    layout = "refer"
    datasets: ClassVar[tuple[str, ...]] = ("refcoco", "refcoco_plus", "refcocog")
    test_splits: ClassVar[tuple[str, ...]] = (
        "refcoco.testA",
        "refcoco.testB",
        "refcoco_plus.testA",
        "refcoco_plus.testB",
        "refcocog.test",
    )


@dataclass
class JoinedUnc(Joined):
    """RefCOCO and RefCOCO+ trained together, scored one by one: box and mask."""

    benchmark = "RefCOCO and RefCOCO+"
    datasets = ("refcoco", "refcoco_plus")
    test_splits = ("refcoco.testA", "refcoco.testB", "refcoco_plus.testA", "refcoco_plus.testB")


@dataclass
class JoinedPlain(Joined):
    """RefCOCO and RefCOCOg trained together, scored one by one: box and mask."""

    benchmark = "RefCOCO and RefCOCOg"
    datasets = ("refcoco", "refcocog")
    test_splits = ("refcoco.testA", "refcoco.testB", "refcocog.test")


@dataclass
class JoinedPlus(Joined):
    """RefCOCO+ and RefCOCOg trained together, scored one by one: box and mask."""

    benchmark = "RefCOCO+ and RefCOCOg"
    datasets = ("refcoco_plus", "refcocog")
    test_splits = ("refcoco_plus.testA", "refcoco_plus.testB", "refcocog.test")
