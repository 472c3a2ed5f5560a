"""Tests for reply_template."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import (
    message_frame,
    reply_template,
    response_blocks,
)


class ResponseTest(absltest.TestCase):
    """One whole response."""

    def test_response_has_three_frames(self) -> None:
        """A response is a header block, a message, and trailers that end it."""
        self.assertEqual(
            reply_template.response(5, b"message", b"trailers"),
            b"".join(
                (
                    len(response_blocks.HEAD).to_bytes(3, "big"),
                    b"\x01\x04\0\0\0\5",
                    response_blocks.HEAD,
                    b"\0\0\7\0\0\0\0\0\5message",
                    b"\0\0\x08\x01\x05\0\0\0\5trailers",
                )
            ),
        )


class ReplyTemplateTest(parameterized.TestCase):
    """Whole responses, made at once."""

    @parameterized.parameters(
        (b"", 1), (b"\x0a\x28", 40), (b"prefix", 0), (b"\0" * 300, 1_000)
    )
    def test_responses_are_those_made_one_by_one(
        self, prefix: bytes, row_bytes: int
    ) -> None:
        """Responses are equal byte by byte, for any number of streams."""
        stream_ids = [1, 255, 257, 65_537, 2**31 - 1]
        rows = np.random.default_rng(seed=1).integers(
            256, size=(len(stream_ids), row_bytes), dtype=np.uint8
        )
        template = reply_template.ReplyTemplate(prefix, row_bytes)
        rendered = template.render(stream_ids, rows)
        self.assertEqual(
            rendered,
            b"".join(
                reply_template.response(
                    stream_id,
                    message_frame.frame(prefix + row.tobytes()),
                    response_blocks.OK,
                )
                for stream_id, row in zip(stream_ids, rows, strict=True)
            ),
        )
        self.assertEqual(len(rendered), len(stream_ids) * template.num_bytes)
        self.assertEqual(
            template.data_bytes,
            message_frame.PREFIX_BYTES + len(prefix) + row_bytes,
        )

    def test_template_can_be_used_again(self) -> None:
        """Nothing of one batch is in the next one."""
        template = reply_template.ReplyTemplate(b"x", 2)
        template.render([3, 5], np.full((2, 2), 7, np.uint8))
        self.assertEqual(
            template.render([9], np.zeros((1, 2), np.uint8)),
            reply_template.response(
                9, message_frame.frame(b"x\0\0"), response_blocks.OK
            ),
        )


if __name__ == "__main__":
    absltest.main()
