"""Tests for version_log."""

import concurrent.futures

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import version_log
from tensorflow_serving.core import servable
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_PREFIX = "W1124 21:00:00.000000 1 basic_manager.py:400] "
_State = servable.ManagerState


class VersionLogTest(parameterized.TestCase):
    """A log that is read while it is written."""

    def setUp(self) -> None:
        """Makes an empty log."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.log = version_log.VersionLog(self.clock)

    @parameterized.parameters(None, "DATA_LOSS: file must be whole; got: a")
    def test_state_is_read_as_it_is_logged(self, reason: str | None) -> None:
        """With its reason, and the time at which it was read."""
        self.clock.advance_micros(1_500_000)
        servable_id = servable.ServableId("mnist", 12)
        error = reason and errors.DataLossError(reason.partition(": ")[2])
        state = servable.ServableState(servable_id, _State.END, error or None)
        self.log.take(f"{_PREFIX}Servable {state}\n")
        self.assertEqual(
            self.log.entries(),
            (version_log.Entry(1.5, servable_id, _State.END, reason or ""),),
        )

    @parameterized.parameters(
        "",
        "Running",
        "Servable {name: a version: 1} is ASLEEP",
        "Unloading {name: a version: 1} waits for 1 open handles, since 5 s",
    )
    def test_other_lines_say_nothing(self, line: str) -> None:
        """They are no error."""
        self.log.take(_PREFIX + line)
        self.assertEqual(self.log.entries(), ())

    def test_first_entry_counts(self) -> None:
        """Of the version and the state that were asked for."""
        for version, state in [
            (1, "LOADING"),
            (1, "AVAILABLE"),
            (2, "AVAILABLE"),
            (1, "AVAILABLE"),
        ]:
            self.clock.advance_micros(1_000_000)
            self.log.take(f"Servable {{name: a version: {version}}} is {state}")
        servable_id = servable.ServableId("a", 1)
        first = self.log.first(servable_id, _State.AVAILABLE)
        assert first is not None
        self.assertEqual(first.time, 2.0)
        self.assertEqual(
            self.log.wait_for(servable_id, _State.AVAILABLE), first
        )
        self.assertIsNone(self.log.first(servable_id, _State.END))

    def test_wait_ends_with_the_line(self) -> None:
        """And not with another one."""
        servable_id = servable.ServableId("a", 1)
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(self.log.wait_for, servable_id, _State.END)
            self.clock.settle(threads=1)
            self.log.take("Servable {name: a version: 2} is END")
            self.assertFalse(waiting.done())
            self.log.take("Servable {name: a version: 1} is END")
            self.assertEqual(waiting.result(timeout=60).id, servable_id)

    def test_wait_gives_up_and_shows_the_log(self) -> None:
        """Whoever reads the error knows what came instead."""
        self.log.take("something else")
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(
                self.log.wait_for,
                servable.ServableId("a", 1),
                _State.END,
                timeout_seconds=2.0,
            )
            self.clock.settle(threads=1)
            self.clock.advance_micros(2_000_000)
            with self.assertRaisesRegex(
                errors.DeadlineExceededError,
                "must become END within 2 s; .*\nsomething else",
            ):
                waiting.result(timeout=60)


if __name__ == "__main__":
    absltest.main()
