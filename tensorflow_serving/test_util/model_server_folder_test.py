"""Tests for model_server_folder."""

import os
import pathlib

from absl.testing import absltest
from google.protobuf import text_format

from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.test_util import model_server_folder


class ModelServerFolderTest(absltest.TestCase):
    """Tests without a server; those of the model server start one."""

    def setUp(self) -> None:
        """Makes a folder."""
        super().setUp()
        self.folder = model_server_folder.ModelServerFolder()
        self.enter_context(self.folder)

    def test_version_is_written_below_its_base_path(self) -> None:
        """It is half plus two, unless the test writes something else."""
        path = self.folder.write("m")
        self.assertEqual(path, f"{self.folder.base_path('m')}/1")
        self.assertIn("saved_model.pb", os.listdir(path))
        path = self.folder.write("m", 2, lambda path: os.mkdir(path))
        self.assertEqual(os.listdir(path), [])
        self.assertCountEqual(
            os.listdir(self.folder.base_path("m")), ["1", "2"]
        )

    def test_configuration_has_the_models_in_the_folder(self) -> None:
        """The file has the same models, with further fields if there are."""
        path = self.folder.write_config("a", more="version_labels { key: 'x' }")
        config = text_format.Parse(
            pathlib.Path(path).read_text(),
            model_server_config_pb2.ModelServerConfig(),
        )
        (model,) = config.model_config_list.config
        self.assertEqual(model.version_labels, {"x": 0})
        model.ClearField("version_labels")
        self.assertEqual(config, self.folder.config("a"))
        self.assertEqual(model.base_path, f"{self.folder.path}/a")

    def test_configuration_without_models_is_not_empty(self) -> None:
        """A server takes an empty file for one that is being written."""
        self.assertTrue(self.folder.config().ByteSize())


if __name__ == "__main__":
    absltest.main()
