"""The metrics of TensorFlow Serving, with its names, labels and buckets.

Slashes in the names of the original become colons.

Example:
    metric_families.text(original_metrics.of_requests(requests.snapshot()))
"""

from collections.abc import Iterator, Mapping
from typing import Final

from tensorflow_serving.batching import run_size
from tensorflow_serving.model_servers import (
    histograms,
    metric_families,
    request_metrics,
    warm_up_metrics,
)

_OF_CALL: Final = ("model_name", "API", "entrypoint")
_OF_WARM_UP: Final = ("model_path", "status")
_BATCHING: Final = ":tensorflow:serving:batching_session"

_Families = Iterator[metric_families.Family]


def of_requests(requests: request_metrics.Snapshot) -> _Families:
    """Yields the metrics of calls."""
    calls = metric_families.Family(
        ":tensorflow:serving:request_count",
        "counter",
        "Calls by how they ended.",
        ("model_name", "status"),
    )
    for labels, number in requests.num_calls_by_model.items():
        calls.add(labels, number)
    yield calls
    latency = metric_families.Family(
        ":tensorflow:serving:request_latency",
        "histogram",
        "Time of a call that succeeded, in microseconds.",
        _OF_CALL,
        bounds=request_metrics.LATENCY_BOUNDS,
    )
    for call, histogram in requests.latency.items():
        latency.add_histogram(
            (call.model, _api(call), call.entrypoint), histogram
        )
    yield latency
    runtime = metric_families.Family(
        ":tensorflow:serving:runtime_latency",
        "histogram",
        "Time of the run of a call that succeeded, in microseconds.",
        ("model_name", "API", "runtime"),
        bounds=request_metrics.LATENCY_BOUNDS,
    )
    for call, histogram in requests.runtime.items():
        runtime.add_histogram((call.model, call.method, "TF1"), histogram)
    yield runtime
    yield from _of_examples(requests)


def _api(call: request_metrics.ModelCall) -> str:
    """Returns a method as the original names it in the latency of calls."""
    return call.method.lower() if call.entrypoint == "REST" else call.method


def _of_examples(requests: request_metrics.Snapshot) -> _Families:
    counts = metric_families.Family(
        ":tensorflow:serving:request_example_counts",
        "histogram",
        "Examples of a call.",
        ("model",),
        bounds=request_metrics.EXAMPLES_BOUNDS,
    )
    total = metric_families.Family(
        ":tensorflow:serving:request_example_count_total",
        "counter",
        "Examples of all calls.",
        ("model",),
    )
    for model, histogram in requests.examples.items():
        counts.add_histogram((model,), histogram)
        total.add((model,), histogram.total)
    yield counts
    yield total


def of_batches(
    requests: request_metrics.Snapshot,
    num_runs: Mapping[run_size.RunSize, int],
    thread_pool_name: str,
) -> _Families:
    """Yields the metrics of a batching session, which all models share."""
    queuing = metric_families.Family(
        f"{_BATCHING}:queuing_latency",
        "histogram",
        "Time that a call that succeeded waited for a run, in microseconds.",
        ("thread_pool_name",),
        bounds=request_metrics.QUEUING_BOUNDS,
    )
    queuing.add_histogram((thread_pool_name,), requests.queuing)
    yield queuing
    runs = metric_families.Family(
        f"{_BATCHING}:wrapped_run_count", "counter", "Runs that did not fail."
    )
    runs.add((), sum(num_runs.values()))
    yield runs
    inputs = _of_rows("input_batch_size", "Rows of a call.")
    inputs.add_histogram((), requests.input_rows)
    yield inputs
    processed = _of_rows("processed_batch_size", "Rows of a run, with padding.")
    histogram = histograms.Histogram(request_metrics.ROWS_BOUNDS)
    for size, number in num_runs.items():
        histogram.add_many(float(_padded(size)), number)
    processed.add_histogram((), histogram)
    yield processed
    yield _of_padding(num_runs)


def _of_padding(
    num_runs: Mapping[run_size.RunSize, int],
) -> metric_families.Family:
    """Returns how often runs of a size to which they are padded were padded."""
    padding = _of_rows(
        "padding_size",
        "Rows of a run that only fill it up.",
        ("execution_batch_size",),
    )
    padded = {_padded(size) for size in num_runs if size.num_padding_rows}
    found = histograms.Histograms[int](request_metrics.ROWS_BOUNDS)
    for size, number in num_runs.items():
        if _padded(size) in padded:
            found[_padded(size)].add_many(float(size.num_padding_rows), number)
    for num_rows, histogram in found.items():
        padding.add_histogram((str(num_rows),), histogram)
    return padding


def _padded(size: run_size.RunSize) -> int:
    return size.num_rows + size.num_padding_rows


def _of_rows(
    name: str, explanation: str, labels: metric_families.Labels = ()
) -> metric_families.Family:
    return metric_families.Family(
        f"{_BATCHING}:{name}",
        "histogram",
        explanation,
        labels,
        bounds=request_metrics.ROWS_BOUNDS,
    )


def of_warm_ups(
    warm_ups: Mapping[warm_up_metrics.WarmUp, warm_up_metrics.Count],
) -> _Families:
    """Yields the metrics of warm-ups."""
    latency = metric_families.Family(
        ":tensorflow:serving:model_warmup_latency",
        "histogram",
        "Time of the warm-up of a version, in microseconds.",
        _OF_WARM_UP,
        bounds=request_metrics.LATENCY_BOUNDS,
    )
    records = metric_families.Family(
        ":tensorflow:serving:model_warmup_records_read",
        "counter",
        "Requests that warm-ups have read.",
        _OF_WARM_UP,
    )
    for key, count in warm_ups.items():
        latency.add_histogram((key.path, key.status), count.latency)
        records.add((key.path, key.status), count.num_requests)
    yield from (latency, records)


def of_log(
    num_logged: Mapping[tuple[str, str], int],
) -> metric_families.Family:
    """Returns the metric of calls that were to be logged."""
    family = metric_families.Family(
        ":tensorflow:serving:request_log_count",
        "counter",
        "Calls that were to be logged, by what became of that.",
        ("model_name", "status_code"),
    )
    for labels, number in num_logged.items():
        family.add(labels, number)
    return family
