"""The reading of requests, one after the other: how much came, and in time."""

import asyncio
import enum
from collections.abc import Callable

from tensorflow_serving.http import options


class Part(enum.Enum):
    """The part of a request that is being read."""

    NONE = "none"
    HEAD = "head"
    BODY = "body"


class RequestReading:
    """Counts the bytes of the part that is being read, and limits its time.

    A head must be whole within a time; so must a body, or come fast enough.
    Bytes between two chunks of a body, and after the last one, are not of the
    body, and count like those of a head.

    Used by the thread of the event loop only.
    """

    def __init__(
        self,
        limits: options.Limits,
        loop: asyncio.AbstractEventLoop,
        on_timeout: Callable[[], None],
    ) -> None:
        """Waits for connected().

        Args:
          limits: The sizes and times.
          loop: Calls back.
          on_timeout: Called when the time of a part is over.
        """
        self._limits = limits
        self._loop = loop
        self._on_timeout = on_timeout
        self._timer: asyncio.TimerHandle | None = None
        self.part = Part.NONE
        # The bytes that are not of a body.
        self._num_head_bytes = 0
        # The bytes of the body since its time began, or began anew.
        self._num_body_bytes = 0
        # The size of what is being read, and of the read with which the last
        # head began.
        self._num_read_bytes = 0
        self._num_first_bytes = 0

    @property
    def is_head_too_large(self) -> bool:
        """Whether more came than a head may have, beside what was parsed."""
        return self._num_head_bytes > self._limits.max_head_bytes

    @property
    def may_head_be_too_large(self) -> bool:
        """Whether the last head can be, by the reads that it was in."""
        num_bytes = self._num_first_bytes + self._num_head_bytes
        return num_bytes > self._limits.max_head_bytes

    def connected(self) -> None:
        """Waits for the first head."""
        self._wait(self._limits.head_seconds)

    def received(self, num_bytes: int) -> None:
        """Counts bytes that came, before they are parsed."""
        self._num_read_bytes = num_bytes
        self._num_head_bytes += num_bytes

    def head_begun(self) -> None:
        """Limits the time of a head from now on."""
        self.part = Part.HEAD
        self._num_head_bytes = 0
        self._num_first_bytes = self._num_read_bytes
        self._wait(self._limits.head_seconds)

    def body_begun(self) -> None:
        """Limits the time of a body from now on, which may be empty."""
        self.part = Part.BODY
        self._num_head_bytes = 0
        self._num_body_bytes = 0
        self._wait(self._limits.body_seconds)

    def chunk_begun(self) -> None:
        """Counts anew what is not of the body."""
        self._num_head_bytes = 0

    def body_received(self, num_bytes: int) -> None:
        """Counts bytes of the body."""
        self._num_head_bytes = 0
        self._num_body_bytes += num_bytes

    def ended(self) -> None:
        """Limits no time until the next head begins."""
        self.part = Part.NONE
        self._num_head_bytes = 0
        self.stop()

    def stop(self) -> None:
        """Limits no time any longer. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        self.stop()
        self._timer = self._loop.call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        rate = self._limits.min_body_bytes_per_second
        if self.part is Part.BODY and self._num_body_bytes > rate:
            # As much more time as the bytes that came are worth.
            seconds, self._num_body_bytes = self._num_body_bytes / rate, 0
            self._wait(seconds)
            return
        self._on_timeout()
