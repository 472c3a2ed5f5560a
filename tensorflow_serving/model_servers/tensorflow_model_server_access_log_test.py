"""Tests of the model server as a process: a line for each call."""

import collections
import json
import os
from typing import Any, Final

import grpc
import numpy as np
import requests
from absl.testing import absltest

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
    tensor_codec,
)
from tensorflow_serving.test_util import (
    held_port,
    model_server_folder,
    readiness,
)
from tensorflow_serving.util import server_process

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_HEADERS = {
    "traceparent": f"00-{_TRACE}-00f067aa0ba902b7-01",
    "x-request-id": "r1",
}
_HOSTILE = 'x"\n{"model": "forged"}'
_Line = dict[str, Any]
_REST_REQUESTS: Final = (
    ("POST", "/v1/models/half:predict", '{"instances": [1.0, 2.0]}'),
    ("POST", "/v1/models/half:predict", '{"instances": ["a"]}'),
    ("POST", "/v1/models/half:predict", "{"),
    ("POST", "/v1/models/x%22%0Ay:predict", '{"instances": [1.0]}'),
    ("GET", "/v1/models/half", ""),
    ("GET", "/v1/models/half/versions/1/metadata", ""),
    ("GET", "/healthz", ""),
    ("GET", "/nothing%0A", ""),
)


def _predict(model: str, signature: str = "") -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(
        tensor_codec.to_proto(np.array([1.0, 2.0], np.float32))
    )
    return request


def _grpc_requests() -> list[tuple[str, Any]]:
    """Returns good and bad requests, by the methods that they are for."""
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "half"
    metadata = get_model_metadata_pb2.GetModelMetadataRequest()
    metadata.model_spec.name = "half"
    metadata.metadata_field.append("signature_def")
    return [
        ("Predict", _predict("half")),
        ("Predict", _predict("half", "no")),
        ("Predict", _predict(_HOSTILE)),
        ("Predict", predict_pb2.PredictRequest()),
        ("Classify", classification_pb2.ClassificationRequest()),
        ("Regress", regression_pb2.RegressionRequest()),
        ("MultiInference", inference_pb2.MultiInferenceRequest()),
        ("GetModelMetadata", metadata),
        ("GetModelStatus", status),
        ("GetModelStatus", get_model_status_pb2.GetModelStatusRequest()),
        (
            "HandleReloadConfigRequest",
            model_management_pb2.ReloadConfigRequest(),
        ),
    ]


class AccessLogTest(absltest.TestCase):
    """A server with a model, both ports, and a log."""

    def setUp(self) -> None:
        """Makes a folder with a version of a model."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.folder.write("half")
        self.path = os.path.join(self.folder.path, "calls.log")
        self.file_flag = f"--access_log_file={self.path}"
        self.port = self.enter_context(held_port.hold())
        self.url = f"http://localhost:{self.port}"
        self.channel = grpc.insecure_channel(self.folder.address)
        self.addCleanup(self.channel.close)
        self.predictions: Any = (
            prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        )
        self.models: Any = model_service_pb2_grpc.ModelServiceStub(self.channel)

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

    def _method(self, name: str) -> Any:
        if hasattr(self.predictions, name):
            return getattr(self.predictions, name)
        return getattr(self.models, name)

    def _call(self, method: Any, request: Any) -> grpc.StatusCode:
        try:
            method(request, metadata=tuple(_HEADERS.items()))
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK

    def _lines(self) -> list[_Line]:
        with open(self.path, encoding="ascii") as file:
            return [json.loads(line) for line in file]

    def test_each_call_of_grpc_has_a_line(self) -> None:
        """Calls that fail have the code that their caller got."""
        server = self._start("--access_log=json", self.file_flag)
        codes = [
            (name, self._call(self._method(name), request))
            for name, request in _grpc_requests()
        ]
        self.assertEqual(server.stop(), 0)
        lines = self._lines()
        # A call is answered before its line is written, perhaps by two threads.
        self.assertCountEqual(
            [(line["method"], line["status"]) for line in lines],
            [(method, code.name) for method, code in codes],
        )
        self.assertEqual({line["trace_id"] for line in lines}, {_TRACE})
        self.assertEqual({line["request_id"] for line in lines}, {"r1"})
        of_predict = {
            line["status"]: line
            for line in lines
            if line["method"] == "Predict"
        }
        self.assertEqual(
            [of_predict[code.name].get("model") for _, code in codes[:4]],
            ["half", "half", _HOSTILE, None],
        )
        first = of_predict["OK"]
        self.assertEqual(
            [first[name] for name in ("version", "signature", "rows")],
            [1, "serving_default", 2],
        )
        parts = ("queue_micros", "batch_micros", "run_micros")
        self.assertGreaterEqual(
            first["total_micros"], sum(first[name] for name in parts) - 3
        )
        self.assertGreater(first["run_micros"], 0)

    def test_each_request_of_rest_has_a_line(self) -> None:
        """So have pages, and what there is not."""
        server = self._start("--access_log=json", self.file_flag)
        found = [
            requests.request(
                method, self.url + path, data=body, headers=_HEADERS
            ).status_code
            for method, path, body in _REST_REQUESTS
        ]
        self.assertEqual(server.stop(), 0)
        lines = self._lines()
        self.assertEqual(
            [
                (line["http_method"], line["path"], line["http_status"])
                for line in lines
            ],
            [
                (method, path, status)
                for (method, path, _), status in zip(
                    _REST_REQUESTS, found, strict=True
                )
            ],
        )
        self.assertEqual({line["trace_id"] for line in lines}, {_TRACE})
        self.assertEqual(
            [line.get("method") for line in lines[3:]],
            ["Predict", "GetModelStatus", "GetModelMetadata", None, None],
        )
        self.assertEqual(lines[3]["model"], 'x"\ny')
        self.assertEqual(
            " ".join(line["status"] for line in lines),
            "OK INVALID_ARGUMENT INVALID_ARGUMENT NOT_FOUND OK OK OK NOT_FOUND",
        )
        first = lines[0]
        self.assertEqual(
            [first[name] for name in ("version", "signature", "rows")],
            [1, "serving_default", 2],
        )
        self.assertGreaterEqual(first["total_micros"], first["run_micros"])

    def test_lines_are_written_while_the_server_runs(self) -> None:
        """Standard error gets them, beside what is logged."""
        server = self._start("--access_log=text")
        self._call(self.predictions.Predict, _predict("half"))
        server.wait_for_log(
            "entrypoint=GRPC method=Predict model=half version=1 "
            "signature=serving_default status=OK"
        )
        self.assertEqual(server.stop(), 0)

    def test_file_may_be_moved(self) -> None:
        """No line is lost, and none is written twice."""
        server = self._start("--access_log=json", self.file_flag)
        old = f"{self.path}.1"
        num_calls = 0
        while not os.path.exists(old) or not os.path.exists(self.path):
            self._call(self.predictions.Predict, _predict("half"))
            num_calls += 1
            if num_calls == 10:
                os.rename(self.path, old)
        self.assertEqual(server.stop(), 0)
        with open(old, encoding="ascii") as file:
            num_lines = len(file.readlines())
        self.assertEqual(num_lines + len(self._lines()), num_calls)

    def test_full_disk_costs_lines_only(self) -> None:
        """The metrics tell how many."""
        server = self._start("--access_log=json", "--access_log_file=/dev/full")
        for _ in range(3):
            code = self._call(self.predictions.Predict, _predict("half"))
            self.assertEqual(code, grpc.StatusCode.OK)
        server.wait_for_log("/dev/full cannot be written: No space left")
        text = requests.get(f"{self.url}/metrics").text
        self.assertRegex(
            text,
            r'access_log_lines_total\{outcome="dropped"\} [1-9]',
        )
        self.assertEqual(server.stop(), 0)

    def test_sample_leaves_no_failure_out(self) -> None:
        """With a rate of 0, calls that succeed have no lines."""
        server = self._start(
            "--access_log=json",
            self.file_flag,
            "--access_log_sampling_rate=0",
        )
        for model in ("half", "other", "half"):
            self._call(self.predictions.Predict, _predict(model))
            requests.post(
                f"{self.url}/v1/models/{model}:predict",
                json={"instances": [1.0]},
            )
        self.assertEqual(server.stop(), 0)
        self.assertEqual(
            collections.Counter(
                (line["entrypoint"], line["status"]) for line in self._lines()
            ),
            {("GRPC", "NOT_FOUND"): 1, ("REST", "NOT_FOUND"): 1},
        )

    def test_lines_of_workers_do_not_mix(self) -> None:
        """Each call has a whole line in the one file."""
        server = self._start(
            "--num_workers=2",
            "--access_log=json",
            self.file_flag,
        )
        readiness.wait_until_ready(f"{self.url}/readyz")
        num_requests = 60
        for _ in range(num_requests):
            requests.post(
                f"{self.url}/v1/models/half:predict",
                json={"instances": [1.0]},
                headers={"connection": "close"},
            )
        self.assertEqual(server.stop(), 0)
        lines = [line for line in self._lines() if line.get("method")]
        self.assertEqual(
            [line["status"] for line in lines], ["OK"] * num_requests
        )


if __name__ == "__main__":
    absltest.main()
