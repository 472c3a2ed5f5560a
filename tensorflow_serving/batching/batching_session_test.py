"""Tests for batching_session."""

import concurrent.futures
from collections.abc import Mapping, Sequence
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
    task_recorder,
)
from tensorflow_serving.util import errors

_Puppet = puppet_batch_scheduler.PuppetBatchScheduler[
    batched_function.FunctionTask
]


class _Fixture:
    """A batching session on a puppet scheduler, and threads that call it."""

    def __init__(
        self,
        allowed_batch_sizes: tuple[int, ...] = (),
        *,
        shape: tuple[int | None, ...] | None = None,
        output_shapes: Mapping[str, tuple[int | None, ...]] = {},
    ) -> None:
        self.wrapped = fake_session.FakeSession(shape, output_shapes)
        self.session = batching_session.BatchingSession(
            batching_session.Options(allowed_batch_sizes),
            self.wrapped,
            self._create_scheduler,
        )
        self._callers = concurrent.futures.ThreadPoolExecutor(8)
        self._num_calls = 0

    def _create_scheduler(
        self,
        process: batch_scheduler.ProcessBatch[batched_function.FunctionTask],
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
        """A size that is not above the one before is refused."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "positive and ascending"
        ):
            batching_session.Options(sizes)

    def test_last_size_must_be_the_maximum(self) -> None:
        """A full batch must have a size to be padded to."""
        options = batching_session.Options((1, 3))
        options.require_max_batch_size(3)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must equal 2, .*; got"
        ):
            options.require_max_batch_size(2)
        batching_session.Options().require_max_batch_size(2)


class BatchingSessionTest(parameterized.TestCase):
    """A session that merges concurrent calls."""

    def test_tensor_spec_is_that_of_the_wrapped_session(self) -> None:
        """An unknown name is INVALID_ARGUMENT."""
        session = _Fixture(shape=(None, 2)).session
        self.assertEqual(session.tensor_spec("x:0").shape, (None, 2))
        with self.assertRaises(errors.InvalidArgumentError):
            session.tensor_spec("unknown:0")

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
        """Padding copies the first row, and no call sees its output."""
        fixture = _Fixture(allowed_batch_sizes=(1, 3, 4))
        first = fixture.call(["y:0"], x=[5.0])
        second = fixture.call(["y:0"], x=[1.0])
        fixture.process()
        np.testing.assert_array_equal(fixture.wrapped.inputs[0], [5, 1, 5])
        np.testing.assert_array_equal(first.result()[0], [4.5])
        np.testing.assert_array_equal(second.result()[0], [2.5])

    def test_batch_of_an_allowed_size_is_not_padded(self) -> None:
        """Two rows fit the size 2, and none is added."""
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
        """A call with zero rows gets zero rows back."""
        fixture = _Fixture(allowed_batch_sizes=(2,))
        call = fixture.call(["y:0"], x=np.zeros([0, 1]))
        fixture.process()
        self.assertEqual(call.result()[0].shape, (0, 1))

    def test_lone_call_is_passed_through(self) -> None:
        """A lone call may have outputs of any shape."""
        fixture = _Fixture()
        call = fixture.call(["sum:0"], x=[1.0, 2.0])
        fixture.process()
        self.assertEqual(call.result()[0], 3.0)

    @parameterized.named_parameters(
        ("outputs", ["x:0"], [[4.0]], [[4.0]]),
        ("order", ["x:0", "y:0"], [[4.0]], [[4.0]]),
        ("shapes", ["y:0"], [[2.0, 4.0]], [[3.0, 4.0]]),
        ("dimensions", ["y:0"], [2.0], [3.0]),
    )
    def test_calls_that_differ_run_apart(
        self, fetches: list[str], x: list[Any], expected: list[Any]
    ) -> None:
        """Each gets its right answer; those that fit still run together."""
        fixture = _Fixture()
        calls = [
            fixture.call(["y:0"], x=[[0.0]]),
            fixture.call(fetches, x=x),
            fixture.call(["y:0"], x=[[2.0]]),
        ]
        fixture.process()
        for call, y in zip(calls, ([[2.0]], expected, [[3.0]]), strict=True):
            np.testing.assert_array_equal(call.result()[0], y)
        self.assertEqual(len(fixture.wrapped.inputs), 2)

    def test_calls_with_other_feeds_run_apart(self) -> None:
        """Calls that fetch the same from other feeds run apart."""
        fixture = _Fixture()
        calls = [
            fixture.call(["y:0"], x=[0.0]),
            fixture.call(["y:0"], x=[2.0], z=[9.0]),
        ]
        fixture.process()
        self.assertEqual([float(call.result()[0][0]) for call in calls], [2, 3])

    def test_calls_that_fail_alone_harm_no_other(self) -> None:
        """Those with other fetches get their answers."""
        fixture = _Fixture()
        bad = fixture.call(["lost:0"], x=[0.0])
        good = fixture.call(["y:0"], x=[0.0])
        fixture.process()
        self.assertIsInstance(bad.exception(), errors.DataLossError)
        np.testing.assert_array_equal(good.result(), [[2]])

    @parameterized.named_parameters(
        ("known", {"sum:0": ()}, (), 3),
        ("found_out", {}, (), 4),
        ("found_out_by_padding", {}, (8,), 4),
    )
    def test_outputs_without_rows_do_not_depend_on_the_load(
        self,
        output_shapes: Mapping[str, tuple[int | None, ...]],
        allowed_batch_sizes: tuple[int, ...],
        num_runs: int,
    ) -> None:
        """Each call gets what it would get alone, from the first batch on."""
        fixture = _Fixture(allowed_batch_sizes, output_shapes=output_shapes)
        calls = [
            fixture.call(["sum:0"], x=x) for x in ([1.0, 5.0], [2.0], [4.0])
        ]
        fixture.process()
        self.assertEqual([call.result() for call in calls], [[6], [2], [4]])
        self.assertEqual(len(fixture.wrapped.inputs), num_runs)
        self.assertEqual(fixture.session.statistics().num_failed_runs, 0)

    def test_calls_of_a_session_that_never_merges_run_alone(self) -> None:
        """Each call is a run of its own without batching."""
        wrapped = fake_session.FakeSession()
        session = batching_session.BatchingSession(
            batching_session.Options(never_merges=True),
            wrapped,
            _Puppet,
        )
        scheduler = session.scheduler
        assert isinstance(
            scheduler, puppet_batch_scheduler.PuppetBatchScheduler
        )
        futures = [
            session.run_async(["y:0"], {"x:0": [x, x]}) for x in (0.0, 2.0)
        ]
        scheduler.process_tasks(2)
        for future, y in zip(futures, (2.0, 3.0), strict=True):
            np.testing.assert_array_equal(future.result(), [[y, y]])
        self.assertEqual(len(wrapped.inputs), 2)

    def test_inputs_of_fixed_rows_are_not_merged(self) -> None:
        """A graph that takes one row is never given two, or a padded one."""
        fixture = _Fixture((8,), shape=(1, 2))
        calls = [fixture.call(["y:0"], x=[[x, x]]) for x in (0.0, 2.0)]
        fixture.process()
        for call, y in zip(calls, (2.0, 3.0), strict=True):
            np.testing.assert_array_equal(call.result(), [[[y, y]]])
        self.assertEqual(
            [x.shape for x in fixture.wrapped.inputs], [(1, 2)] * 2
        )

    def test_all_calls_of_a_batch_fail_together(self) -> None:
        """A failed run costs time, so nothing runs again by default."""
        fixture = _Fixture()
        calls = [fixture.call(["picky:0"], x=[x]) for x in (0.0, -1.0)]
        fixture.process()
        for call in calls:
            self.assertIsInstance(call.exception(), errors.OutOfRangeError)
        self.assertEqual(len(fixture.wrapped.inputs), 1)
        statistics = fixture.session.statistics()
        self.assertEqual(statistics.num_failed_runs, 1)
        self.assertEqual(statistics.num_rerun_calls, 0)

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
        """Operations are PERMISSION_DENIED before anything is scheduled."""
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

    @parameterized.named_parameters(
        ("dtype", np.zeros([1, 2], np.float32), "dtype float64; got float32"),
        ("shape", np.zeros([1, 3]), "shape \\[\\?, 2\\]; got \\[1, 3\\]"),
        ("list", [["one", "two"]], "array of float64"),
    )
    def test_inputs_that_do_not_fit_are_refused(
        self, x: npt.ArrayLike, text: str
    ) -> None:
        """Wrong inputs are INVALID_ARGUMENT before anything is scheduled."""
        fixture = _Fixture(shape=(None, 2))
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            fixture.session.run(["y:0"], {"x:0": x})
        self.assertEqual(fixture.scheduler.num_enqueued_tasks(), 0)

    @parameterized.parameters(("y:0", "unknown:0"), ("unknown:0", "x:0"))
    def test_unknown_names_are_refused(self, fetch: str, feed: str) -> None:
        """Unknown names are INVALID_ARGUMENT before anything is scheduled."""
        fixture = _Fixture()
        with self.assertRaises(errors.InvalidArgumentError):
            fixture.session.run([fetch], {feed: np.zeros([1])})
        self.assertEqual(fixture.scheduler.num_enqueued_tasks(), 0)

    def test_functions_are_made_once(self) -> None:
        """The order of feeds does not matter; that of fetches does."""
        session = _Fixture().session
        function = session.function(["y:0"], ["x:0"])
        self.assertIs(session.function(["y:0"], ["x:0"]), function)
        self.assertIsNot(session.function(["x:0"], ["x:0"]), function)

    def test_many_functions_are_no_leak(self) -> None:
        """The oldest are forgotten, and made again when they are needed."""
        session = _Fixture().session
        function = session.function(["y:0"], ["x:0"])
        for number in range(70):
            session.function(["y:0"] * (number + 2), ["x:0"])
        self.assertIsNot(session.function(["y:0"], ["x:0"]), function)

    def test_inputs_without_a_common_size_are_refused(self) -> None:
        """Uneven inputs are INVALID_ARGUMENT before anything is scheduled."""
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
        """A call that waits is answered before close() returns."""
        fixture = _Fixture()
        call = fixture.call(["y:0"], x=[0.0])
        fixture.session.close()
        np.testing.assert_array_equal(call.result()[0], [2.0])
        self.assertTrue(fixture.wrapped.closed)

    def test_session_of_another_owner_stays_open(self) -> None:
        """Several batching sessions can run one session."""
        wrapped = fake_session.FakeSession()
        batching_session.BatchingSession(
            batching_session.Options(), wrapped, _Puppet, owns_session=False
        ).close()
        self.assertFalse(wrapped.closed)


class RunAsyncTest(absltest.TestCase):
    """Calls that block no thread."""

    def test_future_has_the_result(self) -> None:
        """It is what run() returns."""
        fixture = _Fixture()
        future = fixture.session.run_async(["y:0"], {"x:0": [2.0]})
        self.assertFalse(future.done())
        fixture.scheduler.process_tasks(1)
        np.testing.assert_array_equal(future.result(timeout=60), [[3]])

    def test_future_has_the_error(self) -> None:
        """It is what run() raises."""
        fixture = _Fixture()
        future = fixture.session.run_async(["lost:0"], {"x:0": [2.0]})
        fixture.scheduler.process_tasks(1)
        with self.assertRaises(errors.DataLossError):
            future.result(timeout=60)

    def test_cancelled_call_leaves_the_queue(self) -> None:
        """The others are run."""
        fixture = _Fixture()
        futures = [
            fixture.session.run_async(["y:0"], {"x:0": [x]}) for x in (0.0, 2.0)
        ]
        self.assertTrue(futures[0].cancel())
        self.assertEqual(fixture.scheduler.num_enqueued_tasks(), 1)
        fixture.scheduler.process_tasks(1)
        np.testing.assert_array_equal(futures[1].result(timeout=60), [[3]])
        np.testing.assert_array_equal(fixture.wrapped.inputs, [[2]])
        with self.assertRaises(concurrent.futures.CancelledError):
            futures[0].result(timeout=60)

    def test_call_that_is_done_cannot_be_cancelled(self) -> None:
        """A call that is done keeps its result."""
        fixture = _Fixture()
        future = fixture.session.run_async(["y:0"], {"x:0": [2.0]})
        fixture.scheduler.process_tasks(1)
        self.assertFalse(future.cancel())
        np.testing.assert_array_equal(future.result(), [[3]])

    def test_call_that_is_cancelled_while_it_runs_is_cancelled(self) -> None:
        """Its result comes too late, and harms nobody."""
        futures: list[concurrent.futures.Future[Any]] = []

        class Session(fake_session.FakeSession):
            """Runs while the caller gives up."""

            def make_callable(
                self, fetches: Sequence[str], feed_list: Sequence[str]
            ) -> Any:
                """Cancels the first call before the run."""
                run = super().make_callable(fetches, feed_list)

                def cancel_and_run(*feeds: npt.NDArray[Any]) -> Any:
                    self.was_cancelled = futures[0].cancel()
                    return run(*feeds)

                return cancel_and_run

        wrapped = Session()
        schedulers: list[_Puppet] = []

        def create_scheduler(
            process: batch_scheduler.ProcessBatch[
                batched_function.FunctionTask
            ],
        ) -> _Puppet:
            schedulers.append(_Puppet(process))
            return schedulers[0]

        session = batching_session.BatchingSession(
            batching_session.Options(), wrapped, create_scheduler
        )
        for x in (0.0, 2.0):
            futures.append(session.run_async(["y:0"], {"x:0": [x]}))
        schedulers[0].process_tasks(2)
        self.assertTrue(wrapped.was_cancelled)
        self.assertTrue(futures[0].cancelled())
        np.testing.assert_array_equal(futures[1].result(timeout=60), [[3]])

    def test_owner_that_needs_no_future_schedules_calls_itself(self) -> None:
        """function() makes them, and scheduler takes them."""
        fixture = _Fixture()
        caller = task_recorder.TaskRecorder()
        function = fixture.session.function(["y:0"], ["x:0"])
        task = function.task([[2.0]], caller)
        fixture.session.scheduler.schedule_all([task])
        fixture.scheduler.process_tasks(1)
        self.assertEqual(caller.done, [task])
        np.testing.assert_array_equal(caller.outputs[0], [[3]])


if __name__ == "__main__":
    absltest.main()
