"""Tests for version_check."""

import os
from collections.abc import Callable

from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import (
    version_check,
    version_folder,
)
from tensorflow_serving.test_util import (
    shared_data,
    tflite_models,
    tiny_versions,
)
from tensorflow_serving.util import errors

_V1 = tiny_versions.export(num_shards=2)
_V2 = tiny_versions.export(num_shards=2, is_v2=True)
_UNSHARDED = {
    "export.meta": tiny_versions.meta_graph_def(),
    "export": tiny_versions.table(),
}
_SAVED_MODEL = tiny_versions.saved_model(num_shards=2)
_TEXT = {
    **{name: _SAVED_MODEL[name] for name in _SAVED_MODEL if "/" in name},
    "saved_model.pbtxt": b'saver_def {\n restore_op_name: "restore"\n}',
}
_TFLITE = {"model.tflite": tflite_models.custom("Zap")}
_NOT_CHECKED = {"checkpoint", "assets/words.txt"}


class VersionCheckTest(parameterized.TestCase):
    """Tests of the files that a version must have."""

    def _check(
        self, check: version_check.VersionCheck, files: dict[str, bytes]
    ) -> None:
        path = self.create_tempdir().full_path
        tiny_versions.write(path, files)
        check(path, version_folder.scan(path, check.parts))

    @parameterized.named_parameters(
        ("v1", version_check.session_bundle, _V1),
        ("v2", version_check.session_bundle, _V2),
        ("unsharded", version_check.session_bundle, _UNSHARDED),
        ("saved_model", version_check.saved_model, _SAVED_MODEL),
        ("saved_model_in_text", version_check.saved_model, _TEXT),
        (
            "without_saver",
            version_check.saved_model,
            tiny_versions.saved_model(""),
        ),
        ("any_of_v1", version_check.tensorflow_model, _V1),
        ("any_of_saved_model", version_check.tensorflow_model, _SAVED_MODEL),
        ("both", version_check.tensorflow_model, {**_V1, **_SAVED_MODEL}),
        ("tflite", version_check.tensorflow_model, _TFLITE),
        (
            "tflite_and_saved_model",
            version_check.tensorflow_model,
            {**_TFLITE, **_SAVED_MODEL},
        ),
        ("any_content", version_check.any_content, {"table.csv": b""}),
    )
    def test_whole_version_passes(
        self, check: version_check.VersionCheck, files: dict[str, bytes]
    ) -> None:
        """A whole version passes the checks that accept its format."""
        self._check(check, files)

    @parameterized.named_parameters(
        ("v1", _V1),
        ("v2", _V2),
        ("unsharded", _UNSHARDED),
        ("saved_model", _SAVED_MODEL),
        ("saved_model_in_text", _TEXT),
        ("both", {**_V1, **_SAVED_MODEL}),
    )
    def test_version_without_one_of_its_files_is_refused(
        self, files: dict[str, bytes]
    ) -> None:
        """A version that lacks one of its necessary files is refused."""
        for name in files.keys() - _NOT_CHECKED:
            others = {each: files[each] for each in files if each != name}
            if name.startswith("export.meta") and "saved_model.pb" in files:
                continue  # what is left is a SavedModel
            if name.startswith("saved_model.pb") and "export.meta" in files:
                continue  # what is left is an export
            with (
                self.subTest(name),
                self.assertRaisesRegex(
                    errors.UnavailableError, "version must be complete; got"
                ),
            ):
                self._check(version_check.tensorflow_model, others)

    @parameterized.named_parameters(
        ("export_meta", _V1, "export.meta"),
        ("v1_shard", _V1, "export-00001-of-00002"),
        ("unsharded", _UNSHARDED, "export"),
        ("v2_index", _V2, "export.index"),
        ("saved_model", _SAVED_MODEL, "saved_model.pb"),
        ("index", _SAVED_MODEL, "variables/variables.index"),
        ("tflite", _TFLITE, "model.tflite"),
        (
            "tflite_beside_saved_model",
            {**_TFLITE, **_SAVED_MODEL},
            "model.tflite",
        ),
    )
    def test_truncated_file_is_refused(
        self, files: dict[str, bytes], name: str
    ) -> None:
        """A file is refused wherever it ends, even if a message is left.

        A TFLite model may end with zeros that belong to nothing.
        """
        path = self.create_tempdir().full_path
        tiny_versions.write(path, files)
        contents = version_folder.scan(path)
        for size in range(len(files[name].rstrip(b"\0"))):
            tiny_versions.write(path, {name: files[name][:size]})
            with self.assertRaisesRegex(errors.UnavailableError, name):
                version_check.tensorflow_model(path, contents)

    @parameterized.parameters("export.meta", "saved_model.pb", "model.tflite")
    def test_garbage_is_refused(self, name: str) -> None:
        """A file of zeros or of ones is no message."""
        for byte in (0, 255):
            with self.assertRaises(errors.UnavailableError):
                self._check(
                    version_check.tensorflow_model,
                    {**_V1, name: bytes([byte]) * 300},
                )

    def test_saved_model_without_a_saver_needs_no_variables(self) -> None:
        """Variables may be missing, but those that are there must be whole."""
        files = tiny_versions.saved_model("")
        files["variables/variables.data-00000-of-00001"] = b"1234"
        with self.assertRaisesRegex(errors.UnavailableError, "variables.index"):
            self._check(version_check.saved_model, files)

    def test_saved_model_of_todays_tensorflow_needs_variables(self) -> None:
        """Its restore op has another name."""
        files = tiny_versions.saved_model("StatefulPartitionedCall_1")
        self._check(version_check.saved_model, files)
        with self.assertRaisesRegex(errors.UnavailableError, "variables.index"):
            self._check(
                version_check.saved_model,
                {"saved_model.pb": files["saved_model.pb"]},
            )

    def test_shards_of_several_exports_are_refused(self) -> None:
        """Nobody knows which ones go together."""
        files = {**_V1, "export-00000-of-00001": tiny_versions.table()}
        with self.assertRaisesRegex(errors.UnavailableError, r"\[1, 2\]"):
            self._check(version_check.session_bundle, files)

    @parameterized.parameters(
        version_check.any_content, version_check.tensorflow_model
    )
    def test_empty_folder_is_refused(
        self, check: version_check.VersionCheck
    ) -> None:
        """A copy begins with it."""
        with self.assertRaises(errors.UnavailableError):
            self._check(check, {})

    def test_pipe_in_place_of_a_file_is_not_waited_for(self) -> None:
        """A pipe without a writer would keep whoever opens it."""
        for name in _V1.keys() - _NOT_CHECKED:
            path = self.create_tempdir().full_path
            tiny_versions.write(path, _V1)
            contents = version_folder.scan(path)
            os.remove(os.path.join(path, name))
            os.mkfifo(os.path.join(path, name))
            with self.assertRaisesRegex(
                errors.UnavailableError, "a named pipe"
            ):
                version_check.session_bundle(path, contents)
            with self.assertRaisesRegex(
                errors.UnavailableError,
                f"got a named pipe for {name}: ",
            ):
                version_check.session_bundle(path, version_folder.scan(path))

    @parameterized.named_parameters(
        ("folder", os.mkdir, "a folder"),
        ("named_pipe", os.mkfifo, "a named pipe"),
        (
            "link",
            lambda path: os.symlink("nowhere", path),
            "a link that leads nowhere",
        ),
    )
    def test_shard_that_is_no_file_is_named(
        self, make: Callable[[str], None], kind: str
    ) -> None:
        """A shard that is there, but is no file, is not called missing."""
        path = self.create_tempdir().full_path
        tiny_versions.write(path, tiny_versions.export())
        name = "export-00000-of-00001"
        os.remove(os.path.join(path, name))
        make(os.path.join(path, name))
        with self.assertRaisesRegex(
            errors.UnavailableError, f"got {kind} for {name}: {path}"
        ):
            version_check.session_bundle(path, version_folder.scan(path))

    def test_something_in_place_of_a_tflite_model_does_not_count(self) -> None:
        """A folder, a pipe or a link to nothing is no model."""
        for make in (
            os.mkdir,
            os.mkfifo,
            lambda name: os.symlink("nowhere", name),
        ):
            path = self.create_tempdir().full_path
            make(os.path.join(path, "model.tflite"))
            with self.assertRaisesRegex(errors.UnavailableError, "neither"):
                check = version_check.tensorflow_model
                check(path, version_folder.scan(path, check.parts))

    def test_files_that_the_format_does_not_name_take_no_part(self) -> None:
        """Logs may grow, and what is left behind may be unreadable."""
        names = {"log.txt", ".nfs0001", "lost+found/x", "eval/y"}
        path = self.create_tempdir().full_path
        tiny_versions.write(path, {**_V1, **dict.fromkeys(names, b"")})
        self.assertEqual(
            version_folder.scan(
                path, version_check.session_bundle.parts
            ).keys(),
            _V1.keys(),
        )

    def test_frozen_model_beside_an_empty_folder_of_variables_is_whole(
        self,
    ) -> None:
        """Git keeps such a folder by a hidden file."""
        self._check(
            version_check.saved_model,
            {**tiny_versions.saved_model(""), "variables/.gitkeep": b""},
        )

    def test_saved_model_in_place_of_an_export_is_named(self) -> None:
        """Who gives one to a server of exports learns what is wrong."""
        with self.assertRaisesRegex(errors.UnavailableError, "a SavedModel"):
            self._check(version_check.session_bundle, _SAVED_MODEL)

    def test_restore_op_is_found_anywhere_in_a_long_text(self) -> None:
        """The text is read in blocks, and one may end within the name."""
        op = b' restore_op_name: "restore"'
        for num_bytes in ((1 << 20) - 10, 3 << 20):
            with self.assertRaisesRegex(errors.UnavailableError, "variables"):
                self._check(
                    version_check.saved_model,
                    {"saved_model.pbtxt": b" " * num_bytes + op},
                )

    def test_file_that_vanishes_is_refused(self) -> None:
        """It may have been deleted since the folder was read."""
        path = self.create_tempdir().full_path
        tiny_versions.write(path, _V1)
        contents = version_folder.scan(path)
        with self.assertRaisesRegex(errors.UnavailableError, "readable"):
            version_check.session_bundle(path + "-gone", contents)

    @parameterized.parameters(
        ("exports", "half_plus_two"),
        ("saved_models", "saved_model_half_plus_three"),
        ("saved_models", "saved_model_half_plus_two_cpu"),
    )
    def test_real_version_passes(self, *parts: str) -> None:
        """Versions that exporters of 2016 and of today wrote pass the check."""
        path = shared_data.path_or_skip(self, *parts, "00000123")
        version_check.tensorflow_model(path, version_folder.scan(path))

    @parameterized.parameters(
        "saved_model_half_plus_three", "saved_model_half_plus_two_cpu"
    )
    def test_real_saved_model_needs_its_variables(self, name: str) -> None:
        """A copy that has brought but saved_model.pb is not whole."""
        path = shared_data.path_or_skip(self, "saved_models", name, "00000123")
        contents = dict(version_folder.scan(path))
        with self.assertRaisesRegex(errors.UnavailableError, "variables.index"):
            version_check.saved_model(
                path, {"saved_model.pb": contents["saved_model.pb"]}
            )


if __name__ == "__main__":
    absltest.main()
