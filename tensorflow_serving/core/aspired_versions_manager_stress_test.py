"""Stress test of aspired_versions_manager: real threads, from fixed seeds."""

import random
import threading

from absl.testing import absltest, parameterized

from tensorflow_serving.core import (
    aspired_version_policy,
    aspired_versions_manager,
    basic_manager,
    loader,
    servable,
)
from tensorflow_serving.test_util import fake_loader
from tensorflow_serving.util import errors, event_bus

_NAMES = ("a", "b", "c")
_NUM_READERS = 2
_NUM_REQUESTS = 100
_NUM_VERSIONS = 6

_Data = servable.ServableData[loader.Loader]


class _Servable:
    """Knows whether it is loaded."""

    def __init__(self) -> None:
        self.loader: fake_loader.FakeLoader | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether it may be used."""
        return self.loader is not None and self.loader.is_loaded


class AspiredVersionsManagerStressTest(parameterized.TestCase):
    """Sources that change their minds, loads that fail, callers that ask."""

    def setUp(self) -> None:
        """Records all loaders, and what is published."""
        super().setUp()
        self.loaders: list[fake_loader.FakeLoader] = []
        self.states: dict[servable.ServableId, servable.ServableState] = {}
        # A state changed. Wakes wait_for().
        self.news = threading.Condition()
        self.bus = event_bus.EventBus[servable.ServableState]()
        self.bus.subscribe(self.take_note)
        self.is_over = threading.Event()
        self.unusable: list[servable.ServableId] = []

    def take_note(
        self, event: event_bus.EventAndTime[servable.ServableState]
    ) -> None:
        """Keeps the last state of each version."""
        with self.news:
            self.states[event.event.id] = event.event
            self.news.notify_all()

    def data(self, rng: random.Random, name: str, version: int) -> _Data:
        """Returns a version, which may be one that cannot be loaded."""
        servable_id = servable.ServableId(name, version)
        if rng.random() < 0.1:
            return _Data.failed(servable_id, errors.UnavailableError("half"))
        servable_object = _Servable()
        fails = rng.random() < 0.2
        servable_object.loader = fake_loader.FakeLoader(
            servable_object,
            errors=[errors.DataLossError("broken")] if fails else [],
        )
        self.loaders.append(servable_object.loader)
        # Files that are replaced now and then, by one of a few contents.
        content = rng.choice([None, "x", "x", "y", "z"])
        return _Data.ok(servable_id, servable_object.loader, content)

    def read(
        self,
        manager: aspired_versions_manager.AspiredVersionsManager,
        seed: int,
    ) -> None:
        """Takes handles until it is over; each must be on what is loaded."""
        rng = random.Random(seed)
        while not self.is_over.is_set():
            request = servable.ServableRequest.latest(rng.choice(_NAMES))
            try:
                handle = manager.get_servable_handle(request, _Servable)
            except errors.NotFoundError:
                continue
            with handle:
                for _ in range(rng.randrange(20)):
                    if not handle.servable.is_loaded:
                        self.unusable.append(handle.id)

    def aspire_at_random(
        self,
        manager: aspired_versions_manager.AspiredVersionsManager,
        rng: random.Random,
    ) -> None:
        """Aspires some versions of one servable after the other."""
        for _ in range(_NUM_REQUESTS):
            name = rng.choice(_NAMES)
            versions = rng.sample(range(_NUM_VERSIONS), rng.randrange(4))
            manager.aspired_versions_callback()(
                name, [self.data(rng, name, each) for each in versions]
            )
            with self.news:
                # Now and then the manager gets further than usual.
                self.news.wait(rng.choice([0.0, 0.0, 0.02]))

    def aspire_for_good(
        self, manager: aspired_versions_manager.AspiredVersionsManager
    ) -> set[servable.ServableId]:
        """Aspires new versions that load; returns them when they are all."""
        last = set()
        for name in _NAMES:
            servable_id = servable.ServableId(name, _NUM_VERSIONS)
            servable_object = _Servable()
            servable_object.loader = fake_loader.FakeLoader(servable_object)
            self.loaders.append(servable_object.loader)
            manager.aspired_versions_callback()(
                name, [_Data.ok(servable_id, servable_object.loader)]
            )
            last.add(servable_id)

        def is_settled() -> bool:
            available = {
                state.id
                for state in self.states.values()
                if state.manager_state is not servable.ManagerState.END
            }
            return available == last and all(
                self.states[each].manager_state
                is servable.ManagerState.AVAILABLE
                for each in last
            )

        with self.news:
            self.news.wait_for(is_settled)
        return last

    @parameterized.product(
        seed=[1, 2, 3],
        policy=[
            aspired_version_policy.availability_preserving_policy,
            aspired_version_policy.resource_preserving_policy,
        ],
    )
    def test_what_is_aspired_in_the_end_is_what_is_served(
        self,
        seed: int,
        policy: aspired_version_policy.AspiredVersionPolicy,
    ) -> None:
        """No handle is on what is not loaded, and nothing stays in memory."""
        rng = random.Random(seed)
        with aspired_versions_manager.AspiredVersionsManager(
            aspired_versions_manager.Options(
                policy, basic_manager.Options(num_load_threads=3)
            ),
            event_bus=self.bus,
        ) as manager:
            readers = [
                threading.Thread(
                    target=self.read, args=[manager, seed + reader]
                )
                for reader in range(_NUM_READERS)
            ]
            for reader in readers:
                reader.start()
            self.aspire_at_random(manager, rng)
            last = self.aspire_for_good(manager)
            self.is_over.set()
            for reader in readers:
                reader.join()
            self.assertEqual(set(manager.list_available_servable_ids()), last)
            self.assertEqual(
                sum(each.is_loaded for each in self.loaders), len(last)
            )
        self.assertEqual(self.unusable, [])
        self.assertFalse(any(each.is_loaded for each in self.loaders))
        num_loads = [each.calls.count("load") for each in self.loaders]
        num_unloads = [each.calls.count("unload") for each in self.loaders]
        # A load that was given up may be tried again.
        self.assertLessEqual(sum(num_unloads), sum(num_loads))
        self.assertGreater(sum(num_loads), len(_NAMES))


if __name__ == "__main__":
    absltest.main()
