"""What is made sure of before the runs of a plan: their encoders are there, whole, and of the right kind.

Heavy packages are not imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from bench import registry
from bench.config.spec import Spec
from bench.datasets.releases import RELEASES
from bench.errors import Mistakes, UsageError
from bench.streams.encoder_files import input_kind
from bench.streams.sources import find_encoder


def check_encoders(specs: Iterable[Spec], *, weights: bool = True, tokenizer: bool | None = None) -> None:
    """Make sure that the encoders of runs are there, and read what their tasks give them.

    Args:
        specs: the runs.
        weights: as for `find_encoder`, as is the other.
        tokenizer: whether an encoder of texts needs its tokenizer.

    Raises:
        UsageError: some are not; says of each what is missing or wrong, and how to name a folder that has it.
    """
    mistakes = Mistakes()
    checked = set()
    for spec in specs:
        inputs: Mapping[str, str] = getattr(registry.load("tasks", spec.task), "modalities", {})
        for stream, source in spec.streams.items():
            model, expected = source["model"], inputs.get(stream)
            if (model, expected) in checked:
                continue
            checked.add((model, expected))
            try:
                modality = input_kind(find_encoder(model, weights=weights, tokenizer=tokenizer))
            except UsageError as error:
                mistakes.add(f"{error}; or name a folder that holds one: --set {stream}.model=DIR")
            else:
                if expected not in (None, modality):
                    mistakes.add(
                        f"--set {stream}.model={model}: it reads {modality}, but {stream} of {spec.task} is {expected}"
                    )
    mistakes.raise_if_any()


def check_official(tasks: Collection[str], root: Path | None) -> None:
    """Make sure that the releases of these tasks are there, as far as a glance tells. Heavy packages are not imported.

    Args:
        tasks: names of tasks.
        root: what was given as --data-root.

    Raises:
        UsageError: no folder was given, or what is missing in it, of all releases.
    """
    classes = [registry.load("tasks", task) for task in tasks]
    names = dict.fromkeys(name for cls in classes for name in getattr(cls, "datasets", (getattr(cls, "layout", ""),)))
    releases = {name: RELEASES[name] for name in names if name in RELEASES}
    if root is None or not root.is_dir():
        problem = "none is given" if root is None else f"{root} is no folder"
        sources = "; ".join(
            f"{card.title}: {card.pages[0]}, `bench data describe {name}`" for name, card in releases.items()
        )
        raise UsageError(
            f"data.source=official needs --data-root DIR, the folder where the releases lie: {problem}. "
            f"Where to get them, and what should lie there: {sources or 'see the task'}"
        )
    mistakes = Mistakes()
    for name, card in releases.items():
        if missing := card.missing(root):
            mistakes.add(_describe_missing(name, missing, root))
    mistakes.raise_if_any()


def _describe_missing(name: str, missing: list[str], root: Path) -> str:
    """Return what is missing of a release, where to get it, and how to point to it."""
    if name == "ave" and any((root / place).is_dir() for place in ("AVE_Dataset/AVE", "AVE")):
        advice = f"`bench data prepare ave --root {root} --out DIR` makes it of the videos; then --data-root DIR"
    else:
        advice = f"where to get it: `bench data describe {name}`; where it is: --data-root DIR"
    return f"the data of {name} is not in {root}: {', '.join(missing)} missing; {advice}"
