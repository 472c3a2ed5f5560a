"""A picture of a terminal session: SVG, which pages show as an image."""

import dataclasses
import html
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from tensorflow_serving.test_util import markdown_session

_Kind = markdown_session.Kind

# Characters of a line of text, after the time.
_COLUMNS: Final = 92
_CHARACTER_PIXELS: Final = 7.2
_LINE_PIXELS: Final = 18
_MARGIN_PIXELS: Final = 16
# Where the text begins: after times of up to 999.9 s.
_TEXT_PIXELS: Final = 72
_COLORS: Final = {
    _Kind.COMMAND: "#e6edf3",
    _Kind.OUTPUT: "#7ee787",
    _Kind.LOG: "#8b949e",
}
_BACKGROUND: Final = "#0d1117"


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a session."""

    # Since the session began.
    seconds: float
    kind: markdown_session.Kind
    text: str


def svg(lines: Sequence[Line]) -> str:
    """Returns a picture of a session, with the time of each line."""
    rows = [row for line in lines for row in _rows(line)]
    width = _TEXT_PIXELS + _COLUMNS * _CHARACTER_PIXELS + _MARGIN_PIXELS
    height = 2 * _MARGIN_PIXELS + _LINE_PIXELS * len(rows)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
            f'height="{height}" font-family="monospace" font-size="12">',
            f'<rect width="100%" height="100%" rx="8" fill="{_BACKGROUND}"/>',
            *(
                f'<text y="{_MARGIN_PIXELS + _LINE_PIXELS * (number + 0.7):g}" '
                f'xml:space="preserve">{row}</text>'
                for number, row in enumerate(rows)
            ),
            "</svg>\n",
        ]
    )


def _rows(line: Line) -> Iterator[str]:
    """Yields the content of each row that a line takes."""
    prompt = "$ " if line.kind is _Kind.COMMAND else ""
    texts = [
        part
        for text in (prompt + line.text).splitlines()
        for part in textwrap.wrap(
            text, _COLUMNS, subsequent_indent="      ", break_on_hyphens=False
        )
    ]
    for number, text in enumerate(texts):
        time = "" if number else _span(_MARGIN_PIXELS, "#6e7681", line.seconds)
        yield time + _span(_TEXT_PIXELS, _COLORS[line.kind], text)


def _span(x: int, color: str, content: float | str) -> str:
    text = f"{content:5.1f}s" if isinstance(content, float) else content
    return f'<tspan x="{x}" fill="{color}">{html.escape(text)}</tspan>'
