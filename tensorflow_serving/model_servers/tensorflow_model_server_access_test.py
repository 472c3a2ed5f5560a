"""Tests of the model server as a process, with and without API keys."""

import concurrent.futures
import contextlib
import http.client
import os
import re
from typing import Any

import grpc
import numpy as np
import requests
from absl.testing import absltest, parameterized
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.client import calls, client, options
from tensorflow_serving.test_util import (
    held_port,
    model_server_folder,
)
from tensorflow_serving.util import errors, server_process

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_X = np.array([1.0], np.float32)
_PREDICT = "/v1/models/half:predict"
_METADATA = [("authorization", "Bearer first")]
_Fields = tuple[tuple[str, str], ...]


class AccessTest(parameterized.TestCase):
    """A server with a model, both ports and two keys."""

    def setUp(self) -> None:
        """Makes a folder with a version of a model, and with keys."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.folder.write("half")
        self.keys = os.path.join(self.folder.path, "keys")
        self._write("first\nsecond\n")
        self.port = self.enter_context(held_port.hold())

    def _write(self, text: str) -> None:
        with open(f"{self.keys}-tmp", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(f"{self.keys}-tmp", 0o600)
        os.rename(f"{self.keys}-tmp", self.keys)

    def _start(self, *flags: str) -> server_process.ServerProcess:
        server: server_process.ServerProcess = self.enter_context(
            self.folder.serving(
                _SERVER,
                "half",
                f"--rest_api_port={self.port}",
                "--host=localhost",
                f"--api_key_file={self.keys}",
                *flags,
            )
        )
        return server

    def _code(self, key: str) -> errors.StatusCode:
        """Returns the code of a call of gRPC with a key."""
        own_options = options.Options(self.folder.address, api_key=key)
        with client.Client(own_options) as own:
            try:
                own.predict(calls.Model("half"), {"x": _X})
            except errors.ServingError as error:
                return error.code
        return errors.StatusCode.OK

    def _rest(self, key: str, **kwargs: Any) -> requests.Response:
        return requests.post(
            f"http://localhost:{self.port}{_PREDICT}",
            json={"instances": [1.0]},
            headers={"Authorization": f"Bearer {key}"} if key else {},
            **kwargs,
        )

    def test_callers_of_both_ports_need_a_key(self) -> None:
        """Without it, HTTP says which scheme is asked for; no log has keys."""
        server = self._start("--rest_api_enable_cors_support")
        for key, code, status, text in (
            ("first", errors.StatusCode.OK, 200, ""),
            ("second", errors.StatusCode.OK, 200, ""),
            ("third", errors.StatusCode.UNAUTHENTICATED, 401, "another key"),
            ("", errors.StatusCode.UNAUTHENTICATED, 401, "none"),
        ):
            with self.subTest(key):
                self.assertEqual(self._code(key), code)
                found = self._rest(key)
                self.assertEqual(found.status_code, status)
                self.assertEqual(
                    found.headers.get("www-authenticate"),
                    "Bearer" if text else None,
                )
                if text:
                    self.assertEqual(
                        found.json(),
                        {
                            "error": "authorization must be Bearer and an API "
                            f"key of this server; got {text}"
                        },
                    )
                self.assertEqual(
                    found.headers["access-control-allow-headers"],
                    "Content-Type, Authorization",
                )
        self.assertEqual(server.stop(), 0)
        for word in ("first", "second", "third", "Bearer"):
            self.assertNotIn(word, "".join(server.log_lines).split())

    def test_last_of_several_keys_counts(self) -> None:
        """Both ports look at the same one."""
        self._start()
        for sent, status, code in (
            (("third", "first"), 200, grpc.StatusCode.OK),
            (("first", "third"), 401, grpc.StatusCode.UNAUTHENTICATED),
        ):
            fields = tuple(("authorization", f"Bearer {key}") for key in sent)
            with self.subTest(sent):
                self.assertEqual(self._status_of_rest(fields), status)
                self.assertEqual(self._code_of_grpc(fields), code)

    def _status_of_rest(self, fields: _Fields) -> int:
        connection = http.client.HTTPConnection("localhost", self.port)
        with contextlib.closing(connection):
            connection.putrequest("GET", "/v1/models/half")
            for field in fields:
                connection.putheader(*field)
            connection.endheaders()
            return connection.getresponse().status

    def _code_of_grpc(self, fields: _Fields) -> grpc.StatusCode:
        with grpc.insecure_channel(self.folder.address) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "half"
            try:
                stub.GetModelStatus(request, metadata=fields)
            except grpc.RpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    def test_large_body_without_a_key_gets_the_answer(self) -> None:
        """A client that is not done with sending learns why, too."""
        self._start()
        found = requests.post(
            f"http://localhost:{self.port}{_PREDICT}", data=bytes(50_000_000)
        )
        self.assertEqual(found.status_code, 401)

    def test_health_is_open_and_all_else_is_closed(self) -> None:
        """Nothing tells a stranger which methods and models there are."""
        self._start()
        url = f"http://localhost:{self.port}"
        for path in ("/healthz", "/readyz", "/readyz/half"):
            self.assertEqual(requests.get(url + path).status_code, 200)
        for path in ("/metrics", "/v1/models", "/v1/models/half", "/no"):
            self.assertEqual(requests.get(url + path).status_code, 401)
            found = requests.get(
                url + path, headers={"authorization": "Bearer first"}
            )
            self.assertEqual(found.status_code, 404 if path == "/no" else 200)
        with grpc.insecure_channel(self.folder.address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            response = health.Check(health_pb2.HealthCheckRequest())
            self.assertEqual(response.status, response.SERVING)
            reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            with self.assertRaises(grpc.RpcError) as raised:
                next(reflection.ServerReflectionInfo(iter([request])))
            error: Any = raised.exception
            self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
            found = next(
                reflection.ServerReflectionInfo(
                    iter([request]), metadata=_METADATA
                )
            )
            self.assertTrue(found.list_services_response.service)
            unknown: Any = channel.unary_unary("/no.Such/Method")
            for metadata, code in (
                ([], grpc.StatusCode.UNAUTHENTICATED),
                (_METADATA, grpc.StatusCode.UNIMPLEMENTED),
            ):
                with self.assertRaises(grpc.RpcError) as raised:
                    unknown(b"", metadata=metadata)
                error = raised.exception
                self.assertEqual(error.code(), code)

    @parameterized.parameters(1, 2)
    def test_keys_change_without_a_restart(self, num_workers: int) -> None:
        """A connection that is open needs the new key as well."""
        server = self._start(f"--num_workers={num_workers}")
        own_options = options.Options(
            self.folder.address,
            api_key="first",
            # The other worker may still load the model.
            deadline_seconds=60.0,
            max_attempts=5,
            first_pause_seconds=1.0,
        )
        with client.Client(own_options) as own:
            own.metadata(calls.Model("half"))
            num_lines = len(server.log_lines)
            self._write("second\nthird\n")
            for _ in range(num_workers):
                num_lines = server.wait_for_log(
                    "The API keys are other ones now", num_lines
                )
            with self.assertRaises(errors.UnauthenticatedError):
                own.metadata(calls.Model("half"))
        self.assertEqual(self._code("third"), errors.StatusCode.OK)
        self.assertEqual(self._rest("first").status_code, 401)
        self.assertEqual(self._rest("second").status_code, 200)

    def test_file_that_goes_leaves_the_keys(self) -> None:
        """A server does not open because somebody removed a file."""
        server = self._start()
        os.remove(self.keys)
        server.wait_for_log("The API keys stay as they are: --api_key_file")
        self.assertEqual(self._code("first"), errors.StatusCode.OK)
        self.assertEqual(self._code(""), errors.StatusCode.UNAUTHENTICATED)


class CallLimitTest(absltest.TestCase):
    """A server with two models, whose calls wait for a batch of four."""

    def setUp(self) -> None:
        """Starts the server; two calls of one of the models may wait."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        for name in ("busy", "other"):
            self.folder.write(name)
        batching = os.path.join(self.folder.path, "batching")
        with open(batching, "w", encoding="utf-8") as file:
            file.write(
                "max_batch_size { value: 4 } "
                "batch_timeout_micros { value: 600000000 }"
            )
        self.port = self.enter_context(held_port.hold())
        config = self._write_config(2)
        self.server = self.folder.start(
            _SERVER,
            f"--rest_api_port={self.port}",
            "--host=localhost",
            f"--model_config_file={config}",
            "--model_config_file_poll_wait_seconds=1",
            "--enable_batching",
            f"--batching_parameters_file={batching}",
        )
        self.enter_context(self.server)
        self.server.wait_for_log("All models have been loaded")
        self.threads = self.enter_context(
            concurrent.futures.ThreadPoolExecutor()
        )
        self.own = self.enter_context(
            client.Client(
                options.Options(self.folder.address, deadline_seconds=60)
            )
        )

    def _write_config(self, most: int) -> str:
        path = os.path.join(self.folder.path, "models.config")
        config = self.folder.config("busy", "other")
        config.model_config_list.config[0].max_concurrent_calls = most
        with open(f"{path}-tmp", "w", encoding="utf-8") as file:
            file.write(str(config))
        os.rename(f"{path}-tmp", path)
        return path

    def _predict(self, model: str, num_rows: int = 1) -> Any:
        x = np.zeros([num_rows], np.float32)
        return self.own.predict(calls.Model(model), {"x": x})

    def _rest(self) -> requests.Response:
        return requests.post(
            f"http://localhost:{self.port}/v1/models/busy:predict",
            json={"instances": [1.0]},
        )

    def _metrics(self) -> str:
        return requests.get(f"http://localhost:{self.port}/metrics").text

    def _wait_for_calls(self, num_calls: int) -> None:
        """Returns once that many calls of the busy model are in its queue."""
        pattern = rf'queue_tasks{{model="busy".*}} {num_calls}\b'
        while not re.search(pattern, self._metrics()):
            pass

    def test_flooded_model_does_not_take_the_calls_of_others(self) -> None:
        """The limit is that of both ports together, and a reload changes it."""
        waiting = [
            self.threads.submit(self._predict, "busy"),
            self.threads.submit(self._rest),
        ]
        self._wait_for_calls(2)
        for _ in range(100):
            with self.assertRaisesRegex(
                errors.ResourceExhaustedError,
                r"of model busy \(limit 2\); try again later\.$",
            ):
                self._predict("busy")
        found = self._rest()
        self.assertEqual(found.status_code, 429)
        self.assertEqual(found.headers["retry-after"], "1")
        self._predict("other", 4)
        self.assertIn(
            ':request_count{model_name="busy",status="RESOURCE_EXHAUSTED"} 101',
            self._metrics(),
        )
        self._write_config(4)
        self.server.wait_for_log("The configuration is another one now")
        self._predict("busy", 2)  # the batch is full
        waiting[0].result()
        self.assertEqual(waiting[1].result().status_code, 200)


if __name__ == "__main__":
    absltest.main()
