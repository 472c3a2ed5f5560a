"""Tests for access_log_lines."""

import json
import shlex

from absl.testing import absltest, parameterized

from tensorflow_serving.model_servers import access_log_lines

_Format = access_log_lines.Format
# 2026-11-26T09:30:00.125Z.
_TIME = 1_795_685_400.125
_HOSTILE = (
    'x"\n{"model": "forged"}',
    "a b\r\ntime=2026",
    "\x1b[2J\x00\x7f",
    "status=OK",
    "\u2028\x85\ud800",
    "modèle",
    "100%s %d %%",
    "",
    "x" * 100_000,
)


def _calls(common: str, own: str) -> access_log_lines.Calls:
    return access_log_lines.Calls(
        _TIME, (("model", common),), ("rows", "id"), [(1, own), (2, None)]
    )


class AccessLogLinesTest(parameterized.TestCase):
    """Lines of two calls that ended together."""

    def test_json_has_an_object_a_line(self) -> None:
        """A field that a call does not have is left out."""
        lines = access_log_lines.lines(_calls("m", "7"), _Format.JSON)
        time = "2026-11-26T09:30:00.125000Z"
        self.assertEqual(
            [json.loads(line) for line in lines],
            [
                {"time": time, "model": "m", "rows": 1, "id": "7"},
                {"time": time, "model": "m", "rows": 2},
            ],
        )

    def test_text_has_names_and_values(self) -> None:
        """Quotes are around what could be read in two ways."""
        lines = access_log_lines.lines(_calls("m", "a b"), _Format.TEXT)
        self.assertEqual(
            [*lines],
            [
                'time=2026-11-26T09:30:00.125000Z model=m rows=1 id="a b"',
                "time=2026-11-26T09:30:00.125000Z model=m rows=2",
            ],
        )

    @parameterized.parameters(*_HOSTILE)
    def test_nobody_forges_json(self, text: str) -> None:
        """A line has the same fields, whatever a caller writes in one."""
        first, _ = access_log_lines.lines(_calls(text, text), _Format.JSON)
        self.assertTrue(first.isascii() and first.isprintable())
        self.assertLess(len(first), 4_000)
        found = json.loads(first)
        self.assertEqual(found.pop("model"), text[:256])
        self.assertEqual(found.pop("id"), text[:256])
        self.assertEqual(list(found), ["time", "rows"])

    @parameterized.parameters(*_HOSTILE)
    def test_nobody_forges_text(self, text: str) -> None:
        """A line has as many words, with the names that it should have."""
        first, _ = access_log_lines.lines(_calls(text, text), _Format.TEXT)
        self.assertTrue(first.isascii() and first.isprintable())
        names = [word.partition("=")[0] for word in shlex.split(first)]
        self.assertEqual(names, ["time", "model", "rows", "id"])


if __name__ == "__main__":
    absltest.main()
