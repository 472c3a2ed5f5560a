"""Tests for rest_fuzzer, and of the REST API with it."""

import os

from absl.testing import absltest

from tensorflow_serving.test_util import fuzzed_server, rest_fuzzer

_SERVER = os.path.join(
    os.path.dirname(os.path.dirname(__file__)),
    "model_servers",
    "tensorflow_model_server",
)
_NUM_REQUESTS = 1000
_MAX_CLOSING = 5
# The allocator keeps some of what was freed.
_MAX_GROWTH_BYTES = 100 << 20


class RestFuzzerTest(absltest.TestCase):
    """Broken requests of HTTP, beside whole ones."""

    def test_broken_requests_get_errors_and_harm_no_other(self) -> None:
        """Each answer is right for its own request, or a clean error."""
        with fuzzed_server.FuzzedServer(_SERVER) as fuzzed:
            before = fuzzed.usage()
            with rest_fuzzer.RestFuzzer(fuzzed) as fuzzer:
                outcome = fuzzer.run(range(_NUM_REQUESTS))
            self.assertEqual(outcome.faults, [])
            # Some of the broken ones mean something all the same.
            self.assertGreater(outcome.counts["200"], _NUM_REQUESTS // 5)
            self.assertGreater(outcome.counts["400"], _NUM_REQUESTS // 5)
            after = fuzzed.usage()
            self.assertLess(
                after.resident_bytes - before.resident_bytes, _MAX_GROWTH_BYTES
            )
            # The server may not have seen yet that the last ones are closed.
            self.assertLess(
                after.num_descriptors, before.num_descriptors + _MAX_CLOSING
            )


if __name__ == "__main__":
    absltest.main()
