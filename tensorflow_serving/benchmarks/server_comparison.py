"""Measures servers that others wrote, and ours, under the same closed loads.

Usage:
  server_comparison --target=NAME,HOST:PORT,/package.Service/Method,BODY_FILE

Each target is a server that runs; BODY_FILE holds a request with its gRPC
frame. Ours is mnist_inference with a softmax, which is started here. h2load
makes each load on one server after the other, round by round; the table has the
medians of the rounds, and of the ratios of ours to theirs in each round.
"""

import os
import statistics
import tempfile
from collections.abc import Sequence

import tabulate
from absl import app, flags

from tensorflow_serving.benchmarks import (
    h2load,
    loads,
    measurement,
    models,
    reference_model,
    served,
)
from tensorflow_serving.util import errors, program, progress

_TARGETS = flags.DEFINE_multi_string(
    "target", [], "A server to compare with; see above."
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


def parse_target(text: str) -> loads.Target:
    """Returns the target that "NAME,HOST:PORT,/package.Service/Method,FILE" is.

    Raises:
      InvalidArgumentError: The text has another form.
    """
    parts = text.split(",")
    if len(parts) != 4 or not all(parts) or not parts[2].startswith("/"):
        raise errors.InvalidArgumentError(
            "--target must be NAME,HOST:PORT,/package.Service/Method,BODY_FILE;"
            f" got {text}"
        )
    name, address, method, body_path = parts
    return loads.Target(name, address, method, body_path)


def _measure(
    targets: Sequence[loads.Target], load: loads.ClosedLoad
) -> list[list[measurement.Measurement]]:
    """Returns the rounds of each target."""
    rounds: list[list[measurement.Measurement]] = [[] for _ in targets]
    bar = progress.bar(str(load), _ROUNDS.value * len(targets), "loads")
    for _ in range(_ROUNDS.value):
        for target, measured in zip(targets, rounds, strict=True):
            made = h2load.run(target, load)
            measured.append(measurement.of(made, load, target.name, "h2load"))
            bar.update()
    bar.close()
    return rounds


def _ratio(
    ours: Sequence[measurement.Measurement],
    theirs: Sequence[measurement.Measurement],
    name: str,
) -> str:
    """Returns the median of the ratios of each round; "-" without answers."""
    ratios = [
        getattr(our, name) / getattr(their, name)
        for our, their in zip(ours, theirs, strict=True)
        if getattr(our, name) and getattr(their, name)
    ]
    return measurement.number(
        statistics.median(ratios) if ratios else None, ".3f"
    )


def _compare(targets: Sequence[loads.Target]) -> None:
    """Prints the tables."""
    rows, ratios = [], []
    for concurrency in _CONCURRENCIES.value:
        load = loads.ClosedLoad(concurrency, _SECONDS.value)
        ours, *others = rounds = _measure(targets, load)
        rows += [measurement.over_rounds(each) for each in rounds]
        ratios += [
            (
                str(load),
                f"{served.OURS} / {theirs[0].server}",
                *(
                    _ratio(ours, theirs, name)
                    for name in ("answers_per_second", "p50_ms", "p99_ms")
                ),
            )
            for theirs in others
        ]
    headers = ("load", "ratio", "answers/s", "p50", "p99")
    print(f"{measurement.machine()}\n\n{measurement.table(rows)}\n")
    print(tabulate.tabulate(ratios, headers, disable_numparse=True))


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 1:
        raise app.UsageError(f"arguments must be flags; got {argv[1:]}")
    others = [parse_target(text) for text in _TARGETS.value]
    if not others:
        raise app.UsageError("--target must be given")
    with tempfile.TemporaryDirectory(prefix="server_comparison_") as folder:
        path = models.export("softmax", os.path.join(folder, "model"))
        with reference_model.ReferenceModel(path) as reference:
            work = reference.workload()
        command = [served.program("example", "mnist_inference"), path]
        with served.Served(command, work) as server:
            _compare([server.target, *others])


if __name__ == "__main__":
    program.run(main)
