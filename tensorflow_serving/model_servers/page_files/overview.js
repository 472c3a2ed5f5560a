// The models of the server, the busiest numbers above them.

import { drawLine } from "/page/charts.js";
import { Rows, fillRow, find, make, makeRow } from "/page/elements.js";
import { setText, show } from "/page/elements.js";
import { showErrors } from "/page/errors_view.js";
import {
  difference,
  ends,
  numberText,
  quantile,
  sum,
  timeText,
  total,
} from "/page/rates.js";
import { chip, rank, shown, why } from "/page/versions.js";

const MANY = 100;
const MICROS = 1e-6;

let showsAll = false;
let draw = () => {};

const rows = new Rows(
  find("models"),
  (name) => {
    const row = makeRow(7, 2);
    const href = `#/models/${encodeURIComponent(name)}`;
    row.children[0].append(make("a", { href }, name));
    return row;
  },
  fillModel,
);

/** Calls back when what is shown should be drawn again. */
export function onChange(callback) {
  draw = callback;
}

for (const id of ["filter", "order"]) {
  find(id).addEventListener("input", () => draw());
}
find("more").addEventListener("click", () => {
  showsAll = !showsAll;
  draw();
});

/**
 * Returns what a history says of all models, and of each.
 *
 * Called once for each state, as charts get a value each time.
 */
export function summarize(history) {
  const state = history.newest;
  const before = new Map(history.oldest.models.map((each) => [each.name, each]));
  const models = state.models.map((model) =>
    changes(model, before.get(model.name), state.bounds, history),
  );
  const values = sums(state, models, history);
  for (const [id, value] of Object.entries(values)) {
    history.chart(id, value);
  }
  return { models, values };
}

/** Shows a summary of the newest state. */
export function showOverview(history, { models, values }) {
  showTiles(models, values, history);
  showModels(models);
  showErrors(history.newest.errors, history.newest.time);
}

/** Adds to a model what has changed of it in the window of a history. */
function changes(model, before, bounds, history) {
  const now = ends(model.calls);
  const then = ends(before?.calls);
  const counts = model.counts && difference(model.counts, before?.counts);
  const bad = now.bad - then.bad;
  return {
    ...model,
    rank: rank(model),
    recent: counts,
    requests: history.rate(now.good - then.good + bad),
    failures: history.rate(bad),
    median: counts && quantile(counts, bounds, 0.5),
    slow: counts && quantile(counts, bounds, 0.99),
  };
}

/** Returns the numbers of all models together, by the ids of their places. */
function sums(state, models, history) {
  const { bounds, unnamed } = state;
  const recent = total(
    models.flatMap((model) => (model.recent ? [model.recent] : [])),
    bounds.length + 1,
  );
  // Calls that name no model that is served.
  const lost = history.rate(
    ends(unnamed).bad - ends(history.oldest.unnamed).bad,
  );
  return {
    requests: sum(models.map((model) => model.requests)) + lost,
    failures: sum(models.map((model) => model.failures)) + lost,
    median: quantile(recent, bounds, 0.5),
    slow: quantile(recent, bounds, 0.99),
    waiting: sum(models.map((model) => model.queued ?? 0)),
  };
}

function showTiles(models, values, history) {
  for (const [id, value] of Object.entries(values)) {
    setText(find(id), TEXTS[id](value, history.seconds > 0));
    drawLine(find(`${id}-chart`), history.charts.get(id));
  }
  find("failures").classList.toggle("bad", values.failures > 0);
  const oldest = Math.max(0, ...models.map((model) => model.oldest ?? 0));
  setText(find("oldest"), oldest ? `the first for ${timeText(oldest)}` : "");
}

const TEXTS = {
  requests: (value, isKnown) => numberText(isKnown ? value : null),
  failures: (value, isKnown) => numberText(isKnown ? value : null),
  median: microsText,
  slow: microsText,
  waiting: numberText,
};

function microsText(micros) {
  return timeText(micros && micros * MICROS);
}

const ORDERS = {
  problems: (one, other) => one.rank - other.rank,
  requests: (one, other) => (other.requests ?? 0) - (one.requests ?? 0),
  name: () => 0,
};

function showModels(models) {
  const wanted = find("filter").value.trim().toLowerCase();
  const found = models
    .filter((model) => model.name.toLowerCase().includes(wanted))
    .sort(ORDERS[find("order").value]);
  const few = showsAll ? found : found.slice(0, MANY);
  rows.show(few.map((model) => [model.name, model]));
  const number = found.length.toLocaleString("en");
  setText(
    find("models-number"),
    models.length && !found.length
      ? "No model has this in its name."
      : `${number} ${found.length === 1 ? "model" : "models"}`,
  );
  show(find("more"), found.length > MANY);
  setText(
    find("more"),
    showsAll ? `Show the first ${MANY} only` : `Show all ${number} models`,
  );
}

function fillModel(row, model) {
  fillVersions(row.children[1], shown(model));
  fillRow(
    { children: [...row.children].slice(2) },
    [
      numberText(model.requests),
      numberText(model.failures),
      microsText(model.median),
      microsText(model.slow),
      model.queued ? model.queued.toLocaleString("en") : "0",
    ],
  );
  row.children[3].classList.toggle("bad", model.failures > 0);
}

function fillVersions(cell, versions) {
  const key = JSON.stringify(versions);
  if (cell.dataset.key === key) {
    return;
  }
  cell.dataset.key = key;
  cell.replaceChildren(...versions.map((each) => chip(each)));
  if (!versions.length) {
    cell.append(
      make("span", { class: "chip bad" }, "no version"),
      make("p", { class: "why" }, "None has been found in its folder."),
    );
  }
  for (const version of versions.filter(why)) {
    cell.append(make("p", { class: "why" }, why(version)));
  }
}
