"""When a source looks at the file system next."""

import dataclasses

from tensorflow_serving.core import servable


@dataclasses.dataclass(frozen=True)
class Outlook:
    """The reasons for which a poll should be followed by another one soon."""

    # Versions that are whole, but were not seen to stay so for long enough.
    unsettled: frozenset[servable.ServableId] = frozenset()
    # Versions that are not whole.
    incomplete: frozenset[servable.ServableId] = frozenset()
    # When the first of the unsettled ones is settled, if it stays as it is.
    settle_time: float | None = None
    # Whether one of them changed since the look before, or is new.
    has_changed: bool = False


class PollSchedule:
    """Says when to poll.

    Every period, and sooner while something is on its way: when an unsettled
    version can be settled, and for incomplete ones after settle_seconds, with
    a back-off that doubles up to the period and starts over with each change.

    With a period of 0 it polls until each version of the first poll is settled,
    or was incomplete at another look.

    Not thread-safe.
    """

    def __init__(self, period_seconds: float, settle_seconds: float) -> None:
        """Takes a period of 0 or more."""
        self._period_seconds = period_seconds
        self._settle_seconds = settle_seconds
        self.start_over()

    def start_over(self) -> None:
        """Takes the next poll for the first one."""
        self._delay_seconds = self._settle_seconds
        # With a period of 0: what it still polls for; None before the first
        # poll.
        self._awaited: frozenset[servable.ServableId] | None = None

    def next_poll(self, start: float, outlook: Outlook) -> float | None:
        """Returns when to poll next; None if never.

        Args:
          start: When the poll that found the outlook began.
          outlook: What it found.
        """
        if not self._period_seconds:
            if self._awaited is None:
                self._awaited = outlook.unsettled | outlook.incomplete
            else:
                self._awaited &= outlook.unsettled
            return start + self._settle_seconds if self._awaited else None
        due_time = start + self._period_seconds
        if outlook.has_changed or not outlook.incomplete:
            self._delay_seconds = self._settle_seconds
        if outlook.incomplete:
            due_time = min(due_time, start + self._delay_seconds)
            self._delay_seconds = min(
                2 * self._delay_seconds, self._period_seconds
            )
        if outlook.settle_time is not None:
            due_time = min(due_time, outlook.settle_time)
        return due_time
