"""News for an aspired_versions_manager: what it has to look at, and when."""

import dataclasses
import threading
from collections.abc import Sequence

from tensorflow_serving.core import loader, servable
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import deadlines

_Data = servable.ServableData[loader.Loader]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some news."""

    requests: dict[str, Sequence[_Data]]
    # Servables of requests whose source wanted no version just before.
    withdrawn: list[str]
    names: list[str]
    has_freed: bool


class News:
    """Servables that the thread of a manager has to look at.

    Thread-safe.
    """

    def __init__(self, clock: clock_lib.Clock) -> None:
        """Starts without news."""
        self._clock = clock
        # There is news, or the manager is closed. Wakes the thread.
        self._changed = threading.Condition(threading.Lock())
        # All guarded by _changed. What sources said, and what they said last,
        # without the loaders, by the name of the servable; and those of which a
        # source said in between that it wants no version.
        self._requests: dict[str, Sequence[_Data]] = {}
        self._last: dict[str, object] = {}
        self._withdrawn: dict[str, None] = {}
        # Names of servables of which something else has changed.
        self._names: dict[str, None] = {}
        self._has_freed = False
        # When to look at a servable again.
        self._due = deadlines.Deadlines[str]()
        self._is_closed = False

    def add_request(self, name: str, versions: Sequence[_Data]) -> None:
        """Records what a source says, unless it is what it said before."""
        key = [
            (each.id.version, each.content, each.error and str(each.error))
            for each in versions
        ]
        with self._changed:
            if self._is_closed or self._last.get(name, []) == key:
                return
            if key:
                self._last[name] = key
            else:
                del self._last[name]
            if name in self._requests and not self._requests[name]:
                self._withdrawn[name] = None
            self._requests[name] = versions
            self._changed.notify_all()

    def add_name(self, name: str, has_freed: bool) -> None:
        """Records that a load or an unload of a servable has got further."""
        with self._changed:
            if self._is_closed:
                return
            self._names[name] = None
            self._has_freed |= has_freed
            self._changed.notify_all()

    def add_time(self, time: float, name: str) -> None:
        """Has a servable be news at some time."""
        with self._changed:
            self._due.push(time, name)

    def take(self) -> Batch:
        """Removes all news and returns them."""
        with self._changed:
            for name in self._due.pop_expired(self._clock.now()):
                self._names[name] = None
            batch = Batch(
                self._requests,
                list(self._withdrawn),
                list(self._names),
                self._has_freed,
            )
            self._requests, self._withdrawn = {}, {}
            self._names, self._has_freed = {}, False
        return batch

    def wait(self) -> bool:
        """Returns True when there is news, and False once it is closed."""
        with self._changed:
            while not self._is_closed:
                if self._requests or self._names:
                    return True
                due = self._due.next_deadline
                if due <= self._clock.now():
                    return True
                self._clock.wait_until(self._changed, due)
            return False

    def close(self) -> None:
        """Forgets all news, takes no further ones, and ends the waiting."""
        with self._changed:
            self._is_closed = True
            self._requests, self._names = {}, {}
            self._due = deadlines.Deadlines()
            self._changed.notify_all()
