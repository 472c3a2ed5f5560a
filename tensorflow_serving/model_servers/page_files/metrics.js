// The counts of all processes of a server, from its metrics for Prometheus.
//
// A server of one process counts for the page itself, which is cheaper.

const SAMPLE = /^([\w:]+)\{(.*)\} (\S+)$/gm;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = { "\\\\": "\\", "\\n": "\n", '\\"': '"' };

/** Calls back with the labels and the value of each sample with such a name. */
function forEach(text, callbacks) {
  for (const [, name, labels, value] of text.matchAll(SAMPLE)) {
    callbacks[name]?.(parseLabels(labels), Number(value));
  }
}

function parseLabels(text) {
  const found = {};
  for (const [, name, value] of text.matchAll(LABEL)) {
    found[name] = value.replace(/\\[\\n"]/g, (each) => ESCAPED[each]);
  }
  return found;
}

/** Histograms, whose buckets count all values up to their bounds. */
class Histograms {
  constructor() {
    this.bounds = new Map();
  }

  add(key, { le }, value) {
    if (!this.bounds.has(key)) {
      this.bounds.set(key, new Map());
    }
    const own = this.bounds.get(key);
    own.set(le, (own.get(le) ?? 0) + value);
  }

  /** Returns pairs of a bound and the count of its own bucket. */
  buckets(key) {
    const own = [...(this.bounds.get(key) ?? [])];
    return own.map(([le, value], index) => [
      Number(le.replace("+Inf", "Infinity")),
      value - (index ? own[index - 1][1] : 0),
    ]);
  }

  counts(key) {
    return this.buckets(key).map(([, count]) => count);
  }
}

/** Returns the state of a server with the counts of all processes. */
export function serverState(state, text) {
  const calls = new Map();
  const waits = new Map();
  const latencies = new Histograms();
  forEach(text, {
    ":tensorflow:serving:request_count": ({ model_name, status }, value) => {
      calls.set(model_name, { ...calls.get(model_name), [status]: value });
    },
    ":tensorflow:serving:request_latency_bucket": (labels, value) =>
      latencies.add(labels.model_name, labels, value),
    tensorflow_serving_queue_tasks: ({ model }, value) => {
      const { queued = 0, oldest = 0 } = waits.get(model) ?? {};
      waits.set(model, { queued: queued + value, oldest });
    },
    tensorflow_serving_queue_oldest_wait_seconds: ({ model }, value) => {
      const { queued = 0, oldest = 0 } = waits.get(model) ?? {};
      waits.set(model, { queued, oldest: Math.max(oldest, value) });
    },
  });
  const models = state.models.map(({ name, versions }) => {
    const counts = latencies.counts(name);
    return {
      name,
      versions,
      calls: calls.get(name) ?? {},
      counts: counts.length ? counts : undefined,
      ...waits.get(name),
    };
  });
  return { ...state, started: 0, models, unnamed: calls.get("") ?? {} };
}

/** Returns the state of a model with the counts of all processes. */
export function modelState(state, text) {
  const times = new Histograms();
  const rows = new Histograms();
  const queues = new Map();

  const queue = ({ signature, version }) => {
    const key = JSON.stringify([signature, version]);
    if (!queues.has(key)) {
      queues.set(key, {
        signature,
        version: Number(version),
        isGrouped: true,
        ...{ queued: 0, run: null, rows: 0, padding: 0 },
        ...{ sizes: [], reasons: {}, dropped: {} },
      });
    }
    return queues.get(key);
  };
  const own = (callback) => (labels, value) => {
    if (labels.model === state.name) {
      callback(labels, value);
    }
  };
  forEach(text, {
    tensorflow_serving_request_duration_seconds_bucket: own((labels, value) =>
      times.add(callKey(labels), labels, value),
    ),
    tensorflow_serving_queue_tasks: own((labels, value) => {
      queue(labels).queued = value;
    }),
    tensorflow_serving_batches_total: own((labels, value) => {
      queue(labels).reasons[labels.reason] = value;
    }),
    tensorflow_serving_batch_rows_bucket: own((labels, value) => {
      rows.add(queue(labels), labels, value);
    }),
    tensorflow_serving_batch_rows_sum: own((labels, value) => {
      queue(labels).rows = value;
    }),
    tensorflow_serving_padding_rows_total: own((labels, value) => {
      queue(labels).padding = value;
    }),
    tensorflow_serving_dropped_tasks_total: own((labels, value) => {
      queue(labels).dropped[labels.reason] = value;
    }),
  });
  for (const each of queues.values()) {
    each.sizes = rows.buckets(each).filter(([, count]) => count);
  }
  const calls = [...times.bounds.keys()].map((key) => {
    const [signature, version, method, entrypoint] = JSON.parse(key);
    const counts = times.counts(key);
    return { signature, version, method, entrypoint, counts };
  });
  return { ...state, started: 0, calls, queues: [...queues.values()] };
}

function callKey({ signature, version, method, entrypoint }) {
  return JSON.stringify([signature, Number(version), method, entrypoint]);
}
