"""Tests for load_outcome."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import calls, load_outcome, version_log
from tensorflow_serving.core import servable
from tensorflow_serving.util import errors

_OK = errors.StatusCode.OK
_UNAVAILABLE = errors.StatusCode.UNAVAILABLE


def _calls(*each: tuple[float, float, int, int]) -> calls.Calls:
    """Returns calls; each has a start, an end, a code and a version."""
    starts, ends, codes, versions = map(np.array, zip(*each, strict=True))
    return calls.Calls(
        begin_time=5000.0,
        seconds=10.0,
        latency_seconds=ends - starts,
        late_seconds=np.zeros(len(each)),
        done_seconds=ends,
        codes=codes,
        num_wrong=int(np.sum((codes == _OK) & (versions == -1))),
        begin_monotonic_seconds=100.0,
        versions=versions,
    )


class LoadOutcomeTest(parameterized.TestCase):
    """Calls while version 1 goes at 105 s and version 2 came at 103 s."""

    def _of(
        self, *each: tuple[float, float, int, int]
    ) -> load_outcome.LoadOutcome:
        return load_outcome.of(_calls(*each), {2: 103.0}, {1: 105.0})

    def test_right_answers_are_clean(self) -> None:
        """Either version may answer while both are there."""
        outcome = self._of(
            (1.0, 2.0, _OK, 1),
            (2.0, 3.5, _OK, 2),
            (4.0, 4.5, _OK, 1),
            (4.9, 5.5, _OK, 1),
            (6.0, 6.5, _OK, 2),
        )
        self.assertTrue(outcome.is_clean)
        self.assertEqual(outcome.num_calls, 5)
        self.assertAlmostEqual(outcome.p50_ms, 600.0)

    @parameterized.named_parameters(
        ("failed", (1.0, 2.0, _UNAVAILABLE, -1), "1 failed (UNAVAILABLE 1), 0"),
        ("wrong", (1.0, 2.0, _OK, -1), "1 wrong"),
        ("too_early", (2.0, 2.9, _OK, 2), "1 too early"),
        ("too_late", (5.1, 5.2, _OK, 1), "1 too late of 2 calls"),
    )
    def test_one_bad_call_is_seen(
        self, call: tuple[float, float, int, int], text: str
    ) -> None:
        """Among any number of good ones."""
        outcome = self._of((1.0, 2.0, _OK, 1), call)
        self.assertFalse(outcome.is_clean)
        self.assertIn(text, str(outcome))

    def test_end_counts_unless_the_version_came_again(self) -> None:
        """Such as one that was copied in slowly."""
        log = [
            (2.0, 1, servable.ManagerState.AVAILABLE),
            (3.0, 2, servable.ManagerState.END),
            (4.0, 2, servable.ManagerState.END),
            (5.0, 3, servable.ManagerState.END),
            (6.0, 2, servable.ManagerState.LOADING),
            (7.0, 1, servable.ManagerState.END),
            (8.0, 1, servable.ManagerState.END),
        ]
        entries = [
            version_log.Entry(
                time, servable.ServableId("a", version), state, ""
            )
            for time, version, state in log
        ]
        self.assertEqual(load_outcome.end_times(entries), {1: 7.0, 3: 5.0})


if __name__ == "__main__":
    absltest.main()
