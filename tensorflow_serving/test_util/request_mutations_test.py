"""Tests for request_mutations."""

from absl.testing import absltest, parameterized
from google.protobuf import message

from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.test_util import request_cases, request_mutations

_NUM_SEEDS = 2000


class RequestMutationsTest(parameterized.TestCase):
    """Broken requests for all methods."""

    @parameterized.parameters(*request_cases.methods("/m"))
    def test_seed_decides_how_a_request_is_broken(self, name: str) -> None:
        """The same one gives the same bytes, others give others."""
        method = request_cases.methods("/m")[name]
        broken = [
            [
                request_mutations.mutate(method.request(1), seed)
                for seed in range(_NUM_SEEDS)
            ]
            for _ in range(2)
        ]
        self.assertEqual(*broken)
        self.assertGreater(len({*broken[0]}), _NUM_SEEDS // 4)

    def test_broken_requests_are_of_all_kinds(self) -> None:
        """Some cannot be parsed, and others have tensors that do not fit."""
        method = request_cases.methods("/m")["Predict"]
        num_unparsed = 0
        dtypes: set[int] = set()
        ranks: set[int] = set()
        sizes: set[int] = set()
        for seed in range(_NUM_SEEDS):
            data = request_mutations.mutate(method.request(seed), seed)
            try:
                request = predict_pb2.PredictRequest.FromString(data)
            except message.DecodeError:
                num_unparsed += 1
                continue
            for tensor in request.inputs.values():
                dtypes.add(tensor.dtype)
                ranks.add(len(tensor.tensor_shape.dim))
                sizes.update(each.size for each in tensor.tensor_shape.dim)
        self.assertGreater(num_unparsed, _NUM_SEEDS // 10)
        self.assertLess(num_unparsed, _NUM_SEEDS // 2)
        self.assertLessEqual({*range(24), -1, 101, 1000}, dtypes)
        self.assertLessEqual({0, 1, 2, 64, 65, 300}, ranks)
        self.assertLessEqual({-2, -1, 0, 1 << 31, 1 << 62}, sizes)


if __name__ == "__main__":
    absltest.main()
