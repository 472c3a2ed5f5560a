"""Tests for record_writer."""

import functools
import threading

from absl.testing import absltest

from tensorflow_serving.model_servers import record_writer
from tensorflow_serving.test_util import fake_clock


class _Sink:
    """Keeps what was done to it."""

    def __init__(self, end_time: float = float("inf")) -> None:
        self.end_time = end_time
        self.events: list[str] = []
        self.settled = threading.Event()

    def write(self, record: str) -> None:
        """Keeps a record."""
        self.events.append(record)

    def settle(self) -> None:
        """Has no time to wait for any longer."""
        self.end_time = float("inf")
        self.events.append("settle")
        self.settled.set()

    def close(self) -> None:
        """Keeps that it was called."""
        self.events.append("close")


def _put(
    writer: record_writer.RecordWriter,
    sink: _Sink,
    record: str,
    num_bytes: int = 0,
) -> bool:
    return writer.put(sink, num_bytes, functools.partial(sink.write, record))


class RunOnceTest(absltest.TestCase):
    """Tests without a thread."""

    def setUp(self) -> None:
        """Makes a writer for two records of 1,000 bytes."""
        super().setUp()
        self.writer = record_writer.RecordWriter(3_000, starts_thread=False)
        self.sink = _Sink()

    def test_records_are_settled_together(self) -> None:
        """They come in order; a sink without new ones is settled as well."""
        for record in "ab":
            self.assertTrue(_put(self.writer, self.sink, record))
        self.writer.run_once()
        self.writer.run_once()
        self.assertEqual(self.sink.events, ["a", "b", "settle", "settle"])

    def test_record_beyond_the_limit_is_refused(self) -> None:
        """There is room again once others are written."""
        accepted = [_put(self.writer, self.sink, "r", 1_000) for _ in range(3)]
        self.assertEqual(accepted, [True, True, False])
        self.writer.run_once()
        self.assertTrue(_put(self.writer, self.sink, "r", 1_000))
        self.assertFalse(_put(self.writer, self.sink, "huge", 5_000))

    def test_sink_ends_after_its_records(self) -> None:
        """It is settled no longer."""
        _put(self.writer, self.sink, "a")
        self.writer.end(self.sink)
        self.writer.run_once()
        self.writer.run_once()
        self.assertEqual(self.sink.events, ["a", "close"])

    def test_close_writes_what_waits(self) -> None:
        """Closing twice is closing once; later records are refused."""
        _put(self.writer, self.sink, "a")
        self.writer.close()
        self.writer.close()
        self.assertEqual(self.sink.events, ["a", "settle", "close"])
        self.assertFalse(_put(self.writer, self.sink, "late"))

    def test_fault_of_a_sink_does_not_harm_another(self) -> None:
        """It is in the log."""

        def fail() -> None:
            raise ValueError("a fault")

        self.writer.put(_Sink(), 0, fail)
        _put(self.writer, self.sink, "a")
        with self.assertLogs(level="ERROR") as logged:
            self.writer.run_once()
        self.assertIn("a fault", logged.output[0])
        self.assertEqual(self.sink.events, ["a", "settle"])


class ThreadTest(absltest.TestCase):
    """Tests with a thread, and a clock that they move."""

    def setUp(self) -> None:
        """Makes a writer."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.writer = self.enter_context(
            record_writer.RecordWriter(10_000, self.clock)
        )

    def test_thread_starts_with_the_first_record(self) -> None:
        """A server that records nothing has none."""
        num_threads = threading.active_count()
        sink = _Sink()
        self.writer.end(sink)
        self.assertEqual(threading.active_count(), num_threads)
        _put(self.writer, sink, "a")
        self.assertEqual(threading.active_count(), num_threads + 1)

    def test_record_waits_for_others(self) -> None:
        """All records of a tenth of a second are written together."""
        sink = _Sink()
        _put(self.writer, sink, "a")
        self.clock.settle(1)
        _put(self.writer, sink, "b")
        self.clock.settle(1)
        self.assertEqual(sink.events, [])
        self.clock.advance_micros(100_000)
        sink.settled.wait()
        self.assertEqual(sink.events[:3], ["a", "b", "settle"])

    def test_records_that_take_most_of_the_room_do_not_wait(self) -> None:
        """There is room for others soon."""
        sink = _Sink()
        _put(self.writer, sink, "a", 6_000)
        sink.settled.wait()

    def test_sink_is_settled_at_its_time(self) -> None:
        """No record needs to come for that."""
        sink = _Sink()
        _put(self.writer, sink, "a", 6_000)
        sink.settled.wait()
        self.clock.settle(1)
        late = _Sink(end_time=5.0)
        _put(self.writer, late, "b", 6_000)
        late.settled.wait()
        late.settled.clear()
        late.end_time = 10.0
        _put(self.writer, late, "c", 6_000)
        late.settled.wait()

    def test_hung_storage_holds_up_nobody(self) -> None:
        """Records are refused once there is no room."""
        gate = threading.Event()
        self.addCleanup(gate.set)
        sink = _Sink()
        self.writer.put(sink, 6_000, lambda: bool(gate.wait()) or None)
        accepted = [_put(self.writer, sink, "r", 2_000) for _ in range(3)]
        self.assertEqual(accepted, [True, False, False])
        gate.set()


if __name__ == "__main__":
    absltest.main()
