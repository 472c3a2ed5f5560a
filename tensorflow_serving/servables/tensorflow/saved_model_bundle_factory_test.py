"""Tests for saved_model_bundle_factory."""

import os

import numpy as np
from absl.testing import absltest, parameterized
from google.protobuf import text_format

from tensorflow_serving.batching import batching_session
from tensorflow_serving.servables.tensorflow import (
    saved_model_bundle_factory,
    session_bundle_config_pb2,
)
from tensorflow_serving.tensorflow_c import session as c_session
from tensorflow_serving.test_util import shared_data, written_models
from tensorflow_serving.util import errors


def _create(
    text: str = "", tags: tuple[str, ...] = ("serve",)
) -> saved_model_bundle_factory.SavedModelBundleFactory:
    return saved_model_bundle_factory.SavedModelBundleFactory.create(
        text_format.Parse(
            text, session_bundle_config_pb2.SessionBundleConfig()
        ),
        tags,
    )


class SavedModelBundleFactoryTest(parameterized.TestCase):
    """Session bundles of SavedModels."""

    @parameterized.parameters(
        ("", c_session.Session),
        (
            "batching_parameters { idle_means_go { value: true } }",
            batching_session.BatchingSession,
        ),
    )
    def test_bundle_runs(self, config: str, session: type) -> None:
        """A bundle runs in batches if the configuration says so."""
        path = os.path.join(self.create_tempdir().full_path, "1")
        written_models.copy(written_models.SAVED_MODEL_TF2, path)
        with (
            _create(config) as factory,
            factory.create_session_bundle(path) as bundle,
        ):
            self.assertIsInstance(bundle.session, session)
            signature = bundle.meta_graph_def.signature_def["serving_default"]
            (y,) = bundle.session.run(
                [signature.outputs["y"].name],
                {signature.inputs["x"].name: np.array([1, 2], np.float32)},
            )
            np.testing.assert_array_equal(y, [2.5, 3])

    def test_tags_choose_the_graph(self) -> None:
        """Tags without a graph are NOT_FOUND."""
        path = os.path.join(self.create_tempdir().full_path, "1")
        written_models.copy(written_models.SAVED_MODEL_TF1, path)
        with (
            _create(tags=("train",)) as factory,
            self.assertRaisesRegex(errors.NotFoundError, "got .'train'"),
        ):
            factory.create_session_bundle(path)

    def test_closed_factory_makes_no_bundles(self) -> None:
        """A closed factory makes no bundles, like a SessionBundleFactory."""
        factory = _create()
        factory.close()
        with self.assertRaises(errors.FailedPreconditionError):
            factory.create_session_bundle("/no/such/model")

    def test_estimate_is_made_of_all_files(self) -> None:
        """The estimate is 1.2 times the files and 13 times the graph."""
        folder = self.create_tempdir()
        folder.create_file("saved_model.pb", b"x" * 100)
        folder.create_file("variables/variables.index", b"x" * 20)
        folder.create_file("assets.extra/deep/file", b"x" * 5)
        with _create() as factory:
            self.assertEqual(
                factory.estimate_resource_requirement(folder.full_path), 1330
            )
            with self.assertRaises(errors.NotFoundError):
                factory.estimate_resource_requirement("/no/such/model")

    def test_linked_folders_count_in_an_estimate(self) -> None:
        """Links are followed, and those to nothing have no size."""
        variables = self.create_tempdir()
        variables.create_file("variables.index", b"x" * 20)
        model = self.create_tempdir().full_path
        os.symlink(variables.full_path, os.path.join(model, "variables"))
        os.symlink("/no/such/file", os.path.join(model, "notes"))
        with _create() as factory:
            self.assertEqual(factory.estimate_resource_requirement(model), 24)

    def test_estimate_of_a_real_saved_model(self) -> None:
        """A SavedModel of 8840 bytes, 8658 of them its graph, is estimated."""
        path = shared_data.path_or_skip(
            self, "saved_models", "saved_model_half_plus_three", "00000123"
        )
        with _create() as factory:
            self.assertEqual(
                factory.estimate_resource_requirement(path), 112772
            )


if __name__ == "__main__":
    absltest.main()
