"""The page's table of gains on each test split, in a real browser."""

from __future__ import annotations

import dataclasses

import made_standings
import pytest
from page_browser import By, choose, emulated
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from bench.records import store
from bench.report.formatting import NONE
from bench.report.write import write_leaderboard

GAINS = {"lora": (0.0, 0.0), "cola": (1.0, 4.0), "head": (-2.0, -9.0)}  # on each split


def scored(method, seed):
    """A record whose differences from LoRA vary over seeds."""
    record = made_standings.record(made_standings.spec(method, "refcoco", seed))
    metric = record.scores.metric
    a, b = (60 + seed + gain * (1 + seed / 50) for gain in GAINS[method])
    scores = dataclasses.replace(
        record.scores,
        test={metric: (a + b) / 2},
        splits={"val": {metric: 60.0}, "testA": {metric: a}, "testB": {metric: b}},
    )
    return dataclasses.replace(record, scores=scores)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits")
    for method in GAINS:
        for seed in range(4):
            store.write(scored(method, seed), folder)
    return write_leaderboard(folder)[1]


@pytest.fixture
def opened(browser, path):
    browser.get("about:blank")
    browser.get(path.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def lines(browser, which=".splits"):
    """The visible rows of a table, by method: the texts of the other cells."""
    rows = browser.find_elements(By.CSS_SELECTOR, f"{which} tbody.rows tr:not([hidden])")
    return {
        row.find_element(By.TAG_NAME, "th").text: [e.text for e in row.find_elements(By.TAG_NAME, "td")] for row in rows
    }


def caption(browser):
    return browser.find_element(By.CSS_SELECTOR, ".splits caption").text


def test_both_splits_stand_beside_the_method(opened):
    shown = lines(opened)
    assert list(shown) == ["cola", "lora", "head"], "in the order of the table above"
    assert [shown["cola"][place] for place in (0, 2)] == ["+1.03 ▲", "+4.12 ▲"]
    assert [shown["head"][place] for place in (0, 2)] == ["-2.06 ▼", "-9.27 ▼"]
    assert shown["lora"] == [NONE] * 4
    assert "°" in shown["cola"][1]


def test_points_over_another_reference_are_computed_and_said_to_be_points_only(opened):
    before, title = lines(opened), caption(opened)
    assert title == "By test split: gain over lora (▲ better, ▼ worse)"
    choose(opened, "reference", "cola")
    assert caption(opened) == "By test split: gain over cola (points only: intervals are over lora)"
    assert lines(opened)["lora"] == ["-1.03", NONE, "-4.12", NONE]
    assert lines(opened)["head"] == ["-3.09", NONE, "-13.39", NONE]
    assert lines(opened)["cola"] == [NONE] * 4
    choose(opened, "reference", "lora")
    assert (lines(opened), caption(opened)) == (before, title)


def test_the_filter_counts_methods_once(opened):
    assert opened.find_element(By.ID, "shown").text == "3 of 3 methods"
    opened.find_element(By.ID, "filter").send_keys("ola")
    WebDriverWait(opened, 5).until(lambda _: list(lines(opened)) == ["cola"])
    assert opened.find_element(By.ID, "shown").text == "1 of 3 methods"


def test_it_sorts_by_itself_and_the_address_has_the_order_of_the_first_table(opened):
    def head(which, number):
        return opened.find_elements(By.CSS_SELECTOR, f"{which} th[scope=col] button")[number]

    head(".splits", 1).click()
    head(".splits", 1).click()
    assert next(iter(lines(opened))) == "head" and next(iter(lines(opened, ".frame:not(.splits)"))) == "cola"
    assert "sort" not in opened.execute_script("return location.hash")
    head(".frame:not(.splits)", 2).click()
    assert "sort=" in opened.execute_script("return location.hash")


def test_a_name_in_it_opens_the_details(opened):
    opened.find_element(By.CSS_SELECTOR, ".splits tbody.rows th button").send_keys(Keys.ENTER)
    assert opened.find_element(By.ID, "panel").text.splitlines()[1] == "cola"


def test_a_phone_shows_the_first_split_beside_the_method(opened):
    with emulated(opened, 390):
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
        ends = [
            cell.rect["x"] + cell.rect["width"]
            for cell in opened.find_elements(By.CSS_SELECTOR, ".splits tbody.rows tr:first-child > *")
        ]
        assert ends[2] <= 390


def test_without_a_script_it_shows(browser, path):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(path.as_uri())
        assert "+4.12 ▲" in browser.find_element(By.CSS_SELECTOR, ".splits").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
