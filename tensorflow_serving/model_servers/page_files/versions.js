// Versions of a model and the states that they are in.

import { make } from "/page/elements.js";

const WORDS = {
  START: "waits",
  LOADING: "loads",
  AVAILABLE: "available",
  UNLOADING: "unloads",
  END: "unloaded",
};

/** Returns the word for the state of a version. */
export function word(version) {
  if (version.state === "END" && version.code !== "OK") {
    return "failed";
  }
  return WORDS[version.state] ?? version.state;
}

/** Returns "good", "busy" or "bad"; empty for a version that is gone. */
function kind(version) {
  if (version.code !== "OK") {
    return "bad";
  }
  if (version.state === "AVAILABLE") {
    return version.text ? "busy" : "good";
  }
  return version.state === "END" ? "" : "busy";
}

/** Returns why a version is as it is; empty if there is nothing to say. */
export function why(version) {
  const { code, text } = version;
  return code === "OK" ? text : `${code}: ${text}`;
}

/** Returns 0 for a model that cannot be called, 1 for a flaw, 2 for none. */
export function rank(model) {
  if (!model.versions.some((each) => each.state === "AVAILABLE")) {
    return 0;
  }
  return model.versions.some((each) => ["bad", "busy"].includes(kind(each)))
    ? 1
    : 2;
}

/** Returns the versions that somebody who looks at all models wants to see. */
export function shown(model) {
  const found = model.versions.filter((each) => kind(each));
  return found.length ? found : model.versions.slice(-1);
}

/** Makes the mark of a version, with a text in the color of its state. */
export function chip(version, text = numbered(version)) {
  return make("span", { class: `chip ${kind(version)}` }, text);
}

function numbered(version) {
  return `${version.version} ${word(version)}`;
}
