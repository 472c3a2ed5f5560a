"""Tests for metrics_rounds; workers are lists of what they get."""

import threading
from typing import Final

from absl.testing import absltest

from tensorflow_serving.model_servers import metric_families, metrics_rounds
from tensorflow_serving.test_util import fake_clock

# Longer than anything that a test waits for.
_TIMEOUT_SECONDS: Final = 30


class _Worker:
    """A worker with a number of calls."""

    def __init__(
        self, rounds: metrics_rounds.MetricsRounds, number: int
    ) -> None:
        self._rounds = rounds
        self._number = number
        self._news = threading.Condition()
        self._notes: dict[str, bytes] = {}
        rounds.begin(number, self._post)

    def _post(self, key: str, value: bytes) -> None:
        with self._news:
            self._notes[key] = value
            self._news.notify_all()

    def wait_for(self, key: str, number: int) -> str:
        """Waits for a note with a number; returns the rest."""
        with self._news:
            assert self._news.wait_for(
                lambda: (
                    metrics_rounds.number_of(self._notes.get(key)) == number
                ),
                _TIMEOUT_SECONDS,
            )
            return metrics_rounds.data_of(self._notes[key]).decode()

    def ask(self, number: int) -> None:
        """Asks for a page."""
        self._rounds.take(
            self._number,
            metrics_rounds.ASK_PAGE,
            metrics_rounds.numbered(number),
        )

    def answer(self, number: int, num_calls: int) -> None:
        """Answers a question."""
        calls = metric_families.Family("calls_total", "counter", "")
        calls.add((), num_calls)
        self._rounds.take(
            self._number,
            metrics_rounds.METRICS,
            metrics_rounds.numbered(number, metric_families.pack([calls])),
        )

    def answer_when_asked(self, number: int, num_calls: int) -> None:
        """Waits for a question, and answers."""
        self.wait_for(metrics_rounds.ASK_METRICS, number)
        self.answer(number, num_calls)


class MetricsRoundsTest(absltest.TestCase):
    """Two workers."""

    def setUp(self) -> None:
        """Begins with both."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.rounds = self.enter_context(
            metrics_rounds.MetricsRounds(2, self.clock)
        )
        self.workers = [_Worker(self.rounds, number) for number in range(2)]

    def _require(self, page: str, num_calls: int, num_answered: int) -> None:
        for line in (
            f"calls_total {num_calls}",
            "tensorflow_serving_workers 2",
            f"tensorflow_serving_workers_answered {num_answered}",
        ):
            self.assertIn(f"\n{line}\n", page)

    def test_page_has_what_all_have_counted(self) -> None:
        """All who ask get it, with the number of their question."""
        first, second = self.workers
        for number in (1, 2):
            first.ask(number)
            for each in self.workers:
                each.answer_when_asked(number, 10 * number)
            page = first.wait_for(metrics_rounds.PAGE, number)
            self._require(page, 20 * number, 2)
        self.assertIn('process_open_fds{worker="supervisor"}', page)
        second.ask(7)
        for each in self.workers:
            each.answer_when_asked(3, 1000)
        self._require(second.wait_for(metrics_rounds.PAGE, 7), 2000, 2)

    def test_worker_that_hangs_delays_one_page(self) -> None:
        """It is waited for a second, and not again before it has answered."""
        first, second = self.workers
        first.ask(1)
        first.answer_when_asked(1, 5)
        self.clock.settle(threads=1)
        self.clock.advance_micros(1_000_000)
        self._require(first.wait_for(metrics_rounds.PAGE, 1), 5, 1)
        first.ask(2)
        first.answer_when_asked(2, 6)
        self._require(first.wait_for(metrics_rounds.PAGE, 2), 6, 1)
        # Late, but what it has counted is true.
        second.answer(2, 30)
        first.ask(3)
        first.answer_when_asked(3, 7)
        second.answer_when_asked(3, 31)
        self._require(first.wait_for(metrics_rounds.PAGE, 3), 38, 2)

    def test_worker_that_ends_is_not_waited_for(self) -> None:
        """Its counts stay, and its next process adds to them."""
        first, second = self.workers
        first.ask(1)
        for each in self.workers:
            each.answer_when_asked(1, 5)
        self._require(first.wait_for(metrics_rounds.PAGE, 1), 10, 2)
        first.ask(2)
        first.answer_when_asked(2, 6)
        second.wait_for(metrics_rounds.ASK_METRICS, 2)
        self.rounds.end(1)
        self._require(first.wait_for(metrics_rounds.PAGE, 2), 11, 1)
        again = _Worker(self.rounds, 1)
        first.ask(3)
        first.answer_when_asked(3, 6)
        again.answer_when_asked(3, 1)
        self._require(first.wait_for(metrics_rounds.PAGE, 3), 12, 2)

    def test_answer_to_an_older_question_is_not_fresh(self) -> None:
        """Whoever starts sees the last question, and answers that."""
        first, second = self.workers
        first.ask(1)
        for each in self.workers:
            each.answer_when_asked(1, 5)
        first.wait_for(metrics_rounds.PAGE, 1)
        first.ask(2)
        second.wait_for(metrics_rounds.ASK_METRICS, 2)
        second.answer(1, 6)
        first.answer(2, 6)
        self.clock.settle(threads=1)
        self.clock.advance_micros(1_000_000)
        self._require(first.wait_for(metrics_rounds.PAGE, 2), 12, 1)

    def test_page_that_fails_is_logged_and_the_next_is_made(self) -> None:
        """Metrics that do not fit together are a bug, and no end."""
        first, second = self.workers
        broken = metric_families.Family("calls_total", "counter", "")
        broken.series[()] = [1, 2]
        first.ask(1)
        with self.assertLogs(level="ERROR"):
            second.wait_for(metrics_rounds.ASK_METRICS, 1)
            self.rounds.take(
                1,
                metrics_rounds.METRICS,
                metrics_rounds.numbered(1, metric_families.pack([broken])),
            )
            first.answer(1, 5)
            first.ask(2)
            first.wait_for(metrics_rounds.ASK_METRICS, 2)
        for each in self.workers:
            each.answer(2, 5)
        self._require(first.wait_for(metrics_rounds.PAGE, 2), 10, 2)


if __name__ == "__main__":
    absltest.main()
