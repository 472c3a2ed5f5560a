"""One function of a session, of which several calls are run as one.

A function is a choice of tensors to feed and to fetch. Its calls are the tasks
that a BatchingSession schedules.
"""

import dataclasses
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from absl import logging

from tensorflow_serving.batching import batch_scheduler, tensor_batch
from tensorflow_serving.util import bugs, errors
from tensorflow_serving.util import clock as clock_lib


class Session(Protocol):
    """The part of a session that batching uses."""

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


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """The times of a batch, in seconds of the session's clock."""

    # The rows of all its calls, without padding.
    num_rows: int
    num_padding_rows: int
    # A thread took the batch; it began to run; it was done.
    taken_time: float
    start_time: float
    end_time: float


class Caller(Protocol):
    """The maker of calls, which gets their outputs or their error.

    The calls of a caller that share a batch end together. Both methods are
    called without a lock, on any thread, and must not block.
    """

    def succeed(
        self,
        calls: Sequence["Call"],
        outputs: Sequence[npt.NDArray[Any]],
        run: Run,
    ) -> None:
        """Ends calls that ran together with their outputs.

        If it raises, the error is logged and fail() gets all the calls, also
        those that have their outputs already.

        Args:
          calls: At least one.
          outputs: Of shape [rows, ...], with the rows of the calls one after
            the other; rows_of() takes them apart. A call that ran alone may
            have outputs of other shapes.
          run: The run, of these calls and perhaps of other ones.
        """

    def fail(self, calls: Sequence["Call"], error: errors.ServingError) -> None:
        """Ends calls with an error that they share; at least one.

        It has no effect on a call that has ended already.
        """


class Call(batch_scheduler.BatchTask):
    """One call of a function; its caller gets the result."""

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
        """Use BatchedFunction.call() instead, which checks the inputs."""
        self.function = function
        self.inputs = inputs
        has_rows = bool(inputs and inputs[0].ndim)
        self.num_rows = num_rows = len(inputs[0]) if has_rows else 1
        # A call without rows takes up room as well, or any number would fit. A
        # call that runs alone is never too large, and never split.
        self.size = 1 if function.runs_alone else num_rows or 1
        self.caller = caller
        self.deadline = deadline
        self.context: Any = context
        self.arrival_time = function.clock.now()
        # If the call was split.
        self.whole: _Whole | None = None
        # Fields of the queue; see BatchTask.
        self.place = None
        self.ticket = None
        self.parts = ()

    def fail(self, error: errors.ServingError) -> None:
        """Ends the call with an error; of several, the first counts."""
        if self.whole is None or self.whole.end() is self:
            self.caller.fail([self], error)

    def unsplit(self) -> "Call | None":
        """Returns the call of which this is a part, to be run as a whole.

        Returns:
          This call if it is not a part; None if another part of the whole call
          got it before, or the whole call has ended.
        """
        if isinstance(self.caller, _Whole):
            return self.caller.end()
        return self

    def split(self, sizes: Sequence[int]) -> list["Call"]:
        """See BatchTask; this call is done when the last part is."""
        self.whole = whole = _Whole(self, len(sizes))
        parts = []
        start = 0
        for index, size in enumerate(sizes):
            inputs = [array[start : start + size] for array in self.inputs]
            part = Call(self.function, inputs, whole, self.deadline, index)
            part.arrival_time = self.arrival_time
            parts.append(part)
            start += size
        return parts


class _Whole:
    """A call that was split, as the caller of its parts. Thread-safe."""

    def __init__(self, call: Call, num_parts: int) -> None:
        self._lock = threading.Lock()
        # All guarded by _lock. The call, until it ends; without it there is no
        # cycle of references that keeps its inputs.
        self._call: Call | None = call
        # The outputs of each part, in order.
        self._outputs: list[Sequence[npt.NDArray[Any]]] = [()] * num_parts
        self._runs: list[Run] = []

    def end(self) -> Call | None:
        """Returns the call once; from then on the parts are ignored."""
        with self._lock:
            call, self._call = self._call, None
        return call

    def succeed(
        self,
        calls: Sequence[Call],
        outputs: Sequence[npt.NDArray[Any]],
        run: Run,
    ) -> None:
        """Keeps the outputs of parts; the last one ends the whole call."""
        with self._lock:
            for part, part_outputs in rows_of(calls, outputs):
                self._outputs[part.context] = part_outputs
                self._runs.append(run)
            if self._call is None or len(self._runs) < len(self._outputs):
                return
        # This was the last part: there is nobody else now but fail().
        try:
            outputs = [
                np.concatenate(arrays)
                for arrays in zip(*self._outputs, strict=True)
            ]
        except ValueError as error:
            self.fail(
                calls,
                errors.FailedPreconditionError(
                    "outputs of all parts of a call must have rows of one "
                    f"shape; got {error}"
                ),
            )
            return
        if (call := self.end()) is not None:
            _succeed(call.caller, [call], outputs, _all(self._runs))

    def fail(self, calls: Sequence[Call], error: errors.ServingError) -> None:
        """Ends the whole call with the error of parts."""
        if (call := self.end()) is not None:
            _fail(call.caller, [call], error)


def _all(runs: Sequence[Run]) -> Run:
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

    Calls are merged only if each row of the outputs belongs to a row of the
    inputs. What the shapes in the graph say of that is looked at once, here. If
    the graph does not say it, the first batch whose outputs do not have its
    rows shows it. From then on each call runs alone, so that what a call gets
    never depends on the calls that happen to come with it.

    Thread-safe.
    """

    def __init__(
        self,
        session: Session,
        fetches: Sequence[str],
        feeds: Sequence[str],
        clock: clock_lib.Clock,
        *,
        runs_alone: bool = False,
        takes_any_shape: bool = False,
    ) -> None:
        """Looks the tensors up.

        Args:
          session: Runs the function.
          fetches: Names of tensors.
          feeds: Names of tensors.
          clock: Tells when calls arrive and run.
          runs_alone: Whether calls must not be merged, whatever the shapes.
          takes_any_shape: Whether inputs may have other shapes than the graph
            says, as for TensorFlow itself.

        Raises:
          InvalidArgumentError: A tensor is not in the graph. Permanent.
        """
        self.clock = clock
        self.fetches = tuple(fetches)
        specs = [session.tensor_spec(name) for name in feeds]
        self._run = session.make_callable(fetches, feeds)
        # Whether calls must not be merged, split or padded. Without a feed
        # there are no rows.
        self.runs_alone = (
            runs_alone
            or not specs
            or any(
                spec.fixes_num_rows
                for spec in (*specs, *map(session.tensor_spec, fetches))
            )
        )
        if takes_any_shape:
            specs = [dataclasses.replace(spec, shape=None) for spec in specs]
        self._specs = specs
        # Whether all calls can share a batch.
        self.has_rows_of_one_shape = all(
            spec.has_rows_of_one_shape for spec in self._specs
        )

    def to_arrays(
        self, inputs: Sequence[npt.ArrayLike]
    ) -> list[npt.NDArray[Any]]:
        """Returns inputs of a call as arrays that fit the graph.

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

    def call(
        self,
        inputs: Sequence[npt.ArrayLike],
        caller: Caller,
        deadline: float = math.inf,
        context: object = None,
    ) -> Call:
        """Returns a call to schedule.

        Args:
          inputs: An array of shape [rows, ...] for each of the feeds.
          caller: Gets the result. Calls with the same caller get theirs in one
            go if they run together.
          deadline: When the result is no longer useful, in seconds of the
          clock.
          context: Whatever the caller wants to find in the call again.

        Raises:
          InvalidArgumentError: See to_arrays().
        """
        return Call(self, self.to_arrays(inputs), caller, deadline, context)

    def run(
        self, calls: Sequence[Call], taken_time: float, padding: Sequence[int]
    ) -> Run | None:
        """Runs calls that fit together as one, and gives callers the outputs.

        Args:
          calls: One of the groups() of calls of this function.
          taken_time: When they left their queue.
          padding: The sizes to which a batch may be padded; ascending.

        Returns:
          The run; None if the outputs did not have the rows of the batch. Then
          no caller got anything, and the calls are to be grouped and run again.

        Raises:
          ServingError: The run failed; no caller got anything.
        """
        is_part = isinstance(calls[0].caller, _Whole)
        is_alone = self.runs_alone and len(calls) == 1 and not is_part
        num_rows = num_padded = sum([call.num_rows for call in calls])
        if is_alone:
            inputs = calls[0].inputs
        else:
            num_padded = tensor_batch.padded_size(num_rows, padding)
            inputs = _merged_inputs(calls, num_padded)
        start_time = self.clock.now()
        outputs = self._run(*inputs)
        end_time = self.clock.now()
        result = Run(
            num_rows, num_padded - num_rows, taken_time, start_time, end_time
        )
        if not is_alone and (len(calls) > 1 or padding or is_part):
            if not self._have_rows(outputs, num_padded):
                return None
            if num_padded > num_rows:
                outputs = [array[:num_rows] for array in outputs]
        start = 0
        for caller, own_calls in _by_caller(calls):
            own_outputs = outputs
            if len(own_calls) < len(calls):
                end = start + sum([call.num_rows for call in own_calls])
                own_outputs = [array[start:end] for array in outputs]
                start = end
            _succeed(caller, own_calls, own_outputs, result)
        return result

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
                "calls that fetch it run alone from now on",
                name,
            )
        return False


def rows_of(
    calls: Sequence[Call], outputs: Sequence[npt.NDArray[Any]]
) -> Iterator[tuple[Call, Sequence[npt.NDArray[Any]]]]:
    """Yields each call with its rows of the outputs; see Caller.succeed."""
    if len(calls) == 1:
        yield calls[0], outputs
        return
    start = 0
    for call in calls:
        end = start + call.num_rows
        yield call, [array[start:end] for array in outputs]
        start = end


def groups(calls: Sequence[Call]) -> Sequence[Sequence[Call]]:
    """Returns the calls in groups of those that can be run as one.

    Parts of a call that has to run alone are replaced by the whole call.
    """
    function = calls[0].function
    if (
        function.has_rows_of_one_shape
        and not function.runs_alone
        and all(call.function is function for call in calls)
    ):
        return [calls]
    by_shape: dict[object, list[Call]] = {}
    for call in calls:
        if not call.function.runs_alone:
            shapes = tuple(array.shape[1:] for array in call.inputs)
            by_shape.setdefault((id(call.function), shapes), []).append(call)
        elif (whole := call.unsplit()) is not None:
            by_shape[id(whole)] = [whole]
    return list(by_shape.values())


def fail_all(calls: Sequence[Call], error: BaseException) -> None:
    """Ends calls with what made their run fail."""
    shown = bugs.as_serving_error("running a batch", error)
    for caller, own_calls in _by_caller(calls):
        _fail(caller, own_calls, shown)


def _merged_inputs(
    calls: Sequence[Call], num_rows: int
) -> Sequence[npt.NDArray[Any]]:
    """Returns the rows of all calls and the padding, for each of the feeds."""
    if len(calls[0].inputs) == 1:
        arrays = [call.inputs[0] for call in calls]
        return [tensor_batch.merge(arrays, num_rows)]
    return [
        tensor_batch.merge(arrays, num_rows)
        for arrays in zip(*(call.inputs for call in calls), strict=True)
    ]


def _by_caller(
    calls: Sequence[Call],
) -> Sequence[tuple[Caller, Sequence[Call]]]:
    """Returns the calls in order, grouped where neighbours have one caller."""
    caller = calls[0].caller
    if all(call.caller is caller for call in calls):
        return [(caller, calls)]
    by_caller = []
    for _, group in itertools.groupby(calls, lambda call: id(call.caller)):
        own_calls = [*group]
        by_caller.append((own_calls[0].caller, own_calls))
    return by_caller


def _succeed(
    caller: Caller,
    calls: Sequence[Call],
    outputs: Sequence[npt.NDArray[Any]],
    run: Run,
) -> None:
    """Ends calls; an exception of their caller must not affect others."""
    try:
        caller.succeed(calls, outputs, run)
    except Exception:
        logging.exception("The end of a call failed")
        error = errors.InternalError("answering a call failed; see the log")
        _fail(caller, calls, error)


def _fail(
    caller: Caller, calls: Sequence[Call], error: errors.ServingError
) -> None:
    try:
        caller.fail(calls, error)
    except Exception:
        logging.exception("The end of a call failed")
