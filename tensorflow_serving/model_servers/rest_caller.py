"""A call of the REST API that waits for its turn in the queue of a signature.

Example:
    caller = rest_caller.RestCaller(rounds, clock, timeout_seconds=30.0)
    caller.reporter = call_events.Reporter(listeners, subject)
    outputs = await caller.run(queue, function, inputs)
"""

import asyncio
import dataclasses
import math
import threading
from collections.abc import Sequence
from typing import Final

import numpy.typing as npt

from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.model_servers import call_events, rest_rounds
from tensorflow_serving.servables.tensorflow import (
    call_timing,
    inference,
    served_model,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_MILLIS: Final = 1e3


@dataclasses.dataclass(frozen=True, slots=True)
class RunFacts:
    """The rows and times of a task, kept without its inputs."""

    num_rows: int
    arrival_time: float
    timing: run_timing.RunTiming


class RestCaller:
    """The caller of one task, which waits for it on an event loop.

    Tasks may end on any thread; all else is for the thread of the loop.
    """

    def __init__(
        self,
        rounds: rest_rounds.RestRounds,
        clock: clock_lib.Clock,
        timeout_seconds: float,
    ) -> None:
        """Makes the caller of a task of the running event loop.

        Args:
          rounds: Take the task to its queue.
          clock: The one of the batching sessions.
          timeout_seconds: How long the task may wait and run; 0: any time.
        """
        self._rounds = rounds
        self._clock = clock
        self._begin_time = clock.now()
        self._timeout_seconds = timeout_seconds
        # Set before there is a task.
        self.reporter: call_events.Reporter | None = None
        # Whether there is a task, whose end will come here.
        self.has_task = False
        # Whether the client has left; then the task need not run.
        self.has_left = False
        # Once the task has run.
        self.run_facts: RunFacts | None = None
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[inference.Outputs] = (
            self._loop.create_future()
        )
        self._lock = threading.Lock()
        # Whether the end of the task is reported. Guarded by _lock.
        self._is_reported = False

    async def run(
        self,
        queue: served_model.Queue,
        function: batched_function.BatchedFunction,
        inputs: Sequence[npt.ArrayLike],
    ) -> inference.Outputs:
        """Returns the outputs, once the task has run on another thread.

        A run that takes too long goes on without a caller.

        Args:
          queue: The one of the signature.
          function: Runs the task with others.
          inputs: Those of the function, each of its dtype and shape.

        Raises:
          ServingError: The task was refused, or its run failed.
          DeadlineExceededError: It did not end in time.
          CancelledError: The client left; the task leaves the queue.
        """
        seconds = self._timeout_seconds
        deadline = self._clock.now() + seconds if seconds else math.inf
        task = function.task(inputs, self, deadline, self)
        self._rounds.schedule(queue, task)
        self.has_task = True
        timer = None
        if seconds:
            timer = self._loop.call_later(seconds, self._expire, task)
        try:
            return await self._future
        except asyncio.CancelledError:
            self.has_left = True
            queue.cancel(task)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def server_timing(self) -> str:
        """Returns where the time of a call went that is about to be answered.

        They are the stages of call_timing, in milliseconds, before them the
        reading of the body and after them the writing of the answer. "batch"
        has the rows of the batch, without padding, as its description.

        The format: https://www.w3.org/TR/server-timing/.
        """
        facts = self.run_facts
        assert facts is not None, "the task must have run"
        stages = {
            "read": facts.arrival_time - self._begin_time,
            **call_timing.seconds(facts.arrival_time, facts.timing),
            "write": self._clock.now() - facts.timing.end_time,
        }
        texts = {
            name: f"{name};dur={seconds * _MILLIS:.3f}"
            for name, seconds in stages.items()
        }
        texts["batch"] += f';desc="{facts.timing.num_rows} rows"'
        return ", ".join(texts.values())

    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: inference.Outputs,
        timing: run_timing.RunTiming,
    ) -> None:
        """See batched_function.Caller."""
        ((task, own),) = batched_function.rows_of(tasks, outputs)
        self.run_facts = RunFacts(task.num_rows, task.arrival_time, timing)
        self._rounds.call_soon(self._set_outputs, own)
        if reporter := self._first_reporter():
            reporter.succeeded(tasks, timing)

    def fail(
        self,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        self._rounds.call_soon(self._set_error, error)
        if reporter := self._first_reporter():
            reporter.failed(tasks, error)

    def _expire(self, task: batched_function.FunctionTask) -> None:
        """Ends a task that its queue did not drop, as it runs by now."""
        self.fail(
            [task],
            errors.DeadlineExceededError(
                "The deadline passed before there was a reply."
            ),
        )

    def _first_reporter(self) -> call_events.Reporter | None:
        """Returns the reporter for the first end of the task, and no other."""
        with self._lock:
            is_reported, self._is_reported = self._is_reported, True
        return None if is_reported else self.reporter

    def _set_outputs(self, outputs: inference.Outputs) -> None:
        if not self._future.done():
            self._future.set_result(outputs)

    def _set_error(self, error: errors.ServingError) -> None:
        if not self._future.done():
            self._future.set_exception(error)
