"""Which tasks of a batch can be run as one."""

import dataclasses
import math
from collections.abc import Hashable, Sequence
from typing import Final

from tensorflow_serving.batching import batched_function

# Padded inputs hold at most so many times the values that callers sent: one
# long row among short ones must not take the memory of the server.
_MAX_GROWTH: Final = 64


@dataclasses.dataclass(frozen=True)
class Group:
    """Tasks to run as one."""

    tasks: batched_function.Tasks
    # Whether they failed in a larger group.
    is_half: bool = False


class GroupsToRun:
    """Groups in order, of which another thread may take what is left.

    Thread-safe.
    """

    def __init__(self, first: Sequence[Group]) -> None:
        """Has groups to run."""
        # The next one at the end. Each operation is atomic.
        self._groups = [*reversed(first)]

    def pop(self) -> Group | None:
        """Removes and returns the next group, if there is one."""
        try:
            return self._groups.pop()
        except IndexError:
            return None

    def push(self, groups: Sequence[Group]) -> None:
        """Adds groups that are next."""
        self._groups += reversed(groups)

    def pop_tasks(self) -> list[batched_function.FunctionTask]:
        """Removes all groups, and returns their tasks."""
        tasks: list[batched_function.FunctionTask] = []
        while (group := self.pop()) is not None:
            tasks += group.tasks
        return tasks


def groups(tasks: batched_function.Tasks) -> list[Group]:
    """Returns the tasks in groups of those that can be run as one.

    Parts of a task that has to run alone are replaced by the whole task.
    """
    if _are_alike(tasks):
        return [Group(tasks)]
    by_key: dict[Hashable, list[batched_function.FunctionTask]] = {}
    for task in tasks:
        function = task.function
        if not function.runs_alone:
            key = (id(function), function.merge_key(task))
            by_key.setdefault(key, []).append(task)
        elif (whole := task.unsplit()) is not None:
            by_key[id(whole)] = [whole]
    found: list[Group] = []
    for alike in by_key.values():
        if len(alike) > 1 and alike[0].function.pads_inputs:
            found += _limited(alike)
        else:
            found.append(Group(alike))
    return found


def _are_alike(tasks: batched_function.Tasks) -> bool:
    """Returns whether tasks can be merged as they are, as most can."""
    function = tasks[0].function
    if function.runs_alone or len({task.function for task in tasks}) > 1:
        return False
    if function.has_rows_of_one_shape:
        return True
    if len(tasks[0].inputs) == 1:
        return len({task.inputs[0].shape[1:] for task in tasks}) == 1
    shapes = {
        tuple([array.shape[1:] for array in task.inputs]) for task in tasks
    }
    return len(shapes) == 1


def _limited(tasks: batched_function.Tasks) -> list[Group]:
    """Returns tasks in groups that padding does not make too large."""
    found = [_PaddedGroup()]
    for task in tasks:
        if not found[-1].add(task):
            found.append(_PaddedGroup())
            found[-1].add(task)
    return [Group(group.tasks) for group in found]


class _PaddedGroup:
    """Tasks whose rows are padded to one shape for each of the inputs."""

    def __init__(self) -> None:
        self.tasks: list[batched_function.FunctionTask] = []
        self._row_shapes: list[tuple[int, ...]] = []
        self._num_rows = 0
        # Those that callers sent.
        self._num_values = 0

    def add(self, task: batched_function.FunctionTask) -> bool:
        """Adds a task; returns whether there was room, as for the first."""
        shapes = [array.shape[1:] for array in task.inputs]
        if self.tasks and shapes != self._row_shapes:
            shapes = [
                tuple(map(max, *pair))
                for pair in zip(self._row_shapes, shapes, strict=True)
            ]
        num_rows = self._num_rows + task.num_rows
        num_values = self._num_values + sum(
            [array.size for array in task.inputs]
        )
        num_padded = num_rows * sum(map(math.prod, shapes))
        if self.tasks and num_padded > _MAX_GROWTH * num_values:
            return False
        self.tasks.append(task)
        self._row_shapes = shapes
        self._num_rows = num_rows
        self._num_values = num_values
        return True
