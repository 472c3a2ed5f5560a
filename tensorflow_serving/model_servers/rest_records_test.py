"""Tests for rest_records."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.apis import model_pb2, predict_pb2, tensor_codec
from tensorflow_serving.model_servers import call_events, rest_records

_SUBJECT = call_events.Subject("REST", "Predict", "m", 3, "serving_default")


class RestRecordsTest(absltest.TestCase):
    """Tests of records, read with the generated classes."""

    def test_record_has_the_messages_of_a_call_of_grpc(self) -> None:
        """The request names whom it named, the response who answered."""
        record = rest_records.of_predict(
            _SUBJECT,
            model_pb2.ModelSpec(name="m", version_label="stable"),
            {"x": np.array([1, 2], np.float32)},
            {"y": np.array([b"a", b"bcd"], object)},
        )
        messages = record.messages()
        request = predict_pb2.PredictRequest.FromString(messages.request)
        self.assertEqual(request.model_spec.version_label, "stable")
        self.assertEqual(
            tensor_codec.to_array(request.inputs["x"]).tolist(), [1, 2]
        )
        response = predict_pb2.PredictResponse.FromString(messages.response)
        self.assertEqual(response.model_spec.version.value, 3)
        self.assertEqual(response.model_spec.signature_name, "serving_default")
        self.assertEqual(
            tensor_codec.to_array(response.outputs["y"]).tolist(),
            [b"a", b"bcd"],
        )
        self.assertGreaterEqual(record.num_bytes, 8 + 4)

    def test_outputs_do_not_keep_those_of_other_calls(self) -> None:
        """They are a copy, also of what may change."""
        outputs = np.zeros([100], np.float32)
        record = rest_records.of_predict(
            _SUBJECT, model_pb2.ModelSpec(), {}, {"y": outputs[:1]}
        )
        outputs[0] = 9
        response = predict_pb2.PredictResponse.FromString(
            record.messages().response
        )
        self.assertEqual(
            tensor_codec.to_array(response.outputs["y"]).tolist(), [0]
        )


if __name__ == "__main__":
    absltest.main()
