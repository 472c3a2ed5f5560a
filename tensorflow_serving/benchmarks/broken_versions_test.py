"""Tests for broken_versions."""

import os
from typing import cast

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import broken_versions, models
from tensorflow_serving.example import mnist_classifier
from tensorflow_serving.servables.tensorflow import session_bundle_factory
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.util import errors


def _load(path: str) -> None:
    """Loads a version as mnist_inference_2 does, and unloads it."""
    with (
        session_bundle_factory.SessionBundleFactory.create(
            mnist_classifier.session_bundle_config()
        ) as factory,
        factory.create_session_bundle(path) as bundle,
    ):
        mnist_classifier.MnistClassifier(
            cast(
                session_bundle.SessionBundle[mnist_classifier.Session], bundle
            ),
            max_batch_size=2,
        )


class BrokenVersionsTest(parameterized.TestCase):
    """Copies that are broken."""

    @parameterized.parameters(
        ("truncated variables", errors.DataLossError),
        ("garbage in the variables", errors.DataLossError),
        ("garbage in export.meta", errors.DataLossError),
        ("no signature", errors.FailedPreconditionError),
        ("images of int64", errors.FailedPreconditionError),
        ("images of float64", errors.FailedPreconditionError),
    )
    def test_broken_copy_does_not_load(
        self, breaker: str, error: type[errors.ServingError]
    ) -> None:
        """What it is a copy of does."""
        folder = self.create_tempdir().full_path
        source = models.export("softmax", folder)
        target = os.path.join(folder, "broken")
        broken_versions.make(source, target, breaker)
        with self.assertRaises(error):
            _load(target)
        _load(source)

    def test_each_way_is_tested(self) -> None:
        """None is forgotten above."""
        self.assertEqual(len(broken_versions.BREAKERS), 6)


if __name__ == "__main__":
    absltest.main()
