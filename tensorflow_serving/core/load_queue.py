"""Which of the loads that were asked for run, and which wait for what."""

import collections
from typing import Final, Generic, TypeVar

# How often a load takes long before it is thought to hang.
_HANGS_AFTER: Final = 10

T = TypeVar("T")


class LoadQueue(Generic[T]):
    """Loads that run on a number of threads, or wait.

        add() -> waits for a thread -- take() --> runs -- remove() --> gone

    A load that runs may also begin to wait for memory, which puts it in line
    again when memory_was_freed(), or for the time of a retry, which comes with
    add(). Neither takes up a thread meanwhile.

    A load that takes long gives up its claim on a thread: another one may run
    in its place. There are never more than twice as many loads as the queue has
    threads, apart from those that have taken so long that they likely hang:
    they hold up nobody, however many they are.

    Not thread-safe.
    """

    def __init__(self, num_threads: int) -> None:
        """Starts without loads."""
        self._num_threads = num_threads
        self._waiting: collections.deque[T] = collections.deque()
        # How often each was found to take long.
        self._running: dict[T, int] = {}
        self._waiting_for_memory: list[T] = []

    @property
    def num_free_threads(self) -> int:
        """How many further loads would run at once; below 0 if some wait."""
        counts = self._running.values()
        num_hanging = sum(count >= _HANGS_AFTER for count in counts)
        num_slow = sum(count > 0 for count in counts) - num_hanging
        return (
            self._num_threads
            + min(num_slow, self._num_threads)
            + num_hanging
            - len(self._running)
            - len(self._waiting)
        )

    @property
    def running(self) -> tuple[T, ...]:
        """The loads that run, in the order in which they began."""
        return tuple(self._running)

    def add(self, load: T) -> None:
        """Puts a load in line for a thread."""
        self._waiting.append(load)

    def take(self) -> T | None:
        """Returns a load that is to run from now on, if there is one."""
        if not self._waiting or self.num_free_threads + len(self._waiting) <= 0:
            return None
        load = self._waiting.popleft()
        self._running[load] = 0
        return load

    def takes_long(self, load: T) -> bool:
        """Lets another load run beside this one; False if it does not run.

        To be called each time that it has taken as long again.
        """
        if load not in self._running:
            return False
        self._running[load] += 1
        return True

    def wait_for_memory(self, load: T) -> None:
        """Has a load that runs wait until memory was freed."""
        del self._running[load]
        self._waiting_for_memory.append(load)

    def memory_was_freed(self) -> None:
        """Puts what waits for memory first in line, the oldest at the head."""
        self._waiting.extendleft(reversed(self._waiting_for_memory))
        self._waiting_for_memory.clear()

    def remove(self, load: T) -> None:
        """Forgets a load, whatever it does."""
        self._running.pop(load, None)
        for waiting in (self._waiting, self._waiting_for_memory):
            if load in waiting:
                waiting.remove(load)
