"""Writes a trained graph and its variables to a folder that servers load.

    exporter = Exporter(tf.compat.v1.train.Saver(sharded=True))
    exporter.init(
        default_graph_signature=classification_signature(
            input_tensor=x, scores_tensor=y
        )
    )
    exporter.export("/models/mnist", tf.constant(1), session)

writes /models/mnist/00000001:

    export.meta             a MetaGraphDef: graph, signatures, assets, init op
    export-00000-of-00001   the variables (see tf.compat.v1.train.Saver)
    checkpoint              left by the Saver; not used for serving
    assets/                 files that the graph reads, if any
"""

import collections
import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import message

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    export_folder,
    gc,
    manifest_pb2,
)
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

_COLLECTION_KEYS = (
    constants.ASSETS_KEY,
    constants.GRAPH_KEY,
    constants.INIT_OP_KEY,
    constants.SIGNATURES_KEY,
)

AssetsCallback = Callable[[Mapping[str, str], str], None]


def gfile_copy_callback(
    files_to_copy: Mapping[str, str], export_dir_path: str
) -> None:
    """Copies files to a folder, which is made if it does not exist.

    Args:
      files_to_copy: The name in the folder, by source path.
      export_dir_path: The folder.
    """
    tf.io.gfile.makedirs(export_dir_path)
    for source, name in files_to_copy.items():
        tf.io.gfile.copy(
            source, os.path.join(export_dir_path, name), overwrite=True
        )


def regression_signature(
    input_tensor: tf.Tensor, output_tensor: tf.Tensor
) -> manifest_pb2.Signature:
    """Returns a signature with one float out for one example in."""
    return manifest_pb2.Signature(
        regression_signature=manifest_pb2.RegressionSignature(
            input=_binding(input_tensor), output=_binding(output_tensor)
        )
    )


def classification_signature(
    input_tensor: tf.Tensor,
    classes_tensor: tf.Tensor | None = None,
    scores_tensor: tf.Tensor | None = None,
) -> manifest_pb2.Signature:
    """Returns a signature with classes, their scores, or both.

    Args:
      input_tensor: Examples, of shape [batch, ...].
      classes_tensor: Labels, string [batch, classes].
      scores_tensor: float [batch, classes].
    """
    signature = manifest_pb2.ClassificationSignature(
        input=_binding(input_tensor)
    )
    if classes_tensor is not None:
        signature.classes.CopyFrom(_binding(classes_tensor))
    if scores_tensor is not None:
        signature.scores.CopyFrom(_binding(scores_tensor))
    return manifest_pb2.Signature(classification_signature=signature)


def generic_signature(
    name_tensor_map: Mapping[str, tf.Tensor],
) -> manifest_pb2.Signature:
    """Returns a signature with tensors under logical names."""
    return manifest_pb2.Signature(
        generic_signature=manifest_pb2.GenericSignature(
            map={
                name: _binding(tensor)
                for name, tensor in name_tensor_map.items()
            }
        )
    )


class Exporter:
    """Exports versions of the default graph; call init() once, then export().

    Not thread-safe. Any number of processes may export below one folder.
    """

    def __init__(self, saver: tf.compat.v1.train.Saver) -> None:
        """Takes the Saver that writes the variables.

        With Saver(sharded=True, write_version=V1) the files have the names of
        the original; the loader reads what any Saver writes.
        """
        self._saver = saver
        self._initialized = False
        self._assets_callback: AssetsCallback | None = None
        self._assets_to_copy: dict[str, str] = {}
        # Kept here and not in the graph, which other exporters may share.
        self._collections: collections.defaultdict[
            str, meta_graph_pb2.CollectionDef
        ] = collections.defaultdict(meta_graph_pb2.CollectionDef)

    def init(
        self,
        graph_def: tf.compat.v1.GraphDef | None = None,
        init_op: tf.Operation | None = None,
        clear_devices: bool = False,
        default_graph_signature: manifest_pb2.Signature | None = None,
        named_graph_signatures: (
            Mapping[str, manifest_pb2.Signature] | None
        ) = None,
        *,
        assets_collection: Sequence[tf.Tensor] | None = None,
        assets_callback: AssetsCallback | None = gfile_copy_callback,
    ) -> None:
        """Sets what to export in addition to the variables; call it once.

        Args:
          graph_def: Served instead of the default graph.
          init_op: Run by loaders after the variables are restored.
          clear_devices: Whether to serve a copy of the graph whose nodes are
            not bound to devices.
          default_graph_signature: Serves callers that name no signature.
          named_graph_signatures: Serve callers that do.
          assets_collection: Constant scalar strings: paths of files that the
            graph reads. Loaders feed each with the path of the copy.
          assets_callback: Copies the assets, see gfile_copy_callback; None
            leaves them where they are, and the graph reads them there.

        Raises:
          FailedPreconditionError: init() was called before. A RuntimeError.
          TypeError: init_op is no operation, or an asset is no constant scalar
            string.
          ValueError: The path of an asset is empty, or two files have the same
            name.
        """
        if self._initialized:
            raise errors.FailedPreconditionError(
                "Exporter.init() was called before; make another Exporter."
            )
        if init_op is not None and not isinstance(init_op, tf.Operation):
            raise TypeError(
                f"init_op must be an operation; got a {type(init_op).__name__}"
            )
        assets = _asset_files(assets_collection or ())
        signatures = manifest_pb2.Signatures(
            default_signature=default_graph_signature,
            named_signatures=named_graph_signatures,
        )
        if graph_def is not None or clear_devices:
            self._add(
                constants.GRAPH_KEY, _serving_graph(graph_def, clear_devices)
            )
        if init_op is not None:
            init_ops = self._collections[constants.INIT_OP_KEY].node_list
            init_ops.value.append(init_op.name)
        self._add(constants.SIGNATURES_KEY, signatures)
        # A loader would look for an asset in the export.
        for path, asset_file in assets if assets_callback else ():
            self._assets_to_copy[path] = asset_file.filename
            self._add(constants.ASSETS_KEY, asset_file)
        self._assets_callback = assets_callback
        self._initialized = True

    def export(
        self,
        export_dir_base: str | os.PathLike[str],
        global_step_tensor: tf.Tensor | str,
        sess: tf.compat.v1.Session | None = None,
        exports_to_keep: gc.Filter | None = None,
    ) -> str:
        """Writes one version; returns the path of its folder.

        The folder appears all at once, complete and on disk. A process that is
        killed leaves at most a folder that ends in "-tmp", which is not taken
        for a version; an export some hours later removes it.

        Args:
          export_dir_base: The folder of the model.
          global_step_tensor: An integer scalar, or its name: the version.
          sess: Holds the variables; by default the default session.
          exports_to_keep: If given, versions that it does not match are
            deleted after the export, but for the one that was exported.

        Raises:
          FailedPreconditionError: init() was not called, or there is no
            session. A RuntimeError.
          AlreadyExistsError: The version exists. A RuntimeError.
          InvalidArgumentError: The version is not an integer from 0 to
            2**63-1, export_dir_base is not a path of a file system, or the
            Saver has no variables.
          ResourceExhaustedError: The disk is full. Transient.
          OSError: A file cannot be written.
        """
        if not self._initialized:
            raise errors.FailedPreconditionError(
                "Exporter.init() was not called; call it before export()."
            )
        sess = sess or tf.compat.v1.get_default_session()
        if sess is None:
            raise errors.FailedPreconditionError(
                "There is no session to export; pass one, or enter it as the "
                "default."
            )
        with sess.graph.as_default():
            step = sess.graph.as_graph_element(global_step_tensor)
            export_dir = export_folder.path_of(
                export_dir_base, _version(sess.run(step))
            )
            with export_folder.publishing(export_dir) as unfinished_dir:
                self._write(unfinished_dir, sess)
        if exports_to_keep is not None:
            export_folder.delete_all_but(exports_to_keep, export_dir)
        return export_dir

    def _add(self, key: str, value: message.Message) -> None:
        """Adds an item to a collection."""
        values = self._collections[key].any_list.value
        values.append(collection.pack(value))

    def _write(self, folder: str, sess: tf.compat.v1.Session) -> None:
        with _operating_system_errors(folder):
            prefix = self._saver.save(
                sess,
                os.path.join(folder, constants.EXPORT_BASE_NAME),
                write_meta_graph=False,
            )
        if prefix is None:
            raise errors.InvalidArgumentError(
                "Saver must have variables to write, as no loader takes an "
                "export without; got allow_empty and none"
            )
        meta_graph_def = self._saver.export_meta_graph()
        for key in _COLLECTION_KEYS:
            if key in meta_graph_def.collection_def:
                del meta_graph_def.collection_def[key]
        for key, values in self._collections.items():
            meta_graph_def.collection_def[key].MergeFromString(
                values.SerializeToString()
            )
        path = os.path.join(folder, constants.META_GRAPH_DEF_FILENAME)
        with open(path, "wb") as file:
            file.write(meta_graph_def.SerializeToString())
        if self._assets_callback and self._assets_to_copy:
            with _operating_system_errors(folder):
                self._assets_callback(
                    self._assets_to_copy,
                    os.path.join(folder, constants.ASSETS_DIRECTORY),
                )


def _version(step: object) -> int:
    """Returns a global step as a version."""
    value = np.asarray(step)
    if value.size != 1 or value.dtype.kind not in "iu":
        raise errors.InvalidArgumentError(
            "version must be one integer; got a tensor of dtype "
            f"{value.dtype} and shape {list(value.shape)}"
        )
    return int(value.item())


@contextlib.contextmanager
def _operating_system_errors(folder: str) -> Iterator[None]:
    """Raises errors of files as OSError, which TensorFlow has as its own."""
    try:
        yield
    except tf.errors.OpError as error:
        for number in errno.errorcode:
            if f"; {os.strerror(number)}" in error.message:
                raise OSError(number, os.strerror(number), folder) from error
        raise


def _binding(tensor: tf.Tensor) -> manifest_pb2.TensorBinding:
    return manifest_pb2.TensorBinding(tensor_name=tensor.name)


def _serving_graph(
    graph_def: tf.compat.v1.GraphDef | None, clear_devices: bool
) -> tf.compat.v1.GraphDef:
    """Returns a copy of a graph, by default the default graph."""
    if graph_def is None:
        graph_def = tf.compat.v1.get_default_graph().as_graph_def()
    copy = tf.compat.v1.GraphDef()
    copy.CopyFrom(graph_def)
    if clear_devices:
        for node in copy.node:
            node.device = ""
    return copy


def _constant_path(tensor: tf.Tensor) -> str:
    """Returns the value of an asset tensor."""
    rule = "asset must be a constant string tensor with one value; got "
    if not isinstance(tensor, tf.Tensor):
        raise TypeError(rule + f"a {type(tensor).__name__}")
    if tensor.op.type != "Const":
        raise TypeError(rule + f"the output of a {tensor.op.type} operation")
    if tensor.dtype != tf.string:
        raise TypeError(rule + f"dtype {tensor.dtype.name}")
    values = np.ravel(tf.make_ndarray(tensor.op.get_attr("value")))
    if values.size != 1:
        raise TypeError(rule + f"{values.size} values")
    path = str(tf.compat.as_str(values[0]))
    if not path:
        raise ValueError(
            f"asset path must not be empty; got '' ({tensor.name})"
        )
    return path


def _asset_files(
    tensors: Sequence[tf.Tensor],
) -> list[tuple[str, manifest_pb2.AssetFile]]:
    """Returns the path and the description of each asset."""
    assets = [
        (
            path,
            manifest_pb2.AssetFile(
                tensor_binding=_binding(tensor),
                filename=os.path.basename(path),
            ),
        )
        for tensor in tensors
        for path in [_constant_path(tensor)]
    ]
    paths = {path for path, _ in assets}
    if len({os.path.basename(path) for path in paths}) < len(paths):
        raise ValueError(
            f"asset files must have different names; got {sorted(paths)}"
        )
    return assets
