"""Ten thousand conversations, most of them broken."""

import collections
import random

from absl.testing import absltest

from tensorflow_serving.rpc.http2 import fuzz_check, fuzz_inputs

_NUM_INPUTS = 10_000
_SEED = 1


class FuzzCheckTest(absltest.TestCase):
    """Tests of the invariants that hold for all inputs."""

    def test_ten_thousand_inputs_break_nothing(self) -> None:
        """All facts hold, and the inputs reach all kinds of ends.

        fuzz_connection with the same seed names the input that breaks one.
        """
        inputs = fuzz_inputs.FuzzInputs(_SEED)
        random_ = random.Random(_SEED)
        ends: collections.Counter[str] = collections.Counter()
        for _ in range(_NUM_INPUTS):
            data, is_valid = inputs.next()
            outcome = fuzz_check.check(data, random_)
            if is_valid:
                self.assertEqual((outcome.fault, outcome.num_resets), ("", 0))
            ends[outcome.fault.partition(":")[0]] += 1
        for code in (
            "",
            "PROTOCOL_ERROR",
            "FLOW_CONTROL_ERROR",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "COMPRESSION_ERROR",
            "ENHANCE_YOUR_CALM",
        ):
            self.assertGreater(ends[code], 0, code)


if __name__ == "__main__":
    absltest.main()
