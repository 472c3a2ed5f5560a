"""How often one peer may send what makes work for nobody but the server."""

from tensorflow_serving.rpc.http2 import frames
from tensorflow_serving.rpc.http2 import limits as limits_lib

# A call earns its peer so many frames of no use: window updates and the like.
_FRAMES_PER_CALL = 4
# The data of replies earns one for each so many bytes. Peers that update two
# windows for each frame of 16 KiB need an eighth of it; one that lets a large
# reply trickle out a byte at a time earns hardly any.
_BYTES_PER_FRAME = 1024


class Budget:
    """Counts events against a rate. Not thread-safe."""

    __slots__ = ("_level", "_rate", "_time", "_what", "_worth")

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
        self._worth = 0

    def spend(self, now: float, worth: int = 0) -> None:
        """Counts an event.

        Args:
          now: The time.
          worth: How many events the peer has earned since its beginning, beside
            those that time allows.

        Raises:
          Http2ConnectionError: It exceeds the rate.
        """
        earned = (now - self._time) * self._rate.per_second
        earned += worth - self._worth
        self._level = min(float(self._rate.burst), self._level + earned) - 1
        self._time = now
        self._worth = worth
        if self._level < 0:
            raise frames.Http2ConnectionError(
                frames.ErrorCode.ENHANCE_YOUR_CALM, f"too many {self._what}"
            )


class Budgets:
    """All budgets of a connection; see Limits. Not thread-safe."""

    __slots__ = ("_others", "_resets", "pings", "settings")

    def __init__(self, limits: limits_lib.Limits, now: float) -> None:
        """Starts with a whole burst of each."""
        self._resets = Budget("calls taken back", limits.resets, now)
        self.settings = Budget("SETTINGS frames", limits.settings, now)
        self.pings = Budget("PING frames", limits.pings, now)
        self._others = Budget("frames of no use", limits.other_frames, now)

    def spend_reset(self, now: float, num_answered: int) -> None:
        """Counts a call that was taken back, or broken off for a fault.

        Args:
          now: The time.
          num_answered: How many calls of the peer were answered so far.

        Raises:
          Http2ConnectionError: There were too many.
        """
        self._resets.spend(now, num_answered)

    def spend_other(
        self, now: float, num_calls: int, num_sent_bytes: int
    ) -> None:
        """Counts a frame that brings nothing.

        Args:
          now: The time.
          num_calls: How many calls the peer has made so far.
          num_sent_bytes: How much data it was sent so far.

        Raises:
          Http2ConnectionError: There were too many.
        """
        self._others.spend(
            now,
            num_calls * _FRAMES_PER_CALL + num_sent_bytes // _BYTES_PER_FRAME,
        )
