"""Tests for request_log."""

import pathlib
from collections.abc import Mapping

from absl.testing import absltest

from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.model_servers import (
    call_events,
    call_records,
    log_files,
    logging_configs,
    model_configs,
    record_writer,
    request_log,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import tf_record

_Log = prediction_log_pb2.PredictionLog


def _subject(model: str, method: str = "Predict") -> call_events.Subject:
    return call_events.Subject("GRPC", method, model, 7, "s")


class RequestLogTest(absltest.TestCase):
    """Tests with files, without a thread."""

    def setUp(self) -> None:
        """Makes a log without models."""
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.writer = record_writer.RecordWriter(10_000, starts_thread=False)
        self.addCleanup(self.writer.close)
        self.clock = fake_clock.FakeClock()
        self.log = request_log.RequestLog(
            self.writer, log_files.Options(), ["serve"], self.clock
        )

    def _update(self, **rates: float) -> None:
        """Logs models, each to files that begin with its name."""
        self._update_prefixes(
            {name: (name, rate) for name, rate in rates.items()}
        )

    def _update_prefixes(self, models: Mapping[str, tuple[str, float]]) -> None:
        self.log.update(
            tuple(
                model_configs.ModelConfig(
                    name,
                    "/models",
                    logging=logging_configs.LoggingConfig(
                        str(self.folder / prefix), rate
                    ),
                )
                for name, (prefix, rate) in models.items()
            )
        )

    def _call(
        self,
        model: str,
        *requests: bytes,
        method: str = "Predict",
        num_bytes: int = 0,
    ) -> None:
        """Has calls succeed together."""
        subject = _subject(model, method)
        recorder = self.log.find(subject)
        assert recorder is not None
        recorder.succeeded(
            len(requests),
            lambda index: call_records.Record(
                subject,
                num_bytes,
                lambda: call_records.Messages(requests[index], b""),
                1.75,
            ),
        )

    def _logs(self, prefix: str = "") -> list[_Log]:
        """Returns what is in the complete files, oldest first."""
        logs: list[_Log] = []
        for path in sorted(self.folder.glob(f"{prefix}*.tfrecord")):
            with path.open("rb") as file:
                logs += map(_Log.FromString, tf_record.read(file))
        return logs

    def test_record_says_who_answered_what_and_when(self) -> None:
        """The request is there as it came, with all of its fields."""
        self._update(m=1.0)
        self._call("m", b"\x0a\x05\x0a\x03abc")
        self.writer.close()
        (log,) = self._logs()
        self.assertEqual(log.predict_log.request.model_spec.name, "abc")
        self.assertTrue(log.predict_log.HasField("response"))
        metadata = log.log_metadata
        self.assertEqual(metadata.model_spec.name, "m")
        self.assertEqual(metadata.model_spec.version.value, 7)
        self.assertEqual(metadata.model_spec.signature_name, "s")
        self.assertEqual(metadata.sampling_config.sampling_rate, 1)
        self.assertEqual(metadata.saved_model_tags, ["serve"])
        self.assertEqual(metadata.timestamp_secs, 1)

    def test_model_that_is_not_logged_has_no_recorder(self) -> None:
        """Nor has one at a rate of zero, so that its calls cost nothing."""
        self._update(m=1.0, zero=0.0)
        self.assertIsNotNone(self.log.find(_subject("m")))
        for name in ("other", "zero"):
            self.assertIsNone(self.log.find(_subject(name)))

    def test_sample_is_as_large_as_the_rate_says(self) -> None:
        """Each record has the rate in it."""
        self._update(m=0.5)
        for _ in range(400):
            self._call("m", *[b""] * 10)
            self.writer.run_once()
        self.writer.close()
        logs = self._logs()
        self.assertTrue(1_700 <= len(logs) <= 2_300)
        self.assertEqual(
            {log.log_metadata.sampling_config.sampling_rate for log in logs},
            {0.5},
        )
        self.assertEqual(self.log.counts(), {("m", "OK"): len(logs)})

    def test_another_rate_goes_on_in_the_same_file(self) -> None:
        """Records that wait keep the rate at which they were chosen."""
        self._update(m=1.0)
        self._call("m", b"")
        self._update(m=0.999999)
        self._call("m", b"")
        self._update(m=0.0)
        self._update(m=1.0)
        self._call("m", b"")
        self.writer.close()
        self.assertEqual(len([*self.folder.iterdir()]), 1)
        self.assertEqual(
            [
                log.log_metadata.sampling_config.sampling_rate
                for log in self._logs()
            ],
            [1.0, 0.999999, 1.0],
        )

    def test_another_prefix_completes_the_file(self) -> None:
        """Nothing is lost; the next call goes to the new files."""
        self._update_prefixes({"m": ("old", 1.0)})
        self._call("m", b"")
        self._update_prefixes({"m": ("new", 1.0)})
        self._call("m", b"")
        self.writer.run_once()
        self.assertEqual(len(self._logs("old")), 1)
        self.assertEqual(self._logs("new"), [])
        self._update()
        self.writer.run_once()
        self.assertEqual(len(self._logs("new")), 1)

    def test_models_may_share_a_prefix(self) -> None:
        """Each has files of its own all the same."""
        self._update_prefixes({"a": ("all", 1.0), "b": ("all", 1.0)})
        for name in ("a", "b", "a"):
            self._call(name, b"")
        self.writer.close()
        self.assertEqual(len([*self.folder.iterdir()]), 2)
        self.assertCountEqual(
            [log.log_metadata.model_spec.name for log in self._logs()],
            ["a", "a", "b"],
        )

    def test_calls_beyond_the_queue_are_counted(self) -> None:
        """One warning says so, not one for each."""
        self._update(m=1.0)
        with self.assertLogs(level="WARNING") as logged:
            self._call("m", *[b""] * 5, num_bytes=3_000)
        self.assertEqual(len(logged.output), 1)
        self.writer.close()
        self.assertEqual(
            self.log.counts(),
            {("m", "OK"): 2, ("m", "RESOURCE_EXHAUSTED"): 3},
        )

    def test_warning_comes_again_after_a_minute(self) -> None:
        """Calls that are left out meanwhile are not worth one."""
        self._update(m=1.0)
        with self.assertLogs(level="WARNING") as logged:
            for _ in range(3):
                self._call("m", b"", num_bytes=20_000)
                self.clock.advance_micros(30_000_000)
        self.assertEqual(len(logged.output), 2)

    def test_call_whose_messages_cannot_be_made_is_counted(self) -> None:
        """The others are logged."""
        self._update(m=1.0)
        recorder = self.log.find(_subject("m"))
        assert recorder is not None

        def fail() -> call_records.Messages:
            raise ValueError("a fault")

        recorder.succeeded(
            1, lambda index: call_records.Record(_subject("m"), 0, fail)
        )
        self._call("m", b"")
        with self.assertLogs(level="ERROR"):
            self.writer.close()
        self.assertEqual(
            self.log.counts(), {("m", "INTERNAL"): 1, ("m", "OK"): 1}
        )

    def test_folder_that_is_missing_harms_no_call(self) -> None:
        """All that is lost is counted."""
        self._update_prefixes({"m": ("no/such/m", 1.0)})
        self._call("m", b"", b"")
        with self.assertLogs(level="ERROR"):
            self.writer.close()
        self.assertEqual(self.log.counts(), {("m", "UNAVAILABLE"): 2})


if __name__ == "__main__":
    absltest.main()
