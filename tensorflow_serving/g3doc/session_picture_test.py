"""Tests for session_picture."""

from xml.etree import ElementTree

from absl.testing import absltest

from tensorflow_serving.g3doc import session_picture
from tensorflow_serving.test_util import markdown_session

_Kind = markdown_session.Kind
_SVG = "{http://www.w3.org/2000/svg}"


def _texts(*lines: session_picture.Line) -> list[str]:
    """Returns the rows of a picture, as somebody reads them."""
    root = ElementTree.fromstring(session_picture.svg(lines))
    return ["".join(row.itertext()) for row in root.iter(f"{_SVG}text")]


class SessionPictureTest(absltest.TestCase):
    """A session becomes rows of text."""

    def test_lines_have_times_and_commands_a_prompt(self) -> None:
        """Each line shows when it came, and what was typed."""
        self.assertEqual(
            _texts(
                session_picture.Line(0.0, _Kind.COMMAND, "echo '<a & b>'"),
                session_picture.Line(0.04, _Kind.OUTPUT, "<a & b>"),
                session_picture.Line(61.25, _Kind.LOG, "loaded"),
            ),
            ["  0.0s$ echo '<a & b>'", "  0.0s<a & b>", " 61.2sloaded"],
        )

    def test_long_lines_are_wrapped(self) -> None:
        """A long line goes on in rows without a time, whole words each."""
        text = " ".join(["--flag=a-b"] * 12)
        first, second = _texts(session_picture.Line(1.0, _Kind.COMMAND, text))
        self.assertEqual(
            first.removeprefix("  1.0s$ ") + second.replace("      ", " "), text
        )

    def test_session_without_output_is_a_picture(self) -> None:
        """An output without lines takes no row."""
        self.assertEqual(
            _texts(session_picture.Line(1.0, _Kind.OUTPUT, "")), []
        )


if __name__ == "__main__":
    absltest.main()
