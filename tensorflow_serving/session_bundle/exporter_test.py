"""Tests for exporter; session_bundle_test loads what it writes."""

import os
from collections.abc import Mapping

import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    exporter,
    gc,
    manifest_pb2,
    session_bundle,
    signature,
)
from tensorflow_serving.util import errors

tf1 = tf.compat.v1


def _read(export_dir: str) -> tf.compat.v1.MetaGraphDef:
    meta_graph_def = tf1.MetaGraphDef()
    with open(os.path.join(export_dir, "export.meta"), "rb") as file:
        meta_graph_def.ParseFromString(file.read())
    return meta_graph_def


class _GraphTestCase(parameterized.TestCase):
    """A test with a graph of its own: x -> y = v * x, and a session."""

    def setUp(self) -> None:
        """Makes the graph."""
        super().setUp()
        self.enter_context(tf.Graph().as_default())
        self.x = tf1.placeholder(tf.float32, [None], name="x")
        with tf.device("/cpu:0"):
            v = tf1.get_variable("v", initializer=3.0, use_resource=True)
        self.y = tf.multiply(v, self.x, name="y")
        self.session = self.enter_context(tf1.Session())
        self.session.run(tf1.global_variables_initializer())
        self.base = os.path.join(self.create_tempdir().full_path, "model")

    def exporter(self, sharded: bool = True) -> exporter.Exporter:
        """Returns an exporter that writes V1 files."""
        return exporter.Exporter(
            tf1.train.Saver(
                sharded=sharded, write_version=tf1.train.SaverDef.V1
            )
        )


class SignatureTest(_GraphTestCase):
    """Signatures from tensors."""

    def test_regression_binds_input_and_output(self) -> None:
        """A regression signature has the names of its two tensors."""
        regression = exporter.regression_signature(self.x, self.y)
        self.assertEqual(
            regression.regression_signature.input.tensor_name, "x:0"
        )
        self.assertEqual(
            regression.regression_signature.output.tensor_name, "y:0"
        )

    def test_classification_binds_only_what_is_given(self) -> None:
        """Classes and scores are optional."""
        bound = exporter.classification_signature(
            self.x
        ).classification_signature
        self.assertEqual(bound.input.tensor_name, "x:0")
        self.assertFalse(bound.HasField("classes"))
        self.assertFalse(bound.HasField("scores"))
        bound = exporter.classification_signature(
            self.x, classes_tensor=self.x, scores_tensor=self.y
        ).classification_signature
        self.assertEqual(bound.classes.tensor_name, "x:0")
        self.assertEqual(bound.scores.tensor_name, "y:0")

    def test_generic_binds_logical_names(self) -> None:
        """Each logical name is bound to the name of its tensor."""
        bound = exporter.generic_signature({"in": self.x, "out": self.y})
        self.assertEqual(
            {
                name: binding.tensor_name
                for name, binding in bound.generic_signature.map.items()
            },
            {"in": "x:0", "out": "y:0"},
        )


class InitTest(_GraphTestCase):
    """Tests of the arguments of Exporter.init()."""

    def test_second_call_is_an_error(self) -> None:
        """A second call raises a RuntimeError, as in the original."""
        export = self.exporter()
        export.init()
        with self.assertRaises(RuntimeError):
            export.init()

    def test_init_op_must_be_an_operation(self) -> None:
        """A tensor is refused in place of the init op."""
        with self.assertRaisesRegex(TypeError, "init_op must be an operation"):
            self.exporter().init(init_op=self.y)

    def test_asset_must_be_a_constant_scalar_string(self) -> None:
        """A TypeError says what it is instead."""
        for tensor, text in (
            ("path", "got a str"),
            (tf1.placeholder(tf.string, []), "got the output of a Placeholder"),
            (tf.constant(1), "got dtype int32"),
            (tf.constant(["a", "b"]), "got 2 values"),
        ):
            with self.assertRaisesRegex(TypeError, text):
                self.exporter().init(assets_collection=[tensor])

    def test_asset_path_must_not_be_empty(self) -> None:
        """An empty asset path raises a ValueError."""
        with self.assertRaisesRegex(ValueError, "must not be empty"):
            self.exporter().init(assets_collection=[tf.constant("")])

    def test_asset_files_must_have_different_names(self) -> None:
        """Two assets of one name are refused; one path twice is fine."""
        same, also_same = tf.constant("/x/name"), tf.constant("/x/name")
        with self.assertRaisesRegex(ValueError, "'/x/name', '/y/name'"):
            self.exporter().init(
                assets_collection=[same, tf.constant("/y/name")]
            )
        self.exporter().init(assets_collection=[same, also_same])


class ExportTest(_GraphTestCase):
    """Tests of the files that Exporter.export() writes."""

    @parameterized.named_parameters(
        ("sharded", True, "export-00000-of-00001"),
        ("unsharded", False, "export"),
    )
    def test_files_are_those_of_the_original(
        self, sharded: bool, variables: str
    ) -> None:
        """Nothing is left behind; the folder has 8 digits."""
        export = self.exporter(sharded)
        export.init()
        path = export.export(self.base, tf.constant(42))
        self.assertEqual(path, os.path.join(self.base, "00000042"))
        self.assertEqual(os.listdir(self.base), ["00000042"])
        self.assertEqual(
            sorted(os.listdir(path)),
            sorted(["checkpoint", "export.meta", variables]),
        )

    def test_each_device_has_a_shard(self) -> None:
        """A sharded Saver writes one file for each."""
        with (
            tf.Graph().as_default(),
            tf1.Session(
                config=tf1.ConfigProto(device_count={"CPU": 2})
            ) as session,
        ):
            for device in (0, 1):
                with tf.device(f"/cpu:{device}"):
                    tf1.get_variable(f"v{device}", initializer=1.0)
            session.run(tf1.global_variables_initializer())
            export = self.exporter()
            export.init()
            path = export.export(self.base, tf.constant(1))
        self.assertLessEqual(
            {"export-00000-of-00002", "export-00001-of-00002"},
            set(os.listdir(path)),
        )

    def test_meta_graph_holds_each_collection_once(self) -> None:
        """Signatures are always there; other collections are by request."""
        init_op = tf.no_op(name="init_op")
        export = self.exporter()
        export.init(
            graph_def=tf1.get_default_graph().as_graph_def(),
            init_op=init_op,
            default_graph_signature=exporter.classification_signature(self.x),
            named_graph_signatures={
                "foo": exporter.regression_signature(self.x, self.y),
                "generic": exporter.generic_signature({"x": self.x}),
            },
        )
        meta_graph_def = _read(export.export(self.base, tf.constant(1)))
        collections = meta_graph_def.collection_def
        self.assertEqual(
            list(collections[constants.INIT_OP_KEY].node_list.value),
            ["init_op"],
        )
        self.assertEqual(
            len(collections[constants.GRAPH_KEY].any_list.value), 1
        )
        self.assertNotIn(constants.ASSETS_KEY, collections)
        signatures = signature.get_signatures(meta_graph_def)
        self.assertEqual(
            signatures.default_signature.classification_signature.input,
            manifest_pb2.TensorBinding(tensor_name="x:0"),
        )
        self.assertEqual(set(signatures.named_signatures), {"foo", "generic"})

    def test_empty_signatures_are_written_too(self) -> None:
        """A loader can tell empty signatures from a broken export."""
        export = self.exporter()
        export.init()
        meta_graph_def = _read(export.export(self.base, tf.constant(1)))
        self.assertEqual(
            signature.get_signatures(meta_graph_def), manifest_pb2.Signatures()
        )
        self.assertNotIn(constants.GRAPH_KEY, meta_graph_def.collection_def)
        self.assertNotIn(constants.INIT_OP_KEY, meta_graph_def.collection_def)

    @parameterized.parameters(False, True)
    def test_serving_graph_is_a_copy_without_devices_if_asked(
        self, clear_devices: bool
    ) -> None:
        """The graph in memory keeps its devices."""
        graph_def = tf1.get_default_graph().as_graph_def()
        export = self.exporter()
        export.init(graph_def=graph_def, clear_devices=clear_devices)
        meta_graph_def = _read(export.export(self.base, tf.constant(1)))
        (served,) = collection.unpack_all(
            meta_graph_def, constants.GRAPH_KEY, tf1.GraphDef
        )
        devices = {node.device for node in served.node}
        self.assertEqual(devices == {""}, clear_devices)
        if not clear_devices:
            self.assertEqual(served, graph_def)
        self.assertIn("/device:CPU:0", {node.device for node in graph_def.node})

    def test_assets_are_copied(self) -> None:
        """The assets of the collection are copied, and no other file."""
        folder = self.create_tempdir()
        asset = folder.create_file("asset.txt", "content")
        folder.create_file("other.txt", "not in the collection")
        export = self.exporter()
        export.init(assets_collection=[tf.constant(asset.full_path)])
        path = export.export(self.base, tf.constant(1))
        copies = os.path.join(path, "assets")
        self.assertEqual(os.listdir(copies), ["asset.txt"])
        with open(os.path.join(copies, "asset.txt"), encoding="utf-8") as copy:
            self.assertEqual(copy.read(), "content")
        (asset_file,) = collection.unpack_all(
            _read(path), constants.ASSETS_KEY, manifest_pb2.AssetFile
        )
        self.assertEqual(asset_file.filename, "asset.txt")

    def test_assets_callback_decides_what_is_copied(self) -> None:
        """It gets the basename of each path, and the assets folder."""
        calls: list[tuple[Mapping[str, str], str]] = []
        export = self.exporter()
        export.init(
            assets_collection=[tf.constant("/some/where.txt")],
            assets_callback=lambda files, path: calls.append((files, path)),
        )
        export.export(self.base, tf.constant(1))
        ((files, folder),) = calls
        self.assertEqual(files, {"/some/where.txt": "where.txt"})
        self.assertEqual(os.path.basename(folder), "assets")

    def test_assets_that_stay_are_read_where_they_are(self) -> None:
        """No loader looks in the export for assets without a callback."""
        asset = self.create_tempfile(content="kept").full_path
        with tf.Graph().as_default(), tf1.Session() as session:
            path = tf.constant(asset)
            text = tf1.get_variable("text", initializer="", use_resource=True)
            init_op = tf1.assign(text, tf.io.read_file(path)).op
            tf.identity(text, name="y")
            session.run(tf1.global_variables_initializer())
            export = exporter.Exporter(tf1.train.Saver([text]))
            export.init(
                init_op=init_op, assets_collection=[path], assets_callback=None
            )
            folder = export.export(self.base, tf.constant(1))
        self.assertNotIn(constants.ASSETS_KEY, _read(folder).collection_def)
        with session_bundle.load_session_bundle_from_path(folder) as bundle:
            self.assertEqual(bundle.session.run("y:0"), b"kept")

    def test_version_comes_from_a_tensor_a_variable_or_a_name(self) -> None:
        """The version is whatever the session can evaluate."""
        step = tf1.get_variable("step", initializer=7, use_resource=True)
        self.session.run(step.initializer)
        for version, expected in (
            (step, "00000007"),
            ("step/Read/ReadVariableOp:0", "00000007"),
            (tf.constant(9), "00000009"),
        ):
            export = self.exporter()
            export.init()
            name = os.path.basename(
                export.export(
                    self.create_tempdir().full_path, version, self.session
                )
            )
            self.assertEqual(name, expected)

    def test_export_before_init_is_an_error(self) -> None:
        """An export before init() raises a RuntimeError and writes no file."""
        with self.assertRaises(RuntimeError):
            self.exporter().export(self.base, tf.constant(1))
        self.assertFalse(os.path.exists(self.base))

    def test_existing_version_is_an_error(self) -> None:
        """An existing version raises a RuntimeError and stays untouched."""
        export = self.exporter()
        export.init()
        path = export.export(self.base, tf.constant(1))
        before = os.stat(path)
        with self.assertRaisesRegex(RuntimeError, f"must not exist.*{path}"):
            export.export(self.base, tf.constant(1))
        self.assertEqual(os.stat(path), before)
        self.assertEqual(os.listdir(self.base), ["00000001"])

    def test_negative_version_is_an_error(self) -> None:
        """It would have no folder name that is a number."""
        export = self.exporter()
        export.init()
        with self.assertRaises(errors.InvalidArgumentError):
            export.export(self.base, tf.constant(-1))

    @parameterized.parameters(2**63, 2**64 - 1)
    def test_version_above_int64_is_an_error(self, version: int) -> None:
        """No source would find it."""
        export = self.exporter()
        export.init()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"version must be at most {2**63 - 1}; got {version}",
        ):
            export.export(self.base, tf.constant(version, tf.uint64))
        self.assertFalse(os.path.exists(self.base))

    @parameterized.parameters(2.9, [[1, 2]], "7")
    def test_version_must_be_one_integer(self, version: object) -> None:
        """A float is not rounded."""
        export = self.exporter()
        export.init()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "version must be one integer"
        ):
            export.export(self.base, tf.constant(version))

    def test_saver_without_variables_is_an_error(self) -> None:
        """A loader would look for their file."""
        with tf.Graph().as_default(), tf1.Session() as session:
            export = exporter.Exporter(tf1.train.Saver(allow_empty=True))
            export.init()
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, "Saver must have variables"
            ):
                export.export(self.base, tf.constant(1), session)
        self.assertEqual(os.listdir(self.base), [])

    def test_exporters_of_one_graph_write_their_own_collections(self) -> None:
        """Exporters of one graph write their own collections, not its own."""
        tf1.add_to_collection(constants.INIT_OP_KEY, tf.no_op())
        for version, tensor in ((1, self.x), (2, self.y)):
            export = self.exporter()
            export.init(
                default_graph_signature=exporter.regression_signature(
                    tensor, tensor
                )
            )
            meta_graph_def = _read(
                export.export(self.base, tf.constant(version))
            )
            signatures = signature.get_signatures(meta_graph_def)
            self.assertEqual(
                signatures.default_signature,
                exporter.regression_signature(tensor, tensor),
            )
            self.assertNotIn(
                constants.INIT_OP_KEY, meta_graph_def.collection_def
            )

    def test_full_disk_is_a_sentence_with_what_to_do(self) -> None:
        """A full disk is explained, whoever meets it; nothing stays."""

        def fill(files: Mapping[str, str], folder: str) -> None:
            raise tf.errors.ResourceExhaustedError(
                None, None, "/x/export; No space left on device"
            )

        export = self.exporter()
        export.init(
            assets_collection=[tf.constant("/x/y")], assets_callback=fill
        )
        with self.assertRaisesRegex(
            errors.ResourceExhaustedError,
            "must have room for .*00000001; got: No space.*Free some space",
        ):
            export.export(self.base, tf.constant(1))
        self.assertEqual(os.listdir(self.base), [])

    def test_version_that_another_exporter_writes_first_is_an_error(
        self,
    ) -> None:
        """The files on disk are those of the export that succeeded."""
        asset = tf.constant("/some/where.txt")

        def win(files: Mapping[str, str], folder: str) -> None:
            other = self.exporter()
            other.init()
            other.export(self.base, tf.constant(1))

        loser = self.exporter()
        loser.init(assets_collection=[asset], assets_callback=win)
        with self.assertRaises(errors.AlreadyExistsError):
            loser.export(self.base, tf.constant(1))
        self.assertEqual(os.listdir(self.base), ["00000001"])
        meta_graph_def = _read(os.path.join(self.base, "00000001"))
        self.assertNotIn(constants.ASSETS_KEY, meta_graph_def.collection_def)

    def test_exports_to_keep_deletes_the_others(self) -> None:
        """Versions of any number of digits; other folders stay."""
        export = self.exporter()
        export.init()
        os.makedirs(os.path.join(self.base, "7"))
        os.makedirs(os.path.join(self.base, "20241125090744123456"))
        with open(os.path.join(self.base, "00000009"), "wb"):
            pass  # a file with the name of a version
        os.symlink("7", os.path.join(self.base, "00000008"))
        for number in (100, 101, 10**8):
            export.export(
                self.base,
                tf.constant(number),
                exports_to_keep=gc.largest_export_versions(2),
            )
        self.assertEqual(
            sorted(os.listdir(self.base)),
            [
                "00000008",
                "00000009",
                "00000101",
                "100000000",
                "20241125090744123456",
                "7",
            ],
        )

    def test_exports_to_keep_never_deletes_what_was_exported(self) -> None:
        """An older version may be exported after a newer one."""
        export = self.exporter()
        export.init()
        for number in (9, 5):
            export.export(
                self.base,
                tf.constant(number),
                exports_to_keep=gc.largest_export_versions(1),
            )
        self.assertEqual(
            sorted(os.listdir(self.base)), ["00000005", "00000009"]
        )


if __name__ == "__main__":
    absltest.main()
