"""Tests for rest_mutations and rest_cases."""

import json

from absl.testing import absltest

from tensorflow_serving.test_util import rest_cases, rest_mutations

_NUM_SEEDS = 2000


def _mutated(seed: int) -> bytes:
    request = rest_cases.whole(seed)
    return rest_mutations.mutate(request, seed).serialized()


class RestMutationsTest(absltest.TestCase):
    """Broken requests."""

    def test_seed_decides_how_a_request_is_broken(self) -> None:
        """The same one gives the same bytes, others give others."""
        for mutate in (
            _mutated,
            lambda seed: rest_mutations.mutate_http(rest_cases.whole(1), seed),
        ):
            broken = [[*map(mutate, range(_NUM_SEEDS))] for _ in range(2)]
            self.assertEqual(*broken)
            self.assertGreater(len({*broken[0]}), _NUM_SEEDS // 4)

    def test_response_to_another_request_is_wrong(self) -> None:
        """The number in a request decides what is right."""
        body = rest_cases.whole(0).body
        x = [item["x"] for item in json.loads(body)["instances"]]
        for shift, is_right in ((2, True), (3, False)):
            rows = [{"y": each / 2 + shift, "z": 2 * each} for each in x]
            response = json.dumps({"predictions": rows}).encode()
            self.assertEqual(rest_cases.is_right(body, response), is_right)


if __name__ == "__main__":
    absltest.main()
