"""Tests for predict_workload."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import predict_pb2, tensor_codec
from tensorflow_serving.benchmarks import predict_workload, workload
from tensorflow_serving.rpc import message_frame


def _work(*, as_content: bool = False) -> predict_workload.PredictWorkload:
    return predict_workload.PredictWorkload(
        {
            name: workload.Workload(images, images[:, :10])
            for name, images in (
                ("a", workload.random_images(2, seed=0)),
                ("b", workload.random_images(2, seed=1)),
            )
        },
        as_content,
    )


def _answer(
    work: predict_workload.PredictWorkload, name: str, row: int
) -> bytes:
    response = predict_pb2.PredictResponse()
    response.model_spec.name = name
    response.model_spec.version.value = 100
    response.model_spec.signature_name = "serving_default"
    scores = work.works[name].scores[row : row + 1]
    response.outputs["scores"].CopyFrom(tensor_codec.to_proto(scores))
    return response.SerializeToString()


class PredictWorkloadTest(parameterized.TestCase):
    """Requests for two models, and their answers."""

    @parameterized.parameters(False, True)
    def test_requests_are_for_the_models_in_turn(
        self, as_content: bool
    ) -> None:
        """Each has an image, in the form that is wanted."""
        work = _work(as_content=as_content)
        requests = [*map(predict_pb2.PredictRequest.FromString, work.requests)]
        self.assertEqual(
            [each.model_spec.name for each in requests], ["a", "b", "a", "b"]
        )
        tensor = requests[3].inputs["inputs"]
        self.assertEqual(bool(tensor.tensor_content), as_content)
        np.testing.assert_array_equal(
            tensor_codec.to_array(tensor), work.works["b"].images[1:]
        )

    def test_answer_of_another_image_or_model_is_wrong(self) -> None:
        """So is one that cannot be read, and one without scores."""
        work = _work()
        answers = [_answer(work, name, row) for row in (0, 1) for name in "ab"]
        self.assertTrue(work.are_right(range(4), answers).all())
        self.assertFalse(work.are_right(range(4), answers[::-1]).any())
        odd = [b"", b"\xff", answers[0][:-1]]
        self.assertFalse(work.are_right([0, 0, 0], odd).any())

    def test_size_of_an_answer_is_known(self) -> None:
        """A load without a look at the answers counts them by it."""
        work = _work()
        framed = message_frame.frame(_answer(work, "a", 0))
        self.assertEqual(len(framed), work.framed_answer_bytes)


if __name__ == "__main__":
    absltest.main()
