"""One function of a session, of which several calls are run as one.

A function is a choice of tensors to feed and to fetch. Its calls are the tasks
that a BatchingSession schedules.
"""

import dataclasses
import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from absl import logging

from tensorflow_serving.batching import batch_scheduler, tensor_batch
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors


class Session(Protocol):
    """What batching needs of a session."""

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

    def tensor_spec(self, name: str) -> tensor_batch.TensorSpec:
        """Returns dtype and shape of a tensor.

        Raises:
          InvalidArgumentError: The name is not in the graph. Permanent.
        """

    def close(self) -> None:
        """Frees what the session holds."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What happened to a batch; times are seconds of the session's clock."""

    # The rows of all its calls, without padding.
    num_rows: int
    num_padding_rows: int
    # A thread took the batch; it began to run; it was done.
    taken_time: float
    start_time: float
    end_time: float


class Call(batch_scheduler.BatchTask):
    """One call of a function. When it is done, on_done is called with it.

    Then either error is set, or outputs and run are.
    """

    __slots__ = (
        "arrival_time",
        "deadline",
        "error",
        "function",
        "inputs",
        "num_rows",
        "on_done",
        "outputs",
        "parts",
        "run",
        "size",
        "whole",
    )

    def __init__(
        self,
        function: "BatchedFunction",
        inputs: Sequence[npt.NDArray[Any]],
        num_rows: int,
        on_done: Callable[["Call"], None],
        deadline: float,
    ) -> None:
        """For BatchedFunction.call()."""
        self.function = function
        self.inputs = inputs
        self.num_rows = num_rows
        # A call without rows takes up room as well, or any number would fit.
        self.size = num_rows or 1
        self.on_done = on_done
        self.deadline = deadline
        self.arrival_time = function.clock.now()
        # Each of shape [num_rows, ...].
        self.outputs: Sequence[npt.NDArray[Any]] = ()
        self.error: errors.ServingError | None = None
        self.run: Run | None = None
        # Of a call that was split; and the call that a part belongs to.
        self.parts: _Parts | None = None
        self.whole: Call | None = None

    def succeed(self, outputs: Sequence[npt.NDArray[Any]], run: Run) -> None:
        """Ends the call with a result."""
        self.outputs = outputs
        self.run = run
        self.on_done(self)

    def fail(self, error: errors.ServingError) -> None:
        """Ends the call with an error; of several, the first counts."""
        if self.parts and not self.parts.give_up():
            return
        self.error = error
        self.on_done(self)

    def is_part_of(self, task: batch_scheduler.BatchTask) -> bool:
        """See BatchTask."""
        return self is task or self.whole is task

    def split(self, sizes: Sequence[int]) -> list["Call"]:
        """See BatchTask; this call is done when the last part is."""
        self.parts = parts = _Parts(self, len(sizes))
        calls = []
        start = 0
        for index, size in enumerate(sizes):
            call = Call(
                self.function,
                [array[start : start + size] for array in self.inputs],
                size,
                functools.partial(parts.finish, index),
                self.deadline,
            )
            call.arrival_time = self.arrival_time
            call.whole = self
            calls.append(call)
            start += size
        return calls


class _Parts:
    """The parts of a call that was split. Thread-safe."""

    def __init__(self, whole: Call, num_parts: int) -> None:
        self._whole = whole
        self._lock = threading.Lock()
        # All guarded by _lock.
        self._outputs: list[Sequence[npt.NDArray[Any]]] = [()] * num_parts
        self._runs: list[Run] = []
        self._is_over = False

    def give_up(self) -> bool:
        """Ignores the parts from now on; returns False if all is over."""
        with self._lock:
            was_over, self._is_over = self._is_over, True
        return not was_over

    def finish(self, index: int, part: Call) -> None:
        """Takes the result of a part; the last one ends the whole call."""
        if part.error is not None:
            self._whole.fail(part.error)
            return
        assert part.run is not None
        with self._lock:
            self._outputs[index] = part.outputs
            self._runs.append(part.run)
            if self._is_over or len(self._runs) < len(self._outputs):
                return
        # This was the last part: there is nobody else now but fail().
        try:
            outputs = [
                np.concatenate(arrays)
                for arrays in zip(*self._outputs, strict=True)
            ]
        except ValueError as error:
            self._whole.fail(
                errors.FailedPreconditionError(
                    "outputs of all parts of a call must have rows of one "
                    f"shape; got {error}"
                )
            )
            return
        if self.give_up():
            self._whole.succeed(outputs, _run_of_all(self._runs))


def _run_of_all(runs: Sequence[Run]) -> Run:
    """Returns the largest batch, from the first start to the last end."""
    return Run(
        max(run.num_rows for run in runs),
        max(run.num_padding_rows for run in runs),
        min(run.taken_time for run in runs),
        min(run.start_time for run in runs),
        max(run.end_time for run in runs),
    )


class BatchedFunction:
    """A function of a session, with its inputs checked at the door.

    Thread-safe.
    """

    def __init__(
        self,
        session: Session,
        fetches: Sequence[str],
        feeds: Sequence[str],
        clock: clock_lib.Clock,
    ) -> None:
        """Looks the tensors up.

        Raises:
          InvalidArgumentError: A tensor is not in the graph. Permanent.
        """
        self.clock = clock
        self.fetches = tuple(fetches)
        self._specs = [session.tensor_spec(name) for name in feeds]
        self._run = session.make_callable(fetches, feeds)
        # Whether all calls can share a batch.
        self.has_fixed_rows = all(spec.has_fixed_rows for spec in self._specs)

    def call(
        self,
        inputs: Sequence[npt.ArrayLike],
        on_done: Callable[[Call], None],
        deadline: float = math.inf,
    ) -> Call:
        """Returns a call to schedule.

        Args:
          inputs: An array of shape [rows, ...] for each of the feeds.
          on_done: Called when the call is done, on any thread; must not block.
          deadline: When the call is of no more use, in seconds of the clock.

        Raises:
          InvalidArgumentError: The inputs have not the dtypes and shapes that
            the graph expects, or no common number of rows. Permanent.
        """
        arrays = [
            spec.to_array(value)
            for spec, value in zip(self._specs, inputs, strict=True)
        ]
        if len(arrays) == 1 and arrays[0].ndim:
            rows = arrays[0].shape[0]
        else:
            names = [spec.name for spec in self._specs]
            rows = tensor_batch.num_rows(dict(zip(names, arrays, strict=True)))
        return Call(self, arrays, rows, on_done, deadline)

    def run(
        self, calls: Sequence[Call], taken_time: float, padding: Sequence[int]
    ) -> Run:
        """Runs calls that fit together as one, and tells them the outputs.

        Args:
          calls: Calls of this function, with rows of the same shapes.
          taken_time: When they left their queue.
          padding: The sizes to which a batch may be padded; ascending.

        Raises:
          ServingError: The run failed; no call was told anything.
        """
        num_rows = sum(call.num_rows for call in calls)
        num_padded = tensor_batch.padded_size(num_rows, padding)
        if len(calls) == 1:
            inputs = calls[0].inputs
        else:
            inputs = [
                np.concatenate(arrays)
                for arrays in zip(*(call.inputs for call in calls), strict=True)
            ]
        if num_padded > num_rows:
            inputs = [tensor_batch.pad(array, num_padded) for array in inputs]
        start_time = self.clock.now()
        outputs = self._run(*inputs)
        end_time = self.clock.now()
        result = Run(
            num_rows, num_padded - num_rows, taken_time, start_time, end_time
        )
        if len(calls) == 1 and not padding and calls[0].whole is None:
            # Its outputs may have any shape.
            _tell(calls[0], outputs, result)
            return result
        tensor_batch.require_rows(self.fetches, outputs, num_padded)
        start = 0
        for call in calls:
            end = start + call.num_rows
            _tell(call, [array[start:end] for array in outputs], result)
            start = end
        return result


def groups(calls: Sequence[Call]) -> Sequence[Sequence[Call]]:
    """Returns the calls in groups of those that can be run as one."""
    function = calls[0].function
    if function.has_fixed_rows and all(
        call.function is function for call in calls
    ):
        return [calls]
    by_shape: dict[object, list[Call]] = {}
    for call in calls:
        shapes = tuple(array.shape[1:] for array in call.inputs)
        by_shape.setdefault((id(call.function), shapes), []).append(call)
    return list(by_shape.values())


def fail_all(calls: Sequence[Call], error: Exception) -> None:
    """Gives each call an exception of its own: each is raised in a thread."""
    if not isinstance(error, errors.ServingError):
        logging.error("Running a batch failed", exc_info=error)
        error = errors.InternalError("running a batch failed; see the log")
    for call in calls:
        try:
            call.fail(type(error)(str(error)))
        except Exception:
            logging.exception("The end of a call failed")


def _tell(call: Call, outputs: Sequence[npt.NDArray[Any]], run: Run) -> None:
    """Ends a call; a fault of its owner is not that of the other calls."""
    try:
        call.succeed(outputs, run)
    except Exception:
        logging.exception("The end of a call failed")
