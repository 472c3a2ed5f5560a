"""Tests for model_news."""

import threading

from absl.testing import absltest

from tensorflow_serving.model_servers import model_news
from tensorflow_serving.rpc import call


class ModelNewsTest(absltest.TestCase):
    """Tests of news about models."""

    def setUp(self) -> None:
        """Makes news with a lock that conditions may take."""
        super().setUp()
        self.lock = threading.RLock()
        self.news = model_news.ModelNews(self.lock)

    def test_subscribers_come_before_those_who_wait(self) -> None:
        """A condition can be about what subscribers have been called with."""
        names: list[str] = []
        is_waiting = threading.Event()

        def is_over() -> bool:
            is_waiting.set()
            return bool(names)

        with self.news.subscribe(names.append):
            thread = threading.Thread(
                target=self.news.wait_until, args=[is_over, 0]
            )
            thread.start()
            is_waiting.wait()
            self.news.publish(["a", "b"])
            thread.join()
        self.news.publish(["c"])
        self.assertEqual(names, ["a", "b"])

    def test_condition_is_looked_at_with_the_lock(self) -> None:
        """It may take the lock itself, and sees no change half made."""
        taken: list[bool] = []

        def is_over() -> bool:
            with self.lock:
                other = threading.Thread(
                    target=lambda: taken.append(
                        self.lock.acquire(blocking=False)
                    )
                )
                other.start()
                other.join()
            return True

        self.assertTrue(self.news.wait_until(is_over, 0))
        self.assertEqual(taken, [False])

    def test_wait_ends_with_its_time(self) -> None:
        """Nothing was published, and the condition does not hold."""
        self.assertFalse(self.news.wait_until(lambda: False, 0.001))

    def test_wait_that_nobody_wants_ends(self) -> None:
        """Whoever leaves need not publish anything."""
        is_waiting = threading.Event()
        unwanted = call.Unwanted()

        def is_over() -> bool:
            is_waiting.set()
            return False

        thread = threading.Thread(
            target=self.news.wait_until, args=[is_over, 0, unwanted]
        )
        thread.start()
        is_waiting.wait()
        unwanted.set_result(None)
        thread.join()

    def test_closed_news_are_waited_for_no_longer(self) -> None:
        """A wait ends whatever its condition, and closing twice is one."""
        self.assertFalse(self.news.is_closed)
        self.news.close()
        self.news.close()
        self.assertTrue(self.news.is_closed)
        self.assertTrue(self.news.wait_until(lambda: False, 0))


if __name__ == "__main__":
    absltest.main()
