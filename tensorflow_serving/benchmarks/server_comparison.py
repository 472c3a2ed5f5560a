"""Measures our servers, and others, under the same closed loads.

Usage:
  server_comparison --target=NAME,HOST:PORT,/package.Service/Method,BODY_FILE
  server_comparison --api=rest --target=NAME,HOST:PORT,/path,BODY_FILE

Each target is a server that runs; BODY_FILE holds a request, with its frame if
it is one of gRPC. Ours serve a softmax and are started here: mnist_inference,
and tensorflow_model_server without and with batching, asked for Predict with
tensors in tensor_content and in float_val. With --api=rest they are the latter
with some flags, and the least that a server of REST in Python does. h2load
makes each load on one server after the other, round by round; the table has the
medians of the rounds, and of the ratios of ours to the first one of them and to
the others in each round.
"""

import contextlib
import dataclasses
import functools
import gc
import json
import multiprocessing
import os
import pathlib
import re
import socket
import statistics
import tempfile
import timeit
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tabulate
import uvicorn
from absl import flags

from tensorflow_serving.apis import json_document, json_responses, json_tensors
from tensorflow_serving.benchmarks import (
    h2load,
    loads,
    measurement,
    models,
    served,
    workload,
)
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.test_util import held_port
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

# The flags of our servers of REST, by name.
_REST_SERVERS = {
    "REST": (),
    "REST, batching": ("--enable_batching",),
    "REST, batching, a worker per CPU": (
        "--enable_batching",
        f"--num_workers={os.cpu_count()}",
    ),
}
_NUM_TIMED = 1000


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
    with served.scraping(target.scraped):
        made = h2load.run(target, load)
    return measurement.of(made, load, target.name, "h2load")


def _start_grpc(
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


def _start_rest(
    base_path: str, scored: workload.ScoredImages, stack: contextlib.ExitStack
) -> list[loads.Target]:
    """Starts our servers of REST; returns them, the least one at the end.

    Args:
      base_path: The folder of the model.
      scored: Its images; each call has the first of them.
      stack: Ends the servers.
    """
    body = _body(scored)
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    body_path = os.path.join(folder, "body")
    pathlib.Path(body_path).write_bytes(body)
    model = os.path.basename(base_path)
    work = workload.predict({model: scored})
    all_ours = []
    for name, own_flags in _REST_SERVERS.items():
        port = stack.enter_context(held_port.hold())
        rest_flags = (f"--rest_api_port={port}", *own_flags)
        stack.enter_context(served.serving(base_path, work, *rest_flags))
        all_ours.append(
            loads.Target(
                name,
                f"127.0.0.1:{port}",
                f"/v1/models/{model}:predict",
                body_path,
                is_rest=True,
            )
        )
    ours = all_ours[0]
    answer = _post(ours, body)
    scores = np.array(json.loads(answer)["predictions"], np.float32)
    if not workload.are_close(scores, scored.scores[:1]).all():
        raise errors.InternalError("scores must be those of the model")
    least = dataclasses.replace(
        ours, name="constant answer", address=_start_least(answer, stack)
    )
    _post(least, body)  # once it answers
    page = f"http://{ours.address}/metrics"
    scraped = dataclasses.replace(ours, name="REST, scraped", scraped=page)
    print(f"JSON takes {_json_micros(body, scored):.0f} us of a call")
    return [*all_ours, scraped, least]


def _body(scored: workload.ScoredImages) -> bytes:
    # Decimals as people send them: no more than float32 needs.
    values = ", ".join(map(str, scored.images[0]))
    return f'{{"instances": [[{values}]]}}'.encode("ascii")


def _post(target: loads.Target, body: bytes) -> bytes:
    """Returns the answer of a server."""
    url = f"http://{target.address}{target.method}"
    with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
        answer: bytes = response.read()
    return answer


def _start_least(answer: bytes, stack: contextlib.ExitStack) -> str:
    """Starts the least server in a process; returns its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("spawn").Process(
            target=_serve_least, args=(listener, answer)
        )
        process.start()
        stack.callback(process.join)
        stack.callback(process.terminate)
        return f"127.0.0.1:{listener.getsockname()[1]}"


def _serve_least(listener: socket.socket, answer: bytes) -> None:
    gc.freeze()  # as this process imports what only the program needs
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer)),
        ],
    }
    end = {"type": "http.response.body", "body": answer}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        del scope
        while (await receive()).get("more_body"):
            pass
        await send(start)
        await send(end)

    config = uvicorn.Config(
        application, lifespan="off", access_log=False, log_level="error"
    )
    uvicorn.Server(config).run([listener])


def _json_micros(body: bytes, scored: workload.ScoredImages) -> float:
    """Returns how long JSON takes in a call: the request and the response."""

    def convert() -> None:
        form, tensors = json_tensors.tensors(
            json_document.parse(body), {"inputs": types_pb2.DT_FLOAT}
        )
        del tensors
        json_responses.predictions({"scores": scored.scores[:1]}, form)

    return 1e6 * timeit.timeit(convert, number=_NUM_TIMED) / _NUM_TIMED


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
            *ours, least = _start_rest(base_path, scored, stack)
            others.insert(0, least)
        else:
            ours = _start_grpc(path, scored, stack)
        _compare(ours, others, kinds)


if __name__ == "__main__":
    program.run_tool(main)
