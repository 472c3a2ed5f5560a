"""Tests for reference_model; models_test looks at its scores."""

from absl.testing import absltest

from tensorflow_serving.benchmarks import models, reference_model, workload


class ReferenceModelTest(absltest.TestCase):
    """An export run in this process."""

    def test_throughput_is_measured_for_each_batch_size(self) -> None:
        """Powers of two up to 256, in images."""
        version_dir = models.export("softmax", self.create_tempdir().full_path)
        (image,) = workload.random_images(1, seed=0)
        with reference_model.ReferenceModel(version_dir) as model:
            throughputs = model.images_per_second(image, seconds=0.01)
        self.assertEqual(list(throughputs), [1, 2, 4, 8, 16, 32, 64, 128, 256])
        self.assertGreater(throughputs[256], throughputs[1])


if __name__ == "__main__":
    absltest.main()
