"""The metrics of a server: those of TensorFlow Serving, and more.

Example:
    metrics = prometheus_metrics.PrometheusMetrics(sources)
    metric_families.text(metrics.families())

Metrics of our own begin with tensorflow_serving_.
"""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from tensorflow_serving.batching import batching_session, run_size
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    call_events,
    histograms,
    load_metrics,
    metric_families,
    original_metrics,
    other_calls,
    process_metrics,
    request_metrics,
    served_models,
    server_version,
    warm_up_metrics,
)

_OF_SUBJECT: Final = ("model", "version", "signature", "method", "entrypoint")
_OF_QUEUE: Final = ("model", "version", "signature")

_ByLabels = Mapping[tuple[str, str, str], batching_session.Statistics]
_Families = Iterator[metric_families.Family]


@dataclasses.dataclass(frozen=True)
class Sources:
    """Whatever counts; it is read each time anew."""

    requests: request_metrics.RequestMetrics
    other_calls: other_calls.OtherCalls
    loads: load_metrics.LoadMetrics
    warm_ups: warm_up_metrics.WarmUpMetrics
    # Returns the statistics of the queue of each signature, by its version and
    # its name.
    statistics: Callable[[], served_models.Statistics]
    # Returns how many runs of all versions there ever were.
    num_runs: Callable[[], Mapping[run_size.RunSize, int]]
    # Returns the states of versions.
    states: Callable[[], Iterable[servable.ServableState]]
    thread_pool_name: str
    # Returns how many calls were to be logged, by model and by the name of the
    # status of that.
    num_logged: Callable[[], Mapping[tuple[str, str], int]]


class PrometheusMetrics:
    """Collects the metrics of a process. Thread-safe."""

    def __init__(self, sources: Sources) -> None:
        """Takes whatever counts."""
        self._sources = sources
        # Reads files of the packages, so not each time.
        self._build_info = _build_info()

    def families(self) -> Sequence[metric_families.Family]:
        """Returns all metrics."""
        sources = self._sources
        requests = sources.requests.snapshot()
        return [
            *original_metrics.of_requests(requests),
            *original_metrics.of_batches(
                requests, sources.num_runs(), sources.thread_pool_name
            ),
            *original_metrics.of_warm_ups(sources.warm_ups.snapshot()),
            original_metrics.of_log(sources.num_logged()),
            *_of_requests(requests),
            _of_other_calls(sources.other_calls.snapshot()),
            *_of_queues(sources.statistics()),
            _of_loads(sources.loads.snapshot()),
            _of_states(sources.states()),
            self._build_info,
            *process_metrics.families(),
        ]


def _of_requests(requests: request_metrics.Snapshot) -> _Families:
    calls = metric_families.Family(
        "tensorflow_serving_requests_total",
        "counter",
        "Calls that had a turn, by how they ended.",
        (*_OF_SUBJECT, "status"),
    )
    for (subject, status), number in requests.num_calls.items():
        calls.add((*_labels(subject), status), number)
    yield calls
    seconds = metric_families.Family(
        "tensorflow_serving_request_duration_seconds",
        "histogram",
        "Time of a call that succeeded.",
        _OF_SUBJECT,
        bounds=request_metrics.SECONDS_BOUNDS,
    )
    for subject, histogram in requests.seconds.items():
        seconds.add_histogram(_labels(subject), histogram)
    yield seconds


def _of_other_calls(
    num_calls: Mapping[other_calls.Key, int],
) -> metric_families.Family:
    family = metric_families.Family(
        "tensorflow_serving_other_calls_total",
        "counter",
        "Calls that do not run a model, or were refused before they could.",
        ("entrypoint", "method", "status"),
    )
    for labels, number in num_calls.items():
        family.add(labels, number)
    return family


def _of_queues(statistics: served_models.Statistics) -> _Families:
    """Yields what queues have counted; they go with their version."""
    by_labels = {
        (version.name, str(version.version), signature): found
        for version, by_signature in statistics.items()
        for signature, found in by_signature.items()
    }
    yield from _of_waiting(by_labels)
    yield from _of_batches(by_labels)


def _of_waiting(statistics: _ByLabels) -> _Families:
    queued = metric_families.Family(
        "tensorflow_serving_queue_tasks",
        "gauge",
        "Calls that wait for their turn.",
        _OF_QUEUE,
    )
    oldest = metric_families.Family(
        "tensorflow_serving_queue_oldest_wait_seconds",
        "gauge",
        "How long the first call waits.",
        _OF_QUEUE,
        metric_families.Combine.MAX,
    )
    running = metric_families.Family(
        "tensorflow_serving_oldest_run_seconds",
        "gauge",
        "How long the oldest run that has not ended takes already.",
        _OF_QUEUE,
        metric_families.Combine.MAX,
    )
    dropped = metric_families.Family(
        "tensorflow_serving_dropped_tasks_total",
        "counter",
        "Calls that never ran: refused, cancelled, past their deadline.",
        (*_OF_QUEUE, "reason"),
    )
    for labels, found in statistics.items():
        queue = found.scheduler
        queued.add(labels, queue.num_enqueued_tasks)
        oldest.add(labels, queue.oldest_wait_seconds)
        running.add(labels, queue.oldest_run_seconds)
        dropped.add((*labels, "refused"), queue.num_refused)
        dropped.add((*labels, "cancelled"), queue.num_cancelled)
        dropped.add((*labels, "deadline"), queue.num_expired)
    yield from (queued, oldest, running, dropped)


def _of_batches(statistics: _ByLabels) -> _Families:
    batches = metric_families.Family(
        "tensorflow_serving_batches_total",
        "counter",
        "Batches, by the reason why they took no more calls.",
        (*_OF_QUEUE, "reason"),
    )
    sizes = metric_families.Family(
        "tensorflow_serving_batch_rows",
        "histogram",
        "Rows of a run, without padding.",
        _OF_QUEUE,
        bounds=request_metrics.EXAMPLES_BOUNDS,
    )
    padding = metric_families.Family(
        "tensorflow_serving_padding_rows_total",
        "counter",
        "Rows that were run to fill batches up.",
        _OF_QUEUE,
    )
    for labels, found in statistics.items():
        queue = found.scheduler
        for reason, number in queue.num_batches_by_reason.items():
            batches.add((*labels, reason.value), number)
        sizes.add_histogram(labels, _sizes(found.num_runs))
        padding.add(labels, found.num_padding_rows)
    yield from (batches, sizes, padding)


def _of_loads(
    loads: Mapping[load_metrics.Phase, histograms.Histogram],
) -> metric_families.Family:
    phases = metric_families.Family(
        "tensorflow_serving_load_duration_seconds",
        "histogram",
        "Time that a version waited for its load, was loaded, or was unloaded.",
        ("model", "phase", "status"),
        bounds=load_metrics.SECONDS_BOUNDS,
    )
    for phase, histogram in loads.items():
        phases.add_histogram(
            (phase.model, phase.name, phase.outcome), histogram
        )
    return phases


def _of_states(
    states: Iterable[servable.ServableState],
) -> metric_families.Family:
    family = metric_families.Family(
        "tensorflow_serving_version_state",
        "gauge",
        "1 for the state that a version is in, until it has ended.",
        ("model", "version", "state"),
        metric_families.Combine.MAX,
    )
    for each in states:
        if each.manager_state is not servable.ManagerState.END:
            state = each.manager_state.name
            family.add((each.id.name, str(each.id.version), state), 1)
    return family


def _build_info() -> metric_families.Family:
    family = metric_families.Family(
        "tensorflow_serving_build_info",
        "gauge",
        "1, with the versions of all that serves.",
        ("version", "tensorflow", "python"),
        metric_families.Combine.MAX,
    )
    family.add(
        (
            server_version.VERSION,
            importlib.metadata.version("tensorflow"),
            platform.python_version(),
        ),
        1,
    )
    return family


def _labels(subject: call_events.Subject) -> metric_families.Labels:
    return (
        subject.model,
        str(subject.version),
        subject.signature,
        subject.method,
        subject.entrypoint,
    )


def _sizes(num_runs: Mapping[run_size.RunSize, int]) -> histograms.Histogram:
    histogram = histograms.Histogram(request_metrics.EXAMPLES_BOUNDS)
    for size, number in num_runs.items():
        histogram.add_many(float(size.num_rows), number)
    return histogram
