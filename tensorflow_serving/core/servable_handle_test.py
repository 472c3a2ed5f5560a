"""Tests for servable_handle."""

import gc
import threading
import weakref
from concurrent import futures

from absl.testing import absltest

from tensorflow_serving.core import servable, servable_handle

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
        self.num_released = 0

    def _release(self) -> None:
        """Counts the calls."""
        self.num_released += 1

    def _acquire(self) -> servable_handle.ServableHandle[object]:
        handle = self.shared.acquire()
        assert handle is not None
        return handle

    def test_handle_has_the_servable(self) -> None:
        """A handle has the servable and the id of its version."""
        with self._acquire() as handle:
            self.assertIs(handle.servable, self.servable)
            self.assertEqual(handle.id, _ID)

    def test_repr_has_the_state(self) -> None:
        """A debugger shows the version of a handle, and if it is open."""
        handle = self._acquire()
        self.assertEqual(repr(handle), f"<ServableHandle open, {handle.id}>")
        handle.close()
        self.assertEqual(repr(handle), f"<ServableHandle closed, {handle.id}>")

    def test_open_handles_are_counted(self) -> None:
        """Each handle counts once, however often it is closed."""
        first, second = self._acquire(), self._acquire()
        self.assertEqual(self.shared.num_handles, 2)
        first.close()
        first.close()
        self.assertEqual(self.shared.num_handles, 1)
        second.close()
        self.assertEqual(self.shared.num_handles, 0)

    def test_end_of_the_block_closes_the_handle(self) -> None:
        """A block that ends, also by an error, closes the handle."""
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
        """Handles of one object are equal as long as they are open."""
        first, second = self._acquire(), self._acquire()
        self.assertEqual(first, second)
        self.assertEqual(hash(first), hash(second))
        second.close()
        self.assertNotEqual(first, second)
        self.assertNotEqual(second, first)
        first.close()
        self.assertNotEqual(first, second)

    def test_handles_of_other_objects_are_not_equal(self) -> None:
        """Equal versions may be other objects, if one was loaded again."""
        other = servable_handle.SharedServable(_ID, self.servable).acquire()
        with self._acquire() as handle:
            self.assertNotEqual(handle, other)
            self.assertNotEqual(handle, self.servable)

    def test_retire_without_handles_calls_back_at_once(self) -> None:
        """Nothing holds the servable up."""
        self._acquire().close()
        self.shared.retire(self._release)
        self.assertEqual(self.num_released, 1)

    def test_retired_servable_gives_no_handle(self) -> None:
        """Those that are open last until they are closed."""
        handle = self._acquire()
        self.shared.retire(self._release)
        self.assertIsNone(self.shared.acquire())
        self.assertEqual(self.num_released, 0)
        handle.close()
        self.assertIsNone(self.shared.acquire())
        self.assertEqual(self.shared.num_handles, 0)
        self.assertEqual(self.num_released, 1)

    def test_last_handle_calls_back(self) -> None:
        """The one before does not, and the last one does so once."""
        first, last = self._acquire(), self._acquire()
        self.shared.retire(self._release)
        first.close()
        self.assertEqual(self.num_released, 0)
        self.assertIs(last.servable, self.servable)
        last.close()
        last.close()
        self.assertEqual(self.num_released, 1)

    def test_dropped_handle_closes_itself(self) -> None:
        """An unload does not wait for what nobody has."""
        handle = self._acquire()
        self.shared.retire(self._release)
        del handle
        gc.collect()
        self.assertEqual(self.num_released, 1)

    def test_log_says_where_a_dropped_handle_was_taken(self) -> None:
        """The next acquire() writes it, as a finalizer must not log."""
        handle = self._acquire()
        del handle
        gc.collect()
        with self.assertLogs(level="WARNING") as log:
            self._acquire().close()
        (record,) = log.records
        self.assertRegex(
            record.getMessage(),
            r"^A handle on {name: a version: 1} was dropped without being "
            r"closed; it was taken at .*:\d+$",
        )

    def test_handle_that_was_closed_is_not_forgotten(self) -> None:
        """There is nothing to complain about."""
        handle = self._acquire()
        handle.close()
        del handle
        gc.collect()
        with self.assertNoLogs(level="WARNING"):
            self._acquire().close()

    def test_places_are_those_of_open_handles(self) -> None:
        """Each is listed once."""
        self.assertEqual(self.shared.places(), "")
        with self._acquire(), self._acquire():
            self.assertRegex(self.shared.places(), r"^[^,]*:\d+$")

    def test_handles_may_be_dropped_inside_of_any_call(self) -> None:
        """The garbage collector may run while a handle is being taken."""
        threshold = gc.get_threshold()
        gc.set_threshold(1)
        self.addCleanup(gc.set_threshold, *threshold)
        for _ in range(100):
            cycle: list[object] = [self._acquire()]
            cycle.append(cycle)
            del cycle
            self._acquire().close()
        gc.collect()
        self.assertEqual(self.shared.num_handles, 0)

    def test_threads_that_take_handles_lose_none(self) -> None:
        """The callback comes once, after the last handle."""
        taken: list[bool] = []
        has_taken = threading.Event()

        def take() -> None:
            while (handle := self.shared.acquire()) is not None:
                taken.append(handle.servable is self.servable)
                handle.close()
                if len(taken) >= 100:
                    has_taken.set()

        with futures.ThreadPoolExecutor(4) as executor:
            takes = [executor.submit(take) for _ in range(4)]
            self.assertTrue(has_taken.wait())
            self.shared.retire(self._release)
        for each in takes:
            each.result()
        self.assertTrue(all(taken))
        self.assertEqual(self.num_released, 1)

    def test_nothing_keeps_a_retired_servable(self) -> None:
        """Neither a closed handle nor the count keeps the servable."""
        handle = self._acquire()
        watched = weakref.ref(self.servable)
        del self.servable
        handle.close()
        self.assertIsNotNone(watched())
        self.shared.retire(self._release)
        self.assertIsNone(watched())


if __name__ == "__main__":
    absltest.main()
