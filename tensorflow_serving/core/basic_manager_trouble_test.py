"""Tests for basic_manager: what hangs, exits, is forgotten or cancelled."""

import gc
import threading
from typing import Any

from absl.testing import absltest, parameterized
from typing_extensions import override

from tensorflow_serving.core import basic_manager, servable
from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.test_util import fake_clock, fake_loader
from tensorflow_serving.util import errors, event_bus

_ManagerState = servable.ManagerState
_Data = servable.ServableData


class _NoServable(fake_loader.FakeLoader):
    """Has nothing to serve once it is loaded."""

    def servable(self) -> object:
        """Fails."""
        raise KeyError("private")


class _NoWarning(fake_loader.FakeLoader):
    """Cannot say whether what it has loaded has a flaw."""

    @override
    def warning(self) -> str:
        """Fails."""
        raise KeyError("private")


class _Leaving(fake_loader.FakeLoader):
    """Wants to end the program in one of its methods."""

    def __init__(self, method: str) -> None:
        super().__init__(ram_in_bytes=100)
        self._method = method

    @override
    def estimate_resources(self) -> resource_tracker.ResourceAllocation:
        self._leave("estimate")
        return super().estimate_resources()

    @override
    def load(self) -> None:
        self._leave("load")
        super().load()

    @override
    def unload(self) -> None:
        super().unload()
        self._leave("unload")

    def _leave(self, method: str) -> None:
        if method == self._method:
            raise SystemExit


class TroubleTest(parameterized.TestCase):
    """A manager with real threads, and a clock that the test moves."""

    def setUp(self) -> None:
        """Makes the manager, with a budget of 100 bytes."""
        super().setUp()
        self.states: list[servable.ServableState] = []
        bus = event_bus.EventBus[servable.ServableState]()
        bus.subscribe(lambda event: self.states.append(event.event))
        self.clock = fake_clock.FakeClock()
        self.tracker = resource_tracker.ResourceTracker(
            resource_tracker.ResourceAllocation(100)
        )
        self.manager = basic_manager.BasicManager(
            event_bus=bus, resource_tracker=self.tracker, clock=self.clock
        )

    def load(self, loader: fake_loader.FakeLoader, name: str = "a") -> Any:
        """Has a servable loaded; returns the future."""
        servable_id = servable.ServableId(name, 1)
        self.manager.manage_servable(_Data.ok(servable_id, loader))
        return self.manager.load_servable(servable_id)

    def unload(self, name: str = "a") -> Any:
        """Has a servable unloaded; returns the future."""
        return self.manager.unload_servable(servable.ServableId(name, 1))

    @parameterized.parameters("estimate", "load")
    def test_exit_of_a_loader_is_internal(self, method: str) -> None:
        """The version ends, its memory is free, and others load."""
        self.addCleanup(self.manager.close)
        with (
            self.assertLogs(level="ERROR"),
            self.assertRaisesRegex(errors.InternalError, "SystemExit"),
        ):
            self.load(_Leaving(method)).result()
        self.assertEqual(self.states[-1].manager_state, _ManagerState.END)
        self.assertIsInstance(self.states[-1].error, errors.InternalError)
        self.load(fake_loader.FakeLoader(ram_in_bytes=100), "b").result()

    def test_exit_of_an_unload_is_internal(self) -> None:
        """The version ends all the same."""
        self.addCleanup(self.manager.close)
        self.load(_Leaving("unload")).result()
        with (
            self.assertLogs(level="ERROR"),
            self.assertRaises(errors.InternalError),
        ):
            self.unload().result()
        self.assertEqual(self.states[-1].manager_state, _ManagerState.END)
        self.assertEqual(self.tracker.used.ram_in_bytes, 0)

    @parameterized.parameters(_NoServable, _NoWarning)
    def test_servable_that_cannot_be_had_is_unloaded(
        self, loader_class: type[fake_loader.FakeLoader]
    ) -> None:
        """Its memory is free, and the reason is in the log."""
        self.addCleanup(self.manager.close)
        loader = loader_class(ram_in_bytes=100)
        with (
            self.assertLogs(level="ERROR"),
            self.assertRaisesRegex(errors.InternalError, "KeyError"),
        ):
            self.load(loader).result()
        self.assertFalse(loader.is_loaded)
        self.assertEqual(self.tracker.used.ram_in_bytes, 0)
        self.assertEqual(self.states[-1].manager_state, _ManagerState.END)
        self.assertEqual(self.manager.list_available_servable_ids(), [])

    def test_future_cannot_be_cancelled(self) -> None:
        """Whoever has it may not stop the manager."""
        self.addCleanup(self.manager.close)
        hanging = fake_loader.FakeLoader()
        hanging.may_load.clear()
        first = self.load(hanging)
        second = self.load(fake_loader.FakeLoader(), "b")
        self.assertFalse(second.cancel())
        hanging.may_load.set()
        first.result()
        second.result()
        unload = self.unload()
        self.assertFalse(unload.cancel())
        unload.result()

    def test_load_that_hangs_lets_another_one_run(self) -> None:
        """After a minute a load that hangs gets one more thread beside it."""
        self.addCleanup(self.manager.close)
        hanging = fake_loader.FakeLoader()
        hanging.may_load.clear()
        load = self.load(hanging)
        hanging.load_started.wait()
        other = self.load(fake_loader.FakeLoader(), "b")
        with self.assertLogs(level="WARNING") as log:
            self.clock.settle(threads=1)
            self.assertFalse(other.done())
            self.clock.advance_micros(60_000_000)
            other.result()
        self.assertIn("has taken 60 s so far", log.output[0])
        hanging.may_load.set()
        load.result()

    def test_close_leaves_a_load_that_hangs_behind(self) -> None:
        """A load that hangs is left after half a minute, and unloaded late."""
        hanging = fake_loader.FakeLoader()
        hanging.may_load.clear()
        load = self.load(hanging)
        hanging.load_started.wait()
        self.close_late("The load of {name: a version: 1} hangs")
        self.assertFalse(load.done())
        hanging.may_load.set()
        with self.assertRaises(errors.CancelledError):
            load.result()
        self.assertFalse(hanging.is_loaded)

    def test_close_leaves_a_handle_that_is_open_behind(self) -> None:
        """A servable whose handle is open is unloaded once it is closed."""
        loader = fake_loader.FakeLoader("text")
        self.load(loader).result()
        request = servable.ServableRequest.latest("a")
        handle = self.manager.get_servable_handle(request, str)
        self.close_late("has not ended, with 1 open handles")
        self.assertTrue(loader.is_loaded)
        handle.close()
        loader.unload_started.wait()

    def close_late(self, text: str) -> None:
        """Closes the manager, which logs a text after half a minute."""
        thread = threading.Thread(target=self.manager.close)
        with self.assertLogs(level="ERROR") as log:
            thread.start()
            # The alarm and close() wait.
            self.clock.settle(threads=2)
            self.clock.advance_micros(29_000_000)
            self.clock.settle(threads=2)
            self.assertTrue(thread.is_alive())
            self.clock.advance_micros(1_000_000)
            thread.join()
        self.assertIn(text, "".join(log.output))

    def test_unload_that_waits_for_a_handle_says_who_has_it(self) -> None:
        """The log has a line every 5 seconds as long as a handle is open."""
        self.addCleanup(self.manager.close)
        self.load(fake_loader.FakeLoader("text")).result()
        request = servable.ServableRequest.latest("a")
        with self.manager.get_servable_handle(request, str):
            unload = self.unload()
            with self.assertLogs(level="WARNING") as log:
                for _ in range(2):
                    self.clock.settle(threads=1)
                    self.clock.advance_micros(5_000_000)
                    self.clock.settle(threads=1)
        unload.result()
        self.assertRegex(
            "".join(log.output),
            r"waits for 1 open handles, since 5 s; taken at \S+:\d+"
            r".*since 10 s",
        )

    def test_unloads_that_wait_for_handles_do_not_stop_others(self) -> None:
        """More waiting unloads than threads stop neither unloads nor loads."""
        self.addCleanup(self.manager.close)
        names = [f"m{number}" for number in range(6)]
        handles = []
        for name in names:
            self.load(fake_loader.FakeLoader("text"), name).result()
            request = servable.ServableRequest.latest(name)
            handles.append(self.manager.get_servable_handle(request, str))
        unloads = [self.unload(name) for name in names]
        self.load(fake_loader.FakeLoader(ram_in_bytes=100)).result()
        self.unload().result()
        for handle in handles:
            handle.close()
        for unload in unloads:
            unload.result()

    def test_handle_that_was_dropped_does_not_stop_an_unload(self) -> None:
        """The log says where it was taken."""
        self.addCleanup(self.manager.close)
        self.load(fake_loader.FakeLoader("text")).result()
        request = servable.ServableRequest.latest("a")
        handle = self.manager.get_servable_handle(request, str)
        unload = self.unload()
        with self.assertLogs(level="WARNING") as log:
            del handle
            gc.collect()
            unload.result()
        self.assertIn("dropped without being closed", "".join(log.output))

    def test_load_beside_the_old_content_needs_both_in_memory(self) -> None:
        """It is refused if they do not fit; the old one serves on."""
        self.addCleanup(self.manager.close)
        self.load(fake_loader.FakeLoader("old", ram_in_bytes=60)).result()
        data = _Data[loader_lib.Loader].ok(
            servable.ServableId("a", 1),
            fake_loader.FakeLoader("new", ram_in_bytes=60),
        )
        with self.assertRaises(errors.ResourceExhaustedError):
            self.manager.reload_servable(data).result()
        self.assertEqual(self.states[-1].manager_state, _ManagerState.AVAILABLE)
        self.assertEqual(self.tracker.used.ram_in_bytes, 60)


if __name__ == "__main__":
    absltest.main()
