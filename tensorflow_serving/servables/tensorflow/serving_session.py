"""A session that serves: its errors are those of this project."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from tensorflow_serving.session_bundle import session_errors
from tensorflow_serving.util import errors


class ServingSession:
    """Runs a loaded graph, which callers cannot change.

    Thread-safe.
    """

    def __init__(self, session: tf.compat.v1.Session) -> None:
        """Takes over the session, to close it."""
        self._session = session

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """Returns the fetched tensors, in order.

        Args:
          fetches: Names of tensors ("y:0") or of operations; the value of an
            operation is None.
          feed_dict: Values of tensors, by name.

        Raises:
          InvalidArgumentError: A name is not in the graph, or a value does not
            fit its tensor. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
          ServingError: What the graph raised, with its code.
        """
        try:
            outputs: list[npt.NDArray[Any]] = self._session.run(
                list(fetches), dict(feed_dict)
            )
        except tf.errors.OpError as error:
            raise session_errors.convert(error) from error
        except (TypeError, ValueError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise errors.InvalidArgumentError(
                f"fetches and feeds must fit the graph; got {reason}"
            ) from error
        except RuntimeError as error:
            raise errors.FailedPreconditionError(
                f"session must be open; got {error}"
            ) from error
        return outputs

    def close(self) -> None:
        """Frees the session. Idempotent."""
        self._session.close()
