"""Tests for model_folder."""

import os
import pathlib

from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import model_folder
from tensorflow_serving.util import errors


class ModelFolderTest(parameterized.TestCase):
    """Tests of an open folder."""

    def setUp(self) -> None:
        """Makes a folder with a file in it."""
        super().setUp()
        self.path = pathlib.Path(self.create_tempdir().full_path, "1")
        self.path.mkdir()
        (self.path / "file").write_bytes(b"content")

    def test_file_is_read(self) -> None:
        """The content of a regular file is returned."""
        with model_folder.ModelFolder(self.path) as folder:
            self.assertEqual(folder.read("file"), b"content")
            self.assertTrue(folder.has("file"))
            self.assertTrue(folder.has_regular("file"))
            self.assertTrue(folder.has_any("fi"))

    def test_missing_file_is_not_there(self) -> None:
        """To read it is an error of the system."""
        with model_folder.ModelFolder(self.path) as folder:
            self.assertFalse(folder.has("other"))
            self.assertFalse(folder.has_regular("other/file"))
            self.assertFalse(folder.has_any("other"))
            with self.assertRaises(FileNotFoundError):
                folder.read("other")

    def test_folder_that_is_renamed_stays_the_one_that_was_opened(self) -> None:
        """Its files are never mixed with those of another folder."""
        with model_folder.ModelFolder(self.path) as folder:
            self.path.rename(self.path.with_name("2"))
            self.path.mkdir()
            (self.path / "file").write_bytes(b"other")
            self.assertEqual(folder.read("file"), b"content")
            plain_path = pathlib.Path(folder.plain_path("file"))
            self.assertEqual(plain_path.read_bytes(), b"content")

    def test_plain_path_has_no_characters_of_patterns(self) -> None:
        """TensorFlow takes paths for patterns; texts get the real one."""
        odd = self.path.with_name("a\\[b]*?")
        self.path.rename(odd)
        with model_folder.ModelFolder(odd) as folder:
            plain_path = folder.plain_path("file")
            self.assertEqual(set(plain_path) & set("\\[]*?"), set())
            self.assertEqual(
                folder.readable(f"no {plain_path}"), f"no {odd}/file"
            )

    def test_subfolder_belongs_to_the_open_folder(self) -> None:
        """It is looked for where the parent is now."""
        (self.path / "variables").mkdir()
        (self.path / "variables" / "index").write_bytes(b"index")
        with model_folder.ModelFolder(self.path) as folder:
            self.path.rename(self.path.with_name("2"))
            with model_folder.ModelFolder("variables", parent=folder) as sub:
                self.assertEqual(sub.read("index"), b"index")
                self.assertEqual(sub.path, str(self.path / "variables"))

    @parameterized.parameters("pipe", "folder")
    def test_what_is_not_a_regular_file_is_refused(self, kind: str) -> None:
        """It is not waited for, and the text says what it is."""
        odd = self.path / "odd"
        if kind == "pipe":
            os.mkfifo(odd)
        else:
            odd.mkdir()
        with model_folder.ModelFolder(self.path) as folder:
            self.assertFalse(folder.has_regular("odd"))
            for check in (folder.read, folder.require_regular):
                with self.assertRaisesRegex(
                    errors.FailedPreconditionError,
                    f"must be regular files; got a .*{kind}: {odd}",
                ):
                    check("odd")

    def test_shards_are_all_there_or_named(self) -> None:
        """The names of a whole checkpoint come in order."""
        with model_folder.ModelFolder(self.path) as folder:
            with self.assertRaisesRegex(errors.NotFoundError, r"x-\?\?\?\?\?"):
                folder.shards("x-")
            for name in ("x-00001-of-00002", "x-00000-of-00002"):
                (self.path / name).touch()
            self.assertEqual(
                folder.shards("x-"), ["x-00000-of-00002", "x-00001-of-00002"]
            )
            (self.path / "x-00000-of-00001").touch()
            with self.assertRaisesRegex(errors.DataLossError, r"\[1, 2\]"):
                folder.shards("x-")

    def test_folder_can_be_closed_twice(self) -> None:
        """A second close of a folder has no effect."""
        folder = model_folder.ModelFolder(self.path)
        folder.close()
        folder.close()

    @parameterized.parameters("gs://bucket/m/1", "s3://b", "file:///models/1")
    def test_url_is_refused(self, url: str) -> None:
        """A URL is not taken for a relative path."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"got the URL {url}"
        ):
            model_folder.ModelFolder(url)


class HintTest(parameterized.TestCase):
    """Tests of the hints for people who gave the wrong folder."""

    @parameterized.named_parameters(
        ("versions", ["00000001", "7"], "versions, such as 00000001, 7; give"),
        ("saved_model", ["saved_model.pb"], "holds a SavedModel"),
        ("export", ["export.meta"], "holds a session bundle"),
    )
    def test_hint_says_what_is_there(self, names: list[str], text: str) -> None:
        """The hint follows from the files in the folder."""
        path = self.create_tempdir().full_path
        for name in names:
            pathlib.Path(path, name).mkdir()
        self.assertIn(text, model_folder.hint(path))

    def test_nothing_is_said_of_an_empty_or_missing_folder(self) -> None:
        """There is nothing that would help."""
        path = self.create_tempdir().full_path
        self.assertEqual(model_folder.hint(path), "")
        self.assertEqual(model_folder.hint(f"{path}/missing"), "")

    def test_file_and_home_folder_are_explained(self) -> None:
        """A file is not its folder, and ~ is a matter of shells."""
        path = self.create_tempfile().full_path
        self.assertIn("give its folder", model_folder.hint(path))
        self.assertIn("Only a shell", model_folder.hint("~/models/1"))


class AssetNameTest(parameterized.TestCase):
    """Tests of the names of assets."""

    @parameterized.parameters("vocab.txt", "a/b.txt", "..txt")
    def test_name_within_the_folder_is_taken(self, name: str) -> None:
        """The folder of assets comes before it."""
        self.assertEqual(
            model_folder.asset_name("assets", name, "m"), f"assets/{name}"
        )

    @parameterized.parameters("/etc/hosts", "../x", "a/../../x", "..", "a\0b")
    def test_name_that_leads_out_of_the_folder_is_refused(
        self, name: str
    ) -> None:
        """No exporter writes such a name."""
        with self.assertRaises(errors.FailedPreconditionError):
            model_folder.asset_name("assets", name, "m")


if __name__ == "__main__":
    absltest.main()
