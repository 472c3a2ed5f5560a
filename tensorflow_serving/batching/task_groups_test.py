"""Tests for task_groups."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import batched_function, task_groups
from tensorflow_serving.test_util import task_recorder

_Group = task_groups.Group


class GroupsTest(absltest.TestCase):
    """Which tasks can be run as one."""

    def test_calls_with_fixed_rows_fit_together(self) -> None:
        """Calls with fixed rows fit together; nobody compares shapes."""
        fixture = task_recorder.RecordedFunction(shape=(None, 2))
        tasks = [fixture.task(np.zeros([n, 2])) for n in (1, 2, 3)]
        self.assertEqual(task_groups.groups(tasks), [_Group(tasks)])

    def test_calls_with_other_rows_or_functions_run_apart(self) -> None:
        """Groups, and the calls of a group, are in the order of arrival."""
        one, other = (
            task_recorder.RecordedFunction(),
            task_recorder.RecordedFunction(["x:0"]),
        )
        a = one.task(np.zeros([1, 2]))
        b = one.task(np.zeros([1, 3]))
        c = other.task(np.zeros([1, 2]))
        d = one.task(np.zeros([5, 2]))
        e = other.task(np.zeros([5, 2]))
        self.assertEqual(
            task_groups.groups([a, b, c, d, e]),
            [_Group([a, d]), _Group([b]), _Group([c, e])],
        )

    def test_functions_with_fixed_rows_run_apart(self) -> None:
        """Functions with fixed rows run apart, whatever their shapes."""
        tasks = [
            task_recorder.RecordedFunction(shape=(None, 2)).task(
                np.zeros([1, 2])
            )
            for _ in range(2)
        ]
        self.assertEqual(len(task_groups.groups(tasks)), 2)


class GroupsToRunTest(absltest.TestCase):
    """The groups of a batch, of which some are taken elsewhere."""

    def test_groups_come_in_order(self) -> None:
        """Groups that are added come before those that wait."""
        first, second, third, fourth = (
            task_groups.Group([task_recorder.RecordedFunction().task(x)])
            for x in np.zeros([4, 1])
        )
        groups = task_groups.GroupsToRun([first, fourth])
        self.assertIs(groups.pop(), first)
        groups.push([second, third])
        self.assertIs(groups.pop(), second)
        self.assertEqual(groups.pop_tasks(), [*third.tasks, *fourth.tasks])
        self.assertIsNone(groups.pop())
        self.assertEqual(groups.pop_tasks(), [])


class PaddedGroupsTest(parameterized.TestCase):
    """Which tasks can be run as one if their rows are padded."""

    def _sizes(
        self,
        shape: tuple[int | None, ...] | None,
        *shapes: tuple[int, ...],
    ) -> list[int]:
        """Returns the sizes of the groups of tasks of these shapes."""
        fixture = task_recorder.RecordedFunction(shape=shape, pads_inputs=True)
        tasks = [fixture.task(np.zeros(each)) for each in shapes]
        return [len(group.tasks) for group in task_groups.groups(tasks)]

    @parameterized.named_parameters(
        ("lengths", (None, None), [(1, 2), (2, 3), (1, 0)], [3]),
        ("fixed_dimension", (None, None, 2), [(1, 3, 2), (1, 1, 2)], [2]),
        ("unknown_rank", None, [(1, 2), (1, 3), (1, 2, 1)], [2, 1]),
        ("no_dimension_of_rows", None, [(1,), (3,)], [2]),
    )
    def test_rows_that_the_graph_leaves_open_fit_together(
        self,
        shape: tuple[int | None, ...] | None,
        shapes: list[tuple[int, ...]],
        expected: list[int],
    ) -> None:
        """Rows of one rank are padded where the graph does not fix a size."""
        self.assertEqual(self._sizes(shape, *shapes), expected)

    def test_sizes_that_the_graph_fixes_are_never_padded(self) -> None:
        """An image with a missing pixel does not become a good one."""
        fixture = task_recorder.RecordedFunction(
            shape=(None, 3), pads_inputs=True
        )
        function = batched_function.BatchedFunction(
            fixture.session,
            ["y:0"],
            ["x:0"],
            fixture.clock,
            takes_any_shape=True,
            pads_inputs=True,
        )
        tasks = [
            function.task([np.zeros(shape)], fixture.caller)
            for shape in ([1, 3], [1, 2], [1, 3, 1])
        ]
        self.assertEqual(len(task_groups.groups(tasks)), 3)

    def test_parts_of_a_task_are_not_padded(self) -> None:
        """Their outputs are joined, and have one shape only without it."""
        fixture = task_recorder.RecordedFunction(
            shape=(None, None), pads_inputs=True
        )
        parts = fixture.task(np.zeros([2, 1])).split([1, 1])
        mates = [fixture.task(np.zeros([1, size])) for size in (1, 3)]
        self.assertEqual(
            task_groups.groups([parts[0], *mates, parts[1]]),
            [_Group(parts), _Group(mates)],
        )

    def test_one_long_row_does_not_take_the_memory(self) -> None:
        """Padding multiplies what callers sent by a limited number."""
        self.assertEqual(
            self._sizes(None, (100, 1), (1, 10_000), (1, 9_000), (200, 1)),
            [1, 2, 1],
        )
        self.assertEqual(self._sizes(None, (1, 1, 1000), (1, 1000, 1)), [1, 1])


if __name__ == "__main__":
    absltest.main()
