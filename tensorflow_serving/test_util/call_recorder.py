"""Calls of a batched function, of which tests see what became."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from tensorflow_serving.batching import batched_function
from tensorflow_serving.test_util import fake_clock, fake_session
from tensorflow_serving.util import errors


class CallRecorder:
    """A caller that keeps the results of calls, in the order of their ends."""

    def __init__(self) -> None:
        """Starts without calls."""
        self.done: list[batched_function.Call] = []
        self.outputs: list[Sequence[npt.NDArray[Any]]] = []
        self.runs: list[batched_function.Run] = []
        self.errors: list[errors.ServingError] = []
        # How many calls ended at the same time.
        self.num_calls: list[int] = []

    def succeed(
        self,
        calls: Sequence[batched_function.Call],
        outputs: Sequence[npt.NDArray[Any]],
        run: batched_function.Run,
    ) -> None:
        """Keeps the outputs of each call."""
        self.num_calls.append(len(calls))
        for call, own_outputs in batched_function.rows_of(calls, outputs):
            self.done.append(call)
            self.outputs.append(own_outputs)
            self.runs.append(run)

    def fail(
        self,
        calls: Sequence[batched_function.Call],
        error: errors.ServingError,
    ) -> None:
        """Keeps the error of each call."""
        self.num_calls.append(len(calls))
        self.done += calls
        self.errors += [error] * len(calls)


class RecordedFunction:
    """A function of a FakeSession, and a caller that records its calls."""

    def __init__(
        self,
        fetches: Sequence[str] = ("y:0",),
        feeds: Sequence[str] = ("x:0",),
        shape: tuple[int | None, ...] | None = None,
        output_shapes: Mapping[str, tuple[int | None, ...]] = {},
    ) -> None:
        """Makes the function; see FakeSession for the arguments."""
        self.clock = fake_clock.FakeClock()
        self.session = fake_session.FakeSession(shape, output_shapes)
        self.function = batched_function.BatchedFunction(
            self.session, fetches, feeds, self.clock
        )
        self.caller = CallRecorder()

    @property
    def done(self) -> list[batched_function.Call]:
        """The calls that are done."""
        return self.caller.done

    @property
    def outputs(self) -> list[Sequence[npt.NDArray[Any]]]:
        """The outputs of the calls that were run."""
        return self.caller.outputs

    @property
    def errors(self) -> list[errors.ServingError]:
        """The errors of the calls that failed."""
        return self.caller.errors

    def call(
        self, *inputs: npt.ArrayLike, deadline: float = math.inf
    ) -> batched_function.Call:
        """Makes a call whose result the caller keeps."""
        return self.function.call(inputs, self.caller, deadline)

    def run(self, *calls: batched_function.Call) -> batched_function.Run | None:
        """Runs calls as one, without padding."""
        return self.function.run(calls, 0.0, ())
