"""Counts of calls: how many, how they ended, and how long they took.

Example:
    metrics = request_metrics.RequestMetrics()
    listeners = call_events.Listeners([metrics])
    prediction_service.PredictionService(core, listeners)
    metrics.snapshot()

Counts of a model stay until somebody says that it is gone; counts of a version
go when many others of the model have been called since its last call.
"""

import collections
import dataclasses
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.model_servers import call_events, histograms
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_MICROS: Final = 1e6
# Upper bounds. Those of TensorFlow Serving: of its latencies and its times in
# queues, in microseconds, and of its counts of rows and of examples; the last
# bucket has no bound.
LATENCY_BOUNDS: Final = tuple(10 * 1.8**power for power in range(33))
QUEUING_BOUNDS: Final = tuple(100 * 1.2**power for power in range(52))
ROWS_BOUNDS: Final = tuple(float(2**power) for power in range(14))
EXAMPLES_BOUNDS: Final = tuple(float(2**power) for power in range(15))
# In seconds: 0.1 ms to 26 s.
SECONDS_BOUNDS: Final = tuple(1e-4 * 2**power for power in range(19))

# How many calls wait to be counted.
_MAX_PENDING: Final = 256
# How many versions of a model have counts.
_MAX_VERSIONS: Final = 8


@dataclasses.dataclass(frozen=True)
class ModelCall:
    """The labels of TensorFlow Serving's metrics of calls."""

    model: str
    method: str
    entrypoint: str


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All counts at one time."""

    # The name of the status is the second part of the key.
    num_calls_by_model: Mapping[tuple[str, str], int]
    # In microseconds; of calls that succeeded.
    latency: Mapping[ModelCall, histograms.Histogram]
    runtime: Mapping[ModelCall, histograms.Histogram]
    # The time of calls in their queues, in microseconds.
    queuing: histograms.Histogram
    # The rows of each call.
    input_rows: histograms.Histogram
    # The examples of each call of Classify, Regress and MultiInference.
    examples: Mapping[str, histograms.Histogram]
    # The name of the status is the second part of the key.
    num_calls: Mapping[tuple[call_events.Subject, str], int]
    # In seconds; of calls that succeeded.
    seconds: Mapping[call_events.Subject, histograms.Histogram]


class RequestMetrics:
    """Counts calls, as a listener of call_events. Thread-safe."""

    def __init__(self, clock: clock_lib.Clock = clock_lib.MONOTONIC) -> None:
        """Starts with no calls.

        Args:
          clock: The one of the batching sessions.
        """
        self._clock = clock
        self._lock = threading.Lock()
        # Calls that have succeeded and are not counted yet: their seconds in
        # all, in a queue and in a run, and their rows. To count many at once
        # takes a fraction of the time. Both ends are safe without a lock.
        self._pending: Final[
            collections.deque[
                tuple[call_events.Subject, float, float, float, int]
            ]
        ] = collections.deque()
        # All guarded by _lock.
        self._num_calls_by_model: collections.Counter[tuple[str, str]] = (
            collections.Counter()
        )
        self._latency = histograms.Histograms[ModelCall](LATENCY_BOUNDS)
        self._runtime = histograms.Histograms[ModelCall](LATENCY_BOUNDS)
        self._queuing = histograms.Histogram(QUEUING_BOUNDS)
        self._input_rows = histograms.Histogram(ROWS_BOUNDS)
        self._examples = histograms.Histograms[str](EXAMPLES_BOUNDS)
        self._num_calls: collections.Counter[
            tuple[call_events.Subject, str]
        ] = collections.Counter()
        self._seconds = histograms.Histograms[call_events.Subject](
            SECONDS_BOUNDS
        )
        # The subjects with counts, by model and version; versions in the order
        # of their last calls.
        self._subjects: dict[str, dict[int, set[call_events.Subject]]] = {}

    def succeeded(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        timing: run_timing.RunTiming,
    ) -> None:
        """See call_events.Listener."""
        now = self._clock.now()
        taken = timing.taken_time
        run_seconds = timing.end_time - timing.start_time
        self._pending.extend(
            [
                (
                    subject,
                    now - task.arrival_time,
                    taken - task.arrival_time,
                    run_seconds,
                    task.num_rows,
                )
                for task in tasks
            ]
        )
        # A snapshot may have the lock for 10 ms, and counts them next time.
        if len(self._pending) >= _MAX_PENDING and self._lock.acquire(
            blocking=False
        ):
            try:
                self._count_pending()
            finally:
                self._lock.release()

    def failed(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See call_events.Listener."""
        with self._lock:
            self._count(subject, error.code.name, len(tasks))
            self._forget_old_versions(subject.model)

    def refused(
        self, call: call_events.Refused, error: errors.ServingError
    ) -> None:
        """See call_events.Listener."""
        with self._lock:
            self._num_calls_by_model[call.model, error.code.name] += 1

    def snapshot(self) -> Snapshot:
        """Returns all counts."""
        with self._lock:
            self._count_pending()
            return Snapshot(
                dict(self._num_calls_by_model),
                self._latency.copies(),
                self._runtime.copies(),
                self._queuing.copy(),
                self._input_rows.copy(),
                self._examples.copies(),
                dict(self._num_calls),
                self._seconds.copies(),
            )

    def forget_others(self, models: Collection[str]) -> None:
        """Forgets the counts of all models but some.

        Calls that name no model stay.
        """
        kept = {"", *models}
        with self._lock:
            self._count_pending()
            for model in self._subjects.keys() - kept:
                for subjects in self._subjects.pop(model).values():
                    self._forget(subjects)
            for counts in (self._latency, self._runtime):
                for call in [each for each in counts if each.model not in kept]:
                    del counts[call]
            for name in self._examples.keys() - kept:
                del self._examples[name]
            for key in [
                key for key in self._num_calls_by_model if key[0] not in kept
            ]:
                del self._num_calls_by_model[key]

    def _count_pending(self) -> None:
        """Counts the calls that have succeeded; needs the lock."""
        pending = [self._pending.popleft() for _ in range(len(self._pending))]
        # Backwards twice: the subjects come in the order of their last calls.
        by_subject = collections.defaultdict(list)
        for subject, *values in reversed(pending):
            by_subject[subject].append(values)
        for subject, calls in reversed(by_subject.items()):
            self._count_calls(subject, [*map(list, zip(*calls, strict=True))])
        for model in {subject.model for subject in by_subject}:
            self._forget_old_versions(model)

    def _count_calls(
        self, subject: call_events.Subject, values: Sequence[list[float]]
    ) -> None:
        """Counts calls of a subject that have succeeded; needs the lock."""
        seconds, queue_seconds, run_seconds, num_rows = values
        call = ModelCall(subject.model, subject.method, subject.entrypoint)
        self._count(subject, "OK", len(seconds))
        self._seconds[subject].add(seconds)
        self._latency[call].add(_micros(seconds))
        self._runtime[call].add(_micros(run_seconds))
        self._queuing.add(_micros(queue_seconds))
        self._input_rows.add(num_rows)
        if subject.method != "Predict":
            self._examples[subject.model].add(num_rows)

    def _count(
        self, subject: call_events.Subject, status: str, num_calls: int
    ) -> None:
        """Counts calls of a subject; needs the lock."""
        versions = self._subjects.setdefault(subject.model, {})
        subjects = versions.pop(subject.version, set())
        versions[subject.version] = subjects
        if subject not in self._seconds:
            self._seconds[subject]
            subjects.add(subject)
        self._num_calls_by_model[subject.model, status] += num_calls
        self._num_calls[subject, status] += num_calls

    def _forget_old_versions(self, model: str) -> None:
        """Forgets those called longest ago, if many are; needs the lock."""
        versions = self._subjects[model]
        while len(versions) > _MAX_VERSIONS:
            self._forget(versions.pop(next(iter(versions))))

    def _forget(self, subjects: Collection[call_events.Subject]) -> None:
        """Forgets the counts of subjects; needs the lock."""
        for each in subjects:
            del self._seconds[each]
        for key in [key for key in self._num_calls if key[0] in subjects]:
            del self._num_calls[key]


def _micros(seconds: Sequence[float]) -> list[float]:
    return [each * _MICROS for each in seconds]
