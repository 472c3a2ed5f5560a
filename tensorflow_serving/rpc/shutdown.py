"""The end of a server's process, in time whatever hangs.

Example:
    shutdown = Shutdown(drain_delay_seconds=5, grace_seconds=30)
    termination.end_within(shutdown.max_seconds)
    with Server(address, [service]) as server:
        server.start()
        shutdown.wait_and_stop(server, termination)
"""

import dataclasses
import os
from typing import Final, Protocol

from absl import logging

from tensorflow_serving.util import background_log, errors, signals

# How long a process may go on without calls, or once their time is over.
_EXIT_SECONDS: Final = 2.0


class Stoppable(Protocol):
    """The part of a rpc.server.Server that ends it."""

    def stop(self, grace_seconds: float, *, drain_delay_seconds: float) -> bool:
        """Ends; returns whether every call was finished."""


@dataclasses.dataclass(frozen=True)
class Shutdown:
    """How long the parts of an end may take.

    Raises:
      InvalidArgumentError: A time is below 0.
    """

    # How long to go on serving after a signal, with a health of NOT_SERVING.
    drain_delay_seconds: float = 0.0
    # How long calls may take to finish after that.
    grace_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(0, **dataclasses.asdict(self))

    @property
    def seconds_with_calls(self) -> float:
        """How long there may be calls after the signal."""
        return self.drain_delay_seconds + self.grace_seconds

    @property
    def max_seconds(self) -> float:
        """How long the process may go on after the signal."""
        return self.seconds_with_calls + _EXIT_SECONDS

    def wait_and_stop(
        self, server: Stoppable, termination: signals.Termination
    ) -> None:
        """Waits for a signal, then has the server finish its calls.

        If they take longer than the grace, the process ends here, with 1.
        Otherwise the caller has two seconds for what is left to do; see
        end_soon().
        """
        logging.info("Stopping because of %s", termination.wait())
        is_clean = server.stop(
            self.grace_seconds, drain_delay_seconds=self.drain_delay_seconds
        )
        if not is_clean:
            logging.warning(
                "Calls must finish within --shutdown_grace_seconds=%g; leaving "
                "those that did not",
                self.grace_seconds,
            )
            # Their threads would keep the process, for as long as they like.
            leave(1)
        logging.info("Stopped")
        end_soon(termination)


def end_soon(termination: signals.Termination) -> None:
    """Ends the process in two seconds, with 0; for one without calls.

    Nobody waits for what is left. Storage may hang in it, or a model.
    """
    termination.end_within(_EXIT_SECONDS, exit_code=0)


def leave(exit_code: int) -> None:
    """Ends the process now, with whatever its threads do."""
    background_log.flush()
    os._exit(exit_code)
