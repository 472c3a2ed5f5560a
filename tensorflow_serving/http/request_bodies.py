"""The bodies of requests: read, counted and decompressed."""

from collections.abc import Mapping
from typing import Any

from tensorflow_serving.http import compression, messages, options
from tensorflow_serving.util import errors


class ClientLeftError(Exception):
    """Ends the work for a client that has left."""


class BodyMemory:
    """The memory that the bodies of all unanswered requests may take.

    Used by the thread of the event loop only.
    """

    def __init__(self, limits: options.Limits) -> None:
        """Holds no body."""
        self._limits = limits
        self._num_bytes = 0
        self.decompressor = compression.Decompressor(limits.max_body_bytes)

    def require_room(self, num_bytes: int, num_more: int) -> None:
        """Refuses a body that is too large, or too large now.

        Args:
          num_bytes: The size of the body, as far as it is known.
          num_more: How many of its bytes are not held yet.

        Raises:
          BodyTooLargeError: The body is too large. Permanent.
          UnavailableError: The bodies together are. Transient.
        """
        if num_bytes > self._limits.max_body_bytes:
            raise messages.BodyTooLargeError(
                f"body must have at most {self._limits.max_body_bytes} bytes, "
                "by --rest_api_max_body_bytes; got more"
            )
        if self._num_bytes + num_more > self._limits.max_total_body_bytes:
            raise errors.UnavailableError(
                "The requests that wait fill the memory that is set aside for "
                "them; try again later"
            )

    def hold(self, num_bytes: int) -> None:
        """Counts bytes until they are released."""
        self._num_bytes += num_bytes

    def release(self, num_bytes: int) -> None:
        """Counts bytes no longer."""
        self._num_bytes -= num_bytes


class Body:
    """The body of a request, as far as it has come."""

    def __init__(
        self, headers: Mapping[str, str], receive: Any, memory: BodyMemory
    ) -> None:
        """Takes the receiving function of ASGI; nothing is read yet."""
        self._receive = receive
        self._memory = memory
        self._is_compressed = (
            "gzip" in headers.get("content-encoding", "").lower()
        )
        self._num_held_bytes = 0
        # None if it comes in chunks.
        self.num_announced_bytes: int | None = None
        if "transfer-encoding" not in headers:
            self.num_announced_bytes = int(headers.get("content-length", 0))
        # Whether all of it has come.
        self.is_whole = self.num_announced_bytes == 0

    async def read(self) -> bytes:
        """Returns all of it, without its compression, and holds its memory.

        Raises:
          ClientLeftError: The client left.
          BodyTooLargeError: It is too large, maybe once decompressed.
            Permanent.
          UnavailableError: The bodies together are. Transient.
          InvalidArgumentError: It is not compressed as its head says.
            Permanent.
        """
        self._memory.require_room(self.num_announced_bytes or 0, 0)
        parts: list[bytes] = []
        while not self.is_whole:
            data = await self._next()
            self._memory.require_room(
                self._num_held_bytes + len(data), len(data)
            )
            self._hold(len(data))
            parts.append(data)
        body = b"".join(parts)
        # Nothing is not compressed.
        if not body or not self._is_compressed:
            return body
        plain = await self._memory.decompressor.decompress(body)
        self._hold(len(plain))
        return plain

    async def skip(self) -> None:
        """Reads what is left, and throws it away.

        Raises:
          ClientLeftError: The client left.
        """
        while not self.is_whole:
            await self._next()

    def release(self) -> None:
        """Releases the memory that it holds. Idempotent."""
        self._memory.release(self._num_held_bytes)
        self._num_held_bytes = 0

    def _hold(self, num_bytes: int) -> None:
        self._memory.hold(num_bytes)
        self._num_held_bytes += num_bytes

    async def _next(self) -> bytes:
        event = await self._receive()
        if event["type"] == "http.disconnect":
            raise ClientLeftError
        self.is_whole = not event.get("more_body", False)
        data: bytes = event.get("body", b"")
        return data
