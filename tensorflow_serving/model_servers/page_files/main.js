// The page: asks the server once a second, and shows what it answers.

import { find, setText, show } from "/page/elements.js";
import { ModelView } from "/page/model_view.js";
import { onChange, showOverview, summarize } from "/page/overview.js";
import { History } from "/page/rates.js";
import * as serverApi from "/page/server_api.js";
import { rank } from "/page/versions.js";

const PERIOD_MILLIS = 1000;
// A server that takes long to answer is asked less often.
const SHARE_OF_TIME = 0.1;
const MODEL = "#/models/";

const history = new History();
let view = null;
let timer = 0;
let isAsking = false;
let lastAnswer = 0;
let summary = null;

async function ask() {
  clearTimeout(timer);
  if (isAsking) {
    return;
  }
  isAsking = true;
  const begin = performance.now();
  try {
    const state = await serverApi.state();
    history.add(performance.now() / 1000, state);
    summary = summarize(history);
    lastAnswer = Date.now();
    showState();
    await view?.ask();
    showLost(null);
  } catch (error) {
    showLost(error);
  }
  isAsking = false;
  const millis = performance.now() - begin;
  if (!document.hidden) {
    timer = setTimeout(ask, Math.max(PERIOD_MILLIS, millis / SHARE_OF_TIME));
  }
}

function showState() {
  const state = history.newest;
  showHealth(state);
  setText(find("version"), `Version ${state.version}${processes(state)}`);
  if (!view) {
    showOverview(history, summary);
  }
}

function processes(state) {
  return state.processes > 1 ? `, ${state.processes} processes` : "";
}

/** Says in one sentence whether all is well; a screen reader reads it out. */
function showHealth(state) {
  const bad = state.models.filter((model) => rank(model) === 0);
  const flawed = state.models.filter((model) => rank(model) === 1);
  const health = find("health");
  const [text, kind] = healthText(state, bad, flawed);
  setText(health, text);
  health.className = `health ${kind}`;
  document.title = bad.length ? `${bad.length} down – Model server` : title();
}

function healthText(state, bad, flawed) {
  const number = state.models.length;
  if (state.draining) {
    return ["Stopping: calls should go elsewhere", "bad"];
  }
  if (!number) {
    return ["No model is configured", "bad"];
  }
  if (bad.length) {
    return [`${bad.length} of ${number} cannot be called: ${names(bad)}`, "bad"];
  }
  if (flawed.length) {
    return [`All can be called; look at ${names(flawed)}`, "busy"];
  }
  return [number === 1 ? "Ready" : `Ready: all ${number} models`, "good"];
}

function names(models) {
  const few = models.slice(0, 3).map((model) => model.name);
  return models.length > 3 ? `${few.join(", ")} …` : few.join(", ");
}

function title() {
  return view ? `${view.name} – Model server` : "Model server";
}

function showLost(error) {
  const needsKey = error?.status === 401;
  const form = find("key-form");
  if (needsKey && form.hidden) {
    show(form, true);
    find("key").focus();
  }
  if (!error) {
    show(form, false);
  }
  const lost = find("lost");
  show(lost, Boolean(error) && !needsKey);
  if (error && !needsKey) {
    setText(lost, lostText(error));
    setText(find("health"), "Unknown");
    find("health").className = "health bad";
  }
  if (needsKey) {
    setText(find("health"), "An API key is needed");
  }
}

function lostText(error) {
  const since = lastAnswer
    ? ` What is below was so at ${new Date(lastAnswer).toLocaleTimeString()}.`
    : "";
  const reason =
    error instanceof serverApi.Refusal ? `: ${error.message}` : "";
  return `The server does not answer${reason}.${since}`;
}

/** Shows the view that the address of the page names. */
function route() {
  const hash = location.hash;
  view?.close();
  view = null;
  if (hash.startsWith(MODEL)) {
    view = new ModelView(decodeURIComponent(hash.slice(MODEL.length)));
  }
  show(find("overview"), !view);
  show(find("model"), Boolean(view));
  document.title = title();
  if (summary) {
    showState();
  }
  ask();
}

find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  serverApi.useKey(find("key").value.trim());
  find("key").value = "";
  setText(find("key-hint"), "The server did not take the last key.");
  ask();
});
find("skip").addEventListener("click", (event) => {
  event.preventDefault();
  find("main").focus();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    ask();
  }
});
window.addEventListener("hashchange", () => {
  route();
  const heading = view ? "#model-name" : "#overview h1";
  document.querySelector(heading).focus();
});
onChange(() => summary && showState());
route();
