"""Measures the model server with a large model: a ResNet-50 of 102 MB.

Usage: large_model [--batch_size=1 --batch_size=32] [--rounds=5]

Prints images a second of a client that makes one call after the other, beside
those of session.run in this process, and the time from the start of the server
to its first answer. Exits with 1 if an answer was wrong.
"""

import contextlib
import dataclasses
import os
import shlex
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tabulate
from absl import flags

from tensorflow_serving.apis import predict_pb2, tensor_codec
from tensorflow_serving.benchmarks import (
    measurement,
    models,
    predict_workload,
    served,
)
from tensorflow_serving.rpc import client_channel
from tensorflow_serving.servables.tensorflow import saved_model
from tensorflow_serving.test_util import held_port, server_process
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
    "seconds",
    3.0,
    "How long to measure, for at least two calls.",
    lower_bound=0.1,
)
_SERVER_FLAGS = flags.DEFINE_string(
    "server_flags",
    "",
    "Flags of tensorflow_model_server, such as --enable_batching.",
)

_NAME = "resnet"
_SIGNATURE = "serving_default"
_MIN_CALLS = 2
_CALL_SECONDS = 120.0

# Images, float32 [batch, side, side, 3], to scores, float32 [batch, classes].
_Classify = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@contextlib.contextmanager
def _serving(base_path: str, input_key: str) -> Iterator[_Classify]:
    """Starts the model server; yields a client of it once it has the model."""
    with (
        held_port.hold() as port,
        server_process.ServerProcess(
            [
                served.program("model_servers", "tensorflow_model_server"),
                f"--port={port}",
                f"--model_name={_NAME}",
                f"--model_base_path={base_path}",
                *shlex.split(_SERVER_FLAGS.value),
            ],
            collects_log=True,
            on_log_line=len,
        ) as server,
        client_channel.insecure(
            f"127.0.0.1:{port}",
            options=[("grpc.max_receive_message_length", -1)],
        ) as channel,
    ):
        predict: Any = channel.unary_unary(predict_workload.PREDICT)
        server.wait_for_log("is AVAILABLE")

        def classify(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = _NAME
            request.inputs[input_key].CopyFrom(
                tensor_codec.to_proto(images, as_content=True)
            )
            data = predict(request.SerializeToString(), timeout=_CALL_SECONDS)
            response = predict_pb2.PredictResponse.FromString(data)
            (scores,) = response.outputs.values()
            return tensor_codec.to_array(scores)

        yield classify


@dataclasses.dataclass(frozen=True)
class _Row:
    """Medians of images a second, and of ratios of each round."""

    batch_size: int
    in_process: float
    served: float
    ratio: float
    is_right: bool


def _images(batch_size: int) -> npt.NDArray[Any]:
    side = _IMAGE_SIDE.value
    shape = (batch_size, side, side, 3)
    return np.random.default_rng(batch_size).random(shape, np.float32)


def _images_per_second(classify: _Classify, images: npt.NDArray[Any]) -> float:
    num_calls = 0
    start = now = time.monotonic()
    while now - start < _SECONDS.value or num_calls < _MIN_CALLS:
        classify(images)
        num_calls += 1
        now = time.monotonic()
    return num_calls * len(images) / (now - start)


def _compare(
    batch_size: int, in_process: _Classify, server: _Classify, bar: Any
) -> _Row:
    """Measures both in turn, round by round."""
    images = _images(batch_size)
    # This also has TensorFlow prepare itself for the shape.
    is_right = np.allclose(server(images), in_process(images), 1e-3, 1e-6)
    rounds = []
    for _ in range(_ROUNDS.value):
        rounds.append(
            [
                _images_per_second(classify, images)
                for classify in (in_process, server)
            ]
        )
        bar.update()
    return _Row(
        batch_size,
        statistics.median(own for own, _ in rounds),
        statistics.median(served for _, served in rounds),
        statistics.median(served / own for own, served in rounds),
        is_right,
    )


def _start_seconds(base_path: str, input_key: str) -> float:
    """Returns the median time from a start to the first answer."""
    seconds = []
    for _ in range(_ROUNDS.value):
        start = time.monotonic()
        with _serving(base_path, input_key) as classify:
            classify(_images(1))
            seconds.append(time.monotonic() - start)
    return statistics.median(seconds)


def _measure(path: str) -> tuple[list[_Row], float]:
    """Returns a row for each batch size, and the seconds of a start."""
    bundle = saved_model.load_saved_model_from_path(path)
    signature = bundle.meta_graph_def.signature_def[_SIGNATURE]
    ((input_key, fed),) = signature.inputs.items()
    (fetched,) = signature.outputs.values()

    def in_process(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        scores: npt.NDArray[Any] = bundle.session.run(
            fetched.name, {fed.name: images}
        )
        return scores

    base_path = os.path.dirname(path)
    num_rounds = len(_BATCH_SIZES.value) * _ROUNDS.value
    bar = progress.bar("Measuring", num_rounds, "rounds")
    with bundle, _serving(base_path, input_key) as classify:
        rows = [
            _compare(size, in_process, classify, bar)
            for size in _BATCH_SIZES.value
        ]
    bar.close()
    return rows, _start_seconds(base_path, input_key)


def _megabytes(path: str) -> float:
    return sum(
        os.path.getsize(os.path.join(folder, name)) / 1e6
        for folder, _, names in os.walk(path)
        for name in names
    )


def main() -> int:
    """Runs the program; see the module docstring."""
    with tempfile.TemporaryDirectory(prefix="large_model_") as folder:
        path = models.export_resnet(
            os.path.join(folder, _NAME), _IMAGE_SIDE.value
        )
        megabytes = _megabytes(path)
        rows, start_seconds = _measure(path)
    headers = ("batch", "session.run images/s", "served", "ratio", "right")
    print(f"{measurement.machine()}\n")
    print(
        tabulate.tabulate(
            [dataclasses.astuple(row) for row in rows], headers, floatfmt=".3f"
        )
    )
    print(
        f"\nStart to first answer, {megabytes:.0f} MB on a warm disk: "
        f"{start_seconds:.2f} s"
    )
    return 0 if all(row.is_right for row in rows) else 1


if __name__ == "__main__":
    program.run_tool(main)
