"""What mkdocs does besides rendering the pages of this folder.

Reference pages are written from the code. Links to files of the repository (`../bench/cli/run.py`) lead to a page that
shows the file as it is now, so they need no address on the internet, and a link to a file that is gone fails the build.
"""

from __future__ import annotations

import ast
import posixpath
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import reference_pages
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml", ".sh": "bash", ".svg": "xml"}
COPIED = {".html", ".svg", ".png", ".json"}

_CODE = re.compile(r"<!-- code: (?P<path>\S+) (?P<names>.+?) -->")
_LINK = re.compile(r"(?<=\]\()(?P<target>(?!https?:|mailto:|#)[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_startup(**_: Any) -> None:
    """Put the packages in their places for mkdocstrings: `methods/` and `datasets/` are packages below `bench`.

    This is the first event: when mkdocstrings reads its configuration it drops folders that do not exist.
    """
    folder = ROOT / "build" / "docs" / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in [*(ROOT / "bench").iterdir(), ROOT / "methods", ROOT / "datasets"]:
        (folder / path.name).symlink_to(path)


def on_files(files: Files, config: Any) -> Files:
    """Add the reference pages, the changelog, and a page of every file of the repository that a page links to."""
    added = {source: write() for source, write in reference_pages.PAGES.items()}
    added["changelog.md"] = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for source, content in added.items():
        files.append(File.generated(config, source, content=content))
    pending = [(f.src_uri, f.content_string) for f in files.documentation_pages()]
    linked: set[Path] = set()
    for source, content in pending:
        for match in _LINK.finditer(content):
            path = _outside(source, match["target"])
            if path and path not in linked and not path.is_relative_to(DOCS):
                linked.add(path)
                file = _file(path, config)
                files.append(file)
                if path.suffix == ".md":
                    pending.append((file.src_uri, file.content_string))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files of the repository into links to their pages."""
    source = page.file.src_uri
    markdown = _CODE.sub(_code, markdown)

    def page_of(match: re.Match[str]) -> str:
        path = _outside(source, match["target"])
        if not path:
            return match[0]
        return posixpath.relpath(_uri(path), posixpath.dirname(source)) + (match["anchor"] or "")

    return _LINK.sub(page_of, markdown)


def _code(match: re.Match[str]) -> str:
    """Return the source of functions as a fence, in place of `<!-- code: FILE CLASS.FUNCTION ... -->`."""
    text = (ROOT / match["path"]).read_text(encoding="utf-8")
    sources = []
    for name in match["names"].split():
        node: ast.AST = ast.parse(text)
        for part in name.split("."):
            (node,) = (child for child in getattr(node, "body", ()) if getattr(child, "name", None) == part)
        sources.append(textwrap.dedent(ast.get_source_segment(text, node, padded=True) or ""))
    return "```python\n" + "\n\n".join(sources) + "\n```"


def _outside(source: str, target: str) -> Path | None:
    """Return the file of the repository that a link leads out of its folder to; None for other links."""
    if source == "changelog.md":
        base = ROOT
    elif source.startswith("source/"):
        base = (ROOT / source.removeprefix("source/")).parent
    else:
        base = (DOCS / source).parent
    path = Path(posixpath.normpath(base / target))
    within = path.is_relative_to(DOCS) and not source.startswith("source/")
    return path if path.is_file() and path.is_relative_to(ROOT) and not within else None


def _uri(path: Path) -> str:
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    relative = path.relative_to(ROOT).as_posix()
    return f"source/{relative}" if path.suffix in COPIED | {".md"} else f"source/{relative}.md"


def _file(path: Path, config: Any) -> File:
    if path.suffix in COPIED:
        return File.generated(config, _uri(path), abs_src_path=str(path))
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".md":
        relative = path.relative_to(ROOT).as_posix()
        language = LANGUAGES.get(path.suffix, "text")
        text = f"---\nsearch: {{exclude: true}}\n---\n\n# {relative}\n\n````{language}\n{text}````\n"
    return File.generated(config, _uri(path), content=text)
