"""Tests for record_session."""

from absl.testing import absltest, parameterized

from tensorflow_serving.g3doc import record_session
from tensorflow_serving.test_util import markdown_session

_Kind = markdown_session.Kind


class ShownLineTest(parameterized.TestCase):
    """A picture leaves out lines that are about the machine."""

    @parameterized.named_parameters(
        ("command", _Kind.COMMAND, "ls /tmp", "ls /tmp"),
        ("build", _Kind.COMMAND, "bazel build //a:b", ""),
        ("output", _Kind.OUTPUT, '{"y": [1]}', '{"y": [1]}'),
        ("warning", _Kind.OUTPUT, "WARNING:tensorflow:old", ""),
        (
            "log",
            _Kind.LOG,
            "I1126 04:17:01.022495 1406 loads.py:225] Loaded",
            "Loaded",
        ),
        (
            "log_of_tensorflow",
            _Kind.LOG,
            "I0000 00:00:1795666616.851357   12288 port.cc:153] oneDNN",
            "",
        ),
        (
            "log_of_the_start_of_tensorflow",
            _Kind.LOG,
            "WARNING: All log messages before absl::InitializeLog()",
            "",
        ),
        (
            "log_in_an_output",
            _Kind.OUTPUT,
            "W1126 04:16:55.570707 1399 saver.py:1254] now on by default.",
            "",
        ),
    )
    def test_shown_line(
        self, kind: markdown_session.Kind, line: str, shown: str
    ) -> None:
        """A log line loses its prefix, and one of TensorFlow is left out."""
        self.assertEqual(record_session.shown_line(kind, line), shown)


if __name__ == "__main__":
    absltest.main()
