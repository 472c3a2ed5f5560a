"""A load that was measured: a row of a table."""

import collections
import dataclasses
import importlib.metadata
import math
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tabulate

from tensorflow_serving.benchmarks import loads, python_load, served
from tensorflow_serving.util import progress

_UNKNOWN = "-"
# No server here takes longer, unless it is broken.
_DEADLINE_SECONDS = 10.0
_PERCENTILES = [50.0, 90.0, 99.0, 99.9]
_KindT = TypeVar("_KindT")
_PACKAGES = ("grpcio", "numpy", "protobuf", "tensorflow")


def _column(header: str, digits: str, **default: Any) -> Any:
    """Declares a column of the table, with the format of its numbers."""
    metadata = {"header": header, "digits": digits}
    return dataclasses.field(metadata=metadata, **default)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """The figures of one load, or medians of several; None if not known."""

    num_calls: int
    load: str = _column("load", "")
    server: str = _column("server", "")
    generator: str = _column("made by", "")
    calls_per_second: float = _column("calls/s", ".0f")
    answers_per_second: float = _column("answers/s", ".0f")
    p50_ms: float | None = _column("p50 ms", ".2f")
    p90_ms: float | None = _column("p90 ms", ".2f")
    p99_ms: float | None = _column("p99 ms", ".2f")
    p999_ms: float | None = _column("p99.9 ms", ".2f")
    # The 99th percentile of how late calls started.
    late_p99_ms: float | None = _column("late ms", ".2f")
    # Calls that were made beside the load to check answers.
    num_checked: int = _column("checked", "d", default=0)
    # Answers that were not those of the model.
    num_wrong: int = _column("wrong", "d", default=0)
    batch_size: float | None = _column("batch", ".1f", default=None)
    queue_ms: float | None = _column("queue ms", ".2f", default=None)
    run_ms: float | None = _column("run ms", ".2f", default=None)
    cpu_seconds_per_1000: float | None = _column(
        "CPU s/1k", ".3f", default=None
    )
    resident_mb: float | None = _column("MB", ".0f", default=None)
    # Calls that failed, by name of the status.
    errors: collections.Counter[str] = _column(
        "errors", "", default_factory=collections.Counter
    )

    @property
    def is_clean(self) -> bool:
        """Whether each call got its right answer."""
        return not self.num_wrong and not self.errors


def of(
    made: loads.Calls, load: loads.Load, server: str, generator: str
) -> Measurement:
    """Returns the figures of a load that nobody watched."""
    p50_ms, p90_ms, p99_ms, p999_ms = made.latency_percentiles_ms(_PERCENTILES)
    is_open = isinstance(load, loads.OpenLoad)
    return Measurement(
        load=str(load),
        server=server,
        generator=generator,
        num_calls=made.num_calls,
        num_wrong=made.num_wrong,
        errors=made.errors(),
        calls_per_second=made.offered_per_second,
        answers_per_second=made.answers_per_second,
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        p99_ms=p99_ms,
        p999_ms=p999_ms,
        late_p99_ms=made.late_p99_ms() if is_open else None,
    )


def checked(server: served.Served, load: loads.Load, label: str) -> Measurement:
    """Makes a load in a process of its own, which checks every answer.

    Args:
      server: The server that gets it.
      load: The load.
      label: The name of the server in the table, or of what happens to it.
    """
    made = python_load.make(
        server.target.address, server.work, load, _DEADLINE_SECONDS
    )
    return of(made, load, label, "python_load")


def p99_ratio(row: Measurement, other: Measurement) -> str:
    """Returns the 99th percentile of latency to that of another load."""
    if row.p99_ms is None or other.p99_ms is None:
        return _UNKNOWN
    return f"{row.p99_ms / other.p99_ms:.2f}"


def watched(
    server: served.Served,
    load: loads.Load,
    generator: str,
    make: Callable[[], loads.Calls],
    *,
    deadline_seconds: float,
    checks_per_second: float,
) -> Measurement:
    """Makes a load on a server of ours, while it is checked and watched.

    Args:
      server: The server.
      load: The kind of the load.
      generator: The name of the program that makes it.
      make: Has it made.
      deadline_seconds: How long a call beside it may take.
      checks_per_second: The rate of those calls, by an ordinary gRPC client.
        Their answers are checked, and they ask the server for its timing.

    Raises:
      UnavailableError: The server cannot be reached.
    """
    before = server.usage()
    with python_load.BackgroundLoad(
        server.target.address,
        server.work,
        loads.OpenLoad(checks_per_second, math.inf),
        deadline_seconds,
    ) as checks:
        made = make()
        checked = checks.stop()
    after = server.usage()
    row = of(made, load, server.target.name, generator)
    timings = checks.timings(made.begin_time, made.begin_time + made.seconds)
    cpu_seconds = after.cpu_seconds - before.cpu_seconds
    return dataclasses.replace(
        row,
        num_checked=checked.num_calls,
        num_wrong=row.num_wrong + checked.num_wrong,
        errors=row.errors + checked.errors(),
        batch_size=_mean([each.batch_size for each in timings]),
        queue_ms=_mean([each.queue_ms for each in timings]),
        run_ms=_mean([each.run_ms for each in timings]),
        cpu_seconds_per_1000=(
            1000 * cpu_seconds / (row.num_calls + checked.num_calls)
        ),
        resident_mb=after.resident_bytes / 2**20,
    )


def over_rounds(rounds: Sequence[Measurement]) -> Measurement:
    """Returns the median of each measure, and the sum of each count.

    A single wrong answer does not vanish in a median.
    """
    merged: dict[str, object] = {}
    for field in dataclasses.fields(Measurement):
        values = [
            value
            for each in rounds
            if (value := getattr(each, field.name)) is not None
        ]
        if not values or isinstance(values[0], str):
            merged[field.name] = values[0] if values else None
        elif isinstance(values[0], collections.Counter):
            merged[field.name] = sum(values, collections.Counter())
        elif isinstance(values[0], int):
            merged[field.name] = sum(values)
        else:
            merged[field.name] = statistics.median(values)
    return Measurement(**merged)  # type: ignore[arg-type]


def in_rounds(
    num_rounds: int,
    kinds: Sequence[_KindT],
    measure: Callable[[_KindT, int], Measurement],
) -> list[list[Measurement]]:
    """Measures one kind after the other; returns the rounds of each.

    Args:
      num_rounds: How often each is measured.
      kinds: The kinds, such as loads or servers.
      measure: Takes one of them, and the number of the round.
    """
    rounds: list[list[Measurement]] = [[] for _ in kinds]
    bar = progress.bar("Measuring", num_rounds * len(kinds), "loads")
    for number_of_round in range(num_rounds):
        for kind, measured in zip(kinds, rounds, strict=True):
            measured.append(measure(kind, number_of_round))
            bar.update()
    bar.close()
    return rounds


def table(rows: Sequence[Measurement]) -> str:
    """Returns a table; README.md explains its columns."""
    columns = [
        each for each in dataclasses.fields(Measurement) if each.metadata
    ]
    return tabulate.tabulate(
        [
            [
                _text(getattr(row, each.name), each.metadata["digits"])
                for each in columns
            ]
            for row in rows
        ],
        [each.metadata["header"] for each in columns],
        # Numbers are texts already, with the digits that mean something.
        disable_numparse=True,
        colalign=[
            "right" if each.metadata["digits"] else "left" for each in columns
        ],
    )


def machine() -> str:
    """Returns the machine and the versions that figures are from."""
    versions = [
        f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES
    ]
    return ", ".join(
        [
            f"{len(os.sched_getaffinity(0))} CPUs",
            platform.platform(),
            f"python {platform.python_version()}",
            *versions,
        ]
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _text(value: Any, digits: str) -> str:
    if isinstance(value, collections.Counter):
        counts = sorted(value.items())
        return ", ".join(f"{name} {count}" for name, count in counts) or "0"
    return _UNKNOWN if value is None else format(value, digits)
