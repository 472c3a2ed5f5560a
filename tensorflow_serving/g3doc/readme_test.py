"""Runs the commands of the front page."""

import pathlib

from absl.testing import absltest

from tensorflow_serving.test_util import markdown_session

_WORKSPACE = pathlib.Path(__file__).parents[2]


class ReadmeTest(absltest.TestCase):
    """The front page, as its readers follow it."""

    def test_minute_goes_as_it_shows(self) -> None:
        """Every command of the minute prints what the page says."""
        markdown_session.run(
            _WORKSPACE / "README.md",
            workspace=_WORKSPACE,
            folder=self.create_tempdir().full_path,
            sections=["A minute with it"],
        )


if __name__ == "__main__":
    absltest.main()
