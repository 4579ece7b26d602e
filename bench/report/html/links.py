"""The links of leaderboard.html: to the papers of methods, and to their files in a checkout."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bench.methods
from bench import registry

_PAPER = re.compile(r"arXiv\s+(\d{4}\.\d{4,5})")
_ROOT = Path(bench.methods.__file__).resolve().parents[1]  # of a checkout, in which methods/ is at the top


def method_links(method: str, results: Path | None) -> dict[str, Any]:
    """Return the first paper that a method's docstring names, and its file, each as text and address, if known.

    A file has an address if page and file are in one checkout.
    """
    path, docstring = registry.source("methods", method)
    links = {}
    if paper := _PAPER.search(docstring):
        links["paper"] = [f"arXiv {paper[1]}", f"https://arxiv.org/abs/{paper[1]}"]
    if path and results and all(item.resolve().is_relative_to(_ROOT) for item in (path, results)):
        address = Path(os.path.relpath(path.resolve(), results.resolve())).as_posix()
        links["file"] = [path.resolve().relative_to(_ROOT).as_posix(), quote(address)]
    return links
