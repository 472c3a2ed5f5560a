"""Tests that the metrics of a server are what happened to its calls."""

import os
import pathlib
import re
import time
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import requests
from absl.testing import absltest

from tensorflow_serving.apis import (
    predict_pb2,
    prediction_service_pb2_grpc,
    tensor_codec,
)
from tensorflow_serving.test_util import held_port, model_server_folder

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
# Batches wait until they are full, or a call cannot wait any longer.
_BATCHING = """
max_batch_size { value: 4 }
batch_timeout_micros { value: 600000000 }
max_enqueued_batches { value: 2 }
allowed_batch_sizes: 4
"""
_NAMES = 'model="m",signature="serving_default",version="1"'
_OURS = "tensorflow_serving_"
_NUM_CALLS = ':tensorflow:serving:request_count{model_name="m",status="OK"}'
_NUM_RUNS = ":tensorflow:serving:batching_session:wrapped_run_count"
_TASKS = f"{_OURS}queue_tasks{{{_NAMES}}}"


def _dropped(reason: str) -> str:
    names = f'model="m",reason="{reason}",signature="serving_default"'
    return f'{_OURS}dropped_tasks_total{{{names},version="1"}}'


class PrometheusMetricsProcessTest(absltest.TestCase):
    """A server that batches calls of a model."""

    def setUp(self) -> None:
        """Starts the server."""
        super().setUp()
        folder = self.enter_context(model_server_folder.ModelServerFolder())
        folder.write("m")
        batching = pathlib.Path(folder.path, "batching.config")
        batching.write_text(_BATCHING, encoding="utf-8")
        port = self.enter_context(held_port.hold())
        self.url = f"http://localhost:{port}"
        self.enter_context(
            folder.serving(
                _SERVER,
                "m",
                f"--rest_api_port={port}",
                "--enable_batching",
                f"--batching_parameters_file={batching}",
            )
        )
        channel = self.enter_context(grpc.insecure_channel(folder.address))
        self.stub: Any = prediction_service_pb2_grpc.PredictionServiceStub(
            channel
        )

    def _begin(self, num_rows: int = 1) -> Any:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "m"
        x = np.ones(num_rows, np.float32)
        request.inputs["x"].CopyFrom(tensor_codec.to_proto(x))
        return self.stub.Predict.future(request)

    def _values(self) -> Mapping[str, float]:
        """Returns the value of each line of the page."""
        page = requests.get(f"{self.url}/metrics").text
        return {
            name: float(value)
            for name, value in re.findall(r"^([^# ]\S*) (\S+)$", page, re.M)
        }

    def _wait_for(self, name: str, expected: float) -> Mapping[str, float]:
        """Returns the values once one of them is as expected."""
        while (values := self._values()).get(name) != expected:
            pass
        return values

    def _require(self, values: Mapping[str, float], **expected: float) -> None:
        """Checks values of the queue of the signature."""
        for name, value in expected.items():
            self.assertEqual(values[f"{_OURS}{name}{{{_NAMES}}}"], value, name)

    def _batches(self, values: Mapping[str, float]) -> Mapping[str, float]:
        """Returns how many batches closed, by reason."""
        return {
            match[1]: value
            for name, value in values.items()
            if (match := re.match(rf'{_OURS}batches.*reason="(\w+)"', name))
        }

    def test_batches_are_counted_as_they_ran(self) -> None:
        """Two full ones, and one that was padded, as the next did not fit."""
        for each in [self._begin() for _ in range(8)]:
            each.result()
        # Calls and runs are counted soon after answers are sent.
        self._wait_for(_NUM_CALLS, 8)
        values = self._wait_for(_NUM_RUNS, 2)
        self._require(
            values,
            batch_rows_count=2,
            batch_rows_sum=8,
            padding_rows_total=0,
            queue_tasks=0,
        )
        self.assertEqual(self._batches(values), {"full": 2})
        third = self._begin(3)
        self._wait_for(_TASKS, 1)
        fourth = self._begin(2)
        third.result()
        self._wait_for(_NUM_CALLS, 9)
        values = self._wait_for(_NUM_RUNS, 3)
        self._require(
            values,
            batch_rows_count=3,
            batch_rows_sum=11,
            padding_rows_total=1,
            queue_tasks=1,
        )
        self.assertEqual(self._batches(values), {"full": 3})
        self._require_original(values)
        fourth.cancel()
        self._wait_for(_TASKS, 0)

    def _require_original(self, values: Mapping[str, float]) -> None:
        """Checks the metrics of the original for nine calls in three runs."""
        session = ":tensorflow:serving:batching_session:"
        self.assertEqual(values[f"{session}processed_batch_size_sum"], 12)
        self.assertEqual(values[f"{session}input_batch_size_count"], 9)
        self.assertEqual(
            values[f'{session}padding_size_sum{{execution_batch_size="4"}}'], 1
        )
        threads = '{thread_pool_name="model_server_batch_threads"}'
        self.assertEqual(values[f"{session}queuing_latency_count{threads}"], 9)
        self.assertGreater(values[f"{session}queuing_latency_sum{threads}"], 0)

    def test_calls_that_wait_and_leave_are_counted(self) -> None:
        """A call waits, has company, and leaves."""
        start = time.monotonic()
        first = self._begin()
        self._wait_for(_TASKS, 1)
        second = self._begin(2)
        values = self._wait_for(_TASKS, 2)
        waited = values[f"{_OURS}queue_oldest_wait_seconds{{{_NAMES}}}"]
        self.assertGreater(waited, 0)
        self.assertLess(waited, time.monotonic() - start)
        first.cancel()
        values = self._wait_for(_dropped("cancelled"), 1)
        self.assertEqual(values[_TASKS], 1)
        second.cancel()
        values = self._wait_for(_TASKS, 0)
        for reason, number in (
            ("cancelled", 2),
            ("refused", 0),
            ("deadline", 0),
        ):
            self.assertEqual(values[_dropped(reason)], number, reason)


if __name__ == "__main__":
    absltest.main()
