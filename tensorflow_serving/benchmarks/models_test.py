"""Tests for models."""

import os

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import models, reference_model, workload
from tensorflow_serving.util import errors


class ModelsTest(parameterized.TestCase):
    """Models with random weights."""

    def _reference(
        self, name: str, seed: int = 0
    ) -> reference_model.ReferenceModel:
        folder = self.create_tempdir().full_path
        model: reference_model.ReferenceModel = self.enter_context(
            reference_model.ReferenceModel(models.export(name, folder, seed))
        )
        return model

    @parameterized.parameters(*models.NAMES)
    def test_scores_are_probabilities(self, name: str) -> None:
        """Each image has ten scores, float32, that add up to 1."""
        images = workload.random_images(5, seed=0)
        scores = self._reference(name).scores(images)
        self.assertEqual(scores.shape, (5, 10))
        self.assertEqual(scores.dtype, np.float32)
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-5)

    @parameterized.parameters(*models.NAMES)
    def test_images_have_answers_of_their_own(self, name: str) -> None:
        """An answer to another image is found to be wrong."""
        images = workload.random_images(100, seed=0)
        work = workload.Workload(images, self._reference(name).scores(images))
        answers = [b"\x0a\x28" + scores.tobytes() for scores in work.scores]
        for shift in range(1, 100):
            shifted = answers[shift:] + answers[:shift]
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

    def test_version_is_the_name_of_the_folder(self) -> None:
        """Versions of one model stand beside each other."""
        folder = self.create_tempdir().full_path
        for version in (1, 12):
            path = models.export("softmax", folder, version=version)
            self.assertEqual(path, os.path.join(folder, f"{version:08d}"))

    def test_large_model_has_the_size(self) -> None:
        """The variables are a file of that size, and not in the graph."""
        folder = self.create_tempdir().full_path
        path = models.export_large(folder, megabytes=2, version=7)
        size = os.path.getsize(os.path.join(path, "export-00000-of-00001"))
        self.assertAlmostEqual(size, 2e6, delta=2e5)
        self.assertLess(os.path.getsize(os.path.join(path, "export.meta")), 1e5)
        with reference_model.ReferenceModel(path) as model:
            scores = model.scores(workload.random_images(2, seed=0))
        self.assertFalse(np.allclose(scores[0], scores[1]))

    def test_large_model_without_a_size_is_refused(self) -> None:
        """A large model of 0 megabytes is an error."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "megabytes must be at least 1; got 0"
        ):
            models.export_large(self.create_tempdir().full_path, megabytes=0)


if __name__ == "__main__":
    absltest.main()
