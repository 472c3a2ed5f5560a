"""A gRPC client that checks a server while something else loads it."""

import collections
import dataclasses
import threading
import time
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np

from tensorflow_serving.benchmarks import server_timing, workload
from tensorflow_serving.util import clock as clock_lib


@dataclasses.dataclass(frozen=True)
class Check:
    """One call and what became of it."""

    # When it ended: seconds since the epoch.
    done_time: float
    # The name of its gRPC status.
    code: str
    # Whether its answer was the right one; False without an answer.
    is_right: bool
    timing: server_timing.ServerTiming | None


@dataclasses.dataclass(frozen=True)
class Checks:
    """The calls of a client."""

    calls: Sequence[Check]

    @property
    def num_wrong(self) -> int:
        """How many answers were wrong; errors are not answers."""
        return sum(
            call.code == "OK" and not call.is_right for call in self.calls
        )

    def errors(self) -> collections.Counter[str]:
        """Returns the number of calls that failed, by name of the status."""
        return collections.Counter(
            call.code for call in self.calls if call.code != "OK"
        )

    def mean_timing(
        self, begin_time: float, end_time: float
    ) -> server_timing.ServerTiming | None:
        """Returns what the server said of calls that ended in that time."""
        return server_timing.mean(
            [
                call.timing
                for call in self.calls
                if call.timing and begin_time <= call.done_time <= end_time
            ]
        )


class CheckingClient:
    """Makes calls at a low rate until it is closed.

    with CheckingClient(address, work, rate=50, deadline_seconds=1) as client:
        ...
    client.checks()

    An ordinary client, with the grpc package: what it gets, users get. It asks
    the server for its timing. Thread-safe.
    """

    def __init__(
        self,
        address: str,
        load: workload.Workload,
        *,
        rate: float,
        deadline_seconds: float,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Starts to call.

        Args:
          address: Host and port.
          load: What to ask.
          rate: Calls a second.
          deadline_seconds: How long a call may take.
          clock: Decides when a call is due.
        """
        self._workload = load
        self._interval_seconds = 1 / rate
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._classify: Any = self._channel.unary_unary(workload.CLASSIFY)
        self._lock = threading.Lock()
        # The client was closed, or a call has ended. Wakes the thread, and
        # close().
        self._news = threading.Condition(self._lock)
        self._closed = False  # guarded by _lock
        self._num_started = 0  # guarded by _lock
        self._calls: list[Check] = []  # guarded by _lock
        self._thread = threading.Thread(target=self._run, name="checks")
        self._thread.start()

    def checks(self) -> Checks:
        """Returns the calls that have ended so far."""
        with self._lock:
            return Checks(tuple(self._calls))

    def close(self) -> None:
        """Waits for the calls in flight. Idempotent."""
        with self._lock:
            self._closed = True
            self._news.notify_all()
        self._thread.join()
        with self._lock:
            self._news.wait_for(lambda: len(self._calls) == self._num_started)
        self._channel.close()

    def __enter__(self) -> "CheckingClient":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the client."""
        self.close()

    def _run(self) -> None:
        """Runs on the thread."""
        due = self._clock.now()
        while self._wait_until(due):
            self._start()
            due += self._interval_seconds

    def _wait_until(self, due: float) -> bool:
        """Returns whether there is one more call to make."""
        with self._lock:
            while not self._closed and self._clock.now() < due:
                self._clock.wait_until(self._news, due)
            return not self._closed

    def _start(self) -> None:
        with self._lock:
            image = self._num_started % len(self._workload.requests)
            self._num_started += 1
        call = self._classify.future(
            self._workload.requests[image],
            timeout=self._deadline_seconds,
            metadata=server_timing.REQUEST_METADATA,
        )
        call.add_done_callback(lambda call: self._finish(call, image))

    def _finish(self, call: Any, image: int) -> None:
        code = call.code().name
        is_right = code == "OK" and bool(
            np.all(self._workload.are_right([image], [call.result()]))
        )
        timing = server_timing.parse(call.trailing_metadata() or ())
        with self._lock:
            self._calls.append(Check(time.time(), code, is_right, timing))
            self._news.notify_all()
