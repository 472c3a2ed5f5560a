"""Runs the commands and examples of batching.md."""

import pathlib

from absl.testing import absltest

from tensorflow_serving.test_util import markdown_session

_FOLDER = pathlib.Path(__file__).parent


class BatchingTest(absltest.TestCase):
    """The page, as its readers follow it."""

    def test_page_does_as_it_shows(self) -> None:
        """Every command prints, and every example returns, what it says."""
        markdown_session.run(
            _FOLDER / "batching.md",
            workspace=_FOLDER.parents[1],
            folder=self.create_tempdir().full_path,
        )


if __name__ == "__main__":
    absltest.main()
