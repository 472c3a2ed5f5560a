"""Measures our servers, and others, under the same closed loads.

Usage:
  server_comparison --target=NAME,HOST:PORT,/package.Service/Method,BODY_FILE
  server_comparison --api=rest --target=NAME,HOST:PORT,/path,BODY_FILE

Each target is a server that runs; BODY_FILE holds a request, with its frame if
it is one of gRPC. Ours serve a softmax and are started here: mnist_inference,
and tensorflow_model_server without and with batching, asked for Predict with
tensors in tensor_content and in float_val. With --api=rest they are those of
rest_servers. h2load makes each load on one server after the other, round by
round; the table has the medians of the rounds, and of the ratios of ours to the
first one of them and to the others in each round.
"""

import contextlib
import functools
import os
import re
import statistics
import tempfile
from collections.abc import Iterator, Sequence

import tabulate
from absl import flags

from tensorflow_serving.benchmarks import (
    h2load,
    loads,
    measurement,
    models,
    rest_servers,
    served,
    workload,
)
from tensorflow_serving.util import errors, program

_TARGETS = flags.DEFINE_multi_string(
    "target", [], "A server to compare with; see above."
)
_API = flags.DEFINE_enum(
    "api", "grpc", ["grpc", "rest"], "The API that is measured."
)
_LOADS = flags.DEFINE_multi_string(
    "load",
    ["1x1", "8x8", "8x32", "64x1"],
    "A closed load: connections x calls in flight on each.",
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "How often each load is made.", lower_bound=1
)
_SECONDS = flags.DEFINE_float(
    "seconds", 5.0, "How long a load lasts.", lower_bound=0.1
)


def _target(text: str) -> loads.Target:
    """Returns the server that a flag means."""
    parts = text.split(",")
    if len(parts) != 4 or not all(parts) or not parts[2].startswith("/"):
        raise errors.InvalidArgumentError(
            "--target must be NAME,HOST:PORT,/package.Service/Method,BODY_FILE;"
            f" got {text}"
        )
    name, address, method, body_path = parts
    return loads.Target(
        name, address, method, body_path, is_rest=_API.value == "rest"
    )


def _load(text: str) -> loads.ClosedLoad:
    """Returns the load that a flag means."""
    match = re.fullmatch("([1-9][0-9]*)x([1-9][0-9]*)", text)
    if match is None:
        raise errors.InvalidArgumentError(
            "--load must be connections x calls in flight on each, such as "
            f"8x32; got {text}"
        )
    connections, streams = map(int, match.groups())
    return loads.ClosedLoad(connections * streams, _SECONDS.value, connections)


def _measure(
    load: loads.ClosedLoad, target: loads.Target, number_of_round: int
) -> measurement.Measurement:
    del number_of_round
    with rest_servers.scraping(target.scraped):
        made = h2load.run(target, load)
    return measurement.of(made, load, target.name, "h2load")


def _ours(
    path: str, scored: workload.ScoredImages, stack: contextlib.ExitStack
) -> list[loads.Target]:
    """Starts our servers of gRPC; returns them, mnist_inference first.

    Args:
      path: The version of the model.
      scored: Its images.
      stack: Ends the servers.
    """
    work = workload.classify(scored)
    mnist = stack.enter_context(
        served.Served("example/mnist_inference", work, argument=path)
    )
    targets = [mnist.target_of("mnist_inference", work)]
    base_path = os.path.dirname(path)
    contents, floats = (
        workload.predict(
            {os.path.basename(base_path): scored}, as_content=as_content
        )
        for as_content in (True, False)
    )
    for suffix, batching in (("", ()), (", batching", ("--enable_batching",))):
        server = stack.enter_context(
            served.serving(base_path, contents, *batching)
        )
        targets += [
            server.target_of(f"tensor_content{suffix}", contents),
            server.target_of(f"float_val{suffix}", floats),
        ]
    return targets


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
    return f"{statistics.median(ratios):.3f}" if ratios else "-"


def _ratios(
    rounds: Sequence[Sequence[measurement.Measurement]], num_ours: int
) -> Iterator[tuple[str, ...]]:
    """Yields a row for each server of ours beside each of the others.

    Args:
      rounds: The rounds of each server, ours first. The first of ours is
        one of the others as well.
      num_ours: How many are ours.
    """
    for theirs in (rounds[0], *rounds[num_ours:]):
        for ours in rounds[:num_ours]:
            if ours is not theirs:
                yield (
                    ours[0].load,
                    f"{ours[0].server} / {theirs[0].server}",
                    *(
                        _ratio(ours, theirs, name)
                        for name in ("answers_per_second", "p50_ms", "p99_ms")
                    ),
                )


def _compare(
    ours: Sequence[loads.Target],
    others: Sequence[loads.Target],
    kinds: Sequence[loads.ClosedLoad],
) -> None:
    """Prints the tables."""
    rows: list[measurement.Measurement] = []
    ratios: list[tuple[str, ...]] = []
    for load in kinds:
        rounds = measurement.in_rounds(
            _ROUNDS.value, [*ours, *others], functools.partial(_measure, load)
        )
        rows += [measurement.over_rounds(each) for each in rounds]
        ratios += _ratios(rounds, len(ours))
    headers = ("load", "ratio", "answers/s", "p50", "p99")
    print(f"{measurement.machine()}\n\n{measurement.table(rows)}\n")
    print(tabulate.tabulate(ratios, headers, disable_numparse=True))


def main() -> None:
    """Runs the program; see the module docstring."""
    others = [_target(text) for text in _TARGETS.value]
    kinds = [_load(text) for text in _LOADS.value]
    with (
        tempfile.TemporaryDirectory(prefix="server_comparison_") as folder,
        contextlib.ExitStack() as stack,
    ):
        base_path = os.path.join(folder, "mnist")
        path = models.export("softmax", base_path)
        with models.ReferenceModel(path) as model:
            scored = model.scored_images()
        if _API.value == "rest":
            *ours, least = rest_servers.start(base_path, scored, stack)
            others.insert(0, least)
        else:
            ours = _ours(path, scored, stack)
        _compare(ours, others, kinds)


if __name__ == "__main__":
    program.run_tool(main)
