"""The calls that came together, from their tasks to their replies.

Those that ask a version of a model for the same thing are a group. The groups
of a round are scheduled together.
"""

import dataclasses
import functools
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from tensorflow_serving.batching import (
    batched_function,
    run_timing,
    task_round,
)
from tensorflow_serving.core import servable_handle
from tensorflow_serving.model_servers import (
    call_events,
    call_limits,
    call_records,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.servables.tensorflow import (
    call_timing,
    inference,
    served_model,
)
from tensorflow_serving.util import bugs, errors

_Handle = servable_handle.ServableHandle[served_model.ServedModel]
_Tasks = list[batched_function.FunctionTask]


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """Tasks that ran together, and their outputs."""

    tasks: batched_function.Tasks
    outputs: inference.Outputs
    timing: run_timing.RunTiming


class CallGroup:
    """The caller of the tasks of some calls, in the sense of BatchedFunction.

    Holds on to the version until all of the calls have ended. They are added on
    one thread, before they are scheduled, and end on any.
    """

    def __init__(
        self,
        handle: _Handle,
        begun: inference.Inference,
        first_call: call_lib.Call,
        reporter: call_events.Reporter,
        *,
        limit: call_limits.CallLimit | None = None,
        recorder: call_records.Recorder | None = None,
    ) -> None:
        """Takes over the handle, if the inputs of the first call fit.

        Args:
          handle: A handle on the version.
          begun: The inference of the first call.
          first_call: The first call.
          reporter: Gets the ends of calls.
          limit: Limits the calls of the model, if anything does.
          recorder: Takes records of calls, if anybody does.

        Raises:
          InvalidArgumentError: They do not. Permanent.
        """
        self._handle = handle
        self._inference = begun
        # The one that schedules the calls.
        self._round: CallRound | None = None
        self._reporter = reporter
        self._limit = limit
        self._recorder = recorder
        self._queue = begun.queue
        # Whether further calls of the same form may be added.
        self.is_shared = begun.is_shared
        inputs = begun.function.to_arrays(begun.inputs)
        self._tasks: _Tasks = []
        self._lock = threading.Lock()
        # How many tasks have not ended. Guarded by _lock.
        self._num_left = 0
        self.add(first_call, inputs)

    def add(
        self, call: call_lib.Call, inputs: Sequence[npt.NDArray[Any]]
    ) -> None:
        """Adds a call whose inputs have the dtypes and shapes of the first."""
        task = batched_function.FunctionTask(
            self._inference.function, inputs, self, call.deadline, call
        )
        call.on_cancelled = functools.partial(self._queue.cancel, task)
        self._tasks.append(task)

    def join(self, this_round: "CallRound") -> None:
        """Has a round schedule the tasks of the callers that still wait."""
        self._round = this_round
        this_round.add(self._queue, self._take_tasks())

    def _take_tasks(self) -> _Tasks:
        arrived, self._tasks = self._tasks, []
        tasks = [task for task in arrived if task.context.is_active]
        if len(tasks) < len(arrived):
            gone = [task for task in arrived if task not in tasks]
            self._reporter.failed(gone, _gone_error())
        if self._limit is not None:
            tasks = self._admitted(tasks, self._limit)
        self._num_left = len(tasks)
        if not tasks:
            self._handle.close()
        return tasks

    def _admitted(self, tasks: _Tasks, limit: call_limits.CallLimit) -> _Tasks:
        """Returns the tasks for which there are places; refuses the others."""
        num_admitted = limit.take(len(tasks))
        for task in tasks[num_admitted:]:
            error = limit.error(self._handle.id.name)
            task.context.fail(error)
            self._reporter.refused(error, task.context.metadata)
        return tasks[:num_admitted]

    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """See batched_function.Caller."""
        run = Run(tasks, outputs, timing)
        if self._round is None or not self._round.keep(self, run):
            self.answer([run])

    def answer(self, runs: Sequence[Run]) -> None:
        """Answers the calls of runs; all at once if their outputs are alike."""
        kinds = {
            (len(run.tasks), *[array.shape for array in run.outputs])
            for run in runs
        }
        if len(runs) == 1 or len(kinds) > 1 or () in kinds.pop():
            for run in runs:
                self._answer(run.tasks, run.outputs, [run])
            return
        self._answer(
            [task for run in runs for task in run.tasks],
            [
                np.concatenate(arrays)
                for arrays in zip(*(run.outputs for run in runs), strict=True)
            ],
            runs,
        )

    def _answer(
        self,
        tasks: batched_function.Tasks,
        outputs: inference.Outputs,
        runs: Sequence[Run],
    ) -> None:
        try:
            responses = self._inference.respond(outputs, len(tasks))
            calls: list[call_lib.Call] = [task.context for task in tasks]
            if call_timing.is_wanted_by_any([each.metadata for each in calls]):
                _reply_with_timing(runs, responses)
            else:
                call_lib.reply_all(
                    calls,
                    call_lib.Rows(b"", responses)
                    if isinstance(responses, np.ndarray)
                    else responses,
                )
        except Exception as error:
            self.fail(tasks, bugs.as_serving_error("making a response", error))
        else:
            for run in runs:
                self._reporter.succeeded(run.tasks, run.timing)
            if self._recorder is not None:
                self._recorder.succeeded(
                    len(calls),
                    lambda index: self._record(calls[index], responses[index]),
                )
            self._end(len(tasks))

    def _record(
        self, call: call_lib.Call, response: bytes | npt.NDArray[np.uint8]
    ) -> call_records.Record:
        return call_records.Record.of_messages(
            self._reporter.subject,
            call_records.Messages(call.request, bytes(response)),
        )

    def fail(
        self,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        for task in tasks:
            task.context.fail(error)
        self._reporter.failed(tasks, error)
        self._end(len(tasks))

    def _end(self, num_tasks: int) -> None:
        if self._limit is not None:
            self._limit.release(num_tasks)
        with self._lock:
            self._num_left -= num_tasks
            is_over = not self._num_left
        if is_over:
            self._handle.close()


class CallRound(task_round.TaskRound):
    """Schedules the tasks of calls; quick runs are answered at its end.

    Without batching, many short runs follow each other on the thread of the
    server, which sends nothing in between. So their responses can as well be
    made all at once, which costs less for each. Runs on other threads do not
    wait.
    """

    @override
    def __init__(self, before: "CallRound | None" = None) -> None:
        super().__init__(before)
        # Guarded by _runs_lock: the thread whose runs are kept, and those.
        self._runs_lock = threading.Lock()
        self._thread_id: int | None = None
        self._runs: dict[CallGroup, list[Run]] = {}

    def add_groups(self, groups: Iterable[CallGroup]) -> None:
        """Adds the tasks of the callers that still wait, before run()."""
        for group in groups:
            group.join(self)

    @override
    def run(self) -> bool:
        """Schedules tasks, and answers the calls of those that ran here."""
        self._thread_id = threading.get_ident()
        try:
            return super().run()
        finally:
            self._answer()

    @override
    def leave(self) -> None:
        """Answers the calls of runs that have ended; leaves the others."""
        self._answer()
        super().leave()

    def keep(self, group: CallGroup, run: Run) -> bool:
        """Returns whether the round answers the calls of a run, at its end."""
        if threading.get_ident() != self._thread_id:
            return False
        with self._runs_lock:
            if self._thread_id is None:
                return False
            self._runs.setdefault(group, []).append(run)
        return True

    def _answer(self) -> None:
        with self._runs_lock:
            self._thread_id = None
            runs_of_groups, self._runs = self._runs, {}
        for group, runs in runs_of_groups.items():
            group.answer(runs)


def _gone_error() -> errors.CancelledError:
    return errors.CancelledError(
        "The caller left before the call could wait for its turn."
    )


def _reply_with_timing(
    runs: Sequence[Run], responses: inference.Responses
) -> None:
    """Answers calls, with their timing if their callers ask for it."""
    timed = [(task, run.timing) for run in runs for task in run.tasks]
    for (task, timing), response in zip(timed, responses, strict=True):
        call: call_lib.Call = task.context
        call.reply(
            bytes(response),
            call_timing.trailing_metadata(task, timing)
            if call_timing.is_wanted(call.metadata)
            else (),
        )
