"""Loads by a Python client, which checks every answer.

    made = make(address, work, loads.OpenLoad(500, 5), deadline_seconds=1)

It takes more of the CPU for a call than a small model does, so that h2load
makes larger loads.
"""

import contextlib
import dataclasses
import functools
import gc
import os
import pickle
import queue
import subprocess
import sys
import time
from concurrent import futures
from typing import Any

import grpc
from typing_extensions import Self

from tensorflow_serving.benchmarks import call_driver, loads, workload
from tensorflow_serving.rpc import client_channel
from tensorflow_serving.util import errors

_CHILD = (
    "from tensorflow_serving.benchmarks import python_load;"
    "python_load.answer_parent()"
)
# The metadata that asks for the timing.
_ASKS_TIMING = (("serving-timing", "1"),)
_CONNECT_SECONDS = 5.0


def make(
    address: str, work: workload.Work, load: loads.Load, deadline_seconds: float
) -> loads.Calls:
    """Makes a load in a process of its own; returns when each call has ended.

    Nothing else in that process keeps calls from starting in time.

    Args:
      address: Host and port of a server.
      work: The requests and the right answers.
      load: When calls start.
      deadline_seconds: How long a call may take.

    Raises:
      UnavailableError: The server cannot be reached.
    """
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=pickle.dumps((address, work, load, deadline_seconds)),
        # Python looks for modules there first: no place for a checkout.
        cwd=os.sep,
        capture_output=True,
        check=False,
    )
    if child.returncode:
        raise errors.UnavailableError(
            f"load must be made; got exit code {child.returncode}: "
            f"{child.stderr.decode(errors='replace').strip()}"
        )
    made = pickle.loads(child.stdout)
    assert isinstance(made, loads.Calls)
    return made


def answer_parent() -> None:
    """Runs in the process that make() starts."""
    address, work, load, deadline_seconds = pickle.load(sys.stdin.buffer)
    with GrpcTransport(
        address, work.method, load.num_connections, deadline_seconds
    ) as transport:
        driver = call_driver.CallDriver(transport, work, load.arrivals())
        # No object here is in a cycle, and pauses would count as latency.
        gc.disable()
        made = driver.run(load.seconds)
    sys.stdout.buffer.write(pickle.dumps(made))


@dataclasses.dataclass(frozen=True)
class ServerTiming:
    """The stages of a call, as the server reports them."""

    # When the answer came: seconds since the epoch.
    done_time: float
    # From the arrival to the batch.
    queue_ms: float
    # The run of the model.
    run_ms: float
    # How many images shared the run.
    batch_size: float


class GrpcTransport:
    """Implements call_driver.Transport; calls take channels in turn.

    A context manager that closes the channels. Not thread-safe.
    """

    def __init__(
        self,
        address: str,
        method: str,
        num_connections: int,
        deadline_seconds: float,
        *,
        asks_timing: bool = False,
    ) -> None:
        """Connects.

        Args:
          address: Host and port.
          method: Such as "/tensorflow.serving.MnistService/Classify".
          num_connections: How many connections there are.
          deadline_seconds: How long a call may take.
          asks_timing: Whether calls ask the server for their timing.

        Raises:
          UnavailableError: The server cannot be reached.
        """
        self._deadline_seconds = deadline_seconds
        self._metadata = _ASKS_TIMING if asks_timing else ()
        # In the order in which calls ended, of those that have one.
        self.timings: list[ServerTiming] = []
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
                grpc.channel_ready_future(channel).result(_CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            self.__exit__()
            raise errors.UnavailableError(
                "server must be a gRPC server that can be reached within "
                f"{_CONNECT_SECONDS:g} seconds; got {address}"
            ) from None

    def start(self, call: int, message: bytes) -> None:
        """See Transport."""
        future = self._methods[call % len(self._methods)].future(
            message,
            timeout=self._deadline_seconds,
            metadata=self._metadata,
        )
        future.add_done_callback(functools.partial(self._finish, call))

    def poll(self, timeout_seconds: float | None) -> list[call_driver.Ended]:
        """See Transport."""
        ended = []
        with contextlib.suppress(queue.Empty):
            ended.append(self._ended.get(timeout=timeout_seconds))
            while True:
                ended.append(self._ended.get_nowait())
        return [self._end(call, future) for call, future in ended]

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the channels. Idempotent."""
        for channel in self._channels:
            channel.close()

    def _finish(self, call: int, future: Any) -> None:
        self._ended.put((call, future))

    def _end(self, call: int, future: Any) -> call_driver.Ended:
        if self._metadata:
            texts = dict(future.trailing_metadata() or ())
            # Calls that fail have none.
            with contextlib.suppress(KeyError):
                self.timings.append(
                    ServerTiming(
                        time.time(),
                        float(texts["serving-queue-micros"]) / 1e3,
                        float(texts["serving-run-micros"]) / 1e3,
                        float(texts["serving-batch-size"]),
                    )
                )
        code = errors.StatusCode[future.code().name]
        message = future.result() if code == errors.StatusCode.OK else b""
        return call_driver.Ended(call, code, message)


class BackgroundLoad:
    """A load on a thread of this process, whose calls ask for their timing.

    with BackgroundLoad(address, work, load, deadline_seconds=10) as running:
        ...
        made = running.stop()

    A context manager that stops. Not thread-safe.
    """

    def __init__(
        self,
        address: str,
        work: workload.Work,
        load: loads.Load,
        deadline_seconds: float,
    ) -> None:
        """Starts; see make() for the arguments.

        Raises:
          UnavailableError: The server cannot be reached.
        """
        self._transport = GrpcTransport(
            address,
            work.method,
            load.num_connections,
            deadline_seconds,
            asks_timing=True,
        )
        self._driver = call_driver.CallDriver(
            self._transport, work, load.arrivals()
        )
        self._thread = futures.ThreadPoolExecutor(1, "load")
        self._calls = self._thread.submit(self._driver.run)

    def stop(self) -> loads.Calls:
        """Waits for the calls in flight; returns all calls. Idempotent."""
        self._driver.stop()
        return self._calls.result()

    def timings(self, begin_time: float, end_time: float) -> list[ServerTiming]:
        """Returns those of calls that ended in that time, after stop()."""
        return [
            timing
            for timing in self._transport.timings
            if begin_time <= timing.done_time <= end_time
        ]

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops, whether or not the calls succeeded."""
        self._driver.stop()
        self._thread.shutdown()
        self._transport.__exit__()
