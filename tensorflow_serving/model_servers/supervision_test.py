"""Tests of a model server of two processes, with real clients."""

import contextlib
import functools
import os
import pathlib
import re
import select
import signal
import subprocess
from typing import Any

import grpc
import numpy as np
from absl.testing import absltest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.client import calls, client, options
from tensorflow_serving.test_util import model_server_folder
from tensorflow_serving.util import errors

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_X = np.array([[1.0], [2.0]], np.float32)
# Enough connections that each of two workers has some: the chance that one has
# none is one in two billion.
_NUM_CONNECTIONS = 32
_TIMEOUT_SECONDS = 60


def _rows(path: str) -> list[list[str]]:
    return [
        line.split() for line in pathlib.Path(path).read_text().splitlines()
    ]


def _watch(channel: grpc.Channel, name: str) -> None:
    """Waits until the health of a name is SERVING."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=name)
    for response in stub.Watch(request, timeout=_TIMEOUT_SECONDS):
        if response.status == response.SERVING:
            return


def _socket_inodes(pid: int) -> set[str]:
    """Returns the numbers of the sockets that a process has."""
    inodes = set()
    for each in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        # Files are closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            inodes.add(os.readlink(each).strip("socket:[]"))
    return inodes


class SupervisionTest(absltest.TestCase):
    """A server with SavedModels of half plus two."""

    def setUp(self) -> None:
        """Makes a folder for models and for the socket."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        for name in ("one", "two"):
            self.folder.write(name)
        self.config = self.folder.write_config("one")
        self.flags = ["--num_workers=2", f"--model_config_file={self.config}"]

    def _start(self) -> None:
        """Starts the server, and waits until its model can be called."""
        self.server = self.enter_context(
            self.folder.start(_SERVER, *self.flags)
        )
        self._wait_until_serving("one")

    def _client(self, address: str) -> client.Client:
        own = client.Client(options.Options(address))
        self.addCleanup(own.close)
        return own

    def _connected(self) -> list[client.Client]:
        """Returns clients, of which each worker has some."""
        clients = []
        for address in self._addresses():
            own = self._client(address)
            self._version(own, "one")
            clients.append(own)
        for pid in self.server.child_pids():
            self.assertGreater(self._num_connections(pid), 0)
        return clients

    def _num_connections(self, pid: int) -> int:
        """Returns how many clients a worker has on the port of the server."""
        port = f"{self.server.port:04X}"
        inodes = {
            fields[9]
            for name in ("tcp", "tcp6")
            for fields in _rows(f"/proc/net/{name}")
            if fields[1].endswith(f":{port}") and fields[3] == "01"
        }
        return len(_socket_inodes(pid) & inodes)

    def _version(self, own: client.Client, name: str) -> int:
        """Returns the version of a model that answers."""
        prediction = own.predict(calls.Model(name), {"x": _X})
        return int(prediction.model.version.value)

    def _addresses(self) -> list[str]:
        """Returns enough addresses that each worker has connections.

        Channels to one address would share a connection.
        """
        return [
            f"127.0.0.{number}:{self.server.port}"
            for number in range(1, _NUM_CONNECTIONS + 1)
        ]

    def _wait_until_serving(self, name: str) -> None:
        """Waits until all workers can answer calls of a name."""
        with grpc.insecure_channel(self.server.address) as channel:
            _watch(channel, name)

    def _state(self, address: str, name: str, version: int) -> int:
        """Returns the state of a version once its health is SERVING."""
        spec = model_pb2.ModelSpec(name=name)
        spec.version.value = version
        with grpc.insecure_channel(address) as channel:
            _watch(channel, f"{name}:{version}")
            stub: Any = model_service_pb2_grpc.ModelServiceStub(channel)
            response = stub.GetModelStatus(
                get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
            )
        return int(response.model_version_status[0].state)

    def test_each_worker_answers_for_all(self) -> None:
        """A new version and a reload are in both before either says so."""
        self._start()
        clients = [*self._connected(), self._client(self.folder.address)]
        self.folder.write("one", 2)
        self._wait_until_serving("one:2")
        for each in clients:
            self.assertEqual(self._version(each, "one"), 2)
        for address in self._addresses():
            self.assertEqual(
                self._state(address, "one", 2),
                get_model_status_pb2.ModelVersionStatus.AVAILABLE,
            )
        clients[0].reload(self.folder.config("one", "two"))
        for each in clients:
            self.assertEqual(self._version(each, "two"), 1)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "model lost must hold a version"
        ):
            clients[0].reload(self.folder.config("two", "lost"))
        self._wait_for_logs("{name: one version: 2} is END")
        for each in clients:
            with self.assertRaisesRegex(errors.NotFoundError, "Servable"):
                self._version(each, "one")
        self.assertEqual(self.server.stop(), 0)

    def test_worker_that_was_killed_comes_back(self) -> None:
        """It has the configuration in effect before it is called."""
        self._start()
        self._client(self.server.address).reload(
            self.folder.config("one", "two")
        )
        clients = self._connected()
        before = set(self.server.child_pids())
        num_lines = len(self.server.log_lines)
        killed = self._pid_with_socket()
        os.kill(killed, signal.SIGKILL)
        self.server.wait_for_log(f"Worker {killed} ended with SIGKILL")
        # Those that were connected to it may lose one call each.
        lost = 0
        for each in clients:
            try:
                self._version(each, "two")
            except errors.UnavailableError:
                lost += 1
        self.assertLess(lost, _NUM_CONNECTIONS)
        while not self._is_ready_again(num_lines):
            with client.Client(options.Options(self.server.address)) as own:
                self.assertEqual(self._version(own, "two"), 1)
        self.assertEqual(len({*self.server.child_pids()} - before), 1)
        self._wait_until_serving("")
        for each in (*clients, self._client(self.folder.address)):
            self.assertEqual(self._version(each, "two"), 1)
        self.assertEqual(self.server.stop(), 0)

    def _is_ready_again(self, num_lines: int) -> bool:
        return any(
            "2 of 2 workers are ready" in line
            for line in self.server.log_lines[num_lines:]
        )

    def _pid_with_socket(self) -> int:
        """Returns the worker that has the UNIX socket."""
        path = self.folder.address.removeprefix("unix:")
        (inode,) = {
            fields[6]
            for fields in _rows("/proc/net/unix")
            if fields[-1] == path and fields[5] == "01"
        }
        pids = self.server.child_pids()
        (pid,) = (each for each in pids if inode in _socket_inodes(each))
        return int(pid)

    def _wait_for_logs(self, pattern: str) -> None:
        """Waits until both workers have logged a line."""
        num_lines = self.server.wait_for_log(pattern)
        self.server.wait_for_log(pattern, num_lines)

    def test_hangup_has_all_workers_serve_another_configuration(self) -> None:
        """The supervisor gets the signal; one worker reads the file."""
        self._start()
        clients = self._connected()
        self.folder.write_config("one", "two")
        self.server.send_signal(signal.SIGHUP)
        self._wait_until_serving("two")
        for each in clients:
            self.assertEqual(self._version(each, "two"), 1)
        self.folder.write_config("two")
        self.server.send_signal(signal.SIGHUP)
        self._wait_for_logs("{name: one version: 1} is END")
        self.assertEqual(self.server.stop(), 0)

    def test_no_worker_outlives_the_supervisor(self) -> None:
        """Each drains and ends when it is killed."""
        self._start()
        pidfds = [os.pidfd_open(pid) for pid in self.server.child_pids()]
        self.assertEqual(len(pidfds), 2)
        self.server.send_signal(signal.SIGKILL)
        for pidfd in pidfds:
            self.addCleanup(functools.partial(os.close, pidfd))
            poller = select.poll()
            poller.register(pidfd, select.POLLIN)
            self.assertTrue(poller.poll(_TIMEOUT_SECONDS * 1000))

    def _run(self, *flags: str) -> str:
        """Runs a server that does not start; returns its output."""
        result = subprocess.run(
            self.folder.command(_SERVER, *self.flags, *flags),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertNotEqual(result.returncode, 0)
        return result.stdout + result.stderr

    def test_workers_that_do_not_fit_are_refused(self) -> None:
        """The text has the arithmetic; nothing is loaded."""
        size_bytes = 1 << 42
        path = os.path.join(
            self.folder.base_path("one"), "1", "variables", "large"
        )
        with open(path, "wb") as file:
            file.truncate(size_bytes)
        for flags in ([], ["--check"]):
            output = self._run(*flags)
            self.assertRegex(
                output,
                r"ERROR: --num_workers=2 must leave room .* 2 x \(80 MiB of a "
                r"process \+ 5,033,\d{3} MiB of models, as estimated\) = "
                r"10,066,\d{3} MiB; got [\d,]+ MiB of memory",
            )
            self.assertNotRegex(output, "LOADING")

    def test_wrong_configuration_is_one_error(self) -> None:
        """No worker is started for it."""
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("model_config_list { config { nam: 1 } }")
        output = self._run()
        self.assertEqual(
            re.findall("ERROR: Error parsing text-format.*", output),
            [output.strip()],
        )


if __name__ == "__main__":
    absltest.main()
