"""Tests for h2load: its command line, and what its log means."""

import dataclasses
import os

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import h2load, loads
from tensorflow_serving.util import errors

_TARGET = loads.Target("ours", "localhost:9000", "/a.B/C", "body", 47)

_SUMMARY = """
finished in 2.00s, 2.00 req/s, 0.00MB/s
requests: 4 total, 5 started, 4 done, 4 succeeded, 0 failed, 0 errored
status codes: 4 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 306B (306) total, 12B (12) headers (space 96.28%), {0}B ({0}) data
"""

_LOG = (
    b"1795426726000000\t200\t1000\n"
    b"1795426726000500\t200\t3000\n"
    b"1795426727000000\t200\t2000\n"
    b"1795426728000000\t200\t4000\n"
)


class H2LoadTest(parameterized.TestCase):
    """The program, without running it."""

    def _calls(
        self,
        log: bytes = _LOG,
        num_bytes: int = 4 * 47,
        size: int = 47,
        summary: str = _SUMMARY,
    ) -> loads.Calls:
        path = os.path.join(self.create_tempdir().full_path, "log")
        with open(path, "wb") as file:
            file.write(log)
        return h2load.to_calls(
            path,
            summary.format(num_bytes),
            dataclasses.replace(_TARGET, framed_answer_bytes=size),
            loads.ClosedLoad(2, 2.0),
        )

    def test_calls_are_those_of_the_log(self) -> None:
        """The times of calls are those of the log, from the first start on."""
        made = self._calls()
        np.testing.assert_allclose(
            made.latency_seconds, [0.001, 0.003, 0.002, 0.004]
        )
        np.testing.assert_allclose(
            made.done_seconds, [0.001, 0.0035, 1.002, 2.004]
        )
        self.assertEqual(made.begin_time, 1795426726.0)
        self.assertEqual(made.answers_per_second, 1.5)
        self.assertFalse(made.errors())

    def test_more_columns_do_not_matter(self) -> None:
        """Further columns, which h2load announces, are left alone."""
        made = self._calls(_LOG.replace(b"\n", b"\tmore\n"))
        np.testing.assert_array_equal(
            made.done_seconds, self._calls().done_seconds
        )

    def test_empty_log_is_an_error(self) -> None:
        """A load without connections names the server."""
        with self.assertRaisesRegex(errors.UnavailableError, "localhost:9000"):
            self._calls(b"")

    @parameterized.parameters(b"1\t200\n", b"a\tb\tc\n", b"1\t2\t3\n4\t5\n")
    def test_other_logs_are_errors(self, log: bytes) -> None:
        """A log of another form is an error, not a number."""
        with self.assertRaisesRegex(errors.DataLossError, "3 columns"):
            self._calls(log)

    def test_statuses_of_http_are_errors(self) -> None:
        """A status other than 200 is an error; -1 is a broken connection."""
        log = _LOG.replace(b"200\t1000", b"-1\t1000").replace(
            b"200\t3000", b"503\t3000"
        )
        made = self._calls(log)
        self.assertEqual(dict(made.errors()), {"UNAVAILABLE": 1, "UNKNOWN": 1})

    def test_grpc_errors_are_seen_by_their_missing_bytes(self) -> None:
        """Bytes for three answers to four calls mean that one has none."""
        made = self._calls(num_bytes=3 * 47)
        self.assertEqual(dict(made.errors()), {loads.NO_ANSWER: 1})

    @parameterized.parameters((1, 0), (0, 4))
    def test_answers_of_unknown_size_are_seen_if_there_is_none(
        self, num_bytes: int, num_unanswered: int
    ) -> None:
        """Without any bytes of answers, every call counts as failed."""
        made = self._calls(num_bytes=num_bytes, size=0)
        self.assertEqual(made.num_unanswered, num_unanswered)

    def test_summary_must_be_there(self) -> None:
        """A run without a summary is an error, as its errors are unknown."""
        with self.assertRaisesRegex(errors.DataLossError, "summary"):
            self._calls(summary="")

    def test_command_has_the_shape_of_the_load(self) -> None:
        """Calls share connections, but those of REST have one each."""
        load = loads.ClosedLoad(64, 0.5)
        command = h2load.command(_TARGET, load, "log")
        self.assertLessEqual({"-D500ms", "-c4", "-m16"}, {*command})
        self.assertEqual(command[-1], "http://localhost:9000/a.B/C")
        rest = dataclasses.replace(_TARGET, is_rest=True)
        command = h2load.command(rest, load, "log")
        self.assertLessEqual({"--h1", "-c64", "-m1"}, {*command})


if __name__ == "__main__":
    absltest.main()
