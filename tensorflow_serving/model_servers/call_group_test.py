"""Tests for call_group."""

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.batching import (
    batched_function,
    run_timing,
)
from tensorflow_serving.core import servable, servable_handle
from tensorflow_serving.model_servers import (
    call_events,
    call_group,
    call_limits,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.servables.tensorflow import inference
from tensorflow_serving.test_util import puppet_batch_scheduler, task_recorder
from tensorflow_serving.util import errors

_SUBJECT = call_events.Subject("GRPC", "Predict", "m", 1, "serving_default")
_TIMING = run_timing.RunTiming(1, 0, 1.0, 2.0, 3.0)


class _Call(call_lib.Call):
    """A call that keeps its reply, and with how many others it got it."""

    is_active = True
    deadline = math.inf
    on_cancelled = None
    request = b""

    def __init__(self, metadata: call_lib.Metadata = ()) -> None:
        self.metadata = metadata
        self.response: bytes | None = None
        self.trailing_metadata: call_lib.Metadata = ()
        self.num_together = 0
        self.error: errors.ServingError | None = None

    def reply(
        self, response: Any, trailing_metadata: call_lib.Metadata = ()
    ) -> None:
        """Keeps the reply."""
        self.response = bytes(response)
        self.trailing_metadata = trailing_metadata

    def reply_together(
        self,
        calls: Sequence[call_lib.Call],
        responses: call_lib.Rows | Sequence[bytes],
    ) -> None:
        """Keeps the reply of each call."""
        super().reply_together(calls, responses)
        for call in calls:
            assert isinstance(call, _Call)
            call.num_together = len(calls)

    def fail(
        self,
        error: errors.ServingError,
        trailing_metadata: call_lib.Metadata = (),
    ) -> None:
        """Keeps the error."""
        self.error = error


class _Ends:
    """A listener that counts the tasks of each event."""

    def __init__(self) -> None:
        self.num_succeeded: list[int] = []
        self.num_failed: list[int] = []
        self.refused_calls: list[call_events.Refused] = []

    def succeeded(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        timing: run_timing.RunTiming,
    ) -> None:
        """Counts tasks that ran together."""
        self.num_succeeded.append(len(tasks))

    def failed(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """Counts tasks that failed together."""
        self.num_failed.append(len(tasks))

    def refused(
        self, call: call_events.Refused, error: errors.ServingError
    ) -> None:
        """Keeps the call."""
        self.refused_calls.append(call)


class _Queue(
    puppet_batch_scheduler.PuppetBatchScheduler[batched_function.FunctionTask]
):
    """A queue whose tasks run as the test says, as soon as they come."""

    def __init__(self) -> None:
        super().__init__(lambda batch: None)
        self.tasks: list[batched_function.FunctionTask] = []
        self.run: Callable[[], None] = lambda: None

    @override
    def schedule_all(
        self,
        tasks: Iterable[batched_function.FunctionTask],
        *,
        runs_here: bool = True,
    ) -> bool:
        if runs_here:
            self.tasks = [*tasks]
            self.run()
        return False


def _respond(outputs: inference.Outputs, num_calls: int) -> inference.Responses:
    """Returns the values of a call as its response."""
    if num_calls == 1:
        return [str(outputs[0].tolist()).encode()]
    return [
        str(rows.tolist()).encode() for rows in np.split(outputs[0], num_calls)
    ]


class CallGroupTest(absltest.TestCase):
    """Tests of calls whose outputs a test makes up."""

    def setUp(self) -> None:
        """Makes a group of four calls."""
        super().setUp()
        self.released = threading.Event()
        self.queue = _Queue()
        self.ends = _Ends()
        self.calls = [_Call() for _ in range(4)]
        self.group = self._group(self.calls)

    def _run_round(
        self,
        run: Callable[[], None] = lambda: None,
        group: call_group.CallGroup | None = None,
    ) -> list[batched_function.FunctionTask]:
        """Has a round schedule the tasks of a group, and run what it is given.

        Returns the tasks.
        """
        self.queue.run = run
        self.round = call_group.CallRound()
        self.round.add_groups([group or self.group])
        self.round.run()
        return self.queue.tasks

    def _group(
        self,
        calls: Sequence[_Call],
        respond: Any = _respond,
        limit: call_limits.CallLimit | None = None,
    ) -> call_group.CallGroup:
        shared = servable_handle.SharedServable(
            servable.ServableId("m", 1), object()
        )
        handle: Any = shared.acquire()
        shared.retire(self.released.set)
        inputs = [np.zeros([1])]
        group = call_group.CallGroup(
            handle,
            inference.Inference(
                self.queue,
                task_recorder.RecordedFunction().function,
                inputs,
                respond,
            ),
            calls[0],
            call_events.Reporter(call_events.Listeners([self.ends]), _SUBJECT),
            limit=limit,
        )
        for call in calls[1:]:
            group.add(call, inputs)
        return group

    def _succeed(self, *values: npt.ArrayLike) -> None:
        """Ends a task with each of the values, as if they had run alone."""
        for task, value in zip(self.queue.tasks, values, strict=True):
            self.group.succeed([task], [np.asarray(value)], _TIMING)

    def _responses(self) -> list[bytes | None]:
        return [call.response for call in self.calls]

    def test_run_is_answered_at_once(self) -> None:
        """Calls that ran together get their replies together."""
        tasks = self._run_round()
        self.group.succeed(tasks[:3], [np.arange(3)], _TIMING)
        self.assertEqual(self._responses(), [b"[0]", b"[1]", b"[2]", None])
        self.assertEqual(self.calls[0].num_together, 3)
        self.assertFalse(self.released.is_set())
        self.group.succeed(tasks[3:], [np.arange(1)], _TIMING)
        self.assertTrue(self.released.is_set())

    def test_runs_of_a_round_are_answered_together(self) -> None:
        """Each call gets its own values, when the round is over."""

        def run() -> None:
            self._succeed([[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]])
            self.assertEqual(self._responses(), [None] * 4)

        self._run_round(run)
        self.assertEqual(
            self._responses(),
            [b"[[1, 2]]", b"[[3, 4]]", b"[[5, 6]]", b"[[7, 8]]"],
        )
        self.assertEqual(self.calls[0].num_together, 4)
        self.assertEqual(self.ends.num_succeeded, [1, 1, 1, 1])
        self.assertTrue(self.released.is_set())

    def test_other_shapes_are_answered_apart(self) -> None:
        """Outputs that differ in shape, or have no rows, stay as they are."""
        self._run_round(lambda: self._succeed([1], [2, 3], [4], [5]))
        self.assertEqual(self._responses(), [b"[1]", b"[2, 3]", b"[4]", b"[5]"])
        self.calls = [_Call() for _ in range(4)]
        self.group = self._group(self.calls)
        self._run_round(lambda: self._succeed(1, 2, 3, 4))
        self.assertEqual(self._responses(), [b"1", b"2", b"3", b"4"])

    def test_run_of_another_thread_does_not_wait(self) -> None:
        """A batch thread answers though a round is under way elsewhere."""

        def run() -> None:
            self._on_another_thread(
                lambda: self.group.succeed(
                    self.queue.tasks[:1], [np.arange(1)], _TIMING
                )
            )
            self.assertEqual(self._responses(), [b"[0]", None, None, None])

        self._run_round(run)

    def test_round_that_fails_answers_what_ran(self) -> None:
        """An exception of the scheduler costs no call that has run."""

        def run() -> None:
            self._succeed([1], [2], [3], [4])
            raise RuntimeError

        with self.assertRaises(RuntimeError):
            self._run_round(run)
        self.assertEqual(self._responses(), [b"[1]", b"[2]", b"[3]", b"[4]"])

    def test_round_that_is_left_answers_what_ran(self) -> None:
        """A run that hangs keeps no other from its caller, then or later."""

        def run() -> None:
            tasks = self.queue.tasks
            self.group.succeed(tasks[:2], [np.arange(2)], _TIMING)
            self.assertEqual(self._responses(), [None] * 4)
            self._on_another_thread(self.round.leave)
            self.assertEqual(self._responses(), [b"[0]", b"[1]", None, None])
            self.group.succeed(tasks[2:], [np.arange(2)], _TIMING)
            self.assertEqual(
                self._responses(), [b"[0]", b"[1]", b"[0]", b"[1]"]
            )

        self._run_round(run)
        self.assertTrue(self.released.is_set())

    def _on_another_thread(self, function: Callable[[], None]) -> None:
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()

    def test_each_caller_gets_the_timing_of_its_run(self) -> None:
        """A caller that does not ask gets none, also in a round."""
        self.calls[1].metadata = [("serving-timing", "")]

        def run() -> None:
            for seconds, task in enumerate(self.queue.tasks):
                timing = run_timing.RunTiming(1, 0, 1.0, 2.0, 2.0 + seconds)
                self.group.succeed([task], [np.arange(1)], timing)

        self._run_round(run)
        self.assertEqual(
            dict(self.calls[1].trailing_metadata)["serving-run-micros"],
            "1000000",
        )
        self.assertEqual(self.calls[2].trailing_metadata, ())

    def test_response_that_cannot_be_made_is_an_error(self) -> None:
        """All calls of the run get the error, and the version is free."""

        def respond(
            outputs: inference.Outputs, num_calls: int
        ) -> inference.Responses:
            raise errors.FailedPreconditionError("bad output")

        group = self._group(self.calls, respond)
        tasks = self._run_round(group=group)
        self.released.clear()
        group.succeed(tasks, [np.arange(4)], _TIMING)
        self.assertEqual(
            [str(call.error) for call in self.calls], ["bad output"] * 4
        )
        self.assertTrue(self.released.is_set())

    def test_failed_calls_let_go_of_the_version(self) -> None:
        """The version is free when the last call has failed."""
        error = errors.UnavailableError("no room")
        tasks = self._run_round()
        self.group.fail(tasks[:3], error)
        self.assertFalse(self.released.is_set())
        self.group.fail(tasks[3:], error)
        self.assertTrue(self.released.is_set())
        self.assertEqual({call.error for call in self.calls}, {error})
        self.assertEqual(self.ends.num_failed, [3, 1])

    def test_calls_without_a_place_are_refused(self) -> None:
        """The first ones run, and their places are free once they end."""
        limit = call_limits.CallLimit()
        limit.most = 3
        self.assertEqual(limit.take(1), 1)
        self.released.clear()
        calls = [_Call() for _ in range(4)]
        group = self._group(calls, limit=limit)
        tasks = self._run_round(group=group)
        self.assertEqual([task.context for task in tasks], calls[:2])
        for call in calls[2:]:
            self.assertEqual(
                str(call.error),
                "Too many concurrent calls of model m (limit 3); try again "
                "later.",
            )
        self.assertEqual(
            [
                (each.method, each.model, each.spec.version.value)
                for each in self.ends.refused_calls
                if each.spec is not None
            ],
            [("Predict", "m", 1)] * 2,
        )
        self.assertEqual(limit.take(1), 0)
        group.succeed(tasks[:1], [np.arange(1)], _TIMING)
        group.fail(tasks[1:], errors.UnavailableError("no room"))
        self.assertTrue(self.released.is_set())
        self.assertEqual(limit.take(9), 2)

    def test_group_without_any_place_lets_go_of_the_version(self) -> None:
        """Nothing of it will ever end."""
        limit = call_limits.CallLimit()
        limit.most = 1
        self.assertEqual(limit.take(1), 1)
        self.released.clear()
        group = self._group([_Call()], limit=limit)
        self.assertEqual(self._run_round(group=group), [])
        self.assertTrue(self.released.is_set())


if __name__ == "__main__":
    absltest.main()
