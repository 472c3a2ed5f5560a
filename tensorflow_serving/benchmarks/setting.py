"""What the scenarios of reload_under_load have in common."""

import dataclasses

from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Setting:
    """How servers are started and loaded.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # Calls in flight.
    concurrency: int = 64
    # How long a call may take.
    deadline_seconds: float = 10.0
    # How often a server looks for versions.
    poll_seconds: float = 0.25
    # Decides weights, images and moments.
    seed: int = 0
    # Further flags of the servers.
    server_flags: tuple[str, ...] = ()
    # The file that servers log to; None for nowhere.
    log_path: str | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(1, concurrency=self.concurrency)
        # With 0, a server would look once only.
        if self.poll_seconds <= 0:
            raise errors.InvalidArgumentError(
                f"poll_seconds must be more than 0; got {self.poll_seconds}"
            )
