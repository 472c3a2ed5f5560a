// Small charts, each beside the number that it shows.

import { make, setText } from "/page/elements.js";
import { HISTORY } from "/page/rates.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 28;

/** Draws the last values as a line, which a screen reader passes over. */
export function drawLine(box, values) {
  let svg = box.firstElementChild;
  if (!svg) {
    svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(document.createElementNS(SVG, "polyline"));
    box.append(svg);
  }
  const largest = Math.max(...values, 1e-9);
  const points = values.map((value, index) => {
    const age = values.length - 1 - index;
    const x = WIDTH - age * (WIDTH / (HISTORY - 1));
    const y = HEIGHT - 1.5 - (value / largest) * (HEIGHT - 3);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  svg.firstElementChild.setAttribute("points", points.join(" "));
}

/** Makes a row of a list of bars: a name, a bar, and a text. */
export function makeBar() {
  const bar = make("span", { class: "bar", "aria-hidden": "true" });
  bar.append(make("span"));
  return make(
    "li",
    {},
    make("span"),
    bar,
    make("span", { class: "bar-text" }),
  );
}

/** Fills such a row; the share is 0 to 1. */
export function fillBar(row, { name, share, text, kind = "" }) {
  const [nameBox, bar, textBox] = row.children;
  setText(nameBox, name);
  setText(textBox, text);
  bar.firstElementChild.style.width = `${(100 * share).toFixed(1)}%`;
  row.className = kind;
}
