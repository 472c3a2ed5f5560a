"""Tests for server with the gRPC client of Node, @grpc/grpc-js.

They need node and npm, and a registry for the package; without them they are
skipped.
"""

import json
import os
import shutil
import subprocess
import tempfile
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import echo_service
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import errors

_Code = errors.StatusCode
_SECONDS = 60.0
_INSTALL_SECONDS = 30.0
_PACKAGE = "@grpc/grpc-js@1.14.7"
_SCRIPT = os.path.join(os.path.dirname(__file__), "node_client.js")

_each_security = parameterized.parameters("plain", "tls", "mutual_tls")


class ServerNodeTest(parameterized.TestCase):
    """An echo service on the wire lane, and a script for each test."""

    # Where the package is; its text says why it is not.
    _folder: tempfile.TemporaryDirectory[str]
    _reason = ""

    @classmethod
    def setUpClass(cls) -> None:
        """Installs the package into a temporary folder."""
        super().setUpClass()
        cls._folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._folder.cleanup)
        for tool in ("node", "npm"):
            if shutil.which(tool) is None:
                cls._reason = (
                    f"{tool} must be installed (apt-get install nodejs npm); "
                    "it is not"
                )
                return
        cls._reason = _install(cls._folder.name)

    def setUp(self) -> None:
        """Skips the test if the package is not there."""
        super().setUp()
        if self._reason:
            self.skipTest(self._reason)

    def _start(self, scenario: str, security: str = "plain") -> None:
        """Starts the server, and a script that calls it."""
        self.echo = echo_service.EchoService()
        files = certificates.write(self.create_tempdir().full_path)
        arguments = []
        tls = None
        if security != "plain":
            arguments = [files.ca_file]
            tls = options_lib.TlsOptions(
                files.server.key_file,
                files.server.certificate_file,
                files.ca_file if security == "mutual_tls" else "",
            )
        if security == "mutual_tls":
            arguments += [files.client.key_file, files.client.certificate_file]
        self.server = self.enter_context(
            server_lib.Server(
                "localhost:0",
                [self.echo.service()],
                server_lib.Options(tls=tls),
            )
        )
        self.server.start()
        port = str(self.server.port)
        self.node = subprocess.Popen(
            ["node", "client.js", scenario, port, *arguments],
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.enter_context(self.node)
        self.addCleanup(self.node.kill)

    def _next(self) -> Any:
        """Returns the next thing that the script reports."""
        assert self.node.stdout is not None
        return json.loads(self.node.stdout.readline())

    @_each_security
    def test_answers_and_errors_arrive(self, security: str) -> None:
        """An error has its code and its text, whatever is in it."""
        self._start("answer", security)
        self.assertEqual(self._next(), {"code": 0, "text": "naïve ☃"})
        self.assertEqual(
            self._next(),
            {"code": _Code.NOT_FOUND, "text": echo_service.REFUSAL},
        )

    @_each_security
    def test_thousand_calls_get_their_own_answers(self, security: str) -> None:
        """Sixty-four are in flight at a time."""
        self._start("thousand", security)
        self.assertEqual(self._next(), 1000)
        self.assertEqual(self.echo.num_echoes, 1000)

    @_each_security
    def test_large_messages_go_both_ways(self, security: str) -> None:
        """Three million bytes go both ways in one message each."""
        self._start("large", security)
        self.assertTrue(self._next())

    def test_caller_may_cancel(self) -> None:
        """The service learns it."""
        self._start("cancel")
        call = self.echo.kept.get(timeout=_SECONDS)
        assert self.node.stdin is not None
        self.node.stdin.write(b"cancel\n")
        self.node.stdin.flush()
        self.assertEqual(self._next(), _Code.CANCELLED)
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))
        self.assertFalse(call.is_active)

    def test_deadline_ends_a_call(self) -> None:
        """The caller gets DEADLINE_EXCEEDED, and the service learns it."""
        self._start("deadline")
        self.assertEqual(self._next(), _Code.DEADLINE_EXCEEDED)
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))

    @_each_security
    def test_watch_ends_with_the_server(self, security: str) -> None:
        """A watcher learns that the server stops, and gets its last word."""
        self._start("watch", security)
        self.assertEqual(self._next(), 1)  # SERVING
        self.assertTrue(self.server.stop(_SECONDS))
        self.assertEqual(self._next(), 2)  # NOT_SERVING
        self.assertEqual(self._next(), {"code": _Code.OK})

    @_each_security
    def test_stop_under_load_loses_no_call(self, security: str) -> None:
        """Every reply arrives, and refused calls may be tried elsewhere."""
        self._start("stop", security)
        self.assertEqual(self._next(), "enough")
        self.assertTrue(self.server.stop(_SECONDS))
        counts = {_Code(int(code)): n for code, n in self._next().items()}
        self.assertLessEqual(set(counts), {_Code.OK, _Code.UNAVAILABLE})
        self.assertEqual(counts[_Code.OK], self.echo.num_echoes)


def _install(folder: str) -> str:
    """Installs the package and the script; returns why it could not."""
    shutil.copy(_SCRIPT, os.path.join(folder, "client.js"))
    try:
        npm = subprocess.run(
            [
                *("npm", "install", "--no-audit", "--no-fund"),
                *("--ignore-scripts", "--fetch-retries=0", _PACKAGE),
            ],
            cwd=folder,
            env={
                **os.environ,
                "HOME": folder,
                "npm_config_cache": os.path.join(folder, "cache"),
            },
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm must install {_PACKAGE} in time; it did not"
    if npm.returncode:
        return f"npm must install {_PACKAGE}; it says {npm.stderr[:300]}"
    return ""


if __name__ == "__main__":
    absltest.main()
