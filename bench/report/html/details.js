"use strict";
// Details of a point: its settings, environment and runs, in the panel beside the figures. The panel is visible while a
// mark is hovered over or focused; a click or Enter pins it and moves the focus to it.

let pinned = null; // the mark, or name in a table, whose details stay until closed

function setUpDetails() {
  const drawings = byId("drawings");
  const markOf = (event) => event.target.closest(".mark");
  drawings.addEventListener("pointerover", (event) => {
    if (!pinned && markOf(event)) showDetails(markOf(event));
  });
  drawings.addEventListener("focusin", (event) => {
    if (!markOf(event)) return;
    pinned = null;
    showDetails(markOf(event));
  });
  drawings.addEventListener("click", (event) => markOf(event) && pin(markOf(event)));
  drawings.addEventListener("keydown", (event) => {
    if (!markOf(event) || !["Enter", " "].includes(event.key)) return;
    event.preventDefault();
    pin(markOf(event));
  });
  byId("figures").addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    closeDetails();
    saveState();
  });
  byId("main").addEventListener("click", (event) => {
    const name = event.target.closest("button.name");
    if (name && !byId("figures").hidden) pin(name);
  });
}

/** Shows the details of a mark or of a name in a table until they are closed. */
function pin(element, moves = true) {
  pinned = element;
  showDetails(element);
  if (!moves) return;
  saveState();
  byId("panel").focus({ preventScroll: false });
}

function rowOf(element) {
  return data.tasks[byId("task").value].rows[element.closest("[data-row]").dataset.row];
}

function pinnedLabel() {
  return rowOf(pinned).label;
}

function showDetails(element) {
  const task = data.tasks[byId("task").value];
  const row = rowOf(element);
  const number = element.closest("[data-row]").dataset.row;
  for (const mark of byId("drawings").querySelectorAll(".mark")) mark.classList.toggle("chosen", mark.dataset.row === number);
  const panel = byId("panel");
  panel.replaceChildren();
  panel.classList.remove("empty");
  const close = add(panel, "button", "Close");
  close.type = "button";
  close.addEventListener("click", () => {
    closeDetails();
    saveState();
  });
  add(panel, "h4", row.label).id = "panel-title";
  if (row.mean !== null) add(panel, "p", describe(task, row).slice(row.label.length + 2));
  const over = byId("reference").value;
  const gain = over && gainsOver(task, over)[number];
  if (gain) add(panel, "p", `${task.of ? "Mean gain" : "Gain"} over ${over}: ${describeGain(gain)}`);
  addMethod(panel, data.methods[row.method] ?? {});
  if (task.of) addRunsOfTasks(panel, task, row);
  else addRow(panel, task, row);
}

/** Adds the settings, data, environments and runs of a row. */
function addRow(panel, task, row) {
  if (row.in_use !== null && row.in_use !== row.parameters) {
    add(panel, "p", `${wholeNumber(row.in_use)} adapter parameters in use at the end`);
  }
  add(panel, "h5", "Runs");
  addRuns(panel, task, row);
  addFacts(panel, "Settings of the method", [row.settings]);
  addFacts(panel, "Recipe, task, streams and data", [task.condition]);
  addFacts(panel, "Data that was read", row.data);
  addFacts(panel, "Tuned by", row.tuned);
  addFacts(panel, "Environment", row.environments);
}

function addRunsOfTasks(panel, all, row) {
  for (const task of all.of.map((id) => data.tasks[id]).filter(Boolean)) {
    const found = task.rows.find((candidate) => candidate.label === row.label);
    add(panel, "h5", `Runs of ${task.task}`);
    if (found) addRuns(panel, task, found);
    else add(panel, "p", "none");
  }
}

/** Adds the links to a method's paper and file, as far as they are known. */
function addMethod(panel, links) {
  const list = Object.entries(links);
  if (!list.length) return;
  const line = add(panel, "p");
  list.forEach(([name, [text, address]], index) => {
    line.append(`${index ? "; " : ""}${name}: `);
    addLink(line, text, address);
  });
}

function addRuns(panel, task, row) {
  const list = add(panel, "ul");
  for (const [seed, id, score, stem] of row.runs) {
    const item = add(list, "li", `seed ${seed}: ${score ?? "no score"}, run `);
    const usual = `${task.task}-${row.method}-s${seed}-${id}`.replace(/[^A-Za-z0-9_.+-]+/g, "_");
    if (data.records && stem !== null) addLink(item, id, `${data.records}/${encodeURIComponent(stem ?? usual)}.json`);
    else item.append(id);
  }
}

function addLink(parent, text, address) {
  const link = add(parent, "a", text);
  link.href = address;
  link.rel = "noreferrer";
}

function closeDetails() {
  const panel = byId("panel");
  const back = pinned;
  const within = panel.contains(document.activeElement);
  pinned = null;
  for (const mark of byId("drawings").querySelectorAll(".chosen")) mark.classList.remove("chosen");
  panel.replaceChildren();
  add(panel, "h4", "No point chosen").id = "panel-title";
  add(panel, "p", "Runs, settings and environment behind a point show here, with links to its records.");
  panel.classList.add("empty");
  panel.hidden = false;
  if (within && back?.isConnected) {
    back.focus();
    if (back.closest("#drawings")) closeDetails(); // the focus has opened them again
  }
}

/** Adds a heading and a list of names and values for each of these facts. */
function addFacts(panel, title, numbers) {
  numbers.forEach((number, index) => {
    add(panel, "h5", numbers.length > 1 ? `${title} ${index + 1} of ${numbers.length}` : title);
    const list = add(panel, "dl");
    for (const [name, value] of entries(data.facts[number])) {
      add(list, "dt", name);
      add(list, "dd", value === null ? "none" : String(value));
    }
  });
}

/** Returns names and values; the names of nested objects are prefixed with the outer name. */
function entries(value, prefix = "") {
  return Object.entries(value).flatMap(([name, inner]) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? entries(inner, `${prefix}${name}.`)
      : [[prefix + name, Array.isArray(inner) ? inner.join(", ") : inner]],
  );
}
