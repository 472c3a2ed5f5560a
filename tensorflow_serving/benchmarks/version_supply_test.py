"""Tests for version_supply."""

import os

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import reference_model, version_supply
from tensorflow_serving.example import mnist_inference_pb2


def _answers(path: str, supply: version_supply.VersionSupply) -> list[bytes]:
    with reference_model.ReferenceModel(path) as model:
        return [
            mnist_inference_pb2.MnistResponse(value=scores).SerializeToString()
            for scores in model.scores(supply.workload.images)
        ]


class VersionSupplyTest(absltest.TestCase):
    """Versions that wait to be served."""

    def test_answers_of_each_version_are_known(self) -> None:
        """And are those of no other version, for any image."""
        supply = version_supply.VersionSupply(
            self.create_tempdir().full_path, seed=0
        )
        supply.export(1, 3)
        for version in (1, 2, 3):
            answers = _answers(supply.path(version), supply)
            np.testing.assert_array_equal(
                supply.workload.versions_of(range(len(answers)), answers),
                [version] * len(answers),
            )

    def test_duplicate_is_the_same_under_another_name(self) -> None:
        """It stays when the first one goes."""
        supply = version_supply.VersionSupply(
            self.create_tempdir().full_path, seed=0
        )
        supply.export(1, 1)
        before = _answers(supply.path(1), supply)
        path = supply.duplicate(1, 2)
        for name in os.listdir(supply.path(1)):
            os.remove(os.path.join(supply.path(1), name))
        self.assertEqual(path, supply.path(2))
        self.assertEqual(_answers(path, supply), before)


if __name__ == "__main__":
    absltest.main()
