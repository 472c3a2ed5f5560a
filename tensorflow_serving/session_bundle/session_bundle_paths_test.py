"""Tests that exports load from folders of any name, and no others' files."""

import os
import shutil

import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import exporter, session_bundle
from tensorflow_serving.util import errors

tf1 = tf.compat.v1
_V1, _V2 = tf1.train.SaverDef.V1, tf1.train.SaverDef.V2

_FORMATS = {
    "v1_sharded": (True, _V1),
    "v1_single": (False, _V1),
    "v2_sharded": (True, _V2),
    "v2_single": (False, _V2),
}
# A name, and that of a sibling which it matches, were it a pattern.
_NAMES = {
    "brackets": ("m[1]", "m1"),
    "range": ("[a-z]", "q"),
    "asterisk": ("m*", "mother"),
    "question_mark": ("m?", "m1"),
    "backslash": ("a\\b", "ab"),
    "braces": ("{a,b}", "a"),
    "newline": ("a\nb", "ab"),
    "comma": ("a,b", "a"),
    "percent": ("%d%s", "1"),
    "cyrillic": ("модель", "m"),
    "not_utf_8": (os.fsdecode(b"m\xff"), "m"),
    "blank": (" m ", "m"),
    "dash": ("-m", "m"),
}


def _export(
    base: str, *, sharded: bool, write_version: int, value: float
) -> str:
    """Exports y = x + value, with a variable and an asset."""
    asset = os.path.join(base, "asset.txt")
    os.makedirs(base)
    with open(asset, "w", encoding="utf-8") as file:
        file.write(f"{value}")
    with tf.Graph().as_default(), tf1.Session() as session:
        x = tf1.placeholder(tf.float32, [None], "x")
        v = tf1.get_variable("v", initializer=tf.constant(value))
        content = tf1.get_variable("content", initializer="", use_resource=True)
        path = tf.constant(asset)
        init_op = tf1.assign(content, tf.io.read_file(path)).op
        tf.add(x, v, name="y")
        tf.identity(content, name="text")
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(
            {"v": v}, sharded=sharded, write_version=write_version
        )
        export = exporter.Exporter(saver)
        export.init(init_op=init_op, assets_collection=[path])
        return export.export(base, tf.constant(1))


class PathsTest(parameterized.TestCase):
    """Tests of exports that were moved to folders with odd names."""

    exports: dict[tuple[str, float], str]

    @classmethod
    def setUpClass(cls) -> None:
        """Writes an export of each format with each of two values."""
        super().setUpClass()
        base = absltest.get_default_test_tmpdir()
        cls.exports = {
            (name, value): _export(
                os.path.join(base, "paths", f"{name}_{value}"),
                sharded=sharded,
                write_version=write_version,
                value=value,
            )
            for name, (sharded, write_version) in _FORMATS.items()
            for value in (3.0, 18.0)
        }

    @classmethod
    def tearDownClass(cls) -> None:
        """Removes the exports."""
        shutil.rmtree(os.path.join(absltest.get_default_test_tmpdir(), "paths"))
        super().tearDownClass()

    @parameterized.product(format_name=list(_FORMATS), case=list(_NAMES))
    def test_export_is_loaded_from_its_own_folder(
        self, format_name: str, case: str
    ) -> None:
        """A name that reads as a pattern leads to no sibling's variables."""
        name, sibling = _NAMES[case]
        base = self.create_tempdir().full_path
        path = os.path.join(base, name, "1")
        shutil.copytree(self.exports[format_name, 3.0], path)
        shutil.copytree(
            self.exports[format_name, 18.0], os.path.join(base, sibling, "1")
        )
        with session_bundle.load_session_bundle_from_path(path) as bundle:
            y, text = bundle.session.run(
                ["y:0", "text:0"], {"x:0": np.zeros(1, np.float32)}
            )
        self.assertEqual((y.tolist(), text), ([3.0], b"3.0"))

    @parameterized.parameters(*_FORMATS)
    def test_error_names_the_real_path(self, format_name: str) -> None:
        """Somebody who reads the log finds the file."""
        path = os.path.join(self.create_tempdir().full_path, "m[1]", "1")
        shutil.copytree(self.exports[format_name, 3.0], path)
        for name in os.listdir(path):
            if name.startswith("export") and not name.endswith(".meta"):
                os.truncate(os.path.join(path, name), 5)
        with self.assertRaises(errors.DataLossError) as raised:
            session_bundle.load_session_bundle_from_path(path)
        self.assertIn(path, str(raised.exception))
        self.assertNotIn("/proc/", str(raised.exception))

    def test_asset_that_cannot_be_read_is_unavailable(self) -> None:
        """An init op that meets EIO is worth another try."""
        path = os.path.join(self.create_tempdir().full_path, "1")
        shutil.copytree(self.exports["v2_single", 3.0], path)
        asset = os.path.join(path, "assets", "asset.txt")
        os.remove(asset)
        os.symlink("/proc/self/mem", asset)
        with self.assertRaisesRegex(errors.UnavailableError, "Init op"):
            session_bundle.load_session_bundle_from_path(path)

    @parameterized.parameters("export.meta", "export", "export.index")
    def test_named_pipe_is_refused(self, name: str) -> None:
        """Nobody waits for somebody who writes to it."""
        path = os.path.join(self.create_tempdir().full_path, "1")
        format_name = "v1_single" if name == "export" else "v2_single"
        shutil.copytree(self.exports[format_name, 3.0], path)
        os.remove(os.path.join(path, name))
        os.mkfifo(os.path.join(path, name))
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "got a named pipe: .*/" + name
        ):
            session_bundle.load_session_bundle_from_path(path)


if __name__ == "__main__":
    absltest.main()
