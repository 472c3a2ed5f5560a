"""Tests for prediction_logs."""

from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.apis import (
    logging_pb2,
    prediction_log_pb2,
    prediction_logs,
)

_Log = prediction_log_pb2.PredictionLog


def _named(path: str, name: str) -> str:
    """Returns the text of a message with the name of a model in it."""
    return f'{path} {{ name: "{name}" }} {"}" * path.count("{")}'


class PredictionLogsTest(parameterized.TestCase):
    """Tests against the generated classes."""

    @parameterized.parameters(
        ("Classify", "classify_log", "model_spec", "model_spec"),
        (
            "MultiInference",
            "multi_inference_log",
            "tasks { model_spec",
            "results { model_spec",
        ),
        ("Predict", "predict_log", "model_spec", "model_spec"),
        ("Regress", "regress_log", "model_spec", "model_spec"),
    )
    def test_log_is_what_the_generated_classes_write(
        self, method: str, field: str, request: str, response: str
    ) -> None:
        """Each method has a field, with its request and its response."""
        expected = text_format.Parse(
            'log_metadata { model_spec { name: "m" } } '
            f"{field} {{ request {{ {_named(request, 'asked' * 100)} }} "
            f"response {{ {_named(response, 'answered')} }} }}",
            _Log(),
        )
        log = getattr(expected, field)
        data = prediction_logs.encode(
            method,
            expected.log_metadata,
            log.request.SerializeToString(),
            log.response.SerializeToString(),
        )
        self.assertEqual(_Log.FromString(data), expected)

    def test_parts_may_be_left_out(self) -> None:
        """A log without them does not have the fields at all."""
        log = _Log.FromString(prediction_logs.encode("Predict", None, b""))
        self.assertEqual(log.WhichOneof("log_type"), "predict_log")
        self.assertFalse(log.HasField("log_metadata"))
        self.assertFalse(log.predict_log.HasField("response"))
        self.assertTrue(log.predict_log.HasField("request"))

    def test_empty_metadata_is_there(self) -> None:
        """A field without values differs from none."""
        data = prediction_logs.encode(
            "Regress", logging_pb2.LogMetadata(), b"", b""
        )
        log = _Log.FromString(data)
        self.assertTrue(log.HasField("log_metadata"))
        self.assertTrue(log.regress_log.HasField("response"))


if __name__ == "__main__":
    absltest.main()
