"""Tests for batching_session."""

import concurrent.futures
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_queue,
    batch_scheduler,
    batch_scheduler_retrier,
    batching_session,
)
from tensorflow_serving.test_util import puppet_batch_scheduler
from tensorflow_serving.util import errors

_Puppet = puppet_batch_scheduler.PuppetBatchScheduler[
    batching_session.BatchingSessionTask
]


class _HalfPlusTwo:
    """A session with y:0 = x:0 / 2 + 2, and outputs that go wrong."""

    def __init__(self) -> None:
        self.inputs: list[npt.NDArray[Any]] = []
        self.closed = False

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """Computes the outputs that are asked for."""
        x = feed_dict["x:0"]
        self.inputs.append(x)
        if "lost:0" in fetches:
            raise errors.DataLossError("the weights are gone")
        if "broken:0" in fetches:
            raise ZeroDivisionError("secret")
        outputs = {"y:0": x / 2 + 2, "sum:0": np.sum(x), "x:0": x}
        return [outputs[name] for name in fetches]

    def close(self) -> None:
        """Takes note."""
        self.closed = True


class _Fixture:
    """A batching session on a puppet scheduler, and threads that call it."""

    def __init__(self, allowed_batch_sizes: tuple[int, ...] = ()) -> None:
        self.wrapped = _HalfPlusTwo()
        self.session = batching_session.BatchingSession(
            batching_session.Options(allowed_batch_sizes),
            self.wrapped,
            self._create_scheduler,
        )
        self._callers = concurrent.futures.ThreadPoolExecutor(8)
        self._num_calls = 0

    def _create_scheduler(
        self,
        process: batch_scheduler.ProcessBatch[
            batching_session.BatchingSessionTask
        ],
    ) -> _Puppet:
        self.scheduler = _Puppet(process)
        return self.scheduler

    def call(
        self, fetches: Sequence[str], **inputs: object
    ) -> concurrent.futures.Future[list[npt.NDArray[Any]]]:
        """Calls run() in a thread; returns once its task waits."""
        feed_dict = {f"{name}:0": np.array(x) for name, x in inputs.items()}
        future = self._callers.submit(self.session.run, fetches, feed_dict)
        self._num_calls += 1
        self.scheduler.wait_for_tasks(self._num_calls)
        return future

    def process(self) -> None:
        """Processes all calls so far as one batch."""
        self.scheduler.process_tasks(self._num_calls)
        self._num_calls = 0


class OptionsTest(parameterized.TestCase):
    """Which batch sizes are allowed."""

    @parameterized.named_parameters(
        ("descending", (4, 2)), ("repeated", (2, 2)), ("zero", (0, 2))
    )
    def test_sizes_must_be_positive_and_ascending(
        self, sizes: tuple[int, ...]
    ) -> None:
        """Each size has one place."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "positive and ascending"
        ):
            batching_session.Options(sizes)

    def test_last_size_must_be_the_maximum(self) -> None:
        """Else a full batch would have no size to be padded to."""
        options = batching_session.Options((1, 3))
        options.require_max_batch_size(3)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must equal max_batch_size 2; got"
        ):
            options.require_max_batch_size(2)
        batching_session.Options().require_max_batch_size(2)


class BatchingSessionTest(parameterized.TestCase):
    """A session that merges concurrent calls."""

    def test_calls_are_merged_and_split(self) -> None:
        """One run of the wrapped session answers both calls."""
        fixture = _Fixture()
        first = fixture.call(["y:0"], x=[[0.0], [1.0]])
        second = fixture.call(["y:0"], x=[[2.0]])
        fixture.process()
        np.testing.assert_array_equal(first.result()[0], [[2.0], [2.5]])
        np.testing.assert_array_equal(second.result()[0], [[3.0]])
        self.assertEqual(len(fixture.wrapped.inputs), 1)

    def test_batch_is_padded_to_the_next_allowed_size(self) -> None:
        """With copies of its first row, of which no call sees the output."""
        fixture = _Fixture(allowed_batch_sizes=(1, 3, 4))
        first = fixture.call(["y:0"], x=[5.0])
        second = fixture.call(["y:0"], x=[1.0])
        fixture.process()
        np.testing.assert_array_equal(fixture.wrapped.inputs[0], [5, 1, 5])
        np.testing.assert_array_equal(first.result()[0], [4.5])
        np.testing.assert_array_equal(second.result()[0], [2.5])

    def test_batch_of_an_allowed_size_is_not_padded(self) -> None:
        """Two rows fit the size 2."""
        fixture = _Fixture(allowed_batch_sizes=(2, 4))
        call = fixture.call(["y:0"], x=[5.0, 1.0])
        fixture.process()
        np.testing.assert_array_equal(fixture.wrapped.inputs[0], [5, 1])
        np.testing.assert_array_equal(call.result()[0], [4.5, 2.5])

    def test_batch_above_all_allowed_sizes_runs_unpadded(self) -> None:
        """The log tells that the sizes do not fit the scheduler."""
        fixture = _Fixture(allowed_batch_sizes=(1,))
        call = fixture.call(["y:0"], x=[0.0, 2.0])
        with self.assertLogs(level="ERROR"):
            fixture.process()
        np.testing.assert_array_equal(call.result()[0], [2, 3])

    def test_call_without_rows_is_answered(self) -> None:
        """Zero rows in, zero rows out."""
        fixture = _Fixture(allowed_batch_sizes=(2,))
        call = fixture.call(["y:0"], x=np.zeros([0, 1]))
        fixture.process()
        self.assertEqual(call.result()[0].shape, (0, 1))

    def test_calls_without_rows_take_up_room(self) -> None:
        """Or any number of them would be accepted."""
        task = batching_session.BatchingSessionTask(
            ["y:0"], {"x:0": np.zeros([0, 1])}
        )
        self.assertEqual((task.num_rows, task.size), (0, 1))

    def test_lone_call_is_passed_through(self) -> None:
        """Without allowed sizes its outputs may have any shape."""
        fixture = _Fixture()
        call = fixture.call(["sum:0"], x=[1.0, 2.0])
        fixture.process()
        self.assertEqual(call.result()[0], 3.0)

    @parameterized.named_parameters(
        ("outputs", ["x:0"], [[1.0]], "the same output tensors"),
        ("shapes", ["y:0"], [[1.0, 2.0]], "must have one shape"),
    )
    def test_calls_that_differ_all_fail(
        self, fetches: list[str], x: list[list[float]], text: str
    ) -> None:
        """INVALID_ARGUMENT for the whole batch."""
        fixture = _Fixture()
        calls = [
            fixture.call(["y:0"], x=[[1.0]]),
            fixture.call(fetches, x=x),
        ]
        fixture.process()
        for call in calls:
            with self.assertRaisesRegex(errors.InvalidArgumentError, text):
                call.result()

    def test_output_without_a_row_for_each_input_fails_the_batch(self) -> None:
        """FAILED_PRECONDITION: the model cannot be batched."""
        fixture = _Fixture()
        calls = [fixture.call(["sum:0"], x=[1.0]) for _ in range(2)]
        fixture.process()
        for call in calls:
            with self.assertRaises(errors.FailedPreconditionError):
                call.result()

    def test_error_of_the_session_keeps_its_code(self) -> None:
        """Each call gets an exception of its own, with the same text."""
        fixture = _Fixture()
        calls = [fixture.call(["lost:0"], x=[1.0]) for _ in range(2)]
        fixture.process()
        first, second = (call.exception() for call in calls)
        self.assertIsInstance(first, errors.DataLossError)
        self.assertEqual(str(first), "the weights are gone")
        self.assertEqual(str(second), str(first))
        self.assertIsNot(first, second)

    def test_unexpected_error_is_internal_and_logged(self) -> None:
        """Its text stays in the log."""
        fixture = _Fixture()
        call = fixture.call(["broken:0"], x=[1.0])
        with self.assertLogs(level="ERROR") as log:
            fixture.process()
        self.assertIn("secret", log.output[0])
        with self.assertRaisesRegex(errors.InternalError, "^running a batch"):
            call.result()

    def test_operations_cannot_be_run(self) -> None:
        """PERMISSION_DENIED, before anything is scheduled."""
        fixture = _Fixture()
        with self.assertRaisesRegex(errors.PermissionDeniedError, "init_op"):
            fixture.session.run(["y:0", "init_op"], {"x:0": np.zeros([1])})
        self.assertEqual(fixture.scheduler.num_enqueued_tasks(), 0)

    def test_fetches_must_be_a_list(self) -> None:
        """A text is a list of characters to Python."""
        fixture = _Fixture()
        with self.assertRaisesRegex(errors.InvalidArgumentError, "a list"):
            fixture.session.run("y:0", {"x:0": np.zeros([1])})

    def test_output_may_be_fetched_twice(self) -> None:
        """Each call gets as many outputs as it asked for."""
        fixture = _Fixture()
        calls = [fixture.call(["y:0", "y:0"], x=[x]) for x in (0.0, 2.0)]
        fixture.process()
        self.assertEqual(
            [list(map(float, call.result()[1])) for call in calls],
            [[2.0], [3.0]],
        )
        self.assertEqual(len(calls[0].result()), 2)

    def test_inputs_without_a_common_size_are_refused(self) -> None:
        """INVALID_ARGUMENT, before anything is scheduled."""
        fixture = _Fixture()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "Batching session Run\\(\\) input tensors must have equal "
            "0th-dimension size",
        ):
            fixture.session.run(
                ["y:0"], {"x:0": np.zeros([1]), "z:0": np.zeros([2])}
            )
        self.assertEqual(fixture.scheduler.num_enqueued_tasks(), 0)

    def test_close_finishes_calls_and_closes_the_session(self) -> None:
        """Nobody waits for ever."""
        fixture = _Fixture()
        call = fixture.call(["y:0"], x=[0.0])
        fixture.session.close()
        np.testing.assert_array_equal(call.result()[0], [2.0])
        self.assertTrue(fixture.wrapped.closed)


class RetryingBasicBatchingSessionTest(absltest.TestCase):
    """The session with threads of its own."""

    def test_many_callers_get_their_own_rows(self) -> None:
        """More callers than the queue has room for; the retrier waits."""
        session = batching_session.create_retrying_basic_batching_session(
            basic_batch_scheduler.Options(
                batch_queue.QueueOptions(max_batch_size=2)
            ),
            batch_scheduler_retrier.Options(max_time_micros=60_000_000),
            batching_session.Options((1, 2)),
            _HalfPlusTwo(),
        )

        def call(number: int) -> float:
            (y,) = session.run(["y:0"], {"x:0": np.array([float(number)])})
            return float(y[0])

        with concurrent.futures.ThreadPoolExecutor(16) as callers:
            results = list(callers.map(call, range(200)))
        session.close()
        self.assertEqual(results, [x / 2 + 2 for x in range(200)])

    def test_allowed_sizes_must_end_with_the_maximum(self) -> None:
        """INVALID_ARGUMENT before any thread is started."""
        with self.assertRaises(errors.InvalidArgumentError):
            batching_session.create_retrying_basic_batching_session(
                basic_batch_scheduler.Options(),
                batch_scheduler_retrier.Options(),
                batching_session.Options((2, 4)),
                _HalfPlusTwo(),
            )


if __name__ == "__main__":
    absltest.main()
