"""Checks before the runs of a plan: encoders are complete and of the right kind, and the data is present.

Heavy packages are imported only for settings that name parts of encoders, and to check encoders of your own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.config.instantiate import datasets_of, method_of, sources_of, task_of
from bench.config.spec import Spec
from bench.errors import BenchError, Mistakes, UsageError
from bench.methods.base import Method
from bench.methods.targets import Targeted
from bench.streams.encoder_files import input_kinds
from bench.streams.sources import find_encoder

if TYPE_CHECKING:
    from bench.streams.lockstep import MultiStream  # imports torch


def check_encoders(specs: Iterable[Spec], *, weights: bool = True, tokenizer: bool | None = None) -> None:
    """Check that the encoders of runs are present and accept the modality that the task feeds them.

    Args:
        specs: The runs.
        weights: Whether encoders need their weights; see `find_encoder`.
        tokenizer: Whether text encoders need their tokenizer; see `find_encoder`.

    Raises:
        UsageError: Encoders are missing or wrong; the message says for each what is wrong and how to name a folder.
    """
    mistakes = Mistakes()
    checked = set()
    present: list[tuple[str, str, dict[str, Any], str | None]] = []
    for spec in specs:
        inputs: Mapping[str, str] = getattr(registry.load("tasks", spec.task), "modalities", {})
        for stream, source in spec.streams.items():
            model, expected = source["model"], inputs.get(stream)
            if (key := (expected, *sorted(source.items()))) in checked:
                continue
            checked.add(key)
            try:
                kinds = input_kinds(find_encoder(model, weights=weights, tokenizer=tokenizer, kind=expected))
            except UsageError as error:
                mistakes.add(f"{error}; or name a folder that contains one: --set {stream}.model=DIR")
            else:
                if expected and expected not in kinds:
                    mistakes.add(
                        f"--set {stream}.model={model}: it reads {' or '.join(kinds)}, but {stream} of {spec.task} is "
                        f"{expected}"
                    )
                else:
                    present.append((stream, spec.task, source, expected))
    mistakes.raise_if_any()  # before torch is imported
    for stream, task, source, expected in present:
        if problem := _unusable(source, expected):
            mistakes.add(f"{stream} of {task}: {problem}")
    mistakes.raise_if_any()


def check_methods(specs: Iterable[Spec]) -> None:
    """Check that methods can be attached to the encoders of their runs, as far as that is known without weights.

    `Method.check_model` is called, and a method is refused that adds tokens to a stream which accepts none. Nothing is
    checked, and torch is not imported, for runs on embedded encoders whose methods check nothing.

    Args:
        specs: The runs. Their encoders are present, with or without weights.

    Raises:
        UsageError: They cannot; the message lists all mistakes.
    """
    mistakes = Mistakes()
    outlines: dict[str, MultiStream] = {}
    different = {json.dumps([spec.method, spec.settings, spec.task, spec.streams]): spec for spec in specs}
    for spec in different.values():
        if all(map(_is_known, spec.streams.values())) and not _checks_models(method_of(spec)):
            continue
        from bench.config.attachable import misfit, outlined  # imports torch

        key = json.dumps(sources_of(spec))
        if key not in outlines:
            outlines[key] = outlined(spec)
        if problem := misfit(spec, outlines[key]):
            mistakes.add(problem)
    mistakes.raise_if_any()


def _checks_models(method: Method) -> bool:
    """Return whether a method may refuse streams by `check_model`."""
    if isinstance(method, Targeted) and type(method).check_model is Targeted.check_model:
        return method.names_parts
    return type(method).check_model is not Method.check_model


def _is_known(source: Mapping[str, Any]) -> bool:
    """Return whether an encoder is embedded and has its own settings: it is known to work with every method."""
    return source["model"].startswith("embedded:") and len(source) == 1


def _unusable(source: Mapping[str, Any], kind: str | None) -> str:
    """Return why no stream can be made from an encoder and the settings of its input; "" if one can.

    Torch is not imported for encoders that are known to work.
    """
    if _is_known(source):
        return ""
    from bench.streams.load import outline_stream  # imports torch

    try:
        outline_stream(**source, kind=kind)
    except BenchError as error:
        return str(error)
    return ""


def check_official(tasks: Collection[str], root: Path | None) -> None:
    """Check quickly that the official releases of these tasks are present: their folders and main files.

    Args:
        tasks: Names of tasks.
        root: The folder of --data-root.

    Raises:
        UsageError: There is no folder, or parts of releases are missing in it; the message lists all of them.
    """
    datasets = {dataset.name: dataset for task in tasks for dataset in datasets_of(task)}
    if root is None or not root.is_dir():
        problem = "none is given" if root is None else f"{root} is not a folder"
        sources = "; ".join(
            f"{dataset.card.title}: {dataset.card.pages[0]}, `bench data describe {name}`"
            for name, dataset in datasets.items()
            if dataset.card
        )
        raise UsageError(
            f"data.source=official needs --data-root DIR, the folder that contains the releases: {problem}. "
            f"Where to get them, and which files are needed: {sources or 'see the task'}"
        )
    mistakes = Mistakes()
    for name, dataset in datasets.items():
        if dataset.card and (missing := dataset.card.missing(root)):
            mistakes.add(
                f"the data of {name} is not complete in {root}: {', '.join(missing)} missing; {dataset.advice(root)}"
            )
    mistakes.raise_if_any()


def check_generated(root: Path | None) -> None:
    """Check quickly that generated data has a place: a folder, or a path at which one can be made.

    Args:
        root: The path of --data-root; None for the user's cache folder.

    Raises:
        UsageError: There is a file instead.
    """
    if root is None:
        return
    path = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not path.is_dir():
        raise UsageError(f"--data-root {root}: {path} is a file; generated data is written into a folder, or is there")


def check_composed(specs: Iterable[Spec], media: Path | None) -> None:
    """Check quickly that the media are present that the data of runs is composed from, unless it has been composed.

    Args:
        specs: Runs on composed data.
        media: The path of --data-root; None for where the media are installed.

    Raises:
        UsageError: A task has no such data, --data-root is no folder, or media are missing or cannot be read; the
            message lists all mistakes.
    """
    mistakes = Mistakes()
    for spec in {json.dumps([spec.task, spec.data], sort_keys=True): spec for spec in specs}.values():
        from bench.datasets import build  # imports numpy
        from bench.system.checksums import user_cache

        layout, origin = task_of(spec).layout, build.Origin(True, media, spec.data.get("sounds", "calls"))
        with mistakes.gathered():
            generator = build.generator_of(layout, origin)
            if not build.is_built(user_cache(), layout, spec.data["seed"], origin):
                generator.media()
            elif media and not media.is_dir():
                mistakes.add(
                    f"--data-root {media} is not a folder; without it, the data that is composed already is used"
                )
    mistakes.raise_if_any()


def check_own(specs: Iterable[Spec], root: Path | None) -> None:
    """Check the user's own data of runs, as far as their tasks can without decoding media.

    Args:
        specs: Runs on a user's own data.
        root: The path of --data-root.

    Raises:
        UsageError: There is no data, or it cannot be used; the message lists all mistakes.
    """
    mistakes = Mistakes()
    checked = set()
    for spec in specs:
        key = json.dumps([spec.task, spec.task_settings, spec.data, list(spec.streams)], sort_keys=True)
        if key in checked:
            continue
        checked.add(key)
        with mistakes.gathered():
            task_of(spec).check_data(own_root(spec.data, root), list(spec.streams))
    mistakes.raise_if_any()


def own_root(data: Mapping[str, Any], root: Path | None) -> Path:
    """Return the file or folder of a user's own data: that of --data-root, or the path of the specification.

    Args:
        data: The specification's `data`.
        root: The path of --data-root; None without it.

    Raises:
        UsageError: There is none, or it does not exist.
    """
    path = root or (Path(data["path"]) if data.get("path") else None)
    if path is None:
        raise UsageError(
            "data.source=own needs the data's place: set data.path in the suite, or pass --data-root PATH, a CSV file "
            "or a folder of images"
        )
    if not path.exists():
        raise UsageError(f"the data {path} does not exist: pass the place of a copy with --data-root PATH")
    return path
