"""End-to-end tests of mnist_inference: a real process, export and client.

On the digits that come with the project.
"""

import collections
import functools
import os
import queue
import signal
import subprocess
import tempfile
import threading
import unittest
from collections.abc import Iterable
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tensorflow_serving.example import (
    mnist_inference_pb2,
    mnist_input_data,
)
from tensorflow_serving.util import server_process

_FOLDER = os.path.dirname(__file__)
_INFERENCE = os.path.join(_FOLDER, "mnist_inference")
_CLASSIFY = "/tensorflow.serving.MnistService/Classify"

_OK = grpc.StatusCode.OK
_INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
_CANCELLED = grpc.StatusCode.CANCELLED
_DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED


@functools.cache
def _version_dir() -> str:
    """Exports a model, once for all tests; returns the folder."""
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    export = os.path.join(_FOLDER, "mnist_export")
    subprocess.run(
        [export, "--dataset=digits", folder.name],
        check=True,
        capture_output=True,
    )
    return os.path.join(folder.name, "00000001")


def _start(*flags: str) -> server_process.ServerProcess:
    return server_process.ServerProcess([_INFERENCE, *flags, _version_dir()])


def _images() -> list[npt.NDArray[Any]]:
    return list(mnist_input_data.read_test_set("", "digits").images)


def _request(image: Iterable[float]) -> bytes:
    return mnist_inference_pb2.MnistRequest(
        image_data=image
    ).SerializeToString()


class _Client:
    """Sends bytes on a channel of its own."""

    def __init__(self, test: absltest.TestCase, address: str) -> None:
        channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self.channel = test.enter_context(channel)
        self._classify = self.channel.unary_unary(
            _CLASSIFY,
            response_deserializer=mnist_inference_pb2.MnistResponse.FromString,
        )

    def call(self, request: bytes, timeout_seconds: float = 60) -> Any:
        """Returns a call in flight."""
        return self._classify.future(request, timeout=timeout_seconds)


class ServingTest(parameterized.TestCase):
    """A server with default flags."""

    server: server_process.ServerProcess

    @classmethod
    def setUpClass(cls) -> None:
        """Starts the server."""
        super().setUpClass()
        cls.server = _start("--port=0")
        cls.addClassCleanup(cls.server.__exit__)

    def setUp(self) -> None:
        """Makes a client."""
        super().setUp()
        self.client = _Client(self, self.server.address)

    def test_server_runs_without_the_python_of_tensorflow(self) -> None:
        """A server loads only the libraries of the C API of TensorFlow."""
        with open(f"/proc/{self.server.pid}/maps", encoding="utf-8") as file:
            maps = file.read()
        self.assertIn("libtensorflow_cc", maps)
        self.assertNotIn("_pywrap_", maps)

    def test_answers_are_probabilities(self) -> None:
        """Ten probabilities come back, and most find the right digit."""
        test_set = mnist_input_data.read_test_set("", "digits")
        num_right = 0
        for image, label in zip(
            test_set.images[:100], test_set.labels, strict=False
        ):
            value = self.client.call(_request(image)).result().value
            self.assertEqual(len(value), 10)
            self.assertAlmostEqual(sum(value), 1.0, places=5)
            num_right += int(np.argmax(value)) == label
        self.assertGreaterEqual(num_right, 85)

    @parameterized.named_parameters(
        ("too_few", _request([0.5] * 783), "784 values; got 783"),
        ("too_many", _request([0.5] * 785), "784 values; got 785"),
        ("empty", b"", "784 values; got 0"),
        ("garbage", b"\xff\x00garbage", "must be a .*MnistRequest; got 9"),
    )
    def test_bad_request_is_an_invalid_argument(
        self, request: bytes, text: str
    ) -> None:
        """The message says what was wrong."""
        call = self.client.call(request)
        self.assertEqual(call.code(), _INVALID_ARGUMENT)
        self.assertRegex(call.details(), text)

    def test_timing_is_told_to_those_who_ask(self) -> None:
        """The stages of a call add up to no more than the whole."""
        classify = self.client.channel.unary_unary(_CLASSIFY)
        call = classify.future(
            _request([0.5] * 784),
            timeout=60,
            metadata=[("serving-timing", "1")],
        )
        timing = {
            key: int(value)
            for key, value in call.trailing_metadata()
            if key.startswith("serving-")
        }
        self.assertEqual(timing["serving-batch-size"], 1)
        stages = ("queue", "batch", "run")
        self.assertLessEqual(
            sum(timing[f"serving-{stage}-micros"] for stage in stages),
            timing["serving-total-micros"] + len(stages),
        )

    def test_health_is_serving(self) -> None:
        """The server and the service are both reported as serving."""
        stub = health_pb2_grpc.HealthStub(self.client.channel)
        for name in ("", "tensorflow.serving.MnistService"):
            request = health_pb2.HealthCheckRequest(service=name)
            self.assertEqual(
                stub.Check(request, timeout=60).status,
                health_pb2.HealthCheckResponse.SERVING,
            )

    def test_good_requests_are_answered_among_bad_ones(self) -> None:
        """1,000 good and 1,000 bad calls at a time leave a good server."""
        images = _images()
        expected = [
            self.client.call(_request(image)).result().value for image in images
        ]
        clients = [_Client(self, self.server.address) for _ in range(4)]
        good: list[tuple[int, Any]] = []
        bad: list[tuple[set[grpc.StatusCode], Any]] = []
        for number in range(1000):
            client = clients[number % len(clients)]
            image = images[number % len(images)]
            good.append((number % len(images), client.call(_request(image))))
            bad.append(_send_bad(client, number, image))
        for number, call in good:
            # Sums of 784 products come out a little different in a batch.
            np.testing.assert_allclose(
                call.result().value, expected[number], rtol=1e-4, atol=1e-5
            )
        for codes, call in bad:
            self.assertIn(call.code(), codes)
        counts = collections.Counter(call.code() for _, call in bad)
        self.assertEqual(counts[_INVALID_ARGUMENT], 600)
        self.assertGreater(counts[_CANCELLED], 0)
        self.assertGreater(counts[_DEADLINE_EXCEEDED], 0)
        self.test_answers_are_probabilities()

    def test_port_in_use_is_an_error(self) -> None:
        """Two servers do not share it by accident."""
        second = subprocess.run(
            [_INFERENCE, f"--port={self.server.port}", _version_dir()],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(second.returncode, 1)
        self.assertRegex(
            second.stderr,
            f"(?m)^ERROR: --port must be a free port.*; got --port="
            f"{self.server.port} ",
        )
        self.test_health_is_serving()


def _send_bad(
    client: _Client, number: int, image: npt.NDArray[Any]
) -> tuple[set[grpc.StatusCode], Any]:
    """Sends a bad request; returns the codes that it may get, and the call."""
    match number % 5:
        case 0:
            return {_INVALID_ARGUMENT}, client.call(_request(image[1:]))
        case 1:
            return {_INVALID_ARGUMENT}, client.call(
                b"\xff" * (number % 100 + 1)
            )
        case 2:
            return {_INVALID_ARGUMENT}, client.call(b"")
        case 3:
            call = client.call(_request(image))
            # It may have been answered before it could be cancelled.
            return ({_CANCELLED} if call.cancel() else {_OK}), call
        case _:
            call = client.call(_request(image), timeout_seconds=0.001)
            return {_DEADLINE_EXCEEDED, _OK}, call


class LifecycleTest(parameterized.TestCase):
    """How the server starts and ends."""

    @parameterized.named_parameters(
        ("sigterm", signal.SIGTERM, []),
        ("ctrl_c_without_batching", signal.SIGINT, ["--noenable_batching"]),
    )
    def test_signal_under_load_loses_no_call(
        self, number: signal.Signals, flags: list[str]
    ) -> None:
        """Each call is answered, or refused because it came too late."""
        image = _request([0.5] * 784)
        codes: collections.Counter[grpc.StatusCode] = collections.Counter()
        lock = threading.Lock()
        enough = threading.Event()

        def load(client: _Client) -> None:
            code = _OK
            while code is _OK:
                code = client.call(image).code()
                with lock:
                    codes[code] += 1
                    if sum(codes.values()) > 500:
                        enough.set()

        with _start(*flags) as server:
            clients = [_Client(self, server.address) for _ in range(4)]
            threads = [
                threading.Thread(target=load, args=[clients[index % 4]])
                for index in range(32)
            ]
            watch = health_pb2_grpc.HealthStub(clients[0].channel).Watch(
                health_pb2.HealthCheckRequest(), timeout=60
            )
            for thread in threads:
                thread.start()
            enough.wait()
            server.send_signal(number)
            self.assertEqual(server.wait(), 0)
            states = [response.status for response in watch]
            for thread in threads:
                thread.join()
        self.assertEqual(states[-1], health_pb2.HealthCheckResponse.NOT_SERVING)
        self.assertEqual(sum(codes.values()) - codes[_OK], 32)
        self.assertEqual(set(codes), {_OK, grpc.StatusCode.UNAVAILABLE})

    def test_calls_that_wait_for_their_batch_are_finished(self) -> None:
        """SIGTERM comes while they wait; each of them gets its answer."""
        with _start(
            "--batch_timeout_micros=1000000", "--noidle_means_go"
        ) as server:
            client = _Client(self, server.address)
            calls = [client.call(_request([0.5] * 784)) for _ in range(5)]
            # Calls of a channel arrive in order: after this, all five wait.
            self.assertEqual(client.call(b"").code(), _INVALID_ARGUMENT)
            self.assertEqual(server.stop(), 0)
            self.assertEqual([call.code() for call in calls], [_OK] * 5)

    def test_call_that_outlasts_the_grace_does_not_keep_the_server(
        self,
    ) -> None:
        """A call that waits an hour for its batch is left, with exit code 1."""
        with _start(
            "--batch_timeout_micros=3600000000",
            "--noidle_means_go",
            "--shutdown_grace_seconds=0.1",
        ) as server:
            client = _Client(self, server.address)
            call = client.call(_request([0.5] * 784))
            # Calls of a channel arrive in order: after this, it waits.
            self.assertEqual(client.call(b"").code(), _INVALID_ARGUMENT)
            self.assertEqual(server.stop(), 1)
            self.assertIsNot(call.code(), _OK)

    def test_calls_beyond_the_limit_are_refused_at_once(self) -> None:
        """A call too many gets RESOURCE_EXHAUSTED and disturbs none."""
        with _start(
            "--max_concurrent_calls=1",
            "--batch_timeout_micros=3600000000",
            "--noidle_means_go",
        ) as server:
            client = _Client(self, server.address)
            calls = [client.call(_request([0.5] * 784)) for _ in range(2)]
            # Calls of a channel do not have to arrive in order.
            done: queue.Queue[Any] = queue.Queue()
            for call in calls:
                call.add_done_callback(done.put)
            refused = done.get()
            self.assertEqual(refused.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            for call in calls:
                call.cancel()
            self.assertEqual(done.get().code(), _CANCELLED)
            self.assertEqual(server.stop(), 0)

    def test_workers_share_the_port(self) -> None:
        """One that is killed is started again; SIGTERM drains them all."""
        with _start("--num_workers=2") as server:
            children = server.child_pids()
            self.assertEqual(len(children), 2)
            expected = [
                _Client(self, server.address)
                .call(_request([0.5] * 784))
                .result()
                .value
                for _ in range(8)
            ]
            for value in expected:
                np.testing.assert_allclose(value, expected[0], rtol=1e-4)
            os.kill(children[0], signal.SIGKILL)
            # The other one, or its successor, answers; the supervisor learns of
            # the death in the meantime.
            call = _Client(self, server.address).call(_request([0.5] * 784))
            while call.code() is grpc.StatusCode.UNAVAILABLE or os.path.exists(
                f"/proc/{children[0]}"
            ):
                call = _Client(self, server.address).call(_request([0.5] * 784))
            self.assertEqual(call.code(), _OK)
            children += server.child_pids()
            self.assertEqual(server.stop(), 0)
            self.assertFalse(
                any(os.path.exists(f"/proc/{pid}") for pid in children)
            )

    def test_wrong_arguments_are_errors(self) -> None:
        """Each names what is wrong, and the exit code is not 0."""
        for arguments, text in (
            (["/no/such/export"], "ERROR: Expected meta graph file missing"),
            (["--max_batch_size=0", _version_dir()], "--max_batch_size"),
            ([], "the folder of a version"),
        ):
            server = subprocess.run(
                [_INFERENCE, *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertNotEqual(server.returncode, 0)
            self.assertIn(text, server.stderr)


if __name__ == "__main__":
    absltest.main()
