"""Calls of a batched function, of which tests see what became."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.test_util import fake_clock, fake_session
from tensorflow_serving.util import errors


class TaskRecorder:
    """A caller that keeps the results of tasks, in the order of their ends."""

    def __init__(self) -> None:
        """Starts without tasks."""
        self.done: list[batched_function.FunctionTask] = []
        self.outputs: list[Sequence[npt.NDArray[Any]]] = []
        self.timings: list[run_timing.RunTiming] = []
        self.errors: list[errors.ServingError] = []
        # How many tasks ended at the same time.
        self.num_tasks: list[int] = []

    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """Keeps the outputs of each task."""
        self.num_tasks.append(len(tasks))
        for task, own_outputs in batched_function.rows_of(tasks, outputs):
            self.done.append(task)
            self.outputs.append(own_outputs)
            self.timings.append(timing)

    def fail(
        self,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """Keeps the error of each task."""
        self.num_tasks.append(len(tasks))
        self.done += tasks
        self.errors += [error] * len(tasks)


class RecordedFunction:
    """A function of a FakeSession, and a caller that records its tasks."""

    def __init__(
        self,
        fetches: Sequence[str] = ("y:0",),
        feeds: Sequence[str] = ("x:0",),
        shape: tuple[int | None, ...] | None = None,
        output_shapes: Mapping[str, tuple[int | None, ...]] = {},
        *,
        pads_inputs: bool = False,
    ) -> None:
        """Makes the function; see FakeSession and BatchedFunction."""
        self.clock = fake_clock.FakeClock()
        self.session = fake_session.FakeSession(shape, output_shapes)
        self.function = batched_function.BatchedFunction(
            self.session,
            fetches,
            feeds,
            self.clock,
            pads_inputs=pads_inputs,
        )
        self.caller = TaskRecorder()

    @property
    def done(self) -> list[batched_function.FunctionTask]:
        """The tasks that are done."""
        return self.caller.done

    @property
    def outputs(self) -> list[Sequence[npt.NDArray[Any]]]:
        """The outputs of the tasks that were run."""
        return self.caller.outputs

    @property
    def errors(self) -> list[errors.ServingError]:
        """The errors of the tasks that failed."""
        return self.caller.errors

    def task(
        self, *inputs: npt.ArrayLike, deadline: float = math.inf
    ) -> batched_function.FunctionTask:
        """Makes a task whose result the caller keeps."""
        return self.function.task(inputs, self.caller, deadline)

    def run(
        self, *tasks: batched_function.FunctionTask
    ) -> run_timing.RunTiming | None:
        """Runs tasks as one, without padding."""
        return self.function.execute(tasks, 0.0, ())
