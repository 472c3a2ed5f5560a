"""Tests of health and reflection of the model server as a process."""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from absl.testing import absltest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.rpc import client_channel
from tensorflow_serving.test_util import model_server_folder, written_models

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_SERVICES = (
    "tensorflow.ProfilerService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
)
# Whatever these are asked about is the whole server.
_SERVER_NAMES = ("", "ModelService", "PredictionService", *_SERVICES)
_SECONDS = 60
# Any: the modules of the messages have no types.
_Request: Any = reflection_pb2.ServerReflectionRequest
_Health: Any = health_pb2
_SERVING = _Health.HealthCheckResponse.SERVING
_NOT_SERVING = _Health.HealthCheckResponse.NOT_SERVING


class ModelHealthProcessTest(absltest.TestCase):
    """Tests of a server with one model, and with a base path for another."""

    def setUp(self) -> None:
        """Starts the server, and waits for its model."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.folder.write("one")
        config = self.folder.write_config("one", "late")
        self.server = self.folder.start(
            _SERVER,
            "--drain_delay_seconds=1",
            f"--model_config_file={config}",
        )
        self.enter_context(self.server)
        self.channel = self.enter_context(
            client_channel.insecure(self.folder.address)
        )
        self.health: Any = health_pb2_grpc.HealthStub(self.channel)
        self._wait_until_serving("one:1")

    def _wait_until_serving(self, name: str) -> None:
        """Waits for the health of a name; the log is a little ahead of it."""
        request = _Health.HealthCheckRequest(service=name)
        for response in self.health.Watch(request, timeout=_SECONDS):
            if response.status == _SERVING:
                return

    def _statuses(self, *names: str) -> list[str]:
        """Returns what is known of names: a status, or that there is no one."""
        statuses = []
        for name in names:
            request = _Health.HealthCheckRequest(service=name)
            try:
                response = self.health.Check(request, timeout=_SECONDS)
            except grpc.RpcError as error:
                statuses.append(error.code().name)
            else:
                statuses.append(
                    _Health.HealthCheckResponse.ServingStatus.Name(
                        response.status
                    )
                )
        return statuses

    def test_health_is_that_of_the_models(self) -> None:
        """A model without a version holds up the server, not the other one."""
        self.assertEqual(
            self._statuses("one", "one:1", "late", *_SERVER_NAMES),
            ["SERVING", "SERVING", "NOT_SERVING"]
            + ["NOT_SERVING"] * len(_SERVER_NAMES),
        )
        self.assertEqual(
            self._statuses("one:7", "two", "serving"), ["NOT_FOUND"] * 3
        )
        self.folder.write("late", 5)
        self._wait_until_serving("")
        self.assertEqual(
            self._statuses("late", "late:5", *_SERVER_NAMES),
            ["SERVING"] * (2 + len(_SERVER_NAMES)),
        )
        self.folder.write("one", 2, written_models.copy_broken)
        self.server.wait_for_log("{name: one version: 2} is END")
        self.assertEqual(
            self._statuses("one", "one:1", "one:2", ""),
            ["SERVING", "SERVING", "NOT_SERVING", "SERVING"],
        )

    def test_health_follows_a_reload_at_once(self) -> None:
        """A model that is new and has no version counts, until it is gone."""
        self._reload("one")
        self.assertEqual(
            self._statuses("late", *_SERVER_NAMES),
            ["NOT_FOUND"] + ["SERVING"] * len(_SERVER_NAMES),
        )
        with self.assertRaises(grpc.RpcError):
            self._reload("one", "lost")
        self.assertEqual(
            self._statuses("one", "lost", *_SERVER_NAMES),
            ["SERVING"] + ["NOT_SERVING"] * (1 + len(_SERVER_NAMES)),
        )

    def _reload(self, *names: str) -> None:
        request = model_management_pb2.ReloadConfigRequest(
            config=self.folder.config(*names)
        )
        stub: Any = model_service_pb2_grpc.ModelServiceStub(self.channel)
        stub.HandleReloadConfigRequest(request, timeout=_SECONDS)

    def test_watch_sees_the_model_come_and_the_server_go(self) -> None:
        """While the server drains, health says so and calls are answered."""
        watch = self.health.Watch(
            _Health.HealthCheckRequest(service=""), timeout=_SECONDS
        )
        self.assertEqual(next(watch).status, _NOT_SERVING)
        self.folder.write("late")
        self.assertEqual(next(watch).status, _SERVING)
        self.server.send_signal(signal.SIGTERM)
        self.assertEqual(next(watch).status, _NOT_SERVING)
        self.assertEqual(self._statuses("one"), ["NOT_SERVING"])
        self.assertEqual(self.server.wait(), 0)

    def _reflect(self, *requests: Any) -> Iterator[Any]:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        return iter(stub.ServerReflectionInfo(iter(requests), timeout=_SECONDS))

    def test_reflection_describes_all_that_is_served(self) -> None:
        """A client without our files can make each request."""
        (listed,) = self._reflect(_Request(list_services="*"))
        names = [each.name for each in listed.list_services_response.service]
        self.assertLessEqual(set(_SERVICES), set(names))
        pool = descriptor_pool.DescriptorPool()
        for name in names:
            (response,) = self._reflect(_Request(file_containing_symbol=name))
            self._add(pool, response)
            service = pool.FindServiceByName(name)
            for method in service.methods:
                self.assertTrue(method.input_type.full_name)

    def _add(self, pool: descriptor_pool.DescriptorPool, response: Any) -> None:
        """Adds the files of a response, and those that they import."""
        data: Sequence[bytes] = (
            response.file_descriptor_response.file_descriptor_proto
        )
        for file in map(descriptor_pb2.FileDescriptorProto.FromString, data):
            try:
                pool.FindFileByName(file.name)
            except KeyError:
                for path in file.dependency:
                    (other,) = self._reflect(_Request(file_by_filename=path))
                    self._add(pool, other)
                pool.Add(file)


if __name__ == "__main__":
    absltest.main()
