// A form for the inputs of a signature, and the answer to what it sends.

import { fillBar, makeBar } from "/page/charts.js";
import { DigitPad } from "/page/digit_pad.js";
import { make, setText, show } from "/page/elements.js";
import { timeText } from "/page/rates.js";
import * as serverApi from "/page/server_api.js";
import { describe, example, imageInput, valueText } from "/page/tensors.js";

const MANY_LETTERS = 20_000;
const MILLIS = 1e-3;
const METHODS = {
  "tensorflow/serving/classify": "classify",
  "tensorflow/serving/regress": "regress",
};

let numForms = 0;

/** Calls one signature of one version. */
export class SignatureForm {
  constructor(model, version, name, signature) {
    this.model = model;
    this.version = version;
    this.name = name;
    this.signature = signature;
    numForms += 1;
    this.prefix = `input-${numForms}`;
    // Whether the signature is for Examples, which are serialized.
    const inputs = Object.values(signature.inputs ?? {});
    this.method =
      inputs.length === 1 && inputs[0].dtype === "DT_STRING"
        ? (METHODS[signature.method_name] ?? "predict")
        : "predict";
    this.fields = new Map();
    this.form = this.makeForm();
    this.answer = new Answer();
    this.element = make("div");
    const image = imageInput(signature);
    if (image) {
      const pad = new DigitPad(image, (value) => this.sendImage(image, value));
      const details = make("details", {}, make("summary", {}, "Send numbers"));
      details.append(this.form);
      this.element.append(pad.element, details);
    } else {
      this.element.append(this.form);
    }
    this.element.append(this.answer.element);
  }

  makeForm() {
    const form = make("form", { novalidate: "" });
    if (this.method === "predict") {
      const inputs = Object.entries(this.signature.inputs ?? {}).sort();
      for (const [key, info] of inputs) {
        form.append(this.makeField(key, describe(info), example(info)));
      }
    } else {
      form.append(this.makeField("examples", "a list of features", "[{}]"));
    }
    form.append(
      make(
        "div",
        { class: "buttons" },
        make("button", { type: "submit" }, `Send to :${this.method}`),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    return form;
  }

  makeField(key, type, value) {
    const id = `${this.prefix}-${this.fields.size}`;
    const area = make("textarea", {
      id,
      rows: "3",
      spellcheck: "false",
      "aria-describedby": `${id}-hint ${id}-wrong`,
    });
    area.value = value;
    const wrong = make("p", { id: `${id}-wrong`, class: "wrong" });
    this.fields.set(key, { area, wrong });
    return make(
      "div",
      { class: "input" },
      make("label", { for: id }, `${key} `, make("small", {}, type)),
      area,
      make("p", { id: `${id}-hint`, class: "hint" }, hint(this.method)),
      wrong,
    );
  }

  async submit() {
    const body = this.body();
    if (body) {
      await this.send(body);
    }
  }

  /** Returns the body of the request; null if a field holds no JSON. */
  body() {
    const inputs = [];
    let firstWrong = null;
    for (const [key, { area, wrong }] of this.fields) {
      let text = "";
      try {
        const info = this.signature.inputs?.[key] ?? {};
        inputs.push(`${JSON.stringify(key)}: ${valueText(info, area.value)}`);
      } catch (error) {
        text = `This must be JSON: ${error.message}`;
        firstWrong ??= area;
      }
      setText(wrong, text);
      area.setAttribute("aria-invalid", String(Boolean(text)));
    }
    firstWrong?.focus();
    if (firstWrong) {
      return null;
    }
    const name = JSON.stringify(this.name);
    const values = inputs.join(", ");
    return this.method === "predict"
      ? `{"signature_name": ${name}, "inputs": {${values}}}`
      : `{"signature_name": ${name}, ${values}}`;
  }

  async send(body) {
    const version = serverApi.versionPath(this.model, this.version);
    const path = `${version}:${this.method}`;
    this.answer.showWaiting();
    try {
      const found = await serverApi.send(path, body);
      this.answer.show(found, path, body);
      return found;
    } catch (error) {
      this.answer.showLost(error);
      return null;
    }
  }

  /** Sends an image; returns the outputs, or null if there are none. */
  async sendImage(image, value) {
    const found = await this.send(
      JSON.stringify({
        signature_name: this.name,
        inputs: { [image.name]: value },
      }),
    );
    return found?.isGood ? JSON.parse(found.text).outputs : null;
  }
}

function hint(method) {
  return method === "predict"
    ? "JSON. The word zeros stands for zeros of this shape."
    : 'JSON, such as [{"x": 1.0}].';
}

/** The answer to a request, and where its time went. */
class Answer {
  constructor() {
    this.status = make("p", { class: "status", role: "status" });
    this.stages = make("ul", {
      class: "bars stages",
      "aria-label": "Where the time went",
    });
    this.text = make("pre", { tabindex: "0", "aria-label": "Answer" });
    this.command = make("pre", { tabindex: "0", "aria-label": "Command" });
    this.more = make(
      "details",
      {},
      make("summary", {}, "The same request with curl"),
      this.command,
    );
    this.box = make("div", {}, this.stages, this.text, this.more);
    show(this.box, false);
    this.element = make("div", { class: "answer" }, this.status, this.box);
  }

  showWaiting() {
    this.status.className = "status";
    setText(this.status, "Waiting for the answer …");
  }

  showLost(error) {
    this.status.className = "status bad";
    setText(this.status, `No answer: ${error.message}`);
    show(this.box, false);
  }

  show(found, path, body) {
    const by = found.version ? ` by version ${found.version}` : "";
    const time = timeText(found.millis * MILLIS);
    this.status.className = found.isGood ? "status good" : "status bad";
    setText(this.status, `${found.status}${by} in ${time}`);
    this.stages.replaceChildren(...stageBars(found));
    setText(this.text, shortened(found.text));
    setText(this.command, curl(path, body));
    show(this.box, true);
  }
}

function stageBars({ stages, millis }) {
  return stages.map(({ name, millis: own, note }) => {
    const row = makeBar();
    const rows = note === "1 rows" ? "1 row" : note;
    const text = [timeText(own * MILLIS), rows].filter(Boolean).join(", ");
    fillBar(row, { name, share: Math.min(1, own / millis), text });
    return row;
  });
}

function shortened(text) {
  if (text.length <= MANY_LETTERS) {
    return text;
  }
  const number = text.length.toLocaleString("en");
  return `${text.slice(0, MANY_LETTERS)}\n… (${number} letters in all)`;
}

/** Returns a command for a shell, in which nothing of a body is special. */
function curl(path, body) {
  const quoted = shortened(body).replaceAll("'", "'\\''");
  return `curl ${location.origin}${path} \\\n  -d '${quoted}'`;
}
