"""Tests for warm_up_requests."""

import os
import pathlib

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import prediction_log_pb2, tensor_codec
from tensorflow_serving.servables.tensorflow import warm_up_requests
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors, tf_record

_Log = prediction_log_pb2.PredictionLog


def _predict(signature_name: str = "", x: float = 4) -> _Log:
    log = _Log()
    request = log.predict_log.request
    request.model_spec.name = "of another name"
    request.model_spec.signature_name = signature_name
    request.inputs["x"].CopyFrom(
        tensor_codec.to_proto(np.array([x], np.float32))
    )
    return log


class ReadTest(parameterized.TestCase):
    """Tests of what may be in the folder of a version."""

    def setUp(self) -> None:
        """Makes the folder of a version."""
        super().setUp()
        self.version = pathlib.Path(self.create_tempdir().full_path, "1")
        self.file = self.version / warm_up_requests.PATH
        self.file.parent.mkdir(parents=True)

    def _write(self, *records: bytes) -> None:
        with self.file.open("wb") as file:
            for record in records:
                tf_record.write(file, record)

    def _read(self) -> list[_Log]:
        return [*warm_up_requests.read(os.fspath(self.version))]

    def test_file_of_tensorflow_is_read(self) -> None:
        """Requests that TensorFlow's writer wrote come back in order."""
        logs = [_predict(x=1), _predict(x=2)]
        with tf.io.TFRecordWriter(os.fspath(self.file)) as writer:
            for log in logs:
                writer.write(log.SerializeToString())
        self.assertEqual(self._read(), logs)

    def test_link_to_a_file_is_followed(self) -> None:
        """Tools that fetch models keep the files elsewhere."""
        self._write(_predict().SerializeToString())
        self.file.rename(self.version / "elsewhere")
        self.file.symlink_to(self.version / "elsewhere")
        self.assertEqual(self._read(), [_predict()])

    def test_missing_file_is_not_found(self) -> None:
        """A version needs no requests, nor the folder for them."""
        with self.assertRaisesRegex(
            errors.NotFoundError, f"no warm-up requests: {self.file}"
        ):
            self._read()
        self.file.parent.rmdir()
        with self.assertRaises(errors.NotFoundError):
            self._read()

    @parameterized.parameters(
        ("fifo", "got a named pipe"),
        ("folder", "got a folder"),
        ("link", "got a link to nothing"),
    )
    def test_other_things_are_refused(self, kind: str, text: str) -> None:
        """A thing that is no file is refused, and never waited for."""
        if kind == "fifo":
            os.mkfifo(self.file)
        elif kind == "folder":
            self.file.mkdir()
        else:
            self.file.symlink_to("nothing")
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, f"{text}: {self.file}"
        ):
            self._read()

    def test_link_to_itself_is_a_fault_of_the_storage(self) -> None:
        """The error has the reason of the system."""
        self.file.symlink_to(self.file)
        with self.assertRaisesRegex(errors.UnavailableError, "symbolic links"):
            self._read()

    def test_truncated_file_is_data_loss(self) -> None:
        """The requests before the end are read."""
        self._write(_predict().SerializeToString(), b"abc")
        content = self.file.read_bytes()
        self.file.write_bytes(content[:-1])
        requests = warm_up_requests.read(os.fspath(self.version))
        self.assertEqual(next(requests), _predict())
        with self.assertRaisesRegex(
            errors.DataLossError, f"TFRecord format; .* end of .*: {self.file}"
        ):
            next(requests)

    def test_record_of_another_kind_is_refused(self) -> None:
        """The error says which record it is."""
        self._write(_predict().SerializeToString(), b"\xff")
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"Failed to parse warmup record 2: .*PredictionLog: {self.file}",
        ):
            self._read()

    def test_more_than_a_thousand_records_are_refused(self) -> None:
        """The first thousand are read, as far as they go."""
        self._write(*[b""] * 1000)
        self.assertEqual(len(self._read()), 1000)
        self._write(*[b""] * 1001)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "Number of warmup records exceeds the maximum, which is 1000",
        ):
            self._read()


class BeginTest(parameterized.TestCase):
    """Tests of the runs that requests ask a small model for."""

    def setUp(self) -> None:
        """Makes the model."""
        super().setUp()
        small = small_model.SmallModel()
        self.addCleanup(small.close)
        self._version = small.version

    def _run(self, log: _Log) -> bytes:
        return warm_up_requests.begin(self._version, log).run()

    def test_predict_answers(self) -> None:
        """A logged Predict gets the response that its caller would get."""
        log = _predict()
        log.predict_log.response.ParseFromString(self._run(log))
        response = log.predict_log.response
        self.assertEqual(list(response.outputs["y"].float_val), [4])
        self.assertEqual(response.model_spec.name, "small")

    def test_classify_and_regress_answer(self) -> None:
        """A logged Classify or Regress takes the examples of its request."""
        log = _Log()
        log.classify_log.request.model_spec.signature_name = "classify"
        log.classify_log.request.input.example_list.examples.add()
        log.classify_log.response.ParseFromString(self._run(log))
        result = log.classify_log.response.result
        self.assertEqual(len(result.classifications), 1)
        log.regress_log.request.model_spec.signature_name = "regress"
        log.regress_log.request.input.example_list.examples.add()
        log.regress_log.response.ParseFromString(self._run(log))
        self.assertEqual(len(log.regress_log.response.result.regressions), 1)

    def test_multi_inference_answers(self) -> None:
        """All tasks of a logged MultiInference have a result."""
        log = _Log()
        request = log.multi_inference_log.request
        for method in ("classify", "regress"):
            task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
            task.model_spec.name = "any"
            task.model_spec.signature_name = method
        request.input.example_list.examples.add()
        log.multi_inference_log.response.ParseFromString(self._run(log))
        self.assertEqual(len(log.multi_inference_log.response.results), 2)

    @parameterized.parameters("session_run_log", "predict_streamed_log", "none")
    def test_other_methods_are_not_implemented(self, kind: str) -> None:
        """A request of a method that is not served is not replayed."""
        log = _Log()
        if kind != "none":
            getattr(log, kind).SetInParent()
        with self.assertRaisesRegex(
            errors.UnimplementedError, f"log_type .*; got {kind}"
        ):
            self._run(log)

    def test_request_that_does_not_fit_has_the_error_of_its_method(
        self,
    ) -> None:
        """A request for an unknown signature fails as that of a caller."""
        with self.assertRaisesRegex(errors.FailedPreconditionError, '"q" not'):
            self._run(_predict("q"))


if __name__ == "__main__":
    absltest.main()
