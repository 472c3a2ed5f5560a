"""Requests for versions that come and go; real threads, the real clock."""

import random
import sys
import threading
from concurrent import futures

from absl.testing import absltest

from tensorflow_serving.core import servable, servable_handle, serving_map
from tensorflow_serving.util import errors

_NUM_READERS = 3
_NUM_CHANGES = 2000
_NUM_VERSIONS = 3


class _Servable:
    """Knows whether it was unloaded."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.is_unloaded = False


class ServingMapStressTest(absltest.TestCase):
    """There are always three versions or more, and the highest one stays."""

    def setUp(self) -> None:
        """Has threads take turns far more often than usual."""
        super().setUp()
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-5)
        self.map = serving_map.ServingMap()
        self.versions: list[int] = []  # of the thread that changes
        self.is_done = threading.Event()

    def _add(self) -> None:
        version = self.versions[-1] + 1 if self.versions else 0
        self.map.add(
            servable_handle.SharedServable(
                servable.ServableId("a", version), _Servable(version)
            )
        )
        self.versions.append(version)

    def _remove(self, version: int) -> None:
        """Unloads as a manager does."""
        self.versions.remove(version)
        shared = self.map.remove(servable.ServableId("a", version))
        unloaded = shared.servable
        released = threading.Event()
        shared.retire(released.set)
        released.wait()
        self.assertEqual(shared.num_handles, 0)
        unloaded.is_unloaded = True

    def _use(self, request: servable.ServableRequest) -> int:
        """Returns which version answered."""
        with self.map.acquire(request) as handle:
            found = handle.servable
            assert isinstance(found, _Servable)
            self.assertFalse(found.is_unloaded)
            sum(range(100))  # takes a moment
            self.assertFalse(found.is_unloaded)
            self.assertEqual(found.version, handle.id.version)
            return found.version

    def _read(self, seed: int, barrier: threading.Barrier) -> int:
        """Returns how many requests were answered."""
        rng = random.Random(seed)
        newest, num_answers = 0, 0
        barrier.wait()
        while not self.is_done.is_set():
            latest = self._use(servable.ServableRequest.latest("a"))
            self.assertGreaterEqual(latest, newest)
            newest = latest
            wanted = max(0, newest - rng.randrange(_NUM_VERSIONS + 1))
            try:
                found = self._use(
                    servable.ServableRequest.specific("a", wanted)
                )
                self.assertEqual(found, wanted)
            except errors.NotFoundError:
                pass  # it was removed
            num_answers += 1
        return num_answers

    def test_requests_get_versions_that_are_loaded(self) -> None:
        """The latest is always there, never older than before."""
        for _ in range(_NUM_VERSIONS):
            self._add()
        rng = random.Random(0)
        barrier = threading.Barrier(_NUM_READERS + 1)
        with futures.ThreadPoolExecutor(_NUM_READERS) as executor:
            readers = [
                executor.submit(self._read, seed, barrier)
                for seed in range(_NUM_READERS)
            ]
            barrier.wait()
            try:
                for _ in range(_NUM_CHANGES):
                    self._add()
                    self._remove(rng.choice(self.versions[:-1]))
            finally:
                self.is_done.set()
        for reader in readers:
            self.assertGreater(reader.result(), 0)
        self.assertEqual(
            [each.version for each in self.map.ids()], self.versions
        )


if __name__ == "__main__":
    absltest.main()
