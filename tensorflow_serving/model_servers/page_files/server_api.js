// Requests to this server.

import * as metrics from "/page/metrics.js";
import { sum } from "/page/rates.js";

const KEY = "api-key";
const TIMEOUT_MILLIS = 10_000;
const METRICS = "/metrics";

// The metrics of all processes at the last state(); null if there is but one.
let page = null;

/** An answer of the server that says why it refused a request. */
export class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** Uses a key of the API from now on, in this tab. */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

function headers(more = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, authorization: `Bearer ${key}` } : more;
}

/** Returns what the server says of all models. */
export async function state() {
  const found = await get("/page/state");
  page = found.processes > 1 ? await getText(METRICS) : null;
  return page === null ? found : metrics.serverState(found, page);
}

/**
 * Returns what the server says of the signatures of a model.
 *
 * Where there are several processes, counts are those of the last state(): all
 * of them work for each page of metrics.
 */
export async function modelState(name) {
  const found = await get(`/page/models/${encodeURIComponent(name)}`);
  return page === null ? found : metrics.modelState(found, page);
}

/** Returns the signatures of a version by their names. */
export async function signatures(name, version) {
  const found = await get(`${versionPath(name, version)}/metadata`);
  return found.metadata.signature_def.signature_def;
}

/** Returns the path of a version; the name of its model may be any text. */
export function versionPath(name, version) {
  return `/v1/models/${encodeURIComponent(name)}/versions/${version}`;
}

async function get(path) {
  return JSON.parse(await getText(path));
}

async function getText(path) {
  const response = await fetch(path, {
    headers: headers(),
    signal: AbortSignal.timeout(TIMEOUT_MILLIS),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new Refusal(response.status, reason(text));
  }
  return text;
}

/**
 * Sends a request of the REST API.
 *
 * @return The status, the text of the answer, the version that answered, and
 *   where the time went: stages with their milliseconds, in order.
 */
export async function send(path, body) {
  const begin = performance.now();
  const response = await fetch(path, {
    method: "POST",
    headers: headers({
      "content-type": "application/json",
      "serving-timing": "yes",
    }),
    body,
  });
  const text = await response.text();
  const millis = performance.now() - begin;
  const stages = parseStages(response.headers.get("server-timing") ?? "");
  const within = sum(stages.map((stage) => stage.millis));
  if (stages.length) {
    const rest = Math.max(0, millis - within);
    stages.push({ name: "network and browser", millis: rest, note: "" });
  }
  return {
    isGood: response.ok,
    status: `${response.status} ${response.statusText}`.trim(),
    text,
    millis,
    stages,
    version: response.headers.get("serving-version"),
  };
}

/** Returns the stages of a header such as: run;dur=1.5, write;dur=0.1. */
function parseStages(header) {
  return header
    .split(",")
    .filter((each) => each.trim())
    .map((each) => {
      const [name, ...parameters] = each.split(";").map((part) => part.trim());
      const values = Object.fromEntries(
        parameters.map((parameter) => parameter.split("=")),
      );
      return {
        name,
        millis: Number(values.dur ?? 0),
        note: (values.desc ?? "").replaceAll('"', ""),
      };
    });
}

/** Returns why a request was refused, by the body of the answer. */
function reason(text) {
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text;
  }
}
