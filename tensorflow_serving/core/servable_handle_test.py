"""Tests for servable_handle."""

import weakref
from concurrent import futures

from absl.testing import absltest

from tensorflow_serving.core import servable, servable_handle
from tensorflow_serving.test_util import fake_clock

_ID = servable.ServableId("a", 1)


class _Servable:
    """Something that can be watched as it goes."""


class ServableHandleTest(absltest.TestCase):
    """A servable that cannot be unloaded while it is in use."""

    def setUp(self) -> None:
        """Loads a servable."""
        super().setUp()
        self.servable = _Servable()
        self.shared = servable_handle.SharedServable(_ID, self.servable)
        self.clock = fake_clock.FakeClock()
        self.executor = futures.ThreadPoolExecutor(1)
        self.addCleanup(self.executor.shutdown)

    def _acquire(self) -> servable_handle.ServableHandle[object]:
        handle = self.shared.acquire()
        assert handle is not None
        return handle

    def test_handle_has_the_servable(self) -> None:
        """And says which version it is."""
        with self._acquire() as handle:
            self.assertIs(handle.servable, self.servable)
            self.assertEqual(handle.id, _ID)

    def test_open_handles_are_counted(self) -> None:
        """Each once, however often it is closed."""
        first, second = self._acquire(), self._acquire()
        self.assertEqual(self.shared.num_handles, 2)
        first.close()
        first.close()
        self.assertEqual(self.shared.num_handles, 1)
        second.close()
        self.assertEqual(self.shared.num_handles, 0)

    def test_end_of_the_block_closes_the_handle(self) -> None:
        """Also when it is left by an error."""
        with self.assertRaises(KeyError), self._acquire():
            raise KeyError
        self.assertEqual(self.shared.num_handles, 0)

    def test_closed_handle_has_no_servable(self) -> None:
        """It may be gone; the id is still known."""
        handle = self._acquire()
        handle.close()
        with self.assertRaisesRegex(AssertionError, "closed handle"):
            _ = handle.servable
        self.assertEqual(handle.id, _ID)

    def test_handles_of_the_same_object_are_equal(self) -> None:
        """While they are open."""
        first, second = self._acquire(), self._acquire()
        self.assertEqual(first, second)
        self.assertEqual(hash(first), hash(second))
        second.close()
        self.assertNotEqual(first, second)
        self.assertNotEqual(second, first)
        first.close()
        self.assertNotEqual(first, second)

    def test_handles_of_other_objects_are_not_equal(self) -> None:
        """Even if the version is the same: it may have been loaded again."""
        other = servable_handle.SharedServable(_ID, self.servable).acquire()
        with self._acquire() as handle:
            self.assertNotEqual(handle, other)
            self.assertNotEqual(handle, self.servable)

    def test_retire_without_handles_returns_at_once(self) -> None:
        """The clock stands still."""
        self._acquire().close()
        self.shared.retire(self.clock)

    def test_retired_servable_gives_no_handle(self) -> None:
        """From the moment that somebody waits for the last one."""
        handle = self._acquire()
        retire = self.executor.submit(self.shared.retire, self.clock)
        self.clock.settle(threads=1)
        self.assertIsNone(self.shared.acquire())
        handle.close()
        retire.result()
        self.assertIsNone(self.shared.acquire())
        self.assertEqual(self.shared.num_handles, 0)

    def test_retire_returns_when_the_last_handle_is_closed(self) -> None:
        """Not with the one before; open handles can be used until then."""
        first, last = self._acquire(), self._acquire()
        retire = self.executor.submit(self.shared.retire, self.clock)
        self.clock.settle(threads=1)
        first.close()
        self.clock.settle(threads=1)
        self.assertFalse(retire.done())
        self.assertIs(last.servable, self.servable)
        last.close()
        retire.result()

    def test_retire_says_that_it_waits(self) -> None:
        """Every 5 seconds, for how many handles, and since when."""
        first, last = self._acquire(), self._acquire()
        with self.assertLogs(level="WARNING") as log:
            retire = self.executor.submit(self.shared.retire, self.clock)
            self.clock.settle(threads=1)
            self.clock.advance_micros(4_999_999)
            self.clock.settle(threads=1)
            self.assertEqual(log.output, [])
            self.clock.advance_micros(1)
            self.clock.settle(threads=1)
            first.close()
            self.clock.advance_micros(4_999_999)
            self.clock.settle(threads=1)
            self.assertEqual(len(log.output), 1)
            self.clock.advance_micros(1)
            self.clock.settle(threads=1)
            last.close()
            retire.result()
        self.assertEqual(
            [record.getMessage() for record in log.records],
            [
                f"Unloading {{name: a version: 1}} waits for {handles} open "
                f"handles, since {seconds} s"
                for handles, seconds in ((2, 5), (1, 10))
            ],
        )

    def test_nothing_keeps_a_retired_servable(self) -> None:
        """Neither a closed handle nor what counted it."""
        handle = self._acquire()
        watched = weakref.ref(self.servable)
        del self.servable
        handle.close()
        self.assertIsNotNone(watched())
        self.shared.retire(self.clock)
        self.assertIsNone(watched())


if __name__ == "__main__":
    absltest.main()
