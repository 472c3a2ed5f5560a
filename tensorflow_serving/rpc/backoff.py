"""How long something that fails again and again waits for its next try."""

_FIRST_SECONDS = 0.1
_MAX_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0


class Backoff:
    """The delays before the restarts of one process.

    0.1 s, twice as long each time, and 30 s at most. After a run that was good
    for a minute, from the beginning.
    """

    def __init__(self) -> None:
        """Begins with the shortest delay."""
        self._next_seconds = _FIRST_SECONDS

    def delay_seconds(self, good_seconds: float) -> float:
        """Returns how long to wait after a run that was good for that long."""
        if good_seconds >= _HEALTHY_SECONDS:
            self._next_seconds = _FIRST_SECONDS
        delay = self._next_seconds
        self._next_seconds = min(2 * delay, _MAX_SECONDS)
        return delay
