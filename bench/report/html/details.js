"use strict";
// Details of a point: its settings, environment and runs, in the panel beside the figures. The panel is visible while a
// mark is hovered over or focused; a click or Enter pins it and moves the focus to it.

let pinned = null; // the mark whose details stay until closed

function setUpDetails() {
  const drawings = byId("drawings");
  const markOf = (event) => event.target.closest(".mark");
  const pin = (mark) => {
    pinned = mark;
    showDetails(mark);
    byId("panel").focus({ preventScroll: false });
  };
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
    if (event.key === "Escape") closeDetails();
  });
}

function showDetails(mark) {
  const task = data.tasks[byId("task").value];
  const row = task.rows[mark.dataset.row];
  for (const other of byId("drawings").querySelectorAll(".mark")) {
    other.classList.toggle("chosen", other.dataset.row === mark.dataset.row);
  }
  const panel = byId("panel");
  panel.replaceChildren();
  panel.classList.remove("empty");
  const close = add(panel, "button", "Close");
  close.type = "button";
  close.addEventListener("click", closeDetails);
  add(panel, "h3", row.label).id = "panel-title";
  add(panel, "p", describe(task, row).slice(row.label.length + 2));
  if (row.in_use !== null && row.in_use !== row.parameters) {
    add(panel, "p", `${wholeNumber(row.in_use)} adapter parameters in use at the end`);
  }
  addFacts(panel, "Settings of the method", [row.settings]);
  addFacts(panel, "Recipe, task, streams and data", [task.condition]);
  addFacts(panel, "Data that was read", row.data);
  addFacts(panel, "Tuned by", row.tuned);
  addFacts(panel, "Environment", row.environments);
  add(panel, "h4", "Runs");
  const list = add(panel, "ul");
  for (const [seed, id, score] of row.runs) add(list, "li", `seed ${seed}: ${score ?? "no score"}, run ${id}`);
}

function closeDetails() {
  const panel = byId("panel");
  const back = pinned;
  const within = panel.contains(document.activeElement);
  pinned = null;
  for (const mark of byId("drawings").querySelectorAll(".chosen")) mark.classList.remove("chosen");
  panel.replaceChildren();
  add(panel, "h3", "No point chosen").id = "panel-title";
  add(panel, "p", "Settings, environment and runs behind a point show here.");
  panel.classList.add("empty");
  panel.hidden = false;
  if (within && back?.isConnected) {
    back.focus();
    closeDetails(); // the focus has opened them again
  }
}

/** Adds a heading and a list of names and values for each of these facts. */
function addFacts(panel, title, numbers) {
  numbers.forEach((number, index) => {
    add(panel, "h4", numbers.length > 1 ? `${title} ${index + 1} of ${numbers.length}` : title);
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
