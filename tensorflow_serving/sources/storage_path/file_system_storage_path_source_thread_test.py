"""Tests of file_system_storage_path_source: when its thread polls."""

import os
import shutil
import threading
from collections.abc import Sequence

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source as source_lib,
)
from tensorflow_serving.test_util import fake_clock, tiny_versions
from tensorflow_serving.util import errors, event_bus

_THREAD_NAME = "file_system_storage_path_source"


class ThreadTest(absltest.TestCase):
    """A source with its thread, on a clock that the test moves."""

    def setUp(self) -> None:
        """Makes an empty base path."""
        super().setUp()
        self._base = self.create_tempdir().full_path
        self._clock = fake_clock.FakeClock()
        self._bus = event_bus.EventBus[servable.ServableState](self._clock)
        # The time of each call, and what is reported, such as "1 2!".
        self._calls: list[tuple[float, str]] = []
        self._called = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()

    def _start(self, period: float) -> source_lib.FileSystemStoragePathSource:
        source = source_lib.FileSystemStoragePathSource(
            self._config(period), event_bus=self._bus, clock=self._clock
        )
        self.addCleanup(source.close)
        source.set_aspired_versions_callback(self._take)
        return source

    def _config(
        self, period: float, name: str = "a", base: str = ""
    ) -> source_lib.Config:
        return source_lib.Config(
            (source_lib.ServableToMonitor(name, base or self._base),), period
        )

    def _take(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> None:
        self._called.set()
        self._go_on.wait(timeout=60)
        text = " ".join(
            f"{each.id.version}{'!' if each.error else ''}" for each in versions
        )
        self._calls.append((self._clock.now(), text))

    def _write(self, version: str, files: dict[str, bytes]) -> None:
        tiny_versions.write(os.path.join(self._base, version), files)

    def _advance(self, *seconds: float) -> None:
        """Moves the clock step by step; the thread has looked each time."""
        for each in seconds:
            self._clock.advance_micros(round(each * 1e6))
            self._clock.settle(threads=1)

    def _fail(self, version: int) -> None:
        """Publishes that a version could not be loaded."""
        self._bus.publish(
            servable.ServableState(
                servable.ServableId("a", version),
                servable.ManagerState.END,
                errors.DataLossError("broken"),
            )
        )

    def _join_thread(self) -> None:
        for thread in threading.enumerate():
            if thread.name == _THREAD_NAME:
                thread.join(timeout=60)
                self.assertFalse(thread.is_alive())

    def test_polls_at_once_and_then_every_period(self) -> None:
        """The thread polls at once and every period, and not in between."""
        self._start(4)
        self._advance(0, 3, 0.75, 0.25, 3.75, 0.25)
        self.assertEqual(self._calls, [(0, ""), (4, ""), (8, "")])

    def test_version_is_reported_one_period_and_settle_time_after(self) -> None:
        """The version here became whole right after a poll, the worst case."""
        self._start(4)
        self._advance(0)
        self._write("1", tiny_versions.export())
        self._advance(3.75, 0.25, 0.125, 0.125)
        self.assertEqual(self._calls, [(0, ""), (4, ""), (4.25, "1")])

    def test_version_is_reported_in_time_with_a_short_period(self) -> None:
        """The settle time need be no multiple of the period."""
        self._start(0.125)
        self._advance(0)
        self._write("1", tiny_versions.export())
        self._advance(*[0.0625] * 6)
        self.assertEqual(self._calls[-1], (0.375, "1"))

    def test_incomplete_version_is_looked_at_with_back_off(self) -> None:
        """The back-off starts over when something was copied."""
        files = tiny_versions.export()
        meta = files.pop("export.meta")
        self._write("1", files)
        self._start(4)
        self._advance(*[0.25] * 13)
        times = [time for time, text in self._calls if text == "1!"]
        self.assertEqual(times, [0.25, 0.5, 1, 2])
        self._write("1", {"export.meta": meta[:-1]})
        self._advance(*[0.25] * 14)
        self._write("1", {"export.meta": meta})
        self._advance(*[0.25] * 6)
        self.assertEqual(self._calls[4:], [
            (4, "1!"),
            (4.25, "1!"),
            (4.75, "1!"),
            (5.75, "1!"),
            (7.75, "1!"),
            (8, "1"),
        ])  # fmt: skip

    def test_failed_load_has_the_older_version_reported_at_once(self) -> None:
        """It does not wait for the next poll."""
        self._write("1", tiny_versions.export())
        self._write("2", tiny_versions.export())
        self._start(4)
        self._advance(0, 0.25)
        self.assertEqual(self._calls[-1], (0.25, "2"))
        self._fail(2)
        self._advance(0)
        self.assertEqual(self._calls[-1], (0.25, "1 2"))

    def test_failures_that_follow_each_other_are_polled_for_with_pauses(
        self,
    ) -> None:
        """Polls keep a pause, however many failures there are."""
        self._write("1", tiny_versions.export())
        self._start(4)
        self._advance(0, 0.25)
        for _ in range(9):
            self._fail(1)
            self._advance(0)
        self.assertEqual(self._calls[2:], [(0.25, "1")])
        self._advance(0.25)
        self.assertEqual(self._calls[2:], [(0.25, "1"), (0.5, "1")])

    def test_end_of_a_version_that_was_reported_with_an_error_is_no_news(
        self,
    ) -> None:
        """A version that is copied in has many of them."""
        self._write("1", {"export.meta": b""})
        self._start(0.25)
        self._advance(0)
        self._fail(1)
        self._advance(0, 0.125)
        self.assertEqual(self._calls, [(0, "1!")])

    def test_servables_are_looked_at_each_at_its_own_times(self) -> None:
        """One that changes does not have the others looked at."""
        other = self.create_tempdir().full_path
        source = source_lib.FileSystemStoragePathSource(
            source_lib.Config(
                (
                    source_lib.ServableToMonitor("a", self._base),
                    source_lib.ServableToMonitor("b", other),
                ),
                4,
            ),
            clock=self._clock,
        )
        self.addCleanup(source.close)
        self._write("1", {"export.meta": b""})
        source.set_aspired_versions_callback(self._take)
        self._advance(0, *[0.25] * 8)
        self.assertEqual([text for _, text in self._calls if not text], [""])
        self.assertGreater(len(self._calls), 3)

    def test_update_is_polled_at_once(self) -> None:
        """The thread polls an updated configuration at once."""
        source = self._start(4)
        self._advance(0)
        self._write("1", tiny_versions.export())
        source.update_config(self._config(4))
        self._advance(0, 0.25)
        self.assertEqual(self._calls, [(0, ""), (0, ""), (0.25, "1")])

    def test_period_of_zero_ends_when_everything_is_known(self) -> None:
        """One version settles, one stays incomplete."""
        self._write("1", tiny_versions.export())
        self._write("2", {"export.meta": b""})
        self._start(0)
        self._advance(0)
        self._clock.advance_micros(250_000)
        self._join_thread()
        self.assertEqual(self._calls, [(0, "2!"), (0.25, "1 2!")])

    def test_period_of_zero_polls_anew_when_a_load_fails(self) -> None:
        """The older version is there when it is needed."""
        self._write("1", tiny_versions.export())
        self._write("2", tiny_versions.export())
        self._start(0)
        self._advance(0)
        self._clock.advance_micros(250_000)
        self._join_thread()
        self.assertEqual(self._calls, [(0, ""), (0.25, "2")])
        self._fail(2)
        self._join_thread()
        self.assertEqual(self._calls[-1], (0.25, "1 2"))

    def test_period_of_zero_never_reports_what_comes_later(self) -> None:
        """A period of 0 reports no later version, even when a load fails."""
        self._write("1", tiny_versions.export())
        self._start(0)
        self._advance(0)
        self._clock.advance_micros(250_000)
        self._join_thread()
        self._write("2", tiny_versions.export())
        self._fail(1)
        self._join_thread()
        self._clock.advance_micros(250_000)
        self.assertEqual(self._calls[-1], (0.25, "1"))

    def test_period_of_zero_polls_anew_for_an_update(self) -> None:
        """Its versions have to settle as well."""
        source = self._start(0)
        self._join_thread()
        self.assertEqual(self._calls, [(0, "")])
        self._write("1", tiny_versions.export())
        source.update_config(self._config(0))
        self._advance(0)
        self._clock.advance_micros(250_000)
        self._join_thread()
        self.assertEqual(self._calls, [(0, ""), (0, ""), (0.25, "1")])

    def test_close_ends_the_thread_at_once(self) -> None:
        """The clock need not move."""
        source = self._start(4)
        self._advance(0)
        source.close()
        names = [thread.name for thread in threading.enumerate()]
        self.assertNotIn(_THREAD_NAME, names)

    def test_close_waits_for_a_callback(self) -> None:
        """close() waits for a callback, after which there is no other."""
        self._go_on.clear()
        source = source_lib.FileSystemStoragePathSource(
            source_lib.Config(
                tuple(
                    source_lib.ServableToMonitor(name, self._base)
                    for name in ("a", "b")
                )
            ),
            clock=self._clock,
        )
        source.set_aspired_versions_callback(self._take)
        self.assertTrue(self._called.wait(timeout=60))
        closer = threading.Thread(target=source.close)
        closer.start()
        closer.join(timeout=0.05)
        self.assertTrue(closer.is_alive())
        self._go_on.set()
        closer.join(timeout=60)
        self.assertFalse(closer.is_alive())
        self.assertEqual(self._calls, [(0, "")])

    def test_thread_survives_a_base_path_that_goes_and_comes(self) -> None:
        """Nothing is reported meanwhile."""
        self._start(4)
        self._advance(0)
        shutil.rmtree(self._base)
        self._advance(4, 4)
        os.mkdir(self._base)
        self._advance(4)
        self.assertEqual(self._calls, [(0, ""), (12, "")])


if __name__ == "__main__":
    absltest.main()
