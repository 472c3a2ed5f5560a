"""Tests for functions whose tasks run alone."""

from collections.abc import Mapping

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import batched_function, task_groups
from tensorflow_serving.test_util import (
    fake_clock,
    fake_session,
    task_recorder,
)
from tensorflow_serving.util import errors

_Group = task_groups.Group


class RunsAloneTest(parameterized.TestCase):
    """Functions whose tasks must not be merged, split or padded."""

    @parameterized.named_parameters(
        ("input_of_one_row", (1, 2), {}, True),
        ("input_of_many_rows", (64, 2), {}, True),
        ("scalar_input", (), {}, True),
        ("scalar_output", (None, 2), {"y:0": ()}, True),
        ("output_of_fixed_rows", (None, 2), {"y:0": (10, 2)}, True),
        ("rows", (None, 2), {"y:0": (None, 2)}, False),
        ("rows_of_any_shape", (None, None), {"y:0": (None, None)}, False),
        ("unknown_shapes", None, {}, False),
    )
    def test_graph_says_whether_calls_run_alone(
        self,
        shape: tuple[int | None, ...] | None,
        output_shapes: Mapping[str, tuple[int | None, ...]],
        expected: bool,
    ) -> None:
        """A size of the 0th dimension, or its absence, forbids batches."""
        function = task_recorder.RecordedFunction(
            shape=shape, output_shapes=output_shapes
        ).function
        self.assertEqual(function.runs_alone, expected)

    def test_calls_are_never_grouped(self) -> None:
        """Each task is a group, whatever comes with it."""
        fixture = task_recorder.RecordedFunction(shape=(1, 2))
        tasks = [fixture.task(np.zeros([1, 2])) for _ in range(3)]
        self.assertEqual(
            task_groups.groups(tasks), [_Group([task]) for task in tasks]
        )

    def test_inputs_of_any_shape_are_taken_if_the_caller_says_so(self) -> None:
        """TensorFlow itself does not compare shapes with the graph either."""
        session = fake_session.FakeSession((None, 1))
        function = batched_function.BatchedFunction(
            session,
            ["y:0"],
            ["x:0"],
            fake_clock.FakeClock(),
            takes_any_shape=True,
        )
        self.assertFalse(function.runs_alone)
        self.assertEqual(function.to_arrays([np.zeros(3)])[0].shape, (3,))
        tasks = [
            function.task([np.zeros(shape)], task_recorder.TaskRecorder())
            for shape in ([3], [2, 1], [1])
        ]
        self.assertEqual(
            task_groups.groups(tasks),
            [_Group([tasks[0], tasks[2]]), _Group([tasks[1]])],
        )

    def test_call_is_not_padded(self) -> None:
        """The graph gets the size that it fixes, and the caller its outputs."""
        fixture = task_recorder.RecordedFunction(shape=(1, 2))
        task = fixture.task([[2.0, 4.0]])
        run = fixture.function.execute([task], 0.0, (4, 8))
        np.testing.assert_array_equal(fixture.session.inputs, [[[2, 4]]])
        np.testing.assert_array_equal(fixture.outputs, [[[[3, 4]]]])
        assert run is not None
        self.assertEqual((run.num_rows, run.num_padding_rows), (1, 0))

    def test_call_takes_the_room_of_one_row(self) -> None:
        """A call fits into any queue and is not split, whatever its rows."""
        task = task_recorder.RecordedFunction(shape=(64, 2)).task(
            np.zeros([64, 2])
        )
        self.assertEqual((task.num_rows, task.size), (64, 1))

    def test_inputs_need_no_common_rows(self) -> None:
        """A scalar beside rows is fine, where the graph wants that."""
        fixture = task_recorder.RecordedFunction(
            ["sum:0"], output_shapes={"sum:0": ()}
        )
        fixture.run(fixture.task(np.array(4.0)))
        self.assertEqual(fixture.outputs, [[4.0]])

    def test_call_without_inputs_runs_alone(self) -> None:
        """It has no rows that could be merged with those of others."""
        fixture = task_recorder.RecordedFunction(feeds=[])
        task = fixture.task()
        self.assertTrue(fixture.function.runs_alone)
        self.assertEqual((task.num_rows, task.size), (1, 1))

    def test_rows_must_be_those_that_the_graph_fixes(self) -> None:
        """Another number of rows is refused before anything is scheduled."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must have shape \\[1, 2\\]; got"
        ):
            task_recorder.RecordedFunction(shape=(1, 2)).task(np.zeros([3, 2]))

    @parameterized.parameters(1, 3)
    def test_parts_become_the_whole_again(self, num_others: int) -> None:
        """A task that was split before its function was known runs once."""
        fixture = task_recorder.RecordedFunction(["sum:0"])
        whole = fixture.task([1.0, 2.0, 3.0])
        parts = whole.split([1, 2])
        others = [fixture.task([5.0]) for _ in range(num_others)]
        self.assertIsNone(fixture.run(parts[0], *others))
        for group in task_groups.groups([parts[0], *others]):
            fixture.run(*group.tasks)
        self.assertEqual(fixture.done, [whole, *others])
        self.assertEqual(fixture.outputs[0], [6.0])
        self.assertEqual(task_groups.groups([parts[1]]), [])

    def test_whole_that_has_ended_is_not_run(self) -> None:
        """Its parts are dropped when nobody waits for them."""
        fixture = task_recorder.RecordedFunction(["sum:0"])
        whole = fixture.task([1.0, 2.0])
        parts = whole.split([1, 1])
        whole.fail(errors.CancelledError("gone"))
        self.assertIsNone(fixture.run(parts[0]))
        self.assertEqual(task_groups.groups(parts), [])


if __name__ == "__main__":
    absltest.main()
