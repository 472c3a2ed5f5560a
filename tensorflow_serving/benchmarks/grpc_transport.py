"""Takes calls to a server over channels of the grpc package."""

import functools
import queue
import time
from collections.abc import Iterable
from typing import Any

import grpc

from tensorflow_serving.benchmarks import call_driver, server_timing
from tensorflow_serving.rpc import client_channel
from tensorflow_serving.util import errors


class GrpcTransport:
    """Implements call_driver.Transport; calls take channels in turn.

    A context manager that closes the channels. Not thread-safe.
    """

    def __init__(
        self,
        address: str,
        method: str,
        *,
        num_connections: int,
        deadline_seconds: float,
        asks_timing: bool = False,
        connect_seconds: float = 5.0,
    ) -> None:
        """Connects.

        Args:
          address: Host and port.
          method: Such as "/tensorflow.serving.MnistService/Classify".
          num_connections: How many connections there are.
          deadline_seconds: How long a call may take.
          asks_timing: Whether calls ask the server for their timing.
          connect_seconds: How long connecting may take.

        Raises:
          UnavailableError: The server cannot be reached.
        """
        self._deadline_seconds = deadline_seconds
        self._metadata = server_timing.REQUEST_METADATA if asks_timing else ()
        # With when they came, in seconds since the epoch.
        self.timings: list[tuple[float, server_timing.ServerTiming]] = []
        self._calls: dict[int, Any] = {}
        # Calls that have ended, with their number; filled by threads of grpc.
        self._ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._channels = [
            client_channel.insecure(
                address,
                # Otherwise they would share a connection.
                options=[("grpc.use_local_subchannel_pool", 1)],
            )
            for _ in range(num_connections)
        ]
        # Bytes in, bytes out.
        self._methods: list[Any] = [
            channel.unary_unary(method) for channel in self._channels
        ]
        try:
            for channel in self._channels:
                grpc.channel_ready_future(channel).result(connect_seconds)
        except grpc.FutureTimeoutError:
            self.close()
            raise errors.UnavailableError(
                "server must be a gRPC server that can be reached within "
                f"{connect_seconds:g} seconds; got {address}"
            ) from None

    def start(self, call: int, message: bytes) -> None:
        """See Transport."""
        future = self._methods[call % len(self._methods)].future(
            message,
            timeout=self._deadline_seconds,
            metadata=self._metadata,
        )
        self._calls[call] = future
        future.add_done_callback(functools.partial(self._finish, call))

    def cancel(self, call: int) -> None:
        """See Transport."""
        future = self._calls.pop(call, None)
        if future is not None:
            future.cancel()

    def poll(self, timeout_seconds: float) -> Iterable[call_driver.Ended]:
        """See Transport."""
        ended = []
        try:
            each = self._ended.get(timeout=timeout_seconds)
            while True:
                ended.append(each)
                each = self._ended.get_nowait()
        except queue.Empty:
            pass
        return [
            self._end(call, future)
            for call, future in ended
            if self._calls.pop(call, None) is not None
        ]

    def close(self) -> None:
        """Closes the channels. Idempotent."""
        for channel in self._channels:
            channel.close()

    def __enter__(self) -> "GrpcTransport":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the transport."""
        self.close()

    def _finish(self, call: int, future: Any) -> None:
        self._ended.put((call, future))

    def _end(self, call: int, future: Any) -> call_driver.Ended:
        if self._metadata:
            timing = server_timing.parse(future.trailing_metadata() or ())
            if timing:
                self.timings.append((time.time(), timing))
        code = errors.StatusCode[future.code().name]
        message = future.result() if code == errors.StatusCode.OK else b""
        return call_driver.Ended(call, code, message)
