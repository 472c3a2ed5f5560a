"""Tests of batching_session: batches that fail, and are run again."""

import concurrent.futures
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


if __name__ == "__main__":
    absltest.main()
