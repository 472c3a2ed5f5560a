// The newest errors of calls.

import { Rows, fillRow, find, makeRow, show } from "/page/elements.js";
import { agoText, callText } from "/page/rates.js";

const rows = new Rows(
  find("errors"),
  () => makeRow(6, 4),
  (row, { error, now }) => {
    fillRow(row, [
      error.code,
      error.text,
      error.model || "–",
      callText(error),
      error.number.toLocaleString("en"),
      agoText(now - error.time),
    ]);
    row.children[5].title = new Date(error.time * 1000).toLocaleString();
  },
);

/** Shows errors, and when they came by the clock of the server. */
export function showErrors(errors, now) {
  show(find("no-errors"), !errors.length);
  show(find("errors-box"), errors.length > 0);
  rows.show(
    errors.map((error) => {
      const { code, text, model, method, entrypoint } = error;
      const key = JSON.stringify([code, text, model, method, entrypoint]);
      return [key, { error, now }];
    }),
  );
}
