"use strict";
// Draws gains over the reference: the forest figure of a task or of all tasks, and the heat map of methods by tasks.

const LINE = 22; // height of a row, in pixels
const MOST_LINES = 40;
const VERDICT_MARKS = { better: "▲", worse: "▼" };

/** Draws a line per row, with its gain and 95% interval, the highest gain first. */
function drawForest(container, task, rows, gains, reference) {
  const gained = rows.filter((row) => gains[row.index]).sort((a, b) => gains[b.index].points - gains[a.index].points);
  if (!gained.length) return;
  const shown = gained.slice(0, MOST_LINES);
  const some = shown.length < gained.length ? `: the best ${shown.length} of ${gained.length}` : "";
  const top = 8;
  const bottom = top + shown.length * LINE;
  const title = `${task.of ? "Mean gain" : "Gain"} over ${reference}${some}`;
  const { svg, width, caption } = addFigure(container, title, { height: bottom + 40 });
  const left = gutter(shown, width);
  const right = width - 66;
  const of = (row) => gains[row.index];
  const ends = (row) => [0, of(row).points, ...(of(row).interval ?? [])];
  const x = zoomed(linearScale, shown, (row) => of(row).points, left, right, ends);
  for (const tick of x.ticks) {
    node("path", { class: "grid", d: `M${x(tick)},${top}V${bottom}` }, svg);
    node("text", { x: x(tick), y: bottom + 16, "text-anchor": "middle" }, svg, shortNumber(tick));
  }
  node("path", { class: "zero", d: `M${x(0)},${top}V${bottom}` }, svg);
  node("text", { x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, svg, "points");
  const outside = [];
  shown.forEach((row, line) => {
    const gain = of(row);
    const y = top + (line + 0.5) * LINE;
    const mark = addMark(svg, row, styles, `${row.label}: ${describeGain(gain)}`);
    if (!VERDICT_MARKS[gain.verdict]) mark.classList.add("undecided");
    node("rect", { class: "target", x: 1, y: y - LINE / 2 + 1, width: width - 2, height: LINE - 2 }, mark);
    addName(svg, mark, row.label, left, y);
    if (x.isOutside(row)) {
      outside.push(`${row.label} (${signed(gain.points)})`);
      const side = gain.points < 0 ? -1 : 1;
      node("path", { class: "arrow", d: `M${x.place(row) - 3 * side},${y - 5}l${7 * side},5l${-7 * side},5z` }, mark);
    } else {
      if (gain.interval) {
        const [low, high] = gain.interval.map((end) => clamp(x(end), left, right));
        node("path", { class: "bar", d: `M${low},${y - 4}v8m0,-4H${high}m0,-4v8` }, mark);
      }
      node("circle", { class: "point", cx: x.place(row), cy: y, r: 4.5 }, mark);
    }
    node("text", { class: "value", x: width - 4, y: y + 4, "text-anchor": "end", "aria-hidden": "true" }, svg, `${signed(gain.points)} ${VERDICT_MARKS[gain.verdict] ?? ""}`.trim());
  });
  tellOutside(caption, outside);
}

/** Draws the gain of each method on each task of a section as a colored cell with its verdict. */
function drawHeat(container, all, rows, reference) {
  const tasks = all.of.map((id) => data.tasks[id]).filter(Boolean);
  const gains = tasks.map((task) => gainsOver(task, reference));
  const gainOf = (row, column) => {
    const index = tasks[column].rows.findIndex((other) => other.label === row.label);
    return index < 0 ? null : gains[column][index];
  };
  const shown = rows.filter((row) => tasks.some((_, column) => gainOf(row, column))).slice(0, MOST_LINES);
  if (!shown.length) return;
  const longest = Math.max(...tasks.map((task) => task.task.length));
  const top = 16 + Math.min(150, longest * 6.6 * 0.64);
  const slant = Math.min(150, longest * 6.6 * 0.77); // room for the last heading
  const left = gutter(shown, container.clientWidth);
  const size = { height: top + shown.length * LINE + 6, least: left + 54 * tasks.length + slant, wide: true };
  const { svg, width } = addFigure(container, `Gain over ${reference} on each task, in points`, size);
  const cell = Math.min(100, (width - left - slant) / tasks.length);
  tasks.forEach((task, column) => {
    const x = left + (column + 0.5) * cell;
    node("text", { class: "head", transform: `translate(${x - 3},${top - 6}) rotate(-40)` }, svg, clipped(task.task, 30));
  });
  const points = shown.flatMap((row) => tasks.map((_, column) => gainOf(row, column)).filter((gain) => gain && row.parameters !== 0));
  const most = Math.max(0.1, ...points.map((gain) => Math.abs(gain.points)));
  shown.forEach((row, line) => {
    const y = top + line * LINE;
    const told = tasks.map((task, column) => [task.task, gainOf(row, column)]).filter(([, gain]) => gain);
    const text = told.map(([name, gain]) => `${name} ${signed(gain.points)} ${gain.verdict ?? ""}`.trim()).join(", ");
    const mark = addMark(svg, row, styles, `${row.label}: ${text}`);
    node("rect", { class: "target", x: 1, y: y + 1, width: left + cell * tasks.length - 1, height: LINE - 2 }, mark);
    addName(svg, mark, row.label, left, y + LINE / 2);
    tasks.forEach((_, column) => {
      const gain = gainOf(row, column);
      if (!gain) return;
      const share = Math.min(1, Math.abs(gain.points) / most);
      const place = { x: left + column * cell + 1, y: y + 1, width: cell - 2, height: LINE - 2 };
      node("rect", { class: gain.points < 0 ? "lower" : "higher", "fill-opacity": (0.04 + 0.42 * share).toFixed(3), ...place }, mark);
      const label = `${signed(gain.points, 1)} ${VERDICT_MARKS[gain.verdict] ?? ""}`.trim();
      node("text", { class: "value", x: left + (column + 0.5) * cell, y: y + LINE / 2 + 4, "text-anchor": "middle", "aria-hidden": "true" }, svg, label);
    });
  });
}

/** Returns the width of the column with the names of rows. */
function gutter(rows, width) {
  return Math.min(Math.max(...rows.map((row) => row.label.length)) * 6.6 + 12, width * 0.36);
}

/** Writes the name of a row beside its mark, which has all of it as a tooltip. */
function addName(svg, mark, label, left, y) {
  node("title", {}, mark, label);
  node("text", { class: "label", x: 4, y: y + 4, "aria-hidden": "true" }, svg, clipped(label, Math.floor((left - 10) / 6.6)));
}

function clipped(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function signed(value, digits = 2) {
  const text = value.toFixed(digits);
  return Number(text) < 0 ? text : `+${text.replace("-", "")}`;
}

/** Returns the description of a gain for screen readers. */
function describeGain(gain) {
  const parts = [`${signed(gain.points)} points`];
  if (gain.interval) parts.push(`95% interval ${gain.interval.map((end) => signed(end)).join(" to ")}`);
  if (gain.verdict) parts.push(gain.verdict);
  return parts.join(", ");
}
