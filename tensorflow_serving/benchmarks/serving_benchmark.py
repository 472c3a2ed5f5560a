"""Measures mnist_inference: throughput, latency, errors, CPU and memory.

Usage: serving_benchmark --model=softmax|cnn

Exports a model with random weights, serves it, loads it, and prints a table;
README.md says what each number means. Exits with 1 if an answer was wrong.
"""

import dataclasses
import functools
import os
import tempfile

from absl import flags

from tensorflow_serving.benchmarks import (
    h2load,
    loads,
    measurement,
    models,
    python_load,
    served,
    workload,
)
from tensorflow_serving.util import program

_MODEL = flags.DEFINE_enum("model", "softmax", models.NAMES, "Model to serve.")
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
_DEADLINE_SECONDS = flags.DEFINE_float(
    "deadline_seconds", 1.0, "How long a call may take.", lower_bound=0.001
)
_CHECKS_PER_SECOND = flags.DEFINE_float(
    "checks_per_second",
    50.0,
    "Calls that are checked beside each load.",
    lower_bound=0.1,
)
flags.adopt_module_key_flags(served)

# To find the limit of the model in process.
_BATCH_SIZES = [2**exponent for exponent in range(9)]


def _make(server: served.Served, load: loads.Load) -> loads.Calls:
    """Makes a load with python_load."""
    return python_load.make(
        server.target.address, server.work, load, _DEADLINE_SECONDS.value
    )


def _closed_loads() -> list[loads.ClosedLoad]:
    return [
        loads.ClosedLoad(concurrency, _SECONDS.value)
        for concurrency in _CONCURRENCIES.value
    ]


def _capacity(server: served.Served) -> float:
    """Returns the most answers a second that the Python client gets.

    Open loads are fractions of it, because their client shares the machine with
    the server as well. This also warms the server up.
    """
    return max(
        _make(server, load).answers_per_second for load in _closed_loads()
    )


def _measure(
    server: served.Served, load: loads.Load, number_of_round: int
) -> measurement.Measurement:
    """Makes a load, watched and checked."""
    if isinstance(load, loads.OpenLoad):
        load = dataclasses.replace(load, seed=number_of_round)
    generator, make = "python_load", functools.partial(_make, server, load)
    if isinstance(load, loads.ClosedLoad) and h2load.is_installed():
        generator = "h2load"
        make = functools.partial(h2load.run, server.target, load)
    return measurement.watched(
        server,
        load,
        generator,
        make,
        deadline_seconds=_DEADLINE_SECONDS.value,
        checks_per_second=_CHECKS_PER_SECOND.value,
    )


def _run(folder: str) -> bool:
    """Measures and prints; returns whether no answer was wrong."""
    version_dir = models.export(_MODEL.value, os.path.join(folder, "model"))
    with models.ReferenceModel(version_dir) as model:
        work = workload.classify(model.scored_images())
        limit, size = max(
            (
                model.images_per_second(
                    workload.random_images(size, seed=0), _SECONDS.value / 10
                ),
                size,
            )
            for size in _BATCH_SIZES
        )
    with served.Served(
        "example/mnist_inference", work, argument=version_dir
    ) as server:
        capacity = _capacity(server)
        rates = _RATES.value or [
            fraction * capacity for fraction in _OPEN_FRACTIONS.value
        ]
        kinds: list[loads.Load] = [
            *_closed_loads(),
            *(loads.OpenLoad(rate, _SECONDS.value) for rate in rates),
        ]
        rounds = measurement.in_rounds(
            _ROUNDS.value, kinds, functools.partial(_measure, server)
        )
    rows = [measurement.over_rounds(each) for each in rounds]
    print(
        f"{_MODEL.value}\n{measurement.machine()}\n\n"
        f"{measurement.table(rows)}\n\n"
        f"Capacity: {capacity:.0f} answers/s, by python_load\n"
        f"In-process limit: {limit:.0f} images/s by session.run at "
        f"batch size {size}"
    )
    return not any(row.num_wrong for row in rows)


def main() -> int:
    """Runs the program; see the module docstring."""
    with tempfile.TemporaryDirectory(prefix="serving_benchmark_") as folder:
        return 0 if _run(folder) else 1


if __name__ == "__main__":
    program.run_tool(main)
