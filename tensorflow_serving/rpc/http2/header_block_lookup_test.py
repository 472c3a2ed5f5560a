"""Blocks that are looked up, against a decoder that decodes all of them."""

import itertools
from collections.abc import Iterable

import hpack
import hypothesis
from absl.testing import absltest, parameterized
from hypothesis import strategies

from tensorflow_serving.rpc.http2 import frames, header_block

_START = b"\x83\x86\x84"
# Each entry that is inserted counts 34 bytes; RFC 7541, 4.1.
_INSERT_AB = _START + b"\x40\x01a\x01b"
_INSERT_CD = _START + b"\x40\x01c\x01d"
_NEWEST = _START + b"\xbe"
_SECOND = _START + b"\xbf"
# Sizes of the table: for no entry, one, two, and as it is by default.
_SIZE_30 = b"\x3e" + _START
_SIZE_40 = b"\x3f\x09" + _START
_SIZE_68 = b"\x3f\x25" + _START
_SIZE_4096 = b"\x3f\xe1\x1f" + _START

_BLOCKS = (
    _INSERT_AB,
    _INSERT_CD,
    _NEWEST,
    _SECOND,
    _SIZE_30,
    _SIZE_40,
    _SIZE_4096,
)
# So many in a row show each mistake that a look-up can make.
_NUM_BLOCKS = 5

_REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a"),
)


class LookupTest(parameterized.TestCase):
    """The same fields, with and without looking up."""

    @parameterized.named_parameters(
        ("from_the_default_size", ()),
        ("from_a_table_for_two_entries", (_SIZE_68,)),
    )
    def test_lookup_is_equal_to_decoding(self, before: Iterable[bytes]) -> None:
        """All short sequences of blocks mean what a decoder makes of them."""
        for blocks in itertools.product(_BLOCKS, repeat=_NUM_BLOCKS):
            self._compare([*before, *blocks])

    def _compare(self, blocks: Iterable[bytes]) -> None:
        subject = header_block.Decoder(20_000, 20_000)
        reference = hpack.Decoder(20_000)
        for block in blocks:
            try:
                expected = list(reference.decode(block, raw=True))
            except hpack.HPACKError:
                with self.assertRaises(frames.Http2ConnectionError):
                    subject.decode(block)
                return
            self.assertEqual(list(subject.decode(block).fields), expected[3:])

    @hypothesis.settings(
        derandomize=True, deadline=None, database=None, max_examples=500
    )
    @hypothesis.given(
        strategies.lists(
            strategies.tuples(
                strategies.sampled_from([None, None, None, 0, 60, 200, 4_096]),
                strategies.integers(0, 6),
                strategies.booleans(),
                strategies.booleans(),
            ),
            max_size=40,
        )
    )
    def test_requests_of_an_encoder_are_read_as_they_were(
        self, requests: list[tuple[int | None, int, bool, bool]]
    ) -> None:
        """An encoder may insert what it likes, and resize its table."""
        subject = header_block.Decoder(20_000, 20_000)
        encoder = hpack.Encoder()
        for size, number, has_timeout, has_trailers in requests:
            if size is not None:
                encoder.header_table_size = size
            fields = [(b"x-number", b"%d" % number * 10)]
            if has_timeout:
                fields.append((b"grpc-timeout", b"%dm" % number))
            block = encoder.encode([*_REQUEST, *fields])
            self.assertEqual(list(subject.decode(block).fields), fields)
            if has_trailers:
                self.assertTrue(subject.decode_trailers(encoder.encode(fields)))


if __name__ == "__main__":
    absltest.main()
