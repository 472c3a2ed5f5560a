"""When a batch ran, for callers that ask where the time went."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class RunTiming:
    """The times of a batch, in seconds of the session's clock."""

    # The rows of all its tasks, without padding.
    num_rows: int
    num_padding_rows: int
    # A thread took the batch; it began to run; it was done.
    taken_time: float
    start_time: float
    end_time: float


def overall(timings: Sequence[RunTiming]) -> RunTiming:
    """Returns the largest batch, from the first start to the last end.

    Args:
      timings: The timings of the parts of a task; at least one.
    """
    return RunTiming(
        max(each.num_rows for each in timings),
        max(each.num_padding_rows for each in timings),
        min(each.taken_time for each in timings),
        min(each.start_time for each in timings),
        max(each.end_time for each in timings),
    )
