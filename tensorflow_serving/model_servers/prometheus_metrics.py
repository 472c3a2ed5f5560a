"""The metrics of a server in the text format of Prometheus.

Example:
    metrics = prometheus_metrics.PrometheusMetrics(
        requests, core.loads, core.statistics
    )
    metrics.text()

There are the metrics of TensorFlow Serving, with its names, labels and buckets,
and more under tensorflow_serving_. The names of the original have slashes,
which become colons.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

import importlib.metadata
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import prometheus_client
from prometheus_client import core as metrics_core
from prometheus_client import utils as prometheus_utils

from tensorflow_serving.batching import batching_session
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    call_events,
    histograms,
    load_metrics,
    request_metrics,
    server_version,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_OF_CALL: Final = ("model_name", "API", "entrypoint")
_OF_SUBJECT: Final = ("model", "version", "signature", "method", "entrypoint")
_OF_QUEUE: Final = ("model", "version", "signature")
# Prometheus' client appends _total to the names of counters. Those of the
# original do not have it, so they go as untyped and get their type afterwards.
_UNTYPED: Final = re.compile(rb"^(# TYPE :\S+) untyped$", re.MULTILINE)

Statistics = Mapping[
    servable.ServableId, Mapping[str, batching_session.Statistics]
]
_ByLabels = Mapping[tuple[str, str, str], batching_session.Statistics]
_Metrics = Iterator[metrics_core.Metric]


class PrometheusMetrics:
    """Collects the metrics of a process. Thread-safe."""

    def __init__(
        self,
        requests: request_metrics.RequestMetrics,
        loads: load_metrics.LoadMetrics,
        statistics: Callable[[], Statistics],
    ) -> None:
        """Takes the counts, which are read for each text anew.

        Args:
          requests: Counts calls.
          loads: Counts loads.
          statistics: Returns the statistics of the queue of each signature, by
            its version and its name.
        """
        self._requests = requests
        self._loads = loads
        self._statistics = statistics
        # Reads files of the packages, so not for each text.
        self._build_info = _build_info()
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(self)
        prometheus_client.ProcessCollector(registry=self._registry)
        prometheus_client.GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """Returns all metrics."""
        text = prometheus_client.generate_latest(self._registry)
        return _UNTYPED.sub(rb"\1 counter", text)

    def describe(self) -> _Metrics:
        """Yields nothing, so that the registry does not collect at once."""
        yield from ()

    def collect(self) -> _Metrics:
        """Yields the metrics; for the registry."""
        requests = self._requests.snapshot()
        yield from _of_original(requests)
        yield from _of_requests(requests)
        yield from _of_queues(self._statistics())
        yield from _of_loads(self._loads.snapshot())
        yield self._build_info


def _of_original(requests: request_metrics.Snapshot) -> _Metrics:
    """Yields the metrics of TensorFlow Serving."""
    calls = metrics_core.UnknownMetricFamily(
        ":tensorflow:serving:request_count",
        "Calls by how they ended.",
        labels=("model_name", "status"),
    )
    for (model, status), number in requests.num_calls_by_model.items():
        calls.add_metric((model, status), number)
    yield calls
    latency = metrics_core.HistogramMetricFamily(
        ":tensorflow:serving:request_latency",
        "Time of a call that succeeded, in microseconds.",
        labels=_OF_CALL,
    )
    for call, histogram in requests.latency.items():
        _add(latency, (call.model, call.method, call.entrypoint), histogram)
    yield latency
    runtime = metrics_core.HistogramMetricFamily(
        ":tensorflow:serving:runtime_latency",
        "Time of the run of a call that succeeded, in microseconds.",
        labels=("model_name", "API", "runtime"),
    )
    for call, histogram in requests.runtime.items():
        if call.entrypoint == "GRPC":
            _add(runtime, (call.model, call.method, "TF1"), histogram)
    yield runtime
    yield from _of_examples(requests)


def _of_examples(requests: request_metrics.Snapshot) -> _Metrics:
    counts = metrics_core.HistogramMetricFamily(
        ":tensorflow:serving:request_example_counts",
        "Examples of a call.",
        labels=("model",),
    )
    total = metrics_core.UnknownMetricFamily(
        ":tensorflow:serving:request_example_count_total",
        "Examples of all calls.",
        labels=("model",),
    )
    for model, histogram in requests.examples.items():
        _add(counts, (model,), histogram)
        total.add_metric((model,), histogram.total)
    yield counts
    yield total


def _of_requests(requests: request_metrics.Snapshot) -> _Metrics:
    calls = metrics_core.CounterMetricFamily(
        "tensorflow_serving_requests",
        "Calls that had a turn, by how they ended.",
        labels=(*_OF_SUBJECT, "status"),
    )
    for (subject, status), number in requests.num_calls.items():
        calls.add_metric((*_labels(subject), status), number)
    yield calls
    seconds = metrics_core.HistogramMetricFamily(
        "tensorflow_serving_request_duration_seconds",
        "Time of a call that succeeded.",
        labels=_OF_SUBJECT,
    )
    for subject, histogram in requests.seconds.items():
        _add(seconds, _labels(subject), histogram)
    yield seconds


def _of_queues(statistics: Statistics) -> _Metrics:
    """Yields what queues have counted; they go with their version."""
    by_labels = {
        (version.name, str(version.version), signature): found
        for version, by_signature in statistics.items()
        for signature, found in by_signature.items()
    }
    yield from _of_waiting(by_labels)
    yield from _of_batches(by_labels)


def _of_waiting(statistics: _ByLabels) -> _Metrics:
    queued = metrics_core.GaugeMetricFamily(
        "tensorflow_serving_queue_tasks",
        "Calls that wait for their turn.",
        labels=_OF_QUEUE,
    )
    oldest = metrics_core.GaugeMetricFamily(
        "tensorflow_serving_queue_oldest_wait_seconds",
        "How long the first call waits.",
        labels=_OF_QUEUE,
    )
    dropped = metrics_core.CounterMetricFamily(
        "tensorflow_serving_dropped_tasks",
        "Calls that never ran: refused, cancelled, past their deadline.",
        labels=(*_OF_QUEUE, "reason"),
    )
    for labels, found in statistics.items():
        queue = found.scheduler
        queued.add_metric(labels, queue.num_enqueued_tasks)
        oldest.add_metric(labels, queue.oldest_wait_seconds)
        dropped.add_metric((*labels, "refused"), queue.num_refused)
        dropped.add_metric((*labels, "cancelled"), queue.num_cancelled)
        dropped.add_metric((*labels, "deadline"), queue.num_expired)
    yield from (queued, oldest, dropped)


def _of_batches(statistics: _ByLabels) -> _Metrics:
    batches = metrics_core.CounterMetricFamily(
        "tensorflow_serving_batches",
        "Batches, by the reason why they took no more calls.",
        labels=(*_OF_QUEUE, "reason"),
    )
    sizes = metrics_core.HistogramMetricFamily(
        "tensorflow_serving_batch_rows",
        "Rows of a batch, without padding.",
        labels=_OF_QUEUE,
    )
    padding = metrics_core.CounterMetricFamily(
        "tensorflow_serving_padding_rows",
        "Rows that were run to fill batches up.",
        labels=_OF_QUEUE,
    )
    for labels, found in statistics.items():
        queue = found.scheduler
        for reason, number in queue.num_batches_by_reason.items():
            batches.add_metric((*labels, reason.value), number)
        _add(sizes, labels, _sizes(queue.num_batches_by_size))
        padding.add_metric(labels, found.num_padding_rows)
    yield from (batches, sizes, padding)


def _of_loads(loads: load_metrics.Snapshot) -> _Metrics:
    phases = metrics_core.HistogramMetricFamily(
        "tensorflow_serving_load_duration_seconds",
        "Time that a version waited for its load, was loaded, or was unloaded.",
        labels=("model", "phase", "status"),
    )
    for phase, histogram in loads.phases.items():
        _add(phases, (phase.model, phase.name, phase.outcome), histogram)
    yield phases
    states = metrics_core.GaugeMetricFamily(
        "tensorflow_serving_version_state",
        "1 for the state that a version is in.",
        labels=("model", "version", "state"),
    )
    for version, state in loads.states.items():
        states.add_metric((version.name, str(version.version), state.name), 1)
    yield states


def _build_info() -> metrics_core.Metric:
    return metrics_core.InfoMetricFamily(
        "tensorflow_serving_build",
        "What serves.",
        value={
            "version": server_version.VERSION,
            "tensorflow": importlib.metadata.version("tensorflow"),
            "python": platform.python_version(),
        },
    )


def _labels(subject: call_events.Subject) -> tuple[str, ...]:
    return (
        subject.model,
        str(subject.version),
        subject.signature,
        subject.method,
        subject.entrypoint,
    )


def _sizes(num_batches_by_size: Mapping[int, int]) -> histograms.Histogram:
    histogram = histograms.Histogram(request_metrics.EXAMPLES_BOUNDS)
    for size, number in num_batches_by_size.items():
        histogram.add_many(float(size), number)
    return histogram


def _text(bound: float) -> str:
    text: str = prometheus_utils.floatToGoString(bound)  # type: ignore[no-untyped-call]
    return text


def _add(
    family: metrics_core.HistogramMetricFamily,
    labels: tuple[str, ...],
    histogram: histograms.Histogram,
) -> None:
    """Adds a histogram; Prometheus wants counts of all up to a bound."""
    total = 0
    buckets = []
    for bound, count in zip(
        (*histogram.bounds, float("inf")), histogram.counts, strict=True
    ):
        total += count
        buckets.append((_text(bound), total))
    family.add_metric(labels, buckets, histogram.total)
