"""Tests for reference_model."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import models, reference_model


class ReferenceModelTest(absltest.TestCase):
    """An export without a server."""

    def test_model_gives_scores_and_has_a_limit(self) -> None:
        """Scores add up to 1, and each batch size has a throughput."""
        path = models.export("softmax", self.create_tempdir().full_path)
        with reference_model.ReferenceModel(path) as model:
            work = model.workload()
            np.testing.assert_allclose(work.scores.sum(axis=1), 1.0, rtol=1e-5)
            throughputs = model.images_per_second(seconds=0.001)
        self.assertEqual(max(throughputs), 256)
        self.assertGreater(min(throughputs.values()), 0)


if __name__ == "__main__":
    absltest.main()
