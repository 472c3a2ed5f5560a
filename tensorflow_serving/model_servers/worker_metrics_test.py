"""Tests for worker_metrics, with real boards in one process."""

import contextlib
import os
import threading
from collections.abc import Sequence
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.model_servers import (
    metric_families,
    metrics_rounds,
    worker_metrics,
)
from tensorflow_serving.rpc import board_hub, worker_board
from tensorflow_serving.util import errors


def _calls(number: int) -> Sequence[metric_families.Family]:
    calls = metric_families.Family("calls_total", "counter", "")
    calls.add((), number)
    return [calls]


class WorkerMetricsTest(absltest.TestCase):
    """Workers of a supervisor that sums up."""

    def setUp(self) -> None:
        """Makes the supervisor, and lets a test change the environment."""
        super().setUp()
        self.enter_context(mock.patch.dict(os.environ))
        self.hub = board_hub.BoardHub(
            {}, self.enter_context(metrics_rounds.MetricsRounds(2))
        )

    def _connect(
        self, number: int, collect: worker_metrics.Collect
    ) -> tuple[worker_metrics.WorkerMetrics, contextlib.ExitStack]:
        """Returns the metrics of a worker, and what ends the worker."""
        stack = self.enter_context(contextlib.ExitStack())
        for name, fd in stack.enter_context(self.hub.connected(number)).items():
            # As a process of its own has it.
            os.environ[name] = str(os.dup(fd))
        board = stack.enter_context(worker_board.WorkerBoard.from_environment())
        return stack.enter_context(
            worker_metrics.WorkerMetrics(board, collect)
        ), stack

    def test_each_worker_shows_the_metrics_of_all(self) -> None:
        """Each page has what was counted before it was asked for."""
        counts = [0, 0]
        workers = [
            self._connect(number, collect)[0]
            for number, collect in enumerate(
                (lambda: _calls(counts[0]), lambda: _calls(counts[1]))
            )
        ]
        for number in range(1, 20):
            counts[number % 2] += 100
            page = workers[number // 2 % 2].page().decode()
            self.assertIn(f"\ncalls_total {sum(counts)}\n", page)
            self.assertIn("\ntensorflow_serving_workers_answered 2\n", page)

    def test_pages_may_be_asked_for_at_the_same_time(self) -> None:
        """Each thread gets one."""
        own, _ = self._connect(0, lambda: _calls(1))
        pages = []
        threads = [
            threading.Thread(target=lambda: pages.append(own.page()))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(pages), 20)

    def test_large_page_comes_whole(self) -> None:
        """Neither pipe nor number limits it."""
        calls = metric_families.Family("calls_total", "counter", "", ("model",))
        for number in range(20_000):
            calls.add((f"{number}{'x' * 100}",), 1)
        own, _ = self._connect(0, lambda: [calls])
        self.assertEqual(own.page().count(b"\ncalls_total{"), 20_000)

    def test_collection_that_fails_is_logged(self) -> None:
        """The others are shown, and the worker goes on."""
        self._connect(0, lambda: _calls(1 // 0))
        own, _ = self._connect(1, lambda: _calls(7))
        with self.assertLogs(level="ERROR"):
            page = own.page()
        self.assertIn(b"\ncalls_total 7\n", page)
        self.assertIn(b"\ntensorflow_serving_workers_answered 1\n", page)

    def test_supervisor_that_does_not_answer_is_an_error(self) -> None:
        """Whoever scrapes gets it in time."""
        own, _ = self._connect(0, lambda: _calls(1))
        with (
            mock.patch.object(worker_metrics, "PAGE_SECONDS", 0.01),
            mock.patch.object(metrics_rounds.MetricsRounds, "take"),
            self.assertRaisesRegex(
                errors.UnavailableError, "supervisor does not answer"
            ),
        ):
            own.page()

    def test_end_ends_a_wait(self) -> None:
        """A page that is not there yet is an error at the end."""
        own, end = self._connect(0, lambda: _calls(1))
        raised: list[Exception] = []

        def ask() -> None:
            try:
                own.page()
            except errors.UnavailableError as error:
                raised.append(error)

        with mock.patch.object(metrics_rounds.MetricsRounds, "take") as take:
            asked = threading.Event()
            take.side_effect = lambda *_: asked.set()
            thread = threading.Thread(target=ask)
            thread.start()
            asked.wait()
            end.close()
            thread.join()
        self.assertEqual(len(raised), 1)


if __name__ == "__main__":
    absltest.main()
