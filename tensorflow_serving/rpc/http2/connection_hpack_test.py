"""RFC 7541 and RFC 9113, section 4.3: header blocks as bytes."""

from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frame_script, header_block
from tensorflow_serving.rpc.http2.frame_script import (
    REQUEST,
    data,
    headers,
    trailers,
)
from tensorflow_serving.rpc.http2.header_block import Field

# RFC 7541, appendix A: entries of the static table.
_GET, _POST, _ROOT, _HTTP = b"\x82", b"\x83", b"\x84", b"\x86"
_START = _POST + _HTTP + _ROOT
# 6.2.1: literals that are inserted; the newest entry has the index 62.
_INSERT_AB = b"\x40\x01a\x01b"
_INSERT_CD = b"\x40\x01c\x01d"
_FIRST, _SECOND = b"\xbe", b"\xbf"

# Blocks that can be decoded, and the fields in them beside _START.
_GOOD: Sequence[tuple[str, bytes, list[Field]]] = (
    ("static_entries", b"", []),
    ("indexed_last_static", b"\xbd", [(b"www-authenticate", b"")]),
    ("literal_inserted", _INSERT_AB, [(b"a", b"b")]),
    ("literal_not_inserted", b"\x00\x01a\x01b", [(b"a", b"b")]),
    ("literal_never_inserted", b"\x10\x01a\x01b", [(b"a", b"b")]),
    ("static_name_inserted", b"\x7a\x01x", [(b"user-agent", b"x")]),
    ("static_name_not_inserted", b"\x0f\x2b\x01x", [(b"user-agent", b"x")]),
    ("static_name_never_inserted", b"\x1f\x2b\x01x", [(b"user-agent", b"x")]),
    ("dynamic_entry", _INSERT_AB + _FIRST, [(b"a", b"b")] * 2),
    (
        "dynamic_entries",
        _INSERT_AB + _INSERT_CD + _SECOND + _FIRST,
        [(b"a", b"b"), (b"c", b"d"), (b"a", b"b"), (b"c", b"d")],
    ),
    (
        "dynamic_name",
        _INSERT_AB + b"\x7e\x01x",
        [(b"a", b"b"), (b"a", b"x")],
    ),
    ("duplicate_entries", _INSERT_AB * 2 + _SECOND, [(b"a", b"b")] * 3),
    ("empty_value", b"\x00\x01a\x00", [(b"a", b"")]),
    # 5.2, appendix C.4.1.
    (
        "huffman",
        b"\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
        [],
    ),
    ("huffman_value", b"\x00\x01a\x81\x1f", [(b"a", b"a")]),
    ("huffman_name", b"\x00\x81\x1f\x01b", [(b"a", b"b")]),
    ("huffman_empty", b"\x00\x01a\x80", [(b"a", b"")]),
    # 5.1: an integer may be longer than it need be.
    (
        "padded_integer",
        b"\x00\x7f\x82\x80\x00" + b"a" * 129 + b"\x00",
        [(b"a" * 129, b"")],
    ),
    # 4.4: an entry that is larger than the table empties it.
    (
        "entry_larger_than_the_table",
        _INSERT_AB
        + b"\x40\x01c\x7f\x81\x1f"
        + b"d" * 4_096
        + _INSERT_AB
        + _FIRST,
        [(b"a", b"b"), (b"c", b"d" * 4_096), (b"a", b"b"), (b"a", b"b")],
    ),
)

# Blocks that begin with a size of the table.
_SIZES: Sequence[tuple[str, bytes]] = (
    ("zero", b"\x20"),
    ("small", b"\x3e"),
    ("one_byte_more", b"\x3f\x00"),
    ("default", b"\x3f\xe1\x1f"),
    ("zero_and_default", b"\x20\x3f\xe1\x1f"),
    ("the_same_twice", b"\x3e\x3e"),
)

# Blocks that cannot be decoded; RFC 7541 calls each a decoding error.
_BAD: Sequence[tuple[str, bytes]] = (
    ("index_0", b"\x80"),
    ("index_beyond_the_static_table", b"\xbe"),
    ("index_beyond_the_dynamic_table", _INSERT_AB + _SECOND),
    ("index_far_beyond", b"\xff\xff\xff\x03"),
    ("name_beyond_the_table", b"\x7e\x01x"),
    ("name_not_inserted_beyond_the_table", b"\x0f\x2f\x01x"),
    ("index_that_is_cut_off", b"\xff"),
    ("index_that_is_cut_off_later", b"\xff\x80"),
    ("index_too_long", b"\xff\xff\xff\xff\xff\xff\x01"),
    ("index_of_many_zeros", b"\xff\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
    ("literal_without_name", b"\x40"),
    ("literal_without_value", b"\x40\x01a"),
    ("name_that_is_cut_off", b"\x40\x05ab"),
    ("value_that_is_cut_off", b"\x40\x01a\x05b"),
    ("length_too_long", b"\x00\x7f\xff\xff\xff\xff\xff\x0f"),
    ("length_that_is_huge", b"\x00\x7f\xff\xff\xff\xff\x0f"),
    ("length_that_is_cut_off", b"\x00\x7f\x80"),
    # 5.2: the end of a Huffman code.
    ("huffman_padding_of_eight_bits", b"\x00\x01a\x82\x1f\xff"),
    ("huffman_padding_of_zeros", b"\x00\x01a\x81\x18"),
    ("huffman_end_of_string", b"\x00\x01a\x84\xff\xff\xff\xff"),
    ("huffman_code_that_is_cut_off", b"\x00\x01a\x81\xfe"),
    # 4.2, 6.3: sizes of the table.
    ("size_too_large", b"\x3f\xe2\x1f"),
    ("size_far_too_large", b"\x3f\xff\xff\xff\xff\x07"),
    ("size_that_is_cut_off", b"\x3f"),
    ("size_behind_a_field", _GET + b"\x20"),
)


class HpackTest(parameterized.TestCase):
    """Header blocks."""

    @parameterized.named_parameters(*_GOOD)
    def test_block_is_decoded(self, block: bytes, found: list[Field]) -> None:
        """Every representation of a field is understood."""
        client = frame_script.Client()
        self.assertEqual(client.send(headers(1, _START + block)), [])
        self.assertEqual(list(client.streams[1].head.fields), found)

    @parameterized.named_parameters(*_SIZES)
    def test_size_of_the_table_may_begin_a_block(self, size: bytes) -> None:
        """A size up to that of our settings is allowed, more than once."""
        client = frame_script.Client()
        self.assertEqual(client.send(headers(1, size + _START)), [])
        self.assertIn(1, client.streams)

    @parameterized.named_parameters(*_BAD)
    def test_broken_block_ends_the_connection(self, block: bytes) -> None:
        """4.3: nothing after it can be decoded."""
        for found in frame_script.outcomes(headers(1, block)):
            self.assertEqual(found, ["GOAWAY 0 COMPRESSION_ERROR"])

    @parameterized.named_parameters(*_BAD)
    def test_broken_trailers_end_the_connection(self, block: bytes) -> None:
        """4.3: the block of trailers is decoded with the same table."""
        client = frame_script.Client()
        self.assertEqual(
            client.send(headers(1), trailers(1, block)),
            ["GOAWAY 1 COMPRESSION_ERROR"],
        )

    @parameterized.named_parameters(*_BAD)
    def test_broken_block_of_a_closed_stream_ends_the_connection(
        self, block: bytes
    ) -> None:
        """4.3: blocks on streams that were reset are decoded as well."""
        client = frame_script.Client()
        self.assertEqual(
            client.send(headers(1, b""), trailers(1, block)),
            ["RST_STREAM 1 PROTOCOL_ERROR", "GOAWAY 1 COMPRESSION_ERROR"],
        )

    def test_table_is_one_for_all_streams(self) -> None:
        """An entry of one request can be used by all later ones."""
        client = frame_script.Client()
        client.send(headers(1, _START + _INSERT_AB))
        client.send(headers(3, _START + _FIRST), headers(5, _START + _FIRST))
        self.assertEqual(list(client.streams[5].head.fields), [(b"a", b"b")])

    def test_size_of_zero_empties_the_table(self) -> None:
        """4.3 of RFC 7541: entries are removed at once."""
        client = frame_script.Client()
        client.send(headers(1, _START + _INSERT_AB))
        self.assertEqual(
            client.send(headers(3, b"\x20" + _START + _FIRST)),
            ["GOAWAY 1 COMPRESSION_ERROR"],
        )

    def test_entries_of_malformed_requests_stay(self) -> None:
        """A block is decoded to its end, whatever is in it."""
        client = frame_script.Client()
        client.send(headers(1, b"\x40\x01A\x01b" + _INSERT_AB))
        client.send(headers(3, _START + _FIRST))
        self.assertEqual(list(client.streams[3].head.fields), [(b"a", b"b")])

    @parameterized.parameters(*range(1, len(REQUEST)))
    def test_block_may_be_cut_anywhere(self, position: int) -> None:
        """6.10: frames end anywhere in a field, or in an integer."""
        client = frame_script.Client()
        client.send(
            headers(1, REQUEST[:position], 0),
            frame_script.continuation(1, REQUEST[position:]),
            data(1, b"abc", ends=True),
        )
        self.assertEqual(
            frame_script.states(client.streams.values()), ["1 ended 3 bytes"]
        )
        self.assertEqual(
            client.streams[1].head.path, b"/package.Service/Method"
        )

    def test_encoded_request_is_decoded(self) -> None:
        """The blocks that this package writes can be read by it."""
        client = frame_script.Client()
        client.send(
            headers(
                1,
                header_block.encode(
                    [
                        (b":method", b"POST"),
                        (b":scheme", b"http"),
                        (b":path", b"/" + b"a" * 300),
                    ]
                ),
            )
        )
        self.assertEqual(client.streams[1].head.path, b"/" + b"a" * 300)


if __name__ == "__main__":
    absltest.main()
