"""Tests for puppet_executor."""

import threading
from concurrent import futures

from absl.testing import absltest

from tensorflow_serving.test_util import puppet_executor


class PuppetExecutorTest(absltest.TestCase):
    """An executor that runs work when a test says so."""

    def setUp(self) -> None:
        """Makes a list of the work that was run."""
        super().setUp()
        self.executor = puppet_executor.PuppetExecutor()
        self.done: list[str] = []

    def test_work_waits_until_it_is_run(self) -> None:
        """Work runs on demand, in order, on the thread that asks for it."""
        threads = [
            self.executor.submit(threading.current_thread) for _ in range(3)
        ]
        self.assertEqual(self.executor.num_waiting, 3)
        self.executor.run_next()
        self.assertEqual(
            [future.done() for future in threads], [True, False, False]
        )
        self.assertEqual(self.executor.num_waiting, 2)
        self.executor.run_all()
        self.assertEqual(self.executor.num_waiting, 0)
        here = threading.current_thread()
        self.assertEqual([future.result() for future in threads], [here] * 3)

    def test_future_gets_the_error(self) -> None:
        """Whoever runs the work does not."""
        future = self.executor.submit(int, "three")
        self.executor.run_next()
        with self.assertRaises(ValueError):
            future.result()

    def test_arguments_reach_the_function(self) -> None:
        """Arguments reach the function, by position and by name."""
        future = self.executor.submit(int, "11", base=2)
        self.executor.run_all()
        self.assertEqual(future.result(), 3)

    def test_run_all_runs_work_of_work(self) -> None:
        """Work that is submitted by work is run, after all the rest."""

        def first() -> None:
            self.done.append("first")
            self.executor.submit(self.done.append, "third")

        self.executor.submit(first)
        self.executor.submit(self.done.append, "second")
        self.executor.run_all()
        self.assertEqual(self.done, ["first", "second", "third"])

    def test_cancelled_work_is_gone(self) -> None:
        """It neither waits nor runs."""
        future = self.executor.submit(self.done.append, "cancelled")
        self.executor.submit(self.done.append, "next")
        self.assertTrue(future.cancel())
        self.assertEqual(self.executor.num_waiting, 1)
        self.executor.run_next()
        self.assertEqual(self.done, ["next"])
        self.assertIn(future, futures.wait([future]).done)

    def test_run_next_without_work_is_an_error(self) -> None:
        """A test that says so expects work."""
        self.executor.submit(self.done.append, "cancelled").cancel()
        with self.assertRaises(IndexError):
            self.executor.run_next()

    def test_wait_for_work_returns_when_it_is_there(self) -> None:
        """The wait ends when work is there, whoever submitted it."""
        thread = threading.Thread(
            target=self.executor.submit, args=(self.done.append, "work")
        )
        thread.start()
        self.executor.wait_for_work(1)
        self.executor.run_next()
        thread.join()
        self.assertEqual(self.done, ["work"])

    def test_shutdown_runs_what_waits(self) -> None:
        """No more work is taken from then on, also not from work."""

        def submit() -> None:
            self.executor.submit(self.done.append, "late")

        future = self.executor.submit(submit)
        self.executor.submit(self.done.append, "work")
        self.executor.shutdown()
        self.executor.shutdown()
        self.assertEqual(self.done, ["work"])
        self.assertIsInstance(future.exception(), RuntimeError)
        with self.assertRaisesRegex(RuntimeError, "after shutdown"):
            submit()

    def test_shutdown_waits_for_work_of_other_threads(self) -> None:
        """It returns after them."""
        started, may_end = threading.Event(), threading.Event()

        def work() -> None:
            started.set()
            may_end.wait()
            self.done.append("work")

        def shut_down() -> None:
            self.executor.shutdown()
            self.done.append("shutdown")

        self.executor.submit(work)
        worker = threading.Thread(target=self.executor.run_next)
        worker.start()
        started.wait()
        shutter = threading.Thread(target=shut_down)
        shutter.start()
        may_end.set()
        shutter.join()
        worker.join()
        self.assertEqual(self.done, ["work", "shutdown"])

    def test_shutdown_without_waiting_leaves_work_to_be_run(self) -> None:
        """It runs when the test says so."""
        self.executor.submit(self.done.append, "work")
        self.executor.shutdown(wait=False)
        self.assertEqual(self.done, [])
        self.assertEqual(self.executor.num_waiting, 1)
        self.executor.run_all()
        self.assertEqual(self.done, ["work"])

    def test_shutdown_cancels_what_waits(self) -> None:
        """A shutdown that shall cancel futures cancels the waiting ones."""
        waiting = [
            self.executor.submit(self.done.append, "work") for _ in range(2)
        ]
        self.executor.shutdown(cancel_futures=True)
        self.assertEqual([each.cancelled() for each in waiting], [True] * 2)
        self.assertEqual(self.done, [])

    def test_executor_is_a_context_manager(self) -> None:
        """Its end shuts it down and waits."""
        with self.executor as executor:
            executor.submit(self.done.append, "work")
        self.assertEqual(self.done, ["work"])


if __name__ == "__main__":
    absltest.main()
