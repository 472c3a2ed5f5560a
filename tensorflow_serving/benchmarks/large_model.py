"""Measures the model server with a large model: a ResNet-50 of 102 MB.

Usage: large_model [--batch_size=1 --batch_size=32] [--rounds=5]

Prints images a second of a client that makes one call after the other, beside
those of session.run in this process, and the time from the start of the server
to its first answer. Exits with 1 if an answer was wrong.
"""

import os
import pathlib
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import tabulate
from absl import flags

from tensorflow_serving.benchmarks import (
    loads,
    measurement,
    models,
    python_load,
    served,
    workload,
)
from tensorflow_serving.rpc import client_channel
from tensorflow_serving.util import program, progress

_BATCH_SIZES = flags.DEFINE_multi_integer(
    "batch_size", [1, 2, 4, 8, 16, 32], "Images in a call.", 1
)
_IMAGE_SIDE = flags.DEFINE_integer(
    "image_side", 224, "The height and width of images.", lower_bound=32
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "How often each is measured.", lower_bound=1
)
_SECONDS = flags.DEFINE_float(
    "seconds", 3.0, "How long to start calls.", lower_bound=0.1
)
flags.adopt_module_key_flags(served)

_NAME = "resnet"
_CALL_SECONDS = 120.0


def _scored(
    model: models.ReferenceModel, batch_size: int
) -> workload.ScoredImages:
    side = _IMAGE_SIDE.value
    shape = (batch_size, side, side, 3)
    images = np.random.default_rng(batch_size).random(shape, np.float32)
    return workload.ScoredImages(images, model.scores(images))


def _work(scored: workload.ScoredImages) -> workload.Work:
    """Returns calls with all of the images."""
    return workload.predict(
        {_NAME: scored}, as_content=True, batch_size=len(scored.images)
    )


def _call(address: str, work: workload.Work) -> None:
    with client_channel.insecure(address) as channel:
        method: Any = channel.unary_unary(work.method)
        method(work.requests[0], timeout=_CALL_SECONDS)


def _compare(
    scored: workload.ScoredImages,
    model: models.ReferenceModel,
    address: str,
    bar: Any,
) -> tuple[float, ...]:
    """Measures both in turn, round by round; returns a row of the table."""
    work = _work(scored)
    _call(address, work)  # TensorFlow prepares itself for the shape
    load = loads.ClosedLoad(1, _SECONDS.value)
    rounds = []
    is_right = True
    for _ in range(_ROUNDS.value):
        own = model.images_per_second(scored.images, _SECONDS.value)
        made = python_load.make(address, work, load, _CALL_SECONDS)
        num_images = made.num_calls * len(scored.images)
        rounds.append((own, num_images / made.done_seconds.max()))
        is_right &= not made.num_wrong and not made.errors()
        bar.update()
    return (
        len(scored.images),
        statistics.median(own for own, _ in rounds),
        statistics.median(theirs for _, theirs in rounds),
        statistics.median(theirs / own for own, theirs in rounds),
        is_right,
    )


def _start_seconds(base_path: str, work: workload.Work) -> float:
    """Returns the median time from a start to the first answer."""
    seconds = []
    for _ in range(_ROUNDS.value):
        start = time.monotonic()
        with served.serving(base_path, work) as server:
            _call(server.target.address, work)
            seconds.append(time.monotonic() - start)
    return statistics.median(seconds)


def _measure(path: str) -> tuple[list[tuple[float, ...]], float]:
    """Returns a row for each batch size, and the seconds of a start."""
    base_path = os.path.dirname(path)
    num_rounds = len(_BATCH_SIZES.value) * _ROUNDS.value
    bar = progress.bar("Measuring", num_rounds, "rounds")
    with models.ReferenceModel(path) as model:
        work = _work(_scored(model, 1))
        with served.serving(base_path, work) as server:
            rows = [
                _compare(
                    _scored(model, size), model, server.target.address, bar
                )
                for size in _BATCH_SIZES.value
            ]
    bar.close()
    return rows, _start_seconds(base_path, work)


def main() -> int:
    """Runs the program; see the module docstring."""
    with tempfile.TemporaryDirectory(prefix="large_model_") as folder:
        path = models.export_resnet(
            os.path.join(folder, _NAME), _IMAGE_SIDE.value
        )
        files = pathlib.Path(path).rglob("*.*")
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        rows, start_seconds = _measure(path)
    headers = ("batch", "session.run images/s", "served", "ratio", "right")
    print(f"{measurement.machine()}\n")
    print(tabulate.tabulate(rows, headers, floatfmt=".3f"))
    print(
        f"\nStart to first answer, {megabytes:.0f} MB on a warm disk: "
        f"{start_seconds:.2f} s"
    )
    return 0 if all(is_right for *_, is_right in rows) else 1


if __name__ == "__main__":
    program.run_tool(main)
