"""Tests of the REST API over real connections.

http_rest_api_handler_requests.txt has requests and their answers.
"""

import gzip
import http.client
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import requests
from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.http import http_server
from tensorflow_serving.http import options as http_options
from tensorflow_serving.model_servers import (
    http_rest_api_handler,
    model_configs,
    options,
    rest_rounds,
    server_core,
)
from tensorflow_serving.test_util import (
    model_server_folder,
    small_model,
    written_models,
)

_TABLE = pathlib.Path(__file__).with_name("http_rest_api_handler_requests.txt")
_REQUEST = re.compile(r"([A-Z]+) (/\S*)(?: (.*))?")
_HEADER = re.compile(r"([A-Z][A-Za-z-]+): (.*)")
_ANSWER = re.compile(r"(\d{3})(?: (.*))?")
_ERROR = 400
_MAX_BODY_BYTES = 1_000_000
_LONG_BODY_BYTES = 300_000
_LONG = 60.0
# The models, and the versions that are served of each.
_VERSIONS = {
    "half": (3,),
    "small": (7,),
    "two": (1, 2),
    "a/b: é": (1,),
    "broken": (1,),
}


class _Row(NamedTuple):
    """A row of the table."""

    line: int
    method: str
    path: str
    body: str
    headers: Mapping[str, str]
    status: int
    answer: str


def _rows() -> Iterator[_Row]:
    lines = _TABLE.read_text(encoding="utf-8").split("\n")
    starts = [
        number for number, line in enumerate(lines) if _REQUEST.fullmatch(line)
    ]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        request = _REQUEST.fullmatch(lines[start])
        assert request is not None
        headers = {}
        for start_of_answer in range(start + 1, end):
            header = _HEADER.fullmatch(lines[start_of_answer])
            if header is None:
                break
            headers[header[1]] = header[2]
        answer = _ANSWER.fullmatch(lines[start_of_answer])
        assert answer is not None, lines[start_of_answer]
        more = [
            line
            for line in lines[start_of_answer + 1 : end]
            if line and not line.startswith("#")
        ]
        yield _Row(
            start + 1,
            request[1],
            request[2],
            request[3] or "",
            headers,
            int(answer[1]),
            "\n".join([answer[2] or "", *more]),
        )


class HttpRestApiRequestsTest(parameterized.TestCase):
    """A server with the models of the table, and one connection to it."""

    connection: http.client.HTTPConnection
    url: str

    @classmethod
    def setUpClass(cls) -> None:
        """Loads the models and starts the server."""
        super().setUpClass()
        folder = cls.enter_context(model_server_folder.ModelServerFolder())
        core = _core(folder)
        cls.addClassCleanup(core.close)
        handler = http_rest_api_handler.HttpRestApiHandler(
            core, cls.enter_context(rest_rounds.RestRounds())
        )
        cls.addClassCleanup(handler.close)
        server = http_server.HttpServer(
            "localhost:0",
            handler.answer,
            handler.error_response,
            http_options.Options(
                http_options.Limits(max_body_bytes=_MAX_BODY_BYTES)
            ),
        )
        cls.enter_context(server)
        server.start()
        cls.connection = http.client.HTTPConnection("localhost", server.port)
        cls.addClassCleanup(cls.connection.close)
        cls.url = f"http://localhost:{server.port}"

    @parameterized.named_parameters(
        (f"line_{row.line}", row) for row in _rows()
    )
    def test_answer_is_that_of_the_table(self, row: _Row) -> None:
        """Status and body are those, and the connection stays."""
        self.connection.request(
            row.method, row.path, row.body.encode(), row.headers
        )
        response = self.connection.getresponse()
        body = response.read().decode()
        self.assertEqual(response.status, row.status, body)
        self.assertEqual(response.getheader("content-type"), "application/json")
        self.assertFalse(response.will_close)
        if row.answer.startswith("~"):
            self.assertEqual(json.loads(body), json.loads(row.answer[1:]))
        else:
            self.assertEqual(body, _expected(row))

    @parameterized.named_parameters(
        (f"line_{row.line}", row)
        for row in _rows()
        if row.body.startswith("{") and not row.headers
    )
    def test_answer_to_a_long_body_is_the_same(self, row: _Row) -> None:
        """Another process reads such bodies."""
        body = row.body.encode() + b" " * _LONG_BODY_BYTES
        self.connection.request(row.method, row.path, body)
        response = self.connection.getresponse()
        found = response.read().decode()
        self.assertEqual(response.status, row.status, found)
        if row.answer.startswith("~"):
            self.assertEqual(json.loads(found), json.loads(row.answer[1:]))
        elif "offset" not in found:
            self.assertEqual(found, _expected(row))

    def test_session_keeps_its_connection(self) -> None:
        """Only a body that is too large makes a client connect anew."""
        path = "/v1/models/half:predict"
        ports = set()
        with requests.Session() as session:
            for method, path_of_call, body, status in 3 * (
                ("POST", path, b'{"instances": [1]}', 200),
                ("POST", path, b'{"instances": ["a"]}', 400),
                ("POST", path, b"{", 400),
                ("POST", path, [b'{"inputs"', b": [1]}"], 200),
                ("GET", path, b"", 400),
                ("PUT", path, b"{}", 400),
                ("HEAD", path, b"", 400),
                ("GET", "/v1/models/half", b"", 200),
                ("GET", "/v1/models/no/metadata", b"", 404),
                ("GET", "/healthz", b"", 200),
                ("GET", "/other", b"", 404),
            ):
                found, port = self._send(session, method, path_of_call, body)
                self.assertEqual(found, status)
                ports.add(port)
            self.assertEqual(len(ports), 1)
            large = b" " * (_MAX_BODY_BYTES + 1)
            refused = session.post(f"{self.url}{path}", large)
            self.assertEqual(refused.status_code, 413)
            found, port = self._send(session, "POST", path, b'{"inputs": [1]}')
            self.assertEqual(found, 200)
            self.assertNotIn(port, ports)

    def _send(
        self,
        session: requests.Session,
        method: str,
        path: str,
        body: bytes | Sequence[bytes],
    ) -> tuple[int, int]:
        """Returns the status of an answer, and the client's port."""
        data = body if isinstance(body, bytes) else iter(body)
        with session.request(
            method, f"{self.url}{path}", data=data, stream=True
        ) as found:
            connection: Any = found.raw.connection
            _, port, *_ = connection.sock.getsockname()
            found.raw.read()
            return found.status_code, port

    def test_bodies_may_be_compressed_both_ways(self) -> None:
        """A request may be gzip, and so is the answer to who takes that."""
        request = {"instances": [*range(1000)]}
        for accepted, coding in (("gzip", "gzip"), ("identity", None)):
            found = requests.post(
                f"{self.url}/v1/models/half:predict",
                gzip.compress(json.dumps(request).encode()),
                headers={
                    "Content-Encoding": "gzip",
                    "Accept-Encoding": accepted,
                },
            )
            self.assertEqual(found.status_code, 200)
            self.assertEqual(found.headers.get("Content-Encoding"), coding)
            self.assertEqual(
                found.json()["predictions"],
                [number / 2 + 2 for number in range(1000)],
            )

    @parameterized.named_parameters(
        ("byte_order_mark", b'\xef\xbb\xbf{"instances": [1]}', 200),
        ("not_utf8", b'{"instances": ["\xff"]}', 400),
        ("utf16", '{"instances": [1]}'.encode("utf-16"), 400),
        ("nul", b'{"instances": [1]}\0', 400),
        ("deep", b'{"instances": %b}' % (b"[" * 100_000), 400),
        ("long", b'{"instances": [%b]}' % (b"1," * 400_000 + b"1"), 200),
    )
    def test_body_is_read_as_utf8(self, body: bytes, status: int) -> None:
        """Whatever else comes is refused, and the server goes on."""
        found = requests.post(f"{self.url}/v1/models/half:predict", body)
        self.assertEqual(found.status_code, status)
        self.assertIn(
            "error" if status == _ERROR else "predictions", found.json()
        )


def _expected(row: _Row) -> str:
    if row.method == "HEAD":
        return ""
    if row.status >= _ERROR:
        text = json.dumps(row.answer, ensure_ascii=False)
        return f'{{\n    "error": {text}\n}}'
    # Only answers about models end their last line.
    return f"{row.answer}\n" if row.method == "GET" else row.answer


def _core(
    folder: model_server_folder.ModelServerFolder,
) -> server_core.ServerCore:
    """Returns a core once it has tried to load all models of the table."""
    folder.write("half", 3)
    folder.write("small", 7, small_model.write)
    folder.write("two", 1, small_model.write)
    folder.write("two", 2)
    folder.write("broken", 1, written_models.copy_broken)
    config = folder.config(*_VERSIONS, more="model_version_policy { all {} }")
    _, small, two, encoded, _ = config.model_config_list.config
    small.version_labels["stable"] = 7
    two.version_labels.update({"old": 1, "new/est": 2})
    encoded.base_path = os.path.join(folder.path, "encoded")
    written_models.copy(
        written_models.SAVED_MODEL_TF2, os.path.join(encoded.base_path, "1")
    )
    core = server_core.ServerCore(
        server_core.Options(
            allows_labels_for_unavailable_models=True,
            batching=options.batching(),
        ),
        model_configs.parse(config),
    )
    assert core.news.wait_until(lambda: _are_loaded(core), _LONG)
    return core


def _are_loaded(core: server_core.ServerCore) -> bool:
    """Returns whether each version is available, or has failed."""
    for name, versions in _VERSIONS.items():
        states = core.states(name)
        for version in versions:
            state = states.get(version)
            if state is None or not (
                state.has_failed
                or state.manager_state is servable.ManagerState.AVAILABLE
            ):
                return False
    return True


if __name__ == "__main__":
    absltest.main()
