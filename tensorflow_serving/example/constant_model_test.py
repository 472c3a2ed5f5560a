"""Tests for constant_model."""

import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tensorflow_serving.example import constant_model
from tensorflow_serving.session_bundle import session_bundle, signature


class ConstantModelTest(absltest.TestCase):
    """A model that says its version."""

    def test_each_score_is_the_number_of_the_version(self) -> None:
        """The scores of an image of any dtype are those of the version."""
        for version, dtype in ((7, tf.float32), (8, tf.int64)):
            path = constant_model.export(
                self.create_tempdir().full_path, version, dtype
            )
            bundle = session_bundle.load_session_bundle_from_path(path)
            self.addCleanup(bundle.close)
            found = signature.get_classification_signature(
                bundle.meta_graph_def
            )
            scores = bundle.session.run(
                found.scores.tensor_name,
                {found.input.tensor_name: np.ones([2, 784], dtype.name)},
            )
            np.testing.assert_array_equal(
                scores, np.full([2, 10], version, np.float32)
            )


if __name__ == "__main__":
    absltest.main()
