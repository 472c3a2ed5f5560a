"""Tests for basic_manager: what happens at the same time."""

import threading

from absl.testing import absltest

from tensorflow_serving.core import basic_manager, servable
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.test_util import fake_clock, fake_loader
from tensorflow_serving.util import errors

_Id = servable.ServableId
_Request = servable.ServableRequest
_Data = servable.ServableData


class ThreadsTest(absltest.TestCase):
    """Loads and unloads at the same time."""

    def manager(
        self, total_bytes: int = 100, num_load_threads: int = 2
    ) -> basic_manager.BasicManager:
        """Makes a manager with threads, and a clock that stands still."""
        self.clock = fake_clock.FakeClock()
        manager = basic_manager.BasicManager(
            basic_manager.Options(num_load_threads=num_load_threads),
            resource_tracker=resource_tracker.ResourceTracker(
                resource_tracker.ResourceAllocation(total_bytes)
            ),
            clock=self.clock,
        )
        self.addCleanup(manager.close)
        return manager

    def manage(
        self,
        manager: basic_manager.BasicManager,
        version: int,
        loader: fake_loader.FakeLoader,
    ) -> servable.ServableId:
        """Has a version managed."""
        servable_id = _Id("a", version)
        manager.manage_servable(_Data.ok(servable_id, loader))
        return servable_id

    def test_loads_that_fit_run_at_the_same_time(self) -> None:
        """The second one begins before the first one ends."""
        manager = self.manager()
        loaders = [fake_loader.FakeLoader(ram_in_bytes=50) for _ in range(2)]
        for loader in loaders:
            loader.may_load.clear()
        futures = [
            manager.load_servable(self.manage(manager, version, loader))
            for version, loader in enumerate(loaders)
        ]
        for loader in loaders:
            loader.load_started.wait()
        for loader in loaders:
            loader.may_load.set()
        for future in futures:
            future.result()

    def test_log_says_how_long_a_load_took(self) -> None:
        """The log has the time of the try that succeeded."""
        manager = self.manager()
        loader = fake_loader.FakeLoader()
        loader.may_load.clear()
        with self.assertLogs(level="INFO") as log:
            load = manager.load_servable(self.manage(manager, 1, loader))
            loader.load_started.wait()
            self.clock.advance_micros(1_500_000)
            loader.may_load.set()
            load.result()
        self.assertIn(
            "Loaded {name: a version: 1} in 1.50 s", "".join(log.output)
        )

    def test_load_waits_for_what_may_free_memory(self) -> None:
        """A load waits for an unload under way, and then has room."""
        manager = self.manager()
        old = fake_loader.FakeLoader(ram_in_bytes=80)
        old_id = self.manage(manager, 1, old)
        manager.load_servable(old_id).result()
        old.may_unload.clear()
        unload = manager.unload_servable(old_id)
        old.unload_started.wait()
        new = fake_loader.FakeLoader(ram_in_bytes=80)
        load = manager.load_servable(self.manage(manager, 2, new))
        self.assertFalse(load.done())
        old.may_unload.set()
        unload.result()
        load.result()

    def test_load_that_waits_for_memory_lets_others_pass(self) -> None:
        """A small one goes on beside a large one that does not fit yet."""
        manager = self.manager(num_load_threads=3)
        first = fake_loader.FakeLoader(
            ram_in_bytes=80, errors=[errors.DataLossError("broken")]
        )
        first.may_load.clear()
        manager.load_servable(self.manage(manager, 1, first))
        first.load_started.wait()
        large = fake_loader.FakeLoader(ram_in_bytes=100)
        small = fake_loader.FakeLoader(ram_in_bytes=10)
        large_load = manager.load_servable(self.manage(manager, 2, large))
        small_load = manager.load_servable(self.manage(manager, 3, small))
        small_load.result()
        self.assertFalse(large_load.done())
        first.may_load.set()
        with self.assertRaises(errors.ResourceExhaustedError):
            large_load.result()

    def test_unload_waits_for_the_last_handle(self) -> None:
        """An unload waits for handles, and runs on a thread of the manager."""
        manager = self.manager()
        loader = fake_loader.FakeLoader("the servable")
        servable_id = self.manage(manager, 1, loader)
        manager.load_servable(servable_id).result()
        handle = manager.get_servable_handle(_Request.latest("a"), str)
        unload = manager.unload_servable(servable_id)
        with self.assertRaises(errors.NotFoundError):
            manager.get_servable_handle(_Request.latest("a"), str)
        self.assertEqual(handle.servable, "the servable")
        self.assertTrue(loader.is_loaded)
        self.assertFalse(unload.done())
        handle.close()
        unload.result()
        self.assertFalse(loader.is_loaded)
        self.assertNotIn(threading.current_thread(), loader.threads)

    def test_unload_that_waits_keeps_no_load_from_running(self) -> None:
        """Loads and unloads have threads of their own."""
        manager = self.manager()
        servable_id = self.manage(manager, 1, fake_loader.FakeLoader())
        manager.load_servable(servable_id).result()
        with manager.get_servable_handle(_Request.latest("a"), object):
            unload = manager.unload_servable(servable_id)
            for version in range(2, 6):
                manager.load_servable(
                    self.manage(manager, version, fake_loader.FakeLoader())
                ).result()
            self.assertFalse(unload.done())
        unload.result()

    def test_retry_that_waits_ends_with_the_manager(self) -> None:
        """A retry that would wait for a minute ends with the manager."""
        manager = self.manager()
        loader = fake_loader.FakeLoader(
            errors=[errors.UnavailableError("no storage")] * 9
        )
        load = manager.load_servable(self.manage(manager, 1, loader))
        # The alarm waits for the retry.
        self.clock.settle(threads=1)
        loader.load_started.wait()
        manager.close()
        with self.assertRaisesRegex(errors.CancelledError, "no storage"):
            load.result()


if __name__ == "__main__":
    absltest.main()
