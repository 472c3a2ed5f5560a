"""Tests of the model server as a process, with a load or a run that hangs."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import select

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tensorflow_serving.client import calls, client, options
from tensorflow_serving.test_util import (
    held_port,
    model_server_folder,
    small_model,
)
from tensorflow_serving.util import errors

tf1 = tf.compat.v1

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_X = np.array([1.0], np.float32)


def _save_hanging(path: str) -> None:
    """Writes a SavedModel whose init op has no end."""
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None])
        loop = tf.while_loop(
            lambda count: tf.timestamp() > 0, lambda count: count, [0.0]
        )
        signature = tf1.saved_model.predict_signature_def({"x": x}, {"y": -x})
        builder = tf1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature},
            main_op=tf.group(loop),
        )
        builder.save()


def _save_hanging_below_0(path: str) -> None:
    """Writes a SavedModel whose run has no end if an input is below 0."""
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None])
        (count,) = tf.while_loop(
            lambda count: (tf.reduce_min(x) < 0) & (tf.timestamp() > 0),
            lambda count: (count,),
            [tf.constant(0.0)],
        )
        signature = tf1.saved_model.predict_signature_def(
            {"x": x}, {"y": count - x}
        )
        builder = tf1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}
        )
        builder.save()


class ServerHangsTest(absltest.TestCase):
    """Tests of a server with two models, one of which never loads."""

    def setUp(self) -> None:
        """Starts the server, and waits until the load hangs."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.folder.write("good")
        self.folder.write("good-too")
        self.folder.write("hanging", write=_save_hanging)
        config = self.folder.write_config("good", "hanging")
        self.server = self.folder.start(
            _SERVER,
            f"--model_config_file={config}",
            "--model_load_timeout_seconds=3",
            "--shutdown_grace_seconds=3600",
        )
        self.enter_context(self.server)
        self.server.wait_for_log("{name: good version: 1} is AVAILABLE")
        self.server.wait_for_log("{name: hanging version: 1} is LOADING")
        self.client = client.Client(options.Options(self.folder.address))
        self.addCleanup(self.client.close)

    def test_load_that_hangs_holds_up_nobody(self) -> None:
        """The other model answers, is reloaded, and the server ends."""
        prediction = self.client.predict(calls.Model("good"), {"x": _X})
        np.testing.assert_array_equal(prediction.outputs["y"], [2.5])
        self.client.reload(self.folder.config("good"))
        with self.assertRaisesRegex(
            errors.DeadlineExceededError,
            "model hanging must be AVAILABLE within 3 s; .*LOADING",
        ):
            self.client.reload(self.folder.config("good", "hanging"))
        self.client.reload(self.folder.config("good", "good-too"))
        prediction = self.client.predict(calls.Model("good-too"), {"x": _X})
        np.testing.assert_array_equal(prediction.outputs["y"], [2.5])
        # Without calls there is nothing to lose, and no reason to wait an hour.
        self.assertEqual(self.server.stop(), 0)


class ReloadHangsTest(absltest.TestCase):
    """Tests of a server that many ask for models that never load."""

    def setUp(self) -> None:
        """Starts the server, with a minute for calls at its end."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.folder.write("good")
        self.names = [f"hanging{number}" for number in range(20)]
        gate = os.path.join(self.folder.path, "gate")
        os.mkfifo(gate)
        for name in self.names:
            self.folder.write(
                name, write=lambda path: small_model.write(path, gate)
            )
        self.server = self.enter_context(
            self.folder.serving(
                _SERVER,
                "good",
                "--shutdown_grace_seconds=60",
                f"--num_load_threads={len(self.names)}",
            )
        )
        self.client = client.Client(options.Options(self.folder.address))
        self.addCleanup(self.client.close)

    def test_reloads_that_wait_hold_up_nobody(self) -> None:
        """Others learn of states, and take the models out again.

        Nor do they hold up the end of the server.
        """
        good = calls.Model("good")
        with concurrent.futures.ThreadPoolExecutor(len(self.names)) as callers:
            reloads = []
            for number, name in enumerate(self.names, 1):
                config = self.folder.config("good", *self.names[:number])
                reloads.append(
                    callers.submit(
                        self.client.reload, config, deadline_seconds=600
                    )
                )
                self.server.wait_for_log(f"{{name: {name} version: 1}} is LOAD")
            self.assertEqual(len(self.client.status(good)), 1)
            self.client.metadata(good)
            self.client.reload(self.folder.config("good", *self.names[:10]))
            for each in reloads[10:]:
                self.assertIsInstance(each.exception(), errors.CancelledError)
            self.assertEqual(self.server.stop(), 0)
            for each in reloads[:10]:
                self.assertIsInstance(each.exception(), errors.UnavailableError)


class RunHangsTest(absltest.TestCase):
    """Tests of a server with a model some of whose runs never end."""

    def setUp(self) -> None:
        """Starts the server; a run of either model counts as quick then."""
        super().setUp()
        folder = self.enter_context(model_server_folder.ModelServerFolder())
        folder.write("good")
        folder.write("hanging", write=_save_hanging_below_0)
        config = folder.write_config("good", "hanging")
        self.port = self.enter_context(held_port.hold())
        self.server = folder.start(
            _SERVER,
            f"--model_config_file={config}",
            f"--rest_api_port={self.port}",
            "--rest_api_timeout_in_ms=2000",
        )
        self.enter_context(self.server)
        self.client = client.Client(options.Options(folder.address))
        self.addCleanup(self.client.close)
        self.server.wait_for_log("All models have been loaded")
        for _ in range(20):
            self._require_answers()

    def test_run_that_hangs_holds_up_no_call_of_rest(self) -> None:
        """It ends by its deadline; others go on, also those of its model."""
        hanging = self._send("hanging", -1.0)
        # Its answer comes when the other call has been read, and runs.
        self._require_answers()
        while not select.select([hanging.sock], [], [], 0)[0]:
            self._require_answers()
        self.assertEqual(_receive(hanging), (504, None))
        self.assertEqual(self.server.stop(), 0)

    def test_run_that_hangs_holds_up_no_call_of_grpc(self) -> None:
        """It ends by its deadline; others go on, also those of its model."""
        with concurrent.futures.ThreadPoolExecutor() as callers:
            hanging = [
                callers.submit(self._predict, "hanging", -1.0, seconds=2.0)
                for _ in range(5)
            ]
            while not all(each.done() for each in hanging):
                self._require_answers()
            for each in hanging:
                self.assertIsInstance(
                    each.exception(), errors.DeadlineExceededError
                )
        self._require_answers()
        self.assertEqual(self.server.stop(), 0)

    def _require_answers(self) -> None:
        """Fails unless calls of both models are answered over both ports."""
        for model, y in (("hanging", -1.0), ("good", 2.5)):
            self.assertEqual(_receive(self._send(model, 1.0)), (200, [y]))
            self.assertEqual(self._predict(model, 1.0), [y])

    def _predict(
        self, model: str, x: float, seconds: float = 60.0
    ) -> list[float]:
        """Returns the predictions of a call over gRPC."""
        prediction = self.client.predict(
            calls.Model(model),
            {"x": np.array([x], np.float32)},
            deadline_seconds=seconds,
        )
        return [*map(float, prediction.outputs["y"])]

    def _send(self, model: str, x: float) -> http.client.HTTPConnection:
        """Returns a connection that waits for the answer to a call of REST."""
        connection = http.client.HTTPConnection("localhost", self.port)
        connection.request(
            "POST",
            f"/v1/models/{model}:predict",
            json.dumps({"instances": [x]}),
        )
        return connection


def _receive(connection: http.client.HTTPConnection) -> tuple[int, object]:
    """Returns the status of an answer, and its predictions."""
    with contextlib.closing(connection):
        response = connection.getresponse()
        body = json.loads(response.read())
    return response.status, body.get("predictions")


if __name__ == "__main__":
    absltest.main()
