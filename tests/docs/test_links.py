"""Links between pages and to files of the repository lead somewhere, and the reference names what there is."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest
import snippets
import yaml
from snippets import ROOT

from bench import cli, registry
from bench.config.recipe import Recipe
from bench.records.schema import Record

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)")
REFERENCE = {f"reference/{name}.md" for name in ("command-line", "settings", "methods", "records")}
WRITTEN = {*REFERENCE, "changelog.md"}
"""Pages that docs/hooks.py makes."""


def is_there(page: Path, target: str) -> bool:
    path = (page.parent / target).resolve()
    return path.exists() or (path.is_relative_to(ROOT / "docs") and str(path.relative_to(ROOT / "docs")) in WRITTEN)


@pytest.mark.parametrize("page", [*snippets.pages(), ROOT / "CHANGELOG.md"], ids=lambda path: path.stem)
def test_links_lead_to_files(page):
    assert [target for target in LINK.findall(page.read_text()) if not is_there(page, target)] == []


def test_a_link_to_nothing_is_found():
    assert not is_there(ROOT / "README.md", "docs/none.md") and is_there(ROOT / "README.md", "docs/index.md")


def test_modules_of_the_changelog_exist():
    rows = re.findall(r"^\| `(bench[\w.]+)` \| `(bench[\w.]+)` \|$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert len(rows) > 50
    assert [new for _, new in rows if not importlib.util.find_spec(new)] == []


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r":\s+([\w/.-]+\.md)$", text, re.MULTILINE))
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert listed == written | WRITTEN


@pytest.fixture(scope="module")
def reference():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        import reference_pages
    return reference_pages


def test_the_reference_names_every_option_setting_and_key(reference):
    command_line = reference.command_line()
    for name in cli.COMMANDS:
        assert f"## bench {name}" in command_line
    assert "`--budget SIZE`" in command_line and "argparse" not in command_line
    settings = reference.settings()
    documented = re.findall(r"^\| `(\w+)` \|.*\| (.*?) ?\|$", settings, re.MULTILINE)
    assert {*Recipe.__dataclass_fields__} <= {name for name, _ in documented}
    assert [name for name, meaning in documented if not meaning] == [], "every setting has a sentence"
    methods = reference.methods()
    documented = re.findall(r"^\| `(\w+)` \|.*\| (.*?) ?\|$", methods, re.MULTILINE)
    assert [name for name, meaning in documented if not meaning] == [], "every setting has a sentence"
    records = reference.records()
    assert all(f"`{field.name}`" in records for field in fields(Record))
    assert "## scores.validation" in records and "## environment" in records


FLOORS = {"head", "full"}  # which no paper introduced


@pytest.mark.parametrize("name", registry.names("methods"))
def test_every_method_has_a_section_with_its_paper_and_is_in_the_readme(reference, name):
    page = reference.methods() + "\n## "
    section = re.search(rf"^## {re.escape(name.replace('<', '&lt;'))}$(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert section and section[1].strip() and "Attributes:" not in section[1]
    if "<" not in name:
        assert name in FLOORS or "](https://arxiv.org/abs/" in section[1]
    assert f"`{name}`" in (ROOT / "README.md").read_text(), "README.md names every method"


def test_no_text_of_the_reference_is_lost_as_html(reference):
    assert "peft:&lt;type>" in reference.command_line()
    for page in reference.PAGES.values():
        assert re.findall("<.*", re.sub(r"```.*?```|`[^`]*`", "", page(), flags=re.DOTALL)) == []


@pytest.mark.parametrize("path", [ROOT / "CITATION.cff", *(ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")])
def test_files_for_github_are_readable(path):
    content = yaml.safe_load(path.read_text())
    if path.name == "CITATION.cff":
        import bench

        assert content["version"] == bench.__version__ and content["cff-version"] == "1.2.0"
    elif path.name != "config.yml":
        assert {"name", "description", "body"} <= {*content}


@pytest.mark.parametrize(("page", "cls"), [("method", "Method"), ("task", "Task")])
def test_members_that_a_page_names_exist(page, cls):
    import bench

    rows = re.findall(r"^\| (`.+?) \|", (ROOT / "docs" / "extend" / f"{page}.md").read_text(), re.MULTILINE)
    members = re.findall(r"`(\w+)", " ".join(rows))
    known = {*dir(getattr(bench, cls)), *getattr(bench, cls).__annotations__}
    assert len(members) > 8 and [member for member in members if member not in known] == []
