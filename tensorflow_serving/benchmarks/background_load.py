"""A closed load that goes on while something else is done."""

import threading

from tensorflow_serving.benchmarks import (
    arrivals,
    call_driver,
    calls,
    grpc_transport,
    loads,
    workload,
)


class BackgroundLoad:
    """Keeps calls in flight, on a thread, until it is stopped.

    with BackgroundLoad(address, work, 64, deadline_seconds=10) as load:
        ...
        made = load.stop()

    A context manager that stops. Not thread-safe.
    """

    def __init__(
        self,
        address: str,
        questions: call_driver.Questions,
        concurrency: int,
        deadline_seconds: float,
    ) -> None:
        """Starts.

        Args:
          address: Host and port of a server of MnistService.
          questions: What to ask.
          concurrency: Calls in flight.
          deadline_seconds: How long a call may take.

        Raises:
          UnavailableError: The server cannot be reached.
        """
        self._transport = grpc_transport.GrpcTransport(
            address,
            workload.CLASSIFY,
            num_connections=loads.ClosedLoad(concurrency).num_connections,
            deadline_seconds=deadline_seconds,
        )
        self._driver = call_driver.CallDriver(
            self._transport, questions, deadline_seconds
        )
        self._arrivals = arrivals.Closed(concurrency)
        # Of the thread, until it is joined.
        self._calls: calls.Calls | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def stop(self) -> calls.Calls:
        """Waits for the calls in flight, and returns all that were made.

        Idempotent.
        """
        self._arrivals.stop()
        self._thread.join()
        self._transport.close()
        if self._error is not None:
            raise self._error
        assert self._calls is not None
        return self._calls

    def __enter__(self) -> "BackgroundLoad":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops, whatever became of the calls."""
        self._arrivals.stop()
        self._thread.join()
        self._transport.close()

    def _run(self) -> None:
        """Runs on the thread."""
        try:
            self._calls = self._driver.run(self._arrivals)
        except Exception as error:
            self._error = error
