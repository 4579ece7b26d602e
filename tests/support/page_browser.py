"""A headless Chromium for tests of the page, and what they read of it. Needs selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1280,900"),
)


def start(profile: Path, downloads: Path) -> webdriver.Chrome:
    """Return a browser with a profile of its own, which saves what it downloads in a folder."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium and chromedriver on the path: `apt-get install chromium-driver`")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    return driver


@contextmanager
def emulated(browser: webdriver.Chrome, width: int, dark: bool = False) -> Iterator[None]:
    """Give the page another width, as on a phone if it is narrow, and another color scheme."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def methods(browser):
    """Return the names that the table shows, from top to bottom."""
    rows = browser.find_elements(By.CSS_SELECTOR, "article:not([hidden]) tbody.rows tr:not([hidden]) th")
    return [row.text for row in rows]


def column(browser, heading):
    """Return the texts of the first column of the shown table with a heading, without floors."""
    heads = [e.text for e in browser.find_elements(By.CSS_SELECTOR, "article:not([hidden]) th[scope=col]")]
    rows = browser.find_elements(By.CSS_SELECTOR, "article:not([hidden]) tbody.rows tr:not([hidden])")
    return [row.find_elements(By.CSS_SELECTOR, "th, td")[heads.index(heading)].text for row in rows]


def head(browser, text):
    """Return the heading of a column of the shown table."""
    heads = browser.find_elements(By.CSS_SELECTOR, "article:not([hidden]) th[scope=col]")
    return next(element for element in heads if element.text == text)


def figure(browser, title):
    """Return the figure whose title begins with a text."""
    figures = browser.find_elements(By.CSS_SELECTOR, "#drawings figure")
    return next(e for e in figures if e.find_element(By.TAG_NAME, "h4").text.startswith(title))


def mark(browser, name, title="Score against trainable"):
    """Return the mark of a method in a figure."""
    marks = figure(browser, title).find_elements(By.CSS_SELECTOR, ".mark")
    return next(e for e in marks if e.accessible_name.startswith(name))


def focus(browser, element):
    """Move the focus to an element."""
    browser.execute_script("arguments[0].focus()", element)


def panel(browser):
    """Return the text of the details."""
    return browser.find_element(By.ID, "panel").text


def choose(browser, name, text):
    """Choose an entry of one of the page's lists."""
    Select(browser.find_element(By.ID, name)).select_by_visible_text(text)
