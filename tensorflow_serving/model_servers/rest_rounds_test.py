"""Tests for rest_rounds, with queues that note what they are asked for."""

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from absl.testing import absltest

from tensorflow_serving.model_servers import rest_rounds
from tensorflow_serving.util import errors

_LONG = 30.0


class _Task:
    """A task and its context in one."""

    def __init__(self, *, has_left: bool = False) -> None:
        self.has_left = has_left
        self.size = 1
        self.error: errors.ServingError | None = None

    @property
    def context(self) -> "_Task":
        return self

    def fail(self, error: errors.ServingError) -> None:
        self.error = error


class _Queue:
    """A queue whose tasks run at once, by whoever hands them over."""

    def __init__(self, rounds: rest_rounds.RestRounds) -> None:
        self._rounds = rounds
        # The tasks of schedule_all(), and its thread; those that are left to
        # batch threads, and how often.
        self.together: list[Sequence[_Task]] = []
        self.threads: set[str] = set()
        self.apart: list[_Task] = []
        self.num_left = 0
        # How often there is still more to do; what a run does; the tasks that
        # have ended on the event loop.
        self.num_more = 0
        self.run: Callable[[], object] = lambda: None
        self.ended: list[_Task] = []
        self.room = 1000

    def scheduling_capacity(self) -> int:
        return self.room

    def schedule_all(
        self, tasks: Iterable[_Task], *, runs_here: bool = True
    ) -> bool:
        tasks = [*tasks]
        if not runs_here:
            self._leave(tasks)
            return False
        self.together.append(tasks)
        self.threads.add(threading.current_thread().name)
        for task in tasks:
            self._rounds.call_soon(self.ended.append, task)
        self.run()
        self.num_more -= 1
        return self.num_more >= 0

    def _leave(self, tasks: Sequence[_Task]) -> None:
        self.num_left += 1
        self.apart += tasks
        for task in tasks:
            self._rounds.call_soon(self.ended.append, task)


async def _wait_until(is_over: Callable[[], bool]) -> None:
    while not is_over():
        await asyncio.sleep(0.001)


class RestRoundsTest(absltest.TestCase):
    """Each test runs on an event loop of its own."""

    def setUp(self) -> None:
        """Makes rounds and a queue."""
        super().setUp()
        self.rounds = self.enter_context(rest_rounds.RestRounds())
        self.queue: Any = _Queue(self.rounds)

    def _run(self, test: Awaitable[None]) -> None:
        asyncio.run(asyncio.wait_for(test, _LONG))

    def _schedule(self, number: int = 1) -> list[_Task]:
        tasks: list[Any] = [_Task() for _ in range(number)]
        for task in tasks:
            self.rounds.schedule(self.queue, task)
        return tasks

    async def _wait_for_ends(self, number: int) -> None:
        await _wait_until(lambda: len(self.queue.ended) == number)

    def test_tasks_of_a_round_go_together(self) -> None:
        """Their ends come back; none of it happens on the event loop."""

        async def test() -> None:
            tasks = self._schedule(3)
            await self._wait_for_ends(3)
            self.assertEqual(self.queue.together, [tasks])
            self.assertEqual(self.queue.threads, {"rest_rounds"})

        self._run(test())

    def test_queue_with_more_to_do_is_asked_again(self) -> None:
        """Others have their turn in between."""
        self.queue.num_more = 3
        other: Any = _Queue(self.rounds)

        async def test() -> None:
            tasks = self._schedule(2)
            task: Any = _Task()
            self.rounds.schedule(other, task)
            await _wait_until(lambda: len(self.queue.together) == 4)
            self.assertEqual(self.queue.together, [tasks, [], [], []])
            self.assertEqual(other.together, [[task]])

        self._run(test())

    def test_tasks_of_a_round_wait_for_room(self) -> None:
        """They would have found it, had they not waited for each other."""
        self.queue.room = 2

        async def test() -> None:
            tasks = self._schedule(7)
            await self._wait_for_ends(7)
            self.assertEqual(
                self.queue.together,
                [tasks[:2], tasks[2:4], tasks[4:6], tasks[6:]],
            )

        self._run(test())

    def test_queue_without_room_decides_about_tasks(self) -> None:
        """A single task does not wait, nor do others for long."""
        self.queue.room = 0

        async def test() -> None:
            for number in (1, 3):
                self.queue.together.clear()
                self.queue.ended.clear()
                tasks = self._schedule(number)
                await self._wait_for_ends(number)
                self.assertEqual(self.queue.together[-1], tasks)
                self.assertLess(len(self.queue.together), 30)

        self._run(test())

    def test_task_of_a_client_that_left_is_not_run(self) -> None:
        """It ends like one that left a queue."""
        tasks: list[Any] = [_Task(has_left=True), _Task()]

        async def test() -> None:
            for task in tasks:
                self.rounds.schedule(self.queue, task)
            await self._wait_for_ends(1)
            self.assertEqual(self.queue.together, [tasks[1:]])
            self.assertIsInstance(tasks[0].error, errors.CancelledError)

        self._run(test())

    def test_run_that_hangs_holds_up_no_other_task(self) -> None:
        """Tasks that ran before it have ended; another thread goes on."""
        goes_on = threading.Event()
        self.addCleanup(goes_on.set)

        def hang() -> None:
            self.queue.run = lambda: None
            goes_on.wait()

        self.queue.run = hang

        async def test() -> None:
            rounds = []
            for number in (1, 1, 2):
                rounds.append(self._schedule(number))
                await self._wait_for_ends(sum(map(len, rounds)))
            self.assertEqual(self.queue.together, rounds)
            self.assertEqual(self.queue.num_left, 1)
            goes_on.set()
            rounds.append(self._schedule())
            await self._wait_for_ends(5)
            self.assertEqual(self.queue.together, rounds)

        self._run(test())

    def test_queue_with_more_to_do_is_left_to_others_while_a_run_hangs(
        self,
    ) -> None:
        """Nobody else knows that there is more."""
        goes_on = threading.Event()
        self.addCleanup(goes_on.set)
        self.queue.num_more = 1 << 30
        other: Any = _Queue(self.rounds)
        other.run = goes_on.wait

        async def test() -> None:
            self._schedule()
            await self._wait_for_ends(1)
            task: Any = _Task()
            self.rounds.schedule(other, task)
            await _wait_until(lambda: self.queue.num_left > 0)
            self.assertEqual(self.queue.apart, [])
            self.queue.num_more = 0

        self._run(test())

    def test_queue_that_is_no_longer_called_is_forgotten(self) -> None:
        """It would keep a model that is unloaded."""

        async def test() -> None:
            queues: list[Any] = [_Queue(self.rounds)]
            gone = weakref.ref(queues[0])
            task: Any = _Task()
            self.rounds.schedule(queues[0], task)
            await _wait_until(lambda: queues[0].ended == [task])
            queues.clear()
            await _wait_until(lambda: gone() is None)

        self._run(test())


if __name__ == "__main__":
    absltest.main()
