"""Tests for mnist_export, on the digits that come with the project."""

import contextlib
import io
import os
import subprocess

import tensorflow as tf
from absl import flags
from absl.testing import absltest, flagsaver, parameterized

from tensorflow_serving.example import mnist_export, mnist_input_data
from tensorflow_serving.util import errors

_EXPORT = os.path.join(os.path.dirname(__file__), "mnist_export")

tf1 = tf.compat.v1


class ProgramTest(parameterized.TestCase):
    """The real program."""

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_EXPORT, "--dataset=digits", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_transcript_is_that_of_the_tutorial(self) -> None:
        """The lines come in their order, and the files are in the folder."""
        model = os.path.join(self.create_tempdir().full_path, "mnist_model")
        program = self._run(model)
        self.assertEqual(program.returncode, 0, program.stderr)
        training, accuracy, *rest = program.stdout.splitlines()
        self.assertEqual(training, "Training model...")
        self.assertRegex(accuracy, r"^training accuracy 0\.9\d*$")
        self.assertEqual(
            rest,
            [
                "Done training!",
                f"Exporting trained model to {model}",
                "Done exporting!",
            ],
        )
        self.assertEqual(os.listdir(model), ["00000001"])
        self.assertEqual(
            sorted(os.listdir(os.path.join(model, "00000001"))),
            ["checkpoint", "export-00000-of-00001", "export.meta"],
        )

    def test_existing_version_is_noticed_before_the_training(self) -> None:
        """One line names the folder; nothing is changed."""
        model = self.create_tempdir()
        version = model.mkdir("00000007").full_path
        program = self._run("--export_version=7", model.full_path)
        self.assertEqual(program.returncode, 1)
        self.assertRegex(
            program.stderr,
            f"(?m)^ERROR: Export directory must not exist yet; got {version}",
        )
        self.assertNotIn("Training", program.stdout)
        self.assertEqual(os.listdir(version), [])

    @parameterized.parameters(
        (["--training_iteration=0", "/x"], "--training_iteration=0"),
        ([], "EXPORT_DIR"),
    )
    def test_wrong_argument_is_named(
        self, arguments: list[str], text: str
    ) -> None:
        """A wrong flag or argument is named, and the exit code is not 0."""
        program = self._run(*arguments)
        self.assertNotEqual(program.returncode, 0)
        self.assertIn(text, program.stderr)

    def test_folder_that_cannot_be_written_is_one_line(self) -> None:
        """The process ends with 1, and a line that names the folder."""
        program = self._run("/proc")
        self.assertEqual(program.returncode, 1)
        self.assertRegex(program.stderr, "(?m)^ERROR: .*/proc")
        self.assertNotIn("Training", program.stdout)


class MainTest(parameterized.TestCase):
    """The program without its process, which takes seconds to start."""

    def test_folder_that_cannot_be_written_ends_it_before_the_training(
        self,
    ) -> None:
        """The error says why a folder cannot be written."""
        for folder in ("/proc", self.create_tempfile().full_path, "gs://x/y"):
            output = io.StringIO()
            with (
                self.assertRaisesRegex((errors.ServingError, OSError), folder),
                contextlib.redirect_stdout(output),
            ):
                mnist_export.main(["mnist_export", folder])
            self.assertNotIn("Training", output.getvalue())

    @parameterized.parameters(
        ("--training_iteration=0", "--training_iteration=0"),
        ("--export_version=-1", "--export_version=-1"),
        ("--export_version=9223372036854775808", "--export_version"),
    )
    def test_flag_out_of_range_is_named(self, flag: str, text: str) -> None:
        """The error of a flag has its name, and its value if that is short."""
        with (
            flagsaver.flagsaver(),
            self.assertRaisesRegex(flags.IllegalFlagValueError, text),
        ):
            flags.FLAGS(["mnist_export", flag, "/x"])


class TrainTest(parameterized.TestCase):
    """The model and its training."""

    def _export(self, seed: int) -> bytes:
        """Trains a little; returns the variables file."""
        data = mnist_input_data.read_data_sets("", "digits", seed)
        base = self.create_tempdir().full_path
        with tf.Graph().as_default(), tf1.Session() as session:
            model = mnist_export.build_model()
            mnist_export.train(session, model, data, num_steps=100)
            mnist_export.export(session, model, base, version=1)
        path = os.path.join(base, "00000001", "export-00000-of-00001")
        with open(path, "rb") as file:
            return file.read()

    def test_same_seed_gives_the_same_model(self) -> None:
        """Models of one seed are equal to the last bit; others are not."""
        self.assertEqual(self._export(seed=1), self._export(seed=1))
        self.assertNotEqual(self._export(seed=1), self._export(seed=2))


if __name__ == "__main__":
    absltest.main()
