// One model: its versions, its calls and batches, and a form to call it.

import { fillBar, makeBar } from "/page/charts.js";
import { Rows, fillRow, find, make, makeRow } from "/page/elements.js";
import { setText, show } from "/page/elements.js";
import {
  History,
  callText,
  difference,
  numberText,
  quantile,
  shareText,
  sum,
  timeText,
} from "/page/rates.js";
import * as serverApi from "/page/server_api.js";
import { SignatureForm } from "/page/signature_form.js";
import { chip, why, word } from "/page/versions.js";

const MANY_SIZES = 12;
const REASONS = {
  full: "full: no room for one more call",
  timeout: "timeout: the first call had waited long enough",
  idle: "idle: a thread had nothing else to do",
  deadline: "deadline: a call could not wait any longer",
  drain: "drain: the version was unloaded",
};
const DROPPED = {
  refused: "refused: the queue was full, or the call came too late",
  cancelled: "cancelled: the caller gave up",
  deadline: "deadline: it passed while the call waited",
};

/** A model as the page shows it, until close(). */
export class ModelView {
  constructor(name) {
    this.name = name;
    this.history = new History();
    this.isClosed = false;
    // The signatures by version, once the server has told them.
    this.signatures = new Map();
    this.form = null;
    this.formKey = "";
    setText(find("model-name"), name);
    find("versions").replaceChildren();
    find("calls").replaceChildren();
    find("batches").replaceChildren();
    find("try-form").replaceChildren();
    find("try-version").replaceChildren();
    find("try-signature").replaceChildren();
    this.versions = new Rows(find("versions"), () => makeRow(3), fillVersion);
    this.calls = new Rows(find("calls"), () => makeRow(7, 3), fillRow);
    this.queues = new Rows(find("batches"), makeQueue, fillQueue);
    this.choose = () => this.showForm();
    find("try-version").addEventListener("change", this.choose);
    find("try-signature").addEventListener("change", this.choose);
  }

  close() {
    this.isClosed = true;
    find("try-version").removeEventListener("change", this.choose);
    find("try-signature").removeEventListener("change", this.choose);
  }

  /** Asks the server for the model, and shows what it answers. */
  async ask() {
    const state = await this.state();
    if (this.isClosed || !state) {
      return;
    }
    this.history.add(performance.now() / 1000, state);
    this.versions.show(
      [...state.versions].reverse().map((each) => [each.version, each]),
    );
    this.showCalls();
    this.showQueues();
    await this.showVersions(state.versions);
  }

  async state() {
    try {
      const state = await serverApi.modelState(this.name);
      show(find("model-missing"), false);
      return state;
    } catch (error) {
      if (error.status !== 404 || this.isClosed) {
        throw error;
      }
      show(find("model-missing"), true);
      setText(find("model-missing"), error.message);
      return null;
    }
  }

  showCalls() {
    const { calls, bounds } = this.history.newest;
    const before = byKey(this.history.oldest.calls, callKey);
    show(find("no-calls"), !calls.length);
    show(find("calls-box"), calls.length > 0);
    this.calls.show(
      calls.map((call) => {
        const then = before.get(callKey(call));
        const recent = difference(call.counts, then?.counts);
        return [
          callKey(call),
          [
            call.signature,
            String(call.version),
            callText(call),
            numberText(this.history.rate(sum(recent))),
            timeText(quantile(recent, bounds, 0.5)),
            timeText(quantile(recent, bounds, 0.99)),
            sum(call.counts).toLocaleString("en"),
          ],
        ];
      }),
    );
  }

  showQueues() {
    const before = byKey(this.history.oldest.queues, queueKey);
    const queues = this.history.newest.queues.filter(
      (queue) => queue.queued || queue.sizes.length || sum(dropped(queue)),
    );
    show(find("no-batches"), !queues.length);
    this.queues.show(
      queues.map((queue) => [
        queueKey(queue),
        { queue, before: before.get(queueKey(queue)) },
      ]),
    );
  }

  /** Lets people choose among the versions that can be called. */
  async showVersions(versions) {
    const numbers = versions
      .filter((each) => each.state === "AVAILABLE")
      .map((each) => String(each.version))
      .reverse();
    for (const number of numbers) {
      if (!this.signatures.has(number)) {
        this.signatures.set(
          number,
          await serverApi.signatures(this.name, number),
        );
      }
    }
    if (!this.isClosed && setOptions(find("try-version"), numbers)) {
      this.showForm();
    }
    show(find("try"), numbers.length > 0);
  }

  showForm() {
    const version = find("try-version").value;
    const signatures = this.signatures.get(version) ?? {};
    setOptions(find("try-signature"), signatureNames(signatures));
    const name = find("try-signature").value;
    const signature = signatures[name];
    const key = JSON.stringify([version, name, signature]);
    if (!signature || key === this.formKey) {
      return;
    }
    this.formKey = key;
    this.form = new SignatureForm(this.name, version, name, signature);
    find("try-form").replaceChildren(this.form.element);
  }
}

/** Returns sorted names, after the one that calls get which name none. */
function signatureNames(signatures) {
  const first = "serving_default";
  return Object.keys(signatures)
    .filter((name) => !name.startsWith("__"))
    .sort(
      (one, other) =>
        (other === first) - (one === first) || (one < other ? -1 : 1),
    );
}

/** Sets what can be chosen; returns whether that was something else. */
function setOptions(select, values) {
  const old = [...select.options].map((option) => option.value);
  if (old.join("\n") === values.join("\n")) {
    return false;
  }
  const chosen = select.value;
  const wasFirst = select.selectedIndex <= 0;
  select.replaceChildren(
    ...values.map((value) => make("option", { value }, value)),
  );
  if (!wasFirst && values.includes(chosen)) {
    select.value = chosen;
  }
  return true;
}

function byKey(values, key) {
  return new Map(values.map((each) => [key(each), each]));
}

function callKey({ signature, version, method, entrypoint }) {
  return JSON.stringify([signature, version, method, entrypoint]);
}

function queueKey({ signature, version }) {
  return JSON.stringify([signature, version]);
}

function dropped(queue) {
  return Object.values(queue.dropped);
}

function fillVersion(row, version) {
  setText(row.children[0], String(version.version));
  const key = JSON.stringify(version);
  if (row.dataset.key !== key) {
    row.dataset.key = key;
    row.children[1].replaceChildren(chip(version, word(version)));
    setText(row.children[2], why(version) || "–");
  }
}

function makeQueue(key) {
  const [signature, version] = JSON.parse(key);
  const article = make(
    "article",
    {},
    make("h3", {}, `${signature}, version ${version}`),
    make("p", { class: "hint" }),
  );
  for (const heading of [
    "Rows of a batch",
    "Why it took no more calls",
    "Calls that never ran",
  ]) {
    article.append(barList(heading));
  }
  return article;
}

function barList(heading) {
  const list = make("ul", { class: "bars", "aria-label": heading });
  const box = make("div", {}, make("h4", {}, heading), list);
  box.rows = new Rows(list, makeBar, fillBar);
  return box;
}

function fillQueue(article, { queue, before }) {
  const [, hint, sizes, reasons, lost] = article.children;
  const number = sum(queue.sizes.map(([, count]) => count));
  const mean = number ? queue.rows / number : 0;
  setText(
    hint,
    `${number.toLocaleString("en")} batches, ${numberText(mean)} rows each ` +
      `on average, ${queue.padding.toLocaleString("en")} rows of padding. ` +
      (queue.run === null ? "" : `A run takes ${timeText(queue.run)}. `) +
      `${queue.queued.toLocaleString("en")} calls wait now.`,
  );
  const isGrouped = queue.isGrouped || queue.sizes.length > MANY_SIZES;
  const bySize = isGrouped ? grouped : named;
  showBars(sizes, bySize(queue.sizes), bySize(before?.sizes ?? []));
  const names = Object.keys(REASONS).filter((each) => queue.reasons[each]);
  showBars(
    reasons,
    names.map((each) => [REASONS[each], queue.reasons[each]]),
    names.map((each) => [REASONS[each], before?.reasons[each] ?? 0]),
  );
  const losses = Object.keys(DROPPED).filter((each) => queue.dropped[each]);
  show(lost, losses.length > 0);
  showBars(
    lost,
    losses.map((each) => [DROPPED[each], queue.dropped[each]]),
    losses.map((each) => [DROPPED[each], before?.dropped[each] ?? 0]),
  );
}

/** Shows counts, and how many of them are of the last seconds. */
function showBars(box, counts, before) {
  const then = new Map(before);
  const all = sum(counts.map(([, count]) => count));
  box.rows.show(
    counts.map(([name, count]) => {
      const more = count - (then.get(name) ?? 0);
      const recent = more ? `, ${more.toLocaleString("en")} just now` : "";
      const text = `${shareText(count / all)} (${count.toLocaleString("en")}${recent})`;
      return [name, { name, share: count / all, text }];
    }),
  );
}

/** Returns counts by the name of their size. */
function named(sizes) {
  return sizes.map(([size, count]) => [String(size), count]);
}

/** Returns counts by the name of a group of sizes, up to a power of two. */
function grouped(sizes) {
  const groups = new Map();
  for (const [size, count] of sizes) {
    const upper = 2 ** Math.ceil(Math.log2(Math.max(1, size)));
    const lower = Math.floor(upper / 2) + 1;
    const name = lower >= upper ? String(upper) : `${lower} to ${upper}`;
    groups.set(name, (groups.get(name) ?? 0) + count);
  }
  return [...groups];
}
