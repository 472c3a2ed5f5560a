"""One function of a session, of which several tasks are run as one.

A function is a choice of tensors to feed and to fetch. A BatchingSession
schedules its tasks.
"""

import dataclasses
import itertools
import math
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from absl import logging

from tensorflow_serving.batching import (
    batch_scheduler,
    run_timing,
    tensor_batch,
)
from tensorflow_serving.util import bugs, errors, tensor_spec
from tensorflow_serving.util import clock as clock_lib

# Tasks that run or end together.
Tasks = Sequence["FunctionTask"]


class WrappedSession(Protocol):
    """The part of a session that batching uses to run it in batches."""

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., Sequence[npt.NDArray[Any]]]:
        """Returns a thread-safe function from feeds to fetches.

        Args:
          fetches: Names of tensors ("y:0").
          feed_list: Names of tensors, in the order of the arguments.

        Raises:
          InvalidArgumentError: A name is not in the graph. Permanent.
        """

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns dtype and shape of a tensor.

        Raises:
          InvalidArgumentError: The name is not in the graph. Permanent.
        """

    def close(self) -> None:
        """Frees what the session holds."""


class Caller(Protocol):
    """The maker of tasks, which gets their outputs or their error.

    The tasks of a caller that share a batch end together. Both methods are
    called without a lock, on any thread, and must not block.
    """

    def succeed(
        self,
        tasks: Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """Ends tasks that ran together with their outputs.

        If it raises, the error is logged and fail() gets all the tasks, also
        those that have their outputs already.

        Args:
          tasks: At least one.
          outputs: Arrays [rows, ...], with the rows of the tasks one after
            the other; rows_of() takes them apart. A task that ran alone may
            have outputs of other shapes.
          timing: The times of the run, of these tasks and perhaps of others.
        """

    def fail(self, tasks: Tasks, error: errors.ServingError) -> None:
        """Ends tasks with an error that they share; at least one.

        It has no effect on a task that has ended already.
        """


class FunctionTask(batch_scheduler.BatchTask):
    """A run that waits for its turn; its caller gets the result."""

    __slots__ = (
        "arrival_time",
        "caller",
        "context",
        "deadline",
        "function",
        "inputs",
        "num_rows",
        "parts",
        "place",
        "size",
        "ticket",
        "whole",
    )

    def __init__(
        self,
        function: "BatchedFunction",
        inputs: Sequence[npt.NDArray[Any]],
        caller: Caller,
        deadline: float,
        context: object,
    ) -> None:
        """Use BatchedFunction.task() instead, which checks the inputs."""
        self.function = function
        self.inputs = inputs
        has_rows = bool(inputs and inputs[0].ndim)
        self.num_rows = num_rows = len(inputs[0]) if has_rows else 1
        # A task without rows takes up room as well, or any number would fit. A
        # task that runs alone is never too large, and never split.
        self.size = 1 if function.runs_alone else num_rows or 1
        self.caller = caller
        self.deadline = deadline
        self.context: Any = context
        self.arrival_time = function.clock.now()
        # If the task was split.
        self.whole: _Whole | None = None
        # Fields of the queue; see BatchTask.
        self.place = None
        self.ticket = None
        self.parts = ()

    def fail(self, error: errors.ServingError) -> None:
        """Ends the task with an error; of several, the first counts."""
        if self.whole is None or self.whole.end() is self:
            self.caller.fail([self], error)

    @property
    def is_part(self) -> bool:
        """Whether this is a part of a task that was split."""
        return isinstance(self.caller, _Whole)

    def unsplit(self) -> "FunctionTask | None":
        """Returns the task of which this is a part, to be run as a whole.

        Returns:
          This task if it is not a part; None if another part of the whole task
          got it before, or the whole task has ended.
        """
        if isinstance(self.caller, _Whole):
            return self.caller.end()
        return self

    def split(self, sizes: Sequence[int]) -> list["FunctionTask"]:
        """See BatchTask; this task is done when the last part is."""
        self.whole = whole = _Whole(self, len(sizes))
        parts = []
        start = 0
        for index, size in enumerate(sizes):
            inputs = [array[start : start + size] for array in self.inputs]
            part = FunctionTask(
                self.function, inputs, whole, self.deadline, index
            )
            part.arrival_time = self.arrival_time
            parts.append(part)
            start += size
        return parts


class _Whole:
    """A task that was split, as the caller of its parts. Thread-safe."""

    def __init__(self, task: FunctionTask, num_parts: int) -> None:
        self._lock = threading.Lock()
        # All guarded by _lock. The task, until it ends; without it there is no
        # cycle of references that keeps its inputs.
        self._task: FunctionTask | None = task
        # The outputs of each part, in order.
        self._outputs: list[Sequence[npt.NDArray[Any]]] = [()] * num_parts
        self._timings: list[run_timing.RunTiming] = []

    def end(self) -> FunctionTask | None:
        """Returns the task once; from then on the parts are ignored."""
        with self._lock:
            task, self._task = self._task, None
        return task

    def succeed(
        self,
        tasks: Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """Keeps the outputs of parts; the last one ends the whole task."""
        with self._lock:
            for part, part_outputs in rows_of(tasks, outputs):
                self._outputs[part.context] = part_outputs
                self._timings.append(timing)
            if self._task is None or len(self._timings) < len(self._outputs):
                return
        # This was the last part: there is nobody else now but fail().
        try:
            outputs = [
                np.concatenate(arrays)
                for arrays in zip(*self._outputs, strict=True)
            ]
        except ValueError as error:
            self.fail(
                tasks,
                errors.FailedPreconditionError(
                    "outputs of all parts of a call must have rows of one "
                    f"shape; got {error}"
                ),
            )
            return
        if (task := self.end()) is not None:
            _succeed(
                task.caller, [task], outputs, run_timing.overall(self._timings)
            )

    def fail(self, tasks: Tasks, error: errors.ServingError) -> None:
        """Ends the whole task with the error of parts."""
        if (task := self.end()) is not None:
            _fail(task.caller, [task], error)


class BatchedFunction:
    """A function of a session, with its inputs checked at the door.

    Calls are merged only if each row of the outputs belongs to a row of the
    inputs. What the shapes in the graph say of that is looked at once, here. If
    the graph does not say it, the first batch whose outputs do not have its
    rows shows it. From then on each task runs alone, so that what a task gets
    never depends on the tasks that happen to come with it.

    Thread-safe.
    """

    def __init__(
        self,
        session: WrappedSession,
        fetches: Sequence[str],
        feeds: Sequence[str],
        clock: clock_lib.Clock,
        *,
        runs_alone: bool = False,
        takes_any_shape: bool = False,
        pads_inputs: bool = False,
    ) -> None:
        """Looks the tensors up.

        Args:
          session: Runs the function.
          fetches: Names of tensors.
          feeds: Names of tensors.
          clock: Measures when tasks arrive and run.
          runs_alone: Whether tasks must not be merged, whatever the shapes.
          takes_any_shape: Whether inputs may have other shapes than the graph
            says, as for TensorFlow itself.
          pads_inputs: Whether rows of different shapes are padded to one, in
            the dimensions that the graph leaves open.

        Raises:
          InvalidArgumentError: A tensor is not in the graph. Permanent.
        """
        self.clock = clock
        self.fetches = tuple(fetches)
        specs = [session.tensor_spec(name) for name in feeds]
        self._run = session.make_callable(fetches, feeds)
        # Whether tasks must not be merged, split or padded.
        self.runs_alone = runs_alone or not tensor_spec.leave_rows_open(
            specs, [*map(session.tensor_spec, fetches)]
        )
        # Whether rows of different shapes are padded to one.
        self.pads_inputs = pads_inputs
        self._graph_specs = specs
        if takes_any_shape:
            specs = [dataclasses.replace(spec, shape=None) for spec in specs]
        self._specs = specs
        # Whether all tasks can share a batch.
        self.has_rows_of_one_shape = all(
            spec.has_rows_of_one_shape for spec in self._specs
        )

    def to_arrays(
        self, inputs: Sequence[npt.ArrayLike]
    ) -> list[npt.NDArray[Any]]:
        """Returns inputs of a task as arrays that fit the graph.

        Args:
          inputs: An array of shape [rows, ...] for each of the feeds; of any
            shape that the graph allows if the function runs alone.

        Raises:
          InvalidArgumentError: The inputs do not have the dtypes and shapes
            that the graph expects, or no common number of rows. Permanent.
        """
        specs = self._specs
        if len(specs) == len(inputs) == 1:
            # The usual case, in half the time.
            arrays = [specs[0].to_array(inputs[0])]
        else:
            arrays = [
                spec.to_array(value)
                for spec, value in zip(specs, inputs, strict=True)
            ]
        if (len(arrays) != 1 or not arrays[0].ndim) and not self.runs_alone:
            names = [spec.name for spec in self._specs]
            tensor_batch.num_rows(dict(zip(names, arrays, strict=True)))
        return arrays

    def merge_key(self, task: FunctionTask) -> Hashable:
        """Returns what tasks of the function have in common if they can merge.

        The parts of a task are not padded: each would be to another shape, and
        so would the outputs, which are to be joined.
        """
        inputs = task.inputs
        if self.pads_inputs and not task.is_part:
            return tuple(
                spec.fixed_sizes(array)
                for spec, array in zip(self._graph_specs, inputs, strict=True)
            )
        return tuple([array.shape[1:] for array in inputs])

    def task(
        self,
        inputs: Sequence[npt.ArrayLike],
        caller: Caller,
        deadline: float = math.inf,
        context: object = None,
    ) -> FunctionTask:
        """Returns a task to schedule.

        Args:
          inputs: An array of shape [rows, ...] for each of the feeds.
          caller: Gets the result. Calls with the same caller get theirs in one
            go if they run together.
          deadline: When the result is no longer useful, in seconds of the
          clock.
          context: Whatever the caller wants to find in the task again.

        Raises:
          InvalidArgumentError: See to_arrays().
        """
        return FunctionTask(
            self, self.to_arrays(inputs), caller, deadline, context
        )

    def execute(
        self,
        tasks: Tasks,
        taken_time: float,
        padding: Sequence[int],
    ) -> run_timing.RunTiming | None:
        """Runs tasks that fit together as one, and gives callers the outputs.

        Args:
          tasks: A group of tasks of this function; see task_groups.
          taken_time: When they left their queue.
          padding: The sizes to which a batch may be padded; ascending.

        Returns:
          Its times; None if the outputs did not have the rows of the batch.
          Then no caller got anything, and the tasks are to be grouped and run
          again.

        Raises:
          ServingError: The run failed; no caller got anything.
        """
        is_part = tasks[0].is_part
        is_alone = self.runs_alone and len(tasks) == 1 and not is_part
        num_rows = num_padded = sum([task.num_rows for task in tasks])
        if is_alone:
            inputs = tasks[0].inputs
        else:
            num_padded = tensor_batch.padded_size(num_rows, padding)
            inputs = _merged_inputs(tasks, num_padded)
        start_time = self.clock.now()
        outputs = self._run(*inputs)
        end_time = self.clock.now()
        timing = run_timing.RunTiming(
            num_rows, num_padded - num_rows, taken_time, start_time, end_time
        )
        if not is_alone and (len(tasks) > 1 or padding or is_part):
            if not self._have_rows(outputs, num_padded):
                return None
            if num_padded > num_rows:
                outputs = [array[:num_rows] for array in outputs]
        start = 0
        for caller, own_tasks in _by_caller(tasks):
            own_outputs = outputs
            if len(own_tasks) < len(tasks):
                end = start + sum([task.num_rows for task in own_tasks])
                own_outputs = [array[start:end] for array in outputs]
                start = end
            _succeed(caller, own_tasks, own_outputs, timing)
        return timing

    def _have_rows(
        self, outputs: Sequence[npt.NDArray[Any]], num_rows: int
    ) -> bool:
        """Returns whether outputs have a row for each row of their batch."""
        name = tensor_batch.without_rows(self.fetches, outputs, num_rows)
        if name is None:
            return True
        if not self.runs_alone:
            self.runs_alone = True
            logging.warning(
                "Output tensor %s does not have a row for each row of a batch; "
                "tasks that fetch it run alone from now on",
                name,
            )
        return False


def rows_of(
    tasks: Tasks, outputs: Sequence[npt.NDArray[Any]]
) -> Iterator[tuple[FunctionTask, Sequence[npt.NDArray[Any]]]]:
    """Yields each task with its rows of the outputs; see Caller.succeed."""
    if len(tasks) == 1:
        yield tasks[0], outputs
        return
    start = 0
    for task in tasks:
        end = start + task.num_rows
        yield task, [array[start:end] for array in outputs]
        start = end


def fail_all(tasks: Tasks, error: BaseException) -> None:
    """Ends tasks with what made their run fail."""
    shown = bugs.as_serving_error("running a batch", error)
    for caller, own_tasks in _by_caller(tasks):
        _fail(caller, own_tasks, shown)


def _merged_inputs(tasks: Tasks, num_rows: int) -> Sequence[npt.NDArray[Any]]:
    """Returns the rows of all tasks and the padding, for each of the feeds."""
    if len(tasks[0].inputs) == 1:
        arrays = [task.inputs[0] for task in tasks]
        return [tensor_batch.merge(arrays, num_rows)]
    return [
        tensor_batch.merge(arrays, num_rows)
        for arrays in zip(*(task.inputs for task in tasks), strict=True)
    ]


def _by_caller(
    tasks: Tasks,
) -> Sequence[tuple[Caller, Tasks]]:
    """Returns the tasks in order, grouped where neighbours have one caller."""
    caller = tasks[0].caller
    if all(task.caller is caller for task in tasks):
        return [(caller, tasks)]
    by_caller = []
    for _, group in itertools.groupby(tasks, lambda task: id(task.caller)):
        own_tasks = [*group]
        by_caller.append((own_tasks[0].caller, own_tasks))
    return by_caller


def _succeed(
    caller: Caller,
    tasks: Tasks,
    outputs: Sequence[npt.NDArray[Any]],
    timing: run_timing.RunTiming,
) -> None:
    """Ends tasks; an exception of their caller must not affect others."""
    try:
        caller.succeed(tasks, outputs, timing)
    except Exception:
        logging.exception("The end of a call failed")
        error = errors.InternalError("answering a call failed; see the log")
        _fail(caller, tasks, error)


def _fail(caller: Caller, tasks: Tasks, error: errors.ServingError) -> None:
    try:
        caller.fail(tasks, error)
    except Exception:
        logging.exception("The end of a call failed")
