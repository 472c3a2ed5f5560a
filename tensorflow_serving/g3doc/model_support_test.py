"""Tests that model_support.md says of each model what its tests prove."""

import pathlib
import re
from collections.abc import Iterator

from absl.testing import absltest

from tensorflow_serving.test_util import model_zoo

_ROW = re.compile(r"\| (`.*`) \| .+ \| (.+) \| (.*?) ?\|")


def _rows() -> Iterator[tuple[str, str, str]]:
    """Yields name, support and error of each model of the table."""
    page = pathlib.Path(__file__).with_name("model_support.md")
    for line in page.read_text(encoding="utf-8").splitlines():
        if match := _ROW.fullmatch(line):
            names, support, error = match.groups()
            for name in names.split():
                yield name.strip("`"), support, error


class ModelSupportTest(absltest.TestCase):
    """The table of the page."""

    def test_page_says_what_becomes_of_each_model(self) -> None:
        """Every model is in the table once, and is served as it says there."""
        self.assertCountEqual(
            [(name, support) for name, support, _ in _rows()],
            [(each.name, each.support.value) for each in model_zoo.MODELS],
        )

    def test_page_has_the_text_of_each_error(self) -> None:
        """Whoever searches for the text of an error finds the page."""
        shown = {name: error for name, _, error in _rows()}
        for each in model_zoo.MODELS:
            with self.subTest(each.name):
                self.assertEqual(bool(each.error), bool(shown[each.name]))
                self.assertIn(each.text, shown[each.name])


if __name__ == "__main__":
    absltest.main()
