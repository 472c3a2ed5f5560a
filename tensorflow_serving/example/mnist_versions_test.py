"""Tests for mnist_versions, with small exports."""

import glob
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.example import mnist_classifier, mnist_versions
from tensorflow_serving.session_bundle import exporter, manifest_pb2
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
    storage_path_manager,
)
from tensorflow_serving.util import signals

tf1 = tf.compat.v1

_ServableToMonitor = file_system_storage_path_source.ServableToMonitor
_IMAGES = np.full([2, 784], 0.5, np.float32)


def _first_pixels(x: tf.Tensor) -> tf.Tensor:
    return x[:, :10]


def _export(
    base_path: str,
    version: int,
    dtype: tf.DType = tf.float32,
    scores: Callable[[tf.Tensor], tf.Tensor] = _first_pixels,
    create_signature: Callable[
        [tf.Tensor, tf.Tensor], manifest_pb2.Signature
    ] = lambda x, y: exporter.classification_signature(x, scores_tensor=y),
) -> str:
    """Exports a model with a variable; returns the folder."""
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(dtype, [None, 784])
        b = tf1.get_variable("b", [10_000], use_resource=True)
        y = scores(x) + 0 * b[0]
        session.run(tf1.global_variables_initializer())
        model_exporter = exporter.Exporter(tf1.train.Saver(sharded=True))
        model_exporter.init(default_graph_signature=create_signature(x, y))
        model_exporter.export(base_path, tf.constant(version), session)
    return os.path.join(base_path, f"{version:08d}")


def _export_without_scores(base_path: str, version: int) -> None:
    _export(
        base_path,
        version,
        create_signature=lambda x, y: exporter.regression_signature(x, y),
    )


def _export_of_integers(base_path: str, version: int) -> None:
    _export(
        base_path,
        version,
        tf.int32,
        lambda x: tf.cast(x[:, :10], tf.float32),
    )


def _export_of_nine(base_path: str, version: int) -> None:
    _export(base_path, version, scores=lambda x: x[:, :9])


def _export_broken(base_path: str, version: int) -> None:
    """Makes a version whose files look whole and are not."""
    (path,) = glob.glob(
        os.path.join(_export(base_path, version), "export.data-*")
    )
    # Not its end, by which a file that is cut off would be known.
    with open(path, "r+b") as file:
        file.write(b"garbage")


class MnistVersionsTest(parameterized.TestCase):
    """From folders of versions to a manager."""

    def setUp(self) -> None:
        """Takes over the signals, for the time of the test."""
        super().setUp()
        self.termination = signals.Termination()
        self.addCleanup(self.termination.close)

    def _serve(
        self, *base_paths: str, poll_wait_seconds: float = 0.05
    ) -> storage_path_manager.StoragePathManager:
        """Serves servables "0", "1" and so on."""
        versions: storage_path_manager.StoragePathManager = self.enter_context(
            mnist_versions.serving(
                *(
                    _ServableToMonitor(str(number), path)
                    for number, path in enumerate(base_paths)
                ),
                file_system_poll_wait_seconds=poll_wait_seconds,
                max_batch_size=4,
            )
        )
        return versions

    @parameterized.parameters(0.0, 0.05)
    def test_newest_version_of_each_servable_is_there(
        self, poll_wait_seconds: float
    ) -> None:
        """There is one newest version, however often folders are read."""
        base_paths = [self.create_tempdir().full_path for _ in range(2)]
        for base_path, versions in zip(base_paths, ([1], [2, 3]), strict=True):
            for version in versions:
                _export(base_path, version)
        served = self._serve(*base_paths, poll_wait_seconds=poll_wait_seconds)
        self.assertIsNone(served.wait_until_available(self.termination))
        for name, version in (("0", 1), ("1", 3)):
            with served.manager.get_servable_handle(
                servable.ServableRequest.latest(name),
                mnist_classifier.MnistClassifier,
            ) as handle:
                self.assertEqual(handle.id.version, version)
                scores = handle.servable.classify(_IMAGES)
                np.testing.assert_array_equal(scores, _IMAGES[:, :10])

    @parameterized.named_parameters(
        ("no_scores", _export_without_scores, "Expected a classification"),
        ("wrong_dtype", _export_of_integers, "must have dtype int32"),
        ("wrong_shape", _export_of_nine, r"got float32 \[\?, 9\]"),
        ("garbage", _export_broken, "Variables files must be whole"),
    )
    def test_broken_version_takes_nobodys_place(
        self, export: Callable[[str, int], object], reason: str
    ) -> None:
        """The older one serves, and the reason is known."""
        base_path = self.create_tempdir().full_path
        _export(base_path, 1)
        export(base_path, 2)
        served = self._serve(base_path)
        self.assertIsNone(served.wait_until_available(self.termination))
        self.assertEqual(
            served.manager.list_available_servable_ids(),
            [servable.ServableId("0", 1)],
        )
        state = served.monitor.state(servable.ServableId("0", 2))
        assert state is not None
        self.assertIs(state.manager_state, servable.ManagerState.END)
        self.assertRegex(str(state.error), reason)


if __name__ == "__main__":
    absltest.main()
