"""Tests for call; the servers have tests of calls."""

from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest

from tensorflow_serving.rpc import call as call_lib


class ReplyAllTest(absltest.TestCase):
    """Answers to several calls at once."""

    def test_number_of_responses_must_be_that_of_the_calls(self) -> None:
        """An error reaches the service, and no call is answered."""
        calls: Any = [mock.create_autospec(call_lib.Call) for _ in range(2)]
        rows = call_lib.Rows(b"x", np.zeros([3, 4], np.uint8))
        for responses in ([b"y"], rows):
            with self.assertRaisesRegex(ValueError, "must be 2.*; got [13]$"):
                call_lib.reply_all(calls, responses)
        calls[0].reply_together.assert_not_called()

    def test_rows_are_messages_with_one_prefix(self) -> None:
        """The prefix comes first, and then the bytes of the row."""
        rows = call_lib.Rows(b"p", np.array([[1, 2], [3, 4]], np.uint8))
        self.assertEqual(rows.messages(), [b"p\x01\x02", b"p\x03\x04"])


if __name__ == "__main__":
    absltest.main()
