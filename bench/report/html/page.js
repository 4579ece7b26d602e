"use strict";
// Makes the page interactive: selecting, sorting and filtering tables, figures, details of points, and the color theme.
// Data is only ever inserted as text, through textContent.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const styles = numberStyles(Object.values(data.tasks));
const sections = [...document.querySelectorAll(".standings")];
let wantedPoint = null; // the label of the point that the address asks for
let mostRows = 200; // visible rows unless all are requested: browsers take seconds to lay out thousands

setUpTheme();
document.querySelectorAll(".frame table").forEach(makeSortable);
setUpDetails();
setUpDownloads();
setUpChoice();

// Light and dark

function setUpTheme() {
  const button = byId("theme");
  const show = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.setAttribute("aria-pressed", dark);
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = remembered("theme");
  if (kept) show(kept === "dark");
  else button.setAttribute("aria-pressed", system.matches);
  system.addEventListener("change", () => {
    if (!document.documentElement.dataset.theme) button.setAttribute("aria-pressed", system.matches);
  });
  button.addEventListener("click", () => {
    show(button.getAttribute("aria-pressed") !== "true");
    remember("theme", document.documentElement.dataset.theme);
  });
  button.hidden = false;
}

function remembered(key) {
  try {
    return localStorage.getItem(`leaderboard-${key}`);
  } catch {
    return null; // browsers may disable storage for local files
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(`leaderboard-${key}`, value);
  } catch {
    // then the theme lasts until the page is closed
  }
}

// Tables

/** Adds a sort button to the heading of every column of a table; a second press reverses the order. */
function makeSortable(table) {
  const heads = [...[...table.tHead.rows].at(-1).cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    for (const part of head.textContent.split(/(?<=[+_:@])/)) button.append(part, document.createElement("wbr"));
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const turned = { ascending: "descending", descending: "ascending" };
      sortTable(table, column, turned[head.getAttribute("aria-sort")] ?? head.dataset.first);
      if (!table.closest("article")) return;
      showRows();
      saveState();
    });
  });
  const task = data.tasks[table.closest("article")?.id];
  if (!task) return;
  [...table.querySelector("tbody.rows").rows].forEach((row, index) => {
    row.dataset.row = index;
    const name = row.querySelector("th");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "name";
    button.textContent = name.textContent;
    button.setAttribute("aria-controls", "panel");
    name.replaceChildren(button);
  });
}

function sortTable(table, column, order) {
  const heads = [...[...table.tHead.rows].at(-1).cells];
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", order);
  sortRows(table.querySelector("tbody.rows"), column, order === "ascending" ? 1 : -1);
}

function sortRows(body, column, sign) {
  const keyed = [...body.rows].map((row) => [sortKey(row.cells[column]), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null); // missing values come last in both orders
    return sign * (typeof a === "string" || typeof b === "string" ? compareText(String(a), String(b)) : a - b);
  });
  body.append(...keyed.map(([, row]) => row));
}

const compareText = new Intl.Collator("en", { numeric: true }).compare;

function sortKey(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  return cell.classList.contains("text") ? cell.textContent : null;
}

// Selecting a table

function setUpChoice() {
  if (!sections.length) return;
  const [section, task, filter, list] = ["section", "task", "filter", "reference"].map(byId);
  sections.forEach((element, index) => section.add(new Option(element.querySelector("h2").textContent, index)));
  section.closest("label").hidden = sections.length < 2;
  section.addEventListener("change", () => {
    const before = task.selectedOptions[0].text;
    fillTasks();
    chooseText(task, before);
    showTask();
  });
  task.addEventListener("change", showTask);
  list.addEventListener("change", () => {
    reference = list.value;
    showTask();
  });
  let waiting;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(showTask, 120);
  };
  filter.addEventListener("input", soon);
  byId("every").addEventListener("click", () => {
    mostRows = Infinity;
    showRows();
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's address bar changes only the height
    width = innerWidth;
    soon();
  });
  addEventListener("hashchange", () => showState() && showTask());
  byId("controls").hidden = false;
  fillTasks();
  showState();
  showTask();
}

function fillTasks() {
  const articles = [...sections[byId("section").value].querySelectorAll("article")];
  byId("task").replaceChildren(...articles.map((article) => new Option(article.querySelector("h3").textContent, article.id)));
}

/** Chooses the option with a text, if there is one. */
function chooseText(list, text) {
  const option = [...list.options].find((candidate) => candidate.text === text);
  if (option) option.selected = true;
}

/** Shows the table and figures of the selected task, with the rows that match the filter. */
function showTask() {
  const chosen = byId("task").value;
  sections.forEach((element, index) => (element.hidden = index !== Number(byId("section").value)));
  document.querySelectorAll(".standings article").forEach((article) => (article.hidden = article.id !== chosen));
  const task = data.tasks[chosen];
  fillReferences(task);
  const shown = byId("reference").value || data.reference;
  showGains(byId(chosen), task, shown);
  showRows();
  showFigures(byId(chosen), task, shown);
  saveState();
}

// A permalink to what is shown: its address has the selection by name, as far as it is not that of a page just opened

/** Writes the selection into the address. */
function saveState() {
  const [section, task, filter, list] = ["section", "task", "filter", "reference"].map(byId);
  const head = byId(task.value).querySelector(".frame table")?.querySelector("th[aria-sort]"); // of the first table only
  const state = {
    section: section.selectedIndex > 0 && section.selectedOptions[0].text,
    task: task.selectedIndex > 0 && task.selectedOptions[0].text,
    method: filter.value.trim(),
    reference: list.value && list.value !== data.reference && list.value,
    sort: head && columnNames(head.closest("table"))[head.cellIndex],
    order: head?.getAttribute("aria-sort"),
    point: pinned && pinnedLabel(),
  };
  const hash = new URLSearchParams(Object.entries(state).filter(([, value]) => value)).toString();
  if (hash === location.hash.slice(1)) return;
  try {
    history.replaceState(null, "", hash ? `#${hash}` : location.href.split("#")[0]);
  } catch {
    // a browser may refuse it to a page that is embedded
  }
}

/** Takes the selection from the address; returns whether it has one. */
function showState() {
  const state = new URLSearchParams(location.hash.slice(1));
  const names = ["section", "task", "method", "reference", "sort", "order", "point"];
  if (location.hash.length > 1 && !names.some((name) => state.has(name))) return false; // the skip link's
  const section = byId("section");
  section.selectedIndex = 0;
  chooseText(section, state.get("section"));
  fillTasks();
  chooseText(byId("task"), state.get("task"));
  byId("filter").value = state.get("method") ?? "";
  reference = state.get("reference") ?? data.reference;
  const table = byId(byId("task").value).querySelector(".frame table");
  const column = table && state.has("sort") ? columnNames(table).indexOf(state.get("sort")) : -1;
  if (column >= 0) sortTable(table, column, state.get("order") === "ascending" ? "ascending" : "descending");
  wantedPoint = state.get("point");
  return true;
}

/** Shows the first rows of the selected tables that match the filter. */
function showRows() {
  const wanted = byId("filter").value.trim().toLowerCase();
  const bodies = [...byId(byId("task").value).querySelectorAll("tbody.rows")]; // of methods, and by test split
  const counts = bodies.map((body) => showRowsOf(body, wanted));
  const left = counts[0] ?? 0;
  byId("shown").textContent = `${Math.min(left, mostRows)} of ${bodies[0]?.rows.length ?? 0} methods`;
  byId("every").hidden = left <= mostRows;
}

/** Shows the first rows of a table that match, and returns how many do. */
function showRowsOf(body, wanted) {
  let left = 0;
  for (const row of body.rows) {
    const matches = row.querySelector("th").textContent.toLowerCase().includes(wanted);
    left += matches;
    row.hidden = !matches || left > mostRows;
  }
  return left;
}

/** Draws the figures of a task below its table, before its settings. */
function showFigures(article, task, reference) {
  closeDetails();
  const wanted = byId("filter").value.trim().toLowerCase();
  const rows = (task?.rows ?? []).map((row, index) => ({ ...row, index }));
  const left = rows.filter((row) => row.label.toLowerCase().includes(wanted));
  byId("figures").hidden = !left.length;
  if (!left.length) return;
  article.insertBefore(byId("figures"), article.querySelector(".settings"));
  byId("figures-title").textContent = `Figures: ${task.task}`;
  showLegend(left);
  const drawings = byId("drawings");
  drawings.replaceChildren();
  drawForest(drawings, task, left, gainsOver(task, reference), reference);
  if (task.of) drawHeat(drawings, task, left, reference);
  drawFigures(drawings, task, left, styles);
  const point = wantedPoint && drawings.querySelector(`[data-row="${left.find((row) => row.label === wantedPoint)?.index}"]`);
  wantedPoint = null;
  if (point) pin(point, false);
}

function showLegend(rows) {
  byId("legend").replaceChildren();
  for (const row of rows.filter((row) => row.mean !== null).slice(0, MOST_LABELS)) {
    const style = styles.of(row);
    const entry = byId("legend").appendChild(document.createElement("li"));
    const kind = `mark series-${style.hue} variant-${style.variant % 4}`;
    const sample = node("svg", { width: 34, height: 16, viewBox: "-17 -8 34 16", class: kind, "aria-hidden": "true" }, entry);
    node("path", { class: "curve", d: "M-17,0H17", "stroke-dasharray": DASHES[style.dash] }, sample);
    addShape(sample, style, 0, 0);
    add(entry, "span", row.label);
  }
}

function add(parent, name, text = "") {
  const made = parent.appendChild(document.createElement(name));
  made.textContent = text;
  return made;
}
