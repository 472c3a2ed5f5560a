"""Loads by a Python client, which checks every answer.

    made = make(address, work, loads.OpenLoad(500, 5), deadline_seconds=1)

It takes more of the CPU for a call than a small model does, so that h2load
makes larger loads.
"""

import gc
import os
import pickle
import subprocess
import sys
import threading

from tensorflow_serving.benchmarks import (
    call_driver,
    calls,
    grpc_transport,
    loads,
    server_timing,
    workload,
)
from tensorflow_serving.util import errors

_CHILD = (
    "from tensorflow_serving.benchmarks import python_load;"
    "python_load.answer_parent()"
)


def make(
    address: str,
    work: workload.Work,
    load: loads.Load,
    deadline_seconds: float,
) -> calls.Calls:
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
    assert isinstance(made, calls.Calls)
    return made


def answer_parent() -> None:
    """Runs in the process that make() starts."""
    address, work, load, deadline_seconds = pickle.load(sys.stdin.buffer)
    with grpc_transport.GrpcTransport(
        address,
        work.method,
        num_connections=load.num_connections,
        deadline_seconds=deadline_seconds,
    ) as transport:
        driver = call_driver.CallDriver(
            transport, work, load.arrivals(), deadline_seconds
        )
        # No object here is in a cycle, and pauses would count as latency.
        gc.disable()
        made = driver.run(load.seconds)
    sys.stdout.buffer.write(pickle.dumps(made))


class BackgroundLoad:
    """A load on a thread of this process, until it is stopped.

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
        *,
        asks_timing: bool = False,
    ) -> None:
        """Starts; see make() for the arguments.

        Raises:
          UnavailableError: The server cannot be reached.
        """
        self._transport = grpc_transport.GrpcTransport(
            address,
            work.method,
            num_connections=load.num_connections,
            deadline_seconds=deadline_seconds,
            asks_timing=asks_timing,
        )
        self._driver = call_driver.CallDriver(
            self._transport, work, load.arrivals(), deadline_seconds
        )
        # Written only by the thread until it is joined.
        self._calls: calls.Calls | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def stop(self) -> calls.Calls:
        """Waits for the calls in flight; returns all calls. Idempotent."""
        self.__exit__()
        if self._error is not None:
            raise self._error
        assert self._calls is not None
        return self._calls

    def timings(
        self, begin_time: float, end_time: float
    ) -> list[server_timing.ServerTiming]:
        """Returns those of calls that ended in that time, after stop()."""
        return [
            timing
            for done_time, timing in self._transport.timings
            if begin_time <= done_time <= end_time
        ]

    def __enter__(self) -> "BackgroundLoad":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops, whether or not the calls succeeded."""
        self._driver.stop()
        self._thread.join()
        self._transport.close()

    def _run(self) -> None:
        """Runs on the thread."""
        try:
            self._calls = self._driver.run()
        except Exception as error:
            self._error = error
