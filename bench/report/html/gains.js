"use strict";
// The reference that gains are over is a choice of the reader. The page has intervals and verdicts over each row of
// small tables; for others, the points are computed here from the scores of the seeds that both have.

let reference = data.reference;

/** Returns the gain of each row of a task over a reference, in the order of the rows; null where there is none. */
function gainsOver(task, reference) {
  task.over ??= {};
  task.over[reference] ??= (task.gains[reference]?.map(asGain) ?? pointsOver(task, reference));
  return task.over[reference];
}

function asGain(stored) {
  if (!stored) return null;
  const [points, percent, seeds, low, high, p, verdict, samples] = stored;
  return { points, percent, seeds, interval: low === null ? null : [low, high], p, verdict, samples: Boolean(samples) };
}

/** Returns gains without interval and verdict. */
function pointsOver(task, reference) {
  const base = task.rows.find((row) => row.label === reference);
  return task.rows.map((row) => {
    if (!base || row === base) return null;
    const [ours, theirs] = [scoresOf(task, row), scoresOf(task, base)];
    if (!ours || !theirs) return null;
    const seeds = [...ours[0].keys()].filter((seed) => [...ours, ...theirs].every((scores) => scores.has(seed)));
    if (!seeds.length) return null;
    const weights = task.weights ?? [1];
    const mean = (all) => all.reduce((sum, scores, index) => sum + weights[index] * average(seeds.map((seed) => scores.get(seed))), 0);
    const level = mean(theirs);
    const points = mean(ours) - level;
    return { points, percent: level ? (100 * points) / level : null, seeds: seeds.length, interval: null, p: null, verdict: null, samples: false };
  });
}

/** Returns the scores of a row by seed, for each task that its mean is over; null if one has none. */
function scoresOf(task, row) {
  const rows = task.of ? task.of.map((id) => data.tasks[id]?.rows.find((other) => other.label === row.label)) : [row];
  if (rows.some((found) => !found)) return null;
  return rows.map((found) => new Map(found.runs.filter(([, , score]) => score !== null).map(([seed, , score]) => [seed, score])));
}

function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Fills the list of references with those of a task, and returns whether it has any. */
function fillReferences(task) {
  const list = byId("reference");
  const labels = (task?.rows ?? []).filter((row) => row.mean !== null).map((row) => row.label);
  list.replaceChildren(...labels.map((label) => new Option(label, label)));
  const usable = labels.length > 1 && labels.includes(data.reference);
  list.closest("label").hidden = !usable;
  if (usable) list.value = labels.includes(reference) ? reference : data.reference;
  return usable;
}

/** Writes the gains over the chosen reference into a table. */
function showGains(article, task, reference) {
  const [table, bySplit] = article.querySelectorAll(".frame table");
  const note = byId("reference-note");
  const isComputed = Boolean(task?.gains[reference]) || !task;
  note.hidden = isComputed;
  note.textContent = isComputed ? "" : `Gains over ${reference} are points only: intervals and verdicts are there for ${Object.keys(task.gains).join(", ")}.`;
  if (bySplit && task) showSplitGains(bySplit, task, reference);
  if (!table || !task || (table.dataset.reference ?? data.reference) === reference) return;
  table.dataset.reference = reference;
  const group = table.querySelector("th[data-keyed]");
  if (group) group.textContent = `${task.of ? "mean gain" : "gain"} over ${reference}`;
  writeGains(table, keyedColumns(table), gainsOver(task, reference));
}

/** Writes the gains over the chosen reference into the table of test splits: points only, unless the page has more. */
function showSplitGains(table, task, reference) {
  if ((table.dataset.reference ?? data.reference) === reference) return;
  table.dataset.reference = reference;
  const known = reference === data.reference ? "▲ better, ▼ worse" : `points only: intervals are over ${data.reference}`;
  table.caption.textContent = `By test split: gain over ${reference} (${known})`;
  const groups = groupNames(table);
  for (const split of task.splits) {
    const columns = keyedColumns(table).filter(([, index]) => groups[index] === split.name);
    writeGains(table, columns, gainsOver(split, reference));
  }
}

/** Returns key and index of the columns that show gains. */
function keyedColumns(table) {
  const heads = [...[...table.tHead.rows].at(-1).cells];
  return heads.map((head, index) => [head.dataset.key, index]).filter(([key]) => key);
}

function writeGains(table, columns, gains) {
  for (const row of table.querySelectorAll("tbody.rows tr")) {
    for (const [key, index] of columns) writeGain(row.cells[index], key, gains[row.dataset.row]);
  }
}

function writeGain(cell, key, gain) {
  const written = { points: pointsCell, marked: markedCell, percent: percentCell, interval: intervalCell, p: pCell, verdict: verdictCell }[key];
  const [text, value, high] = (gain && written(gain)) ?? ["–"];
  cell.textContent = text;
  cell.className = typeof value === "string" ? "text" : "";
  for (const [name, number] of [["value", value], ["high", high]]) {
    if (typeof number === "number") cell.dataset[name] = number;
    else delete cell.dataset[name];
  }
}

const pointsCell = (gain) => [signed(gain.points), gain.points];
const markedCell = (gain) => [`${signed(gain.points)} ${VERDICT_MARKS[gain.verdict] ?? ""}`.trim(), gain.points];
const percentCell = (gain) => (gain.percent === null ? null : [signed(gain.percent, 1), gain.percent]);
const intervalCell = (gain) => gain.interval && [`${gain.interval.map((end) => signed(end)).join(" to ")}${gain.samples ? "" : "°"}`, ...gain.interval];
const pCell = (gain) => (gain.p === null ? null : [gain.p < 0.001 ? "< 0.001" : gain.p.toFixed(3), gain.p]);
const verdictCell = (gain) => gain.verdict && [gain.verdict, gain.verdict];
