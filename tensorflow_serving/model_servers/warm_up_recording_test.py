"""Tests for warm_up_recording."""

import os
import pathlib

from absl.testing import absltest

from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    call_events,
    call_records,
    record_writer,
    warm_up_recording,
)
from tensorflow_serving.servables.tensorflow import warm_up_requests


class WarmUpRecordingTest(absltest.TestCase):
    """Tests with files, without a thread."""

    def setUp(self) -> None:
        """Makes a recording of two requests of each signature."""
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path) / "new"
        self.writer = record_writer.RecordWriter(1 << 30, starts_thread=False)
        self.addCleanup(self.writer.close)
        self.recording = self._recording(2)

    def _recording(self, num_records: int) -> warm_up_recording.WarmUpRecording:
        return warm_up_recording.WarmUpRecording(
            self.writer,
            warm_up_recording.Options(str(self.folder), num_records),
        )

    def _call(
        self,
        num_calls: int = 1,
        *,
        signature: str = "s",
        version: int = 7,
        model: str = "m",
        num_bytes: int = 0,
    ) -> bool:
        """Has calls succeed; returns whether anybody wanted them."""
        subject = call_events.Subject(
            "GRPC", "Predict", model, version, signature
        )
        recorder = self.recording.find(subject)
        if recorder is None:
            return False
        recorder.succeeded(
            num_calls,
            lambda index: call_records.Record(
                subject,
                num_bytes,
                lambda: call_records.Messages(b"", b"\x0a\x00"),
            ),
        )
        return True

    def _recorded(
        self, version: int = 7, model: str = "m"
    ) -> list[prediction_log_pb2.PredictionLog]:
        self.writer.run_once()
        return [*warm_up_requests.read(str(self.folder / model / str(version)))]

    def test_file_is_written_when_a_signature_has_all(self) -> None:
        """Requests have no response, and no metadata."""
        self.assertTrue(self._call())
        self.writer.run_once()
        self.assertFalse(self.folder.exists())
        self.assertTrue(self._call(9))
        self.assertFalse(self._call())
        logs = self._recorded()
        expected = prediction_log_pb2.PredictionLog()
        expected.predict_log.request.SetInParent()
        self.assertEqual(logs, [expected] * 2)

    def test_each_signature_has_its_requests(self) -> None:
        """The file is written anew, with those of all."""
        self._call(2, signature="a")
        self.assertEqual(len(self._recorded()), 2)
        self._call(2, signature="b")
        self.assertEqual(len(self._recorded()), 4)

    def test_file_is_written_once_for_signatures_of_one_moment(self) -> None:
        """Slow storage would not finish one writing for each in time."""
        for signature in "abcdefgh":
            self._call(2, signature=signature)
        with self.assertLogs(level="INFO") as logged:
            self.assertEqual(len(self._recorded()), 16)
        self.assertEqual(len(logged.output), 1)
        self.assertIn("Recorded 16 requests", logged.output[0])

    def test_each_version_has_a_file(self) -> None:
        """One that ends has its file, with what there is."""
        self._call(version=1)
        self._call(version=2)
        self.recording.end(servable.ServableId("m", 1))
        self.recording.end(servable.ServableId("m", 3))
        self.assertEqual(len(self._recorded(1)), 1)
        self.assertFalse((self.folder / "m" / "2").exists())
        self.writer.close()
        self.assertEqual(len(self._recorded(2)), 1)

    def test_file_with_more_requests_stays(self) -> None:
        """An earlier process, or another one, has recorded them."""
        self._call(2)
        self.assertEqual(len(self._recorded()), 2)
        self.recording = self._recording(1)
        self._call()
        self.assertEqual(len(self._recorded()), 2)
        self.recording = self._recording(3)
        self._call(3)
        self.assertEqual(len(self._recorded()), 3)

    def test_file_never_has_more_requests_than_are_replayed(self) -> None:
        """A warm-up would leave out the others."""
        self.recording = self._recording(600)
        self._call(600, signature="a")
        self._call(600, signature="b")
        self.assertEqual(len(self._recorded()), warm_up_requests.MAX_RECORDS)

    def test_large_requests_are_left_out(self) -> None:
        """They count as well, so that recording ends."""
        with self.assertLogs(level="WARNING"):
            self._call(num_bytes=1 << 25)
        self._call()
        self.assertFalse(self._call())
        self.assertEqual(len(self._recorded()), 1)

    def test_requests_of_all_versions_have_a_limit(self) -> None:
        """A version that ends makes room for others."""
        for version in range(40):
            self._call(version=version, num_bytes=15 << 20)
        self.writer.close()
        self.assertEqual(len(os.listdir(self.folder / "m")), 17)

    def test_name_of_a_model_is_one_folder(self) -> None:
        """It leads nowhere else."""
        for name in ("../../x", "..", "a/b"):
            self._call(2, model=name)
        self.writer.run_once()
        self.assertCountEqual(
            os.listdir(self.folder), ["%2E.%2F..%2Fx", "%2E.", "a%2Fb"]
        )

    def test_folder_that_cannot_be_written_harms_no_call(self) -> None:
        """The log says why there is no file."""
        self.folder.write_bytes(b"")
        self._call(2)
        with self.assertLogs(level="ERROR") as logged:
            self.writer.run_once()
        self.assertIn("Not a directory", logged.output[0])


if __name__ == "__main__":
    absltest.main()
