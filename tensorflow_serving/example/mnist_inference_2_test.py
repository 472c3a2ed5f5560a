"""End-to-end tests of mnist_inference_2: real processes, exports and clients.

On the digits that come with the project.
"""

import collections
import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading
import unittest
from collections.abc import Callable, Iterator

import grpc
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.example import constant_model, mnist_inference_pb2
from tensorflow_serving.session_bundle import constants
from tensorflow_serving.session_bundle import exporter as exporter_lib
from tensorflow_serving.util import server_process

tf1 = tf.compat.v1

_FOLDER = os.path.dirname(__file__)
_INFERENCE = os.path.join(_FOLDER, "mnist_inference_2")
_CLASSIFY = "/tensorflow.serving.MnistService/Classify"
_REQUEST = mnist_inference_pb2.MnistRequest(
    image_data=[0.5] * 784
).SerializeToString()

# Makes a version in a folder of a model, and returns its own folder.
_Make = Callable[[str, int], str]


@functools.cache
def _model() -> str:
    """Exports versions 1 and 2, once for all tests; returns the folder."""
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    exporters = [
        subprocess.Popen(
            [
                os.path.join(_FOLDER, "mnist_export"),
                "--dataset=digits",
                f"--training_iteration={iterations}",
                f"--export_version={version}",
                folder.name,
            ],
            stdout=subprocess.DEVNULL,
        )
        for version, iterations in ((1, 100), (2, 2000))
    ]
    for exporter in exporters:
        if exporter.wait():
            raise AssertionError("mnist_export must exit with 0")
    return folder.name


def _copy(version: int, base_path: str, name: str = "") -> str:
    """Does "cp -r" of a version; returns where it is."""
    path = os.path.join(_model(), f"{version:08d}")
    return shutil.copytree(
        path, os.path.join(base_path, name or os.path.basename(path))
    )


def _changed(file_name: str, change: Callable[[bytes], bytes]) -> _Make:
    """Returns what makes a version with a changed file."""

    def make(base_path: str, version: int) -> str:
        path = _copy(2, base_path, str(version))
        with open(os.path.join(path, file_name), "rb+") as file:
            content = file.read()
            file.seek(0)
            file.write(change(content))
            file.truncate()
        return path

    return make


def _without_signatures(content: bytes) -> bytes:
    """Returns a meta graph without its signatures."""
    meta_graph_def = tf1.MetaGraphDef.FromString(content)
    del meta_graph_def.collection_def[constants.SIGNATURES_KEY]
    serialized: bytes = meta_graph_def.SerializeToString()
    return serialized


def _export_endless(base_path: str) -> None:
    """Exports a model whose init op waits for a writer of a pipe."""
    pipe = os.path.join(base_path, "pipe")
    os.mkfifo(pipe)
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None, 784])
        y = x[:, :10] + tf1.get_variable("b", [10], use_resource=True)
        session.run(tf1.global_variables_initializer())
        model_exporter = exporter_lib.Exporter(tf1.train.Saver(sharded=True))
        model_exporter.init(
            default_graph_signature=exporter_lib.classification_signature(
                x, scores_tensor=y
            ),
            init_op=tf.io.read_file(pipe).op,
        )
        model_exporter.export(base_path, tf.constant(1), session)


def _start(
    base_path: str, *, waits: bool = True
) -> server_process.ServerProcess:
    return server_process.ServerProcess(
        [
            _INFERENCE,
            "--port=0",
            "--file_system_poll_wait_seconds=0.1",
            base_path,
        ],
        collects_log=True,
        waits=waits,
    )


class _Client:
    """Asks which version answers, on a channel of its own."""

    def __init__(self, test: absltest.TestCase, address: str) -> None:
        channel = test.enter_context(
            grpc.insecure_channel(
                address, options=[("grpc.use_local_subchannel_pool", 1)]
            )
        )
        self._classify = channel.unary_unary(_CLASSIFY)

    def version(self) -> int:
        """Returns the version that answered a call."""
        call = self._classify.future(
            _REQUEST, timeout=60, metadata=[("serving-timing", "1")]
        )
        call.result()
        return int(dict(call.trailing_metadata())["serving-version"])


class _Load:
    """Keeps calls in flight until a version answers; a context manager."""

    def __init__(self, client: _Client, version: int) -> None:
        """Takes the version that is to come."""
        self._client = client
        self._version = version
        self._threads = [threading.Thread(target=self._call) for _ in range(10)]
        self._lock = threading.Lock()
        self._is_given_up = False  # guarded by _lock
        # Answers by version, and failed calls by code; guarded by _lock.
        self.counts: collections.Counter[object] = collections.Counter()

    def __enter__(self) -> "_Load":
        """Begins; the version that is there now has answered by then."""
        self.counts[self._client.version()] += 1
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Waits until each thread got an answer of it, or an error.

        After an exception, the version may never come.
        """
        with self._lock:
            self._is_given_up = exc_info[0] is not None
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        is_over = False
        while not is_over:
            result: object
            try:
                result = self._client.version()
            except grpc.RpcError as error:
                result = error.code()
            with self._lock:
                self.counts[result] += 1
                is_over = (
                    result == self._version
                    or isinstance(result, grpc.StatusCode)
                    or self._is_given_up
                )


def _error_rate(address: str) -> float:
    """Runs the client of the tutorial; returns its error rate in percent."""
    client = subprocess.run(
        [
            os.path.join(_FOLDER, "mnist_client"),
            "--dataset=digits",
            "--num_tests=1000",
            f"--server={address}",
            "--concurrency=10",
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = re.search(r"Inference error rate: ([\d.]+)%", client.stdout)
    assert found is not None
    return float(found[1])


class TutorialTest(absltest.TestCase):
    """The steps of serving_advanced.md."""

    def test_new_version_takes_over_while_queries_run(self) -> None:
        """No call fails, the error rate drops, and all is unloaded at last."""
        monitored = self.create_tempdir().full_path
        _copy(1, monitored)
        with _start(monitored) as server:
            before = _error_rate(server.address)
            with _Load(_Client(self, server.address), version=2) as load:
                _copy(2, monitored)
            self.assertEqual(set(load.counts), {1, 2})
            server.wait_for_log("version: 1} is END$")
            after = _error_rate(server.address)
            self.assertLess(after, before)
            self.assertEqual(server.stop(), 0)
            start = server.wait_for_log("Stopping because of SIGTERM")
            server.wait_for_log("version: 2} is END$", start)


class VersionsTest(parameterized.TestCase):
    """Versions come, go and come broken, below one server."""

    server: server_process.ServerProcess
    monitored: str
    # The highest version that was there so far.
    newest: int

    @classmethod
    def setUpClass(cls) -> None:
        """Starts the server with version 1."""
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.monitored = folder.name
        _copy(1, cls.monitored)
        cls.newest = 1
        cls.server = _start(cls.monitored)
        cls.addClassCleanup(cls.server.__exit__)

    def setUp(self) -> None:
        """Makes a client, which gets the newest version that is whole."""
        super().setUp()
        self.client = _Client(self, self.server.address)
        self.served = self.client.version()
        self.start = len(self.server.log_lines)

    def _next(self) -> str:
        """Copies one more version that is good; returns its folder."""
        type(self).newest += 1
        return _copy(2, self.monitored, str(self.newest))

    def _wait_for(self, version: int, text: str) -> None:
        """Waits for a line about a version, after those seen so far."""
        self.start = self.server.wait_for_log(
            f"Servable {{name: default version: {version}}} is {text}",
            self.start,
        )

    def test_older_version_takes_over_when_the_newest_is_renamed(self) -> None:
        """A rename rolls back, and another one goes forward again."""
        path = self._next()
        self._wait_for(self.served, "END$")
        with _Load(self.client, self.served) as load:
            os.rename(path, f"{path}.bad")
        self.assertEqual(set(load.counts), {self.newest, self.served})
        self._wait_for(self.newest, "END$")
        with _Load(self.client, self.newest) as load:
            os.rename(f"{path}.bad", path)
        self.assertEqual(set(load.counts), {self.newest, self.served})
        self._wait_for(self.served, "END$")

    @parameterized.named_parameters(
        (
            "truncated_variables",
            _changed("export-00000-of-00001", lambda file: file[:500]),
            "UNAVAILABLE: .*export-00000-of-00001",
        ),
        (
            "garbage_in_the_variables",
            _changed(
                "export-00000-of-00001", lambda file: bytes(9999) + file[9999:]
            ),
            "DATA_LOSS: Variables files must be whole",
        ),
        (
            "garbage_for_a_graph",
            _changed("export.meta", lambda file: b"garbage"),
            "[A-Z_]+: .*export.meta",
        ),
        (
            "no_signature",
            _changed("export.meta", _without_signatures),
            "FAILED_PRECONDITION: .*exactly one signatures",
        ),
        (
            "images_of_int64",
            lambda base, version: constant_model.export(
                base, version, tf.int64
            ),
            "FAILED_PRECONDITION: .*dtype int64",
        ),
        (
            "images_of_float64",
            lambda base, version: constant_model.export(
                base, version, tf.float64
            ),
            "FAILED_PRECONDITION: .*dtype float64",
        ),
    )
    def test_broken_version_takes_nobodys_place(
        self, make: _Make, reason: str
    ) -> None:
        """The log says why a version is broken, and the next one is served.

        Until then, the version before answers every call.
        """
        type(self).newest += 1
        broken = self.newest
        path = make(self.create_tempdir().full_path, broken)
        with _Load(self.client, broken + 1) as load:
            shutil.copytree(path, os.path.join(self.monitored, str(broken)))
            self._wait_for(broken, f"END: {reason}")
            self.assertEqual(self.client.version(), self.served)
            self._next()
        self.assertEqual(set(load.counts), {self.served, self.newest})
        self.assertNotRegex(
            "\n".join(self.server.log_lines),
            rf"version: {broken}\}} is AVAILABLE",
        )

    def test_folders_that_are_no_versions_are_left_alone(self) -> None:
        """A folder with another name is left alone, as during a copy."""
        _copy(2, self.monitored, "00000099-tmp")
        os.mkdir(os.path.join(self.monitored, "notes"))
        with _Load(self.client, self.newest + 1) as load:
            self._next()
        self.assertEqual(set(load.counts), {self.served, self.newest})


class StartTest(absltest.TestCase):
    """How the server starts."""

    def test_server_without_a_version_waits_for_one(self) -> None:
        """It says so; SIGTERM ends the wait, with 0."""
        monitored = self.create_tempdir().full_path
        with _start(monitored, waits=False) as server:
            server.wait_for_log(
                f"Waiting for a version of default in {monitored}, a folder"
            )
            self.assertEqual(server.stop(), 0)
            server.wait_for_log("Stopping because of SIGTERM")

    def test_load_that_runs_does_not_keep_the_server(self) -> None:
        """SIGTERM ends it with 0, though the load would never end."""
        monitored = self.create_tempdir().full_path
        _export_endless(monitored)
        with _start(monitored, waits=False) as server:
            server.wait_for_log("version: 1} is LOADING")
            self.assertEqual(server.stop(), 0)
            server.wait_for_log("Leaving a version")

    def test_wrong_arguments_are_errors(self) -> None:
        """Each names what is wrong, and the exit code is not 0."""
        for command, code, text in self._wrong_commands():
            self.assertEqual(command.wait(), code)
            assert command.stderr is not None
            self.assertIn(text, command.stderr.read())
            command.stderr.close()

    def _wrong_commands(
        self,
    ) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
        """Starts them all at the same time."""
        yield from [
            (
                subprocess.Popen(
                    [_INFERENCE, *arguments], stderr=subprocess.PIPE, text=True
                ),
                code,
                text,
            )
            for arguments, code, text in (
                ([], 1, "BASE_PATH, the folder that versions are put in, such"),
                (
                    ["/no/such"],
                    1,
                    "ERROR: BASE_PATH must be a folder that is there and that "
                    "versions are put in, such as /tmp/monitored; got /no/such",
                ),
                (
                    ["--file_system_poll_wait_seconds=-1", "/tmp"],
                    1,
                    "--file_system_poll_wait_seconds",
                ),
                (
                    [
                        "--file_system_poll_wait_seconds=0",
                        self.create_tempdir().full_path,
                    ],
                    1,
                    "ERROR: Servable default must have a version; got none in",
                ),
            )
        ]


if __name__ == "__main__":
    absltest.main()
