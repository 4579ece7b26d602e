"""Copies of encoders in the Hugging Face cache, and their names on the hub. The network is never used."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from bench.files import MEBIBYTE, read_text

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PLAIN = re.compile(r"[\w.*?-]+")  # needs no escaping within double quotes in any shell


def cache() -> Path:
    """Return the folder of the Hugging Face cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def is_hub_name(model: str) -> bool:
    """Return whether a text is a valid id of a model on the hub."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def snapshot(model: str, commit: str | None = None) -> Path | None:
    """Return the folder in the cache with a revision of a model, complete or not; None if there is none.

    Args:
        model: An id on the hub, or any other text.
        commit: Commit of the revision; None for the main revision, or for the only cached one.
    """
    if not is_hub_name(model):
        return None
    folder = cache() / f"models--{model.replace('/', '--')}"
    try:
        commits = os.listdir(folder / "snapshots")  # noqa: PTH208 - names, not paths
        chosen = commit or _main(folder) or (commits[0] if len(commits) == 1 else "")
    except (OSError, ValueError):
        return None
    return folder / "snapshots" / chosen if chosen in commits else None


def _main(folder: Path) -> str:
    """Return the commit of the main revision; "" if only a revision was fetched by its commit."""
    try:
        return read_text(folder / "refs" / "main", MEBIBYTE).strip()
    except FileNotFoundError:
        return ""


def hub_name(folder: Path) -> tuple[str, str] | None:
    """Return the hub id and the commit of an encoder in a hub cache; None for other folders."""
    for path in (folder.absolute(), folder.resolve()):
        *_, repository, snapshots, commit = ("", "", *path.parts)
        kind, _, name = repository.partition("--")
        if (kind, snapshots) == ("models", "snapshots") and is_hub_name(name := name.replace("--", "/")):
            return name, commit
    return None


def interrupted(folder: Path) -> bool:
    """Return whether a download of the model of a snapshot was interrupted."""
    return any((folder.parent.parent / "blobs").glob("*.incomplete"))


def download_command(model: str, files: Iterable[str], commit: str = "", *, force: bool = False) -> str:
    """Return the command that downloads files of a model from the hub, in backquotes.

    Args:
        model: Its id on the hub.
        files: Names or patterns of the files.
        commit: Commit of the revision; "" for the main revision.
        force: Whether to download files that the cache seems to have.
    """
    words = ["hf", "download", shlex.quote(model)]
    words += ["--revision", commit] if _COMMIT.fullmatch(commit) else []  # so that it completes the cached revision
    for name in dict.fromkeys(files):
        words += ["--include", f'"{name}"' if _PLAIN.fullmatch(name) else shlex.quote(name)]
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    about = " (after unsetting HF_HUB_OFFLINE)" if offline else ""
    return f"`{' '.join([*words, *(['--force-download'] if force else [])])}`{about}"
