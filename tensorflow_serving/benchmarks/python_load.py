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
from array import array
from collections.abc import Iterable, Sequence
from concurrent import futures
from typing import Any, Protocol

import grpc
import numpy as np
from typing_extensions import Self

from tensorflow_serving.benchmarks import loads, workload
from tensorflow_serving.rpc import client_channel
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_CHILD = (
    "from tensorflow_serving.benchmarks import python_load;"
    "python_load.answer_parent()"
)
# The metadata that asks for the timing.
_ASKS_TIMING = (("serving-timing", "1"),)
_CONNECT_SECONDS = 5.0


def make(
    address: str,
    work: workload.Work,
    load: loads.Load,
    deadline_seconds: float,
    *,
    connect_seconds: float = _CONNECT_SECONDS,
) -> loads.Calls:
    """Makes a load in a process of its own; returns when each call has ended.

    Nothing else in that process keeps calls from starting in time.

    Args:
      address: Host and port of a server.
      work: The requests and the right answers.
      load: When calls start.
      deadline_seconds: How long a call may take.
      connect_seconds: How long each connection may take.

    Raises:
      UnavailableError: The server cannot be reached.
    """
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=pickle.dumps(
            (address, work, load, deadline_seconds, connect_seconds)
        ),
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
    made: loads.Calls = pickle.loads(child.stdout)
    return made


def answer_parent() -> None:
    """Runs in the process that make() starts."""
    address, work, load, deadline_seconds, connect_seconds = pickle.load(
        sys.stdin.buffer
    )
    with GrpcTransport(
        address,
        work.method,
        load.num_connections,
        deadline_seconds,
        connect_seconds=connect_seconds,
    ) as transport:
        driver = CallDriver(transport, work, load.arrivals())
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
        self._driver = CallDriver(self._transport, work, load.arrivals())
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


@dataclasses.dataclass(frozen=True)
class Ended:
    """A call that has ended."""

    call: int
    # A number of errors.StatusCode.
    code: int
    # The response; empty unless the code is OK.
    message: bytes


class Transport(Protocol):
    """Takes calls to a server, each of which ends by a deadline."""

    def start(self, call: int, message: bytes) -> None:
        """Starts a call with a number of its own."""

    def poll(self, timeout_seconds: float | None) -> Iterable[Ended]:
        """Returns calls that have ended; waits for the first, or so long."""


class CallDriver:
    """Starts calls as they are due, whatever became of those before.

    Latency counts from when a call was meant to start: a driver that is late
    makes a server look slow, never fast. How late it was is in the result.
    Nothing is refused: any number of calls may wait.

    To be used once. Not thread-safe, but for stop().
    """

    def __init__(
        self,
        transport: Transport,
        work: workload.Work,
        arrivals: loads.Arrivals,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes the way to the server, what to ask it, and when."""
        self._transport = transport
        self._work = work
        self._arrivals = arrivals
        self._clock = clock
        self._num_in_flight = 0
        # By the number of the call; NaN and -1 until it ended.
        self._meant = array("d")
        self._started = array("d")
        self._done = array("d")
        self._codes = array("h")
        self._answers: list[bytes] = []
        self._is_stopped = False

    def run(self, seconds: float | None = None) -> loads.Calls:
        """Makes all calls; returns when each has ended.

        Args:
          seconds: How long calls are started; None until the last one ended.
        """
        begin_time = time.time()
        begin = self._clock.now()
        while True:
            next_time = None
            if not self._is_stopped:
                for meant in self._arrivals.due(
                    self._clock.now() - begin, self._num_in_flight
                ):
                    self._start(meant, self._clock.now() - begin)
                next_time = self._arrivals.next_time()
            wait = None
            if next_time is not None:
                # Starting many takes a while.
                wait = max(0.0, next_time - (self._clock.now() - begin))
            elif not self._num_in_flight:
                return self._result(begin_time, seconds)
            ended = self._transport.poll(wait)
            now = self._clock.now() - begin
            for each in ended:
                self._end(each, now)

    def stop(self) -> None:
        """Ends the load: no further calls start. Idempotent, thread-safe."""
        self._is_stopped = True

    def _start(self, meant: float, now: float) -> None:
        call = len(self._meant)
        self._meant.append(meant)
        self._started.append(now)
        self._done.append(float("nan"))
        self._codes.append(-1)
        self._answers.append(b"")
        self._num_in_flight += 1
        request = self._work.requests[self._index(call)]
        self._transport.start(call, request)

    def _end(self, ended: Ended, now: float) -> None:
        self._num_in_flight -= 1
        self._codes[ended.call] = ended.code
        self._done[ended.call] = now
        self._answers[ended.call] = ended.message

    def _index(self, call: int) -> int:
        return call % len(self._work.requests)

    def _result(self, begin_time: float, seconds: float | None) -> loads.Calls:
        meant, done = np.array(self._meant), np.array(self._done)
        codes = np.array(self._codes)
        ok_calls: Sequence[int] = np.flatnonzero(
            codes == errors.StatusCode.OK
        ).tolist()
        are_right = self._work.are_right(
            [self._index(call) for call in ok_calls],
            [self._answers[call] for call in ok_calls],
        )
        return loads.Calls(
            begin_time=begin_time,
            seconds=float(done.max(initial=0.0))
            if seconds is None
            else seconds,
            latency_seconds=done - meant,
            late_seconds=np.array(self._started) - meant,
            done_seconds=done,
            codes=codes,
            num_wrong=int(np.count_nonzero(~are_right)),
        )


class GrpcTransport:
    """Implements Transport; calls take channels in turn.

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
        connect_seconds: float = _CONNECT_SECONDS,
    ) -> None:
        """Connects.

        Args:
          address: Host and port.
          method: Such as "/tensorflow.serving.MnistService/Classify".
          num_connections: How many connections there are.
          deadline_seconds: How long a call may take.
          asks_timing: Whether calls ask the server for their timing.
          connect_seconds: How long each connection may take.

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
                grpc.channel_ready_future(channel).result(connect_seconds)
        except grpc.FutureTimeoutError:
            self.__exit__()
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
        future.add_done_callback(functools.partial(self._finish, call))

    def poll(self, timeout_seconds: float | None) -> list[Ended]:
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

    def _end(self, call: int, future: Any) -> Ended:
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
        return Ended(call, code, message)
