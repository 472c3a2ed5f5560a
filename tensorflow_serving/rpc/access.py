"""Decides by the metadata of calls which of them may begin."""

from typing import Protocol

from tensorflow_serving.rpc import call
from tensorflow_serving.util import errors


class Access(Protocol):
    """Knows which callers may call.

    Is asked when the header fields of a call are there, before its request is
    read or its method is looked for. The answer counts for all calls of the
    connection that repeat the fields, as long as the epoch is the same object.

    Thread-safe. Nothing blocks.
    """

    @property
    def epoch(self) -> object:
        """Another object once answers may be other ones."""

    def refusal(
        self, path: str, metadata: call.Metadata
    ) -> errors.ServingError | None:
        """Returns the end of a call that may not begin.

        Args:
          path: The name of the method on the wire; perhaps there is none.
          metadata: The metadata of the call.
        """
