"""Makes bundles of models of any format: SavedModels, TFLite, session bundles.

Example:
    config = session_bundle_config_pb2.SessionBundleConfig()
    with ModelBundleFactory(config) as factory:
        with factory.create_session_bundle("/models/half_plus_two/1") as bundle:
            signatures = signature_defs.signature_defs(bundle)
"""

import contextlib
import os
import threading
from collections.abc import Sequence

from typing_extensions import Self

from tensorflow_serving.servables.tensorflow import (
    saved_model,
    saved_model_bundle_factory,
    session_bundle_config_pb2,
    session_bundle_factory,
    tflite_bundle_factory,
)
from tensorflow_serving.session_bundle import constants, session_bundle
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.sources.storage_path import tflite_file
from tensorflow_serving.tensorflow_c import library
from tensorflow_serving.util import errors


class ModelBundleFactory:
    """A factory that looks into a folder to find the format of its model.

    A folder with several formats is taken for a SavedModel, or else for a
    session bundle; for a TFLite model only if the configuration prefers those.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        config: session_bundle_config_pb2.SessionBundleConfig,
        tags: Sequence[str] = ("serve",),
    ) -> None:
        """Makes a factory for each format.

        Args:
          config: How sessions are opened.
          tags: The tags of the graph of a SavedModel, all of them.

        Raises:
          InvalidArgumentError, NotFoundError: See SessionBundleFactory.
        """
        self._prefers_tflite = config.prefer_tflite_model
        self._tflite_models = tflite_bundle_factory.TfLiteBundleFactory.create(
            config
        )
        self._exports = session_bundle_factory.SessionBundleFactory.create(
            config
        )
        self._saved_models = (
            saved_model_bundle_factory.SavedModelBundleFactory.create(
                config, tags
            )
        )
        self._preloading: threading.Thread | None = None

    def preload(self) -> None:
        """Begins to load TensorFlow, beside the search for models.

        It takes a third of a second, and a lot of memory: for processes that
        will load models only. Not if TFLite models are preferred, which do
        without it. To be called once.
        """
        if not self._prefers_tflite:
            self._preloading = threading.Thread(
                target=_preload, name="tensorflow"
            )
            self._preloading.start()

    def create_session_bundle(
        self, path: str | os.PathLike[str]
    ) -> session_bundle.SessionBundle[session_lib.Session]:
        """Loads a model; see the factory of its format for what it raises."""
        return self._factory(path).create_session_bundle(path)

    def estimate_resource_requirement(
        self, path: str | os.PathLike[str]
    ) -> int:
        """Returns how much memory a model will take when loaded, in bytes.

        Raises:
          NotFoundError: There is no such folder. Permanent.
          UnavailableError: The storage failed. Transient.
        """
        return self._factory(path).estimate_resource_requirement(path)

    def close(self) -> None:
        """Makes no more bundles; those that are open go on. Idempotent."""
        self._exports.close()
        self._saved_models.close()
        self._tflite_models.close()
        if self._preloading is not None:
            self._preloading.join()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the factory."""
        self.close()

    def _factory(
        self, path: str | os.PathLike[str]
    ) -> session_bundle_factory.SessionBundleFactory:
        try:
            names = set(os.listdir(path))
        except OSError:
            names = set()  # the loader says what is wrong
        is_saved_model = names & {*saved_model.GRAPH_FILENAMES}
        is_bundle = constants.META_GRAPH_DEF_FILENAME in names
        if tflite_file.NAME in names and (
            self._prefers_tflite or not (is_saved_model or is_bundle)
        ):
            return self._tflite_models
        if is_bundle and not is_saved_model:
            return self._exports
        return self._saved_models


def _preload() -> None:
    with contextlib.suppress(errors.ServingError):  # the first load says it
        library.load()
