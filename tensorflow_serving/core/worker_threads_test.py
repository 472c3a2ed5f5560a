"""Tests for worker_threads."""

import functools
import queue
import threading

from absl.testing import absltest

from tensorflow_serving.core import worker_threads


class WorkerThreadsTest(absltest.TestCase):
    """Threads that run tasks, first in, first out."""

    def setUp(self) -> None:
        """Starts one thread."""
        super().setUp()
        self.workers = worker_threads.WorkerThreads("work", 1)
        self.addCleanup(self.workers.shutdown)
        self.results: queue.SimpleQueue[object] = queue.SimpleQueue()

    def test_tasks_run_in_order_on_a_thread_that_ends_with_the_program(
        self,
    ) -> None:
        """A task that hangs cannot keep the program from its end."""
        self.workers.submit(
            lambda: self.results.put(threading.current_thread())
        )
        for number in range(3):
            self.workers.submit(functools.partial(self.results.put, number))
        thread = self.results.get()
        assert isinstance(thread, threading.Thread)
        self.assertTrue(thread.daemon)
        self.assertEqual(thread.name, "work")
        self.assertEqual([self.results.get() for _ in range(3)], [0, 1, 2])

    def test_task_that_raises_is_logged_and_others_run(self) -> None:
        """A task that exits, or raises, does not end the thread."""

        def leave() -> None:
            raise SystemExit

        with self.assertLogs(level="ERROR"):
            self.workers.submit(leave)
            self.workers.submit(lambda: self.results.put("done"))
            self.assertEqual(self.results.get(), "done")

    def test_what_waits_at_shutdown_is_still_run(self) -> None:
        """Its thread ends afterwards."""
        may_go_on = threading.Event()
        self.workers.submit(may_go_on.wait)
        self.workers.submit(
            lambda: self.results.put(threading.current_thread())
        )
        self.workers.shutdown()
        may_go_on.set()
        thread = self.results.get()
        assert isinstance(thread, threading.Thread)
        thread.join()


if __name__ == "__main__":
    absltest.main()
