"""A test case with a manager whose every step is taken by the test."""

import contextlib
import threading
from collections.abc import Hashable, Iterator, Sequence
from typing import Final

from absl.testing import parameterized

from tensorflow_serving.core import (
    aspired_version_policy,
    aspired_versions_manager,
    basic_manager,
    loader,
    servable,
)
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.test_util import (
    fake_clock,
    fake_loader,
    puppet_executor,
)
from tensorflow_serving.util import errors, event_bus

_Data = servable.ServableData[loader.Loader]

# A source reports it for a version that is being copied in.
CHANGING: Final = errors.UnavailableError("files must be whole")


class ManagedTestCase(parameterized.TestCase):
    """A case with an AspiredVersionsManager that acts when the test says so.

    Loads and unloads run in settle(), on the thread of the test; the budget is
    100 bytes, and a load is tried again 3 times.
    """

    policy: aspired_version_policy.AspiredVersionPolicy

    def setUp(self) -> None:
        """Makes the manager, and records what it publishes."""
        super().setUp()
        self.states: list[servable.ServableState] = []
        bus = event_bus.EventBus[servable.ServableState]()
        bus.subscribe(lambda event: self.states.append(event.event))
        self.clock = fake_clock.FakeClock()
        self.loads = puppet_executor.PuppetExecutor()
        self.unloads = puppet_executor.PuppetExecutor()
        self.manager = aspired_versions_manager.AspiredVersionsManager(
            aspired_versions_manager.Options(
                type(self).policy,
                basic_manager.Options(max_num_load_retries=3),
                starts_thread=False,
            ),
            event_bus=bus,
            resource_tracker=resource_tracker.ResourceTracker(
                resource_tracker.ResourceAllocation(100)
            ),
            clock=self.clock,
            load_executor=self.loads,
            unload_executor=self.unloads,
        )
        self.addCleanup(self.manager.close)
        # The last loader of each version.
        self.loaders: dict[servable.ServableId, fake_loader.FakeLoader] = {}

    def aspire(self, *versions: int | _Data, name: str = "a") -> None:
        """Sets the aspired versions: versions that load, or data."""
        self.manager.aspired_versions_callback()(
            name,
            [
                self.data(version, name)
                if isinstance(version, int)
                else version
                for version in versions
            ],
        )

    def data(
        self,
        version: int,
        name: str = "a",
        load_errors: Sequence[Exception] = (),
        content: Hashable | None = None,
    ) -> _Data:
        """Returns a version with its own loader."""
        servable_id = servable.ServableId(name, version)
        self.loaders[servable_id] = fake_loader.FakeLoader(
            f"{name}{version}", errors=load_errors
        )
        return _Data.ok(servable_id, self.loaders[servable_id], content)

    def failed(
        self, version: int, error: errors.ServingError = CHANGING
    ) -> _Data:
        """Returns a version that cannot be loaded."""
        return _Data.failed(servable.ServableId("a", version), error)

    @contextlib.contextmanager
    def running_loads(self) -> Iterator[None]:
        """Runs the loads that wait, in parallel with the block."""
        thread = threading.Thread(target=self.loads.run_all)
        thread.start()
        yield
        thread.join()

    def settle(self) -> None:
        """Has everything done that there is to do."""
        while (
            self.manager.manage_state_once()
            or self.loads.num_waiting
            or self.unloads.num_waiting
        ):
            self.loads.run_all()
            self.unloads.run_all()

    def served(self, name: str = "a") -> object:
        """Returns the servable that a request for the latest version gets."""
        request = servable.ServableRequest.latest(name)
        with self.manager.get_untyped_servable_handle(request) as handle:
            return handle.servable

    def available(self) -> list[str]:
        """Returns what can be asked for, such as "a1"."""
        return [
            f"{each.name}{each.version}"
            for each in self.manager.list_available_servable_ids()
        ]

    def states_of(
        self, version: int, name: str = "a"
    ) -> list[servable.ManagerState]:
        """Returns what was published of a version."""
        return [
            state.manager_state
            for state in self.states
            if state.id == servable.ServableId(name, version)
        ]
