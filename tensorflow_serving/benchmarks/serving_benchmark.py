"""Measures mnist_inference: throughput, latency, errors, CPU and memory.

Usage: serving_benchmark --model=softmax|cnn [--output_json=FILE]

Exports a model with random weights, serves it, loads it, and prints a table;
README.md says what each number means. Exits with 1 if an answer was wrong.
"""

import dataclasses
import functools
import json
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence

from absl import flags

from tensorflow_serving.benchmarks import (
    calls,
    h2load,
    loads,
    measurement,
    models,
    python_load,
    reference_model,
    served,
)
from tensorflow_serving.util import errors, program, progress

_MODEL = flags.DEFINE_enum("model", "softmax", models.NAMES, "Model to serve.")
_SERVER_FLAGS = flags.DEFINE_string(
    "server_flags", "", "Flags of mnist_inference, such as --max_batch_size=64."
)
_CONCURRENCIES = flags.DEFINE_multi_integer(
    "concurrency", [1, 64, 256], "Calls in flight of a closed load.", 1
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "How often each load is made.", lower_bound=1
)
_SECONDS = flags.DEFINE_float(
    "seconds", 5.0, "How long a load lasts.", lower_bound=0.1
)
_RATES = flags.DEFINE_multi_float(
    "rate",
    [],
    "Calls a second of an open load; by default --open_fraction decides.",
    lower_bound=0.1,
)
_OPEN_FRACTIONS = flags.DEFINE_multi_float(
    "open_fraction",
    [0.5, 0.8],
    "Rate of an open load, as a fraction of the capacity.",
    lower_bound=0.001,
)
_SOAK_REQUESTS = flags.DEFINE_integer(
    "soak_requests",
    0,
    "After how many calls to look at the memory, such as 1000000; 0: never.",
    lower_bound=0,
)
_DEADLINE_SECONDS = flags.DEFINE_float(
    "deadline_seconds", 1.0, "How long a call may take.", lower_bound=0.001
)
_CHECKS_PER_SECOND = flags.DEFINE_float(
    "checks_per_second",
    50.0,
    "Calls that are checked beside each load.",
    lower_bound=0.1,
)
_H2LOAD = flags.DEFINE_bool(
    "h2load", True, "Whether h2load makes the closed loads, where installed."
)
_OUTPUT_JSON = flags.DEFINE_string(
    "output_json", None, "Where to write every round; by default nowhere."
)

_SOAK_CONCURRENCY = 64
# Enough that everything that grows at first has grown.
_FIRST_SOAK_CALLS = 10_000


class _Benchmark:
    """Makes loads on a server."""

    def __init__(self, server: served.Served) -> None:
        self._server = server
        # Each load that was made, in order.
        self.rounds: list[measurement.Measurement] = []

    def capacity(self) -> float:
        """Returns the most answers a second that the Python client gets.

        Open loads are fractions of it, because their client shares the machine
        with the server as well. This also warms the server up.
        """
        return max(
            self._make(
                loads.ClosedLoad(concurrency, _SECONDS.value)
            ).answers_per_second
            for concurrency in _CONCURRENCIES.value
        )

    def run(self, kinds: Sequence[loads.Load]) -> None:
        """Makes each load in each round."""
        bar = progress.bar("Measuring", _ROUNDS.value * len(kinds), "loads")
        for number in range(_ROUNDS.value):
            for load in kinds:
                if isinstance(load, loads.OpenLoad):
                    load = dataclasses.replace(load, seed=number)
                self._measure(load)
                bar.update()
        bar.close()

    def soak(self) -> str:
        """Makes many calls; returns a line on the memory of the server."""
        first, last = (
            self._measure(
                loads.ClosedLoad(_SOAK_CONCURRENCY, num_calls=num_calls)
            ).resident_mb
            for num_calls in (
                _FIRST_SOAK_CALLS,
                _SOAK_REQUESTS.value - _FIRST_SOAK_CALLS,
            )
        )
        assert first is not None and last is not None
        return (
            f"Memory after {_FIRST_SOAK_CALLS:,} further calls: {first:.0f} MB;"
            f" after {_SOAK_REQUESTS.value:,}: {last:.0f} MB; ratio: "
            f"{last / first:.3f}"
        )

    def overall(self) -> list[measurement.Measurement]:
        """Returns the medians of the rounds of each load."""
        rows: dict[tuple[str, str], list[measurement.Measurement]] = {}
        for each in self.rounds:
            rows.setdefault((each.load, each.generator), []).append(each)
        return [measurement.over_rounds(rounds) for rounds in rows.values()]

    def _make(self, load: loads.Load) -> calls.Calls:
        return python_load.make(
            self._server.target.address,
            self._server.work,
            load,
            _DEADLINE_SECONDS.value,
        )

    def _measure(self, load: loads.Load) -> measurement.Measurement:
        generator = "python_load"
        make = functools.partial(self._make, load)
        if (
            isinstance(load, loads.ClosedLoad)
            and _H2LOAD.value
            and h2load.is_installed()
        ):
            generator = "h2load"
            make = functools.partial(h2load.run, self._server.target, load)
        measured = measurement.Measurer(
            self._server,
            make,
            generator,
            _DEADLINE_SECONDS.value,
            _CHECKS_PER_SECOND.value,
        ).measure(load)
        self.rounds.append(measured)
        return measured


def _kinds(capacity: float) -> list[loads.Load]:
    rates = _RATES.value or [
        fraction * capacity for fraction in _OPEN_FRACTIONS.value
    ]
    return [
        *(
            loads.ClosedLoad(concurrency, _SECONDS.value)
            for concurrency in _CONCURRENCIES.value
        ),
        *(loads.OpenLoad(rate, _SECONDS.value) for rate in rates),
    ]


def _in_process_limit(throughputs: Mapping[int, float]) -> str:
    size = max(throughputs, key=lambda size: throughputs[size])
    return (
        f"In-process limit: {throughputs[size]:.0f} images/s by session.run at "
        f"batch size {size}"
    )


def _run(folder: str) -> bool:
    """Measures and prints; returns whether no answer was wrong."""
    version_dir = models.export(_MODEL.value, os.path.join(folder, "model"))
    with reference_model.ReferenceModel(version_dir) as reference:
        work = reference.workload()
        limits = reference.images_per_second(_SECONDS.value / 10)
    command = [
        served.program("example", "mnist_inference"),
        *shlex.split(_SERVER_FLAGS.value),
        version_dir,
    ]
    with served.Served(command, work) as server:
        benchmark = _Benchmark(server)
        capacity = benchmark.capacity()
        benchmark.run(_kinds(capacity))
        rows = benchmark.overall()
        print(
            f"{_MODEL.value} {_SERVER_FLAGS.value}\n{measurement.machine()}\n"
        )
        print(measurement.table(rows))
        print(f"\nCapacity: {capacity:.0f} answers/s, by python_load")
        print(_in_process_limit(limits))
        if _SOAK_REQUESTS.value:
            print(benchmark.soak())
    if _OUTPUT_JSON.value:
        with open(_OUTPUT_JSON.value, "w", encoding="utf-8") as file:
            rounds = [dataclasses.asdict(each) for each in benchmark.rounds]
            json.dump(
                {"machine": measurement.machine(), "rounds": rounds}, file
            )
    return not any(row.num_wrong for row in benchmark.rounds)


def main() -> int:
    """Runs the program; see the module docstring."""
    if 0 < _SOAK_REQUESTS.value <= _FIRST_SOAK_CALLS:
        raise errors.InvalidArgumentError(
            f"--soak_requests must be more than {_FIRST_SOAK_CALLS}, or 0; got "
            f"{_SOAK_REQUESTS.value}"
        )
    with tempfile.TemporaryDirectory(prefix="serving_benchmark_") as folder:
        return 0 if _run(folder) else 1


if __name__ == "__main__":
    program.run_tool(main)
