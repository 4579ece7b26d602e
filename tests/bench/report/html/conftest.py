"""A browser and a page for the tests in it; they are skipped without selenium or Chromium."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_standings
import pytest

from bench.report.html.page import page

PUBLISHED = [
    {
        "task": "ave",
        "metric": "accuracy",
        "method": made_standings.EVIL,
        "score": "80.7",
        "setting": "",
        "source": "https://x.org/",
    }
]


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what the browser downloads."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Any]:
    """One browser for all tests."""
    import page_browser

    driver = page_browser.start(tmp_path_factory.mktemp("profile"), downloads)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of two suites with two tasks each."""
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    second_suite = [
        made_standings.record(dataclasses.replace(made_standings.spec("lora", task), suite="other"))
        for task in ("ave", "avs")
    ]
    judged = made_standings.judged(made_standings.records()) + made_standings.judged(second_suite)
    path.write_text(page(judged, PUBLISHED), encoding="utf-8")
    return path


@pytest.fixture
def overview(browser: Any, file: Path) -> Iterator[Any]:
    """The page, opened anew; no test may leave an error in the console."""
    browser.get("about:blank")
    browser.get(file.as_uri())
    yield browser
    assert browser.get_log("browser") == []


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Any]:
    """The page at its first task."""
    browser.get("about:blank")
    browser.get(f"{file.as_uri()}#task=ave")
    yield browser
    assert browser.get_log("browser") == []
