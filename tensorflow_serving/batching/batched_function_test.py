"""Tests for batched_function."""

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batched_function,
    run_timing,
    task_groups,
)
from tensorflow_serving.test_util import task_recorder
from tensorflow_serving.util import errors


class _BadCaller(task_recorder.TaskRecorder):
    """Raises when tasks are done, and keeps their errors."""

    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """Raises."""
        raise ValueError("bad caller")


class _WorseCaller(_BadCaller):
    """Raises whatever happens."""

    def fail(
        self,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """Raises."""
        raise ValueError("worse caller")


class CallTest(parameterized.TestCase):
    """Tests of the checks before a task waits for a batch."""

    def test_call_knows_its_rows_and_times(self) -> None:
        """The deadline is the caller's; the arrival is now."""
        fixture = task_recorder.RecordedFunction()
        fixture.clock.advance_micros(3_000_000)
        task = fixture.task(np.zeros([4, 2]), deadline=7.0)
        self.assertEqual((task.num_rows, task.size), (4, 4))
        self.assertEqual((task.arrival_time, task.deadline), (3.0, 7.0))
        self.assertEqual(fixture.done, [])

    def test_call_without_rows_takes_up_room(self) -> None:
        """A task without rows counts, or their number would have no limit."""
        task = task_recorder.RecordedFunction().task(np.zeros([0, 1]))
        self.assertEqual((task.num_rows, task.size), (0, 1))

    @parameterized.named_parameters(
        ("dtype", ["x:0"], [np.zeros([1, 2], int)], "x:0 must have dtype"),
        ("shape", ["x:0"], [np.zeros([1, 3])], "x:0 must have shape"),
        ("scalar", ["x:0"], [1.0], "x:0 must have shape"),
        (
            "rows",
            ["x:0", "z:0"],
            [np.zeros([1, 2]), np.zeros([2, 2])],
            "equal 0th-dimension size; got x:0 \\[1, 2\\], z:0 \\[2, 2\\]",
        ),
    )
    def test_inputs_that_do_not_fit_are_refused(
        self, feeds: list[str], inputs: list[npt.NDArray[Any]], text: str
    ) -> None:
        """Inputs that do not fit are INVALID_ARGUMENT before scheduling."""
        fixture = task_recorder.RecordedFunction(feeds=feeds, shape=(None, 2))
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            fixture.task(*inputs)

    def test_scalar_is_refused_where_any_shape_fits(self) -> None:
        """A scalar has no rows that a batch could be made of."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "a scalar"):
            task_recorder.RecordedFunction().task(np.array(1.0))

    @parameterized.parameters("x:0", "unknown:0")
    def test_unknown_names_are_refused(self, feed: str) -> None:
        """An unknown name is the INVALID_ARGUMENT of the session."""
        with self.assertRaises(errors.InvalidArgumentError):
            task_recorder.RecordedFunction(
                ["y:0" if feed != "x:0" else "unknown:0"], [feed]
            )


class RunTest(parameterized.TestCase):
    """Several tasks that are run as one."""

    def test_each_call_gets_its_rows(self) -> None:
        """A task gets its rows of every output of one run of the session."""
        fixture = task_recorder.RecordedFunction(["y:0", "x:0"], ["x:0", "z:0"])
        first = fixture.task([[0.0]], [[0.0]])
        second = fixture.task([[2.0], [4.0]], [[0.0], [0.0]])
        run = fixture.run(first, second)
        assert run is not None
        self.assertEqual(fixture.done, [first, second])
        np.testing.assert_array_equal(fixture.outputs[0][0], [[2]])
        np.testing.assert_array_equal(fixture.outputs[1][0], [[3], [4]])
        np.testing.assert_array_equal(fixture.outputs[1][1], [[2], [4]])
        self.assertEqual(len(fixture.session.inputs), 1)
        self.assertEqual((run.num_rows, run.num_padding_rows), (3, 0))
        self.assertEqual(fixture.caller.timings, [run, run])

    def test_batch_is_padded_with_copies_of_its_first_row(self) -> None:
        """Rows are added as copies of the first; no task sees their outputs."""
        fixture = task_recorder.RecordedFunction()
        tasks = [fixture.task([5.0]), fixture.task([1.0])]
        run = fixture.function.execute(tasks, 0.0, (1, 4))
        assert run is not None
        np.testing.assert_array_equal(fixture.session.inputs, [[5, 1, 5, 5]])
        np.testing.assert_array_equal(fixture.outputs[1], [[2.5]])
        self.assertEqual((run.num_rows, run.num_padding_rows), (2, 2))

    def test_run_says_when(self) -> None:
        """A run says when it was taken, began and was done."""
        fixture = task_recorder.RecordedFunction()
        fixture.clock.advance_micros(5_000_000)
        run = fixture.function.execute([fixture.task([1.0])], 3.0, ())
        assert run is not None
        self.assertEqual(
            (run.taken_time, run.start_time, run.end_time), (3, 5, 5)
        )

    def test_lone_call_may_have_outputs_of_any_shape(self) -> None:
        """A lone task without padding may have outputs of any shape."""
        fixture = task_recorder.RecordedFunction(["sum:0"])
        task = fixture.task([1.0, 2.0])
        fixture.run(task)
        self.assertEqual(fixture.outputs, [[3]])

    @parameterized.named_parameters(
        ("padded", 1, (4,)), ("of_two", 2, ()), ("both", 2, (4,))
    )
    def test_batch_without_its_rows_shows_that_calls_run_alone(
        self, num_tasks: int, padding: tuple[int, ...]
    ) -> None:
        """Outputs of unknown rows go to nobody; the log has one line."""
        fixture = task_recorder.RecordedFunction(["y:0", "sum:0"])
        tasks = [fixture.task([1.0, 2.0]) for _ in range(num_tasks)]
        self.assertFalse(fixture.function.runs_alone)
        with self.assertLogs(level="WARNING") as logs:
            self.assertIsNone(fixture.function.execute(tasks, 0.0, padding))
        (text,) = logs.output
        self.assertIn("sum:0", text)
        self.assertEqual(fixture.done, [])
        self.assertTrue(fixture.function.runs_alone)

        for group in task_groups.groups(tasks):
            fixture.function.execute(group.tasks, 0.0, padding)
        self.assertEqual(fixture.done, tasks)
        np.testing.assert_array_equal(fixture.outputs[0][1], 3)

    def test_error_of_the_session_tells_nobody(self) -> None:
        """The caller of run() has to handle an error of the session."""
        fixture = task_recorder.RecordedFunction(["lost:0"])
        with self.assertRaises(errors.DataLossError):
            fixture.run(fixture.task([1.0]))
        self.assertEqual(fixture.done, [])

    def test_caller_gets_the_result_of_a_batch_in_one_go(self) -> None:
        """Its tasks are in the order of the rows."""
        fixture = task_recorder.RecordedFunction()
        tasks = [fixture.task([1.0]), fixture.task([]), fixture.task([1.0] * 2)]
        fixture.run(*tasks)
        self.assertEqual(fixture.caller.num_tasks, [3])
        self.assertEqual(fixture.done, tasks)
        self.assertEqual([len(y) for (y,) in fixture.outputs], [1, 0, 2])

    @parameterized.parameters((), (8,))
    def test_callers_that_share_a_batch_get_their_own_rows(
        self, *padding: int
    ) -> None:
        """The tasks of one caller that come in a row end together."""
        fixture, other = (
            task_recorder.RecordedFunction(),
            task_recorder.TaskRecorder(),
        )
        tasks = [
            fixture.function.task([[x, x + 1]], caller)
            for x, caller in (
                (0.0, fixture.caller),
                (2.0, fixture.caller),
                (4.0, other),
                (6.0, fixture.caller),
            )
        ]
        fixture.function.execute(tasks, 0.0, padding)
        self.assertEqual(fixture.caller.num_tasks, [2, 1])
        self.assertEqual(other.num_tasks, [1])
        np.testing.assert_array_equal(
            [y for (y,) in fixture.outputs], [[2, 2.5], [3, 3.5], [5, 5.5]]
        )
        np.testing.assert_array_equal(other.outputs[0][0], [4, 4.5])

    def test_caller_finds_its_context_again(self) -> None:
        """A task carries whatever object its caller gave it."""
        fixture = task_recorder.RecordedFunction()
        context = object()
        fixture.run(
            fixture.function.task([[1.0]], fixture.caller, context=context)
        )
        self.assertIs(fixture.done[0].context, context)

    def test_calls_whose_caller_raises_fail(self) -> None:
        """Calls whose caller raises fail once; others succeed."""
        fixture, bad = task_recorder.RecordedFunction(), _BadCaller()
        tasks = [fixture.function.task([[1.0]], bad) for _ in range(2)]
        good = fixture.task([1.0])
        with self.assertLogs(level="ERROR") as logs:
            fixture.run(*tasks, good)
        (text,) = logs.output
        self.assertIn("bad caller", text)
        self.assertEqual(bad.done, tasks)
        self.assertEqual(bad.num_tasks, [2])
        self.assertIsInstance(bad.errors[0], errors.InternalError)
        self.assertNotIn("bad caller", str(bad.errors[0]))
        self.assertEqual(fixture.done, [good])

    @parameterized.parameters(False, True)
    def test_caller_that_always_raises_harms_no_other(
        self, failed: bool
    ) -> None:
        """A caller that always raises is logged and harms no other."""
        fixture = task_recorder.RecordedFunction()
        bad = fixture.function.task([[1.0]], _WorseCaller())
        good = fixture.task([1.0])
        with self.assertLogs(level="ERROR") as logs:
            if failed:
                batched_function.fail_all([bad, good], errors.DataLossError(""))
            else:
                fixture.run(bad, good)
        self.assertIn("worse caller", logs.output[-1])
        self.assertEqual(fixture.done, [good])

    def test_calls_of_one_caller_share_an_error(self) -> None:
        """A caller with several tasks in a batch gets their failure once."""
        fixture = task_recorder.RecordedFunction()
        tasks = [fixture.task([1.0]) for _ in range(2)]
        batched_function.fail_all(tasks, errors.DataLossError("gone"))
        self.assertEqual(fixture.caller.num_tasks, [2])
        self.assertEqual([str(error) for error in fixture.errors], ["gone"] * 2)
        self.assertEqual(fixture.done, tasks)


class SplitTest(parameterized.TestCase):
    """A task that is run in parts."""

    def test_parts_are_rows_in_order(self) -> None:
        """The parts of a task are its rows in order, with its times."""
        fixture = task_recorder.RecordedFunction(feeds=["x:0", "z:0"])
        whole = fixture.task([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], deadline=9)
        parts = whole.split([1, 2])
        self.assertEqual([part.size for part in parts], [1, 2])
        self.assertEqual([part.num_rows for part in parts], [1, 2])
        self.assertEqual([part.deadline for part in parts], [9, 9])
        np.testing.assert_array_equal(parts[1].inputs, [[2, 3], [5, 6]])

    @parameterized.parameters((0, 1, 2), (2, 1, 0), (1, 2, 0))
    def test_outputs_come_back_in_order(self, *order: int) -> None:
        """Outputs are in order, whatever part of a task ends first."""
        fixture = task_recorder.RecordedFunction(["y:0", "x:0"])
        whole = fixture.task([0.0, 2.0, 4.0, 6.0, 8.0])
        parts = whole.split([2, 2, 1])
        for index in order:
            self.assertEqual(fixture.done, [])
            fixture.run(parts[index])
        self.assertEqual(fixture.done, [whole])
        self.assertEqual(fixture.errors, [])
        ((y, x),) = fixture.outputs
        np.testing.assert_array_equal(y, [2, 3, 4, 5, 6])
        np.testing.assert_array_equal(x, [0, 2, 4, 6, 8])

    def test_run_of_the_whole_is_that_of_all_parts(self) -> None:
        """The times are of the first start and the last end of all parts."""
        fixture = task_recorder.RecordedFunction()
        whole = fixture.task([0.0, 0.0, 0.0])
        small, large = whole.split([1, 2])
        fixture.clock.advance_micros(2_000_000)
        fixture.function.execute([small], 1.0, (4,))
        fixture.clock.advance_micros(2_000_000)
        fixture.function.execute([large], 3.0, (4,))
        self.assertEqual(
            fixture.caller.timings,
            [run_timing.RunTiming(2, 3, 1.0, 2.0, 4.0)],
        )

    def test_failure_of_a_part_ends_the_whole_once(self) -> None:
        """The first part that fails ends the task at once, with its error."""
        fixture = task_recorder.RecordedFunction()
        whole = fixture.task([0.0, 2.0, 4.0])
        parts = whole.split([1, 1, 1])
        fixture.run(parts[0])
        batched_function.fail_all([parts[1]], errors.DataLossError("gone"))
        self.assertEqual(fixture.done, [whole])
        fixture.run(parts[2])
        batched_function.fail_all([parts[2]], errors.DataLossError("late"))
        whole.fail(errors.CancelledError("later"))
        self.assertEqual(fixture.done, [whole])
        self.assertEqual([str(error) for error in fixture.errors], ["gone"])

    def test_whole_that_is_given_up_ignores_its_parts(self) -> None:
        """It was cancelled while some of them ran."""
        fixture = task_recorder.RecordedFunction()
        whole = fixture.task([0.0, 2.0])
        parts = whole.split([1, 1])
        fixture.run(parts[0])
        whole.fail(errors.CancelledError("gone"))
        fixture.run(parts[1])
        self.assertEqual(fixture.done, [whole])
        self.assertIsInstance(fixture.errors[0], errors.CancelledError)
        self.assertEqual(fixture.outputs, [])

    def test_part_is_not_passed_through(self) -> None:
        """A part that is alone in its batch is put together with the rest."""
        fixture = task_recorder.RecordedFunction(["sum:0"])
        (part, _) = fixture.task([0.0, 2.0]).split([1, 1])
        self.assertIsNone(fixture.run(part))
        self.assertEqual(fixture.done, [])

    def test_outputs_that_cannot_be_put_together_fail_the_whole(self) -> None:
        """Outputs that do not fit together are a FAILED_PRECONDITION."""
        fixture = task_recorder.RecordedFunction(["wide:0"])
        whole = fixture.task([0.0, 2.0, 4.0])
        for part in whole.split([1, 2]):
            fixture.run(part)
        self.assertEqual(fixture.done, [whole])
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "rows of one shape"
        ):
            raise fixture.errors[0]

    @parameterized.parameters(False, True)
    def test_inputs_are_free_when_the_call_is_done(self, failed: bool) -> None:
        """Large inputs do not wait for a collection of garbage."""
        fixture = task_recorder.RecordedFunction()
        array = np.zeros([4, 1000])
        reference = weakref.ref(array)
        whole = fixture.task(array)
        parts = whole.split([2, 2])
        whole.parts = parts
        if failed:
            whole.fail(errors.CancelledError("gone"))
        fixture.run(*parts)
        fixture.session.inputs.clear()
        fixture.done.clear()
        gc.disable()
        self.addCleanup(gc.enable)
        self.assertIsNotNone(reference())
        del array, whole, parts
        self.assertIsNone(reference())

    def test_whole_whose_caller_raises_fails(self) -> None:
        """A failure of the last part alone would let the whole hang."""
        fixture, bad = task_recorder.RecordedFunction(), _BadCaller()
        whole = fixture.function.task([[0.0, 2.0]], bad)
        with self.assertLogs(level="ERROR"):
            fixture.run(*whole.split([1, 1]))
        self.assertEqual(bad.done, [whole])
        self.assertIsInstance(bad.errors[0], errors.InternalError)


if __name__ == "__main__":
    absltest.main()
