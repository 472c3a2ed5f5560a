"""Servers of REST to compare: ours, with some flags, and the least of all.

The least is constant_server, which answers with what ours answers.
"""

import contextlib
import dataclasses
import json
import os
import tempfile
import threading
import timeit
import urllib.request
from collections.abc import Iterator

import numpy as np

from tensorflow_serving.apis import (
    json_document,
    json_responses,
    json_tensors,
)
from tensorflow_serving.benchmarks import (
    loads,
    predict_workload,
    served,
    workload,
)
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.test_util import held_port, server_process
from tensorflow_serving.util import errors

_PATH = "/v1/models/mnist:predict"
_INPUTS = "inputs"
_INTERVAL_SECONDS = 1.0
# The flags of ours, by name.
_SERVERS = {
    "REST": (),
    "REST, batching": ("--enable_batching",),
    "REST, batching, a worker per CPU": (
        "--enable_batching",
        f"--num_workers={os.cpu_count()}",
    ),
}
_NUM_TIMED = 1000


def start(
    base_path: str, work: workload.Workload, stack: contextlib.ExitStack
) -> list[loads.Target]:
    """Starts the servers; returns them, the least one at the end.

    Args:
      base_path: Where the softmax is.
      work: Its images; each call has the first of them.
      stack: Ends the servers.
    """
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    body_path = _write_body(folder, work)
    all_ours = [
        loads.Target(
            name,
            _start_model_server(base_path, work, stack, *flags),
            _PATH,
            body_path,
            is_rest=True,
        )
        for name, flags in _SERVERS.items()
    ]
    ours = all_ours[0]
    answer_path = os.path.join(folder, "answer")
    with open(answer_path, "wb") as file:
        file.write(_answer(ours, work))
    least = stack.enter_context(
        server_process.ServerProcess(
            [served.program("benchmarks", "constant_server"), answer_path]
        )
    )
    print(f"JSON takes {_json_micros(body_path, work):.0f} us of a call")
    return [
        *all_ours,
        dataclasses.replace(
            ours,
            name="REST, scraped",
            scraped=f"http://{ours.address}/metrics",
        ),
        dataclasses.replace(
            ours,
            name="constant answer",
            address=f"127.0.0.1:{least.port}",
            method="/",
        ),
    ]


def _write_body(folder: str, work: workload.Workload) -> str:
    """Writes the body of all requests; returns its path."""
    path = os.path.join(folder, "body")
    with open(path, "w", encoding="ascii") as file:
        # Decimals as people send them: no more than float32 needs.
        values = ", ".join(map(str, work.images[0]))
        file.write(f'{{"instances": [[{values}]]}}')
    return path


@contextlib.contextmanager
def scraping(page: str) -> Iterator[None]:
    """Reads a page each second in the with block; nothing if it is empty."""
    if not page:
        yield
        return
    is_over = threading.Event()

    def scrape() -> None:
        while True:
            with urllib.request.urlopen(page) as response:
                response.read()
            if is_over.wait(_INTERVAL_SECONDS):
                return

    thread = threading.Thread(target=scrape, name="scraper")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _start_model_server(
    base_path: str,
    work: workload.Workload,
    stack: contextlib.ExitStack,
    *flags: str,
) -> str:
    """Starts the model server; returns the address of its REST API."""
    port = stack.enter_context(held_port.hold())
    server = stack.enter_context(
        served.Served(
            [
                served.program("model_servers", "tensorflow_model_server"),
                "--model_name=mnist",
                f"--model_base_path={base_path}",
                f"--rest_api_port={port}",
                *flags,
            ],
            predict_workload.PredictWorkload({"mnist": work}),
        )
    )
    server.wait_for_log("is AVAILABLE")
    return f"127.0.0.1:{port}"


def _answer(target: loads.Target, work: workload.Workload) -> bytes:
    """Returns the answer of a server, which must be right."""
    with open(target.body_path, "rb") as file:
        request = urllib.request.Request(
            f"http://{target.address}{target.method}", file.read()
        )
    with urllib.request.urlopen(request) as response:
        answer: bytes = response.read()
    scores = np.array(json.loads(answer)["predictions"], np.float32)
    if not workload.are_close(scores, work.scores[:1]).all():
        raise errors.InternalError("scores must be those of the model")
    return answer


def _json_micros(body_path: str, work: workload.Workload) -> float:
    """Returns how long JSON takes in a call: the request and the response."""
    with open(body_path, "rb") as file:
        body = file.read()

    def convert() -> None:
        form, tensors = json_tensors.tensors(
            json_document.parse(body), {_INPUTS: types_pb2.DT_FLOAT}
        )
        del tensors
        json_responses.predictions({"scores": work.scores[:1]}, form)

    return 1e6 * timeit.timeit(convert, number=_NUM_TIMED) / _NUM_TIMED
