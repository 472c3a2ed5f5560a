"""Which loads are made, in which order, on which servers."""

import dataclasses
from collections.abc import Callable, Sequence

from tensorflow_serving.benchmarks import (
    calls,
    checking_client,
    figures,
    light_client,
    loads,
    results,
    served_model,
)
from tensorflow_serving.util import errors, progress

_OVERLOAD_FACTOR = 2.0
_SOAK_CONCURRENCY = 64
# Enough that everything that grows at first has grown.
_FIRST_SOAK_CALLS = 10_000


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to measure.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # Calls in flight of the closed loads.
    concurrencies: Sequence[int] = (1, 64, 256)
    # How long a load lasts.
    seconds: float = 5.0
    # How often each is made.
    rounds: int = 5
    # Calls a second of the one open load; 0 for open_fractions.
    rate: float = 0.0
    # Rates of open loads, as fractions of the capacity.
    open_fractions: Sequence[float] = (0.5, 0.8)
    # Rates of open loads that are made once, for the picture.
    sweep_fractions: Sequence[float] = ()
    # How long to offer twice the capacity; 0: not at all.
    overload_seconds: float = 0.0
    # After how many calls to look at the memory; 0: not at all.
    soak_requests: int = 0
    # How long a call may take.
    deadline_seconds: float = 1.0
    # Calls a second of the checking client.
    checks_per_second: float = 50.0

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1, rounds=self.rounds, concurrencies=len(self.concurrencies)
        )
        if 0 < self.soak_requests <= _FIRST_SOAK_CALLS:
            raise errors.InvalidArgumentError(
                f"soak_requests must be more than {_FIRST_SOAK_CALLS}, or 0; "
                f"got {self.soak_requests}"
            )


class Campaign:
    """Carries out a plan. To be used once. Not thread-safe."""

    def __init__(
        self,
        plan: Plan,
        served: served_model.ServedModel,
        generator: loads.LoadGenerator,
        others: Sequence[loads.Target] = (),
    ) -> None:
        """Takes what makes the closed loads, and servers to compare with."""
        self._plan = plan
        self._served = served
        self._generator = generator
        self._others = others
        self._light_client = light_client.LightClient(
            served.workload_path, plan.deadline_seconds
        )
        self._bar = progress.bar("Measuring", self._num_loads(), "loads")
        self._rows: dict[tuple[str, str, str], list[figures.Figures]] = {}

    def run(
        self,
        model: str,
        server_flags: str,
        facts: dict[str, str | int],
    ) -> results.Results:
        """Measures everything; takes what the results shall say beside it."""
        capacity = self._capacity()
        rates = self._open_rates(capacity)
        for number in range(self._plan.rounds):
            self._closed_loads()
            for label, rate in rates.items():
                self._measure_open(label, rate, self._plan.seconds, number)
        rows = self._take_rows()
        for fraction in self._plan.sweep_fractions:
            self._measure_open(
                f"open {fraction:g}", fraction * capacity, self._plan.seconds
            )
        sweep = self._take_rows()
        if self._plan.overload_seconds:
            self._measure_open(
                f"open {_OVERLOAD_FACTOR:g}",
                _OVERLOAD_FACTOR * capacity,
                self._plan.overload_seconds,
            )
        overload = self._take_rows()
        self._soak()
        self._bar.close()
        return results.Results(
            model=model,
            server_flags=server_flags,
            facts=facts,
            in_process=self._served.in_process,
            capacity=capacity,
            rows=rows,
            sweep=sweep,
            overload=overload[0] if overload else None,
            soak=self._take_rows(),
        )

    def _num_loads(self) -> int:
        plan = self._plan
        num_open = 1 if plan.rate else len(plan.open_fractions)
        num_closed = len(plan.concurrencies) * (1 + len(self._others))
        return (
            len(plan.concurrencies)
            + plan.rounds * (num_closed + num_open)
            + len(plan.sweep_fractions)
            + bool(plan.overload_seconds)
            + 2 * bool(plan.soak_requests)
        )

    def _capacity(self) -> float:
        """Returns the answers a second that open loads are fractions of.

        Of closed loads by the client that makes the open ones, since the two
        share the machine with the server. This also warms the server up.
        """
        throughputs = []
        for concurrency in self._plan.concurrencies:
            made = self._light_client.run(
                self._served.target,
                loads.ClosedLoad(concurrency, self._plan.seconds),
            )
            throughputs.append(made.answers_per_second)
            self._bar.update()
        return max(throughputs)

    def _open_rates(self, capacity: float) -> dict[str, float]:
        if self._plan.rate:
            return {f"open {self._plan.rate:g}/s": self._plan.rate}
        return {
            f"open {fraction:g}": fraction * capacity
            for fraction in self._plan.open_fractions
        }

    def _closed_loads(self) -> None:
        """Makes each closed load on each server, one after the other."""
        for concurrency in self._plan.concurrencies:
            load = loads.ClosedLoad(concurrency, self._plan.seconds)
            label = f"closed {concurrency}"
            self._measure_closed(label, load)
            for other in self._others:
                self._add(
                    other.name,
                    label,
                    self._generator.name,
                    figures.of(self._generator.run(other, load)),
                )

    def _measure_closed(self, label: str, load: loads.ClosedLoad) -> None:
        self._add(
            results.OURS,
            label,
            self._generator.name,
            self._measure(
                lambda: self._generator.run(self._served.target, load)
            ),
        )

    def _measure_open(
        self, label: str, rate: float, seconds: float, seed: int = 0
    ) -> None:
        load = loads.OpenLoad(rate, seconds)
        self._add(
            results.OURS,
            label,
            self._light_client.name,
            self._measure(
                lambda: self._light_client.run_open(
                    self._served.target, load, seed
                )
            ),
        )

    def _measure(self, make_load: Callable[[], calls.Calls]) -> figures.Figures:
        """Makes a load on our server, and checks and watches it."""
        before = self._served.watcher.usage()
        with checking_client.CheckingClient(
            self._served.target.address,
            self._served.workload,
            rate=self._plan.checks_per_second,
            deadline_seconds=self._plan.deadline_seconds,
        ) as checker:
            made = make_load()
        after = self._served.watcher.usage()
        return figures.of(made, checker.checks(), before, after)

    def _soak(self) -> None:
        if not self._plan.soak_requests:
            return
        first = _FIRST_SOAK_CALLS
        for num_calls, num_so_far in (
            (first, first),
            (self._plan.soak_requests - first, self._plan.soak_requests),
        ):
            self._measure_closed(
                f"soak {num_so_far:,}",
                loads.ClosedLoad(_SOAK_CONCURRENCY, num_calls=num_calls),
            )

    def _add(
        self, target: str, load: str, generator: str, measured: figures.Figures
    ) -> None:
        key = (target, load, generator)
        self._rows.setdefault(key, []).append(measured)
        self._bar.update()

    def _take_rows(self) -> list[results.Row]:
        """Returns what was measured since the last time."""
        rows, self._rows = self._rows, {}
        return [results.Row(*key, rounds) for key, rounds in rows.items()]
