"""The page in a real browser: headless Chromium, driven by selenium."""

from __future__ import annotations

from pathlib import Path

import made_standings
import page_browser
from page_browser import By, Select, choose, focus, head, mark, methods, panel, webdriver
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from bench.report.html.page import page

SCRIPTS = len(list(Path(page.__code__.co_filename).parent.glob("*.js"))) + 1  # and the data


def test_names_are_text_and_run_nothing(opened):
    assert made_standings.EVIL in methods(opened)
    focus(opened, mark(opened, made_standings.EVIL))
    assert made_standings.EVIL in panel(opened)
    assert made_standings.EVIL in opened.find_element(By.ID, "legend").text
    assert opened.execute_script("return window.ran") is None
    assert opened.execute_script("return document.querySelectorAll('script').length") == SCRIPTS


def test_nothing_is_requested(opened):
    assert opened.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []


def test_sorts_by_click(opened):
    assert methods(opened) == ["cola", "lora", made_standings.EVIL, "head"]
    head(opened, "accuracy").find_element(By.TAG_NAME, "button").click()
    assert head(opened, "accuracy").get_attribute("aria-sort") == "descending"
    assert methods(opened)[0] == "cola"
    head(opened, "accuracy").find_element(By.TAG_NAME, "button").click()
    assert head(opened, "accuracy").get_attribute("aria-sort") == "ascending"
    assert methods(opened) == ["head", made_standings.EVIL, "lora", "cola"]
    head(opened, "method").find_element(By.TAG_NAME, "button").click()
    assert head(opened, "accuracy").get_attribute("aria-sort") is None
    assert methods(opened) == [made_standings.EVIL, "cola", "head", "lora"]


def test_sorts_by_keyboard_and_floors_stay_below(opened):
    button = head(opened, "trainable").find_element(By.TAG_NAME, "button")
    for key, direction in ((Keys.ENTER, "ascending"), (Keys.SPACE, "descending")):
        button.send_keys(key)
        assert head(opened, "trainable").get_attribute("aria-sort") == direction
        assert opened.switch_to.active_element == button
        assert (methods(opened)[0] == "head") == (direction == "ascending")
    last = opened.find_elements(By.CSS_SELECTOR, "article:not([hidden]) tbody tr th")[-1]
    assert last.text == "floor: constant answer"


def test_what_is_missing_comes_last_in_both_orders(opened):
    for _ in range(2):
        head(opened, "verdict").find_element(By.TAG_NAME, "button").click()
        assert methods(opened)[-1] == "lora"


def test_filter(opened):
    field = opened.find_element(By.ID, "filter")
    field.send_keys("OLA")
    WebDriverWait(opened, 5).until(lambda _: methods(opened) == ["cola"])
    assert opened.find_element(By.ID, "shown").text == "1 of 4 methods"
    assert len(opened.find_elements(By.CSS_SELECTOR, "#drawings svg .mark")) == 1 * 7
    field.send_keys("xyz")
    WebDriverWait(opened, 5).until(lambda _: not methods(opened))
    assert not opened.find_element(By.ID, "figures").is_displayed()


def test_choice_of_task(opened):
    assert opened.find_element(By.ID, "figures-title").text == "Figures: ave"
    choose(opened, "task", "avs")
    assert opened.find_element(By.ID, "figures-title").text == "Figures: avs"
    choose(opened, "task", "All tasks")
    assert opened.find_element(By.ID, "figures-title").text == "Figures: All tasks"
    assert len(methods(opened)) == 4


def test_choice_of_section(opened):
    choose(opened, "task", "avs")
    Select(opened.find_element(By.ID, "section")).select_by_index(1)
    assert opened.find_element(By.ID, "figures-title").text == "Figures: avs"  # the task stays
    assert methods(opened) == ["lora"]
    shown = [e.text for e in opened.find_elements(By.CSS_SELECTOR, ".standings h2") if e.is_displayed()]
    assert shown == ["Suite other, generated data v1 (world 0), not the benchmark's own"]


def test_many_rows_show_on_demand(browser, tmp_path):
    records = [made_standings.record(made_standings.spec("lora", note=number), epochs=2) for number in range(210)]
    path = tmp_path / "many.html"
    path.write_text(page(made_standings.judged(records)), encoding="utf-8")
    browser.get(path.as_uri())
    shown = browser.find_element(By.ID, "shown")
    assert shown.text == "200 of 210 methods"
    browser.find_element(By.ID, "every").click()
    assert shown.text == "210 of 210 methods"
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody.rows tr:not([hidden])")) == 210
    assert not browser.find_element(By.ID, "every").is_displayed()


def test_dark(opened):
    def ground():
        return opened.execute_script("return getComputedStyle(document.body).backgroundColor")

    button = opened.find_element(By.ID, "theme")
    light = ground()
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    dark = ground()
    assert dark != light
    opened.refresh()
    assert ground() == dark  # it is remembered
    opened.find_element(By.ID, "theme").click()
    assert ground() == light


def test_a_point_shows_what_is_behind_it(opened):
    point = mark(opened, "cola")
    assert "accuracy 78.50%, 95% interval 77.25 to 79.75, 13,900 adapter parameters" in point.accessible_name
    focus(opened, point)
    text = panel(opened)
    for part in ("cola", "alpha", "embedded:vision-v2", "threads", "versions.torch", "0123456789abcdef", "generated"):
        assert part in text
    assert [
        f"seed {seed}: {78 + seed / 2:g}, run {made_standings.spec('cola', seed=seed).id}" in text for seed in range(3)
    ]
    focus(opened, mark(opened, "head", "Training curves"))
    assert "head" in panel(opened)
    assert "cola" not in panel(opened)


def test_details_by_keyboard(opened):
    point = mark(opened, "lora")
    focus(opened, point)
    point.send_keys(Keys.ENTER)
    assert opened.switch_to.active_element.get_attribute("id") == "panel"
    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert opened.switch_to.active_element == point
    assert "No point chosen" in panel(opened)


def test_hovering_shows_and_a_click_pins(opened):
    hover = webdriver.ActionChains(opened, duration=0)
    hover.move_to_element(mark(opened, "cola")).perform()
    assert panel(opened).splitlines()[1] == "cola"
    hover.click(mark(opened, "head")).move_to_element(mark(opened, "cola")).perform()
    assert panel(opened).splitlines()[1] == "head"


def test_no_axis_begins_at_minus_zero(opened):
    ticks = opened.execute_script("return linearScale([0, 1000], 0, 1).ticks.map(shortNumber)")
    assert ticks == ["0", "500", "1K"]


def test_basics_of_access(opened):
    """What a checker looks for first: names, headings in order, captions, scopes."""
    faults = opened.execute_script("""
        const all = (selector) => [...document.querySelectorAll(selector)];
        const levels = all("h1, h2, h3, h4, h5").map((heading) => Number(heading.tagName[1]));
        return {
            language: document.documentElement.lang !== "en",
            title: !document.title,
            first: levels[0] !== 1,
            jumps: levels.filter((level, index) => index && level > levels[index - 1] + 1),
            scopes: all("th:not([scope])").length,
            captions: all("table").filter((table) => !table.caption?.textContent).length,
            labels: all("input, select").filter((field) => !field.labels.length).length,
            buttons: all("button").filter((button) => !button.textContent).length,
            marks: all(".mark[role]").filter((mark) => !mark.getAttribute("aria-label") || mark.tabIndex !== 0).length,
            drawings: all("#drawings svg:not([aria-describedby=figures-text])").length,
            doubled: all("[id]").length - new Set(all("[id]").map((element) => element.id)).size,
        };
    """)
    assert not any(faults.values()), faults
    assert opened.execute_script("return document.querySelectorAll('#drawings svg').length") == 7


def test_a_narrow_window_scrolls_tables_only(opened):
    with page_browser.emulated(opened, 375):
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 375


def test_without_a_script_the_tables_show(browser, file):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(file.as_uri())
        shown = browser.find_element(By.TAG_NAME, "main").text
        assert "77.25 to 79.75" in shown  # of ave
        assert "57.25 to 59.75" in shown  # of avs
        assert not browser.find_element(By.ID, "controls").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
