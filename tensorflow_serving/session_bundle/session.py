"""The part of a session that serving uses."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt


class Session(Protocol):
    """The part of a session that serving needs."""

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        """Returns the fetched tensors, in order.

        Args:
          fetches: Names of tensors ("y:0").
          feed_dict: Values of tensors, by name.
        """

    def close(self) -> None:
        """Frees what the session holds. Idempotent."""
