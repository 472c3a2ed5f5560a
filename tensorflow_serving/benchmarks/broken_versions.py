"""Ways in which an export of models.export() can be broken."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tensorflow_serving.benchmarks import models
from tensorflow_serving.session_bundle import constants

_VARIABLES = "export-00000-of-00001"
_META = constants.META_GRAPH_DEF_FILENAME

# How a file of variables ends is looked at before it is loaded.
_NUM_BYTES_OF_END = 64


def _truncate_variables(path: str) -> None:
    content = _read(path, _VARIABLES)
    _write(path, _VARIABLES, content[: len(content) // 2])


def _spoil_variables(path: str) -> None:
    """Leaves the end as it is, so that only loading can find out."""
    content = _read(path, _VARIABLES)
    end = content[-_NUM_BYTES_OF_END:]
    _write(path, _VARIABLES, _garbage(len(content) - len(end)) + end)


def _spoil_meta(path: str) -> None:
    _write(path, _META, _garbage(len(_read(path, _META))))


def _remove_signature(path: str) -> None:
    meta_graph_def = tf.compat.v1.MetaGraphDef.FromString(_read(path, _META))
    del meta_graph_def.collection_def[constants.SIGNATURES_KEY]
    _write(path, _META, meta_graph_def.SerializeToString())


def _change_input(dtype: tf.DType) -> Callable[[str], None]:
    def change(path: str) -> None:
        with tempfile.TemporaryDirectory(prefix="broken_version_") as folder:
            other = models.export("softmax", folder, input_dtype=dtype)
            _write(path, _META, _read(other, _META))

    return change


# Each breaks the export in a folder. By what is wrong with it then.
BREAKERS: Mapping[str, Callable[[str], None]] = {
    "truncated variables": _truncate_variables,
    "garbage in the variables": _spoil_variables,
    "garbage in export.meta": _spoil_meta,
    "no signature": _remove_signature,
    "images of int64": _change_input(tf.int64),
    "images of float64": _change_input(tf.float64),
}


def make(source: str, target: str, breaker: str) -> None:
    """Writes a broken copy of an export.

    Args:
      source: The folder of the export.
      target: The folder of the copy, which is made.
      breaker: One of BREAKERS.
    """
    shutil.copytree(source, target)
    BREAKERS[breaker](target)


def _read(path: str, name: str) -> bytes:
    with open(os.path.join(path, name), "rb") as file:
        return file.read()


def _write(path: str, name: str, content: bytes) -> None:
    with open(os.path.join(path, name), "wb") as file:
        file.write(content)


def _garbage(num_bytes: int) -> bytes:
    return np.random.default_rng(0).bytes(num_bytes)
