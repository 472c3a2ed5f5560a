"""How often one peer may send what makes work for nobody but the server."""

from tensorflow_serving.rpc.http2 import frames
from tensorflow_serving.rpc.http2 import limits as limits_lib

# How many frames of no use a call earns its peer: window updates and the like.
_FRAMES_PER_CALL = 4


class Budget:
    """Counts events against a rate. Not thread-safe."""

    def __init__(self, what: str, rate: limits_lib.Rate, now: float) -> None:
        """Starts with a whole burst.

        Args:
          what: The name of the events, for the peer.
          rate: How many are allowed.
          now: The time.
        """
        self._what = what
        self._rate = rate
        self._level = float(rate.burst)
        self._time = now

    def spend(self, now: float) -> None:
        """Counts an event.

        Raises:
          Http2ConnectionError: It exceeds the rate.
        """
        earned = (now - self._time) * self._rate.per_second
        self._level = min(float(self._rate.burst), self._level + earned) - 1
        self._time = now
        if self._level < 0:
            raise frames.Http2ConnectionError(
                frames.ErrorCode.ENHANCE_YOUR_CALM, f"too many {self._what}"
            )

    def earn(self, num_events: int) -> None:
        """Allows more events, up to a whole burst."""
        self._level = min(float(self._rate.burst), self._level + num_events)


class Budgets:
    """All budgets of a connection; see Limits. Not thread-safe."""

    def __init__(self, limits: limits_lib.Limits, now: float) -> None:
        """Starts with a whole burst of each."""
        self.resets = Budget("calls taken back", limits.resets, now)
        self.settings = Budget("SETTINGS frames", limits.settings, now)
        self.pings = Budget("PING frames", limits.pings, now)
        self._others = Budget("frames of no use", limits.other_frames, now)
        self._num_calls = 0

    def spend_other(self, now: float, num_calls: int) -> None:
        """Counts a frame that brings nothing.

        Args:
          now: The time.
          num_calls: How many calls the peer has made since its beginning.

        Raises:
          Http2ConnectionError: There were too many.
        """
        if num_calls != self._num_calls:
            self._others.earn((num_calls - self._num_calls) * _FRAMES_PER_CALL)
            self._num_calls = num_calls
        self._others.spend(now)
