"""All that a run of the benchmark found out."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from tensorflow_serving.benchmarks import figures

# Name of the server that the benchmark started itself.
OURS = "ours"


@dataclasses.dataclass(frozen=True)
class Row:
    """One load on one server, in all rounds."""

    target: str
    # Such as "closed 64".
    load: str
    # What made it.
    generator: str
    rounds: Sequence[figures.Figures]

    @property
    def overall(self) -> figures.Figures:
        """Medians of the rounds."""
        return figures.over_rounds(self.rounds)


@dataclasses.dataclass(frozen=True)
class Ratios:
    """Our server beside another one: medians of the ratios of each round."""

    target: str
    load: str
    throughput: float
    p50: float
    p99: float


@dataclasses.dataclass(frozen=True)
class Results:
    """What the report shows."""

    model: str
    server_flags: str
    # Name and value of what else a reader must know, such as versions.
    facts: Mapping[str, str | int]
    # Images a second of session.run in this process, by batch size.
    in_process: Mapping[int, float]
    # Answers a second of the closed load that brings most, see campaign.py.
    capacity: float
    # Closed loads, then open loads.
    rows: Sequence[Row]
    # Open loads, of one round each, from few to many calls.
    sweep: Sequence[Row]
    # Twice the capacity, if it was measured.
    overload: Row | None
    # After few calls, and after many, if it was measured.
    soak: Sequence[Row]

    @property
    def in_process_limit(self) -> float:
        """Images a second at the best batch size; NaN if not measured."""
        return max(self.in_process.values(), default=float("nan"))

    @property
    def num_wrong(self) -> int:
        """Wrong answers in all loads."""
        return sum(row.overall.num_wrong for row in self.all_rows)

    @property
    def all_rows(self) -> list[Row]:
        """Every load."""
        overload = [self.overload] if self.overload else []
        return [*self.rows, *self.sweep, *overload, *self.soak]

    def ratios(self) -> list[Ratios]:
        """Returns our server beside each of the others, load by load."""
        ours = {
            (row.load, row.generator): row
            for row in self.rows
            if row.target == OURS
        }
        return [
            _ratios(ours[row.load, row.generator], row)
            for row in self.rows
            if row.target != OURS
        ]


def _ratios(ours: Row, theirs: Row) -> Ratios:
    pairs = list(zip(ours.rounds, theirs.rounds, strict=True))

    def median(name: str) -> float:
        ratios: list[float] = [
            getattr(our, name) / (getattr(their, name) or float("nan"))
            for our, their in pairs
        ]
        return statistics.median(ratios)

    return Ratios(
        target=theirs.target,
        load=theirs.load,
        throughput=median("answers_per_second"),
        p50=median("p50_ms"),
        p99=median("p99_ms"),
    )
