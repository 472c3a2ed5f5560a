"""Tests for request_metrics."""

import threading
import types
from typing import Any

from absl.testing import absltest

from tensorflow_serving.batching import run_timing
from tensorflow_serving.model_servers import call_events, request_metrics
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_TIMING = run_timing.RunTiming(2, 0, 9.95, 1.0, 1.002)


def _subject(version: int = 1, method: str = "Predict") -> call_events.Subject:
    return call_events.Subject("GRPC", method, "m", version, "s")


def _task(arrival_time: float, num_rows: int = 1) -> Any:
    return types.SimpleNamespace(arrival_time=arrival_time, num_rows=num_rows)


class RequestMetricsTest(absltest.TestCase):
    """Counts at a time of 10 s."""

    def setUp(self) -> None:
        """Moves the clock."""
        super().setUp()
        clock = fake_clock.FakeClock()
        clock.advance_micros(10_000_000)
        self.metrics = request_metrics.RequestMetrics(clock)

    def test_calls_that_succeed_have_times(self) -> None:
        """A call took until now from its arrival, and its batch ran 2 ms."""
        self.metrics.succeeded(_subject(), [_task(9.9), _task(9.5)], _TIMING)
        found = self.metrics.snapshot()
        self.assertEqual(found.num_calls_by_model, {("m", "OK"): 2})
        self.assertEqual(found.num_calls, {(_subject(), "OK"): 2})
        call = request_metrics.ModelCall("m", "Predict", "GRPC")
        self.assertAlmostEqual(found.latency[call].total, 600_000, delta=1)
        self.assertAlmostEqual(found.runtime[call].total, 4_000, delta=1)
        self.assertAlmostEqual(found.queuing.total, 500_000, delta=1)
        self.assertEqual(found.input_rows.total, 2)
        self.assertAlmostEqual(found.seconds[_subject()].total, 0.6)
        self.assertEqual(found.examples, {})

    def test_examples_are_counted_for_methods_that_take_them(self) -> None:
        """Each row of a call of Classify is an example."""
        subject = _subject(method="Classify")
        self.metrics.succeeded(subject, [_task(9, 3), _task(9, 5)], _TIMING)
        examples = self.metrics.snapshot().examples["m"]
        self.assertEqual((examples.total, sum(examples.counts)), (8, 2))

    def test_calls_that_fail_have_the_status_of_their_error(self) -> None:
        """A call that failed or was refused has no time."""
        self.metrics.failed(
            _subject(), [_task(9)], errors.DeadlineExceededError("late")
        )
        self.metrics.refused(
            call_events.Refused("GRPC", "Predict", ""),
            errors.NotFoundError("unknown"),
        )
        found = self.metrics.snapshot()
        self.assertEqual(
            found.num_calls_by_model,
            {("m", "DEADLINE_EXCEEDED"): 1, ("", "NOT_FOUND"): 1},
        )
        self.assertEqual(
            found.num_calls, {(_subject(), "DEADLINE_EXCEEDED"): 1}
        )
        self.assertEqual(found.latency, {})

    def test_calls_of_many_subjects_are_counted_apart(self) -> None:
        """Each is counted, however many come between two looks."""
        for number in range(1000):
            for version in (1, 2):
                self.metrics.succeeded(
                    _subject(version), [_task(9.0)] * version, _TIMING
                )
            if number == 500:
                self.metrics.snapshot()
        found = self.metrics.snapshot()
        for version in (1, 2):
            subject = _subject(version)
            self.assertEqual(found.num_calls[subject, "OK"], 1000 * version)
            self.assertEqual(sum(found.seconds[subject].counts), 1000 * version)
            self.assertAlmostEqual(found.seconds[subject].total, 1000 * version)
        self.assertEqual(found.num_calls_by_model, {("m", "OK"): 3000})

    def test_calls_of_several_threads_are_all_counted(self) -> None:
        """Whoever looks meanwhile neither loses nor doubles a call."""
        is_over = threading.Event()

        def look() -> None:
            while not is_over.is_set():
                self.metrics.snapshot()

        def count() -> None:
            for _ in range(5000):
                self.metrics.succeeded(_subject(), [_task(9.0)], _TIMING)

        threads = [threading.Thread(target=count) for _ in range(4)]
        looking = threading.Thread(target=look)
        for thread in (looking, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        is_over.set()
        looking.join()
        found = self.metrics.snapshot()
        self.assertEqual(found.num_calls, {(_subject(), "OK"): 20_000})
        self.assertEqual(sum(found.seconds[_subject()].counts), 20_000)

    def test_counts_of_models_that_are_gone_go(self) -> None:
        """Other models keep theirs, and so do calls that name no model."""
        gone = call_events.Subject("REST", "Classify", "gone", 1, "s")
        for subject in (_subject(), gone):
            self.metrics.succeeded(subject, [_task(9)], _TIMING)
            self.metrics.failed(subject, [_task(9)], errors.InternalError("b"))
        self.metrics.refused(
            call_events.Refused("GRPC", "Predict", ""),
            errors.NotFoundError("unknown"),
        )
        before = self.metrics.snapshot()
        self.metrics.forget_others(["m", "gone"])
        self.assertEqual(self.metrics.snapshot().num_calls, before.num_calls)
        self.metrics.forget_others(["m", "new"])
        found = self.metrics.snapshot()
        self.assertEqual(
            found.num_calls_by_model,
            {("m", "OK"): 1, ("m", "INTERNAL"): 1, ("", "NOT_FOUND"): 1},
        )
        self.assertEqual({key.model for key in found.latency}, {"m"})
        self.assertEqual({key.model for key in found.runtime}, {"m"})
        self.assertEqual(found.examples, {})
        self.assertEqual([*found.seconds], [_subject()])
        self.assertEqual({key for key, _ in found.num_calls}, {_subject()})
        self.metrics.succeeded(gone, [_task(9)], _TIMING)
        self.assertEqual(self.metrics.snapshot().num_calls[gone, "OK"], 1)

    def test_counts_of_old_versions_go(self) -> None:
        """A thousand versions have as many counts as eight."""
        for version in range(1, 1001):
            self.metrics.succeeded(_subject(version), [_task(9)], _TIMING)
        found = self.metrics.snapshot()
        self.assertEqual(
            sorted(subject.version for subject in found.seconds),
            list(range(993, 1001)),
        )
        self.assertEqual(len(found.num_calls), 8)
        self.assertEqual(found.num_calls_by_model, {("m", "OK"): 1000})

    def test_counts_of_the_version_called_longest_ago_go(self) -> None:
        """A version that is called again and again keeps its counts."""
        for version in range(1, 1001):
            for each in (version, 1):
                self.metrics.succeeded(_subject(each), [_task(9)], _TIMING)
        found = self.metrics.snapshot()
        self.assertEqual(
            sorted(subject.version for subject in found.seconds),
            [1, *range(994, 1001)],
        )
        self.assertEqual(found.num_calls[_subject(1), "OK"], 1001)
        self.metrics.failed(
            _subject(994), [_task(9)], errors.InternalError("bad")
        )
        self.metrics.succeeded(_subject(2000), [_task(9)], _TIMING)
        self.assertEqual(
            {subject.version for subject in self.metrics.snapshot().seconds},
            {1, 994, *range(996, 1001), 2000},
        )

    def test_counts_of_a_version_that_is_called_again_go_too(self) -> None:
        """A version below all others has counts, and loses them in turn."""
        for version in [*range(100, 108), 1, *range(200, 207)]:
            self.metrics.succeeded(_subject(version), [_task(9)], _TIMING)
        self.assertEqual(
            {subject.version for subject in self.metrics.snapshot().seconds},
            {1, *range(200, 207)},
        )
        self.metrics.succeeded(_subject(300), [_task(9)], _TIMING)
        found = self.metrics.snapshot()
        self.assertEqual(len(found.seconds), 8)
        self.assertNotIn(1, {subject.version for subject in found.seconds})


if __name__ == "__main__":
    absltest.main()
