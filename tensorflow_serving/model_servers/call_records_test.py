"""Tests for call_records."""

from collections.abc import Callable

from absl.testing import absltest

from tensorflow_serving.model_servers import call_events, call_records

_SUBJECT = call_events.Subject("GRPC", "Predict", "m", 1, "s")
_RECORD = call_records.Record.of_messages(
    _SUBJECT, call_records.Messages(b"request", b"response")
)


class _Taker:
    """Takes a record of each call of one model."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.taken: list[call_records.Record] = []

    def find(self, subject: call_events.Subject) -> "_Taker | None":
        """Returns itself for calls of the model."""
        return self if subject.model == self._model else None

    def succeeded(
        self, num_calls: int, record: Callable[[int], call_records.Record]
    ) -> None:
        """Takes the calls."""
        self.taken += map(record, range(num_calls))


class _Broken(_Taker):
    """Fails to take what it wants."""

    def succeeded(
        self, num_calls: int, record: Callable[[int], call_records.Record]
    ) -> None:
        """Fails."""
        raise ValueError("a fault")


class RecordersTest(absltest.TestCase):
    """Tests of several sources."""

    def test_calls_that_nobody_records_have_no_recorder(self) -> None:
        """No work is done for them."""
        recorders = call_records.Recorders([_Taker("other"), _Taker("another")])
        self.assertIsNone(recorders.find(_SUBJECT))
        self.assertIsNone(call_records.NO_RECORDERS.find(_SUBJECT))

    def test_each_source_that_wants_calls_gets_them(self) -> None:
        """One that is at fault harms neither the call nor another source."""
        taker, other = _Taker("m"), _Taker("other")
        recorders = call_records.Recorders([_Broken("m"), other, taker])
        recorder = recorders.find(_SUBJECT)
        assert recorder is not None
        with self.assertLogs(level="ERROR") as logged:
            recorder.succeeded(2, lambda index: _RECORD)
        self.assertIn("a fault", logged.output[0])
        self.assertEqual(taker.taken, [_RECORD] * 2)
        self.assertEqual(other.taken, [])

    def test_record_has_the_size_of_its_messages(self) -> None:
        """They are there when they are asked for."""
        self.assertEqual(_RECORD.num_bytes, len("request") + len("response"))
        self.assertEqual(_RECORD.messages().request, b"request")


if __name__ == "__main__":
    absltest.main()
