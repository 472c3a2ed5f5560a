"""Tests of the model server as a process that records calls."""

import collections
import os
import pathlib
import re
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import requests
from absl.testing import absltest

from tensorflow_serving.apis import (
    inference_pb2,
    prediction_log_pb2,
    tensor_codec,
)
from tensorflow_serving.client import calls, client, options
from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.servables.tensorflow import warm_up_requests
from tensorflow_serving.test_util import (
    held_port,
    model_server_folder,
    readiness,
    small_model,
)
from tensorflow_serving.util import server_process, tf_record

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_X = np.array([1, 2], np.float32)
_Log = prediction_log_pb2.PredictionLog
_COUNT = re.compile(
    r'^:tensorflow:serving:request_log_count\{model_name="m",'
    r'status_code="(\w+)"\} (\d+)',
    re.MULTILINE,
)


class RecordingTest(absltest.TestCase):
    """A server with both ports and a model with all kinds of signatures."""

    def setUp(self) -> None:
        """Makes folders for a model and for its log."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.folder.write("m", 1, small_model.write)
        self.records = pathlib.Path(self.folder.path, "records")
        self.records.mkdir()
        self.port = self.enter_context(held_port.hold())

    def _config(
        self, rate: float, prefix: str = "m"
    ) -> model_server_config_pb2.ModelServerConfig:
        return self.folder.config("m", more=self._logging(rate, prefix))

    def _logging(self, rate: float, prefix: str = "m") -> str:
        return (
            'logging_config { log_collector_config { type: "file" '
            f'filename_prefix: "{self.records}/{prefix}" }} '
            f"sampling_config {{ sampling_rate: {rate} }} }}"
        )

    def _start(self, *flags: str) -> server_process.ServerProcess:
        server = self.folder.start(
            _SERVER, f"--rest_api_port={self.port}", "--host=localhost", *flags
        )
        self.enter_context(server)
        server.wait_for_log("{name: m version: 1} is AVAILABLE")
        self.client = client.Client(options.Options(self.folder.address))
        self.addCleanup(self.client.close)
        return server

    def _start_logging(
        self, *flags: str, rate: float = 1, prefix: str = "m"
    ) -> server_process.ServerProcess:
        config = self.folder.write_config("m", more=self._logging(rate, prefix))
        return self._start(f"--model_config_file={config}", *flags)

    def _predict(self, number: int = 1) -> None:
        for _ in range(number):
            self.client.predict(calls.Model("m"), {"x": _X})

    def _post(self, method: str, **body: Any) -> None:
        response = requests.post(
            f"http://localhost:{self.port}/v1/models/m:{method}",
            json=body,
            timeout=30,
        )
        self.assertEqual(response.status_code, 200, response.text)

    def _call_everything(self) -> None:
        """Sends a call of each method through each API that has it."""
        self._predict()
        for call, signature in (
            (self.client.classify, "classify"),
            (self.client.regress, "regress"),
        ):
            call(calls.Model("m", signature=signature), [{"a": 1}])
            self._post(signature, signature_name=signature, examples=[{"a": 1}])
        request = inference_pb2.MultiInferenceRequest()
        for method in ("classify", "regress"):
            request.tasks.add(
                model_spec={"name": "m", "signature_name": method},
                method_name=f"tensorflow/serving/{method}",
            )
        request.input.example_list.examples.add()
        path = "/tensorflow.serving.PredictionService/MultiInference"
        self.client.run(
            calls.Call(path, request.SerializeToString(), lambda data: data)
        )
        self._post("predict", instances=[1, 2])

    def _logs(self, pattern: str = "*.tfrecord") -> Iterator[_Log]:
        for path in sorted(self.records.glob(pattern)):
            with path.open("rb") as file:
                yield from map(_Log.FromString, tf_record.read(file))

    def _wait_for_counts(self, **expected: int) -> None:
        """Waits until so many calls are logged, or lost, by their status."""
        expected_found = {name: str(each) for name, each in expected.items()}
        while dict(_COUNT.findall(self._get("/metrics"))) != expected_found:
            pass

    def _get(self, path: str) -> str:
        url = f"http://localhost:{self.port}{path}"
        return requests.get(url, timeout=30).text

    def test_calls_of_all_methods_are_logged(self) -> None:
        """TensorFlow reads what they asked, and what they got."""
        server = self._start_logging()
        self._call_everything()
        self.assertEqual(server.stop(), 0)
        logs = [*self._logs()]
        kinds = collections.Counter(log.WhichOneof("log_type") for log in logs)
        self.assertEqual(
            kinds,
            {
                "predict_log": 2,
                "classify_log": 2,
                "regress_log": 2,
                "multi_inference_log": 1,
            },
        )
        for log in logs:
            spec = log.log_metadata.model_spec
            self.assertEqual((spec.name, spec.version.value), ("m", 1))
            self.assertEqual(log.log_metadata.saved_model_tags, ["serve"])
        first, second = (
            log.predict_log for log in logs if log.HasField("predict_log")
        )
        self.assertEqual(first.response, second.response)
        for each in (first, second):
            x, y = each.request.inputs["x"], each.response.outputs["y"]
            self.assertEqual(tensor_codec.to_array(x).tolist(), [1, 2])
            self.assertEqual(tensor_codec.to_array(y).tolist(), [2.5, 3])

    def test_failed_calls_are_not_logged(self) -> None:
        """There is no response that could be."""
        server = self._start_logging()
        with self.assertRaises(RuntimeError):
            self.client.predict(calls.Model("m"), {"wrong": _X})
        self._predict()
        server.stop()
        self.assertEqual(len([*self._logs()]), 1)

    def test_another_configuration_loses_nothing(self) -> None:
        """The rate, the prefix and the log itself may change at any time."""
        server = self._start_logging()
        self._predict(3)
        self.client.reload(self._config(0))
        self._predict(100)
        self.client.reload(self._config(1, "other"))
        self._predict(2)
        self.client.reload(self.folder.config("m"))
        self._predict(100)
        server.stop()
        self.assertEqual(len([*self._logs("m-*.tfrecord")]), 3)
        self.assertEqual(len([*self._logs("other-*.tfrecord")]), 2)
        self.assertEqual([*self.records.glob("*.open")], [])

    def test_bad_configuration_is_refused_and_the_old_one_stays(self) -> None:
        """The answer names the model and the field."""
        server = self._start_logging()
        with self.assertRaisesRegex(
            RuntimeError, "logging_config of model m: sampling_rate must be"
        ):
            self.client.reload(self._config(2))
        self._predict()
        server.stop()
        self.assertEqual(len([*self._logs()]), 1)

    def test_what_cannot_be_written_is_counted_and_harms_no_call(self) -> None:
        """A folder that is not there is one reason."""
        self._start_logging(prefix="no/such/folder/m")
        self._call_everything()
        self._wait_for_counts(UNAVAILABLE=7)

    def test_kill_leaves_complete_files_whole(self) -> None:
        """The one that was open has the records that were settled."""
        server = self._start_logging("--request_log_max_file_bytes=1000")
        self._predict(40)
        self._wait_for_counts(OK=40)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        complete, opened = (
            [*self._logs(pattern)]
            for pattern in ("*.tfrecord", "*.tfrecord.open")
        )
        self.assertEqual(len(complete + opened), 40)
        self.assertTrue(complete)
        for path in self.records.glob("*.tfrecord"):
            self.assertLessEqual(path.stat().st_size, 1_000)

    def test_workers_have_files_of_their_own(self) -> None:
        """Together they have all calls."""
        server = self._start_logging("--num_workers=2")
        readiness.wait_until_ready(f"http://localhost:{self.port}/readyz")
        pids = server.child_pids()
        for _ in range(40):
            self._post("predict", instances=[1, 2])
        self.assertEqual(server.stop(), 0)
        names = {path.name for path in self.records.glob("*.tfrecord")}
        self.assertEqual(len([*self._logs()]), 40)
        self.assertLessEqual(
            {*{int(name.split("-")[-2]) for name in names}}, {*pids}
        )

    def test_recorded_requests_warm_up_the_next_version(self) -> None:
        """They are copied as they are, and replayed at the next load."""
        server = self._start(
            "--model_name=m",
            f"--model_base_path={self.folder.base_path('m')}",
            "--model_warmup_record=2",
            f"--model_warmup_record_path={self.records}",
        )
        for _ in range(4):
            self._call_everything()
        server.wait_for_log("Recorded 8 requests for a warm-up")
        recorded = self.records / "m" / "1"
        self.assertEqual(server.stop(), 0)
        logs = [*warm_up_requests.read(str(recorded))]
        self.assertEqual(len(logs), 2 * 4)

        def write(path: str) -> None:
            small_model.write(path)
            shutil.copytree(recorded, path, dirs_exist_ok=True)

        self.folder.write("m", 2, write)
        server = self.folder.start(
            _SERVER,
            "--model_name=m",
            f"--model_base_path={self.folder.base_path('m')}",
            "--require_model_warmup",
        )
        with server:
            server.wait_for_log("Replayed 8 warm-up requests of .*/m/2$")
            server.wait_for_log("{name: m version: 2} is AVAILABLE$")


if __name__ == "__main__":
    absltest.main()
