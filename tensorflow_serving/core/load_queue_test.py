"""Tests for load_queue."""

from absl.testing import absltest

from tensorflow_serving.core import load_queue


class LoadQueueTest(absltest.TestCase):
    """Which loads run, and which wait for what."""

    def _make(self, num_threads: int, *loads: str) -> load_queue.LoadQueue[str]:
        queue = load_queue.LoadQueue[str](num_threads)
        for load in loads:
            queue.add(load)
        return queue

    def test_loads_run_in_the_order_in_which_they_came(self) -> None:
        """Loads run in order, as many at a time as there are threads."""
        queue = self._make(2, "a", "b", "c")
        self.assertEqual(queue.num_free_threads, -1)
        self.assertEqual([queue.take() for _ in range(3)], ["a", "b", None])
        queue.remove("a")
        self.assertEqual(queue.take(), "c")
        self.assertEqual(queue.running, ("b", "c"))
        self.assertEqual(queue.num_free_threads, 0)

    def test_load_that_waits_for_memory_holds_no_thread(self) -> None:
        """It is first in line when some was freed."""
        queue = self._make(1, "a", "b", "c", "d")
        queue.take()
        queue.wait_for_memory("a")
        self.assertEqual(queue.take(), "b")
        queue.wait_for_memory("b")
        queue.memory_was_freed()
        order = []
        while (load := queue.take()) is not None:
            order.append(load)
            queue.remove(load)
        self.assertEqual(order, ["a", "b", "c", "d"])

    def test_slow_load_lets_another_one_run(self) -> None:
        """No more run at first than twice as many as there are threads."""
        queue = self._make(1, "a", "b", "c")
        queue.take()
        self.assertTrue(queue.takes_long("a"))
        self.assertEqual(queue.take(), "b")
        self.assertTrue(queue.takes_long("b"))
        self.assertIsNone(queue.take())
        queue.remove("a")
        self.assertEqual(queue.take(), "c")

    def test_loads_that_hang_hold_up_no_other(self) -> None:
        """Ten times as long as a slow load is forever, of any number."""
        names = [f"hanging{number}" for number in range(9)]
        queue = self._make(2, *names, "a", "b", "c")
        for name in names:
            self.assertEqual(queue.take(), name)
            for _ in range(10):
                queue.takes_long(name)
        self.assertEqual([queue.take() for _ in range(3)], ["a", "b", None])
        queue.remove("a")
        self.assertEqual(queue.take(), "c")

    def test_load_that_does_not_run_is_not_slow(self) -> None:
        """It has ended meanwhile, or waits."""
        queue = self._make(1, "a")
        self.assertFalse(queue.takes_long("a"))
        self.assertFalse(queue.takes_long("b"))

    def test_load_is_forgotten_wherever_it_waits(self) -> None:
        """Nothing is left of a load that was forgotten."""
        queue = self._make(1, "a", "b")
        queue.take()
        queue.wait_for_memory("a")
        for load in ("a", "b", "unknown"):
            queue.remove(load)
        queue.memory_was_freed()
        self.assertIsNone(queue.take())


if __name__ == "__main__":
    absltest.main()
