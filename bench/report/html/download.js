"use strict";
// Downloads: the rows of the table that are shown, as CSV and JSON, and figures as SVG.

const FORMULA = /^[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/; // what a spreadsheet would compute
const PAINT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight", "paint-order", "text-anchor"];

/** Returns the names of a table's columns, each with that of its group. */
function columnNames(table) {
  const groups = groupNames(table);
  const heads = [...table.tHead.rows].at(-1);
  return [...heads.cells].map((head, index) => [groups[index], head.textContent].filter(Boolean).join(" "));
}

/** Returns the name of the group of each of a table's columns; nothing if it has no groups. */
function groupNames(table) {
  const [groups, heads] = table.tHead.rows;
  return heads ? [...groups.cells].flatMap((cell) => Array(cell.colSpan).fill(cell.textContent)) : [];
}

/** Returns the visible rows of a table as objects, intervals as two values; what is missing is null. */
function tableValues(table) {
  const names = columnNames(table);
  const split = names.map((_, index) => [...table.tBodies].some((body) => [...body.rows].some((row) => row.cells[index].dataset.high !== undefined)));
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => !row.hidden);
  return rows.map((row) =>
    Object.fromEntries(
      names.flatMap((name, index) => {
        const cell = row.cells[index];
        const value = cellValue(cell);
        if (!split[index]) return [[name, value]];
        return [[`${name}, low`, value], [`${name}, high`, cell.dataset.high === undefined ? null : Number(cell.dataset.high)]];
      }),
    ),
  );
}

function cellValue(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent;
  if (text === "–" || text === "") return null;
  return !cell.classList.contains("text") && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** Returns rows as CSV; text that a spreadsheet would run as a formula gets an apostrophe. */
function asCsv(rows) {
  const quoted = (value) => {
    const text = value === null ? "" : typeof value === "string" && FORMULA.test(value.trimStart()) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [Object.keys(rows[0] ?? {}), ...rows.map((row) => Object.values(row))];
  return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

/** Returns a drawing as a file of its own, with the colors that it has on the page. */
function asSvg(drawing) {
  const copy = drawing.cloneNode(true);
  const [width, height] = drawing.getAttribute("viewBox").split(" ").slice(2);
  const originals = [drawing, ...drawing.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((element, index) => {
    const style = getComputedStyle(originals[index]);
    for (const name of PAINT) element.setAttribute(name, style.getPropertyValue(name));
    for (const name of ["class", "tabindex", "role", "aria-controls", "aria-describedby", "data-row"]) element.removeAttribute(name);
  });
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const ground = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ width, height, fill: getComputedStyle(document.body).backgroundColor })) ground.setAttribute(name, value);
  copy.prepend(ground);
  return new XMLSerializer().serializeToString(copy);
}

function addSvgButton(caption, figure, title) {
  const button = add(caption, "button", "SVG");
  button.type = "button";
  button.className = "save";
  button.setAttribute("aria-label", `Download as SVG: ${title}`);
  button.addEventListener("click", () => save(title, "svg", "image/svg+xml", asSvg(figure.querySelector("svg"))));
}

function setUpDownloads() {
  const shown = () => document.querySelector(".standings article:not([hidden])");
  const name = () => ["leaderboard", byId("task").selectedOptions[0].text].join(" ");
  const rows = () => tableValues(shown().querySelector(".frame table"));
  byId("csv").addEventListener("click", () => save(name(), "csv", "text/csv", asCsv(rows())));
  byId("json").addEventListener("click", () => save(name(), "json", "application/json", JSON.stringify(rows(), null, 1)));
}

function save(name, suffix, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${name.replace(/[^\w.+-]+/g, "-")}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
