"""Tests for task_round."""

import threading
import time
from collections.abc import Callable, Iterable
from unittest import mock

from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.batching import batch_scheduler, task_round
from tensorflow_serving.test_util import puppet_batch_scheduler
from tensorflow_serving.util import errors


class _Task(batch_scheduler.BatchTask):
    """A task that nobody runs."""

    size = 1

    def fail(self, error: errors.ServingError) -> None:
        """Is never called."""


class _Queue(puppet_batch_scheduler.PuppetBatchScheduler[_Task]):
    """A queue that records how it was called, and has more to do at times."""

    def __init__(self) -> None:
        super().__init__(lambda batch: None)
        # How many tasks came with each call, and whether they may run there.
        self.visits: list[tuple[int, bool]] = []
        # How often it will say that there is more to do.
        self.num_more = 0
        # Called in the first schedule_all() that may run a batch.
        self.run_batch: Callable[[], None] | None = None

    @override
    def schedule_all(
        self,
        tasks: Iterable[_Task],
        *,
        runs_here: bool = True,
    ) -> bool:
        self.visits.append((len([*tasks]), runs_here))
        if not runs_here:
            return False
        run_batch, self.run_batch = self.run_batch, None
        if run_batch is not None:
            run_batch()
        self.num_more -= 1
        return self.num_more >= 0


def _tasks(num_tasks: int) -> list[_Task]:
    return [_Task() for _ in range(num_tasks)]


class TaskRoundTest(absltest.TestCase):
    """Tests with queues that run what the test says."""

    def setUp(self) -> None:
        """Makes two queues, and a round with tasks for both."""
        super().setUp()
        self.first, self.second = _Queue(), _Queue()
        self.round = task_round.TaskRound()
        self.round.add(self.first, _tasks(1))
        self.round.add(self.second, _tasks(2))

    def test_tasks_go_to_their_queues_together(self) -> None:
        """Tasks that were added apart are scheduled with one call."""
        self.round.add(self.first, _tasks(3))
        self.assertFalse(self.round.run())
        self.assertEqual(self.first.visits, [(4, True)])
        self.assertEqual(self.second.visits, [(2, True)])

    def test_queue_with_more_to_do_is_visited_by_the_next_round(self) -> None:
        """It is visited once a round, with the tasks that came since."""
        self.second.num_more = 1
        self.assertTrue(self.round.run())
        after = task_round.TaskRound(self.round)
        after.add(self.first, _tasks(1))
        self.assertFalse(after.run())
        self.assertEqual(self.first.visits, [(1, True), (1, True)])
        self.assertEqual(self.second.visits, [(2, True), (0, True)])
        self.assertFalse(self.round.run())

    def test_round_that_takes_long_leaves_the_rest_to_the_next(self) -> None:
        """The thread sees to other things in between."""
        with mock.patch.object(time, "monotonic", side_effect=range(99)):
            self.assertTrue(self.round.run())
        self.assertEqual(self.second.visits, [])
        self.assertFalse(task_round.TaskRound(self.round).run())
        self.assertEqual(self.first.visits, [(1, True)])
        self.assertEqual(self.second.visits, [(2, True)])

    def test_round_that_was_left_gives_batch_threads_everything(self) -> None:
        """They see to tasks, and to the rest of a queue whose run hangs."""
        third = _Queue()
        third.num_more = 1
        before = task_round.TaskRound()
        before.add(third, _tasks(1))
        before.run()
        self.round = task_round.TaskRound(before)
        self.round.add(self.first, _tasks(1))
        self.round.add(self.second, _tasks(2))
        third.num_more = 1
        self.first.run_batch = self._leave_on_another_thread
        self.first.num_more = 1
        self.assertFalse(self.round.run())
        self.assertEqual(third.visits[2:], [(0, False)])
        self.assertEqual(self.second.visits, [(2, False)])
        # Once while its run hangs, and once for what that has left.
        self.assertEqual(self.first.visits, [(1, True), (0, False), (0, False)])
        self.assertFalse(task_round.TaskRound(self.round).run())

    def test_round_that_was_left_before_it_ran_runs_nothing(self) -> None:
        """Its thread was held up by something else."""
        self.round.leave()
        self.round.add(self.first, _tasks(3))
        self.assertFalse(self.round.run())
        self.assertEqual(self.first.visits, [(1, False), (3, False)])
        self.assertEqual(self.second.visits, [(2, False)])

    def _leave_on_another_thread(self) -> None:
        thread = threading.Thread(target=self.round.leave)
        thread.start()
        thread.join()


if __name__ == "__main__":
    absltest.main()
