"""Visual grounding: RefCOCO, RefCOCO+ and RefCOCOg, alone or trained together, for boxes, masks or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from bench.errors import UsageError, did_you_mean
from bench.tasks.grounding import BOX, BOX_METRICS, GOOGLE_TEST, MASK, MASK_METRICS, Grounding


@dataclass
class RefCOCO(Grounding):
    """RefCOCO: the box and mask of the object that a short expression refers to."""

    benchmark = "RefCOCO"
    layout = "refcoco"
    datasets: ClassVar[tuple[str, ...]] = ("refcoco",)
    task_type = "object-detection"  # the hub has no name for visual grounding, which predicts boxes
    metric = BOX
    metrics: ClassVar[Mapping[str, str]] = BOX_METRICS | MASK_METRICS
    test_splits: ClassVar[tuple[str, ...]] = ("testA", "testB")


@dataclass
class RefCOCOPlus(RefCOCO):
    """RefCOCO+: the box and mask of the object that an expression without location words refers to."""

    benchmark = "RefCOCO+"
    layout = "refcoco_plus"
    datasets = ("refcoco_plus",)


@dataclass
class RefCOCOg(RefCOCO):
    """RefCOCOg (umd split): the box and mask of the object that a longer expression refers to."""

    benchmark = "RefCOCOg"
    layout = "refcocog"
    datasets = ("refcocog",)
    test_splits = ("test",)


@dataclass
class RefCOCOgGoogle(RefCOCO):
    """RefCOCOg (google split): the box and mask of the object that a longer expression refers to; official data only.

    The split has no test split, so the scores are those of its validation split, as published ones are. A tenth of the
    training images is held out to choose the epoch (ours). The split divides objects, not images.
    """

    benchmark = "RefCOCOg (google split)"
    layout = "refcocog_google"
    datasets = ("refcocog_google",)
    test_splits = (GOOGLE_TEST,)


DATASETS: Mapping[str, type[RefCOCO]] = {
    **{"refcoco": RefCOCO, "refcoco_plus": RefCOCOPlus, "refcocog": RefCOCOg},
    "refcocog_google": RefCOCOgGoogle,
}
"""The task of each data set, in the order in which their names are joined."""

_BOX_ONLY = {"targets": ("box",), "metrics": BOX_METRICS}
_MASK_ONLY = {
    **{"targets": ("mask",), "metric": MASK, "metrics": MASK_METRICS},
    **{"scoring_rules": (), "task_type": "image-segmentation"},
}
_TARGETS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "": ("box and mask", {}),
    "box": ("box only (REC)", _BOX_ONLY),
    "mask": ("mask only (RES)", _MASK_ONLY),
}
"""What may follow the colon in a task's name: what it means, and the class attributes in which the task differs."""


class RefCOCOFamily:
    """One target (:box, :mask), or data sets trained together, as in refcoco+refcocog:box."""

    @classmethod
    def named(cls, name: str) -> type[RefCOCO]:
        """Return the task `refcoco<name>`, for example of `+refcocog:box` or `_plus:mask`.

        Raises:
            UsageError: a data set or a target is unknown, or the data sets are not in their fixed order.
        """
        return task_class(f"refcoco{name}")


@cache
def task_class(name: str) -> type[RefCOCO]:
    """Return the task of a name such as `refcocog`, `refcoco:mask` or `refcoco+refcoco_plus:box`.

    Raises:
        UsageError: a data set or a target is unknown, or the data sets are not in their fixed order.
    """
    joined, colon, target = name.partition(":")
    datasets = joined.split("+")
    if unknown := [dataset for dataset in datasets if dataset not in DATASETS]:
        raise UsageError(f"unknown task {name}: no data set {unknown[0]!r}: {did_you_mean(unknown[0], DATASETS)}")
    if target not in _TARGETS or bool(colon) != bool(target):
        raise UsageError(f"unknown task {name}: write :box, :mask, or no colon for both")
    if len(datasets) > 1 and "refcocog_google" in datasets:
        raise UsageError(
            f"unknown task {name}: refcocog_google is trained alone, since it trains on images that others test on; "
            "join refcocog"
        )
    canonical = "+".join(dataset for dataset in DATASETS if dataset in datasets)
    if joined != canonical:
        raise UsageError(f"unknown task {name}: this combination is called {canonical}{colon}{target}")
    base = DATASETS[joined] if len(datasets) == 1 else _joined(datasets)
    about, attributes = _TARGETS[target]
    if not target:
        return base
    return _derived(name, base, f"{(base.__doc__ or '').partition(':')[0]}: {about}.", attributes)


def _joined(datasets: list[str]) -> type[RefCOCO]:
    """Return the task whose training splits are those of all these data sets, and which tests on each of them."""
    tasks = [DATASETS[dataset] for dataset in datasets]
    benchmark = " and ".join(", ".join(task.benchmark for task in tasks).rsplit(", ", 1))
    attributes = {
        "benchmark": benchmark,
        "layout": "refer",
        "datasets": tuple(datasets),
        "test_splits": tuple(f"{task.layout}.{split}" for task in tasks for split in task.test_splits),
    }
    about = f"{benchmark} trained together, scored one by one: box and mask."
    return _derived("+".join(datasets), RefCOCO, about, attributes)


def _derived(name: str, base: type[RefCOCO], about: str, attributes: Mapping[str, Any]) -> type[RefCOCO]:
    return dataclass(type(name, (base,), {"__doc__": about, "__module__": __name__, **attributes}))
