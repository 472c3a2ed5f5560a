"""What a load found out about versions that came and went meanwhile."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from tensorflow_serving.benchmarks import calls, version_log
from tensorflow_serving.core import servable


@dataclasses.dataclass(frozen=True)
class LoadOutcome:
    """Counts and latency of the calls of one load."""

    num_calls: int
    # Calls that failed, by name of the status.
    errors: collections.Counter[str]
    # Answers that were those of no version.
    num_wrong: int
    # Answers of a version that was not there yet when the call had ended.
    num_too_early: int
    # Answers of a version whose end was reported before the call started.
    num_too_late: int
    p50_ms: float
    p99_ms: float

    @property
    def num_failed(self) -> int:
        """Calls that failed."""
        return self.errors.total()

    @property
    def is_clean(self) -> bool:
        """Whether every call was answered by a version that could."""
        return not (
            self.num_failed
            or self.num_wrong
            or self.num_too_early
            or self.num_too_late
        )

    def __str__(self) -> str:
        """Returns what the report shows."""
        text = f"{self.num_failed} failed"
        if self.errors:
            parts = [f"{n} {count}" for n, count in self.errors.most_common()]
            text += f" ({', '.join(parts)})"
        return (
            f"{text}, {self.num_wrong} wrong, {self.num_too_early} too early, "
            f"{self.num_too_late} too late of {self.num_calls} calls"
        )


def of(
    made: calls.Calls,
    put_times: Mapping[int, float],
    end_times: Mapping[int, float],
) -> LoadOutcome:
    """Returns the outcome of a load.

    Args:
      made: Its calls, of which the versions are known.
      put_times: When each version was put in place, on the monotonic clock; not
        one moment later.
      end_times: When it was known that a version had been unloaded; not one
        moment earlier.
    """
    starts, ends = made.start_monotonic_seconds, made.done_monotonic_seconds
    num_too_early = num_too_late = 0
    for version, time in put_times.items():
        num_too_early += _count((made.versions == version) & (ends < time))
    for version, time in end_times.items():
        num_too_late += _count((made.versions == version) & (starts > time))
    p50_ms, p99_ms = made.latency_percentiles_ms([50.0, 99.0])
    return LoadOutcome(
        num_calls=made.num_calls,
        errors=made.errors(),
        num_wrong=made.num_wrong,
        num_too_early=num_too_early,
        num_too_late=num_too_late,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
    )


def end_times(entries: Iterable[version_log.Entry]) -> dict[int, float]:
    """Returns when it was read that a version has ended, if it still has."""
    times: dict[int, float] = {}
    for entry in entries:
        if entry.state is servable.ManagerState.END:
            times.setdefault(entry.id.version, entry.time)
        else:
            times.pop(entry.id.version, None)
    return times


def _count(are_so: "np.typing.NDArray[np.bool_]") -> int:
    return int(np.count_nonzero(are_so))
