"""Runs the commands of the page about the REST API."""

import pathlib
import shutil

from absl.testing import absltest

from tensorflow_serving.test_util import held_port, markdown_session

_PAGE = pathlib.Path(__file__).parent / "api_rest.md"


class ApiRestTest(absltest.TestCase):
    """The page, as its readers follow it."""

    def test_page_does_as_it_shows(self) -> None:
        """Every request gets the very answer of the page."""
        if shutil.which("curl") is None:
            self.skipTest("there is no curl")
        with held_port.hold() as port:
            markdown_session.run(
                _PAGE,
                workspace=_PAGE.parents[2],
                folder=self.create_tempdir().full_path,
                meanings={"8501": str(port)},
            )


if __name__ == "__main__":
    absltest.main()
