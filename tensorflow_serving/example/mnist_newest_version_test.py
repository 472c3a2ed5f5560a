"""Tests for mnist_newest_version, with small graphs in real sessions."""

import functools
from collections.abc import Mapping

import numpy as np
from absl.testing import absltest, parameterized
from typing_extensions import override

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batching_session,
)
from tensorflow_serving.core import manager as manager_lib
from tensorflow_serving.core import (
    servable,
    servable_handle,
    serving_map,
    static_manager,
)
from tensorflow_serving.example import (
    mnist_batches,
    mnist_classifier,
    mnist_newest_version,
)
from tensorflow_serving.session_bundle import (
    manifest_pb2,
    session_bundle,
    signature,
)
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    meta_graph_pb2,
    types_pb2,
)
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors

_BINDING = manifest_pb2.TensorBinding
_IMAGES = np.full([3, 784], 0.5, np.float32)


def _classifier(score: float) -> mnist_classifier.MnistClassifier:
    """Returns one whose scores are always the same; none for pixels above 1."""
    graph = graph_builder.GraphBuilder()
    graph.placeholder("x", "float32", [None, 784])
    graph.constant("one", np.array(1, np.float32))
    graph.constant("axes", np.array([0, 1], np.int32))
    graph.node("fits", "LessEqual", ["x", "one"], T="float32")
    graph.node("all_fit", "All", ["fits", "axes"])
    graph.node(
        "check",
        "Assert",
        ["all_fit", "one"],
        T=attr_value_pb2.AttrValue(
            list=attr_value_pb2.AttrValue.ListValue(
                type=[types_pb2.DataType.DT_FLOAT]
            )
        ),
    )
    graph.constant("zeros", np.zeros([784, 10], np.float32))
    graph.constant("score", np.array(score, np.float32))
    graph.node("nothing", "MatMul", ["x", "zeros", "^check"], T="float32")
    graph.node("y", "AddV2", ["nothing", "score"], T="float32")
    classification = manifest_pb2.ClassificationSignature(
        input=_BINDING(tensor_name="x:0"),
        scores=_BINDING(tensor_name="y:0"),
    )
    meta_graph_def = meta_graph_pb2.MetaGraphDef()
    signature.set_signatures(
        manifest_pb2.Signatures(
            default_signature=manifest_pb2.Signature(
                classification_signature=classification
            )
        ),
        meta_graph_def,
    )
    session = graph.open_session()
    return mnist_classifier.MnistClassifier(
        session_bundle.SessionBundle(session, meta_graph_def), max_batch_size=4
    )


class NewestVersionTest(parameterized.TestCase):
    """Each batch runs on the version that is the newest by then."""

    def _manager(
        self, versions: Mapping[int, object]
    ) -> static_manager.StaticManager:
        manager = static_manager.StaticManager(
            {
                servable.ServableId("default", version): each
                for version, each in versions.items()
            }
        )
        self.addCleanup(manager.close)
        return manager

    def _classifiers(
        self, *versions: int
    ) -> dict[int, mnist_classifier.MnistClassifier]:
        """Returns classifiers whose scores are their versions."""
        return {
            version: self.enter_context(_classifier(version))
            for version in versions
        }

    def test_newest_version_answers(self) -> None:
        """The newest version answers, and is named for each image."""
        newest = mnist_newest_version.NewestVersion(
            self._manager(self._classifiers(2, 10, 9)), "default"
        )
        scores, version = newest.classify(_IMAGES)
        np.testing.assert_array_equal(scores, np.full([3, 10], 10.0))
        np.testing.assert_array_equal(version, [10, 10, 10])

    def test_each_run_takes_the_version_of_that_moment(self) -> None:
        """Each run takes the version of that moment, and gives it back."""
        manager = _Switch(self._manager(self._classifiers(1)))
        newest = mnist_newest_version.NewestVersion(manager, "default")
        self.assertEqual(newest.classify(_IMAGES)[1][0], 1)
        manager.close()
        with self.assertRaisesRegex(
            errors.UnavailableError, "no version of default is available"
        ):
            newest.classify(_IMAGES)
        manager.now = self._manager(self._classifiers(2))
        self.assertEqual(newest.classify(_IMAGES)[1][0], 2)

    def test_error_of_the_version_is_passed_on(self) -> None:
        """An error of the version is passed on; the handle is given back."""
        manager = self._manager(self._classifiers(1))
        newest = mnist_newest_version.NewestVersion(manager, "default")
        with self.assertRaises(errors.InvalidArgumentError):
            newest.classify(2 * _IMAGES + 1)
        manager.close()

    def test_servable_of_another_class_is_an_error(self) -> None:
        """It is not called unavailable: waiting would not help."""
        newest = mnist_newest_version.NewestVersion(
            self._manager({1: "a text"}), "default"
        )
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be a MnistClassifier; got a str"
        ):
            newest.classify(_IMAGES)

    def test_images_can_be_batched(self) -> None:
        """They are checked at the door; a bad one fails alone."""
        newest = mnist_newest_version.NewestVersion(
            self._manager(self._classifiers(1)), "default"
        )
        outputs = [mnist_batches.SCORES, mnist_batches.VERSION]
        session = batching_session.BatchingSession(
            batching_session.Options(rerun_failed_batches=True),
            mnist_batches.FunctionSession(newest.classify, outputs),
            functools.partial(
                basic_batch_scheduler.BasicBatchScheduler,
                basic_batch_scheduler.Options(),
            ),
        )
        self.addCleanup(session.close)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, r"shape \[\?, 784\]; got \[3, 783\]"
        ):
            session.run(outputs, {"images:0": _IMAGES[:, 1:]})
        good, bad, empty = (
            session.run_async(outputs, {"images:0": images})
            for images in (_IMAGES, _IMAGES + 1, _IMAGES[:0])
        )
        scores, version = good.result()
        self.assertEqual(scores.shape, (3, 10))
        self.assertEqual(list(version), [1, 1, 1])
        self.assertIsInstance(bad.exception(), errors.InvalidArgumentError)
        self.assertEqual(empty.result()[0].shape, (0, 10))


class _Switch(manager_lib.Manager):
    """A manager that passes everything on to another one."""

    def __init__(self, now: manager_lib.Manager) -> None:
        super().__init__(serving_map.ServingMap())
        self.now = now

    @override
    def list_available_servable_ids(self) -> list[servable.ServableId]:
        return list(self.now.list_available_servable_ids())

    @override
    def get_untyped_servable_handle(
        self, request: servable.ServableRequest
    ) -> servable_handle.ServableHandle[object]:
        return self.now.get_untyped_servable_handle(request)

    @override
    def close(self) -> None:
        self.now.close()


if __name__ == "__main__":
    absltest.main()
