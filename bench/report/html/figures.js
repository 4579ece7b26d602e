"use strict";
// Draws a task's figures as inline SVG: the score by cost, with 95% bars and the Pareto front, and the training curves.
// Rows are sorted, the best first. Every mark has the number of its row in data-row, and can be focused.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 300;
const PLOT = { left: 44, right: 16, top: 24, bottom: 42 }; // margins around the plot, in pixels
const COSTS = [
  { key: "parameters", title: "Score against trainable parameters", axis: "adapter parameters (logarithmic)", log: true },
  { key: "memory", title: "Score against training memory", axis: "peak while training, MB" },
  { key: "speed", title: "Score against training speed", axis: "training samples a second", highIsBetter: true },
  { key: "seconds", title: "Score against training time", axis: "seconds of training, with validation" },
];
const PROGRESS = [
  { column: 0, title: "Training curves", axis: "epoch" },
  { column: 4, title: "Training curves against time", axis: "seconds of training, with validation (logarithmic)", log: true },
];
const SHAPES = [
  "M-5.5,0a5.5,5.5 0 1,0 11,0a5.5,5.5 0 1,0 -11,0Z", // disc
  "M-5,-5H5V5H-5Z", // square
  "M0,-6.5L6.2,5H-6.2Z", // triangle
  "M0,-7L6.5,0L0,7L-6.5,0Z", // diamond
  "M0,6.5L6.2,-5H-6.2Z", // triangle on its tip
  "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z", // plus
  "M-6,-3L-3,-6L0,-3L3,-6L6,-3L3,0L6,3L3,6L0,3L-3,6L-6,3L-3,0Z", // cross
  "M0,-6.5L6.2,-2L3.8,5.3H-3.8L-6.2,-2Z", // pentagon
];
const DASHES = ["none", "7 3", "2 3", "9 3 2 3"];
const MOST_CURVES = 12;
const MOST_LABELS = 40;

/** Draws the figures of some rows of a task against costs, and their curves. `styles` numbers the styles of rows. */
function drawFigures(container, task, rows, styles) {
  const scored = rows.filter((row) => row.mean !== null);
  for (const cost of COSTS) {
    const shown = scored.filter((row) => row[cost.key] !== null);
    if (shown.length && !(task.of && cost.highIsBetter)) drawScatter(container, task, shown, cost, styles);
  }
  for (const progress of PROGRESS) {
    const curves = scored.filter((row) => row.curve.length > 1 && row.curve.every((point) => point[progress.column] !== null));
    if (curves.length) drawCurves(container, task, curves, progress, styles);
  }
}

function drawScatter(container, task, rows, cost, styles) {
  const { svg, width, caption } = addFigure(container, cost.title);
  const y = zoomed(scoreScale, rows, (row) => row.mean, HEIGHT - PLOT.bottom, PLOT.top, (row) => [row.mean, ...(row.interval ?? [])]);
  const scale = cost.log ? logScale : linearScale;
  const x = zoomed(scale, rows, (row) => row[cost.key], PLOT.left, width - PLOT.right, undefined, cost.log);
  drawAxes(svg, width, x, y, cost.axis, `${task.metric}, %`);
  const front = paretoFront(rows, cost);
  drawFront(svg, width, front.map((row) => [x.place(row), y.place(row)]), cost.highIsBetter);
  if (rows.length > MOST_LABELS) svg.classList.add("dense");
  const boxes = [];
  const outside = [];
  for (const row of rows) {
    const [px, py] = [x.place(row), y.place(row)];
    const mark = addMark(svg, row, styles, describe(task, row));
    let [top, bottom] = [py - 7, py + 7];
    if (row.interval && !y.isOutside(row)) {
      const [low, high] = row.interval.map((end) => clamp(y(end), PLOT.top, HEIGHT - PLOT.bottom));
      node("path", { class: "bar", d: `M${px - 4},${high}h8m-4,0V${low}m-4,0h8` }, mark);
      [top, bottom] = [Math.min(top, high), Math.max(bottom, low)];
    }
    node("circle", { class: "target", cx: px, cy: py, r: 12 }, mark);
    addShape(mark, styles.of(row), px, py);
    boxes.push({ left: px - 7, right: px + 7, top, bottom });
    const far = [[y, row.mean, "score"], [x, row[cost.key], cost.axis]].filter(([axis]) => axis.isOutside(row));
    if (far.length) outside.push(`${row.label} (${far.map(([, value, of]) => `${of} ${shortNumber(value)}`).join(", ")})`);
  }
  tellOutside(caption, outside);
  const rest = rows.filter((row) => !front.includes(row)).slice(0, MOST_LABELS);
  for (const row of [...front.slice(-MOST_LABELS), ...rest]) {
    const arrow = y.isOutside(row) ? (row.mean < y.low ? " ↓" : " ↑") : x.isOutside(row) ? (row[cost.key] < x.low ? " ←" : " →") : "";
    addLabel(svg, width, `${row.label}${arrow}`, x.place(row), y.place(row), boxes);
  }
}

/** Says what is drawn at the edge of a figure, because its axes would be of little use if they had room for it. */
function tellOutside(caption, outside) {
  if (outside.length) add(caption, "p", `Outside the axes, drawn at the edge: ${outside.join("; ")}.`);
}

function drawCurves(container, task, rows, progress, styles) {
  const drawn = rows.slice(0, MOST_CURVES);
  const some = drawn.length < rows.length ? `: the best ${drawn.length} of ${rows.length}` : "";
  const { svg, width, caption } = addFigure(container, `${progress.title}${some}`);
  const inside = spanned(drawn, (row) => row.curve.at(-1)[1]);
  const y = scoreScale(inside.flatMap((row) => row.curve.flatMap(([, , low, high]) => [low, high])), HEIGHT - PLOT.bottom, PLOT.top);
  const scale = progress.log ? logScale : linearScale;
  const times = drawn.flatMap((row) => row.curve.map((point) => point[progress.column]));
  const x = scale(times, PLOT.left, width - PLOT.right, { whole: true });
  drawAxes(svg, width, x, y, progress.axis, `validation ${task.metric}, %`);
  const below = drawn.filter((row) => row.curve.every(([, mean]) => y(mean) > HEIGHT - PLOT.bottom));
  if (below.length) add(caption, "p", `Below the axis: ${below.map((row) => row.label).join(", ")}.`);
  const clip = `clip-${container.children.length}`;
  const area = node("clipPath", { id: clip }, svg);
  node("rect", { x: PLOT.left, y: PLOT.top - 6, width: width - PLOT.left - PLOT.right + 6, height: HEIGHT - PLOT.top - PLOT.bottom + 6 }, area);
  const plot = node("g", { "clip-path": `url(#${clip})` }, svg);
  for (const row of drawn.reverse()) {
    const style = styles.of(row);
    const values = row.curve.map(([, mean]) => mean.toFixed(1)).join(", ");
    const mark = addMark(plot, row, styles, `${row.label}: validation ${task.metric} by epoch: ${values}`);
    const line = (column, of = row.curve) => of.map((point) => `${x(point[progress.column])},${y(point[column])}`).join("L");
    if (row.runs.length > 1) {
      node("path", { class: "band", d: `M${line(3)}L${line(2, [...row.curve].reverse())}Z` }, mark);
    }
    node("path", { class: "curve", d: `M${line(1)}`, "stroke-dasharray": DASHES[style.dash] }, mark);
    node("path", { class: "reach", d: `M${line(1)}` }, mark);
    const step = Math.ceil(row.curve.length / 10);
    for (let index = 0; index < row.curve.length; index += step) {
      addShape(mark, style, x(row.curve[index][progress.column]), y(row.curve[index][1]), 0.8);
    }
  }
}

/**
 * Returns the rows that an axis spans: adapters, without those that would take more than half of it alone. So a method
 * without parameters, or one that failed to learn, does not squeeze the differences between the rest.
 */
function spanned(rows, value) {
  const near = rows.filter((row) => row.parameters !== 0).sort((a, b) => value(a) - value(b));
  const span = (some) => value(some.at(-1)) - value(some[0]);
  while (near.length > 3) {
    const shorter = [near.slice(1), near.slice(0, -1)].sort((a, b) => span(a) - span(b))[0];
    if (span(shorter) >= span(near) / 2) break;
    near.splice(0, near.length, ...shorter);
  }
  return near.length ? near : rows;
}

/** Returns a scale that spans some rows, with the places of all: those that are outside are at its edge. */
function zoomed(make, rows, value, from, to, ends = (row) => [value(row)], whole = false) {
  const scale = make((whole ? rows : spanned(rows, value)).flatMap(ends), from, to);
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  scale.low = Math.min(...scale.ticks);
  scale.isOutside = (row) => scale(value(row)) < low || scale(value(row)) > high;
  scale.place = (row) => (scale.isOutside(row) ? clamp(scale(value(row)), low + 9, high - 9) : scale(value(row)));
  return scale;
}

/** Returns the Pareto front: the rows that no other row beats in score at the same or lower cost, the cheapest first. */
function paretoFront(rows, cost) {
  const price = (row) => (cost.highIsBetter ? -row[cost.key] : row[cost.key]);
  const front = [];
  for (const row of [...rows].sort((a, b) => price(a) - price(b) || b.mean - a.mean)) {
    if (!front.length || row.mean > front.at(-1).mean) front.push(row);
  }
  return front;
}

/** Returns a step line from the cheapest point to the edge of the highest cost. */
function drawFront(svg, width, points, costsMoreToTheLeft) {
  const steps = points.map(([x, y]) => `H${x}V${y}`).join("");
  const edge = costsMoreToTheLeft ? PLOT.left : width - PLOT.right;
  node("path", { class: "front", d: `M${points[0][0]},${HEIGHT - PLOT.bottom}${steps}H${edge}` }, svg);
}

function drawAxes(svg, width, x, y, xTitle, yTitle) {
  const [right, bottom] = [width - PLOT.right, HEIGHT - PLOT.bottom];
  for (const tick of y.ticks) {
    node("path", { class: "grid", d: `M${PLOT.left},${y(tick)}H${right}` }, svg);
    node("text", { x: PLOT.left - 6, y: y(tick) + 4, "text-anchor": "end" }, svg, shortNumber(tick));
  }
  for (const tick of x.ticks) {
    node("path", { class: "grid", d: `M${x(tick)},${bottom}v5` }, svg);
    node("text", { x: x(tick), y: bottom + 18, "text-anchor": "middle" }, svg, shortNumber(tick));
  }
  node("path", { class: "grid", d: `M${PLOT.left},${bottom}H${right}` }, svg);
  node("text", { x: PLOT.left, y: 13 }, svg, yTitle);
  node("text", { x: (PLOT.left + right) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, svg, xTitle);
}

/** Returns the scale from scores to heights; percentages stay within 0 and 100. */
function scoreScale(values, from, to) {
  const inside = values.filter((value) => value >= 0 && value <= 100);
  return linearScale(inside.length ? inside : values, from, to);
}

/** Returns a linear scale with its ticks, and some room at both ends. */
function linearScale(values, from, to, { whole = false } = {}) {
  let [low, high] = extent(values);
  const room = (high - low) * (whole ? 0.03 : 0.08) || Math.abs(high) * 0.05 || 1;
  [low, high] = [low - room, high + room];
  const step = niceStep((high - low) / 5, whole);
  const scale = (value) => from + ((value - low) / (high - low)) * (to - from);
  scale.ticks = [];
  for (let n = Math.ceil(low / step) || 0; n * step <= high; n++) scale.ticks.push(n * step); // || 0: of -0 too
  return scale;
}

/** Returns a logarithmic scale with its ticks; zero has a position of its own at the left end. */
function logScale(values, from, to) {
  const positive = values.filter((value) => value > 0);
  const zero = positive.length < values.length;
  let [low, high] = extent(positive.length ? positive : [1]).map(Math.log10);
  const room = (high - low) * 0.1 || 0.5;
  [low, high] = [low - room, high + room];
  const start = zero ? from + 44 : from;
  const scale = (value) => (value > 0 ? start + ((Math.log10(value) - low) / (high - low)) * (to - start) : from + 16);
  const within = (factors) => {
    const ticks = [];
    for (let power = Math.floor(low); power <= high; power++) {
      for (const factor of factors) ticks.push(factor * 10 ** power);
    }
    return ticks.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  };
  const choices = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1, 3], [1]].map(within);
  scale.ticks = [...(zero ? [0] : []), ...(choices.find((ticks) => ticks.length <= 6) ?? choices.at(-1))];
  return scale;
}

function niceStep(rough, whole) {
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  return whole ? Math.max(1, Math.round(step)) : step;
}

function extent(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

const shortNumber = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 }).format;
const wholeNumber = new Intl.NumberFormat("en", { maximumFractionDigits: 0 }).format;

/** Returns the description of a point for screen readers. */
function describe(task, row) {
  const parts = [`${row.label}: ${task.metric} ${row.mean.toFixed(2)}%`];
  if (row.interval) parts.push(`95% interval ${row.interval.map((end) => end.toFixed(2)).join(" to ")}`);
  if (row.parameters !== null) parts.push(`${wholeNumber(row.parameters)} adapter parameters`);
  if (row.memory !== null) parts.push(`${wholeNumber(row.memory)} MB`);
  if (row.speed !== null) parts.push(`${row.speed.toFixed(1)} training samples a second`);
  return parts.join(", ");
}

/** Adds a figure with its title; returns its empty drawing, the drawing's width, and its caption. */
function addFigure(container, title, { height = HEIGHT, least = 240, wide = false } = {}) {
  const figure = add(container, "figure");
  figure.classList.toggle("wide", wide);
  const caption = add(figure, "figcaption");
  add(caption, "h4", title);
  addSvgButton(caption, figure, title);
  const width = Math.max(least, caption.clientWidth);
  const attributes = { viewBox: `0 0 ${width} ${height}`, width: width > caption.clientWidth ? width : "100%", role: "group", "aria-label": title };
  const scroll = add(figure, "div");
  scroll.className = "drawing";
  if (width > caption.clientWidth) scroll.tabIndex = 0;
  return { svg: node("svg", { ...attributes, "aria-describedby": "figures-text" }, scroll), width, caption };
}

function addMark(svg, row, styles, text) {
  const { hue, variant } = styles.of(row);
  const attributes = { class: `mark series-${hue} variant-${variant % 4}`, tabindex: 0, role: "button" };
  return node("g", { ...attributes, "aria-label": text, "aria-controls": "panel", "data-row": row.index }, svg);
}

/** Returns the style numbers of rows: the method decides on color and shape, its size or variant on the filling. */
function numberStyles(tasks) {
  const methods = new Map();
  for (const row of tasks.flatMap((task) => task.rows)) {
    if (!methods.has(row.method)) methods.set(row.method, new Map());
    const variants = methods.get(row.method);
    if (!variants.has(row.label)) variants.set(row.label, variants.size);
  }
  const order = [...methods.keys()];
  const styles = new Map();
  order.forEach((method, number) => {
    for (const [label, variant] of methods.get(method)) {
      const shape = (number + Math.floor(number / 8)) % SHAPES.length;
      styles.set(label, { hue: number % 8, shape, variant, dash: (number + variant) % DASHES.length });
    }
  });
  return { of: (row) => styles.get(row.label) };
}

/** Adds the marker of a style. Variants are filled, hollow, hollow with a dot, filled with a dot, then smaller. */
function addShape(parent, style, x, y, size = 1) {
  const scale = size * Math.max(0.55, 1 - 0.2 * Math.floor(style.variant / 4));
  const place = `translate(${x},${y}) scale(${scale})`;
  node("path", { class: "shape", d: SHAPES[style.shape], transform: place }, parent);
  if (style.variant % 4 >= 2) node("circle", { class: "dot", r: 2, transform: place }, parent);
}

/** Writes a label beside a point where it covers nothing, or omits it if there is no such place. */
function addLabel(svg, width, text, x, y, boxes) {
  const long = text.length * 6.6;
  for (const [dx, dy, end] of [[11, 4], [-11, 4, true], [9, -8], [-9, -8, true], [9, 17], [-9, 17, true]]) {
    const left = end ? x + dx - long : x + dx;
    const box = { left, right: left + long, top: y + dy - 11, bottom: y + dy + 3 };
    const inside = box.left >= PLOT.left && box.right <= width - PLOT.right && box.top >= PLOT.top && box.bottom <= HEIGHT - PLOT.bottom;
    const free = boxes.every((other) => box.right < other.left || box.left > other.right || box.bottom < other.top || box.top > other.bottom);
    if (inside && free) {
      node("text", { class: "label", x: x + dx, y: y + dy, "text-anchor": end ? "end" : "start", "aria-hidden": "true" }, svg, text);
      boxes.push(box);
      return;
    }
  }
}

function node(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
}
