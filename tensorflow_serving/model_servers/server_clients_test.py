"""Tests for server with clients that others wrote, from the package index.

Each has a virtual environment of its own, and is skipped if the index cannot be
reached.
"""

import contextlib
import functools
import json
import os
import subprocess
import tempfile
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.config import (
    model_server_config_pb2,
    ssl_config_pb2,
)
from tensorflow_serving.test_util import (
    certificates,
    held_port,
    index_package,
    shared_data,
    small_model,
    written_models,
)
from tensorflow_serving.util import errors, server_process

_FOLDER = os.path.dirname(__file__)
_SERVER = os.path.join(_FOLDER, "tensorflow_model_server")
_SECONDS = 120.0


class _Servers:
    """Servers in processes of their own, and what clients must know of them."""

    def __init__(self, folder: str, stack: contextlib.ExitStack) -> None:
        """Starts them; the stack ends them."""
        self._folder = folder
        self._stack = stack
        self._files = certificates.write(folder)
        self._config = model_server_config_pb2.ModelServerConfig()
        base_path = os.path.join(folder, "small")
        small_model.write(os.path.join(base_path, "7"))
        self._add("small", base_path).version_labels["stable"] = 7
        tls_address = self._start_encrypted(verifies_client=False)
        mutual_tls_address = self._start_encrypted(verifies_client=True)
        half_plus = self._add_half_plus()
        rest_port = stack.enter_context(held_port.hold())
        server = self._start(f"--rest_api_port={rest_port}")
        server.wait_for_log("All models have been loaded")
        config = self._config.SerializeToString().hex()
        loading_address, gate = self._start_loading()
        settings = {
            "address": server.address,
            "rest_address": f"localhost:{rest_port}",
            "config": config,
            "half_plus": half_plus,
            "tls_address": tls_address,
            "mutual_tls_address": mutual_tls_address,
            "ca_file": self._files.ca_file,
            "client_key_file": self._files.client.key_file,
            "client_certificate_file": self._files.client.certificate_file,
            "loading_address": loading_address,
            "gate": gate,
        }
        self.settings_path = self._write("settings", json.dumps(settings))

    def _add(
        self, name: str, base_path: str
    ) -> model_server_config_pb2.ModelConfig:
        """Adds a model to the configuration."""
        return self._config.model_config_list.config.add(
            name=name, base_path=base_path, model_platform="tensorflow"
        )

    def _add_half_plus(self) -> list[tuple[str, str, int]]:
        """Adds models; returns their names, inputs, and what they add."""
        added = []
        for name, model, key in (
            ("export", written_models.HALF_PLUS_TWO, "inputs"),
            ("tf1", written_models.SAVED_MODEL_TF1, "x"),
            ("tf2", written_models.SAVED_MODEL_TF2, "x"),
        ):
            base_path = os.path.join(self._folder, name)
            written_models.copy(model, os.path.join(base_path, "1"))
            self._add(name, base_path)
            added.append((name, key, 2))
        for name, folder, offset in (
            ("real_two", "saved_model_half_plus_two_cpu", 2),
            ("real_three", "saved_model_half_plus_three", 3),
        ):
            path = shared_data.find("saved_models", folder)
            if path is not None:
                self._add(name, path)
                added.append((name, "x", offset))
        return added

    def _write(self, name: str, message: Any) -> str:
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(message))
        return path

    def _start(self, *flags: str) -> server_process.ServerProcess:
        """Starts a server with the models of the configuration."""
        port = self._stack.enter_context(held_port.hold())
        number = len(os.listdir(self._folder))
        config = self._write(f"{number}.config", self._config)
        return self._stack.enter_context(
            server_process.ServerProcess(
                [
                    _SERVER,
                    f"--port={port}",
                    f"--model_config_file={config}",
                    "--allow_version_labels_for_unavailable_models",
                    *flags,
                ],
                collects_log=True,
            )
        )

    def _start_encrypted(self, *, verifies_client: bool) -> str:
        """Starts a server with TLS; returns its address."""
        config = ssl_config_pb2.SSLConfig(client_verify=verifies_client)
        for field, path in (
            ("server_key", self._files.server.key_file),
            ("server_cert", self._files.server.certificate_file),
            ("custom_ca", self._files.ca_file),
        ):
            with open(path, encoding="utf-8") as file:
                setattr(config, field, file.read())
        path = self._write(f"ssl{verifies_client}.config", config)
        server = self._start(f"--ssl_config_file={path}")
        server.wait_for_log("name: small version: 7} is AVAILABLE")
        return server.address

    def _start_loading(self) -> tuple[str, str]:
        """Starts a server one of whose models waits; returns also for what."""
        gate = os.path.join(self._folder, "gate")
        os.mkfifo(gate)
        base_path = os.path.join(self._folder, "late")
        small_model.write(os.path.join(base_path, "1"), gate)
        self._add("late", base_path)
        return self._start().address, gate


class ServerClientsTest(parameterized.TestCase):
    """Facts about servers, which tests in other environments state."""

    _folder: str
    _stack: contextlib.ExitStack

    @classmethod
    def setUpClass(cls) -> None:
        """Makes a folder for the servers."""
        super().setUpClass()
        cls._stack = contextlib.ExitStack()
        cls.addClassCleanup(cls._stack.close)
        cls._folder = cls._stack.enter_context(tempfile.TemporaryDirectory())

    @classmethod
    @functools.cache
    def _servers(cls) -> _Servers:
        """Returns those of all tests; not started if all are skipped."""
        return _Servers(cls._folder, cls._stack)

    @parameterized.parameters(
        ("tensorflow-serving-api==2.21.0", "tensorflow_serving_api_facts.py"),
        ("ovmsclient==2023.1", "ovmsclient_facts.py"),
    )
    def test_package_of_the_index_works_as_it_is(
        self, package: str, facts: str
    ) -> None:
        """The facts are tests, which run with the package."""
        try:
            python = index_package.install(
                self.create_tempdir().full_path, package
            )
        except errors.UnavailableError as error:
            self.skipTest(str(error))
        settings = self._servers().settings_path
        result = subprocess.run(
            # Isolated: what is beside the script cannot be imported.
            [python, "-I", os.path.join(_FOLDER, facts), settings],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_SECONDS,
            # No proxy for calls to this machine.
            env={"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    absltest.main()
