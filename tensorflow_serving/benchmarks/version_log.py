"""What a server logs of its versions, and when that was read."""

import collections
import dataclasses
import re
import threading
from collections.abc import Sequence

from tensorflow_serving.core import servable
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_STATE = re.compile(
    r"Servable \{name: (\S+) version: (\d+)\} is ([A-Z]+)(?:: (.*))?$"
)

# Enough to see what happened.
_NUM_LAST_LINES = 15


@dataclasses.dataclass(frozen=True)
class Entry:
    """A change of the state of a version."""

    # When the line was read: seconds of the clock. It happened before.
    time: float
    id: servable.ServableId
    state: servable.ManagerState
    # Status and text of an error; empty if all is well.
    reason: str


class VersionLog:
    """Takes the lines of a log as they come.

    with ServerProcess(command, collects_log=True, on_log_line=log.take):
        log.wait_for(servable_id, ManagerState.AVAILABLE)

    Thread-safe.
    """

    def __init__(self, clock: clock_lib.Clock = clock_lib.MONOTONIC) -> None:
        """Starts without lines."""
        self._clock = clock
        self._lock = threading.Lock()
        # There is an entry more. Wakes wait_for().
        self._news = threading.Condition(self._lock)
        self._entries: list[Entry] = []  # guarded by _lock
        # guarded by _lock
        self._last_lines: collections.deque[str] = collections.deque(
            maxlen=_NUM_LAST_LINES
        )

    def take(self, line: str) -> None:
        """Takes note of a line."""
        line = line.rstrip("\n")
        match = _STATE.search(line)
        with self._lock:
            self._last_lines.append(line)
            if (
                match is None
                or match[3] not in servable.ManagerState.__members__
            ):
                return
            self._entries.append(
                Entry(
                    self._clock.now(),
                    servable.ServableId(match[1], int(match[2])),
                    servable.ManagerState[match[3]],
                    match[4] or "",
                )
            )
            self._news.notify_all()

    def entries(self) -> Sequence[Entry]:
        """Returns what was read so far, the oldest first."""
        with self._lock:
            return tuple(self._entries)

    def first(
        self, servable_id: servable.ServableId, state: servable.ManagerState
    ) -> Entry | None:
        """Returns the first entry of a version with a state; None if none."""
        with self._lock:
            return self._first(servable_id, state)

    def wait_for(
        self,
        servable_id: servable.ServableId,
        state: servable.ManagerState,
        timeout_seconds: float = 60.0,
    ) -> Entry:
        """Returns the first entry of a version with a state, once it is there.

        Raises:
          DeadlineExceededError: It did not come; the text has the last lines.
        """
        deadline = self._clock.now() + timeout_seconds
        with self._lock:
            while (entry := self._first(servable_id, state)) is None:
                if self._clock.now() >= deadline:
                    raise errors.DeadlineExceededError(
                        f"{servable_id} must become {state.name} within "
                        f"{timeout_seconds:g} s; got a log that ends with:\n"
                        + "\n".join(self._last_lines)
                    )
                self._clock.wait_until(self._news, deadline)
            return entry

    def _first(
        self, servable_id: servable.ServableId, state: servable.ManagerState
    ) -> Entry | None:
        for entry in self._entries:
            if entry.id == servable_id and entry.state is state:
                return entry
        return None
