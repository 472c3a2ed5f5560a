"""Tests for request_fuzzer, and of the model server with it."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import (
    fuzzed_server,
    request_cases,
    request_fuzzer,
)

_SERVER = os.path.join(
    os.path.dirname(os.path.dirname(__file__)),
    "model_servers",
    "tensorflow_model_server",
)
_NUM_REQUESTS = 1000
# Calls are merged, padded and split as often as possible.
_BATCHING = """
    max_batch_size { value: 8 }
    batch_timeout_micros { value: 1000 }
    max_enqueued_batches { value: 1000 }
    enable_large_batch_splitting { value: true }
    max_execution_batch_size { value: 8 }
    allowed_batch_sizes: [2, 8]
"""
# The allocator keeps some of what was freed.
_MAX_GROWTH_BYTES = 100 << 20


class RequestFuzzerTest(parameterized.TestCase):
    """Broken requests for each method, beside whole ones."""

    @parameterized.parameters(False, True)
    def test_broken_requests_get_errors_and_harm_no_other(
        self, is_batched: bool
    ) -> None:
        """Each answer is right for its own request, or a clean error."""
        flags = []
        if is_batched:
            path = self.create_tempfile(content=_BATCHING).full_path
            flags = ["--enable_batching", f"--batching_parameters_file={path}"]
        with (
            fuzzed_server.FuzzedServer(_SERVER, *flags) as fuzzed,
            request_fuzzer.RequestFuzzer(fuzzed) as fuzzer,
        ):
            first_bytes = fuzzed.usage().resident_bytes
            # Batching does not matter to the last one, which takes its time.
            for name in [*fuzzer.methods][: 6 if is_batched else 7]:
                with self.subTest(name):
                    outcome = fuzzer.run(name, range(_NUM_REQUESTS))
                    self.assertEqual(outcome.faults, [])
                    # Some of the broken ones mean something all the same.
                    self.assertGreater(outcome.counts["OK"], _NUM_REQUESTS // 5)
                    self.assertGreater(
                        outcome.counts["INVALID_ARGUMENT"], _NUM_REQUESTS // 5
                    )

            grown_bytes = fuzzed.usage().resident_bytes - first_bytes
            self.assertLess(grown_bytes, _MAX_GROWTH_BYTES)

    def test_answer_to_another_request_is_a_fault(self) -> None:
        """The number in a request is in its answer."""
        methods = request_cases.methods("/m")
        with (
            fuzzed_server.FuzzedServer(_SERVER) as fuzzed,
            request_fuzzer.RequestFuzzer(fuzzed) as fuzzer,
        ):
            for name in ("Predict", "Classify", "Regress", "MultiInference"):
                first, other = (
                    fuzzer.whole(name, number) for number in (12, 114)
                )
                is_right = methods[name].is_right
                self.assertTrue(is_right(*first))
                self.assertFalse(is_right(first[0], other[1]))


if __name__ == "__main__":
    absltest.main()
