"""Tests of the REST API of the model server as a process."""

import os
import signal

import numpy as np
import requests
from absl.testing import absltest

from tensorflow_serving.client import calls, client, options
from tensorflow_serving.test_util import (
    certificates,
    held_port,
    model_server_folder,
)
from tensorflow_serving.util import errors, server_process

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")


class RestServerTest(absltest.TestCase):
    """A server with gRPC on a UNIX socket, and REST on a port."""

    def setUp(self) -> None:
        """Makes a folder with a version of a model."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.folder.write("half")
        self.port = self.enter_context(held_port.hold())

    def _start(self, *flags: str) -> server_process.ServerProcess:
        server: server_process.ServerProcess = self.enter_context(
            self.folder.serving(
                _SERVER,
                "half",
                f"--rest_api_port={self.port}",
                "--host=localhost",
                *flags,
            )
        )
        return server

    def _url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://localhost:{self.port}{path}"

    def test_both_ports_answer_until_the_end(self) -> None:
        """A signal ends readiness first, then both ports, with 0."""
        server = self._start("--drain_delay_seconds=1")
        found = requests.post(
            self._url("/v1/models/half:predict"), json={"instances": [1, 0.1]}
        )
        with client.Client(options.Options(server.address)) as own:
            answer = own.predict(
                calls.Model("half"), {"x": np.array([1, 0.1], np.float32)}
            )
        np.testing.assert_array_equal(
            np.array(found.json()["predictions"], np.float32),
            answer.outputs["y"],
        )
        self.assertEqual(requests.get(self._url("/readyz")).status_code, 200)
        server.send_signal(signal.SIGTERM)
        server.wait_for_log("Stopping because of SIGTERM")
        while requests.get(self._url("/readyz")).status_code == 200:
            pass
        found = requests.post(
            self._url("/v1/models/half:predict"), json={"instances": [1.0]}
        )
        self.assertEqual(found.status_code, 200)
        self.assertEqual(found.headers["connection"], "close")
        self.assertEqual(server.wait(), 0)

    def test_metrics_count_the_calls_of_both_ports(self) -> None:
        """Each port has its entrypoint; a path may be that of the original."""
        config = os.path.join(self.folder.path, "monitoring.config")
        with open(config, "w", encoding="utf-8") as file:
            file.write("prometheus_config { enable: true }")
        server = self._start(f"--monitoring_config_file={config}")
        url = self._url("/v1/models/half:predict")
        for body in ({"instances": [1]}, {"instances": [2]}, {}):
            requests.post(url, json=body)
        requests.post(self._url("/v1/models/no:predict"), json={})
        with client.Client(options.Options(server.address)) as own:
            own.predict(calls.Model("half"), {"x": np.array([1], np.float32)})
            with self.assertRaises(errors.InvalidArgumentError):
                own.predict(calls.Model("half"), {"x": np.array([1])})
        for path in ("/metrics", "/monitoring/prometheus/metrics"):
            found = requests.get(self._url(path))
            self.assertTrue(
                found.headers["content-type"].startswith("text/plain")
            )
            for line in (
                ':tensorflow:serving:request_count{model_name="half",'
                'status="OK"} 3',
                ':tensorflow:serving:request_count{model_name="half",'
                'status="INVALID_ARGUMENT"} 2',
                ':tensorflow:serving:request_count{model_name="",'
                'status="NOT_FOUND"} 1',
                ':tensorflow:serving:request_latency_count{API="predict",'
                'entrypoint="REST",model_name="half"} 2',
                ':tensorflow:serving:request_latency_count{API="Predict",'
                'entrypoint="GRPC",model_name="half"} 1',
                'tensorflow_serving_version_state{model="half",'
                'state="AVAILABLE",version="1"} 1',
            ):
                self.assertIn(f"{line}\n", found.text)

    def test_port_may_be_encrypted(self) -> None:
        """The REST API has an SSLConfig of its own, with clients' too."""
        files = certificates.write(self.create_tempdir().full_path)

        def text(path: str) -> str:
            with open(path, encoding="utf-8") as file:
                return file.read().replace("\n", "\\n")

        config = os.path.join(self.folder.path, "ssl.config")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                f'server_key: "{text(files.server.key_file)}"\n'
                f'server_cert: "{text(files.server.certificate_file)}"\n'
                f'custom_ca: "{text(files.ca_file)}"\n'
                "client_verify: true\n"
            )
        self._start(f"--rest_api_ssl_config_file={config}")
        url = self._url("/v1/models/half", "https")
        own = (files.client.certificate_file, files.client.key_file)
        self.assertEqual(
            requests.get(url, verify=files.ca_file, cert=own).status_code, 200
        )
        with self.assertRaises(requests.exceptions.ConnectionError):
            requests.get(url, verify=files.ca_file)
        with self.assertRaises(requests.exceptions.ConnectionError):
            requests.get(self._url("/v1/models/half"))


if __name__ == "__main__":
    absltest.main()
