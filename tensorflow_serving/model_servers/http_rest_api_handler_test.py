"""Tests for http_rest_api_handler, with a model of TensorFlow 2."""

import asyncio
import json
import os
import threading
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import json_document
from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import (
    call_events,
    http_rest_api_handler,
    model_configs,
    rest_rounds,
    served_models,
    server_core,
)
from tensorflow_serving.test_util import model_server_folder
from tensorflow_serving.util import errors

_PREDICT = "/v1/models/half:predict"


class HttpRestApiHandlerTest(parameterized.TestCase):
    """A handler on a core with a model that is there, and a broken one."""

    folder: model_server_folder.ModelServerFolder
    core: server_core.ServerCore

    @classmethod
    def setUpClass(cls) -> None:
        """Loads version 3 of "half"; "broken" cannot be loaded."""
        super().setUpClass()
        cls.folder = cls.enter_context(model_server_folder.ModelServerFolder())
        cls.folder.write("half", 3)
        path = cls.folder.write(
            "broken", write=lambda path: os.makedirs(f"{path}/variables")
        )
        with open(os.path.join(path, "saved_model.pb"), "wb") as file:
            file.write(b"no model")
        cls.core = server_core.ServerCore(server_core.Options(), ())
        cls.addClassCleanup(cls.core.close)
        cls._reload("half")

    def setUp(self) -> None:
        """Makes a handler, after a try to serve both models."""
        super().setUp()
        with self.assertRaises(errors.ServingError):
            self._reload("half", "broken")
        self.rounds = self.enter_context(rest_rounds.RestRounds())
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.handler = self._handler()

    def tearDown(self) -> None:
        """Serves one model only, so that the other one is new again."""
        self._reload("half")
        super().tearDown()

    @classmethod
    def _reload(cls, *names: str) -> None:
        cls.core.reload(model_configs.parse(cls.folder.config(*names)))

    def _handler(
        self,
        core: server_core.ServerCore | None = None,
        **options: Any,
    ) -> http_rest_api_handler.HttpRestApiHandler:
        handler = http_rest_api_handler.HttpRestApiHandler(
            core or self.core,
            self.rounds,
            http_rest_api_handler.Options(**options),
        )
        self.addCleanup(handler.close)
        return handler

    def _answer(
        self, method: str, path: str, body: Any = b"", **headers: str
    ) -> messages.Response:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.loop.run_until_complete(
            self.handler.answer(messages.Request(method, path, headers, body))
        )

    def _json(self, method: str, path: str, body: Any = b"") -> Any:
        response = self._answer(method, path, body)
        self.assertEqual(response.status, 200, response.body)
        return json.loads(response.body)

    def test_predict_answers_in_the_form_of_the_request(self) -> None:
        """Rows get predictions, and columns get outputs."""
        for body, expected in (
            ({"instances": [1, 2]}, {"predictions": [2.5, 3.0]}),
            ({"instances": [{"x": 5}]}, {"predictions": [4.5]}),
            ({"inputs": [1, 2]}, {"outputs": [2.5, 3.0]}),
            ({"inputs": {"x": [1]}}, {"outputs": [2.5]}),
        ):
            with self.subTest(body):
                self.assertEqual(self._json("POST", _PREDICT, body), expected)

    def test_predict_answers_in_the_bytes_of_the_original(self) -> None:
        """A response of one output is equal to that of TensorFlow Serving."""
        response = self._answer("POST", _PREDICT, {"instances": [1, 2, 0.1]})
        self.assertEqual(response.content_type, "application/json")
        self.assertEqual(
            response.body,
            b'{\n    "predictions": [2.5, 3.0, 2.05\n    ]\n}',
        )

    def test_calls_of_a_model_have_a_limit(self) -> None:
        """One more is refused before its body is looked at."""
        config = self.folder.config("half", more="max_concurrent_calls: 2")
        self.core.reload(model_configs.parse(config))
        limits = self.core.call_limits
        with limits.place("half"):
            self._json("POST", _PREDICT, {"instances": [1]})
            with limits.place("half"):
                response = self._answer("POST", _PREDICT, b"no JSON")
        self.assertEqual(response.status, 429)
        self.assertEqual(response.headers, {"retry-after": "1"})
        self.assertEqual(
            json.loads(response.body)["error"],
            "Too many concurrent calls of model half (limit 2); try again "
            "later.",
        )
        for body, status in (({"instances": [1]}, 200), (b"no JSON", 400)):
            for _ in range(3):
                response = self._answer("POST", _PREDICT, body)
                self.assertEqual(response.status, status)

    def test_version_may_be_named(self) -> None:
        """A version that is not served is not found."""
        body = {"instances": [1]}
        path = "/v1/models/half/versions/3:predict"
        self.assertEqual(self._json("POST", path, body), {"predictions": [2.5]})
        response = self._answer(
            "POST", "/v1/models/half/versions/4:predict", body
        )
        self.assertEqual(response.status, 404)
        self.assertIn(b"Servable not found for request", response.body)

    @parameterized.named_parameters(
        ("model", "POST", "/v1/models/no:predict", 404, "Servable not found"),
        ("label", "POST", "/v1/models/half/labels/x:predict", 400, "label"),
        ("method", "POST", "/v1/models/half:run", 400, "Malformed request"),
        ("get", "GET", "/v1/models/half:predict", 400, "Malformed request"),
        ("put", "PUT", "/v1/models/half", 400, "Malformed request"),
        ("status", "GET", "/v1/models/no", 404, "any versions of model no"),
        ("metadata", "GET", "/v1/models/no/metadata", 404, "Servable not"),
        ("page", "GET", "/v2/health", 404, "Not found: /v2/health"),
        ("options", "OPTIONS", "/v1/models/half", 400, "Malformed request"),
    )
    def test_what_is_not_there_is_an_error(
        self, method: str, path: str, status: int, text: str
    ) -> None:
        """The status and the text are those of TensorFlow Serving."""
        response = self._answer(method, path, {"instances": [1]})
        self.assertEqual(response.status, status)
        self.assertEqual(response.content_type, "application/json")
        self.assertIn(text, json.loads(response.body)["error"])

    @parameterized.named_parameters(
        ("no_json", b"x", "JSON Parse error"),
        ("no_body", b"", "The document is empty"),
        ("no_inputs", {}, "Missing 'inputs' or 'instances' key"),
        (
            "kind",
            {"instances": ["a"]},
            "not of expected type: float32",
        ),
        (
            "signature",
            {"signature_name": "no", "instances": [1]},
            'Serving signature key "no" not found',
        ),
        ("signature_kind", {"signature_name": 1}, "must be a string"),
    )
    def test_bad_request_is_refused(self, body: Any, text: str) -> None:
        """A request that cannot be run is the fault of the caller."""
        response = self._answer("POST", _PREDICT, body)
        self.assertEqual(response.status, 400)
        self.assertIn(text, json.loads(response.body)["error"])

    def test_signature_without_examples_is_not_for_classify(self) -> None:
        """The error says what the signature would have to be."""
        for method in ("classify", "regress"):
            response = self._answer(
                "POST", f"/v1/models/half:{method}", {"examples": [{"x": 1.0}]}
            )
            self.assertEqual(response.status, 400)
            self.assertIn(b"one input, inputs", response.body)

    def test_status_lists_the_versions(self) -> None:
        """Numbers are strings, and defaults are printed."""
        self.assertEqual(
            self._json("GET", "/v1/models/half/versions/3"),
            {
                "model_version_status": [
                    {
                        "version": "3",
                        "state": "AVAILABLE",
                        "status": {"error_code": "OK", "error_message": ""},
                    }
                ]
            },
        )

    def test_status_tells_what_is_wrong(self) -> None:
        """A model that could not be loaded says why."""
        (version,) = self._json("GET", "/v1/models/broken")[
            "model_version_status"
        ]
        self.assertEqual(version["state"], "END")
        self.assertNotEqual(version["status"]["error_code"], "OK")
        self.assertNotEqual(version["status"]["error_message"], "")

    def test_metadata_has_the_signatures(self) -> None:
        """The layout is that of the original."""
        response = self._answer("GET", "/v1/models/half/metadata")
        self.assertTrue(response.body.startswith(b'{\n"model_spec":{\n'))
        self.assertIn(
            b'\n}\n,\n"metadata": {"signature_def": {\n', response.body
        )
        self.assertTrue(response.body.endswith(b"\n}\n}\n}\n"))
        found = json.loads(response.body)
        self.assertEqual(
            found["model_spec"],
            {"name": "half", "signature_name": "", "version": "3"},
        )
        signature = found["metadata"]["signature_def"]["signature_def"][
            "serving_default"
        ]
        self.assertEqual(signature["method_name"], "tensorflow/serving/predict")
        self.assertEqual(signature["inputs"]["x"]["dtype"], "DT_FLOAT")

    def test_all_models_are_listed(self) -> None:
        """Two pages list all models, one as OpenVINO Model Server does."""
        models = self._json("GET", "/v1/models")["models"]
        self.assertEqual([each["name"] for each in models], ["broken", "half"])
        config = self._json("GET", "/v1/config")
        for each in models:
            self.assertEqual(
                config[each["name"]]["model_version_status"],
                each["model_version_status"],
            )

    def test_lists_of_models_hold_up_no_call(self) -> None:
        """They are made on another thread, as there may be many models."""
        threads = []

        def states(served: object) -> dict[str, Any]:
            threads.append(threading.current_thread())
            return {}

        with mock.patch.object(served_models, "all_states", states):
            self._json("GET", "/v1/models")
            self._json("GET", "/v1/config")
        self.assertEqual(len(threads), 2)
        self.assertNotIn(threading.current_thread(), threads)

    def test_health_tells_the_truth(self) -> None:
        """The process lives, and is ready when all its models are."""
        self.assertEqual(self._answer("GET", "/healthz").status, 200)
        response = self._answer("GET", "/readyz")
        self.assertEqual(response.status, 503)
        found = json.loads(response.body)
        self.assertFalse(found["ready"])
        self.assertEqual(list(found["reasons"]), ["broken"])
        self.assertIn("version 1: ", found["reasons"]["broken"])
        self.assertEqual(self._answer("GET", "/readyz/half").status, 200)
        self.assertEqual(self._answer("GET", "/readyz/broken").status, 503)
        self._reload("half")
        self.assertEqual(self._answer("GET", "/readyz").status, 200)
        self.handler.drain()
        self.assertEqual(self._answer("GET", "/readyz").status, 503)
        self.assertEqual(self._answer("GET", "/healthz").status, 200)

    def test_pages_of_other_servers_are_told_whether_they_may_call(
        self,
    ) -> None:
        """With the option, every response says that they may."""
        origin = {"origin": "http://example.com"}
        response = self._answer("OPTIONS", "/v1/models/half", **origin)
        self.assertEqual((response.status, dict(response.headers)), (200, {}))
        self.handler = self._handler(enables_cors=True)
        for response in (
            self._answer("GET", "/v1/models/half"),
            self._answer("GET", "/v1/models/no"),
            # The server of HTTP asks for it before a request is whole.
            self.handler.error_response(messages.BodyTooLargeError("")),
        ):
            self.assertEqual(
                response.headers["access-control-allow-origin"], "*"
            )

    def test_call_before_the_first_models_are_there_is_to_be_repeated(
        self,
    ) -> None:
        """The text has no word that clients take for the end of the start."""
        os.makedirs(self.folder.base_path("late"), exist_ok=True)
        models = model_configs.parse(self.folder.config("late"))
        with server_core.ServerCore(server_core.Options(), models) as core:
            self.handler = self._handler(core)
            for name in ("late", "no"):
                response = self._answer(
                    "POST", f"/v1/models/{name}:predict", {"instances": [1]}
                )
                self.assertEqual(response.status, 503)
                self.assertEqual(response.headers, {"retry-after": "1"})
                self.assertEqual(
                    json.loads(response.body),
                    {
                        "error": "The server loads its first models; try again "
                        "later"
                    },
                )

    def test_call_that_takes_too_long_ends_with_its_deadline(self) -> None:
        """A call is not run when its time is over."""
        self.handler = self._handler(timeout_seconds=-1.0)
        response = self._answer("POST", _PREDICT, {"instances": [1]})
        self.assertEqual(response.status, 504)

    def test_fault_of_ours_before_a_call_has_a_turn_is_reported(self) -> None:
        """There is one end, as of any other call, and the log has the rest."""
        listener = mock.Mock()
        self.handler = http_rest_api_handler.HttpRestApiHandler(
            self.core,
            self.rounds,
            listeners=call_events.Listeners([listener]),
        )
        for fault, status, code in (
            (ValueError("bug"), 500, errors.StatusCode.INTERNAL),
            (MemoryError(), 429, errors.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with (
                self.subTest(code),
                mock.patch.object(json_document, "parse", side_effect=fault),
                self.assertLogs(level="ERROR"),
            ):
                listener.reset_mock()
                response = self._answer("POST", _PREDICT, {"instances": [1]})
                self.assertEqual(response.status, status)
                ((call, error),) = [
                    each.args for each in listener.refused.call_args_list
                ]
                self.assertEqual(call.model, "half")
                self.assertIs(error.code, code)

    def test_answer_says_where_the_time_went_if_asked(self) -> None:
        """The stages are in the header that browsers show, in milliseconds."""
        body = {"instances": [1, 2]}
        answer = self._answer("POST", _PREDICT, body)
        self.assertEqual(answer.headers, {})
        answer = self._answer("POST", _PREDICT, body, **{"serving-timing": ""})
        self.assertEqual(answer.headers["serving-version"], "3")
        self.assertRegex(
            answer.headers["server-timing"],
            r"^read;dur=[\d.]+, queue;dur=[\d.]+, batch;dur=[\d.]+;"
            r'desc="2 rows", run;dur=[\d.]+, write;dur=[\d.]+$',
        )

    def test_calls_at_the_same_time_get_their_own_answers(self) -> None:
        """A hundred calls on one event loop are answered each with its own."""

        async def answer_all() -> list[messages.Response]:
            return await asyncio.gather(
                *(
                    self.handler.answer(
                        messages.Request(
                            "POST",
                            _PREDICT,
                            {},
                            json.dumps({"inputs": [number]}).encode(),
                        )
                    )
                    for number in range(100)
                )
            )

        found = [
            json.loads(each.body)["outputs"]
            for each in self.loop.run_until_complete(answer_all())
        ]
        np.testing.assert_allclose(
            found, [[number / 2 + 2] for number in range(100)]
        )


if __name__ == "__main__":
    absltest.main()
