"""Tests of batching_session on a real queue: deadlines, parts, statistics."""

import concurrent.futures
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_queue,
    batch_scheduler,
    batched_function,
    batching_session,
    run_timing,
)
from tensorflow_serving.test_util import fake_clock, fake_session
from tensorflow_serving.util import errors

_FOREVER = 10**12
_Future = concurrent.futures.Future[list[npt.NDArray[Any]]]


class _Session(fake_session.FakeSession):
    """Can hold the batch thread in a run, which may take time."""

    def __init__(self, clock: fake_clock.FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.run_micros = 0
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    @override
    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[npt.NDArray[Any]]]:
        run = super().make_callable(fetches, feed_list)

        def wait_and_run(*feeds: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            self.started.set()
            self.go_on.wait()
            self._clock.advance_micros(self.run_micros)
            return run(*feeds)

        return wait_and_run


class _Fixture:
    """A batching session with a queue and one batch thread."""

    def __init__(
        self,
        queue_options: batch_queue.QueueOptions,
        options: batching_session.Options,
    ) -> None:
        self.clock = fake_clock.FakeClock()
        self.wrapped = _Session(self.clock)

        def create_scheduler(
            process: batch_scheduler.ProcessBatch[
                batched_function.FunctionTask
            ],
        ) -> batch_scheduler.BatchScheduler[batched_function.FunctionTask]:
            return basic_batch_scheduler.BasicBatchScheduler(
                basic_batch_scheduler.Options(queue_options),
                process,
                self.clock,
            )

        self.session = batching_session.BatchingSession(
            options, self.wrapped, create_scheduler, self.clock
        )

    def call(self, *xs: float, **options: Any) -> _Future:
        """Asks for half plus two."""
        return self.session.run_async(
            ["y:0"], {"x:0": np.array(xs, np.float64)}, **options
        )

    @contextlib.contextmanager
    def busy_thread(self) -> Iterator[None]:
        """Keeps the batch thread busy with a full batch."""
        self.wrapped.go_on.clear()
        try:
            self.call(*[0.0] * 4)
            self.wrapped.started.wait(timeout=60)
            yield
        finally:
            self.wrapped.go_on.set()


@contextlib.contextmanager
def _fixture(
    *allowed_batch_sizes: int, max_enqueued_batches: int = 9, **options: Any
) -> Iterator[_Fixture]:
    fixture = _Fixture(
        batch_queue.QueueOptions(
            options.pop("max_batch_size", 4),
            _FOREVER,
            max_enqueued_batches,
            **options,
        ),
        batching_session.Options(allowed_batch_sizes),
    )
    try:
        yield fixture
    finally:
        fixture.wrapped.go_on.set()
        fixture.session.close()


class DeadlineTest(absltest.TestCase):
    """Calls that are of use for a while."""

    def test_call_expires_while_the_thread_is_busy(self) -> None:
        """The call gets DEADLINE_EXCEEDED then; its batch mates are run."""
        with _fixture() as fixture:
            with fixture.busy_thread():
                late = fixture.call(1.0, 2.0, deadline=0.5)
                mates = [fixture.call(2.0), fixture.call(4.0)]
                self.assertFalse(late.done())
                fixture.clock.advance_micros(500_000)
                with self.assertRaises(errors.DeadlineExceededError):
                    late.result(timeout=60)
            fixture.session.close()
            for mate, y in zip(mates, (3, 4), strict=True):
                np.testing.assert_array_equal(mate.result()[0], [y])
            np.testing.assert_array_equal(fixture.wrapped.inputs[-1], [2, 4])

    def test_call_is_run_before_its_deadline(self) -> None:
        """A deadline starts a batch that has room and time left."""
        with _fixture() as fixture:
            call = fixture.call(2.0, deadline=0.5)
            fixture.clock.advance_micros(499_000)
            np.testing.assert_array_equal(call.result(timeout=60), [[3]])

    def test_call_that_comes_too_late_is_refused(self) -> None:
        """run() and run_async() refuse a call whose deadline has passed."""
        with _fixture() as fixture:
            for run in (fixture.session.run, fixture.session.run_async):
                with self.assertRaises(errors.DeadlineExceededError):
                    run(["y:0"], {"x:0": [1.0]}, deadline=0.0)

    def test_full_queue_refuses_at_once(self) -> None:
        """A call gets UNAVAILABLE while the batch thread is busy."""
        with (
            _fixture(max_enqueued_batches=1) as fixture,
            fixture.busy_thread(),
        ):
            fixture.call(1.0, 2.0, 3.0, 4.0)
            with self.assertRaises(errors.UnavailableError):
                fixture.call(1.0)

    def test_closed_session_refuses(self) -> None:
        """A closed session refuses calls with FAILED_PRECONDITION."""
        with _fixture() as fixture:
            fixture.session.close()
            with self.assertRaises(errors.FailedPreconditionError):
                fixture.call(1.0)


class SplittingTest(absltest.TestCase):
    """Calls that are run in parts."""

    def test_parts_come_back_in_order(self) -> None:
        """One call gets one answer from batches of four and less."""
        with _fixture(
            max_batch_size=10,
            enable_large_batch_splitting=True,
            max_execution_batch_size=4,
        ) as fixture:
            first = fixture.call(100.0)
            call = fixture.call(*range(0, 20, 2))
            fixture.session.close()
            np.testing.assert_array_equal(call.result()[0], range(2, 12))
            np.testing.assert_array_equal(first.result()[0], [52])
            self.assertEqual(
                [len(x) for x in fixture.wrapped.inputs], [4, 4, 3]
            )

    def test_cancelled_call_takes_its_waiting_parts_along(self) -> None:
        """The one that runs is not waited for; others are not harmed."""
        with _fixture(enable_large_batch_splitting=True) as fixture:
            with fixture.busy_thread():
                mate = fixture.call(2.0)
                call = fixture.call(4.0, 4.0, 4.0, 4.0)
                self.assertTrue(call.cancel())
                statistics = fixture.session.statistics().scheduler
                self.assertEqual(statistics.num_enqueued_tasks, 1)
            fixture.session.close()
            np.testing.assert_array_equal(mate.result()[0], [3])
            np.testing.assert_array_equal(fixture.wrapped.inputs[-1], [2])

    def test_parts_that_wait_fail_the_call_once(self) -> None:
        """Waiting parts fail the call at its deadline, whatever runs."""
        with _fixture(
            max_batch_size=8,
            enable_large_batch_splitting=True,
            max_execution_batch_size=4,
        ) as fixture:
            fixture.wrapped.go_on.clear()
            call = fixture.call(*[0.0] * 8, deadline=0.5)
            fixture.wrapped.started.wait(timeout=60)
            fixture.clock.advance_micros(500_000)
            with self.assertRaises(errors.DeadlineExceededError):
                call.result(timeout=60)
            fixture.wrapped.go_on.set()
            fixture.session.close()
            self.assertEqual(len(fixture.wrapped.inputs), 1)

    def test_failure_of_a_part_is_that_of_the_call(self) -> None:
        """A call fails with the error of whichever part failed."""
        with _fixture(enable_large_batch_splitting=True) as fixture:
            mate = fixture.call(0.0)
            call = fixture.session.run_async(
                ["picky:0"], {"x:0": [0.0, 0.0, 0.0, -1.0]}
            )
            fixture.session.close()
            self.assertIsInstance(call.exception(), errors.OutOfRangeError)
            np.testing.assert_array_equal(mate.result(), [[2]])

    def test_call_without_room_for_all_its_parts_is_refused(self) -> None:
        """No part of a call without room for all of them is run."""
        with (
            _fixture(
                enable_large_batch_splitting=True, max_enqueued_batches=1
            ) as fixture,
            fixture.busy_thread(),
        ):
            fixture.call(1.0)
            with self.assertRaises(errors.UnavailableError):
                fixture.call(1.0, 2.0, 3.0, 4.0)
            statistics = fixture.session.statistics().scheduler
            self.assertEqual(statistics.num_enqueued_tasks, 1)
            self.assertEqual(statistics.num_refused, 1)


class _SlowCaller:
    """Takes a second to deal with a result."""

    def __init__(self, clock: fake_clock.FakeClock) -> None:
        self._clock = clock

    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """Moves the clock."""
        self._clock.advance_micros(1_000_000)

    def fail(
        self,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """Moves the clock."""
        self._clock.advance_micros(1_000_000)


class StatisticsTest(absltest.TestCase):
    """Tests of the counts that a session keeps."""

    def test_run_is_as_long_as_the_model_takes(self) -> None:
        """The scheduler does not count what callers do with the result."""
        with _fixture() as fixture:
            fixture.wrapped.run_micros = 2_000
            caller = _SlowCaller(fixture.clock)
            function = fixture.session.function(["y:0"], ["x:0"])
            for x in (1.0, 2.0):
                fixture.session.scheduler.schedule(
                    function.task([[x, x, x, x]], caller)
                )
            fixture.session.close()
            statistics = fixture.session.statistics().scheduler
            self.assertEqual(statistics.num_batches_by_size, {4: 2})
            self.assertAlmostEqual(statistics.typical_run_seconds, 0.002)

    def test_run_that_fails_counts_as_well(self) -> None:
        """A model that takes its time to fail holds its thread, too."""
        with _fixture() as fixture:
            fixture.wrapped.run_micros = 3_000
            call = fixture.session.run_async(["lost:0"], {"x:0": [1.0]})
            fixture.session.close()
            self.assertIsInstance(call.exception(), errors.DataLossError)
            statistics = fixture.session.statistics().scheduler
            self.assertAlmostEqual(statistics.typical_run_seconds, 0.003)

    def test_padding_is_counted(self) -> None:
        """Padding counts rows for nobody apart from those of calls."""
        with _fixture(1, 4) as fixture:
            fixture.call(1.0, 2.0)
            fixture.session.close()
            statistics = fixture.session.statistics()
            self.assertEqual(statistics.num_rows, 2)
            self.assertEqual(statistics.num_padding_rows, 2)
            self.assertEqual(statistics.num_failed_runs, 0)

    def test_snapshot_is_frozen(self) -> None:
        """The counts of a session contain those of its scheduler."""
        with _fixture() as fixture:
            fixture.call(1.0)
            fixture.clock.advance_micros(250_000)
            before = fixture.session.statistics()
            with self.assertRaises(dataclasses.FrozenInstanceError):
                before.num_rows = 7  # type: ignore[misc]
            fixture.session.close()
            self.assertEqual(before.num_rows, 0)
            self.assertEqual(before.scheduler.num_enqueued_tasks, 1)
            self.assertEqual(before.scheduler.oldest_wait_seconds, 0.25)
            self.assertEqual(
                fixture.session.statistics().scheduler.num_batches_by_reason,
                {batch_scheduler.CloseReason.DRAIN: 1},
            )


if __name__ == "__main__":
    absltest.main()
