"""Tests for model_batching."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import batch_queue, batching_session
from tensorflow_serving.model_servers import model_batching
from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    served_model,
)
from tensorflow_serving.test_util import small_model
from tensorflow_serving.util import errors

_BATCHED = batch_threads.Options(
    batch_queue.QueueOptions(max_batch_size=10, max_enqueued_batches=2)
)
_ALONE = batch_threads.Options(
    batch_queue.QueueOptions(max_batch_size=1, max_enqueued_batches=7),
    session=batching_session.Options(never_merges=True),
)


def _capacity(model: served_model.ServedModel) -> int:
    return model.queue("serving_default").scheduling_capacity()


def _is_batched(model: served_model.ServedModel) -> bool:
    return not model.function("serving_default", ["y"]).runs_alone


class ModelBatchingTest(parameterized.TestCase):
    """Tests with versions of a small model."""

    def setUp(self) -> None:
        """Makes the folder of a version."""
        super().setUp()
        self.path = self.create_tempdir().full_path

    def _write(self, text: str) -> str:
        path = os.path.join(self.path, "batching_params.pbtxt")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _served(
        self, without_file: batch_threads.Options | None = _ALONE
    ) -> served_model.ServedModel:
        batching = model_batching.ModelBatching(
            model_batching.Options(_BATCHED, without_file)
        )
        self.addCleanup(batching.close)
        bundle = small_model.bundle(self.path)
        self.addCleanup(bundle.close)
        model = batching.served(bundle)
        # Cleanups run in the opposite order: models close before threads.
        self.addCleanup(model.close)
        return model

    def test_version_without_a_file_is_not_batched(self) -> None:
        """Each of its calls is a run of its own, on other threads."""
        model = self._served()
        self.assertFalse(_is_batched(model))
        self.assertEqual(_capacity(model), 7)

    def test_version_with_a_file_is_batched_as_it_says(self) -> None:
        """A parameter that the file does not set has its default."""
        self._write("max_batch_size { value: 3 }")
        model = self._served()
        self.assertTrue(_is_batched(model))
        self.assertEqual(_capacity(model), 6)

    def test_empty_file_is_enough_to_be_batched(self) -> None:
        """All parameters have defaults."""
        self._write("")
        self.assertEqual(_capacity(self._served()), 20)

    def test_file_is_not_read_unless_versions_may_have_one(self) -> None:
        """One set of parameters is that of all models then."""
        self._write("max_batch_size { value: 3 }")
        self.assertEqual(_capacity(self._served(without_file=None)), 20)

    @parameterized.named_parameters(
        (
            "syntax",
            "\nmax_batch_size: 3",
            "must be tensorflow.serving.BatchingParameters in text format; "
            "got {path}:2:",
        ),
        ("not_text", "\udc80", "in text format; got {path}:"),
        (
            "range",
            "max_batch_size { value: 0 }",
            "max_batch_size must be at least 1; got 0: {path}",
        ),
        (
            "sizes",
            "allowed_batch_sizes: 2 max_batch_size { value: 3 }",
            "last of allowed_batch_sizes must equal .*: {path}",
        ),
    )
    def test_wrong_file_fails_the_load(self, content: str, text: str) -> None:
        """The error is the fault of the version, and names the file."""
        path = os.path.join(self.path, model_batching.FILENAME)
        with open(path, "wb") as file:
            file.write(content.encode(errors="surrogateescape"))
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, text.format(path=path)
        ):
            self._served()

    def test_log_names_signatures_that_run_alone(self) -> None:
        """An operator sees it at the load, not by slow calls."""
        with self.assertLogs(level="INFO") as logs:
            self._served(without_file=None)
        self.assertRegex(
            logs.output[-1], f"Calls of no_rows are never merged.*: {self.path}"
        )

    def test_threads_of_a_file_have_no_effect(self) -> None:
        """A line in the log says so, as all versions share them."""
        path = self._write("num_batch_threads { value: 9 }")
        with self.assertLogs(level="WARNING") as logs:
            options = model_batching.of_version(self.path, _BATCHED)
        assert options is not None
        self.assertEqual(options.threads.num_batch_threads, 1)
        self.assertRegex(logs.output[0], f"num_batch_threads has no .*{path}")


if __name__ == "__main__":
    absltest.main()
