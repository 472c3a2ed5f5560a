// Parts of a page. All text goes in as text, never as HTML: names of models and
// texts of errors are those of other people.

/** Returns the element of the page with an id. */
export function find(id) {
  return document.getElementById(id);
}

/** Makes an element with attributes, and with texts or elements within. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** Sets a text if it is another one, so that nothing is drawn again. */
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Shows or hides an element. */
export function show(element, isShown) {
  element.hidden = !isShown;
}

/**
 * Rows of a table by key, which are changed where they differ.
 *
 * An element that stays keeps the focus, and a screen reader its place.
 */
export class Rows {
  /**
   * @param body Gets the rows.
   * @param makeRow Returns a new row for a key.
   * @param fill Writes a value into the row.
   */
  constructor(body, makeRow, fill) {
    this.body = body;
    this.makeRow = makeRow;
    this.fill = fill;
    this.rows = new Map();
  }

  /** Shows pairs of a key and a value, in their order. */
  show(pairs) {
    const focused = document.activeElement;
    const old = this.rows;
    this.rows = new Map();
    for (const [key, value] of pairs) {
      const row = old.get(key) ?? this.makeRow(key);
      old.delete(key);
      this.rows.set(key, row);
      this.fill(row, value);
    }
    for (const row of old.values()) {
      row.remove();
    }
    let next = this.body.firstElementChild;
    for (const row of this.rows.values()) {
      if (row === next) {
        next = next.nextElementSibling;
      } else {
        this.body.insertBefore(row, next);
      }
    }
    if (focused !== document.activeElement && this.body.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
  }
}

/** Makes a row of cells; the first one is the heading of the row. */
export function makeRow(numCells, numbersFrom = numCells) {
  const row = make("tr");
  row.append(make("th", { scope: "row" }));
  for (let index = 1; index < numCells; index += 1) {
    row.append(make("td", index >= numbersFrom ? { class: "number" } : {}));
  }
  return row;
}

/** Sets the texts of the cells of a row. */
export function fillRow(row, texts) {
  texts.forEach((text, index) => setText(row.children[index], text));
}
