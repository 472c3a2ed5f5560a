"""Tests for prometheus_metrics."""

import types
from collections.abc import Sequence
from typing import Any

from absl.testing import absltest
from prometheus_client import parser

from tensorflow_serving.batching import (
    batch_scheduler,
    batching_session,
    run_size,
    run_timing,
)
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    call_events,
    load_metrics,
    metric_families,
    other_calls,
    prometheus_metrics,
    request_metrics,
    served_models,
    warm_up_metrics,
)
from tensorflow_serving.servables.tensorflow import model_warm_up
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import clock, errors, event_bus

_VERSION = servable.ServableId("m", 3)
_SUBJECT = call_events.Subject("GRPC", "Predict", "m", 3, "s")
_QUEUE = {"model": "m", "version": "3", "signature": "s"}
_RUNS = {run_size.RunSize(1, 0): 2, run_size.RunSize(60, 4): 1_000_000}


def _other_calls() -> other_calls.OtherCalls:
    found = other_calls.OtherCalls()
    for _ in range(3):
        found.call_refused("/no/method", (), errors.UnauthenticatedError("key"))
    return found


def _warm_ups() -> warm_up_metrics.WarmUpMetrics:
    metrics = warm_up_metrics.WarmUpMetrics(fake_clock.FakeClock())
    with metrics.measuring("/models/m/3") as ended:
        ended(model_warm_up.Outcome(7, None))
    return metrics


def _statistics() -> served_models.Statistics:
    scheduler = batch_scheduler.Statistics(
        num_enqueued_tasks=5,
        oldest_wait_seconds=0.25,
        oldest_run_seconds=1.5,
        num_batches_by_reason={batch_scheduler.CloseReason.FULL: 7},
        num_refused=1,
        num_expired=2,
        num_cancelled=3,
    )
    return {
        _VERSION: {
            "s": batching_session.Statistics(scheduler, 100, 9, 0, 0, _RUNS)
        }
    }


def _states() -> Sequence[servable.ServableState]:
    return [
        servable.ServableState(
            servable.ServableId("m", version), servable.ManagerState[state]
        )
        for version, state in ((2, "END"), (3, "AVAILABLE"))
    ]


class PrometheusMetricsTest(absltest.TestCase):
    """The text, read as Prometheus reads it."""

    def setUp(self) -> None:
        """Counts two calls that succeed, and one that does not."""
        super().setUp()
        requests = request_metrics.RequestMetrics()
        bus = event_bus.EventBus[servable.ServableState]()
        loads = load_metrics.LoadMetrics(bus)
        now = clock.MONOTONIC.now()
        task: Any = types.SimpleNamespace(arrival_time=now - 1, num_rows=1)
        requests.succeeded(
            _SUBJECT, [task] * 2, run_timing.RunTiming(2, 0, 0.0, 0.0, 0.5)
        )
        requests.failed(_SUBJECT, [task], errors.InternalError("bug"))
        for state in (
            servable.ManagerState.LOADING,
            servable.ManagerState.AVAILABLE,
        ):
            bus.publish(servable.ServableState(_VERSION, state))
        self.text = metric_families.text(
            prometheus_metrics.PrometheusMetrics(
                prometheus_metrics.Sources(
                    requests,
                    _other_calls(),
                    loads,
                    _warm_ups(),
                    _statistics,
                    lambda: _RUNS,
                    _states,
                    "threads",
                    lambda: {("m", "OK"): 8, ("m", "UNAVAILABLE"): 1},
                )
            ).families()
        )
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parser.text_string_to_metric_families(
                self.text.decode()
            )
            for sample in family.samples
        }

    def test_calls_that_run_no_model_are_counted(self) -> None:
        """A method that there is not has no name."""
        labels = {
            "entrypoint": "GRPC",
            "method": "",
            "status": "UNAUTHENTICATED",
        }
        self.assertEqual(
            self._value("tensorflow_serving_other_calls_total", **labels), 3
        )

    def _value(self, name: str, **labels: str) -> float:
        return self.samples[name, tuple(sorted(labels.items()))]

    def test_counts_of_the_original_have_its_names(self) -> None:
        """A counter has no _total, and yet its type."""
        self.assertIn(
            b"# TYPE :tensorflow:serving:request_count counter\n", self.text
        )
        for status, number in (("OK", 2), ("INTERNAL", 1)):
            self.assertIn(
                ':tensorflow:serving:request_count{model_name="m",'
                f'status="{status}"}} {number}\n',
                self.text.decode(),
            )

    def test_latencies_of_the_original_have_its_buckets(self) -> None:
        """The bounds are 10 * 1.8**k microseconds, and the counts add up."""
        self.assertIn(
            b"# TYPE :tensorflow:serving:request_latency histogram\n", self.text
        )
        labels = {"model_name": "m", "API": "Predict", "entrypoint": "GRPC"}
        name = ":tensorflow:serving:request_latency"
        bucket = f"{name}_bucket"
        self.assertEqual(self._value(bucket, le="10", **labels), 0)
        self.assertEqual(self._value(bucket, le="18", **labels), 0)
        self.assertEqual(self._value(bucket, le="188.957", **labels), 0)
        self.assertEqual(self._value(bucket, le="1.47476e+09", **labels), 2)
        self.assertEqual(self._value(bucket, le="+Inf", **labels), 2)
        self.assertEqual(self._value(f"{name}_count", **labels), 2)
        self.assertGreater(self._value(f"{name}_sum", **labels), 2e6)
        self.assertEqual(sum(key[0] == bucket for key in self.samples), 33 + 1)
        self.assertEqual(
            self._value(
                ":tensorflow:serving:runtime_latency_sum",
                model_name="m",
                API="Predict",
                runtime="TF1",
            ),
            1e6,
        )

    def test_batches_of_the_original_are_those_of_all_models(self) -> None:
        """The size of a run is that with its padding."""
        for name, labels, expected in (
            ("queuing_latency_count", {"thread_pool_name": "threads"}, 2),
            ("wrapped_run_count_total", {}, 1_000_002),
            ("input_batch_size_count", {}, 2),
            ("input_batch_size_sum", {}, 2),
            ("processed_batch_size_sum", {}, 64_000_002),
            ("processed_batch_size_bucket", {"le": "32"}, 2),
            ("padding_size_sum", {"execution_batch_size": "64"}, 4_000_000),
        ):
            with self.subTest(name):
                self.assertEqual(
                    self._value(
                        f":tensorflow:serving:batching_session:{name}", **labels
                    ),
                    expected,
                )
        self.assertNotIn('execution_batch_size="1"', self.text.decode())

    def test_logged_calls_have_the_status_of_their_log(self) -> None:
        """It is another one than that of the call."""
        for status_code, expected in (("OK", 8), ("UNAVAILABLE", 1)):
            value = self._value(
                # The parser gives this end to all counters.
                ":tensorflow:serving:request_log_count_total",
                model_name="m",
                status_code=status_code,
            )
            self.assertEqual(value, expected)

    def test_warm_ups_have_the_folder_of_their_version(self) -> None:
        """Their time and their requests are counted."""
        labels = {"model_path": "/models/m/3", "status": "OK"}
        for name, expected in (
            ("model_warmup_latency_count", 1),
            ("model_warmup_records_read_total", 7),
        ):
            self.assertEqual(
                self._value(f":tensorflow:serving:{name}", **labels), expected
            )

    def test_calls_are_counted_by_version_and_signature(self) -> None:
        """Metrics of our own have more labels."""
        labels = {**_QUEUE, "method": "Predict", "entrypoint": "GRPC"}
        self.assertEqual(
            self._value(
                "tensorflow_serving_requests_total", status="OK", **labels
            ),
            2,
        )
        self.assertEqual(
            self._value(
                "tensorflow_serving_request_duration_seconds_count", **labels
            ),
            2,
        )

    def test_queues_show_what_waits_and_why_batches_closed(self) -> None:
        """The counts are those of the statistics."""
        for name, more, expected in (
            ("queue_tasks", {}, 5),
            ("queue_oldest_wait_seconds", {}, 0.25),
            ("oldest_run_seconds", {}, 1.5),
            ("batches_total", {"reason": "full"}, 7),
            ("batch_rows_count", {}, 1_000_002),
            ("batch_rows_sum", {}, 60_000_002),
            ("padding_rows_total", {}, 9),
            ("dropped_tasks_total", {"reason": "refused"}, 1),
            ("dropped_tasks_total", {"reason": "deadline"}, 2),
            ("dropped_tasks_total", {"reason": "cancelled"}, 3),
        ):
            with self.subTest(name, **more):
                self.assertEqual(
                    self._value(f"tensorflow_serving_{name}", **_QUEUE, **more),
                    expected,
                )

    def test_loads_and_states_are_shown(self) -> None:
        """A version that has not ended has a state, and its load a time."""
        self.assertEqual(
            self._value(
                "tensorflow_serving_load_duration_seconds_count",
                model="m",
                phase="load",
                status="OK",
            ),
            1,
        )
        self.assertEqual(
            self._value(
                "tensorflow_serving_version_state",
                model="m",
                version="3",
                state="AVAILABLE",
            ),
            1,
        )
        self.assertNotIn(
            "END", {dict(labels).get("state") for _, labels in self.samples}
        )

    def test_process_and_build_are_shown(self) -> None:
        """A dashboard can tell which server it shows, and its memory."""
        names = {name for name, _ in self.samples}
        self.assertIn("tensorflow_serving_build_info", names)
        self.assertIn("process_resident_memory_bytes", names)


if __name__ == "__main__":
    absltest.main()
