"""Tests for load_fuzzer."""

import os
import tempfile

from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import load_fuzzer
from tensorflow_serving.test_util import tflite_models, written_models

_NUM_SEEDS = 150


class LoadFuzzerTest(parameterized.TestCase):
    """Broken files of models, and whether a loader survives them."""

    base: str

    @classmethod
    def setUpClass(cls) -> None:
        """Copies models in both formats."""
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = folder.name
        for name, model in (
            ("export", written_models.HALF_PLUS_TWO),
            ("tf1", written_models.SAVED_MODEL_TF1),
            ("tf2", written_models.SAVED_MODEL_TF2),
        ):
            written_models.copy(model, os.path.join(folder.name, name))
        for name, content in (
            ("tflite", tflite_models.half_plus(2)),
            ("tflite_of_texts", tflite_models.reshape()),
            ("tflite_recurrent", tflite_models.recurrent()),
        ):
            path = os.path.join(folder.name, name)
            os.mkdir(path)
            with open(os.path.join(path, "model.tflite"), "wb") as file:
                file.write(content)

    @parameterized.parameters(
        ("export", 10),
        ("tf1", 10),
        ("tf2", 10),
        # Most of these are found to be broken before they are loaded.
        ("tflite", 0),
        ("tflite_of_texts", 0),
        ("tflite_recurrent", 0),
    )
    def test_broken_model_is_an_error(self, name: str, num_failed: int) -> None:
        """The process goes on, whatever is in the file."""
        outcome = load_fuzzer.run(
            os.path.join(self.base, name), range(_NUM_SEEDS)
        )
        self.assertEqual(outcome.crashed_seeds, [])
        self.assertEqual(sum(outcome.counts.values()), _NUM_SEEDS)
        self.assertGreater(
            outcome.counts["FailedPreconditionError"], num_failed
        )
        self.assertIn(outcome.counts["loaded"], range(1, _NUM_SEEDS - 10))

    def test_process_that_ends_is_a_crash(self) -> None:
        """Each seed is then tried in a process of its own."""
        outcome = load_fuzzer.run("/no/such/folder", range(5, 8))
        self.assertEqual(outcome.crashed_seeds, [5, 6, 7])
        self.assertEqual(outcome.counts, {})


if __name__ == "__main__":
    absltest.main()
