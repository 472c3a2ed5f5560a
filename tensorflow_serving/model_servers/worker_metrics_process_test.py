"""Tests of the metrics of a server of two processes."""

import itertools
import os
import signal
from collections.abc import Mapping
from concurrent import futures

import numpy as np
import requests
from absl.testing import absltest
from prometheus_client import parser

from tensorflow_serving.client import calls, client, options
from tensorflow_serving.test_util import (
    held_port,
    model_server_folder,
    readiness,
)

_SERVER = os.path.join(os.path.dirname(__file__), "tensorflow_model_server")
_X = np.array([[1.0], [2.0]], np.float32)
# Enough connections that each of two workers has some: the chance that one has
# none is one in two billion.
_NUM_CONNECTIONS = 32
_TIMEOUT_SECONDS = 30
_COUNT = ":tensorflow:serving:request_count"

_Samples = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]


class WorkerMetricsProcessTest(absltest.TestCase):
    """A server with a model, and calls on connections to both workers."""

    def setUp(self) -> None:
        """Starts the server."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)
        self.folder.write("m")
        self.port = self.enter_context(held_port.hold())
        self.server = self.enter_context(
            self.folder.start(
                _SERVER,
                "--num_workers=2",
                f"--rest_api_port={self.port}",
                "--model_name=m",
                f"--model_base_path={self.folder.base_path('m')}",
            )
        )
        num_lines = self.server.wait_for_log("version: 1} is AVAILABLE")
        self.server.wait_for_log("version: 1} is AVAILABLE", num_lines)
        # Both have the version in the eyes of both once each says so.
        readiness.wait_until_ready(self._url("/readyz"), _NUM_CONNECTIONS)
        self.num_calls = 0

    def _url(self, path: str) -> str:
        return f"http://localhost:{self.port}{path}"

    def _call(self) -> None:
        """Calls the model over as many connections of both kinds."""
        for number in range(_NUM_CONNECTIONS):
            self.num_calls += 2
            found = requests.post(
                self._url("/v1/models/m:predict"), json={"instances": [1.0]}
            )
            self.assertEqual(found.status_code, 200)
            address = f"127.0.0.{number + 1}:{self.server.port}"
            with client.Client(options.Options(address)) as own:
                own.predict(calls.Model("m"), {"x": _X})
        # Calls and runs are counted soon after answers are sent.
        for name in (f"{_COUNT}_total", "tensorflow_serving_batch_rows_count"):
            while sum(self._samples()[name].values()) < self.num_calls:
                pass

    def _samples(self) -> _Samples:
        """Returns what a new connection, to any worker, shows."""
        text = requests.get(
            self._url("/metrics"), timeout=_TIMEOUT_SECONDS
        ).text
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in parser.text_string_to_metric_families(text):
            for sample in family.samples:
                series = found.setdefault(sample.name, {})
                labels = tuple(sorted(sample.labels.items()))
                self.assertNotIn(labels, series, sample.name)
                series[labels] = sample.value
        return found

    def _require_counts(self, samples: _Samples, num_answered: int) -> None:
        """Checks that all calls are counted, by all metrics alike."""
        self.assertEqual(
            # The parser gives this end to all counters.
            samples[f"{_COUNT}_total"][("model_name", "m"), ("status", "OK")],
            self.num_calls,
        )
        for name in (
            "tensorflow_serving_requests_total",
            ":tensorflow:serving:request_latency_count",
            "tensorflow_serving_request_duration_seconds_count",
            "tensorflow_serving_batches_total",
            "tensorflow_serving_batch_rows_count",
        ):
            self.assertEqual(sum(samples[name].values()), self.num_calls, name)
        self.assertEqual(
            [*samples["tensorflow_serving_workers_answered"].values()],
            [num_answered],
        )

    def test_each_worker_shows_what_all_have_counted(self) -> None:
        """Sums are sums, a state is true once, a process has a worker."""
        self._call()
        for _ in range(20):
            samples = self._samples()
            self._require_counts(samples, 2)
            self.assertEqual(
                samples["tensorflow_serving_version_state"],
                {
                    (
                        ("model", "m"),
                        ("state", "AVAILABLE"),
                        ("version", "1"),
                    ): 1
                },
            )
            self.assertEqual(
                [*samples["tensorflow_serving_build_info"].values()], [1]
            )
        self.assertEqual(
            {*samples["process_start_time_seconds"]},
            {(("worker", each),) for each in ("0", "1", "supervisor")},
        )

    def test_counts_outlive_a_worker(self) -> None:
        """After kill -9 no count is lower, and the next process adds to it."""
        self._call()
        self._require_counts(self._samples(), 2)
        for _ in range(2):
            num_lines = len(self.server.log_lines)
            killed, _ = self.server.child_pids()
            os.kill(killed, signal.SIGKILL)
            self.server.wait_for_log(
                f"Worker {killed} ended with SIGKILL", num_lines
            )
            self._require_counts(self._samples(), 1)
            self.server.wait_for_log("2 of 2 workers are ready", num_lines)
            self._require_counts(self._samples(), 2)
            self._call()
            self._require_counts(self._samples(), 2)

    def test_worker_that_hangs_holds_up_nobody_for_long(self) -> None:
        """Its counts are in the page, and the page says that it is missing."""
        self._call()
        self._require_counts(self._samples(), 2)
        # Some of so many are connections to the worker that goes on.
        sessions = [requests.Session() for _ in range(_NUM_CONNECTIONS)]
        for each in sessions:
            self.addCleanup(each.close)
            each.get(self._url("/healthz"))
        stopped, _ = self.server.child_pids()
        os.kill(stopped, signal.SIGSTOP)
        with futures.ThreadPoolExecutor(_NUM_CONNECTIONS) as threads:
            asking = [
                threads.submit(each.get, self._url("/metrics"))
                for each in sessions
            ]
            answered = itertools.islice(futures.as_completed(asking), 3)
            pages = [each.result().text for each in answered]
            os.kill(stopped, signal.SIGCONT)
        self.assertEqual(len(pages), 3)
        for page in pages:
            self.assertIn("\ntensorflow_serving_workers_answered 1\n", page)
            self.assertIn(
                f'{_COUNT}{{model_name="m",status="OK"}} {self.num_calls}\n',
                page,
            )


if __name__ == "__main__":
    absltest.main()
