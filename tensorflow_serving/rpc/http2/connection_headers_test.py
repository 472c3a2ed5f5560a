"""RFC 9113, section 8.2 to 8.5: the header fields of requests."""

from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frame_script, header_block
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2.frame_script import (
    REQUEST_FIELDS,
    data,
    fields,
    headers,
    trailers,
)
from tensorflow_serving.rpc.http2.header_block import Field

_METHOD = (b":method", b"POST")
_SCHEME = (b":scheme", b"http")
_PATH = (b":path", b"/a")
_AUTHORITY = (b":authority", b"a")
_ANY = (b"a", b"b")

# Lists of fields that are requests.
_GOOD: Sequence[tuple[str, list[Field]]] = (
    ("least", [_METHOD, _SCHEME, _PATH]),
    ("order_of_pseudo_fields", [_PATH, _AUTHORITY, _METHOD, _SCHEME]),
    ("get", [(b":method", b"GET"), _SCHEME, _PATH]),
    ("unknown_method", [(b":method", b"BREW"), _SCHEME, _PATH]),
    ("https", [_METHOD, (b":scheme", b"https"), _PATH]),
    ("asterisk", [(b":method", b"OPTIONS"), _SCHEME, (b":path", b"*")]),
    ("query", [_METHOD, _SCHEME, (b":path", b"/a?b=c")]),
    ("connect", [(b":method", b"CONNECT"), _AUTHORITY]),
    ("empty_value", [_METHOD, _SCHEME, _PATH, (b"a", b"")]),
    ("space_within_a_value", [_METHOD, _SCHEME, _PATH, (b"a", b"b c\td")]),
    ("space_before_a_value", [_METHOD, _SCHEME, _PATH, (b"a", b" b")]),
    ("space_after_a_value", [_METHOD, _SCHEME, _PATH, (b"a", b"b ")]),
    ("tab_before_a_value", [_METHOD, _SCHEME, _PATH, (b"a", b"\tb")]),
    ("tab_after_a_value", [_METHOD, _SCHEME, _PATH, (b"a", b"b\t")]),
    ("only_a_space", [_METHOD, _SCHEME, _PATH, (b"a", b" ")]),
    ("bytes_above_127", [_METHOD, _SCHEME, _PATH, (b"a", b"\x80\xff")]),
    ("field_twice", [_METHOD, _SCHEME, _PATH, _ANY, _ANY]),
    (
        "all_marks_of_names",
        [_METHOD, _SCHEME, _PATH, (b"!#$%&'*+-.^_`|~09az", b"")],
    ),
    ("te_trailers", [_METHOD, _SCHEME, _PATH, (b"te", b"trailers")]),
    ("host", [_METHOD, _SCHEME, _PATH, (b"host", b"a")]),
    (
        "cookies",
        [_METHOD, _SCHEME, _PATH, (b"cookie", b"a=b"), (b"cookie", b"c=d")],
    ),
    ("binary_name", [_METHOD, _SCHEME, _PATH, (b"a-bin", b"AAEC")]),
    ("length_0", [_METHOD, _SCHEME, _PATH, (b"content-length", b"0")]),
    ("length_00", [_METHOD, _SCHEME, _PATH, (b"content-length", b"00")]),
    (
        "length_0_twice",
        [_METHOD, _SCHEME, _PATH, *[(b"content-length", b"0")] * 2],
    ),
    # Fields that gRPC sends in addition to its own.
    (
        "grpc",
        [
            *REQUEST_FIELDS,
            (b"grpc-timeout", b"100m"),
            (b"grpc-encoding", b"gzip"),
            (b"grpc-accept-encoding", b"identity,deflate,gzip"),
            (b"user-agent", b"grpc-python/1.85.1 grpc-c/45.0 (linux)"),
            (b"grpc-trace-bin", b"AAAB"),
        ],
    ),
)

# Lists of fields that are malformed.
_BAD: Sequence[tuple[str, list[Field]]] = (
    ("nothing", []),
    ("no_method", [_SCHEME, _PATH]),
    ("no_scheme", [_METHOD, _PATH]),
    ("no_path", [_METHOD, _SCHEME]),
    ("empty_path", [_METHOD, _SCHEME, (b":path", b"")]),
    ("method_twice", [_METHOD, _METHOD, _SCHEME, _PATH]),
    ("scheme_twice", [_METHOD, _SCHEME, _SCHEME, _PATH]),
    ("path_twice", [_METHOD, _SCHEME, _PATH, _PATH]),
    ("authority_twice", [_METHOD, _SCHEME, _PATH, _AUTHORITY, _AUTHORITY]),
    ("status", [_METHOD, _SCHEME, _PATH, (b":status", b"200")]),
    ("unknown_pseudo", [_METHOD, _SCHEME, _PATH, (b":a", b"b")]),
    ("protocol", [_METHOD, _SCHEME, _PATH, (b":protocol", b"b")]),
    ("pseudo_after_a_field", [_METHOD, _SCHEME, _ANY, _PATH]),
    ("pseudo_name_only", [_METHOD, _SCHEME, _PATH, (b":", b"b")]),
    ("pseudo_in_upper_case", [(b":Method", b"POST"), _SCHEME, _PATH]),
    ("connect_with_path", [(b":method", b"CONNECT"), _AUTHORITY, _PATH]),
    ("connect_with_scheme", [(b":method", b"CONNECT"), _AUTHORITY, _SCHEME]),
    ("connect_without_authority", [(b":method", b"CONNECT")]),
    ("upper_case", [_METHOD, _SCHEME, _PATH, (b"Content-type", b"a")]),
    ("one_upper_case_letter", [_METHOD, _SCHEME, _PATH, (b"aZ", b"a")]),
    ("empty_name", [_METHOD, _SCHEME, _PATH, (b"", b"a")]),
    ("space_in_a_name", [_METHOD, _SCHEME, _PATH, (b"a b", b"c")]),
    ("colon_in_a_name", [_METHOD, _SCHEME, _PATH, (b"a:b", b"c")]),
    ("zero_in_a_name", [_METHOD, _SCHEME, _PATH, (b"a\0", b"c")]),
    ("line_break_in_a_name", [_METHOD, _SCHEME, _PATH, (b"a\n", b"c")]),
    ("byte_above_127_in_a_name", [_METHOD, _SCHEME, _PATH, (b"\xe4", b"c")]),
    ("delete_in_a_name", [_METHOD, _SCHEME, _PATH, (b"a\x7f", b"c")]),
    ("zero_in_a_value", [_METHOD, _SCHEME, _PATH, (b"a", b"b\0c")]),
    ("line_feed_in_a_value", [_METHOD, _SCHEME, _PATH, (b"a", b"b\nc")]),
    ("line_feed_at_the_end", [_METHOD, _SCHEME, _PATH, (b"a", b"b\n")]),
    ("return_in_a_value", [_METHOD, _SCHEME, _PATH, (b"a", b"b\rc")]),
    ("line_feed_and_space", [_METHOD, _SCHEME, _PATH, (b"a", b"b\n ")]),
    ("space_before_the_path", [_METHOD, _SCHEME, (b":path", b" /a")]),
    ("space_after_the_path", [_METHOD, _SCHEME, (b":path", b"/a ")]),
    ("line_feed_in_the_path", [_METHOD, _SCHEME, (b":path", b"/a\nb")]),
    ("connection", [_METHOD, _SCHEME, _PATH, (b"connection", b"close")]),
    ("keep_alive", [_METHOD, _SCHEME, _PATH, (b"keep-alive", b"a")]),
    (
        "proxy_connection",
        [_METHOD, _SCHEME, _PATH, (b"proxy-connection", b"a")],
    ),
    (
        "transfer_encoding",
        [_METHOD, _SCHEME, _PATH, (b"transfer-encoding", b"chunked")],
    ),
    ("upgrade", [_METHOD, _SCHEME, _PATH, (b"upgrade", b"h2c")]),
    ("te_gzip", [_METHOD, _SCHEME, _PATH, (b"te", b"gzip")]),
    (
        "te_trailers_and_gzip",
        [_METHOD, _SCHEME, _PATH, (b"te", b"trailers, gzip")],
    ),
    ("te_empty", [_METHOD, _SCHEME, _PATH, (b"te", b"")]),
    ("length_1", [_METHOD, _SCHEME, _PATH, (b"content-length", b"1")]),
    ("length_negative", [_METHOD, _SCHEME, _PATH, (b"content-length", b"-1")]),
    ("length_text", [_METHOD, _SCHEME, _PATH, (b"content-length", b"a")]),
    ("length_empty", [_METHOD, _SCHEME, _PATH, (b"content-length", b"")]),
    ("length_list", [_METHOD, _SCHEME, _PATH, (b"content-length", b"0, 0")]),
    (
        "length_huge",
        [_METHOD, _SCHEME, _PATH, (b"content-length", b"9" * 5_000)],
    ),
    (
        "lengths_that_differ",
        [
            *[_METHOD, _SCHEME, _PATH],
            *[(b"content-length", b"0"), (b"content-length", b"1")],
        ],
    ),
)

_LENGTH_3 = (b"content-length", b"3")
_BEGIN = headers(1, header_block.encode([*REQUEST_FIELDS, _LENGTH_3]))
_BROKEN = ["RST_STREAM 1 PROTOCOL_ERROR"]

# 8.1.1: requests that are as long as they say, or not.
_LENGTHS: Sequence[tuple[str, bytes, list[str], str]] = (
    ("exact", data(1, b"abc", ends=True), [], "1 ended 3 bytes"),
    ("not_whole_yet", data(1, b"ab"), [], "1 open 2 bytes"),
    (
        "in_parts",
        data(1, b"ab") + data(1) + data(1, b"c") + trailers(1),
        [],
        "1 ended 3 bytes",
    ),
    (
        "padded",
        data(1, b"abc", num_padding_bytes=9, ends=True),
        [],
        "1 ended 3 bytes",
    ),
    (
        "too_short",
        data(1, b"ab", ends=True),
        _BROKEN,
        "1 ended 2 bytes PROTOCOL_ERROR",
    ),
    (
        "too_short_with_trailers",
        data(1, b"ab") + trailers(1),
        _BROKEN,
        "1 ended 2 bytes PROTOCOL_ERROR",
    ),
    ("nothing", trailers(1), _BROKEN, "1 ended 0 bytes PROTOCOL_ERROR"),
    (
        "too_long",
        data(1, b"abcd"),
        _BROKEN,
        "1 open 4 bytes PROTOCOL_ERROR",
    ),
    (
        "too_long_in_parts",
        data(1, b"ab") + data(1, b"cd", ends=True),
        _BROKEN,
        "1 ended 4 bytes PROTOCOL_ERROR",
    ),
)

# 8.1: trailers are a list of fields without pseudo-fields.
_TRAILERS: Sequence[tuple[str, list[Field], bool]] = (
    ("plain", [(b"a", b"b"), (b"c-bin", b"AA")], True),
    ("pseudo", [(b":path", b"/a")], False),
    ("status", [(b":status", b"200")], False),
    ("upper_case", [(b"A", b"b")], False),
    ("empty_name", [(b"", b"b")], False),
    ("line_break", [(b"a", b"b\r\nc: d")], False),
    ("of_one_hop", [(b"transfer-encoding", b"chunked")], False),
)


class HeadersTest(parameterized.TestCase):
    """Requests that are well-formed, or not."""

    @parameterized.named_parameters(*_GOOD)
    def test_request_is_accepted(self, request: list[Field]) -> None:
        """Header fields that RFC 9113 allows are a request."""
        sent = headers(1, header_block.encode(request), ends=True)
        for found in frame_script.outcomes(sent):
            self.assertEqual(found, ["1 ended 0 bytes"])

    @parameterized.named_parameters(*_BAD)
    def test_malformed_request_is_reset(self, request: list[Field]) -> None:
        """8.1.1: a stream error of type PROTOCOL_ERROR; nothing is reported."""
        sent = headers(1, header_block.encode(request), ends=True)
        for found in frame_script.outcomes(sent):
            self.assertEqual(found, ["RST_STREAM 1 PROTOCOL_ERROR"])

    @parameterized.named_parameters(*_LENGTHS)
    def test_content_length_is_a_promise(
        self, sent: bytes, answer: list[str], state: str
    ) -> None:
        """8.1.1: a request with another length is malformed."""
        for found in frame_script.outcomes(_BEGIN + sent):
            self.assertEqual(found, [*answer, state])

    @parameterized.named_parameters(*_TRAILERS)
    def test_trailers_are_checked(
        self, found: list[Field], is_valid: bool
    ) -> None:
        """8.1: trailers that break a rule make a request malformed."""
        client = frame_script.Client()
        answer = client.send(
            headers(1), trailers(1, header_block.encode(found))
        )
        self.assertEqual(answer, [] if is_valid else _BROKEN)

    def test_malformed_request_does_not_harm_the_next(self) -> None:
        """The connection goes on."""
        client = frame_script.Client()
        client.send(headers(1, b""), fields(3))
        self.assertEqual(
            frame_script.states(client.streams.values()), ["3 ended 0 bytes"]
        )

    def test_too_many_fields_are_reported(self) -> None:
        """6.5.2, 10.5.1: the layer above answers with a status of its own."""
        client = frame_script.Client(
            limits_lib.Limits(max_header_list_bytes=1_000)
        )
        self.assertEqual(client.send(fields(1, (b"a", b"b" * 1_000))), [])
        self.assertTrue(client.streams[1].head.is_too_large)

    def test_far_too_many_fields_end_the_connection(self) -> None:
        """10.5.1: a server need not decode what it does not want."""
        client = frame_script.Client()
        self.assertEqual(
            client.send(headers(1, b"\x82" * 3_000)),
            ["GOAWAY 0 ENHANCE_YOUR_CALM"],
        )


if __name__ == "__main__":
    absltest.main()
