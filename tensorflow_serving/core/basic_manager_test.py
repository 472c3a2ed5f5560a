"""Tests for basic_manager."""

import threading

from absl.testing import absltest, parameterized

from tensorflow_serving.core import basic_manager, loader_harness, servable
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.test_util import (
    fake_clock,
    fake_loader,
    puppet_executor,
)
from tensorflow_serving.util import errors, event_bus

_State = loader_harness.State
_ManagerState = servable.ManagerState
_Id = servable.ServableId
_Request = servable.ServableRequest
_Data = servable.ServableData


class _ManagerTestCase(parameterized.TestCase):
    """A manager whose loads and unloads run when the test says so."""

    def setUp(self) -> None:
        """Makes the manager, and records what it publishes."""
        super().setUp()
        self.states: list[servable.ServableState] = []
        self.bus = event_bus.EventBus[servable.ServableState]()
        self.enter_context(
            self.bus.subscribe(lambda event: self.states.append(event.event))
        )
        self.clock = fake_clock.FakeClock()
        self.loads = puppet_executor.PuppetExecutor()
        self.unloads = puppet_executor.PuppetExecutor()
        self.manager = self.enter_context(
            basic_manager.BasicManager(
                basic_manager.Options(max_num_load_retries=2),
                event_bus=self.bus,
                resource_tracker=resource_tracker.ResourceTracker(
                    resource_tracker.ResourceAllocation(100)
                ),
                clock=self.clock,
                load_executor=self.loads,
                unload_executor=self.unloads,
            )
        )

    def manage(
        self, version: int, loader: fake_loader.FakeLoader, name: str = "a"
    ) -> servable.ServableId:
        """Has a version managed."""
        servable_id = _Id(name, version)
        self.manager.manage_servable(_Data.ok(servable_id, loader))
        return servable_id

    def load(
        self, version: int, loader: fake_loader.FakeLoader, name: str = "a"
    ) -> servable.ServableId:
        """Has a version managed and loaded."""
        servable_id = self.manage(version, loader, name)
        future = self.manager.load_servable(servable_id)
        self.loads.run_all()
        future.result()
        return servable_id

    def states_of(
        self, servable_id: servable.ServableId
    ) -> list[servable.ManagerState]:
        """Returns what was published of a version."""
        return [
            state.manager_state
            for state in self.states
            if state.id == servable_id
        ]

    def managed_states(self, name: str = "a") -> dict[int, _State]:
        """Returns the states of the versions that are managed."""
        return {
            snapshot.id.version: snapshot.state
            for snapshot in self.manager.snapshots(name)
        }


class BasicManagerTest(_ManagerTestCase):
    """Loading, serving, unloading."""

    def test_version_is_available_from_its_load_to_its_unload(self) -> None:
        """Each change is published: available after, unloading before."""
        loader = fake_loader.FakeLoader("the servable")
        servable_id = self.manage(1, loader)
        with self.assertRaises(errors.NotFoundError):
            self.manager.get_servable_handle(_Request.latest("a"), str)
        load = self.manager.load_servable(servable_id)
        self.assertFalse(load.done())
        self.loads.run_all()
        load.result()
        with self.manager.get_servable_handle(
            _Request.latest("a"), str
        ) as handle:
            self.assertEqual(handle.servable, "the servable")
            self.assertEqual(handle.id, servable_id)
        self.assertEqual(
            self.manager.list_available_servable_ids(), [servable_id]
        )
        unload = self.manager.unload_servable(servable_id)
        self.unloads.run_all()
        unload.result()
        self.assertEqual(
            loader.calls, ["estimate", "load", "estimate", "unload"]
        )
        self.assertEqual(self.manager.list_available_servable_ids(), [])
        self.assertEqual(self.manager.managed_servable_names(), [])
        self.assertEqual(self.states_of(servable_id), list(_ManagerState))
        self.assertEqual([state.error for state in self.states], [None] * 5)

    def test_warning_of_a_loader_is_published(self) -> None:
        """A version with a flaw is AVAILABLE, and its state says which."""
        servable_id = self.load(1, fake_loader.FakeLoader(warning="It is cold"))
        state = self.states[-1]
        self.assertEqual(
            (state.id, state.manager_state, state.error, state.warning),
            (servable_id, _ManagerState.AVAILABLE, None, "It is cold"),
        )

    def test_latest_is_the_highest_that_is_loaded(self) -> None:
        """The latest version is the highest, in whatever order they load."""
        for version in (2, 3, 1):
            self.load(version, fake_loader.FakeLoader(version))
        with self.manager.get_servable_handle(
            _Request.latest("a"), int
        ) as handle:
            self.assertEqual(handle.servable, 3)
        self.assertEqual(
            self.manager.list_available_servable_ids(),
            [_Id("a", 1), _Id("a", 2), _Id("a", 3)],
        )
        with self.manager.get_servable_handle(
            _Request.specific("a", 2), int
        ) as handle:
            self.assertEqual(handle.servable, 2)

    def test_servable_of_another_class_is_invalid(self) -> None:
        """A servable of another class is refused, and its handle is closed."""
        servable_id = self.load(1, fake_loader.FakeLoader("text"))
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be a int; got a str"
        ):
            self.manager.get_servable_handle(_Request.latest("a"), int)
        unload = self.manager.unload_servable(servable_id)
        self.unloads.run_all()
        unload.result()

    def test_handles_of_all_servables_of_a_class(self) -> None:
        """Handles are for all servables of the class, and no others."""
        self.load(1, fake_loader.FakeLoader("text"))
        self.load(1, fake_loader.FakeLoader(7), "b")
        handles = self.manager.get_available_servable_handles(int)
        self.assertEqual(list(handles), [_Id("b", 1)])
        self.assertEqual(handles[_Id("b", 1)].servable, 7)
        for handle in handles.values():
            handle.close()

    def test_what_is_not_managed_is_not_found(self) -> None:
        """A version that is not managed is NOT_FOUND for every action."""
        for method in (
            self.manager.load_servable,
            self.manager.unload_servable,
            self.manager.stop_managing_servable,
            self.manager.cancel_load,
            self.manager.uncancel_load,
        ):
            with self.assertRaisesRegex(
                errors.NotFoundError, "is not being managed"
            ):
                method(_Id("a", 1))

    def test_second_load_is_a_failed_precondition(self) -> None:
        """A load is refused while the first one waits, and afterwards."""
        servable_id = self.manage(1, fake_loader.FakeLoader())
        self.manager.load_servable(servable_id)
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.load_servable(servable_id)
        self.loads.run_all()
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.load_servable(servable_id)

    def test_second_unload_is_refused(self) -> None:
        """An unload is refused while the first waits, and after it ended."""
        servable_id = self.load(1, fake_loader.FakeLoader())
        self.manager.unload_servable(servable_id)
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.unload_servable(servable_id)
        self.unloads.run_all()
        with self.assertRaises(errors.NotFoundError):
            self.manager.unload_servable(servable_id)

    def test_unload_of_what_is_not_loaded_is_a_failed_precondition(
        self,
    ) -> None:
        """A version that is not loaded, or is loading, cannot be unloaded."""
        servable_id = self.manage(1, fake_loader.FakeLoader())
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.unload_servable(servable_id)
        self.manager.load_servable(servable_id)
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.unload_servable(servable_id)

    def test_of_concurrent_loads_exactly_one_succeeds(self) -> None:
        """All loads but one get FAILED_PRECONDITION."""
        servable_id = self.manage(1, fake_loader.FakeLoader())
        barrier = threading.Barrier(8)
        outcomes: list[bool] = []

        def load() -> None:
            barrier.wait()
            try:
                self.manager.load_servable(servable_id)
            except errors.FailedPreconditionError:
                outcomes.append(False)
            else:
                outcomes.append(True)

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(outcomes), [False] * 7 + [True])

    def test_first_of_two_loaders_of_a_version_counts(self) -> None:
        """The second one is never called."""
        second = fake_loader.FakeLoader()
        servable_id = self.manage(1, fake_loader.FakeLoader("first"))
        self.manage(1, second)
        self.manager.load_servable(servable_id)
        self.loads.run_all()
        with self.manager.get_servable_handle(
            _Request.latest("a"), str
        ) as handle:
            self.assertEqual(handle.servable, "first")
        self.assertEqual(second.calls, [])
        self.assertEqual(len(self.states), 3)

    def test_version_with_an_error_ends_with_it(self) -> None:
        """It cannot be loaded, only forgotten."""
        servable_id = _Id("a", 1)
        error = errors.DataLossError("half of it is missing")
        self.manager.manage_servable(_Data.failed(servable_id, error))
        (state,) = self.states
        self.assertEqual(state.manager_state, _ManagerState.END)
        self.assertEqual(
            str(state),
            "{name: a version: 1} is END: DATA_LOSS: half of it is missing",
        )
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.load_servable(servable_id)
        self.manager.stop_managing_servable(servable_id)
        self.assertEqual(len(self.states), 1)
        self.assertEqual(self.managed_states(), {})

    def test_version_that_was_never_loaded_ends_when_it_is_forgotten(
        self,
    ) -> None:
        """A version that was never loaded ends without an error."""
        servable_id = self.manage(1, fake_loader.FakeLoader())
        self.manager.stop_managing_servable(servable_id)
        self.assertEqual(
            self.states_of(servable_id),
            [_ManagerState.START, _ManagerState.END],
        )

    def test_what_is_loaded_is_not_forgotten(self) -> None:
        """A version that loads or is loaded is a FAILED_PRECONDITION."""
        servable_id = self.manage(1, fake_loader.FakeLoader())
        self.manager.load_servable(servable_id)
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.stop_managing_servable(servable_id)
        self.loads.run_all()
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.stop_managing_servable(servable_id)

    def test_load_that_fails_ends_with_its_error(self) -> None:
        """A permanent error is not tried again; the others serve on."""
        self.load(1, fake_loader.FakeLoader("old"))
        servable_id = self.manage(
            2, fake_loader.FakeLoader(errors=[errors.DataLossError("broken")])
        )
        load = self.manager.load_servable(servable_id)
        self.loads.run_all()
        with self.assertRaisesRegex(errors.DataLossError, "^broken$"):
            load.result()
        self.assertEqual(
            self.managed_states(), {1: _State.READY, 2: _State.ERROR}
        )
        self.assertEqual(
            self.states_of(servable_id),
            [_ManagerState.START, _ManagerState.LOADING, _ManagerState.END],
        )
        self.assertIsInstance(self.states[-1].error, errors.DataLossError)
        with self.manager.get_servable_handle(
            _Request.latest("a"), str
        ) as handle:
            self.assertEqual(handle.servable, "old")

    def test_unload_that_fails_ends_with_its_error(self) -> None:
        """The version is not available, and its memory is free."""
        servable_id = self.load(
            1,
            fake_loader.FakeLoader(
                ram_in_bytes=100, unload_error=errors.UnknownError("stuck")
            ),
        )
        unload = self.manager.unload_servable(servable_id)
        self.unloads.run_all()
        with self.assertRaisesRegex(errors.UnknownError, "stuck"):
            unload.result()
        self.assertEqual(self.managed_states(), {1: _State.ERROR})
        self.assertIsInstance(self.states[-1].error, errors.UnknownError)
        self.load(2, fake_loader.FakeLoader(ram_in_bytes=100))

    def test_closed_manager_takes_no_more_servables(self) -> None:
        """Loaded versions are unloaded; those that wait are given up."""
        loaded, waiting = fake_loader.FakeLoader(), fake_loader.FakeLoader()
        self.load(1, loaded)
        load = self.manager.load_servable(self.manage(2, waiting))
        self.manager.close()
        with self.assertRaises(errors.CancelledError):
            load.result()
        self.assertFalse(loaded.is_loaded)
        self.assertNotIn("load", waiting.calls)
        self.assertEqual(
            [
                state.id.version
                for state in self.states
                if state.manager_state is _ManagerState.END
            ],
            [2, 1],
        )
        with self.assertRaises(errors.FailedPreconditionError):
            self.manage(3, fake_loader.FakeLoader())
        with self.assertRaises(errors.FailedPreconditionError):
            self.manager.load_servable(servable.ServableId("a", 2))
        self.manager.close()


class ResourcesTest(_ManagerTestCase):
    """Which loads the budget of 100 bytes allows."""

    def test_version_that_does_not_fit_is_refused(self) -> None:
        """RESOURCE_EXHAUSTED says by how much; it is not even tried."""
        self.load(1, fake_loader.FakeLoader(ram_in_bytes=60))
        loader = fake_loader.FakeLoader(ram_in_bytes=50)
        load = self.manager.load_servable(self.manage(2, loader))
        self.loads.run_all()
        with self.assertRaisesRegex(
            errors.ResourceExhaustedError,
            "at most 40 bytes.* 100; got an estimate of 50, 10 too many",
        ):
            load.result()
        self.assertNotIn("load", loader.calls)
        self.assertEqual(self.states[-1].error.code, 8)  # type: ignore[union-attr]

    def test_memory_of_a_failed_load_is_free(self) -> None:
        """Another version may have the memory of a failed load."""
        servable_id = self.manage(
            1,
            fake_loader.FakeLoader(
                ram_in_bytes=100, errors=[errors.DataLossError("broken")]
            ),
        )
        self.manager.load_servable(servable_id)
        self.loads.run_all()
        self.load(2, fake_loader.FakeLoader(ram_in_bytes=100))

    def test_memory_of_an_unloaded_version_is_free(self) -> None:
        """Another version may have the memory of an unloaded one."""
        servable_id = self.load(1, fake_loader.FakeLoader(ram_in_bytes=100))
        self.manager.unload_servable(servable_id)
        self.unloads.run_all()
        self.load(2, fake_loader.FakeLoader(ram_in_bytes=100))

    def test_estimate_counts_as_it_is_after_the_load(self) -> None:
        """It may have become smaller."""
        loader = fake_loader.FakeLoader(ram_in_bytes=100)
        servable_id = self.manage(1, loader)
        loader.may_load.clear()
        self.manager.load_servable(servable_id)
        thread = threading.Thread(target=self.loads.run_all)
        thread.start()
        loader.load_started.wait()
        loader.ram_in_bytes = 10
        loader.may_load.set()
        thread.join()
        self.load(2, fake_loader.FakeLoader(ram_in_bytes=90))

    def test_version_whose_estimate_fails_is_not_loaded(self) -> None:
        """It ends with that error."""
        loader = fake_loader.FakeLoader(
            estimate_error=errors.NotFoundError("no such file")
        )
        load = self.manager.load_servable(self.manage(1, loader))
        self.loads.run_all()
        with self.assertRaisesRegex(errors.NotFoundError, "no such file"):
            load.result()
        self.assertEqual(self.managed_states(), {1: _State.ERROR})

    def test_estimate_is_tried_again(self) -> None:
        """An estimate is tried again after a transient error, like a load."""
        loader = fake_loader.FakeLoader(
            estimate_error=errors.UnavailableError("no storage")
        )
        load = self.manager.load_servable(self.manage(1, loader))
        self.loads.run_all()
        for _ in range(2):
            self.clock.settle(threads=1)
            self.clock.advance_micros(60_000_000)
            self.loads.wait_for_work(1)
            self.loads.run_all()
        with self.assertRaisesRegex(errors.UnavailableError, "no storage"):
            load.result()
        self.assertEqual(loader.calls, ["estimate"] * 3)


class OptionsTest(parameterized.TestCase):
    """The values that options may have."""

    @parameterized.parameters(
        {"num_load_threads": 0},
        {"num_unload_threads": 0},
        {"max_num_load_retries": -1},
        {"load_retry_interval_micros": -1},
        {"slow_load_micros": 0},
        {"close_timeout_micros": -1},
    )
    def test_values_out_of_range_are_refused(self, **options: int) -> None:
        """The error names the option."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, next(iter(options))
        ):
            basic_manager.Options(**options)


if __name__ == "__main__":
    absltest.main()
