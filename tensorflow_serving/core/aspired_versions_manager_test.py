"""Tests for aspired_versions_manager: one step at a time, with fake loaders."""

import queue

from absl.testing import absltest

from tensorflow_serving.core import (
    aspired_version_policy,
    aspired_versions_manager,
    loader,
    servable,
)
from tensorflow_serving.test_util import fake_loader, managed_test_case
from tensorflow_serving.util import errors, event_bus

_START = servable.ManagerState.START
_LOADING = servable.ManagerState.LOADING
_AVAILABLE = servable.ManagerState.AVAILABLE
_UNLOADING = servable.ManagerState.UNLOADING
_END = servable.ManagerState.END

_Data = servable.ServableData[loader.Loader]
_BROKEN = errors.DataLossError("broken")


class AspiredVersionsManagerTest(managed_test_case.ManagedTestCase):
    """With the policy that keeps versions available."""

    policy = staticmethod(aspired_version_policy.availability_preserving_policy)

    def test_aspired_version_becomes_available(self) -> None:
        """A version is requested in one step and loaded in another."""
        self.assertFalse(self.manager.manage_state_once())
        self.aspire(1)
        self.assertTrue(self.manager.manage_state_once())
        self.assertEqual(self.available(), [])
        self.loads.run_all()
        self.assertEqual(self.available(), ["a1"])
        self.assertFalse(self.manager.manage_state_once())
        self.assertEqual(self.states_of(1), [_START, _LOADING, _AVAILABLE])

    def test_new_version_takes_the_place_of_the_old_one(self) -> None:
        """The old one goes when the new one is there: there is no gap."""
        self.aspire(1)
        self.settle()
        self.aspire(2)
        while self.manager.manage_state_once():
            self.assertEqual(self.available(), ["a1"])
        self.loads.run_all()
        self.assertEqual(self.available(), ["a1", "a2"])
        self.settle()
        self.assertEqual(self.available(), ["a2"])
        available = self.states.index(
            servable.ServableState(servable.ServableId("a", 2), _AVAILABLE)
        )
        unloading = self.states.index(
            servable.ServableState(servable.ServableId("a", 1), _UNLOADING)
        )
        self.assertLess(available, unloading)

    def test_same_request_again_changes_nothing(self) -> None:
        """Sources may call as often as they like."""
        self.aspire(1, 2)
        self.settle()
        before = list(self.states)
        for _ in range(3):
            self.aspire(1, 2)
            self.assertFalse(self.manager.manage_state_once())
        self.assertEqual(self.states, before)

    def test_no_versions_unload_all(self) -> None:
        """A call without versions unloads and forgets all of them."""
        self.aspire(1, 2)
        self.settle()
        self.aspire()
        self.settle()
        self.assertEqual(self.available(), [])
        self.assertEqual(self.states_of(1)[-1], _END)
        self.assertEqual(self.states_of(2)[-1], _END)

    def test_version_that_was_never_loaded_is_forgotten(self) -> None:
        """It ends without an error."""
        self.aspire(1, 2)
        self.manager.manage_state_once()
        self.aspire(2)
        self.settle()
        self.assertEqual(self.states_of(1), [_START, _END])
        self.assertEqual(self.available(), ["a2"])

    def test_streams_do_not_touch_each_other(self) -> None:
        """A call concerns one servable."""
        self.aspire(1, name="a")
        self.aspire(7, name="b")
        self.settle()
        self.assertEqual(self.available(), ["a1", "b7"])
        self.aspire(name="a")
        self.aspire(8, name="b")
        self.settle()
        self.assertEqual(self.available(), ["b8"])

    def test_unload_comes_before_load(self) -> None:
        """Memory is freed before more of it is needed."""
        self.aspire(1, name="b")
        self.settle()
        self.aspire(1, name="a")
        self.aspire(name="b")
        self.manager.manage_state_once()
        self.assertEqual(self.unloads.num_waiting, 1)
        self.assertEqual(self.loads.num_waiting, 1)
        self.loads.run_all()
        unloading = servable.ServableState(
            servable.ServableId("b", 1), _UNLOADING
        )
        loading = servable.ServableState(servable.ServableId("a", 1), _LOADING)
        self.assertLess(
            self.states.index(unloading), self.states.index(loading)
        )

    def test_call_with_a_wrong_name_is_dropped(self) -> None:
        """A call with a wrong name is dropped with a line in the log."""
        with self.assertLogs(level="ERROR"):
            self.manager.aspired_versions_callback()(
                "a", [self.data(1, "a"), self.data(1, "b")]
            )
        self.assertFalse(self.manager.manage_state_once())

    def test_newest_call_counts(self) -> None:
        """Those before it, which nobody has looked at, have no effect."""
        self.aspire(1)
        self.aspire(2)
        self.settle()
        self.assertEqual(self.states_of(1), [])
        self.assertEqual(self.available(), ["a2"])

    def test_version_aspired_again_at_once_stays(self) -> None:
        """It is ready, and nothing is unloaded or loaded."""
        self.aspire(1)
        self.settle()
        self.aspire(2)
        self.manager.manage_state_once()  # 1 is not wanted, 2 is to be loaded
        self.aspire(1)
        self.manager.manage_state_once()
        self.settle()
        self.assertEqual(self.available(), ["a1"])
        self.assertEqual(self.states_of(1), [_START, _LOADING, _AVAILABLE])
        self.assertEqual(self.states_of(2)[-1], _END)

    def test_version_aspired_again_while_it_unloads_comes_back(self) -> None:
        """The version is loaded with the new loader after the unload."""
        self.aspire(1)
        self.settle()
        first = self.loaders[servable.ServableId("a", 1)]
        self.aspire()
        self.manager.manage_state_once()
        self.assertEqual(self.unloads.num_waiting, 1)
        self.aspire(1)
        self.assertFalse(self.manager.manage_state_once())
        self.assertTrue(first.is_loaded)
        self.settle()
        self.assertFalse(first.is_loaded)
        self.assertTrue(self.loaders[servable.ServableId("a", 1)].is_loaded)
        self.assertEqual(
            self.states_of(1),
            [*servable.ManagerState, _START, _LOADING, _AVAILABLE],
        )

    def test_other_versions_do_not_wait_for_the_one_that_comes_back(
        self,
    ) -> None:
        """They are loaded while it is still being unloaded."""
        self.aspire(1)
        self.settle()
        self.aspire()
        self.manager.manage_state_once()
        self.aspire(1, 2)
        self.manager.manage_state_once()
        self.loads.run_all()
        self.assertEqual(self.available(), ["a2"])
        self.settle()
        self.assertEqual(self.available(), ["a1", "a2"])
        self.assertEqual(self.states_of(1)[-1], _AVAILABLE)

    def test_error_of_the_source_does_not_unload(self) -> None:
        """A loaded version serves on, whatever happens to its files."""
        self.aspire(1)
        self.settle()
        self.aspire(self.failed(1))
        self.settle()
        self.assertEqual(self.available(), ["a1"])
        self.assertEqual(self.states_of(1)[-1], _AVAILABLE)
        self.aspire(1)
        self.settle()
        self.assertEqual(self.states_of(1), [_START, _LOADING, _AVAILABLE])

    def test_version_with_an_error_ends_with_its_reason(self) -> None:
        """A reason is published once, and one a second at the most."""
        self.aspire(1)
        self.settle()
        for _ in range(3):
            self.aspire(1, self.failed(2))
            self.settle()
        other = errors.UnavailableError("files are changing")
        self.aspire(1, self.failed(2, other))
        self.settle()
        self.assertEqual(self.states_of(2), [_END])
        self.clock.advance_micros(1_000_000)
        self.settle()
        self.assertEqual(self.states_of(2), [_END, _END])
        self.assertEqual(str(self.states[-1].error), "files are changing")
        self.assertEqual(self.available(), ["a1"])

    def test_version_is_loaded_once_its_error_is_gone(self) -> None:
        """A version whose files are whole again replaces the old one."""
        self.aspire(1)
        self.settle()
        self.aspire(1, self.failed(2))
        self.settle()
        self.aspire(2)
        self.settle()
        self.assertEqual(self.available(), ["a2"])
        self.assertEqual(
            self.states_of(2), [_END, _START, _LOADING, _AVAILABLE]
        )

    def test_version_that_fails_to_load_leaves_the_old_one(self) -> None:
        """It ends with the reason, is not tried again; the next one loads."""
        self.aspire(1)
        self.settle()
        self.aspire(self.data(2, load_errors=[_BROKEN]))
        self.settle()
        self.aspire(2)
        self.settle()
        self.assertEqual(self.available(), ["a1"])
        self.assertEqual(self.states_of(2), [_START, _LOADING, _END])
        self.assertEqual(str(self.states[-1].error), "broken")
        self.aspire(3)
        self.settle()
        self.assertEqual(self.available(), ["a3"])

    def test_version_whose_files_changed_is_loaded_again(self) -> None:
        """It was reported with an error since its load failed."""
        self.aspire(self.data(1, load_errors=[_BROKEN]))
        self.settle()
        self.aspire(self.failed(1))
        self.settle()
        self.aspire(1)
        self.settle()
        self.assertEqual(self.available(), ["a1"])

    def test_version_whose_files_changed_while_it_loads_is_loaded_again(
        self,
    ) -> None:
        """A change during a load counts, even if the files are whole again."""
        self.aspire(self.data(1, load_errors=[_BROKEN]))
        self.manager.manage_state_once()
        self.aspire(self.failed(1))
        self.manager.manage_state_once()
        self.aspire(1)
        self.manager.manage_state_once()
        self.loads.run_all()
        self.assertEqual(self.states_of(1)[-1], _END)
        self.aspire(1)
        self.settle()
        self.assertEqual(self.available(), ["a1"])

    def test_version_that_changes_before_its_load_waits(self) -> None:
        """Several are new, and one of them is no longer whole."""
        self.aspire(1, 2)
        self.manager.manage_state_once()
        self.aspire(self.failed(1), 2)
        self.settle()
        self.assertEqual(self.available(), ["a2"])
        self.assertNotIn(_LOADING, self.states_of(1))
        self.assertIn("1} is END: UNAVAILABLE", "".join(map(str, self.states)))

    def test_load_that_is_not_wanted_any_more_is_not_retried(self) -> None:
        """It ends at once, and is forgotten; the clock stands still."""
        self.aspire(
            self.data(1, load_errors=[errors.UnavailableError("down")] * 9)
        )
        self.manager.manage_state_once()
        self.loads.run_all()
        self.aspire(2)
        self.settle()
        self.assertEqual(self.available(), ["a2"])
        self.assertEqual(self.states_of(1), [_START, _LOADING, _END])
        self.assertEqual(
            self.loaders[servable.ServableId("a", 1)].calls.count("load"), 1
        )

    def test_transient_error_is_retried(self) -> None:
        """A version is loaded again after a minute without any call."""
        self.aspire(self.data(1, load_errors=[errors.UnavailableError("down")]))
        self.settle()
        self.assertEqual(self.available(), [])
        self.clock.settle(threads=1)
        self.clock.advance_micros(60_000_000)
        self.loads.wait_for_work(1)
        self.loads.run_all()
        self.assertEqual(self.available(), ["a1"])

    def test_version_that_does_not_fit_leaves_the_old_one(self) -> None:
        """A version that does not fit ends with RESOURCE_EXHAUSTED."""
        data = self.data(1)
        self.loaders[data.id].ram_in_bytes = 60
        self.aspire(data)
        self.settle()
        data = self.data(2)
        self.loaders[data.id].ram_in_bytes = 60
        self.aspire(data)
        self.settle()
        self.assertEqual(self.available(), ["a1"])
        self.assertIsInstance(
            self.states[-1].error, errors.ResourceExhaustedError
        )

    def test_close_unloads_and_ignores_sources(self) -> None:
        """Calls of a source after close() have no effect."""
        self.aspire(1)
        self.settle()
        self.manager.close()
        self.assertEqual(self.available(), [])
        self.aspire(2)
        self.assertFalse(self.manager.manage_state_once())
        self.manager.close()


class ResourcePreservingTest(managed_test_case.ManagedTestCase):
    """With the policy that saves memory."""

    policy = staticmethod(aspired_version_policy.resource_preserving_policy)

    def test_old_version_goes_first(self) -> None:
        """The new one is loaded when it is gone."""
        self.aspire(1)
        self.settle()
        self.aspire(2)
        while self.manager.manage_state_once():
            pass
        self.assertEqual(self.loads.num_waiting, 0)
        self.unloads.run_all()
        self.assertEqual(self.available(), [])
        self.settle()
        self.assertEqual(self.available(), ["a2"])

    def test_new_version_may_need_the_memory_of_the_old_one(self) -> None:
        """Both do not fit at the same time."""
        for version in (1, 2, 3):
            data = self.data(version)
            self.loaders[data.id].ram_in_bytes = 100
            self.aspire(data)
            self.settle()
            self.assertEqual(self.available(), [f"a{version}"])


class ThreadTest(absltest.TestCase):
    """The manager's own thread."""

    def test_manager_works_by_itself(self) -> None:
        """It sleeps until a source calls, or a load has ended."""
        states: queue.Queue[servable.ServableState] = queue.Queue()
        bus = event_bus.EventBus[servable.ServableState]()
        bus.subscribe(lambda event: states.put(event.event))
        first, second = (servable.ServableId("a", each) for each in (1, 2))
        with aspired_versions_manager.AspiredVersionsManager(
            event_bus=bus
        ) as manager:
            callback = manager.aspired_versions_callback()
            callback("a", [_Data.ok(first, fake_loader.FakeLoader())])
            while states.get() != servable.ServableState(first, _AVAILABLE):
                pass
            callback("a", [_Data.ok(second, fake_loader.FakeLoader())])
            while states.get() != servable.ServableState(first, _END):
                pass
            self.assertEqual(
                list(manager.list_available_servable_ids()), [second]
            )


if __name__ == "__main__":
    absltest.main()
