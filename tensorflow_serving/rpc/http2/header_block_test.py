"""Tests for header fields of requests, and for those of responses."""

from collections.abc import Sequence

import hpack
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frames, header_block

_POST: Sequence[header_block.Field] = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a"),
)
_EMPTY_SIZE = b"\x20"
# RFC 7541, 6.3: 5 bits hold up to 30; larger sizes go on in the next bytes.
_SMALL_SIZE = b"\x3e"
_DEFAULT_SIZE = b"\x3f\xe1\x1f"
# RFC 7541, 6.2.1: a literal that is inserted into the table.
_INSERTION = b"\x40\x01a\x01b"
# The first entry of the table behind the 61 static ones.
_NEWEST = b"\xbe"


def _decoder(
    max_list: int = 1000, max_decoded: int = 5000
) -> header_block.Decoder:
    return header_block.Decoder(max_list, max_decoded)


class DecoderTest(parameterized.TestCase):
    """Blocks of a connection."""

    def test_repeated_block_is_the_same_head(self) -> None:
        """Requests with the same header block share their head."""
        decoder = _decoder()
        block = header_block.encode(_POST)
        self.assertIs(decoder.decode(block), decoder.decode(block))

    def test_space_around_a_value_is_removed(self) -> None:
        """Clients of gRPC send it, and no layer above wants it."""
        fields = [*_POST, (b"a", b" b\t"), (b"c", b" ")]
        head = _decoder().decode(header_block.encode(fields))
        self.assertFalse(head.is_malformed)
        self.assertEqual(list(head.fields), [(b"a", b"b"), (b"c", b"")])

    def test_block_after_an_insertion_is_decoded_again(self) -> None:
        """The same bytes mean another field when the table has changed."""
        decoder = _decoder()
        start = header_block.encode(_POST)
        decoder.decode(start + b"\x40\x01a\x01b")
        first = decoder.decode(start + _NEWEST)
        decoder.decode(start + b"\x40\x01c\x01d")
        second = decoder.decode(start + _NEWEST)
        self.assertEqual(list(first.fields), [(b"a", b"b")])
        self.assertEqual(list(second.fields), [(b"c", b"d")])

    def test_repeated_size_update_has_its_effect(self) -> None:
        """A block that sets the size of the table does so each time.

        An entry that does not fit in the table empties it (RFC 7541, 4.4), so
        that there is no newest entry.
        """
        decoder = _decoder()
        start = header_block.encode(_POST)
        decoder.decode(_SMALL_SIZE + start)
        decoder.decode(_DEFAULT_SIZE + start)
        decoder.decode(_SMALL_SIZE + start)
        decoder.decode(start + _INSERTION)
        with self.assertRaises(frames.Http2ConnectionError):
            decoder.decode(start + _NEWEST)

    def test_insertion_without_effect_is_not_remembered(self) -> None:
        """An entry that is too large for a table fits in a larger one."""
        decoder = _decoder()
        start = header_block.encode(_POST)
        decoder.decode(_SMALL_SIZE + start)
        decoder.decode(start + _INSERTION)
        decoder.decode(_DEFAULT_SIZE + start)
        decoder.decode(start + _INSERTION)
        self.assertEqual(
            list(decoder.decode(start + _NEWEST).fields), [(b"a", b"b")]
        )

    def test_removed_entry_is_not_remembered(self) -> None:
        """A block with an entry that was removed since cannot be decoded."""
        decoder = _decoder()
        start = header_block.encode(_POST)
        decoder.decode(start + _INSERTION)
        decoder.decode(start + _NEWEST)
        decoder.decode(_EMPTY_SIZE + start)
        with self.assertRaises(frames.Http2ConnectionError):
            decoder.decode(start + _NEWEST)

    def test_trailers_change_the_table_as_well(self) -> None:
        """An entry that trailers insert can be used by the next request."""
        decoder = _decoder()
        start = header_block.encode(_POST)
        decoder.decode(start + _INSERTION)
        decoder.decode(start + _NEWEST)
        self.assertTrue(decoder.decode_trailers(b"\x40\x01c\x01d"))
        self.assertEqual(
            list(decoder.decode(start + _NEWEST).fields), [(b"c", b"d")]
        )

    def test_many_different_blocks_are_right(self) -> None:
        """More blocks than are remembered are decoded all the same."""
        decoder = _decoder()
        for number in range(200):
            path = b"/%d" % number
            block = header_block.encode(
                [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path)]
            )
            self.assertEqual(decoder.decode(block).path, path)

    def test_large_list_is_marked(self) -> None:
        """Each field counts with its name, its value and 32 bytes more."""
        block = header_block.encode([*_POST, (b"a", b"b" * 100)])
        size = sum(len(n) + len(v) + 32 for n, v in _POST) + 101 + 32
        self.assertFalse(_decoder(max_list=size).decode(block).is_too_large)
        self.assertTrue(_decoder(max_list=size - 1).decode(block).is_too_large)

    def test_very_large_list_ends_the_connection(self) -> None:
        """A list that is larger than what is decoded at all is refused."""
        decoder = _decoder(max_list=100, max_decoded=100)
        with self.assertRaisesRegex(
            frames.Http2ConnectionError, "must be much smaller"
        ) as raised:
            decoder.decode(header_block.encode(_POST))
        self.assertEqual(
            raised.exception.code, frames.ErrorCode.ENHANCE_YOUR_CALM
        )

    @parameterized.named_parameters(
        ("plain", [(b"a", b"b")], True),
        ("none", [], True),
        ("pseudo", [(b":path", b"/")], False),
        ("upper_case", [(b"A", b"b")], False),
        ("of_one_hop", [(b"connection", b"close")], False),
        ("line_break", [(b"a", b"b\nc")], False),
    )
    def test_trailers_are_checked(
        self, fields: list[header_block.Field], is_valid: bool
    ) -> None:
        """Trailers follow the rules of header fields, without pseudo-fields."""
        self.assertEqual(
            _decoder().decode_trailers(header_block.encode(fields)), is_valid
        )


class ReadTest(parameterized.TestCase):
    """The rules for the fields of a request."""

    def test_fields_of_a_request_are_read(self) -> None:
        """A head has what is special, and the fields in their order."""
        head = header_block.read(
            [*_POST, (b"b", b"1"), (b"content-length", b"12"), (b"a", b"2")]
        )
        self.assertEqual(
            (head.method, head.path, head.content_length, list(head.fields)),
            (
                b"POST",
                b"/a",
                12,
                [(b"b", b"1"), (b"content-length", b"12"), (b"a", b"2")],
            ),
        )
        self.assertFalse(head.is_malformed)

    def test_request_need_not_have_a_length(self) -> None:
        """Without content-length, any length is right."""
        self.assertIsNone(header_block.read(_POST).content_length)

    def test_connect_has_no_path(self) -> None:
        """CONNECT is a request without scheme and path."""
        head = header_block.read(
            [(b":method", b"CONNECT"), (b":authority", b"a:1")]
        )
        self.assertFalse(head.is_malformed)
        self.assertEqual((head.method, head.path), (b"CONNECT", b""))


class EncodeTest(parameterized.TestCase):
    """Blocks of responses."""

    @parameterized.parameters(0, 1, 126, 127, 128, 254, 255, 256, 20_000)
    def test_peer_reads_what_was_written(self, size: int) -> None:
        """Any decoder of HPACK reads the fields, whatever their lengths."""
        fields = [(b":status", b"200"), (b"a" * (size or 1), b"b" * size)]
        decoded = hpack.Decoder().decode(header_block.encode(fields), raw=True)
        self.assertEqual(list(decoded), fields)

    def test_block_leaves_the_table_of_the_peer_alone(self) -> None:
        """A block means the same wherever it is sent."""
        decoder = hpack.Decoder()
        decoder.decode(
            header_block.encode([(b":status", b"200"), (b"a", b"b")])
        )
        self.assertFalse(decoder.header_table.dynamic_entries)

    def test_other_status_is_written_in_full(self) -> None:
        """A status other than 200 is a literal."""
        decoded = hpack.Decoder().decode(
            header_block.encode([(b":status", b"404")]), raw=True
        )
        self.assertEqual(list(decoded), [(b":status", b"404")])

    def test_empty_table_is_a_valid_beginning(self) -> None:
        """A block may begin with the size update that empties the table."""
        decoder = hpack.Decoder()
        decoder.decode(
            header_block.EMPTY_TABLE + header_block.encode([(b"a", b"b")])
        )
        self.assertEqual(decoder.header_table_size, 0)


if __name__ == "__main__":
    absltest.main()
