"""Official releases: whether they lie where a command says, and their samples decoded ahead of the first run."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bench import registry, settings
from bench.datasets.releases import RELEASES
from bench.errors import Mistakes, UsageError


def check_official(tasks: Collection[str], root: Path | None) -> None:
    """Makes sure that the releases of these tasks are there, as far as a glance tells. Heavy packages are not imported.

    Args:
        tasks: names of tasks.
        root: what was given as --data-root.

    Raises:
        UsageError: no folder was given, or what is missing in it, of all releases.
    """
    classes = [registry.load("tasks", task) for task in tasks]
    names = dict.fromkeys(name for cls in classes for name in getattr(cls, "datasets", (getattr(cls, "layout", ""),)))
    known = {name: RELEASES[name] for name in names if name in RELEASES}
    if root is None or not root.is_dir():
        given = "none is given" if root is None else f"{root} is no folder"
        told = "; ".join(f"{card.title}: {card.pages[0]}, `bench data describe {name}`" for name, card in known.items())
        raise UsageError(
            f"data.source=official needs --data-root DIR, the folder where the releases lie: {given}. "
            f"Where to get them, and what should lie there: {told or 'see the task'}"
        )
    mistakes = Mistakes()
    for name, card in known.items():
        if missing := card.missing(root):
            mistakes.add(_told(name, missing, root))
    mistakes.raise_if_any()


def _told(name: str, missing: list[str], root: Path) -> str:
    """What is missing of a release, where to get it, and how to point to it."""
    if name == "ave" and any((root / place).is_dir() for place in ("AVE_Dataset/AVE", "AVE")):
        advice = f"`bench data prepare ave --root {root} --out DIR` makes it of the videos; then --data-root DIR"
    else:
        advice = f"where to get it: `bench data describe {name}`; where it is: --data-root DIR"
    return f"the data of {name} is not in {root}: {', '.join(missing)} missing; {advice}"


def decode(suite: str, task: str, root: Path) -> dict[str, int]:
    """Decodes the samples of a release for the streams of a suite, into the cache that runs take them from.

    What is there already is left.

    Args:
        suite: a name, or the path of a suite's file.
        task: name of the task.
        root: the release's --data-root.

    Returns:
        How many samples each split has.

    Raises:
        UsageError: the suite, an encoder or the release is not there.
        DataError: a file of the release is missing or broken.
    """
    from bench.plan import make_plan
    from bench.preflight import check_encoders

    check_official([task], root)
    spec = make_plan(suite, ["head"], [task], [0], ["data.source=official"])[0]
    check_encoders([spec], weights=False, tokenizer=True)

    from bench.data import open_splits  # brings torch
    from bench.streams.load import outline_stream

    inputs = {name: outline_stream(**source).input for name, source in spec.streams.items()}
    built = settings.build(registry.load("tasks", task), spec.task_settings, task)
    return open_splits(built, spec.data, root, inputs).counts
