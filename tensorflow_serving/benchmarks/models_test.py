"""Tests for models."""

import os

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import models, workload


class ModelsTest(parameterized.TestCase):
    """Models with random weights."""

    def _reference(self, name: str, seed: int = 0) -> models.ReferenceModel:
        folder = self.create_tempdir().full_path
        model: models.ReferenceModel = self.enter_context(
            models.ReferenceModel(models.export(name, folder, seed))
        )
        return model

    @parameterized.parameters(*models.NAMES)
    def test_images_have_answers_of_their_own(self, name: str) -> None:
        """Scores add up to 1, and those of another image are wrong."""
        scored = self._reference(name).scored_images()
        self.assertEqual(scored.scores.shape, (100, 10))
        self.assertEqual(scored.scores.dtype, np.float32)
        np.testing.assert_allclose(scored.scores.sum(axis=1), 1.0, rtol=1e-5)
        work = workload.classify(scored)
        for shift in range(1, 100):
            shifted = [*work.answers[shift:], *work.answers[:shift]]
            self.assertFalse(work.are_right(range(100), shifted).any())

    def test_seed_decides_the_weights(self) -> None:
        """The same seed gives the same model, another seed another one."""
        images = workload.random_images(1, seed=0)
        one, same, other = (
            self._reference("softmax", seed).scores(images)
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one, same)
        self.assertFalse(np.allclose(one, other))

    def test_large_model_has_the_size(self) -> None:
        """The variables are a file of that size, and not in the graph."""
        folder = self.create_tempdir().full_path
        path = models.export_large(folder, megabytes=2)
        size = os.path.getsize(os.path.join(path, "export-00000-of-00001"))
        self.assertAlmostEqual(size, 2e6, delta=2e5)
        self.assertLess(os.path.getsize(os.path.join(path, "export.meta")), 1e5)
        with models.ReferenceModel(path) as model:
            scores = model.scores(workload.random_images(2, seed=0))
        self.assertFalse(np.allclose(scores[0], scores[1]))


if __name__ == "__main__":
    absltest.main()
