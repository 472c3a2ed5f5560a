"""Tests for worker_threads."""

import functools
import queue
import threading
from unittest import mock

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

    def test_tasks_of_workers_that_grow_wait_for_no_other(self) -> None:
        """Any number of them may hang."""
        workers = worker_threads.WorkerThreads("work", 1, grows=True)
        may_go_on = threading.Event()
        self.addCleanup(workers.shutdown)
        self.addCleanup(may_go_on.set)
        for _ in range(20):
            workers.submit(may_go_on.wait)
        workers.submit(lambda: self.results.put("done"))
        self.assertEqual(self.results.get(), "done")

    def test_workers_that_cannot_grow_go_on_with_those_they_have(self) -> None:
        """The system may have no more threads."""
        workers = worker_threads.WorkerThreads("work", 1, grows=True)
        self.addCleanup(workers.shutdown)
        with (
            mock.patch.object(
                threading.Thread, "start", side_effect=RuntimeError("no more")
            ),
            self.assertLogs(level="WARNING"),
        ):
            for number in range(3):
                workers.submit(functools.partial(self.results.put, number))
            self.assertEqual([self.results.get() for _ in range(3)], [0, 1, 2])

    def test_all_threads_end_at_shutdown(self) -> None:
        """Those that came later end as well."""
        workers = worker_threads.WorkerThreads("work", 2, grows=True)
        start = threading.Barrier(4)

        def show() -> None:
            self.results.put(threading.current_thread())
            start.wait()

        for _ in range(3):
            workers.submit(show)
        start.wait()
        workers.shutdown()
        for _ in range(3):
            thread = self.results.get()
            assert isinstance(thread, threading.Thread)
            thread.join()

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
