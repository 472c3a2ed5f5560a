"""Tests of the model server as a process, with real clients."""

import functools
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
from absl.testing import absltest, parameterized
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tensorflow_serving.client import calls, client, options
from tensorflow_serving.test_util import (
    model_server_folder,
    written_models,
)
from tensorflow_serving.util import errors, server_process

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_X = np.array([[1.0], [2.0]], np.float32)
_AVAILABLE = "{{name: {} version: {}}} is AVAILABLE"


def _version(own: client.Client, name: str) -> int:
    """Returns the version of a model that answers."""
    prediction = own.predict(calls.Model(name), {"x": _X})
    return int(prediction.model.version.value)


def _write_truncated(path: str) -> None:
    """Writes a SavedModel without the end of its graph."""
    written_models.copy(written_models.SAVED_MODEL_TF2, path)
    with open(os.path.join(path, "saved_model.pb"), "r+b") as file:
        file.truncate(100)


class ModelServerTest(parameterized.TestCase):
    """Tests of a server with exports and SavedModels of half plus two."""

    def setUp(self) -> None:
        """Makes a folder for models and for the socket."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)

    def _write(self, model: str, name: str, version: int) -> str:
        """Puts a version below a base path, as a whole; returns the base."""
        write = functools.partial(written_models.copy, model)
        return os.path.dirname(self.folder.write(name, version, write))

    def _start(self, *flags: str) -> server_process.ServerProcess:
        server = self.folder.start(_SERVER, *flags)
        self.enter_context(server)
        return server

    def _client(self) -> client.Client:
        own = client.Client(options.Options(self.folder.address))
        self.addCleanup(own.close)
        return own

    def _serving(self, name: str) -> bool:
        with grpc.insecure_channel(self.folder.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            response = stub.Check(health_pb2.HealthCheckRequest(service=name))
        return bool(response.status == response.SERVING)

    @parameterized.parameters((), ("--enable_batching",))
    def test_models_of_all_formats_answer(self, *flags: str) -> None:
        """An export of 2016's kind and two SavedModels share a process."""
        self._write(written_models.HALF_PLUS_TWO, "export", 1)
        self._write(written_models.SAVED_MODEL_TF1, "one", 1)
        self._write(written_models.SAVED_MODEL_TF2, "two", 5)
        config = self.folder.write_config("export", "one", "two")
        server = self._start(f"--model_config_file={config}", *flags)
        for name, version in (("export", 1), ("one", 1), ("two", 5)):
            server.wait_for_log(_AVAILABLE.format(name, version))
        own = self._client()
        for name, key in (("export", "inputs"), ("one", "x"), ("two", "x")):
            prediction = own.predict(calls.Model(name), {key: _X})
            (y,) = prediction.outputs.values()
            np.testing.assert_array_equal(y, [[2.5], [3.0]])
        for name in ("", "export", "two:5", "PredictionService"):
            self.assertTrue(self._serving(name), name)
        self.assertEqual(server.stop(), 0)
        server.wait_for_log("Stopping because of SIGTERM")

    def test_new_version_takes_over_and_a_broken_one_does_not(self) -> None:
        """Calls get the newest version that is whole."""
        base_path = self._write(written_models.SAVED_MODEL_TF2, "m", 1)
        server = self._start("--model_name=m", f"--model_base_path={base_path}")
        server.wait_for_log(_AVAILABLE.format("m", 1))
        own = self._client()
        self._write(written_models.SAVED_MODEL_TF1, "m", 2)
        server.wait_for_log(_AVAILABLE.format("m", 2))
        self.assertEqual(_version(own, "m"), 2)
        num_lines = len(server.log_lines)
        self.folder.write("m", 3, _write_truncated)
        server.wait_for_log("version: 3", num_lines)
        self.assertEqual(_version(own, "m"), 2)

    def test_configuration_that_changes_is_put_into_effect(self) -> None:
        """A file that is polled is put into effect, but not half of one."""
        self._write(written_models.SAVED_MODEL_TF2, "one", 1)
        self._write(written_models.SAVED_MODEL_TF2, "two", 1)
        config = self.folder.write_config("one")
        server = self._start(
            f"--model_config_file={config}",
            "--model_config_file_poll_wait_seconds=1",
        )
        server.wait_for_log(_AVAILABLE.format("one", 1))
        with open(config, "w", encoding="utf-8") as file:
            file.write("model_config_list { config { name: ")
        server.wait_for_log("The configuration stays as it is: Error parsing")
        self.folder.write_config("two")
        server.wait_for_log(_AVAILABLE.format("two", 1))
        server.wait_for_log("{name: one version: 1} is END")
        with self.assertRaisesRegex(errors.NotFoundError, "Servable"):
            self._client().predict(calls.Model("one"), {"x": _X})

    def test_hangup_reads_the_configuration_again(self) -> None:
        """A broken file changes nothing; the log has file, line and field."""
        self._write(written_models.SAVED_MODEL_TF2, "one", 1)
        self._write(written_models.SAVED_MODEL_TF2, "two", 1)
        config = self.folder.write_config("one")
        server = self._start(f"--model_config_file={config}")
        server.wait_for_log(_AVAILABLE.format("one", 1))
        for text, line in (
            (
                "model_config_list {\n nam: 1 }",
                f"Error parsing .*{config}:2:.*nam",
            ),
            ("", f"got an empty file: {config}"),
        ):
            with open(config, "w", encoding="utf-8") as file:
                file.write(text)
            server.send_signal(signal.SIGHUP)
            server.wait_for_log(f"The configuration stays as it is: .*{line}")
        self.assertEqual(_version(self._client(), "one"), 1)
        self.folder.write_config("two")
        server.send_signal(signal.SIGHUP)
        server.wait_for_log(r"is another one now; its models are \['two'\]")
        server.wait_for_log(_AVAILABLE.format("two", 1))
        server.wait_for_log("{name: one version: 1} is END")
        self.assertEqual(server.stop(), 0)

    def test_hangup_of_a_server_that_begins_does_not_end_it(self) -> None:
        """Whoever restarts it may have it reload at once."""
        base_path = self._write(written_models.SAVED_MODEL_TF2, "one", 1)
        flags = os.path.join(self.folder.path, "flags")
        os.mkfifo(flags)
        server = server_process.ServerProcess(
            self.folder.command(_SERVER, f"--flagfile={flags}"),
            collects_log=True,
            waits=False,
        )
        self.enter_context(server)
        # Once it reads its flags, before main().
        with open(flags, "w", encoding="utf-8") as file:
            server.send_signal(signal.SIGHUP)
            file.write(f"--model_name=one\n--model_base_path={base_path}\n")
        server.wait_for_log(_AVAILABLE.format("one", 1))
        self.assertEqual(server.stop(), 0)

    def test_reload_says_which_model_failed(self) -> None:
        """It returns when the new models serve, or as soon as one cannot."""
        base_path = self._write(written_models.SAVED_MODEL_TF2, "one", 1)
        server = self._start(
            "--model_name=one", f"--model_base_path={base_path}"
        )
        server.wait_for_log(_AVAILABLE.format("one", 1))
        self._write(written_models.SAVED_MODEL_TF1, "two", 1)
        own = self._client()
        own.reload(self.folder.config("one", "two"))
        self.assertEqual(_version(own, "two"), 1)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model lost must hold a version"
        ):
            own.reload(self.folder.config("one", "lost"))
        self.folder.write("broken", write=written_models.copy_broken)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            "model broken must be AVAILABLE; .* Variables files must be whole",
        ):
            own.reload(self.folder.config("one", "broken"))
        self.assertEqual(_version(own, "one"), 1)

    def test_label_names_a_version(self) -> None:
        """It may point at an older version that is served as well."""
        self._write(written_models.SAVED_MODEL_TF2, "m", 1)
        self._write(written_models.SAVED_MODEL_TF2, "m", 2)
        config = self.folder.write_config(
            "m", more="model_version_policy { all {} }"
        )
        server = self._start(f"--model_config_file={config}")
        for version in (1, 2):
            server.wait_for_log(_AVAILABLE.format("m", version))
        own = self._client()
        models = self.folder.config("m")
        (model,) = models.model_config_list.config
        model.model_version_policy.all.SetInParent()
        model.version_labels["stable"] = 1
        own.reload(models)
        prediction = own.predict(calls.Model("m", label="stable"), {"x": _X})
        self.assertEqual(prediction.model.version.value, 1)
        # Not a version of this model: no version in particular.
        prediction = own.predict(calls.Model("m", version=0), {"x": _X})
        self.assertEqual(prediction.model.version.value, 2)
        model.version_labels["canary"] = 9
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "label canary"
        ):
            own.reload(models)

    def test_server_without_an_address_picks_a_port(self) -> None:
        """The line that says so names the port."""
        base_path = self._write(written_models.SAVED_MODEL_TF2, "m", 1)
        server = self._start(
            "--model_name=m",
            f"--model_base_path={base_path}",
            "--grpc_socket_path=",
        )
        self.assertGreater(server.port, 0)
        server.wait_for_log(_AVAILABLE.format("m", 1))
        with client.Client(options.Options(server.address)) as own:
            self.assertEqual(_version(own, "m"), 1)

    def test_server_without_its_model_waits_and_ends(self) -> None:
        """A missing base path is no reason to end, nor to refuse to end."""
        server = self._start(
            "--model_name=m",
            f"--model_base_path={self.folder.base_path('lost')}",
        )
        self.assertFalse(self._serving(""))
        with self.assertRaisesRegex(errors.UnavailableError, "first models"):
            self._client().predict(calls.Model("m"), {"x": _X})
        server.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(), 0)

    @parameterized.named_parameters(
        ("no_model", [], "--model_base_path must be"),
        ("positional", ["--model_base_path=/m", "x"], r"got \['x'\]"),
        ("unknown_flag", ["--prot=1"], "prot"),
        (
            "parameters_without_batching",
            ["--model_base_path=/m", "--batching_parameters_file=/x"],
            "--enable_batching only",
        ),
        (
            "parameters_that_are_lost",
            [
                "--model_base_path=/m",
                "--enable_batching",
                "--batching_parameters_file=/no/such/file",
            ],
            "--batching_parameters_file must be a file",
        ),
        (
            "config_that_is_lost",
            ["--model_config_file=/no/such/file"],
            "must be a file that is there; got /no/such/file",
        ),
    )
    def test_wrong_flags_end_the_program(
        self, flags: Sequence[str], text: str
    ) -> None:
        """The text says which flag, and the exit code is not 0."""
        result = subprocess.run(
            self.folder.command(_SERVER, *flags),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertNotEqual(result.returncode, 0)
        self.assertRegex(result.stdout + result.stderr, text)

    @parameterized.parameters("--check", "--check=load")
    def test_check_ends_by_itself(self, flag: str) -> None:
        """With 0 for a model that can be served, and with 1 for another."""
        base_path = self._write(written_models.SAVED_MODEL_TF2, "m", 1)
        for path, code in ((base_path, 0), ("/no/such/folder", 1)):
            result = subprocess.run(
                [_SERVER, flag, f"--model_base_path={path}"],
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(result.returncode, code, result.stderr)

    def test_version_is_two_lines(self) -> None:
        """The second one names the TensorFlow that runs models."""
        result = subprocess.run(
            [_SERVER, "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
        first, second = result.stdout.splitlines()
        self.assertRegex(first, "^TensorFlow ModelServer: ")
        self.assertRegex(second, r"^TensorFlow Library: 2\.")


if __name__ == "__main__":
    absltest.main()
