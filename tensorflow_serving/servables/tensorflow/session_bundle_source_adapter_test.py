"""Tests for session_bundle_source_adapter."""

import gc
import os
import tempfile

import numpy as np
from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.core import loader
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.servables.tensorflow import (
    saved_model_bundle_factory,
    session_bundle_config_pb2,
    session_bundle_factory,
    session_bundle_source_adapter,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.tensorflow_c import graph
from tensorflow_serving.test_util import written_models
from tensorflow_serving.util import errors

_Bundle = session_bundle.SessionBundle[session.Session]

_BATCHING = "batching_parameters { idle_means_go { value: true } }"


def _config(text: str = "") -> session_bundle_config_pb2.SessionBundleConfig:
    return text_format.Parse(
        text, session_bundle_config_pb2.SessionBundleConfig()
    )


def _count_graphs() -> int:
    """Returns how many graphs have memory of TensorFlow."""
    return sum(
        isinstance(each, graph.Graph) and each.pointer is not None
        for each in gc.get_objects()
    )


class _Half:
    """A servable that wraps a bundle."""

    def __init__(self, bundle: _Bundle) -> None:
        self._bundle = bundle
        self.num_closed = 0

    def run(self, x: float) -> float:
        """Returns half plus two."""
        (y,) = self._bundle.session.run(
            ["y:0"], {"x:0": np.array([[x]], np.float32)}
        )
        return float(y[0, 0])

    def close(self) -> None:
        """Closes the bundle."""
        self.num_closed += 1
        self._bundle.close()


class SessionBundleSourceAdapterTest(parameterized.TestCase):
    """From the folder of a version to a servable, and back to nothing."""

    base: str
    export_dir: str

    @classmethod
    def setUpClass(cls) -> None:
        """Copies a model in both formats."""
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = folder.name
        cls.export_dir = written_models.copy(
            written_models.HALF_PLUS_TWO, os.path.join(folder.name, "00000123")
        )
        for name, model in (
            ("tf1", written_models.SAVED_MODEL_TF1),
            ("tf2", written_models.SAVED_MODEL_TF2),
        ):
            written_models.copy(model, os.path.join(folder.name, name))
        # As programs do, so that collecting takes no time.
        gc.freeze()
        cls.addClassCleanup(gc.unfreeze)

    def setUp(self) -> None:
        """Lets nothing be collected by chance."""
        super().setUp()
        gc.disable()
        self.addCleanup(gc.enable)

    def _factory(
        self, name: str, config: str
    ) -> session_bundle_factory.SessionBundleFactory:
        factories: dict[
            str, type[session_bundle_factory.SessionBundleFactory]
        ] = {"export": session_bundle_factory.SessionBundleFactory}
        factory = factories.get(
            name, saved_model_bundle_factory.SavedModelBundleFactory
        ).create(_config(config))
        self.addCleanup(factory.close)
        return factory

    def _path(self, name: str) -> str:
        return {"export": self.export_dir}.get(
            name, os.path.join(self.base, name)
        )

    @parameterized.product(
        name=("export", "tf1", "tf2"), config=("", _BATCHING)
    )
    def test_unload_leaves_no_graph(self, name: str, config: str) -> None:
        """The bundle is what is served; graph and session end with it."""
        adapter = session_bundle_source_adapter.SessionBundleSourceAdapter(
            self._factory(name, config)
        )
        gc.collect()
        before = _count_graphs()
        loaded = adapter.convert(self._path(name))
        loaded.load()
        servable = loaded.servable()
        self.assertIsInstance(servable, session_bundle.SessionBundle)
        self.assertEqual(servable.path, self._path(name))
        self.assertGreater(_count_graphs(), before)
        del servable
        loaded.unload()
        self.assertEqual(_count_graphs(), before)

    def _export_loader(self) -> loader.Loader:
        adapter = session_bundle_source_adapter.SessionBundleSourceAdapter(
            self._factory("export", ""), _Half
        )
        return adapter.convert(self.export_dir)

    def test_prepare_makes_what_is_served(self) -> None:
        """It is closed when it is unloaded."""
        loaded = self._export_loader()
        loaded.load()
        half = loaded.servable()
        assert isinstance(half, _Half)
        self.assertEqual(half.run(3), 3.5)
        self.assertEqual(half.num_closed, 0)
        loaded.unload()
        self.assertEqual(half.num_closed, 1)
        with self.assertRaises(errors.FailedPreconditionError):
            half.run(3)

    def test_estimate_is_that_of_the_factory(self) -> None:
        """The estimate is the factory's before and after the load."""
        factory = self._factory("export", "")
        expected = resource_tracker.ResourceAllocation(
            factory.estimate_resource_requirement(self.export_dir)
        )
        loaded = self._export_loader()
        self.assertEqual(loaded.estimate_resources(), expected)
        loaded.load()
        self.assertEqual(loaded.estimate_resources(), expected)
        loaded.unload()

    def test_warm_up_runs_the_signatures(self) -> None:
        """A bundle that could not run would say so."""
        adapter = session_bundle_source_adapter.SessionBundleSourceAdapter(
            self._factory("tf2", _BATCHING)
        )
        loaded = adapter.convert(self._path("tf2"))
        loaded.load()
        statistics = loaded.servable().session.statistics()
        self.assertEqual(
            (statistics.num_rows, statistics.num_failed_runs), (2, 0)
        )
        loaded.unload()

    @parameterized.parameters(errors.UnavailableError, ValueError)
    def test_prepare_that_raises_fails_the_load(
        self, error_type: type[Exception]
    ) -> None:
        """The bundle is closed; not even the error holds on to the graph."""
        bundles = []

        def prepare(bundle: _Bundle) -> _Bundle:
            bundles.append(bundle)
            raise error_type("not today")

        adapter = session_bundle_source_adapter.SessionBundleSourceAdapter(
            self._factory("export", ""), prepare
        )
        gc.collect()
        before = _count_graphs()
        loaded = adapter.convert(self.export_dir)
        caught: Exception | None = None
        try:
            loaded.load()
        except error_type as error:
            caught = error
        self.assertEqual(str(caught), "not today")
        with self.assertRaises(errors.FailedPreconditionError):
            bundles.pop().session.run(["y:0"], {"x:0": np.zeros([1, 1])})
        gc.collect()
        self.assertEqual(_count_graphs(), before)

    def test_export_that_does_not_load_leaves_no_graph(self) -> None:
        """A SavedModel whose init op fails is freed with its graph."""
        path = self.create_tempdir().full_path
        written_models.copy(
            written_models.SAVED_MODEL_TF2, os.path.join(path, "1")
        )
        asset = os.path.join(path, "1", "assets", "lines.txt")
        os.remove(asset)
        # Gives EIO when it is read.
        os.symlink("/proc/self/mem", asset)
        adapter = session_bundle_source_adapter.SessionBundleSourceAdapter(
            self._factory("tf2", "")
        )
        gc.collect()
        before = _count_graphs()
        loaded = adapter.convert(os.path.join(path, "1"))
        caught: Exception | None = None
        try:
            loaded.load()
        except errors.ServingError as error:
            caught = error
        self.assertRegex(str(caught), "^Init op NoOp must run; got .*")
        self.assertEqual(_count_graphs(), before)


if __name__ == "__main__":
    absltest.main()
