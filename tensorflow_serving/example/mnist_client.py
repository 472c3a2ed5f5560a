"""Sends test images to a server and prints how often its answer is wrong.

Usage: mnist_client --num_tests=1000 --server=localhost:9000

Prints progress, then a line with throughput and latency, then the error rate.
A call that fails counts as a wrong answer, and the exit code is 1.
"""

import collections
import dataclasses
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
from absl import app, flags

from tensorflow_serving.example import (
    mnist_data_flags,
    mnist_image,
    mnist_inference_pb2,
    mnist_inference_pb2_grpc,
    mnist_input_data,
)
from tensorflow_serving.rpc import client_channel
from tensorflow_serving.util import errors, program, progress

_CONCURRENCY = flags.DEFINE_integer(
    "concurrency", 1, "Largest number of calls in flight.", lower_bound=1
)
_NUM_TESTS = flags.DEFINE_integer(
    "num_tests", 100, "Number of test images.", lower_bound=1, upper_bound=10000
)
_SERVER = flags.DEFINE_string(
    "server", None, "Host and port, such as localhost:9000.", required=True
)
flags.adopt_module_key_flags(mnist_data_flags)

_CONNECT_SECONDS = 5.0
_DIAGNOSE_SECONDS = 1.0
_DEADLINE_SECONDS = 5.0


@dataclasses.dataclass
class Results:
    """Counts of the answers; guarded by the Tester's lock until it is done."""

    latencies_seconds: list[float] = dataclasses.field(default_factory=list)
    num_wrong: int = 0
    # Failed calls, by code and text.
    failures: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )

    @property
    def error_rate(self) -> float:
        """The share of calls that failed or got a wrong answer, 0 to 1."""
        num_failed = self.failures.total()
        num_calls = len(self.latencies_seconds) + num_failed
        return (self.num_wrong + num_failed) / num_calls


class Tester:
    """Keeps a number of calls in flight. To be used once."""

    def __init__(self, channel: grpc.Channel, concurrency: int) -> None:
        """Takes a channel to the server."""
        self._stub = mnist_inference_pb2_grpc.MnistServiceStub(channel)
        self._free = threading.Semaphore(concurrency)
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._results = Results()  # guarded by _lock

    def run(
        self, test_set: mnist_input_data.DataSet, num_tests: int
    ) -> Results:
        """Sends that many images, again from the start after the last one."""
        bar = progress.bar("Testing", num_tests, "images")
        for _ in range(num_tests):
            ((image,), (label,)) = test_set.next_batch(1)
            request = mnist_inference_pb2.MnistRequest(image_data=image)
            self._free.acquire()
            self._send(request, int(label))
            bar.update()
        for _ in range(self._concurrency):
            self._free.acquire()
        bar.close()
        return self._results

    def _send(
        self, request: mnist_inference_pb2.MnistRequest, label: int
    ) -> None:
        start = time.monotonic()
        call = self._stub.Classify.future(request, timeout=_DEADLINE_SECONDS)

        def finish(call: Any) -> None:
            seconds = time.monotonic() - start
            failure = _failure(call)
            with self._lock:
                if failure:
                    self._results.failures[failure] += 1
                else:
                    self._results.latencies_seconds.append(seconds)
                    answer = int(np.argmax(call.result().value))
                    self._results.num_wrong += answer != label
            self._free.release()

        call.add_done_callback(finish)


def _failure(call: Any) -> str:
    """Returns why a call that is done has no answer; "" if it has one."""
    if call.code() is not grpc.StatusCode.OK:
        return f"{call.code().name}: {call.details()}"
    num_values = len(call.result().value)
    if num_values != mnist_image.NUM_CLASSES:
        return (
            f"answer must have {mnist_image.NUM_CLASSES} values; got "
            f"{num_values}"
        )
    return ""


def _print(results: Results, seconds: float) -> None:
    for text, count in results.failures.most_common():
        print(f"{count} calls failed: {text}", file=sys.stderr)
    if results.latencies_seconds:
        p50, p99 = np.percentile(results.latencies_seconds, [50, 99]) * 1000
        rate = len(results.latencies_seconds) / seconds
        print(
            f"Throughput: {rate:.0f} requests/s; latency: p50 {p50:.2f} ms, "
            f"p99 {p99:.2f} ms"
        )
    print(f"Inference error rate: {100 * results.error_rate:g}%")


def main(argv: Sequence[str]) -> int:
    """Runs the program; see the module docstring."""
    if len(argv) != 1:
        raise app.UsageError(f"there must be no arguments; got {argv[1:]}")
    client_channel.require_address(_SERVER.value, "--server")
    test_set = mnist_input_data.read_test_set(
        mnist_data_flags.WORK_DIR.value, mnist_data_flags.DATASET.value
    )
    with client_channel.insecure(_SERVER.value) as channel:
        try:
            grpc.channel_ready_future(channel).result(_CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            raise errors.UnavailableError(
                "--server must be a gRPC server that can be reached within "
                f"{_CONNECT_SECONDS:g} seconds; got {_SERVER.value}: "
                + client_channel.diagnose(_SERVER.value, _DIAGNOSE_SECONDS)
            ) from None
        start = time.monotonic()
        results = Tester(channel, _CONCURRENCY.value).run(
            test_set, _NUM_TESTS.value
        )
        _print(results, time.monotonic() - start)
    return 1 if results.failures else 0


if __name__ == "__main__":
    program.run(main)
