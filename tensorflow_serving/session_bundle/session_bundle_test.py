"""Tests for session_bundle, on exports that are made here."""

import os
import shutil
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    exporter,
    manifest_pb2,
    session_bundle,
    signature,
)
from tensorflow_serving.session_bundle.example import export_half_plus_two
from tensorflow_serving.tensorflow_c import session as c_session
from tensorflow_serving.test_util import shared_data
from tensorflow_serving.util import errors

tf1 = tf.compat.v1
_V1, _V2 = tf1.train.SaverDef.V1, tf1.train.SaverDef.V2

_TWO_CPUS = tf1.ConfigProto(device_count={"CPU": 2})


def _variable(name: str, value: float) -> tf.Variable:
    """Returns a variable of the kind that the graphs of 2016 have."""
    return tf1.get_variable(
        name, initializer=tf.fill([100], value), use_resource=False
    )


def _export_two_devices(
    base: str, *, sharded: bool, write_version: int, value: float = 10.0
) -> str:
    """Exports a and b on two devices, and c = a + b, which is not saved."""
    with tf.Graph().as_default(), tf1.Session(config=_TWO_CPUS) as session:
        with tf.device("/cpu:0"):
            a = _variable("a", value)
        with tf.device("/cpu:1"):
            b = _variable("b", 20.0)
        c = _variable("c", 0.0)
        init_op = tf1.assign(c, a + b).op
        saver = tf1.train.Saver(
            {"a": a, "b": b}, sharded=sharded, write_version=write_version
        )
        session.run(tf1.global_variables_initializer())
        export = exporter.Exporter(saver)
        export.init(init_op=init_op)
        return export.export(base, tf.constant(1))


def _run_half_plus_two(
    bundle: session_bundle.SessionBundle[c_session.Session],
) -> list[float]:
    (y,) = bundle.session.run(
        ["y:0"], {"x:0": np.array([[0], [1], [2], [3]], np.float32)}
    )
    return [float(value) for value in y[:, 0]]


class LoadTest(parameterized.TestCase):
    """Exports that load."""

    def test_half_plus_two_of_our_exporter_loads(self) -> None:
        """Variables, assets, init op and signatures are all there."""
        path = export_half_plus_two.export(self.create_tempdir().full_path)
        with session_bundle.load_session_bundle_from_path(path) as bundle:
            self.assertEqual(_run_half_plus_two(bundle), [2, 2.5, 3, 3.5])
            regression = signature.get_regression_signature(
                bundle.meta_graph_def
            )
            self.assertEqual(regression.input.tensor_name, "x:0")
            for number in (1, 2):
                asset = bundle.session.run(
                    f"filename{number}/Read/ReadVariableOp:0"
                )
                self.assertEqual(
                    asset.decode(), f"{path}/assets/hello{number}.txt"
                )

    def test_half_plus_two_of_the_original_exporter_loads(self) -> None:
        """An export of 2016, whose assets were never published, loads."""
        path = shared_data.path_or_skip(
            self, "exports", "half_plus_two", "00000123"
        )
        with session_bundle.load_session_bundle_from_path(path) as bundle:
            self.assertEqual(_run_half_plus_two(bundle), [2, 2.5, 3, 3.5])
            examples = [
                tf.train.Example(
                    features=tf.train.Features(
                        feature={
                            "x": tf.train.Feature(
                                float_list=tf.train.FloatList(value=[x])
                            )
                        }
                    )
                ).SerializeToString()
                for x in range(4)
            ]
            y = signature.run_regression(
                signature.get_regression_signature(bundle.meta_graph_def),
                np.array(examples, dtype=object),
                bundle.session,
            )
            np.testing.assert_array_equal(y, [[2], [2.5], [3], [3.5]])
            self.assertEqual(
                bundle.session.run("filename1:0").decode(),
                f"{path}/assets/hello1.txt",
            )

    @parameterized.product(sharded=(True, False), write_version=(_V1, _V2))
    def test_every_kind_of_checkpoint_is_restored(
        self, sharded: bool, write_version: int
    ) -> None:
        """V1 and V2 are restored, in shards or not; the init op adds to it."""
        path = _export_two_devices(
            self.create_tempdir().full_path,
            sharded=sharded,
            write_version=write_version,
        )
        with session_bundle.load_session_bundle_from_path(
            path, config=_TWO_CPUS
        ) as bundle:
            np.testing.assert_array_equal(
                bundle.session.run("c:0"), np.full([100], 30.0)
            )

    def test_any_name_of_the_folder_loads(self) -> None:
        """A folder loads with any digits, and with characters of patterns."""
        path = export_half_plus_two.export(self.create_tempdir().full_path)
        base = self.create_tempdir().full_path
        for name in ("1", "000000000000007", "a*b[1]?"):
            copy = os.path.join(base, name)
            shutil.copytree(path, copy)
            with session_bundle.load_session_bundle_from_path(copy) as bundle:
                self.assertEqual(_run_half_plus_two(bundle)[0], 2)

    def test_bundles_do_not_share_a_graph(self) -> None:
        """Two versions live in one process; the default graph is untouched."""
        before = tf1.get_default_graph().as_graph_def()
        bundles = [
            session_bundle.load_session_bundle_from_path(
                _export_two_devices(
                    self.create_tempdir().full_path,
                    sharded=True,
                    write_version=_V1,
                    value=value,
                ),
                config=_TWO_CPUS,
            )
            for value in (1.0, 2.0)
        ]
        self.assertEqual(
            [bundle.session.run("c:0")[0] for bundle in bundles], [21, 22]
        )
        self.assertEqual(tf1.get_default_graph().as_graph_def(), before)
        for bundle in bundles:
            bundle.close()
            bundle.close()  # idempotent
            with self.assertRaises(RuntimeError):
                bundle.session.run("c:0")

    def test_serving_graph_is_what_is_served(self) -> None:
        """It replaces graph_def; here it is bound to no device."""
        base = self.create_tempdir().full_path
        with tf.Graph().as_default(), tf1.Session(config=_TWO_CPUS) as session:
            with tf.device("/cpu:1"):
                tf1.get_variable("v", initializer=5.0)
            session.run(tf1.global_variables_initializer())
            export = exporter.Exporter(tf1.train.Saver(sharded=True))
            export.init(clear_devices=True)
            path = export.export(base, tf.constant(1))
        with session_bundle.load_session_bundle_from_path(path) as bundle:
            self.assertEqual(bundle.session.run("v/Read/ReadVariableOp:0"), 5.0)
            assert bundle.graph is not None
            for name in ("v", "v/Read/ReadVariableOp", "save/restore_all"):
                self.assertEqual(bundle.graph.device(name), "")

    def test_assets_that_were_not_copied_are_a_warning(self) -> None:
        """The exporter had no callback; the graph may not need the files."""
        path = export_half_plus_two.export(self.create_tempdir().full_path)
        shutil.rmtree(os.path.join(path, "assets"))
        with self.assertLogs(level="WARNING") as log:
            session_bundle.load_session_bundle_from_path(path).close()
        self.assertIn("hello1.txt", log.output[0])


def _truncate(name: str, size: int) -> Callable[[str], None]:
    def change(path: str) -> None:
        os.truncate(os.path.join(path, name), size)

    return change


def _remove(name: str) -> Callable[[str], None]:
    def change(path: str) -> None:
        os.remove(os.path.join(path, name))

    return change


def _edit(
    edit: Callable[[tf.compat.v1.MetaGraphDef], None],
) -> Callable[[str], None]:
    def change(path: str) -> None:
        meta_graph_def = tf1.MetaGraphDef()
        with open(os.path.join(path, "export.meta"), "rb+") as file:
            meta_graph_def.ParseFromString(file.read())
            edit(meta_graph_def)
            file.seek(0)
            file.truncate()
            file.write(meta_graph_def.SerializeToString())

    return change


def _add_serving_graphs(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    graphs = meta_graph_def.collection_def[constants.GRAPH_KEY].any_list.value
    graphs.extend([collection.pack(meta_graph_def.graph_def)] * 2)


def _add_wrong_serving_graph(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    graphs = meta_graph_def.collection_def[constants.GRAPH_KEY].any_list.value
    graphs.append(collection.pack(manifest_pb2.Signatures()))


def _add_wrong_asset(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    assets = meta_graph_def.collection_def[constants.ASSETS_KEY].any_list.value
    assets.append(collection.pack(manifest_pb2.Signatures()))


def _add_init_op(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    init_op = meta_graph_def.collection_def[constants.INIT_OP_KEY]
    init_op.node_list.value.append("another")


def _rename_init_op(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    init_op = meta_graph_def.collection_def[constants.INIT_OP_KEY]
    init_op.node_list.value[0] = "no_such_op"


def _add_unknown_op(meta_graph_def: tf.compat.v1.MetaGraphDef) -> None:
    meta_graph_def.graph_def.node.add(name="alien", op="NoSuchOperation")


class BrokenExportTest(parameterized.TestCase):
    """Exports that do not load: each error names the file."""

    half_plus_two: str

    @classmethod
    def setUpClass(cls) -> None:
        """Makes the export that the tests break copies of."""
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.half_plus_two = export_half_plus_two.export(folder.name)

    def _copy(self, path: str) -> str:
        copy = os.path.join(self.create_tempdir().full_path, "1")
        shutil.copytree(path, copy)
        return copy

    def _check(self, path: str, error: type[Exception], *texts: str) -> None:
        with self.assertRaises(error) as caught:
            session_bundle.load_session_bundle_from_path(
                path, config=_TWO_CPUS
            ).close()
        for text in texts:
            self.assertIn(text, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))
        self.assertLess(len(str(caught.exception).replace(path, "")), 500)

    @parameterized.named_parameters(
        (
            "no_meta",
            _remove("export.meta"),
            errors.NotFoundError,
            "Expected meta graph file missing",
            "/1/export.meta",
        ),
        (
            "corrupt_meta",
            _truncate("export.meta", 1000),
            errors.DataLossError,
            "corrupt or truncated file",
            "/1/export.meta",
        ),
        (
            "empty_meta",
            _truncate("export.meta", 0),
            errors.DataLossError,
            "must hold a graph",
            "/1/export.meta",
        ),
        (
            "no_variables",
            _remove("export-00000-of-00001"),
            errors.NotFoundError,
            "Expected variables file missing",
            "/1/export-",
        ),
        (
            "truncated_variables",
            _truncate("export-00000-of-00001", 60),
            errors.DataLossError,
            "must be whole",
            "/1/export-00000-of-00001",
        ),
        (
            "empty_variables",
            _truncate("export-00000-of-00001", 0),
            errors.DataLossError,
            "must be whole",
            "/1/export-00000-of-00001",
        ),
        (
            "no_asset",
            _remove("assets/hello2.txt"),
            errors.NotFoundError,
            "Expected asset file missing",
            "/1/assets/hello2.txt",
        ),
        (
            "two_serving_graphs",
            _edit(_add_serving_graphs),
            errors.FailedPreconditionError,
            "Expected exactly one serving GraphDef",
            "/1/export.meta",
        ),
        (
            "wrong_serving_graph",
            _edit(_add_wrong_serving_graph),
            errors.FailedPreconditionError,
            "Expected Any type_url for tensorflow.GraphDef",
            "/1/export.meta",
        ),
        (
            "wrong_assets",
            _edit(_add_wrong_asset),
            errors.FailedPreconditionError,
            "Expected Any type_url for tensorflow.serving.AssetFile",
            "/1/export.meta",
        ),
        (
            "two_init_ops",
            _edit(_add_init_op),
            errors.FailedPreconditionError,
            "Expected exactly one serving init op",
            "/1/export.meta",
        ),
        (
            "unknown_init_op",
            _edit(_rename_init_op),
            errors.FailedPreconditionError,
            "no_such_op",
            "/1/export.meta",
        ),
        (
            "unknown_operation",
            _edit(_add_unknown_op),
            errors.FailedPreconditionError,
            "NoSuchOperation",
            "/1/export.meta",
        ),
        (
            "no_saver",
            _edit(lambda meta: meta.ClearField("saver_def")),
            errors.FailedPreconditionError,
            "restore op",
            "/1/export.meta",
        ),
    )
    def test_broken_file_is_named(
        self,
        break_export: Callable[[str], None],
        error: type[Exception],
        *texts: str,
    ) -> None:
        """The other files are whole."""
        path = self._copy(self.half_plus_two)
        break_export(path)
        self._check(path, error, *texts)

    @parameterized.named_parameters(
        ("v1", _V1, "export-00001-of-00002"),
        ("v2", _V2, "export.data-00001-of-00002"),
    )
    def test_missing_and_truncated_shards_are_named(
        self, write_version: int, shard: str
    ) -> None:
        """One of several files is enough to lose the export."""
        path = _export_two_devices(
            self.create_tempdir().full_path,
            sharded=True,
            write_version=write_version,
        )
        copy = self._copy(path)
        _truncate(shard, 100)(copy)
        self._check(copy, errors.DataLossError, f"/1/{shard}")
        _remove(shard)(copy)
        self._check(
            copy,
            errors.NotFoundError,
            "Expected variables file missing",
            f"/1/{shard}",
        )

    @parameterized.named_parameters(
        ("v1", _V1, "export-00000-of-00002"),
        ("v2", _V2, "export.data-00000-of-00002"),
    )
    def test_swapped_shards_are_named(
        self, write_version: int, shard: str
    ) -> None:
        """Shards of another model, or of another count, are named."""
        path = _export_two_devices(
            self.create_tempdir().full_path,
            sharded=True,
            write_version=write_version,
        )
        copy = self._copy(path)
        shutil.copy(
            os.path.join(self.half_plus_two, "export-00000-of-00001"),
            os.path.join(copy, shard),
        )
        self._check(copy, errors.DataLossError, f"/1/{shard}")
        shutil.copy(
            os.path.join(copy, shard),
            os.path.join(copy, shard.replace("of-00002", "of-00003")),
        )
        self._check(
            copy, errors.DataLossError, "of one export; got numbers of files"
        )

    def test_graph_for_other_devices_is_no_fault_of_the_files(self) -> None:
        """Another device is a FAILED_PRECONDITION that names it."""
        path = _export_two_devices(
            self.create_tempdir().full_path, sharded=True, write_version=_V1
        )
        one_cpu = tf1.ConfigProto(device_count={"CPU": 1})
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            "must fit the devices of this machine; got .*/device:CPU:1 .*"
            "exported anew with clear_devices=True.*export.meta",
        ):
            session_bundle.load_session_bundle_from_path(path, config=one_cpu)

    def test_session_target_that_is_unknown_is_an_error(self) -> None:
        """The error of an unknown target does not show the configuration."""
        with self.assertRaisesRegex(
            errors.ServingError, "session target 'nowhere' .*; got"
        ):
            session_bundle.load_session_bundle_from_path(
                self.half_plus_two, target="nowhere"
            )

    def test_missing_folder_is_not_found(self) -> None:
        """A file in the place of a folder is NOT_FOUND as well."""
        for path in ("/no/such/folder", __file__):
            self._check(path, errors.NotFoundError, "export.meta")

    def test_failing_storage_is_unavailable(self) -> None:
        """EIO may go away, so it is worth another try."""
        path = self._copy(self.half_plus_two)
        _remove("export.meta")(path)
        os.symlink("/proc/self/mem", os.path.join(path, "export.meta"))
        self._check(path, errors.UnavailableError, "must be", path)

    def test_unfinished_export_does_not_load(self) -> None:
        """An unfinished export does not load, even if it is whole by chance."""
        path = self._copy(self.half_plus_two)
        os.rename(path, path + "-tmp")
        self._check(path + "-tmp", errors.FailedPreconditionError, "finished")


if __name__ == "__main__":
    absltest.main()
