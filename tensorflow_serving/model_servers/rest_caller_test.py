"""Tests for rest_caller, with a queue whose tasks run when a test says so."""

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest

from tensorflow_serving.batching import batched_function, batching_session
from tensorflow_serving.model_servers import (
    call_events,
    rest_caller,
    rest_rounds,
)
from tensorflow_serving.test_util import fake_session, puppet_batch_scheduler
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_LONG = 30.0
_SUBJECT = call_events.Subject("REST", "Predict", "m", 1, "s")


class RestCallerTest(absltest.TestCase):
    """A caller of a session, on an event loop."""

    def setUp(self) -> None:
        """Makes a session with a queue that no thread looks at."""
        super().setUp()
        self.rounds = self.enter_context(rest_rounds.RestRounds())
        self.session = batching_session.BatchingSession(
            batching_session.Options(),
            fake_session.FakeSession((None,)),
            puppet_batch_scheduler.PuppetBatchScheduler,
        )
        self.addCleanup(self.session.close)
        self.queue: Any = self.session.scheduler
        self.listener = mock.Mock()

    def _run(
        self, caller: rest_caller.RestCaller
    ) -> asyncio.Task[Sequence[Any]]:
        """Has a caller make a task, which waits in the queue from then on."""
        caller.reporter = call_events.Reporter(
            call_events.Listeners([self.listener]), _SUBJECT
        )
        function = self.session.function(["y:0"], ["x:0"])
        running = asyncio.get_running_loop().create_task(
            caller.run(self.queue, function, [np.array([2.0])])
        )
        return running

    def _caller(self, timeout_seconds: float) -> rest_caller.RestCaller:
        return rest_caller.RestCaller(
            self.rounds, clock_lib.MONOTONIC, timeout_seconds
        )

    async def _process(self) -> None:
        """Runs the task, on another thread, once it is in the queue."""
        await asyncio.to_thread(self.queue.wait_for_tasks, 1)
        await asyncio.to_thread(self.queue.process_tasks, 1)

    def test_outputs_come_and_are_reported(self) -> None:
        """The time may be bounded or not."""

        async def test(timeout_seconds: float) -> None:
            caller = self._caller(timeout_seconds)
            running = self._run(caller)
            await self._process()
            (y,) = await running
            np.testing.assert_array_equal(y, [3.0])
            assert caller.run_facts is not None
            self.assertEqual(caller.run_facts.num_rows, 1)

        for seconds in (0.0, _LONG):
            asyncio.run(test(seconds))
        self.assertEqual(self.listener.succeeded.call_count, 2)
        self.listener.failed.assert_not_called()

    def test_run_that_takes_too_long_ends_for_its_caller(self) -> None:
        """It is reported then, and not once more when it really ends."""

        async def test() -> None:
            running = self._run(self._caller(0.001))
            with self.assertRaises(errors.DeadlineExceededError):
                await running
            (call,) = self.listener.failed.call_args_list
            subject, _, error = call.args
            self.assertIs(subject, _SUBJECT)
            self.assertIsInstance(error, errors.DeadlineExceededError)
            await self._process()

        asyncio.run(asyncio.wait_for(test(), _LONG))
        self.listener.succeeded.assert_not_called()
        self.assertEqual(self.listener.failed.call_count, 1)

    def test_task_of_a_client_that_leaves_is_dropped(self) -> None:
        """It is reported once, as cancelled."""

        async def test() -> None:
            running = self._run(self._caller(_LONG))
            await asyncio.to_thread(self.queue.wait_for_tasks, 1)
            running.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await running

        asyncio.run(test())
        self.assertEqual(self.queue.num_enqueued_tasks(), 0)
        (call,) = self.listener.failed.call_args_list
        self.assertIsInstance(call.args[2], errors.CancelledError)

    def test_fault_after_the_outputs_is_no_second_end(self) -> None:
        """Whoever ends tasks may fail those that have their outputs."""

        async def test() -> None:
            caller = self._caller(_LONG)
            running = self._run(caller)
            await self._process()
            await running
            tasks: list[batched_function.FunctionTask] = []
            caller.fail(tasks, errors.InternalError("bug"))

        asyncio.run(test())
        self.assertEqual(self.listener.succeeded.call_count, 1)
        self.listener.failed.assert_not_called()


if __name__ == "__main__":
    absltest.main()
