"""Tests for saved_model."""

import concurrent.futures
import os
import shutil
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

from tensorflow_serving.servables.tensorflow import saved_model
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.test_util import saved_models, shared_data
from tensorflow_serving.util import errors

tf1 = tf.compat.v1

_PB = "saved_model.pb"
_INDEX = "variables/variables.index"
_DATA = "variables/variables.data-00000-of-00001"


def _run(
    bundle: session_bundle.SessionBundle[tf.compat.v1.Session],
    name: str,
    values: list[object],
) -> list[object]:
    """Runs a signature with one input and one output."""
    signature = bundle.meta_graph_def.signature_def[name]
    (x,) = signature.inputs.values()
    (y,) = signature.outputs.values()
    outputs = bundle.session.run(y.name, {x.name: np.array(values)})
    result: list[object] = outputs.tolist()
    return result


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _edit(
    edit: Callable[[tf.compat.v1.MetaGraphDef], None],
) -> Callable[[str], None]:
    def change(path: str) -> None:
        file = os.path.join(path, _PB)
        model = saved_model_pb2.SavedModel()
        with open(file, "rb") as opened:
            model.ParseFromString(opened.read())
        edit(model.meta_graphs[0])
        _write(file, model.SerializeToString())

    return change


def _set_version(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    meta_graph_def.meta_info_def.tensorflow_version = "0.12.head"


def _shorten_assets(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    for asset in meta_graph_def.asset_file_def:
        asset.tensor_info.name = asset.tensor_info.name.removesuffix(":0")


def _add_unknown_op(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    meta_graph_def.graph_def.node.add(name="alien", op="NoSuchOperation")


def _truncate(name: str, size: int) -> Callable[[str], None]:
    return lambda path: os.truncate(os.path.join(path, name), size)


def _remove(name: str) -> Callable[[str], None]:
    return lambda path: os.remove(os.path.join(path, name))


def _make_unreadable(name: str) -> Callable[[str], None]:
    """Puts a file in the place of another that gives EIO when it is read."""

    def change(path: str) -> None:
        os.remove(os.path.join(path, name))
        os.symlink("/proc/self/mem", os.path.join(path, name))

    return change


def _make_session_bundle(path: str) -> None:
    os.rename(os.path.join(path, _PB), os.path.join(path, "export.meta"))


def _to_text(path: str) -> None:
    model = saved_model_pb2.SavedModel()
    with open(os.path.join(path, _PB), "rb") as file:
        model.ParseFromString(file.read())
    os.remove(os.path.join(path, _PB))
    _write(
        os.path.join(path, "saved_model.pbtxt"),
        text_format.MessageToString(model).encode(),
    )


class SavedModelTest(parameterized.TestCase):
    """SavedModels of TensorFlow 1 and 2."""

    base: str

    @classmethod
    def setUpClass(cls) -> None:
        """Writes one of each."""
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.base = folder.name
        saved_models.write_tf1(os.path.join(cls.base, "tf1"))
        saved_models.write_tf2(os.path.join(cls.base, "tf2"))
        os.remove(os.path.join(cls.base, "lines.txt"))

    def _copy(self, name: str) -> str:
        copy = os.path.join(self.create_tempdir().full_path, "1")
        shutil.copytree(os.path.join(self.base, name), copy)
        return copy

    def _check_half_plus_two(self, path: str) -> None:
        with saved_model.load_saved_model_from_path(path) as bundle:
            self.assertEqual(bundle.path, path)
            self.assertEqual(_run(bundle, "serving_default", [1, 2]), [2.5, 3])
            self.assertEqual(_run(bundle, "lookup", ["hello", "x"]), [0, -1])

    @parameterized.product(
        name=("tf1", "tf2"),
        change=(
            lambda path: None,
            _to_text,
            _edit(_set_version),
            _edit(_shorten_assets),
        ),
    )
    def test_saved_model_loads(
        self, name: str, change: Callable[[str], None]
    ) -> None:
        """Variables, tables, assets and graphs in text load."""
        path = self._copy(name)
        change(path)
        self._check_half_plus_two(path)

    @parameterized.parameters(
        ("saved_model_half_plus_two_cpu", [[2.5]]),
        ("saved_model_half_plus_three", [[3.5]]),
    )
    def test_saved_model_of_tensorflow_1_loads(
        self, name: str, expected: list[object]
    ) -> None:
        """SavedModels that TensorFlow 1.14 and 1.0 wrote load."""
        path = shared_data.path_or_skip(self, "saved_models", name, "00000123")
        with saved_model.load_saved_model_from_path(path) as bundle:
            self.assertEqual(_run(bundle, "serving_default", [[1.0]]), expected)

    def test_graph_without_variables_loads(self) -> None:
        """It has no files of variables, and no tags if it was given none."""
        path = os.path.join(self.create_tempdir().full_path, "1")
        with tf.Graph().as_default(), tf1.Session() as session:
            tf.identity(tf1.placeholder(tf.float32, name="x") * 2, name="y")
            builder = tf1.saved_model.builder.SavedModelBuilder(path)
            builder.add_meta_graph_and_variables(session, [])
            builder.save()
        with saved_model.load_saved_model_from_path(path, ()) as bundle:
            self.assertEqual(bundle.session.run("y:0", {"x:0": 3.0}), 6)

    def test_loads_at_the_same_time_do_not_mix(self) -> None:
        """Each has a graph of its own; the default graph is untouched."""
        before = tf1.get_default_graph().as_graph_def()
        paths = [os.path.join(self.base, name) for name in ("tf1", "tf2")] * 4
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            for check in [
                threads.submit(self._check_half_plus_two, path)
                for path in paths
            ]:
                check.result()
        self.assertEqual(tf1.get_default_graph().as_graph_def(), before)

    @parameterized.named_parameters(
        ("no_graph", _remove(_PB), errors.NotFoundError, _PB),
        ("cut_graph", _truncate(_PB, 900), errors.DataLossError, _PB),
        ("empty_graph", _truncate(_PB, 0), errors.DataLossError, _PB),
        (
            "no_nodes",
            _edit(lambda meta: meta.ClearField("graph_def")),
            errors.DataLossError,
            "got one without nodes",
        ),
        (
            "unknown_operation",
            _edit(_add_unknown_op),
            errors.FailedPreconditionError,
            "NoSuchOperation",
        ),
        (
            "session_bundle",
            _make_session_bundle,
            errors.FailedPreconditionError,
            "SessionBundleFactory",
        ),
        ("no_index", _remove(_INDEX), errors.NotFoundError, _INDEX),
        ("no_data", _remove(_DATA), errors.NotFoundError, _DATA[:20]),
        (
            "no_variables",
            lambda path: shutil.rmtree(os.path.join(path, "variables")),
            errors.NotFoundError,
            _INDEX,
        ),
        ("cut_index", _truncate(_INDEX, 50), errors.DataLossError, _INDEX),
        ("cut_data", _truncate(_DATA, 2), errors.DataLossError, _DATA),
        (
            "corrupt_data",
            lambda path: _write(os.path.join(path, _DATA), b"?" * 5000),
            errors.DataLossError,
            _DATA,
        ),
        (
            "no_asset",
            _remove("assets/lines.txt"),
            errors.NotFoundError,
            "assets/lines.txt",
        ),
        (
            "unreadable_graph",
            _make_unreadable(_PB),
            errors.UnavailableError,
            "Input/output error",
        ),
        (
            "unreadable_data",
            _make_unreadable(_DATA),
            errors.UnavailableError,
            _DATA,
        ),
    )
    def test_broken_file_is_named(
        self,
        break_model: Callable[[str], None],
        error: type[Exception],
        text: str,
    ) -> None:
        """A broken file is named in one line, where the others are whole."""
        for name in ("tf1", "tf2"):
            path = self._copy(name)
            break_model(path)
            with self.assertRaises(error) as caught:
                saved_model.load_saved_model_from_path(path).close()
            self.assertIn(text, str(caught.exception))
            self.assertIn(path, str(caught.exception))
            self.assertNotIn("\n", str(caught.exception))
            self.assertLess(len(str(caught.exception).replace(path, "")), 500)

    def test_missing_folder_is_not_found(self) -> None:
        """A file in the place of a folder is NOT_FOUND as well."""
        for path in ("/no/such/folder", __file__):
            with self.assertRaises(errors.NotFoundError):
                saved_model.load_saved_model_from_path(path)

    def test_tags_must_be_there(self) -> None:
        """The error says which there are."""
        path = os.path.join(self.base, "tf1")
        with self.assertRaisesRegex(
            errors.NotFoundError,
            r"tags must be one of \[\['serve'\]\].* got \['gpu', 'serve'\]",
        ):
            saved_model.load_saved_model_from_path(path, ("serve", "gpu"))


if __name__ == "__main__":
    absltest.main()
