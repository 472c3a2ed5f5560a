"""Tests for markdown_code."""

import pathlib
import traceback

from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import markdown_code
from tensorflow_serving.util import errors

_TWO_BLOCKS = """# A page

```python
x = 1

y = 2
```

    $ ls

```sh
ls
```

```python
z = 3
```
"""


class MarkdownCodeTest(parameterized.TestCase):
    """Pages with examples."""

    def _page(self, text: str) -> pathlib.Path:
        return pathlib.Path(self.create_tempfile("page.md", text).full_path)

    def _failure(self, text: str) -> traceback.FrameSummary:
        """Returns where the code of a page failed."""
        page = self._page(text)
        try:
            markdown_code.run(page)
        except ZeroDivisionError as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.assertEqual(where.filename, str(page))
            return where
        self.fail("the code must fail")

    def test_blocks_have_the_numbers_of_their_lines(self) -> None:
        """Blocks have their line numbers; other languages are left out."""
        self.assertEqual(
            markdown_code.python_blocks(self._page(_TWO_BLOCKS)),
            [
                markdown_code.Block(4, "x = 1\n\ny = 2\n"),
                markdown_code.Block(16, "z = 3\n"),
            ],
        )

    def test_blocks_see_what_came_before(self) -> None:
        """All blocks of a page are one module."""
        page = self._page(
            "```python\nx = 1\ndef f():\n    return x\n```\n"
            "```python\nx = 2\nassert f() == 2\n1 / 0\n```\n"
        )
        with self.assertRaises(ZeroDivisionError):
            markdown_code.run(page)

    def test_failure_names_page_and_line(self) -> None:
        """A failure in any block names the page and shows the line."""
        where = self._failure(
            "# Title\n\n```python\nx = 0\n```\n\n"
            "Text.\n\n```python\n1 / x\n```\n"
        )
        self.assertEqual((where.lineno, where.line), (10, "1 / x"))

    def test_failure_in_a_function_names_its_line(self) -> None:
        """A failure in a function names its line, not the one of the call."""
        where = self._failure(
            "```python\ndef f():\n    return 1 / 0\n```\n```python\nf()\n```\n"
        )
        self.assertEqual((where.name, where.lineno), ("f", 3))

    def test_false_assertion_fails(self) -> None:
        """An assert is what most examples end with."""
        with self.assertRaises(AssertionError):
            markdown_code.run(self._page("```python\nassert 1 == 2\n```\n"))

    def test_syntax_error_names_page_and_line(self) -> None:
        """A syntax error has page and line, though nothing of the block ran."""
        page = self._page("text\n\n```python\nx = 1\ny = (\n```\n")
        with self.assertRaises(SyntaxError) as raised:
            markdown_code.run(page)
        self.assertEqual(raised.exception.filename, str(page))
        self.assertEqual(raised.exception.lineno, 5)

    def test_classes_are_of_the_page(self) -> None:
        """A dataclass can be made, which may ask for its module."""
        markdown_code.run(
            self._page(
                "```python\nimport dataclasses\n\n"
                "@dataclasses.dataclass\nclass A:\n    x: 'int' = 1\n\n"
                "assert A().x == 1 and A.__module__ == 'page.md'\n```\n"
            )
        )

    @parameterized.named_parameters(
        ("without_blocks", "text\n", "must have a block of python; got none"),
        (
            "other_languages",
            "```sh\nls\n```\n",
            "must have a block of python; got none",
        ),
        ("open_block", "text\n```python\nx = 1\n", r"got none: .*page\.md:2"),
        (
            "indented_block",
            "- item\n\n  ```python\n  x = 1\n  ```\n",
            r"got spaces: .*page\.md:3",
        ),
    )
    def test_page_whose_code_would_not_run_is_refused(
        self, text: str, error: str
    ) -> None:
        """No example is passed over in silence."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, error):
            markdown_code.run(self._page(text))


if __name__ == "__main__":
    absltest.main()
