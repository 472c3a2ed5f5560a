"""Tests for response_blocks, which are decoded by another library."""

import urllib.parse

import hpack
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import call, response_blocks
from tensorflow_serving.util import errors


def _fields(block: bytes) -> dict[bytes, bytes]:
    """Returns the fields of a block, which must be in no table."""
    decoder = hpack.Decoder()
    fields = list(decoder.decode(block, raw=True))
    assert not decoder.header_table.dynamic_entries
    found = {bytes(name): bytes(value) for name, value in fields}
    assert len(found) == len(fields)
    return found


def _message(text: str) -> bytes:
    block = response_blocks.failure(errors.AbortedError(text))
    return _fields(block)[b"grpc-message"]


class ResponseBlocksTest(parameterized.TestCase):
    """Header blocks of responses."""

    def test_head_and_trailers_of_a_good_response(self) -> None:
        """The head has the content type, the trailers the status."""
        self.assertEqual(
            _fields(response_blocks.HEAD),
            {
                b":status": b"200",
                b"content-type": b"application/grpc",
                b"grpc-accept-encoding": b"identity,deflate,gzip",
            },
        )
        self.assertEqual(_fields(response_blocks.OK), {b"grpc-status": b"0"})

    def test_trailers_may_have_metadata(self) -> None:
        """Binary values are base64 without padding."""
        block = response_blocks.ok([("a", " x y "), ("b-bin", b"\0\1")])
        self.assertEqual(
            _fields(block),
            {b"grpc-status": b"0", b"a": b"x y", b"b-bin": b"AAE"},
        )

    def test_failure_alone_is_a_whole_response(self) -> None:
        """Head and trailers are one block when there is no message."""
        fields = _fields(response_blocks.failure(errors.NotFoundError("no")))
        self.assertEqual(fields[b":status"], b"200")
        self.assertEqual(fields[b"content-type"], b"application/grpc")
        self.assertEqual(fields[b"grpc-status"], b"5")
        self.assertEqual(fields[b"grpc-message"], b"no")

    def test_failure_behind_messages_is_trailers(self) -> None:
        """The head was sent before."""
        block = response_blocks.failure(
            errors.NotFoundError("no"), [("a", "b")], is_begun=True
        )
        self.assertEqual(
            _fields(block),
            {b"grpc-status": b"5", b"grpc-message": b"no", b"a": b"b"},
        )

    @parameterized.parameters(range(128))
    def test_every_character_can_be_in_a_text(self, code: int) -> None:
        """All printable ASCII but the percent sign stands for itself."""
        encoded = _message(f"a{chr(code)}b")
        stands = 0x20 <= code <= 0x7E and chr(code) != "%"
        self.assertEqual(encoded == b"a%cb" % code, stands)
        self.assertRegex(encoded, rb"^[\x20-\x7e]+$")
        self.assertEqual(urllib.parse.unquote_to_bytes(encoded), b"a%cb" % code)

    def test_every_byte_of_utf8_is_escaped(self) -> None:
        """Escapes have two hexadecimal digits in upper case."""
        self.assertEqual(_message("\xe4\u20ac"), b"%C3%A4%E2%82%AC")

    @parameterized.parameters("file \udcff", "\ud800", "a\udfffb")
    def test_text_with_surrogates_can_be_sent(self, text: str) -> None:
        """The names of files that are no UTF-8 become such texts."""
        decoded = urllib.parse.unquote_to_bytes(_message(text)).decode()
        self.assertEqual(len(decoded), len(text))

    @parameterized.parameters(("x",), ("\u20ac",), ("\n",), ("\udcff",))
    def test_long_text_is_cut(self, character: str) -> None:
        """Clients take 8 KiB of header fields by default, and not more."""
        encoded = _message(character * 20_000)
        self.assertLess(len(encoded), 4_000)
        decoded = urllib.parse.unquote_to_bytes(encoded)
        self.assertLessEqual(len(decoded), 1_024)
        decoded.decode()  # no character is cut in two

    @parameterized.parameters(
        ("",), ("A",), ("a b",), ("\xe4",), (":path",), ("grpc-status",), (5,),
    )  # fmt: skip
    def test_bad_key_is_an_error(self, key: str) -> None:
        """A service cannot write fields of the protocol."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "key of metadata must be"
        ):
            response_blocks.ok([(key, "x")])
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "key of metadata must be"
        ):
            response_blocks.failure(errors.AbortedError("no"), [(key, "x")])

    @parameterized.parameters(
        (("a", "line\nline"),),
        (("a", "\xe4"),),
        (("a", b"bytes"),),
        (("a", 5),),
        (("a-bin", "text"),),
        (("a", "\udcff"),),
    )
    def test_bad_value_is_an_error(self, pair: tuple[str, str]) -> None:
        """The error names the key, and does not show the value."""
        metadata: call.Metadata = [pair]
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"metadata {pair[0]} must be"
        ):
            response_blocks.ok(metadata)

    def test_answer_to_what_is_no_call_is_a_status_of_http(self) -> None:
        """There is nothing of gRPC in it."""
        self.assertEqual(
            _fields(response_blocks.http_status(415)), {b":status": b"415"}
        )


if __name__ == "__main__":
    absltest.main()
