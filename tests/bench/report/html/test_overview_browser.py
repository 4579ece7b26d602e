"""The page over all tasks, and what one can choose, link and save, in a real browser."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import made_standings
import pytest
from page_browser import By, choose, column, emulated, figure, focus, head, mark, methods, panel
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from bench.records import store
from bench.report.formatting import NONE
from bench.report.html.page import page
from bench.report.standings import compute_standings
from bench.report.write import write_leaderboard

SVG = "{http://www.w3.org/2000/svg}"
FAMILY = ("ave", "refcoco", "refcoco_plus", "refcoco+refcoco_plus")


def uneven(method, task, seed, **changes):
    """A record whose gain over LoRA differs between tasks and seeds."""
    record = made_standings.record(made_standings.spec(method, task, seed, **changes))
    score = record.test_score + (len(task) * (seed + 1) % 7) / 10 * (method != "lora")
    metric = record.scores.metric
    splits = None
    if "+" in task:  # tasks that are trained together have test splits of their own
        splits = {"val": {metric: score}} | {f"{name}.test": {metric: score} for name in task.split("+")}
    return dataclasses.replace(record, scores=dataclasses.replace(record.scores, test={metric: score}, splits=splits))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A results folder with a written leaderboard of grounding and AVE, with LoRA in two sizes."""
    folder = tmp_path_factory.mktemp("written")
    for task in FAMILY:
        runs = [uneven(method, task, seed) for method in ("lora", "cola", "head") for seed in range(4)]
        for record in [*runs, *(uneven("lora", task, seed, r=12) for seed in range(3))]:
            store.write(record, folder)
    write_leaderboard(folder)
    return folder


@pytest.fixture
def measured(browser, written):
    browser.get("about:blank")
    browser.get((written / "leaderboard.html").as_uri())
    yield browser
    assert browser.get_log("browser") == []


def saved(browser, downloads, press):
    """The text of the file that a press of a button saves."""
    before = {*downloads.iterdir()}
    press()
    files = WebDriverWait(browser, 10).until(
        lambda _: [path for path in {*downloads.iterdir()} - before if path.suffix not in (".crdownload", ".tmp")]
    )
    return files[0].name, files[0].read_text(encoding="utf-8")


def address(browser):
    return browser.execute_script("return decodeURIComponent(location.hash.replaceAll('+', ' '))")


def test_it_opens_with_all_tasks(overview):
    assert methods(overview) == ["cola", "lora", made_standings.EVIL, "head"]
    assert column(overview, "points") == ["+2.00", NONE, "-1.00", "-15.00"]
    assert column(overview, "verdict")[0] == "better"
    titles = [e.text for e in overview.find_elements(By.CSS_SELECTOR, "#drawings h4")]
    assert titles == [
        *("Mean gain over lora", "Gain over lora on each task, in points", "Score against trainable parameters"),
        *("Score against training memory", "Score against training time"),
    ]
    assert (
        mark(overview, "cola", "Gain over lora on each").accessible_name == "cola: ave +2.00 better, avs +2.00 better"
    )
    assert "mean score 68.50%" in mark(overview, "cola").accessible_name


def test_what_would_squeeze_an_axis_is_at_its_edge_and_named(overview):
    text = figure(overview, "Mean gain").text
    assert "Outside the axes, drawn at the edge: head (-15.00)." in text
    for title in ("Score against trainable", "Score against training memory"):
        shown = figure(overview, title)
        assert "head (score 51.5" in shown.text
        places = {name: mark(overview, name, title).rect["y"] for name in ("cola", "lora", "head")}
        assert places["cola"] < places["lora"] < places["head"]
        assert places["lora"] - places["cola"] > 30, "two points differ by more than if the axis had room for head"


def test_the_table_over_worlds_is_a_section_of_its_own(browser, tmp_path):
    path = tmp_path / "leaderboard.html"
    path.write_text(page(compute_standings(made_standings.records_in_worlds(tasks=("ave", "avs")))), encoding="utf-8")
    browser.get(path.as_uri())
    names = [option.text for option in browser.find_elements(By.CSS_SELECTOR, "#section option")]
    assert [name.partition(":")[0] for name in names[3:]] == ["Over worlds"], "after those of the three worlds"
    choose(browser, "section", names[3])
    assert methods(browser) == ["cola", "lora"] * 3
    assert column(browser, "task")[::2] == ["all tasks", "ave accuracy", "avs miou"]
    assert column(browser, "worlds") == ["3"] * 6
    head(browser, "points").click()
    assert column(browser, "points")[3:] == [NONE] * 3
    assert not browser.find_element(By.ID, "figures").is_displayed()
    browser.refresh()
    assert column(browser, "worlds") == ["3"] * 6, "the address has the section"
    assert browser.get_log("browser") == []


def test_sizes_of_a_method_differ_by_mark_and_name(measured):
    drawn = {name: mark(measured, f"{name}:") for name in ("lora", "lora (r=12)")}
    kinds = [element.get_attribute("class") for element in drawn.values()]
    assert kinds[0] != kinds[1] and kinds[0].split()[1] == kinds[1].split()[1], "one color, another filling"
    assert {*drawn} <= {*measured.find_element(By.ID, "legend").text.splitlines()}


def test_another_reference_has_the_gains_of_the_statistics(measured, written):
    choose(measured, "reference", "cola")
    records = store.read_existing(written)
    (section,) = compute_standings(records, written, "cola")
    rows = dict(zip(methods(measured), column(measured, "points"), strict=True))
    assert rows == {"cola": NONE} | {label: f"{gain.points:+.2f}" for label, gain in section.mean_gains.items()}
    shown = measured.find_element(By.CSS_SELECTOR, "article:not([hidden]) table").text
    for gain in section.mean_gains.values():
        assert f"{gain.interval.low:+.2f} to {gain.interval.high:+.2f}°" in shown
    assert "mean gain over cola" in shown and figure(measured, "Mean gain over cola")
    choose(measured, "task", "refcoco_plus")
    assert column(measured, "points")[methods(measured).index("cola")] == NONE
    assert not measured.find_element(By.ID, "reference-note").is_displayed()
    choose(measured, "reference", "lora")
    assert "gain over lora" in measured.find_element(By.CSS_SELECTOR, "article:not([hidden]) table").text


def test_gains_that_were_not_computed_are_points_only_which_is_said(overview):
    choose(overview, "reference", "cola")
    assert column(overview, "points") == [NONE, "-2.00", "-3.00", "-17.00"]
    assert {*column(overview, "verdict")} == {NONE}
    note = overview.find_element(By.ID, "reference-note").text
    assert note == "Gains over cola are points only: intervals and verdicts are there for lora."
    choose(overview, "reference", "lora")
    assert column(overview, "verdict")[0] == "better"


def test_points_over_another_reference_are_over_families_and_common_seeds(measured, written):
    """As Python computes them, with what is stored for other references removed."""
    expected = [*column(measured, "points")]
    choose(measured, "reference", "cola")
    computed = column(measured, "points")
    measured.execute_script("for (const task of Object.values(data.tasks)) { task.gains = {}; task.over = {}; }")
    for name in ("lora", "cola"):
        choose(measured, "reference", name)
    assert column(measured, "points") == computed != expected


def test_selections_are_in_the_address(browser, file, overview):
    assert address(overview) == ""
    choose(overview, "task", "avs")
    choose(overview, "reference", "cola")
    head(overview, "miou").find_element(By.TAG_NAME, "button").click()
    head(overview, "miou").find_element(By.TAG_NAME, "button").click()
    overview.find_element(By.ID, "filter").send_keys("o")
    WebDriverWait(overview, 5).until(lambda _: "method=o" in address(overview))
    focus(overview, mark(overview, "cola"))
    mark(overview, "cola").send_keys(Keys.ENTER)
    link_of_all = "#task=avs&method=o&reference=cola&sort=score miou&order=ascending&point=cola"
    assert address(overview) == link_of_all
    link, before = overview.current_url, (methods(overview), column(overview, "points"), panel(overview))
    browser.get("about:blank")
    browser.get(link)
    assert (methods(browser), column(browser, "points"), panel(browser)) == before
    assert head(browser, "miou").get_attribute("aria-sort") == "ascending"
    browser.execute_script("location.hash = ''")
    WebDriverWait(browser, 5).until(lambda _: "All tasks" in browser.find_element(By.ID, "figures-title").text)
    assert len(methods(browser)) == 4


def test_an_address_of_another_section_and_of_nothing(browser, file, overview):
    overview.execute_script("location.hash = 'main'")
    assert overview.find_element(By.ID, "figures-title").text == "Figures: All tasks"
    suite = "Suite other, generated data v1 (world 0), not the benchmark's own"
    overview.execute_script("location.hash = new URLSearchParams({section: arguments[0], task: 'avs'})", suite)
    WebDriverWait(browser, 5).until(lambda _: methods(browser) == ["lora"])
    overview.execute_script("location.hash = 'task=gone&reference=gone&sort=gone&point=gone'")
    WebDriverWait(browser, 5).until(lambda _: len(methods(browser)) == 4)


def test_the_table_is_saved_as_it_is_shown(overview, downloads):
    choose(overview, "task", "ave")
    overview.find_element(By.ID, "filter").send_keys("ola")
    WebDriverWait(overview, 5).until(lambda _: methods(overview) == ["cola"])
    name, text = saved(overview, downloads, overview.find_element(By.ID, "json").click)
    rows = json.loads(text)
    assert name == "leaderboard-ave.json"
    assert [row["method"] for row in rows] == ["cola", "floor: sound alone", "floor: constant answer"]
    assert (
        rows[0]
        | {
            "score accuracy": 78.5,
            "score 95% interval, low": 77.25,
            "score 95% interval, high": 79.75,
            "gain over lora points": 2,
            "gain over lora 95% interval, low": 1,
            "gain over lora verdict": "better",
            "adapter parameters trainable": 13900,
        }
        == rows[0]
    )
    assert (rows[1]["score accuracy"], rows[1]["gain over lora verdict"]) == (41.5, None)
    name, text = saved(overview, downloads, overview.find_element(By.ID, "csv").click)
    read = list(csv.DictReader(io.StringIO(text)))
    assert name == "leaderboard-ave.csv"
    assert [{key: str(value) if value is not None else "" for key, value in row.items()} for row in rows] == read


def test_csv_runs_no_formula(overview):
    formulas = ["=1+1", " +1", "@x", "-1 to 2", 'a "b", c', "\uff1d1"]
    text = overview.execute_script("return asCsv(arguments[0].map((value) => ({ x: value })))", [*formulas, -1.5])
    read = [row["x"] for row in csv.DictReader(io.StringIO(text))]
    assert read == ["'=1+1", "' +1", "'@x", "'-1 to 2", 'a "b", c', "'\uff1d1", "-1.5"]


def test_figures_are_saved_as_they_look(overview, downloads):
    button = figure(overview, "Mean gain").find_element(By.CSS_SELECTOR, "button.save")
    name, text = saved(overview, downloads, button.click)
    drawing = ElementTree.fromstring(text)
    assert name == "Mean-gain-over-lora.svg" and drawing.tag == f"{SVG}svg"
    colors = {element.get("fill") for element in drawing.iter()}
    assert not any(color and "var(" in color for color in colors) and len(colors) > 3
    assert "cola" in "".join(drawing.itertext())


def test_rows_link_to_records_papers_and_files(measured, written):
    measured.find_element(By.CSS_SELECTOR, "article:not([hidden]) tbody.rows th button").send_keys(Keys.ENTER)
    assert measured.switch_to.active_element.get_attribute("id") == "panel"
    assert panel(measured).splitlines()[1] == methods(measured)[0] == "cola"
    links = measured.find_elements(By.CSS_SELECTOR, "#panel a")
    paper, *records = [link.get_attribute("href") for link in links]
    assert paper == "https://arxiv.org/abs/2604.03314"
    paths = {Path(unquote(link.removeprefix("file://"))).resolve() for link in records}
    expected = {path.resolve() for path in (written / "records").glob("*-cola-*.json")}
    assert len(expected) == 16 and paths == expected
    measured.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert measured.switch_to.active_element.text == "cola"


def test_a_page_elsewhere_links_to_no_record(overview):
    overview.find_element(By.CSS_SELECTOR, "article:not([hidden]) tbody.rows th button").click()
    assert "seed 0: 78, run " in panel(overview)
    links = [e.get_attribute("href") for e in overview.find_elements(By.CSS_SELECTOR, "#panel a")]
    assert links == ["https://arxiv.org/abs/2604.03314"]


@pytest.mark.parametrize("width", [390, 1000, 1400])
def test_headings_never_overlap_and_nothing_is_wider_than_the_window(measured, width):
    overlaps = """
        const boxes = (selector) => [...document.querySelectorAll(selector)]
            .filter((element) => element.offsetParent !== null || element.ownerSVGElement)
            .map((element) => [element.textContent, element.getBoundingClientRect()]);
        const meet = ([, a], [, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 &&
            Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5;
        const pairs = (list) => list.flatMap((a, index) =>
            list.slice(index + 1).filter((b) => meet(a, b)).map((b) => [a[0], b[0]]));
        const heads = [...document.querySelectorAll("article:not([hidden]) thead tr")].flatMap((line) =>
            pairs([...line.cells].map((cell) => [cell.textContent, (() => {
                const range = document.createRange();
                range.selectNodeContents(cell);
                return range.getBoundingClientRect();
            })()]).filter(([, box]) => box.width)));
        return [...heads, ...pairs(boxes("#drawings figcaption h4, #drawings .save, #controls label, h1, #theme"))];
    """
    with emulated(measured, width):
        for task in ("All tasks", "refcoco+refcoco_plus"):
            choose(measured, "task", task)
            measured.execute_script("showTask()")
            assert measured.execute_script(overlaps) == []
            assert measured.execute_script("return document.documentElement.scrollWidth") <= width


def test_settings_fold_below_the_figures(measured):
    choose(measured, "task", "ave")
    settings = measured.find_element(By.CSS_SELECTOR, "article:not([hidden]) details.settings")
    with emulated(measured, 390):
        figures = measured.find_element(By.ID, "figures").rect
        assert settings.rect["y"] >= figures["y"] + figures["height"]
    assert settings.get_attribute("open") is None
    assert not settings.find_element(By.TAG_NAME, "li").is_displayed()
    settings.find_element(By.TAG_NAME, "summary").click()
    assert "cola: " in settings.text


def test_all_controls_are_reached_with_the_keyboard(overview):
    reached = []
    for _ in range(40):
        overview.switch_to.active_element.send_keys(Keys.TAB)
        element = overview.switch_to.active_element
        reached.append(element.get_attribute("id") or element.get_attribute("class") or element.text)
    order = ["theme", "section", "task", "reference", "filter", "csv", "json", "name", "save", "mark"]
    places = [next((n for n, name in enumerate(reached) if name.startswith(part)), None) for part in order]
    assert None not in places and places == sorted(places), reached


@cache
def axe():
    """The text of axe-core, an accessibility checker: of $AXE_CORE, or as `npm install --global axe-core` has it."""
    if path := os.environ.get("AXE_CORE"):
        return Path(path).read_text(encoding="utf-8")
    if not (npm := shutil.which("npm")):
        return None
    root = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=True).stdout.strip()
    path = Path(root) / "axe-core" / "axe.min.js"
    return path.read_text(encoding="utf-8") if path.exists() else None


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1000, 1400])
def test_no_fault_of_accessibility(measured, width, dark):
    if not (checker := axe()):
        pytest.skip("no axe-core: `npm install --global axe-core`")
    with emulated(measured, width, dark):
        for task in ("All tasks", "ave", "refcoco+refcoco_plus"):
            choose(measured, "task", task)
            for details in measured.find_elements(By.TAG_NAME, "details"):
                measured.execute_script("arguments[0].open = true", details)
            measured.execute_script("showTask(); pin(document.querySelector('#drawings .mark'))")
            measured.execute_script(checker)
            result = measured.execute_async_script("axe.run().then(arguments[0])")
            faults = [
                (fault["id"], node["html"][:200], node["failureSummary"][:300])
                for fault in result["violations"]
                for node in fault["nodes"][:3]
            ]
            assert faults == [] and len(result["passes"]) > 20


def test_figures_of_many_methods_are_limited(browser, tmp_path):
    records = [
        made_standings.record(made_standings.spec("lora", task, note=note), epochs=2)
        for task in ("ave", "avs")
        for note in range(200)
    ]
    path = tmp_path / "many.html"
    path.write_text(page(made_standings.judged(records)), encoding="utf-8")
    assert path.stat().st_size < 1.2e6
    browser.get(path.as_uri())
    assert len(methods(browser)) == 200
    assert len(browser.find_elements(By.CSS_SELECTOR, ".mark")) < 1000
