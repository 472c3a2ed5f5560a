"""Tests of server_core with batch threads that all hang."""

import os
import threading
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.batching import (
    batched_function,
    run_timing,
    shared_batch_scheduler,
)
from tensorflow_serving.model_servers import (
    model_batching,
    model_configs,
    server_core,
    status_pages,
)
from tensorflow_serving.servables.tensorflow import batch_threads
from tensorflow_serving.test_util import small_model, task_recorder

_READY, _UNAVAILABLE = 200, 503
# A batch hangs after ten seconds.
_TIMEOUT_SECONDS = 60


class _SlowCaller(task_recorder.TaskRecorder):
    """Keeps the threads on which its tasks end."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.is_kept = threading.Event()

    @override
    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        self.is_kept.set()
        self.go_on.wait()
        super().succeed(tasks, outputs, timing)


class StuckTest(absltest.TestCase):
    """A core with two models and one batch thread."""

    def setUp(self) -> None:
        """Loads the models."""
        super().setUp()
        folder = self.create_tempdir().full_path
        paths = {name: os.path.join(folder, name) for name in ("used", "idle")}
        for path in paths.values():
            small_model.write(os.path.join(path, "1"))
        options = server_core.Options(
            batching=model_batching.Options(
                batch_threads.Options(
                    threads=shared_batch_scheduler.Options(num_batch_threads=1)
                )
            ),
            warm_up=None,
        )
        self.core = self.enter_context(
            server_core.ServerCore(
                options,
                tuple(
                    model_configs.ModelConfig(*each) for each in paths.items()
                ),
            )
        )
        self.assertTrue(
            self.core.news.wait_until(
                lambda: not self.core.is_starting, _TIMEOUT_SECONDS
            )
        )
        self.caller = _SlowCaller()
        self.addCleanup(self.caller.go_on.set)

    def _call(self) -> None:
        spec = model_pb2.ModelSpec(name="used")
        with self.core.handle(spec) as handle:
            model = handle.servable
            task = model.function("serving_default", ["y"]).task(
                [np.array([1.0], np.float32)], self.caller
            )
            model.queue("serving_default").schedule_all([task])

    def _wait_for(self, stuck: set[int]) -> None:
        self.assertTrue(
            self.core.news.wait_until(
                lambda: self.core.stuck_versions("used") == stuck,
                _TIMEOUT_SECONDS,
            )
        )

    def test_model_whose_calls_wait_for_nobody_is_not_ready(self) -> None:
        """Another one without calls is; both are when the thread goes on."""
        published: list[str] = []
        self.enter_context(self.core.news.subscribe(published.append))
        pages = status_pages.StatusPages(self.core)
        self._call()
        self.caller.is_kept.wait(_TIMEOUT_SECONDS)
        with mock.patch.object(
            threading.Thread, "start", side_effect=RuntimeError("full")
        ):
            self._call()
            self._wait_for({1})
        self.assertEqual(self.core.stuck_versions("idle"), set())
        response = pages.find("/readyz")
        assert response is not None
        self.assertEqual(response.status, _UNAVAILABLE)
        self.assertIn(
            b'{"used": "calls wait: all batch threads run batches that hang"}',
            response.body,
        )
        self.caller.go_on.set()
        self._wait_for(set())
        response = pages.find("/readyz")
        assert response is not None
        self.assertEqual(response.status, _READY)
        self.assertEqual(published, ["used", "used"])
        self.assertEqual(self.caller.errors, [])


if __name__ == "__main__":
    absltest.main()
