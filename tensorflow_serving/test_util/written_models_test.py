"""Tests for written_models."""

import os
import sys

from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import written_models


class WrittenModelsTest(parameterized.TestCase):
    """Models that are there already."""

    @parameterized.parameters(
        (written_models.HALF_PLUS_TWO, "export.meta"),
        (written_models.SAVED_MODEL_TF1, "saved_model.pb"),
        (written_models.SAVED_MODEL_TF2, "saved_model.pb"),
    )
    def test_copy_can_be_changed(self, model: str, name: str) -> None:
        """It is a folder of the test's own, and costs no import."""
        path = os.path.join(self.create_tempdir().full_path, "new", "1")
        self.assertEqual(written_models.copy(model, path), path)
        file = os.path.join(path, name)
        os.truncate(file, 10)
        os.remove(file)
        self.assertNotIn("tensorflow", sys.modules)


if __name__ == "__main__":
    absltest.main()
