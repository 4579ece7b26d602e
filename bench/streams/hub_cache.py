"""Copies of encoders in the Hugging Face cache, and their names on the hub. The network is not asked."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from bench.files import MEBIBYTE, read_text

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PLAIN = re.compile(r"[\w.*?-]+")  # needs no escape within double quotes, which all shells know


def cache() -> Path:
    """Return the folder of the Hugging Face cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def is_hub_name(model: str) -> bool:
    """Return whether a text can be the id of a model on the hub."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def snapshot(model: str, commit: str | None = None) -> Path | None:
    """Return the folder in the cache that holds a revision of a model, whole or not; None where there is none.

    Args:
        model: an id on the hub, or any other text.
        commit: of the revision; None for the main one, or for the only one that is there.
    """
    if not is_hub_name(model):
        return None
    folder = cache() / f"models--{model.replace('/', '--')}"
    try:
        commits = os.listdir(folder / "snapshots")  # noqa: PTH208 - names, and no paths
        wanted = commit or _main(folder) or (commits[0] if len(commits) == 1 else "")
    except (OSError, ValueError):
        return None
    return folder / "snapshots" / wanted if wanted in commits else None


def _main(folder: Path) -> str:
    """Return the commit of the main revision; nothing where a revision was fetched by its commit."""
    try:
        return read_text(folder / "refs" / "main", MEBIBYTE).strip()
    except FileNotFoundError:
        return ""


def hub_name(folder: Path) -> tuple[str, str] | None:
    """Return the id on the hub and the commit of an encoder in a cache of the hub's; None for others."""
    for path in (folder.absolute(), folder.resolve()):
        *_, repository, snapshots, commit = ("", "", *path.parts)
        kind, _, name = repository.partition("--")
        if (kind, snapshots) == ("models", "snapshots") and is_hub_name(name := name.replace("--", "/")):
            return name, commit
    return None


def interrupted(folder: Path) -> bool:
    """Return whether a download into the cache was stopped midway, of the model that a snapshot is of."""
    return any((folder.parent.parent / "blobs").glob("*.incomplete"))


def fetching(model: str, files: Iterable[str], commit: str = "", *, force: bool = False) -> str:
    """Return the command that fetches files of a model from the hub, in backquotes.

    Args:
        model: its id.
        files: their names, or patterns.
        commit: which revision; the main one by default.
        force: whether to fetch what the cache seems to have.
    """
    words = ["hf", "download", shlex.quote(model)]
    words += ["--revision", commit] if _COMMIT.fullmatch(commit) else []  # so that it joins what is there
    for name in dict.fromkeys(files):
        words += ["--include", f'"{name}"' if _PLAIN.fullmatch(name) else shlex.quote(name)]
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    about = " (without HF_HUB_OFFLINE, which is set here)" if offline else ""
    return f"`{' '.join([*words, *(['--force-download'] if force else [])])}`{about}"
