"""Tests for json_document."""

import codecs
import json
from typing import Any
from unittest import mock

import orjson
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import json_document
from tensorflow_serving.util import errors


class JsonDocumentTest(parameterized.TestCase):
    """Bodies of requests."""

    def test_body_is_an_object(self) -> None:
        """A body is returned as Python's values, whole numbers exactly."""
        self.assertEqual(
            json_document.parse(
                b'{"a": [1, 9007199254740993, 2.5, "x", null]}'
            ),
            {"a": [1, 9007199254740993, 2.5, "x", None]},
        )

    def test_numbers_that_are_not_json_are_taken(self) -> None:
        """NaN and the infinities are taken, as TensorFlow Serving does."""
        found = json_document.parse(b'{"a": [NaN, Infinity, -Infinity, 1]}')
        self.assertEqual(str(found["a"]), "[nan, inf, -inf, 1]")

    def test_lack_of_memory_is_not_the_fault_of_the_body(self) -> None:
        """The parser says so with the error of a wrong text."""
        error = orjson.JSONDecodeError(
            "Not enough memory to allocate buffer for parsing", "{}", 0
        )
        with (
            mock.patch.object(orjson, "loads", side_effect=error),
            self.assertRaises(MemoryError),
        ):
            json_document.parse(b"{}")

    def test_byte_order_mark_is_skipped(self) -> None:
        """Some editors and shells put one before what they send."""
        self.assertEqual(
            json_document.parse(codecs.BOM_UTF8 + b'{"a": 1}'), {"a": 1}
        )

    @parameterized.parameters(
        b"18446744073709551615",
        b"18446744073709551616",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b"-0",
        b"0.1",
        b"1e308",
        b'"\\ud83d\\ude00"',
    )
    def test_value_is_the_same_beside_such_numbers(self, value: bytes) -> None:
        """A body with NaN is read by another parser, to the same values."""
        self.assertEqual(
            repr(json_document.parse(b'{"a": %b, "b": NaN}' % value)["a"]),
            repr(json_document.parse(b'{"a": %b}' % value)["a"]),
        )

    @parameterized.parameters(
        b"1e400",
        b"-1e400",
        b"1" * 400,
        b"1" * 5000,
        b'"\\ud800"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\n"',
        b"01",
        b"Inf",
        b"-",
        b"[1,]",
        b'1} {"a": -Infinity',
    )
    def test_value_is_refused_beside_such_numbers_as_well(
        self, value: bytes
    ) -> None:
        """A body with NaN may have no other value than a body without."""
        texts = []
        for body in (b'{"b": 0.0, "a": %b}', b'{"b": NaN, "a": %b}'):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, "JSON Parse error"
            ) as raised:
                json_document.parse(body % value)
            texts.append(str(raised.exception))
        self.assertEqual(*texts)

    @parameterized.named_parameters(
        ("empty", b"", "The document is empty"),
        ("half", b'{"a": 1', "JSON Parse error: .* at offset: 7"),
        ("trailing_text", b"{} x", "JSON Parse error"),
        ("space", b" ", "JSON Parse error"),
        ("not_utf8", b'{"a": "\xff"}', "must be UTF-8, .* at offset: 7"),
        ("not_utf8_with_nan", b'{"a": NaN, "b": "\xff"}', "at offset: 17"),
        ("utf16", '{"a": 1}'.encode("utf-16"), "must be UTF-8"),
        ("lone_surrogate", b'{"a": "\\ud800"}', "JSON Parse error"),
        ("deep", b"[" * 100_000, "JSON Parse error"),
        ("deep_with_nan", b"NaN" + b"[" * 100_000, "JSON Parse error"),
        ("too_large_for_a_double", b'{"a": 1e400}', "JSON Parse error"),
        ("spaces", b" \r\n", "JSON Parse error: The document is empty"),
        ("python", b"{'a': 1}", "JSON Parse error"),
        ("nan_of_c", b'{"a": nan}', "JSON Parse error"),
        ("list", b"[1]", "must be a JSON object; got a list"),
        ("number", b"1", "must be a JSON object; got a whole number"),
        ("null", b"null", "must be a JSON object; got null"),
    )
    def test_other_text_is_refused(self, body: bytes, error: str) -> None:
        """A body that is no object of JSON is the fault of the caller."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, error):
            json_document.parse(body)

    def test_name_of_the_signature_is_a_string(self) -> None:
        """A signature is named by a string, or not at all."""
        self.assertEqual(json_document.signature_name({}), "")
        self.assertEqual(
            json_document.signature_name({"signature_name": "a"}), "a"
        )
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be a string value; got null"
        ):
            json_document.signature_name({"signature_name": None})

    @parameterized.named_parameters(
        ("string", "é", "é".encode()),
        ("base64", {"b64": "AAE="}, b"\0\1"),
        ("without_padding", {"b64": "AAE"}, b"\0\1"),
        ("with_space", {"b64": " AA\nE= "}, b"\0\1"),
        ("empty", {"b64": ""}, b""),
        ("web_safe_digits", {"b64": "-_8="}, None),
        ("half_a_byte", {"b64": "A"}, None),
        ("other_digits", {"b64": "é==="}, None),
        ("surrogate", "\ud800", None),
        ("another_key", {"b64": "AAE=", "x": 1}, None),
        ("not_a_string", {"b64": 1}, None),
        ("number", 1, None),
    )
    def test_text_is_a_string_or_base64(
        self, value: Any, expected: bytes | None
    ) -> None:
        """Bytes are a string, or base64 in an object with one key."""
        self.assertEqual(json_document.text(value), expected)

    @parameterized.parameters("1", "[1]", '"x"', "null", '{"b64": "AA=="}')
    def test_object_is_not_one_that_stands_for_bytes(self, text: str) -> None:
        """An object that stands for bytes is a value like a string."""
        self.assertFalse(json_document.is_object(json.loads(text)))

    @parameterized.parameters(
        "{}", '{"x": 1}', '{"b64": 1}', '{"b64": "", "x": 1}'
    )
    def test_other_object_is_one(self, text: str) -> None:
        """All other objects hold values by name."""
        self.assertTrue(json_document.is_object(json.loads(text)))


if __name__ == "__main__":
    absltest.main()
