"""Runs the examples of custom_source.md."""

import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.test_util import markdown_code


class CustomSourceTest(absltest.TestCase):
    """The page."""

    def test_examples_run(self) -> None:
        """They run as they stand, one after the other."""
        folder = self.create_tempdir().full_path
        with mock.patch.object(tempfile, "tempdir", folder):
            markdown_code.run(
                pathlib.Path(__file__).with_name("custom_source.md")
            )


if __name__ == "__main__":
    absltest.main()
