"""Tests of the servers as processes, with models and storage that hang."""

import os
import pathlib
import select
import signal
from collections.abc import Sequence
from typing import Any

import grpc
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.session_bundle import exporter as exporter_lib
from tensorflow_serving.util import server_process

tf1 = tf.compat.v1

_FOLDER = os.path.dirname(__file__)
_CLASSIFY = "/tensorflow.serving.MnistService/Classify"
# Longer than anything here takes.
_TIMEOUT_SECONDS = 60

# Whatever hangs, a server ends within its grace and a few seconds.
_FLAGS = ("--port=0", "--shutdown_grace_seconds=0.1")

_PROGRAMS: Sequence[tuple[str, str, list[str]]] = (
    ("one_process", "mnist_inference", []),
    ("workers", "mnist_inference", ["--num_workers=2"]),
    ("versions", "mnist_inference_2", []),
)


def _loop(starts: tf.Tensor, path: tf.Tensor | str) -> tf.Tensor:
    """Writes a word to a file, then runs forever if it starts; returns 0."""
    with tf.control_dependencies([tf.io.write_file(path, "begun")]):
        return tf.while_loop(
            lambda count: tf.logical_and(starts, tf.timestamp() > 0),
            lambda count: (count,),
            [tf.constant(0.0)],
        )[0]


class _HangsTestCase(parameterized.TestCase):
    """A folder of versions, and a fifo that a hanging model writes to."""

    def setUp(self) -> None:
        """Makes them."""
        super().setUp()
        folder = self.create_tempdir().full_path
        self.fifo = os.path.join(folder, "fifo")
        os.mkfifo(self.fifo)
        self.base_path = os.path.join(folder, "versions")
        os.mkdir(self.base_path)
        self.processes: list[int] = []

    def _export(self, *, init_hangs: bool) -> None:
        """Exports version 1, which hangs.

        Args:
          init_hangs: Whether it does so when it is loaded; if not, then in
            calls whose first pixel is above 0.
        """
        with tf.Graph().as_default(), tf1.Session() as session:
            x = tf1.placeholder(tf.float32, [None, 784])
            bias = tf1.get_variable("bias", [10], use_resource=True)
            is_above = tf.reduce_any(x[:, 0] > 0)
            path = tf.where(is_above, self.fifo, "/dev/null")
            y = x[:, :10] + bias + _loop(is_above, path)
            session.run(tf1.global_variables_initializer())
            exporter = exporter_lib.Exporter(
                tf1.train.Saver(
                    sharded=True, write_version=tf1.train.SaverDef.V1
                )
            )
            exporter.init(
                default_graph_signature=exporter_lib.classification_signature(
                    x, scores_tensor=y
                ),
                init_op=(
                    _loop(tf.constant(True), self.fifo).op
                    if init_hangs
                    else None
                ),
            )
            exporter.export(self.base_path, tf.constant(1), session)

    def _start(
        self, program: str, flags: Sequence[str], *, waits: bool
    ) -> server_process.ServerProcess:
        """Returns a server, which does not outlive the test."""
        path = self.base_path
        if program == "mnist_inference":
            path = os.path.join(path, "00000001")
        server = server_process.ServerProcess(
            [os.path.join(_FOLDER, program), *_FLAGS, *flags, path],
            collects_log=True,
            waits=waits,
        )
        self.enter_context(server)
        return server

    def _wait_for_hang(self) -> None:
        """Returns when the model hangs, in one worker or in several."""
        self.assertRegex(pathlib.Path(self.fifo).read_text(), r"^(begun)+$")

    def _watch(self, server: server_process.ServerProcess) -> None:
        """Has check_nothing_is_left() look for the server's processes."""
        for pid in (server.pid, *server.child_pids()):
            process = os.pidfd_open(pid)
            self.processes.append(process)
            self.addCleanup(os.close, process)

    def _check_nothing_is_left(self) -> None:
        """Fails if one of the processes does not end."""
        for process in self.processes:
            ended, _, _ = select.select([process], [], [], _TIMEOUT_SECONDS)
            if not ended:
                signal.pidfd_send_signal(process, signal.SIGKILL)
            self.assertTrue(ended, "processes must end")


class HangingLoadTest(_HangsTestCase):
    """A version whose load does not end."""

    @parameterized.named_parameters(*_PROGRAMS)
    def test_signal_ends_a_server_whose_init_op_hangs(
        self, program: str, flags: list[str]
    ) -> None:
        """A server whose init op hangs exits with 0, as no call is lost."""
        self._export(init_hangs=True)
        server = self._start(program, flags, waits=False)
        self._wait_for_hang()
        self._watch(server)
        self.assertEqual(server.stop(), 0)
        self._check_nothing_is_left()

    def test_ctrl_c_ends_a_server_whose_init_op_hangs(self) -> None:
        """Ctrl-C ends the server as SIGTERM does; the log names the signal."""
        self._export(init_hangs=True)
        server = self._start("mnist_inference", [], waits=False)
        self._wait_for_hang()
        server.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(), 0)
        server.wait_for_log("Stopping because of SIGINT")

    def test_workers_whose_loads_hang_end_with_their_supervisor(self) -> None:
        """Workers end when their supervisor is killed and cannot end them."""
        self._export(init_hangs=True)
        server = self._start(
            "mnist_inference", ["--num_workers=2"], waits=False
        )
        self._wait_for_hang()
        self._watch(server)
        server.send_signal(signal.SIGKILL)
        self._check_nothing_is_left()

    @parameterized.parameters("export.meta", "export-00000-of-00001")
    def test_signal_ends_a_server_whose_storage_hangs(self, name: str) -> None:
        """A server whose storage hangs exits with 0, as no call is lost."""
        self._export(init_hangs=False)
        path = os.path.join(self.base_path, "00000001")
        os.remove(os.path.join(path, name))
        os.mkfifo(os.path.join(path, name))
        server = self._start("mnist_inference_2", [], waits=False)
        server.wait_for_log("Waiting for a version")
        self._watch(server)
        self.assertEqual(server.stop(), 0)
        self._check_nothing_is_left()


class HangingCallTest(_HangsTestCase):
    """A model that does not return from a call."""

    def _call(self, server: server_process.ServerProcess) -> Any:
        """Returns a call that hangs."""
        channel = self.enter_context(grpc.insecure_channel(server.address))
        classify: Any = channel.unary_unary(_CLASSIFY)
        request = mnist_inference_pb2.MnistRequest(image_data=[1.0] * 784)
        call = classify.future(
            request.SerializeToString(), timeout=_TIMEOUT_SECONDS
        )
        self._wait_for_hang()
        self._watch(server)
        return call

    @parameterized.named_parameters(*_PROGRAMS)
    def test_signal_ends_a_server_whose_call_hangs(
        self, program: str, flags: list[str]
    ) -> None:
        """A server whose call hangs exits with 1, as the call is lost."""
        self._export(init_hangs=False)
        server = self._start(program, flags, waits=True)
        call = self._call(server)
        self.assertEqual(server.stop(), 1)
        self.assertIs(call.code(), grpc.StatusCode.UNAVAILABLE)
        self._check_nothing_is_left()

    @parameterized.named_parameters(*_PROGRAMS)
    def test_second_signal_ends_a_server_at_once(
        self, program: str, flags: list[str]
    ) -> None:
        """A second signal ends a server that has an hour left."""
        self._export(init_hangs=False)
        server = self._start(
            program, [*flags, "--shutdown_grace_seconds=3600"], waits=True
        )
        self._call(server)
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping because of SIGTERM")
        self.assertEqual(server.stop(), -signal.SIGTERM)
        self._check_nothing_is_left()

    def test_workers_whose_calls_hang_end_with_their_supervisor(self) -> None:
        """Workers end when their supervisor is killed and cannot end them."""
        self._export(init_hangs=False)
        server = self._start("mnist_inference", ["--num_workers=2"], waits=True)
        self._call(server)
        server.send_signal(signal.SIGKILL)
        self._check_nothing_is_left()


if __name__ == "__main__":
    absltest.main()
