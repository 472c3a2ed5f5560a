"""Runs the commands and examples of pages that are run as they stand."""

import pathlib
import shutil
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import markdown_code, markdown_session

_FOLDER = pathlib.Path(__file__).parent


class PagesTest(parameterized.TestCase):
    """Pages, as their readers follow them."""

    @parameterized.parameters(
        "access",
        "api_rest",
        "batching",
        "migrating_from_ovms",
        "request_logging",
        "serving_with_model_server",
        "signature_defs",
    )
    def test_page_does_as_it_shows(self, name: str) -> None:
        """Every command prints, and every example returns, what it says."""
        page = _FOLDER / f"{name}.md"
        if "$ curl" in page.read_text("utf-8") and not shutil.which("curl"):
            self.skipTest("there is no curl")
        markdown_session.run(
            page,
            workspace=_FOLDER.parents[1],
            folder=self.create_tempdir().full_path,
        )

    @parameterized.parameters("custom_servable", "custom_source")
    def test_examples_run(self, name: str) -> None:
        """They run as they stand, one after the other."""
        folder = self.create_tempdir().full_path
        with mock.patch.object(tempfile, "tempdir", folder):
            markdown_code.run(_FOLDER / f"{name}.md")


if __name__ == "__main__":
    absltest.main()
