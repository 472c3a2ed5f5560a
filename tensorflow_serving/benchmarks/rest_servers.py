"""Servers of REST to compare: ours, with some flags, and the least of all.

The least is uvicorn with an application that reads the body of a request, and
answers with what ours answers: the least that a server in Python does.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import socket
import tempfile
import threading
import timeit
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import uvicorn

from tensorflow_serving.apis import (
    json_document,
    json_responses,
    json_tensors,
)
from tensorflow_serving.benchmarks import loads, served, workload
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.test_util import held_port
from tensorflow_serving.util import errors

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
    base_path: str, scored: workload.ScoredImages, stack: contextlib.ExitStack
) -> list[loads.Target]:
    """Starts the servers; returns them, the least one at the end.

    Args:
      base_path: Where the softmax is.
      scored: Its images; each call has the first of them.
      stack: Ends the servers.
    """
    body = _body(scored)
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    body_path = os.path.join(folder, "body")
    with open(body_path, "wb") as file:
        file.write(body)
    model = os.path.basename(base_path)
    work = workload.predict({model: scored})
    all_ours = []
    for name, flags in _SERVERS.items():
        port = stack.enter_context(held_port.hold())
        rest_flags = (f"--rest_api_port={port}", *flags)
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
