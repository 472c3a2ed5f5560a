"""Tests for page_state: what a page gets of models, calls and errors."""

import asyncio
import bisect
import functools
import json
import os
import threading
import time
import types
from typing import Any

from absl.testing import absltest

from tensorflow_serving.batching import run_timing
from tensorflow_serving.core import servable
from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import (
    call_events,
    http_rest_api_handler,
    model_configs,
    page_state,
    recent_errors,
    request_metrics,
    rest_rounds,
    server_core,
)
from tensorflow_serving.test_util import model_server_folder, written_models
from tensorflow_serving.util import errors

_TIMING = run_timing.RunTiming(1, 0, 0.0, 0.0, 0.0)
_State = servable.ManagerState


def _is_in(core: server_core.ServerCore, name: str, state: _State) -> bool:
    return any(
        each.manager_state is state for each in core.states(name).values()
    )


class _Ends:
    """A listener that waits for the ends of calls, which may come late."""

    def __init__(self) -> None:
        self._number = threading.Semaphore(0)

    def wait_for_one(self) -> None:
        assert self._number.acquire(timeout=60)

    def succeeded(self, *_: object) -> None:
        self._number.release()

    failed = refused = succeeded


class PageStateTest(absltest.TestCase):
    """The state of a server with a model that works, and one that does not."""

    core: server_core.ServerCore

    @classmethod
    def setUpClass(cls) -> None:
        """Loads version 3 of "half"; "broken" cannot be loaded."""
        super().setUpClass()
        folder = cls.enter_context(model_server_folder.ModelServerFolder())
        folder.write("half", 3)
        folder.write("broken", 1, written_models.copy_broken)
        os.mkdir(folder.base_path("empty"))
        cls.core = server_core.ServerCore(server_core.Options(), ())
        cls.addClassCleanup(cls.core.close)
        cls.core.update(
            model_configs.parse(folder.config("half", "broken", "empty"))
        )
        for name, state in (("half", _State.AVAILABLE), ("broken", _State.END)):
            assert cls.core.news.wait_until(
                functools.partial(_is_in, cls.core, name, state), 60
            )

    def setUp(self) -> None:
        """Starts without calls."""
        super().setUp()
        self.requests = request_metrics.RequestMetrics()
        self.errors = recent_errors.RecentErrors()
        self.ends = _Ends()
        self.listeners = call_events.Listeners(
            [self.requests, self.errors, self.ends]
        )
        self.state = page_state.PageState(
            self.core, self.requests, self.core.statistics, self.errors
        )

    def _model(self, name: str) -> Any:
        models = self.state.of_server()["models"]
        (found,) = (each for each in models if each["name"] == name)
        return found

    def test_versions_have_states_and_reasons(self) -> None:
        """A model without a version is there as well."""
        (version,) = self._model("half")["versions"]
        self.assertEqual(
            version,
            {"version": 3, "state": "AVAILABLE", "code": "OK", "text": ""},
        )
        (version,) = self._model("broken")["versions"]
        self.assertEqual((version["version"], version["state"]), (1, "END"))
        self.assertNotEqual(version["code"], "OK")
        self.assertIn("Variables files must be whole", version["text"])
        self.assertEqual(self._model("empty")["versions"], [])

    def _call(self, model: str, instances: list[Any]) -> None:
        request = messages.Request(
            "POST",
            f"/v1/models/{model}:predict",
            {},
            json.dumps({"instances": instances}).encode(),
        )
        with rest_rounds.RestRounds() as rounds:
            handler = http_rest_api_handler.HttpRestApiHandler(
                self.core, rounds, listeners=self.listeners
            )
            asyncio.run(handler.answer(request))
        self.ends.wait_for_one()

    def test_calls_are_counted_by_how_they_ended(self) -> None:
        """Calls of a model that is not served count apart."""
        self._call("half", [1, 2])
        self._call("half", ["x"])
        self._call("no", [1])
        found = self.state.of_server()
        half = self._model("half")
        self.assertEqual(half["calls"], {"OK": 1, "INVALID_ARGUMENT": 1})
        self.assertEqual(len(half["counts"]), len(found["bounds"]) + 1)
        self.assertEqual(sum(half["counts"]), 1)
        self.assertEqual(found["unnamed"], {"NOT_FOUND": 1})
        self.assertEqual(
            [(each.model, each.code) for each in found["errors"]],
            [("", "NOT_FOUND"), ("half", "INVALID_ARGUMENT")],
        )

    def test_latencies_of_all_methods_of_a_model_come_together(self) -> None:
        """They are counts of one histogram; each call took a second."""
        for method in ("Predict", "Classify"):
            subject = call_events.Subject(
                "GRPC", method, "half", 3, "serving_default"
            )
            task: Any = types.SimpleNamespace(
                arrival_time=time.monotonic() - 1, num_rows=1
            )
            self.listeners.succeeded(subject, [task, task], _TIMING)
        half = self._model("half")
        self.assertEqual(sum(half["counts"]), 4)
        bounds = self.state.of_server()["bounds"]
        first = bisect.bisect_left(bounds, 1e6)
        self.assertEqual(sum(half["counts"][:first]), 0)

    def test_model_has_the_batches_of_its_signatures(self) -> None:
        """Sizes and reasons are those of the queue, as counts."""
        self._call("half", [1, 2])
        found = self.state.of_model("half")
        (call,) = found["calls"]
        self.assertEqual(
            (call["signature"], call["version"], sum(call["counts"])),
            ("serving_default", 3, 1),
        )
        (queue,) = (each for each in found["queues"] if each["sizes"])
        self.assertEqual(queue["version"], 3)
        self.assertGreaterEqual(dict(queue["sizes"])[2], 1)
        self.assertGreaterEqual(sum(queue["reasons"].values()), 1)

    def test_model_that_is_not_there_is_not_found(self) -> None:
        """A model without a version is found."""
        self.assertEqual(self.state.of_model("empty")["versions"], [])
        with self.assertRaises(errors.NotFoundError):
            self.state.of_model("no")


if __name__ == "__main__":
    absltest.main()
