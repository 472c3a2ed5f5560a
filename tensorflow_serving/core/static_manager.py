"""A manager of servables that somebody else made, and that never change.

servables = {ServableId("mnist", 1): classifier}
with StaticManager(servables) as manager:
    with manager.get_servable_handle(request, Classifier) as handle:
        handle.servable.classify(images)
"""

import threading
from collections.abc import Mapping, Sequence

from typing_extensions import override

from tensorflow_serving.core import (
    manager,
    servable,
    servable_handle,
    serving_map,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors


class StaticManager(manager.Manager):
    """Serves fixed objects from the start until it is closed; see Manager.

    close() waits for handles and forgets the servables; freeing them is for
    whoever made them.
    """

    def __init__(
        self,
        servables: Mapping[servable.ServableId, object],
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes the servables.

        Raises:
          InvalidArgumentError: One is None.
        """
        for servable_id, each in servables.items():
            if each is None:
                raise errors.InvalidArgumentError(
                    f"servable {servable_id} must be an object; got None"
                )
        self._clock = clock
        self._lock = threading.Lock()
        super().__init__(serving_map.ServingMap())
        for servable_id, each in servables.items():
            self.serving_map.add(
                servable_handle.SharedServable(servable_id, each)
            )
        # The versions in the serving map; guarded by _lock.
        self._listed: Sequence[servable.ServableId] = tuple(servables)
        # A servable without handles was retired. Wakes close(). The lock lets a
        # thread in twice, as a finalizer may close the last handle.
        self._released = threading.Condition()
        self._num_in_use = len(self._listed)  # guarded by _released

    @override
    def close(self) -> None:
        with self._lock:
            listed, self._listed = self._listed, ()
        for servable_id in listed:
            self.serving_map.remove(servable_id).retire(self._release)
        with self._released:
            while self._num_in_use:
                self._clock.wait_until(self._released, None)

    def _release(self) -> None:
        """Runs on the thread that closes the last handle of a servable."""
        with self._released:
            self._num_in_use -= 1
            self._released.notify_all()
