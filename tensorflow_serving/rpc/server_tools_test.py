"""Tests for server with the command-line tools curl, nghttp and h2load."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import echo_service, h2_client
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.test_util import certificates, fake_clock

_SECONDS = 60.0
_HEADERS = ("-H", "content-type: application/grpc", "-H", "te: trailers")
# The Debian packages of the tools.
_PACKAGES = {
    "curl": "curl",
    "nghttp": "nghttp2-client",
    "h2load": "nghttp2-client",
}
_WATCH = "/grpc.health.v1.Health/Watch"

_each_security = parameterized.named_parameters(
    ("plain", "plain"), ("tls", "tls"), ("mutual_tls", "mutual_tls")
)


class ServerToolsTest(parameterized.TestCase):
    """An echo service on the wire lane, and files for requests."""

    def _start(self, security: str = "plain") -> None:
        self.files = certificates.write(self.create_tempdir().full_path)
        self.folder = self.create_tempdir().full_path
        self.echo = echo_service.EchoService()
        self.clock = fake_clock.FakeClock()
        tls = None
        self.scheme = "http"
        if security != "plain":
            self.scheme = "https"
            tls = options_lib.TlsOptions(
                self.files.server.key_file,
                self.files.server.certificate_file,
                self.files.ca_file if security == "mutual_tls" else "",
            )
        self.server = self.enter_context(
            server_lib.Server(
                "localhost:0",
                [self.echo.service()],
                server_lib.Options(tls=tls),
                clock=self.clock,
            )
        )
        self.server.start()

    def _url(self, path: str = echo_service.ECHO) -> str:
        return f"{self.scheme}://localhost:{self.server.port}{path}"

    def _request_file(self, data: bytes) -> str:
        """Returns the path of a file with a request."""
        path = os.path.join(self.folder, "request")
        with open(path, "wb") as file:
            file.write(h2_client.message(data))
        return path

    def _begin(
        self, tool: str, arguments: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        """Starts a tool; the test is skipped if it is not there."""
        path = shutil.which(tool)
        if path is None:
            self.skipTest(
                f"{tool} must be installed (apt-get install "
                f"{_PACKAGES[tool]}); it is not"
            )
        process = subprocess.Popen(
            [path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.enter_context(process)
        self.addCleanup(process.kill)
        return process

    def _run(self, tool: str, arguments: Sequence[str]) -> bytes:
        """Runs a tool to its end; returns its output."""
        process = self._begin(tool, arguments)
        output, errors = process.communicate(timeout=_SECONDS)
        self.assertEqual(process.returncode, 0, errors)
        return output

    def _curl(self, data: bytes, *arguments: str) -> Sequence[str]:
        """Returns the arguments of curl for a call.

        The response goes to its output, the header fields and trailers to the
        file "head".
        """
        http = "--http2-prior-knowledge" if self.scheme == "http" else "--http2"
        return [
            *("--silent", "--show-error", "--no-buffer", http, *_HEADERS),
            *("--cacert", self.files.ca_file),
            *("--cert", self.files.client.certificate_file),
            *("--key", self.files.client.key_file),
            *("--dump-header", os.path.join(self.folder, "head")),
            *("--data-binary", f"@{self._request_file(data)}", *arguments),
        ]

    def _head(self) -> str:
        """Returns the header fields and trailers that curl got."""
        with open(os.path.join(self.folder, "head"), encoding="ascii") as file:
            return file.read()

    @_each_security
    def test_curl_gets_an_answer(self, security: str) -> None:
        """The response is a message, and the status is in its trailers."""
        self._start(security)
        hello = echo_service.message("hello")
        output = self._run("curl", [*self._curl(hello), self._url()])
        self.assertEqual(output, h2_client.message(hello))
        self.assertRegex(
            self._head(),
            r"(?s)^HTTP/2 200 \ncontent-type: application/grpc\n.*"
            r"grpc-status: 0\n$",
        )

    @_each_security
    def test_curl_gets_an_error(self, security: str) -> None:
        """Code and text are fields of the header, and there is no message."""
        self._start(security)
        refuse = echo_service.message(echo_service.REFUSE)
        output = self._run("curl", [*self._curl(refuse), self._url()])
        self.assertEqual(output, b"")
        self.assertRegex(
            self._head(),
            r"(?s)^HTTP/2 200 .*\ngrpc-status: 5\ngrpc-message: echo must be "
            r"of another text; got 100%25 of 'refuse' %E2%98%83\n$",
        )

    @_each_security
    def test_curl_sends_and_gets_large_messages(self, security: str) -> None:
        """Three million bytes each way."""
        self._start(security)
        large = echo_service.message("large" * 600_000)
        output = self._run("curl", [*self._curl(large), self._url()])
        self.assertTrue(output == h2_client.message(large))

    def test_curl_gets_the_end_of_its_deadline(self) -> None:
        """The server ends the call, for curl does not know of deadlines."""
        self._start()
        keep = echo_service.message(echo_service.KEEP)
        self._run(
            "curl", [*self._curl(keep, "-H", "grpc-timeout: 300m"), self._url()]
        )
        self.assertRegex(self._head(), "\ngrpc-status: 4\n")
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))

    @_each_security
    def test_curl_may_be_ended(self, security: str) -> None:
        """The service learns that the caller is gone."""
        self._start(security)
        keep = echo_service.message(echo_service.KEEP)
        curl = self._begin("curl", [*self._curl(keep), self._url()])
        call = self.echo.kept.get(timeout=_SECONDS)
        curl.terminate()
        self.assertTrue(self.echo.left.acquire(timeout=_SECONDS))
        self.assertFalse(call.is_active)

    @_each_security
    def test_curl_may_watch_the_health(self, security: str) -> None:
        """Each state comes at once. Old versions of curl miss the status."""
        self._start(security)
        curl = self._begin("curl", [*self._curl(b""), self._url(_WATCH)])
        assert curl.stdout is not None
        serving, not_serving = b"\x08\1", b"\x08\2"
        self.assertEqual(curl.stdout.read(7), h2_client.message(serving))
        stopper = threading.Thread(
            target=self.server.stop,
            args=(_SECONDS,),
            kwargs={"drain_delay_seconds": 5.0},
        )
        stopper.start()
        self.assertEqual(curl.stdout.read(7), h2_client.message(not_serving))
        self.clock.settle(threads=1)
        self.clock.advance_micros(5_000_000)
        self.assertEqual(curl.stdout.read(), b"")
        self.assertEqual(curl.wait(_SECONDS), 0)
        stopper.join()

    @parameterized.parameters("--http1.1", "--http2")
    def test_curl_learns_that_the_port_is_for_grpc(self, option: str) -> None:
        """Somebody who tries the port with HTTP/1 gets a hint."""
        self._start()
        output = self._run("curl", ["--silent", option, self._url("/")])
        self.assertRegex(output, b"^This port must be called with gRPC")

    @parameterized.named_parameters(("nothing", ()), ("http_1", ("--http1.1",)))
    def test_curl_agrees_on_http_2_with_tls(
        self, options: Sequence[str]
    ) -> None:
        """Somebody who insists on HTTP/1 gets a hint."""
        self._start("tls")
        output = self._run(
            "curl",
            [
                *("--silent", "--cacert", self.files.ca_file, *options),
                *("--write-out", "%{http_version} %{http_code}", self._url()),
            ],
        )
        self.assertRegex(output, b"gRPC.*\n1.1 400$" if options else b"^2 405$")

    @_each_security
    def test_nghttp_gets_an_answer(self, security: str) -> None:
        """Every frame is one that the tool understands."""
        self._start(security)
        output = self._run(
            "nghttp",
            [
                *("--verbose", *_HEADERS),
                *("--cert", self.files.client.certificate_file),
                *("--key", self.files.client.key_file),
                *("--data", self._request_file(echo_service.message("hello"))),
                self._url(),
            ],
        )
        self.assertRegex(output, rb"recv \(stream_id=\d+\) :status: 200\n")
        self.assertRegex(output, rb"recv \(stream_id=\d+\) grpc-status: 0\n")
        self.assertIn(h2_client.message(echo_service.message("hello")), output)
        self.assertNotIn(b"RST_STREAM", output)

    @parameterized.parameters("plain", "tls")
    def test_h2load_gets_all_answers(self, security: str) -> None:
        """A thousand calls over four connections, 64 each, are answered."""
        self._start(security)
        output = self._run(
            "h2load",
            [
                *("-v", "-n", "1000", "-c", "4", "-m", "64", *_HEADERS),
                *("-d", self._request_file(echo_service.message("hello"))),
                self._url(),
            ],
        )
        self.assertIn(b"1000 succeeded, 0 failed, 0 errored, 0 timeout", output)
        self.assertEqual(_num_answers(output), 1000)
        self.assertEqual(self.echo.num_echoes, 1000)

    def test_h2load_loses_no_answer_by_a_stop(self) -> None:
        """Every reply of the service has arrived when the server stops."""
        self._start()
        h2load = self._begin(
            "h2load",
            [
                *("-v", "-n", "1000000", "-c", "4", "-m", "16", *_HEADERS),
                *("-d", self._request_file(echo_service.message("hello"))),
                self._url(),
            ],
        )
        assert h2load.stdout is not None
        num_answers = 0
        while num_answers < 500:
            num_answers += b":status: 200" in h2load.stdout.readline()
        self.server.stop(_SECONDS)
        output, _ = h2load.communicate(timeout=_SECONDS)
        self.assertEqual(_num_answers(output), self.echo.num_echoes)


def _num_answers(output: bytes) -> int:
    """Returns how many answers of "hello" h2load got, by their bytes."""
    match = re.search(rb"\((\d+)\) data\n", output)
    assert match is not None, output
    return int(match[1]) // len(
        h2_client.message(echo_service.message("hello"))
    )


if __name__ == "__main__":
    absltest.main()
