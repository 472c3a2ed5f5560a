"""Tests of batching_session: batches that fail, or are left, and run again."""

import concurrent.futures
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_scheduler,
    batched_function,
    batching_session,
)
from tensorflow_serving.test_util import (
    fake_session,
    puppet_batch_scheduler,
)
from tensorflow_serving.util import errors

_Puppet = puppet_batch_scheduler.PuppetBatchScheduler[
    batched_function.FunctionTask
]


class _Fixture:
    """A batching session on a puppet scheduler that runs calls again."""

    def __init__(self, *allowed_batch_sizes: int) -> None:
        self.wrapped = fake_session.FakeSession()
        self.session = batching_session.BatchingSession(
            batching_session.Options(
                allowed_batch_sizes, rerun_failed_batches=True
            ),
            self.wrapped,
            self._create_scheduler,
        )

    def _create_scheduler(
        self,
        process: batch_scheduler.ProcessBatch[batched_function.FunctionTask],
    ) -> _Puppet:
        self._scheduler = _Puppet(process)
        return self._scheduler

    def call(
        self, fetch: str, x: float
    ) -> concurrent.futures.Future[list[npt.NDArray[Any]]]:
        """Schedules a call with one row."""
        return self.session.run_async([fetch], {"x:0": [x]})

    def process(self) -> None:
        """Processes all calls so far as one batch."""
        self._scheduler.process_tasks(self._scheduler.num_enqueued_tasks())


class RerunTest(parameterized.TestCase):
    """Batches that fail, and whose fault that is."""

    def test_only_the_culprit_fails_if_calls_are_run_again(self) -> None:
        """Halves of a failed batch run until the culprit is alone."""
        fixture = _Fixture()
        xs = (0.0, -1.0, 2.0)
        calls = [fixture.call("picky:0", x) for x in xs]
        with self.assertLogs(level="WARNING"):
            fixture.process()
        np.testing.assert_array_equal(calls[0].result(), [[2]])
        self.assertIsInstance(calls[1].exception(), errors.OutOfRangeError)
        np.testing.assert_array_equal(calls[2].result(), [[3]])
        self.assertEqual(
            [list(x) for x in fixture.wrapped.inputs],
            [[0, -1, 2], [0], [-1, 2], [-1], [2]],
        )
        statistics = fixture.session.statistics()
        self.assertEqual(statistics.num_failed_runs, 3)
        self.assertEqual(statistics.num_rerun_calls, 3)
        self.assertEqual(statistics.num_rows, 2)

    @parameterized.parameters(0, 1, 31, 32, 63)
    def test_one_bad_call_among_many_costs_few_runs(self, bad: int) -> None:
        """A bad call among 64 costs 12 more runs, wherever it is."""
        fixture = _Fixture()
        xs = [float(number) for number in range(64)]
        xs[bad] = -1.0
        calls = [fixture.call("picky:0", x) for x in xs]
        fixture.process()
        self.assertEqual(
            [index for index, call in enumerate(calls) if call.exception()],
            [bad],
        )
        self.assertEqual(len(fixture.wrapped.inputs), 1 + 2 * 6)
        statistics = fixture.session.statistics()
        self.assertEqual(statistics.num_rerun_calls, 64)
        self.assertEqual(statistics.num_rows, 63)

    @parameterized.parameters((0, 1), (3, 4), (0, 4, 6), tuple(range(7)))
    def test_each_bad_call_fails_and_no_other(self, *bad: int) -> None:
        """All other calls get their own rows, however many are bad."""
        fixture = _Fixture()
        calls = [
            fixture.call("picky:0", -1.0 if x in bad else float(x))
            for x in range(7)
        ]
        fixture.process()
        for x, call in enumerate(calls):
            if x in bad:
                self.assertIsInstance(call.exception(), errors.OutOfRangeError)
            else:
                np.testing.assert_array_equal(call.result(), [[x / 2 + 2]])

    def test_calls_are_not_run_again_after_a_transient_error(self) -> None:
        """No call is the reason for it."""
        fixture = _Fixture()
        calls = [fixture.call("busy:0", x) for x in (0.0, 1.0)]
        fixture.process()
        for call in calls:
            self.assertIsInstance(call.exception(), errors.UnavailableError)
        self.assertEqual(len(fixture.wrapped.inputs), 1)

    def test_lone_call_is_not_run_again(self) -> None:
        """A call that fails alone is the culprit."""
        fixture = _Fixture()
        call = fixture.call("picky:0", -1.0)
        fixture.process()
        self.assertIsInstance(call.exception(), errors.OutOfRangeError)
        self.assertEqual(len(fixture.wrapped.inputs), 1)

    def test_calls_that_are_run_again_are_padded(self) -> None:
        """Each call that runs again is padded to the size that fits it."""
        fixture = _Fixture(2, 4)
        calls = [fixture.call("picky:0", x) for x in (0.0, -1.0, 2.0)]
        fixture.process()
        np.testing.assert_array_equal(calls[2].result(), [[3]])
        self.assertEqual(
            [len(x) for x in fixture.wrapped.inputs], [4, 2, 2, 2, 2]
        )

    def test_end_of_the_program_in_a_run_answers_all_calls(self) -> None:
        """It is raised again, but nobody waits forever."""
        fixture = _Fixture()
        calls = [
            fixture.call(fetch, 1.0) for fetch in ("exit:0", "exit:0", "x:0")
        ]
        with self.assertRaises(SystemExit), self.assertLogs(level="ERROR"):
            fixture.process()
        for call in calls:
            self.assertIsInstance(call.exception(60), errors.InternalError)


class _LeavingSession(fake_session.FakeSession):
    """Has the tasks that wait for the first run leave their batch."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[batched_function.FunctionTask] = []
        self._batches: list[
            batch_scheduler.Batch[batched_function.FunctionTask]
        ] = []

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Any:
        """Returns a function that has tasks leave, and runs."""
        run = super().make_callable(fetches, feed_list)

        def run_first(*feeds: Any) -> Any:
            self.left += self._batches[0].let_go()
            return run(*feeds)

        return run_first

    def create_scheduler(
        self,
        process: batch_scheduler.ProcessBatch[batched_function.FunctionTask],
    ) -> _Puppet:
        """Returns a scheduler whose batches the session knows."""

        def record(
            batch: batch_scheduler.Batch[batched_function.FunctionTask],
        ) -> float | None:
            self._batches.append(batch)
            return process(batch)

        return _Puppet(record)


class LetGoTest(absltest.TestCase):
    """Batches that tasks leave while the first of them runs."""

    def test_tasks_that_have_not_begun_can_leave_a_batch(self) -> None:
        """They run when they are processed again; no task runs twice."""
        wrapped = _LeavingSession()
        session = batching_session.BatchingSession(
            batching_session.Options(never_merges=True),
            wrapped,
            wrapped.create_scheduler,
        )
        calls = [session.run_async(["y:0"], {"x:0": [x]}) for x in (0, 2, 4)]
        puppet: Any = session.scheduler
        puppet.process_tasks(3)
        self.assertEqual([call.done() for call in calls], [True, False, False])
        self.assertEqual(len(wrapped.left), 2)
        for task in [*wrapped.left]:
            puppet.schedule(task)
        puppet.process_tasks(2)
        self.assertEqual([call.result()[0][0] for call in calls], [2, 3, 4])
        self.assertEqual([x.tolist() for x in wrapped.inputs], [[0], [2], [4]])

    def test_batch_lets_nothing_go_before_it_is_processed(self) -> None:
        """Its tasks are still those of whoever took it."""
        batch = batch_scheduler.Batch[batched_function.FunctionTask]()
        self.assertEqual(batch.let_go(), ())


if __name__ == "__main__":
    absltest.main()
