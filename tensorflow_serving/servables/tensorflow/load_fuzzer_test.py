"""Tests for load_fuzzer."""

import os
import tempfile

from absl.testing import absltest, parameterized

from tensorflow_serving.servables.tensorflow import load_fuzzer
from tensorflow_serving.session_bundle.example import export_half_plus_two
from tensorflow_serving.test_util import saved_models

_NUM_SEEDS = 150


class LoadFuzzerTest(parameterized.TestCase):
    """Broken files of models, and whether a loader survives them."""

    base: str

    @classmethod
    def setUpClass(cls) -> None:
        """Writes models in both formats."""
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = folder.name
        os.rename(
            export_half_plus_two.export(folder.name),
            os.path.join(folder.name, "export"),
        )
        saved_models.write_tf1(os.path.join(folder.name, "tf1"))
        saved_models.write_tf2(os.path.join(folder.name, "tf2"))

    @parameterized.parameters("export", "tf1", "tf2")
    def test_broken_model_is_an_error(self, name: str) -> None:
        """The process goes on, whatever is in the file."""
        outcome = load_fuzzer.run(
            os.path.join(self.base, name), range(_NUM_SEEDS)
        )
        self.assertEqual(outcome.crashed_seeds, [])
        self.assertEqual(sum(outcome.counts.values()), _NUM_SEEDS)
        self.assertGreater(outcome.counts["FailedPreconditionError"], 10)
        self.assertGreater(outcome.counts["loaded"], 0)

    def test_process_that_ends_is_a_crash(self) -> None:
        """Each seed is then tried in a process of its own."""
        outcome = load_fuzzer.run("/no/such/folder", range(5, 8))
        self.assertEqual(outcome.crashed_seeds, [5, 6, 7])
        self.assertEqual(outcome.counts, {})


if __name__ == "__main__":
    absltest.main()
