"""The ends of calls that services do not see, for those who write them down."""

from typing import Protocol

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors


class Observer(Protocol):
    """Gets the ends of calls, on the threads that end them.

    Calls that began, of methods that answer later, are their services' to
    report. Methods must be quick. Thread-safe.
    """

    def call_refused(
        self, path: str, metadata: call_lib.Metadata, error: errors.ServingError
    ) -> None:
        """Gets a call that did not get to a method.

        Args:
          path: The name of the method on the wire, as the caller wrote it.
          metadata: The metadata of the call.
          error: Its end.
        """

    def call_answered(
        self,
        path: str,
        call: call_lib.Call,
        seconds: float,
        error: errors.ServingError | None,
    ) -> None:
        """Gets a call of a method that blocks.

        Args:
          path: The name of the method on the wire.
          call: The call, which has its answer.
          seconds: How long it took, with the wait for a thread.
          error: Why it failed; None if it did not.
        """
