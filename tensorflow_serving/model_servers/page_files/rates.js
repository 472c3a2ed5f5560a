// Rates and times from counters, which the server counts since its start.

const WINDOW_SECONDS = 5;
// How many values a chart shows.
export const HISTORY = 60;

/**
 * The last states of a server, and what has changed between them.
 *
 * Rates are those of the last five seconds: one second alone jumps about.
 */
export class History {
  constructor() {
    this.samples = [];
    // The last values of each chart.
    this.charts = new Map();
  }

  /** Adds a state with its time in seconds; earlier ones may be forgotten. */
  add(time, state) {
    if (this.samples.length && hasRestarted(this.newest, state)) {
      this.samples = [];
    }
    this.samples.push({ time, state });
    while (
      this.samples.length > 2 &&
      time - this.samples[1].time >= WINDOW_SECONDS
    ) {
      this.samples.shift();
    }
  }

  get newest() {
    return this.samples.at(-1).state;
  }

  /** Returns the seconds between the oldest state and the newest. */
  get seconds() {
    return this.samples.at(-1).time - this.samples[0].time;
  }

  /** Returns the oldest state. */
  get oldest() {
    return this.samples[0].state;
  }

  /** Returns a number of things as a rate; null if it cannot be known yet. */
  rate(number) {
    return this.seconds > 0 ? Math.max(0, number) / this.seconds : null;
  }

  /** Keeps a value for a chart. */
  chart(name, value) {
    const values = this.charts.get(name) ?? [];
    values.push(value ?? 0);
    if (values.length > HISTORY) {
      values.shift();
    }
    this.charts.set(name, values);
  }
}

function hasRestarted(before, now) {
  return before.started !== now.started;
}

/** Returns the numbers of calls that succeeded and that failed. */
export function ends(calls = {}) {
  const { OK: good = 0, ...others } = calls;
  return { good, bad: sum(Object.values(others)) };
}

export function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/**
 * Returns counts less those of before, which may be missing.
 *
 * Counts may go with a process that ends; that is not less than nothing.
 */
export function difference(counts, before) {
  return counts.map((count, index) =>
    Math.max(0, count - (before?.[index] ?? 0)),
  );
}

/** Returns the sums of several lists of counts. */
export function total(lists, length) {
  const found = new Array(length).fill(0);
  for (const counts of lists) {
    counts.forEach((count, index) => {
      found[index] += count;
    });
  }
  return found;
}

/**
 * Returns the value below which a share of all values lies, as Prometheus does.
 *
 * @param counts How many values there are in each bucket.
 * @param bounds Its upper bounds; a last bucket has none.
 * @param share Such as 0.99.
 * @return null if there are no values.
 */
export function quantile(counts, bounds, share) {
  const rank = share * sum(counts);
  if (!rank) {
    return null;
  }
  let below = 0;
  for (const [index, upper] of bounds.entries()) {
    const count = counts[index];
    if (count && below + count >= rank) {
      const lower = index ? bounds[index - 1] : 0;
      return lower + (upper - lower) * ((rank - below) / count);
    }
    below += count;
  }
  return bounds.at(-1);
}

const NONE = "–";

/** Returns a number as people read it: three digits, and no more. */
export function numberText(value) {
  if (value === null || value === undefined) {
    return NONE;
  }
  if (value === 0 || value >= 100) {
    return Math.round(value).toLocaleString("en");
  }
  if (value < 0.01) {
    return "< 0.01";
  }
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

/** Returns a share, 0 to 1, in percent. */
export function shareText(share) {
  const percent = 100 * share;
  if (percent > 0 && percent < 0.1) {
    return "< 0.1 %";
  }
  return `${percent.toFixed(percent > 0 && percent < 99.95 ? 1 : 0)} %`;
}

/** Returns the method of a call, and the way it came in. */
export function callText({ method, entrypoint }) {
  return `${method} (${entrypoint === "GRPC" ? "gRPC" : entrypoint})`;
}

/** Returns a time in seconds as people read it. */
export function timeText(seconds) {
  if (seconds === null || seconds === undefined) {
    return NONE;
  }
  if (seconds < 1e-3) {
    return `${numberText(seconds * 1e6)} µs`;
  }
  if (seconds < 1) {
    return `${numberText(seconds * 1e3)} ms`;
  }
  return `${numberText(seconds)} s`;
}

/** Returns how long ago something was. */
export function agoText(seconds) {
  for (const [unit, name] of [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ]) {
    if (seconds >= 2 * unit) {
      return `${Math.floor(seconds / unit)} ${name} ago`;
    }
  }
  return seconds < 2 ? "now" : `${Math.floor(seconds)} s ago`;
}
