"""Makes session bundles of TFLite models, batched or not.

Example:
    config = session_bundle_config_pb2.SessionBundleConfig(num_tflite_pools=2)
    with TfLiteBundleFactory.create(config) as factory:
        with factory.create_session_bundle("/models/half_plus_two/1") as bundle:
            signatures = bundle.meta_graph_def.signature_def
"""

import io
import os

from absl import logging
from typing_extensions import override

from tensorflow_serving.servables.tensorflow import (
    session_bundle_factory,
    tflite_interpreters,
    tflite_operands,
    tflite_session,
    tflite_signatures,
)
from tensorflow_serving.session_bundle import (
    model_folder,
    session_bundle,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.sources.storage_path import (
    flatbuffer,
    tflite_check,
    tflite_file,
)
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors, storage_errors

# The file, and what an interpreter keeps of its weights, take their size each;
# the rest is for the other tensors.
_RAM_MULTIPLIER = 1.2
_MAIN_FILE = model_folder.MainFile("TFLite model", tflite_file.NAME)


class TfLiteBundleFactory(session_bundle_factory.SessionBundleFactory):
    """A SessionBundleFactory that loads model.tflite.

    Its create_session_bundle() raises:

        NotFoundError            there is no model.tflite
        DataLossError            it is cut off, or not a TFLite model
        FailedPreconditionError  LiteRT cannot run it, or a call could change it
                                 or end the process; or the factory is closed
        UnavailableError         the storage failed, which is transient

    Thread-safe.
    """

    @override
    def estimate_resource_requirement(
        self, path: str | os.PathLike[str]
    ) -> int:
        """Returns how much memory a model will take when loaded, in bytes.

        1.2 times the size of its file, for itself and for each interpreter.

        Raises:
          NotFoundError: There is no model.tflite. Permanent.
          UnavailableError: The storage failed. Transient.
        """
        file = os.path.join(path, tflite_file.NAME)
        try:
            size = os.stat(file).st_size
        except (FileNotFoundError, NotADirectoryError):
            raise _MAIN_FILE.missing(path) from None
        except OSError as error:
            raise storage_errors.unreadable(error) from None
        return int(size * (1 + self._num_interpreters) * _RAM_MULTIPLIER)

    @property
    def _num_interpreters(self) -> int:
        pools = self._config.num_tflite_pools or os.cpu_count() or 1
        return pools * (self._config.num_tflite_interpreters_per_pool or 1)

    @override
    def _load(
        self, path: str | os.PathLike[str]
    ) -> session_bundle.SessionBundle[session_lib.Session]:
        content = _read(path)
        file = os.path.join(os.path.abspath(path), tflite_file.NAME)
        try:
            return self._loaded(content, os.path.abspath(path))
        except flatbuffer.TruncatedError as error:
            raise errors.DataLossError(
                "TFLite model file must hold a whole model; got a corrupt or "
                f"truncated file, where {error}: {file}"
            ) from None
        except errors.FailedPreconditionError as error:
            raise errors.FailedPreconditionError(f"{error}: {file}") from None

    def _loaded(
        self, content: bytes, path: str
    ) -> session_bundle.SessionBundle[session_lib.Session]:
        model = tflite_file.read(io.BytesIO(content))
        tflite_check.require_sound(model)
        _require_no_state(model)
        tflite_operands.require_none_chosen_by_callers(model)
        found = tflite_signatures.signatures(model)
        interpreters = tflite_interpreters.Interpreters(
            content,
            self._num_interpreters,
            has_variables=model.has_variable_tensors,
        )
        for graph in sorted({each.subgraph for each in found.tensors.values()}):
            _prepare(interpreters, model, graph)
        meta_graph_def = meta_graph_pb2.MetaGraphDef()
        for key, definition in found.definitions.items():
            meta_graph_def.signature_def[key].CopyFrom(definition)
        return session_bundle.SessionBundle(
            tflite_session.TfLiteSession(interpreters, found.tensors),
            meta_graph_def,
            path,
        )


def _read(path: str | os.PathLike[str]) -> bytes:
    """Returns the content of the file of a model."""
    with (
        storage_errors.converted(os.path.abspath(path)),
        _MAIN_FILE.open_folder(path) as folder,
    ):
        return _MAIN_FILE.read(folder)


def _prepare(
    interpreters: tflite_interpreters.Interpreters,
    model: tflite_file.Model,
    graph: int,
) -> None:
    """Makes a graph ready to run, with 1 for the sizes that are open.

    Raises:
      FailedPreconditionError: The graph can never be ready. Permanent.
    """
    try:
        interpreters.prepare(graph)
    except errors.FailedPreconditionError as error:
        if model.custom_operators or not model.subgraphs[graph].is_open:
            raise
        logging.warning("Calls may have to have other sizes than 1: %s", error)


def _require_no_state(model: tflite_file.Model) -> None:
    """Refuses a model whose calls would depend on their interpreter.

    Raises:
      FailedPreconditionError: It is one. Permanent.
    """
    if model.assigns_variables:
        raise errors.FailedPreconditionError(
            "TFLite model must not assign variables when it is called, as each "
            "interpreter has its own; got one that does. Serve its SavedModel"
        )
