"""The figures of a load: of one round, and over several rounds."""

import collections
import dataclasses
import statistics
from collections.abc import Sequence

from tensorflow_serving.benchmarks import calls, checking_client
from tensorflow_serving.benchmarks.process_watcher import Usage
from tensorflow_serving.benchmarks.server_timing import ServerTiming

_PERCENTILES = [50.0, 90.0, 99.0, 99.9]


@dataclasses.dataclass(frozen=True)
class Figures:
    """A row of the report. None: not known, or not measured."""

    # How many calls the load made, and how many the checking client.
    num_calls: int
    num_checked: int
    # Answers, of both, that were not those of the model.
    num_wrong: int
    # Calls that failed, by name of the status.
    load_errors: collections.Counter[str]
    check_errors: collections.Counter[str]
    offered_per_second: float
    answers_per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    # How late calls started that had a time of their own.
    late_p99_ms: float
    timing: ServerTiming | None = None
    cpu_seconds_per_1000: float | None = None
    resident_mb: float | None = None

    @property
    def errors(self) -> collections.Counter[str]:
        """Calls that failed, of both clients."""
        return self.load_errors + self.check_errors


def of(
    made: calls.Calls,
    checks: checking_client.Checks | None = None,
    before: Usage | None = None,
    after: Usage | None = None,
) -> Figures:
    """Returns the figures of one round.

    Args:
      made: The calls of the load.
      checks: The calls of the checking client.
      before: What the server had taken before both.
      after: And afterwards.
    """
    checks = checks or checking_client.Checks(())
    num_checked = len(checks.calls)
    p50_ms, p90_ms, p99_ms, p999_ms = made.latency_percentiles_ms(_PERCENTILES)
    cpu_seconds_per_1000 = None
    if before and after:
        cpu_seconds = after.cpu_seconds - before.cpu_seconds
        num_requests = made.num_calls + num_checked
        cpu_seconds_per_1000 = 1000 * cpu_seconds / num_requests
    return Figures(
        num_calls=made.num_calls,
        num_checked=num_checked,
        num_wrong=made.num_wrong + checks.num_wrong,
        load_errors=made.errors(),
        check_errors=checks.errors(),
        offered_per_second=made.offered_per_second,
        answers_per_second=made.answers_per_second,
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        p99_ms=p99_ms,
        p999_ms=p999_ms,
        late_p99_ms=made.late_percentiles_ms([99.0])[0],
        timing=checks.mean_timing(made.begin_time, made.end_time),
        cpu_seconds_per_1000=cpu_seconds_per_1000,
        resident_mb=after.resident_bytes / 2**20 if after else None,
    )


def over_rounds(rounds: Sequence[Figures]) -> Figures:
    """Returns the median of each measure, and the sum of each count.

    A single wrong answer must not vanish in a median.
    """
    merged: dict[str, object] = {}
    for field in dataclasses.fields(Figures):
        values = [
            value
            for each in rounds
            if (value := getattr(each, field.name)) is not None
        ]
        if not values:
            merged[field.name] = None
        elif isinstance(values[0], collections.Counter):
            merged[field.name] = sum(values, collections.Counter())
        elif isinstance(values[0], ServerTiming):
            merged[field.name] = _median_timing(values)
        elif isinstance(values[0], int):
            merged[field.name] = sum(values)
        else:
            merged[field.name] = statistics.median(values)
    return Figures(**merged)  # type: ignore[arg-type]


def _median_timing(timings: Sequence[ServerTiming]) -> ServerTiming:
    return ServerTiming(
        *(
            statistics.median(getattr(timing, field.name) for timing in timings)
            for field in dataclasses.fields(ServerTiming)
        )
    )
