"use strict";
// Makes the page interactive: selecting, sorting and filtering tables, figures, details of points, and the color theme.
// Data is only ever inserted as text, through textContent.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const styles = numberStyles(Object.values(data.tasks));
const sections = [...document.querySelectorAll(".standings")];
let mostRows = 200; // visible rows unless all are requested: browsers take seconds to lay out thousands

setUpTheme();
document.querySelectorAll(".frame table").forEach(makeSortable);
setUpChoice();
setUpDetails();

/** Returns the style numbers of rows: by label, or by method if there are too many labels to distinguish. */
function numberStyles(tasks) {
  const rows = tasks.flatMap((task) => task.rows);
  const key = new Set(rows.map((row) => row.label)).size <= 16 ? "label" : "method";
  const numbers = new Map();
  for (const row of rows) if (!numbers.has(row[key])) numbers.set(row[key], numbers.size);
  return { of: (row) => numbers.get(row[key]), name: (row) => row[key] };
}

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
  const heads = [...table.tHead.rows].at(-1).cells;
  [...heads].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const turned = { ascending: "descending", descending: "ascending" };
      const order = turned[head.getAttribute("aria-sort")] ?? head.dataset.first;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      sortRows(table.querySelector("tbody.rows"), column, order === "ascending" ? 1 : -1);
      if (table.closest("article")) showRows();
    });
  });
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
  const [section, task, filter] = [byId("section"), byId("task"), byId("filter")];
  sections.forEach((element, index) => section.add(new Option(element.querySelector("h2").textContent, index)));
  const fillTasks = () => {
    const articles = [...sections[section.value].querySelectorAll("article")];
    task.replaceChildren(...articles.map((article) => new Option(article.querySelector("h3").textContent, article.id)));
  };
  section.addEventListener("change", () => {
    const before = task.selectedOptions[0].text;
    fillTasks();
    const same = [...task.options].find((option) => option.text === before);
    if (same) task.value = same.value;
    showTask();
  });
  task.addEventListener("change", showTask);
  let waiting;
  filter.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(showTask, 120);
  });
  byId("every").addEventListener("click", () => {
    mostRows = Infinity;
    showRows();
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's address bar changes only the height
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(showTask, 120);
  });
  byId("controls").hidden = false;
  fillTasks();
  showTask();
}

/** Shows the table and figures of the selected task, with the rows that match the filter. */
function showTask() {
  const chosen = byId("task").value;
  const wanted = byId("filter").value.trim().toLowerCase();
  sections.forEach((element, index) => (element.hidden = index !== Number(byId("section").value)));
  document.querySelectorAll(".standings article").forEach((article) => (article.hidden = article.id !== chosen));
  showRows();
  showFigures(data.tasks[chosen], wanted);
}

/** Shows the first rows of the selected table that match the filter. */
function showRows() {
  const wanted = byId("filter").value.trim().toLowerCase();
  const rows = [...byId(byId("task").value).querySelectorAll("tbody.rows tr")];
  let left = 0;
  for (const row of rows) {
    const matches = row.querySelector("th").textContent.toLowerCase().includes(wanted);
    left += matches;
    row.hidden = !matches || left > mostRows;
  }
  byId("shown").textContent = `${Math.min(left, mostRows)} of ${rows.length} methods`;
  byId("every").hidden = left <= mostRows;
}

function showFigures(task, wanted) {
  closeDetails();
  const rows = (task?.rows ?? []).map((row, index) => ({ ...row, index }));
  const left = rows.filter((row) => row.label.toLowerCase().includes(wanted));
  byId("figures").hidden = !left.length;
  if (!left.length) return;
  byId("figures-title").textContent = `Figures: ${task.task}`;
  showLegend(left);
  drawFigures(byId("drawings"), task, left, styles);
}

function showLegend(rows) {
  const named = new Map(rows.map((row) => [styles.name(row), styles.of(row)]));
  byId("legend").replaceChildren();
  for (const [name, style] of named) {
    const entry = byId("legend").appendChild(document.createElement("li"));
    const sample = node("svg", { width: 34, height: 16, viewBox: "-17 -8 34 16", class: `mark series-${style % 8}`, "aria-hidden": "true" }, entry);
    node("path", { class: "curve", d: "M-17,0H17", "stroke-dasharray": DASHES[style % DASHES.length] }, sample);
    addShape(sample, style, 0, 0);
    add(entry, "span", name);
  }
}

function add(parent, name, text = "") {
  const made = parent.appendChild(document.createElement(name));
  made.textContent = text;
  return made;
}
