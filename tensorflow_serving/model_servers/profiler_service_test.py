"""Tests for profiler_service, with a graph that runs meanwhile."""

import os
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import profiler_service_pb2
from tensorflow_serving.model_servers import profiler_service
from tensorflow_serving.rpc import client_channel, server
from tensorflow_serving.tensorflow_c import profiler
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors

_Request = profiler_service_pb2.ProfileRequest


def _request(
    folder: str = "", *, duration_ms: int = 600_000, emit_xspace: bool = False
) -> _Request:
    """Returns a request for a profile that is ended by a test."""
    return _Request(
        opts=_Request.Options(host_tracer_level=2, duration_ms=duration_ms),
        repository_root=folder,
        session_id="session",
        host_name="host",
        emit_xspace=emit_xspace,
    )


class ProfilerServiceTest(parameterized.TestCase):
    """Tests of the methods as functions."""

    def setUp(self) -> None:
        """Makes a service, and a graph to run."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.service = profiler_service.ProfilerService()
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "float32", [None])
        graph.node("negative", "Neg", ["x"], T="float32")
        self.session = self.enter_context(graph.open_session())
        self.end = threading.Event()

    def _run(self) -> None:
        """Runs the graph, then has the profile end."""
        function = self.session.make_callable(["negative:0"], ["x:0"])
        function(np.ones(2, np.float32))
        self.end.set()

    def _profile(
        self, request: _Request
    ) -> profiler_service_pb2.ProfileResponse:
        """Takes a profile while the graph runs."""
        runner = threading.Timer(0.05, self._run)
        runner.start()
        response = self.service.profile(request, self.end)
        runner.join()
        return response

    def test_profile_names_what_was_run(self) -> None:
        """It is in the response, and in a file of the session."""
        response = self._profile(_request(self.folder, emit_xspace=True))
        self.assertFalse(response.empty_trace)
        self.assertIn(b"negative", response.xspace)
        path = pathlib.Path(self.folder, "session", "host.xplane.pb")
        self.assertEqual(path.read_bytes(), response.xspace)

    def test_profile_is_a_file_alone_unless_it_is_wanted(self) -> None:
        """It may be large, and clients read the file."""
        self.assertEqual(self._profile(_request(self.folder)).xspace, b"")

    def test_profile_of_nothing_is_empty(self) -> None:
        """Clients try again; there is no file."""
        response = self.service.profile(
            _request(self.folder, duration_ms=1), self.end
        )
        self.assertTrue(response.empty_trace)
        self.assertEqual(os.listdir(self.folder), [])

    def test_file_that_is_there_is_not_overwritten(self) -> None:
        """Nobody loses a file by a profile."""
        self._profile(_request(self.folder))
        self.end.clear()
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "repository_root must be .*exists"
        ):
            self._profile(_request(self.folder))

    def test_one_profile_is_taken_at_a_time(self) -> None:
        """Another one is refused, and can be taken later."""
        with (
            profiler.Profiler({}),
            self.assertRaisesRegex(errors.UnavailableError, "Another profile"),
        ):
            self.service.profile(_request(), self.end)
        self.end.set()
        self.service.profile(_request(), self.end)

    @parameterized.named_parameters(
        ("no_duration", {"opts": None}, "duration_ms must be from 1 to"),
        ("no_session", {"session_id": ""}, 'session_id must be .*; got ""'),
        ("parent", {"session_id": ".."}, "session_id must be the name"),
        ("folder", {"host_name": "a/b"}, 'host_name must be .*; got "a/b"'),
    )
    def test_request_that_is_wrong_is_refused(
        self, changes: dict[str, str | None], expected: str
    ) -> None:
        """A name cannot lead out of the folder."""
        request = _request(self.folder)
        for name, value in changes.items():
            if value is None:
                request.ClearField("opts")
            else:
                setattr(request, name, value)
        with self.assertRaisesRegex(errors.InvalidArgumentError, expected):
            self.service.profile(request, self.end)

    def test_folder_must_be_one_that_can_be_written_to(self) -> None:
        """The text has what the system says."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "repository_root must be .*Not a"
        ):
            self._profile(_request("/dev/null"))


# A program that asks a server for a profile, until there is one.
_CLIENT = """
import sys
import tensorflow as tf
tf.profiler.experimental.client.trace(sys.argv[1], sys.argv[2], 200)
"""


class CallsTest(absltest.TestCase):
    """Tests of the methods over a connection."""

    def test_client_of_tensorflow_gets_a_profile(self) -> None:
        """It is where TensorBoard looks for it."""
        folder = self.create_tempdir().full_path
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "float32", [None])
        graph.node("negative", "Neg", ["x"], T="float32")
        session = self.enter_context(graph.open_session())
        function = session.make_callable(["negative:0"], ["x:0"])
        own = profiler_service.ProfilerService().service()
        with server.Server("localhost:0", [own]) as running:
            running.start()
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _CLIENT,
                    f"grpc://localhost:{running.port}",
                    folder,
                ],
            )
            while process.poll() is None:
                function(np.ones(2, np.float32))
        self.assertEqual(process.returncode, 0)
        (path,) = pathlib.Path(folder).glob("plugins/profile/*/*.xplane.pb")
        self.assertTrue(b"SessionRun" in path.read_bytes())

    def test_profile_ends_when_it_is_terminated(self) -> None:
        """Monitor is refused, and does not hold anybody up meanwhile."""
        own = profiler_service.ProfilerService().service()
        with (
            server.Server("localhost:0", [own]) as running,
            self.assertLogs(level="INFO"),
        ):
            running.start()
            channel = self.enter_context(
                client_channel.insecure(f"localhost:{running.port}")
            )
            path = "/tensorflow.ProfilerService/"
            profile = channel.unary_unary(f"{path}Profile").future(
                _request().SerializeToString(), timeout=60
            )
            terminate = channel.unary_unary(f"{path}Terminate")
            session = profiler_service_pb2.TerminateRequest(
                session_id="session"
            ).SerializeToString()
            deadline = time.monotonic() + 60
            while not profile.done() and time.monotonic() < deadline:
                terminate(session, timeout=60)
            profiler_service_pb2.ProfileResponse.FromString(profile.result())


if __name__ == "__main__":
    absltest.main()
